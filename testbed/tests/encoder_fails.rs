//! An encoder that fails in mid-stream, with real programs: the supervisor gives a new epoch, and whoever watches goes on.

use serde_json::Value;
use testbed::stage::{Process, Stage};

fn streams(next: &str) -> String {
    format!(
        "[[stream]]\nname = \"test\"\nsource = \"test\"\n[stream.video]\nwidth = 320\nheight = 180\nfps = 25\n\
         encoders = [\"vavp8enc\", \"{next}\"]\n"
    )
}

fn position_ms(line: &Value) -> u64 {
    line["position_ms"].as_u64().unwrap_or(0)
}

/// The codecs of each epoch that a viewer was told of.
fn epochs_of(viewer: &Process) -> Vec<String> {
    let log = viewer.log();
    let told = log.lines().filter(|line| line.contains(" epoch "));
    told.filter_map(|line| Some(line.rsplit_once(": ")?.1.to_owned()))
        .collect()
}

/// Waits until so much more of the stream was shown.
fn plays_on(viewer: &Process, ms: u64) -> anyhow::Result<()> {
    let from = position_ms(&viewer.last_line());
    viewer.wait_for_line("it plays on", |line| position_ms(line) > from + ms)?;
    Ok(())
}

/// What a viewer, and one who comes later, see of a broadcaster whose encoder fails and is followed by `next`.
fn goes_on_with(next: &str, codec: &str) -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let _relay = stage.relay("relay", 50_000)?;
    let told = stage.folder().join("fail");
    let broadcaster = stage.frail_broadcaster(&told, &streams(next))?;
    let viewer = stage.receiver("viewer", &["--stream", "test"])?;
    viewer.wait_for_log(": VP8, Opus")?;
    plays_on(&viewer, 500)?;
    std::fs::write(&told, "")?;
    broadcaster.wait_for_log(&format!("{next} goes on in its place"))?;
    // The last epoch's media still plays when this begins.
    plays_on(&viewer, 3_000)?;
    assert_eq!(
        epochs_of(&viewer),
        ["VP8, Opus".to_owned(), format!("{codec}, Opus")]
    );
    let late = stage.receiver("late", &["--stream", "test"])?;
    plays_on(&late, 500)?;
    assert_eq!(epochs_of(&late), [format!("{codec}, Opus")]);
    Ok(())
}

#[test]
fn who_watches_plays_on_in_a_new_epoch_when_the_encoder_fails() -> anyhow::Result<()> {
    goes_on_with("vp8enc", "VP8")
}

#[test]
fn who_watches_plays_on_when_the_next_encoder_makes_h264() -> anyhow::Result<()> {
    goes_on_with("openh264enc", "H.264")
}
