//! What is said at the end, so that nobody has to find out by silence. Real programs, real sockets.

use std::process::Command;
use std::time::Duration;

use testbed::stage::{self, Process, Signal, Stage, TEST_PICTURE};

/// A film made of the test picture.
fn film(stage: &Stage, seconds: u32) -> anyhow::Result<String> {
    let config = stage.folder().join("film.toml");
    std::fs::write(&config, TEST_PICTURE)?;
    let made = Command::new(stage::programs()?.join("edge-broadcaster"))
        .args(["dump", "--seconds", &seconds.to_string(), "--out"])
        .args([stage.folder(), &config])
        .output()?;
    let said = String::from_utf8_lossy(&made.stderr);
    anyhow::ensure!(made.status.success(), "no film: {said}");
    let path = stage.folder().join("test.video.webm");
    Ok(path.to_string_lossy().into_owned())
}

fn is_the_last_word_of(ending: &mut Process, neighbour: &Process) -> anyhow::Result<()> {
    ending.signal(Signal::Terminate)?;
    assert!(ending.wait_for_end()?, "{}", ending.log());
    neighbour.wait_for_log("closed by the peer: this peer ends")
}

#[test]
fn the_end_of_a_film_reaches_the_viewers_and_the_broadcaster_ends_well() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let _relay = stage.relay("relay", 50_000)?;
    let viewer = stage.receiver("viewer", &["--stream", "film"])?;
    let film = film(&stage, 4)?; // long enough to be watched for a moment
    let mut broadcaster = stage.broadcaster(&format!(
        "[[stream]]\nname = \"film\"\nsource = {{ kind = \"file\", path = {film:?}, loop = false }}\n"
    ))?;
    viewer.wait_for_line("it plays", |line| line["playing"] == true)?;
    viewer.wait_for_line("it is told of the end", |line| line["ended"] == true)?;
    assert!(broadcaster.wait_for_end()?, "{}", broadcaster.log());
    Ok(())
}

#[test]
fn a_film_that_plays_once_begins_when_it_can_be_watched() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let film = film(&stage, 10)?;
    let broadcaster = stage.broadcaster_in(
        &[],
        &format!(
            "[[stream]]\nname = \"film\"\nsource = {{ kind = \"file\", path = {film:?}, loop = false }}\n"
        ),
    )?;
    broadcaster.wait_for_log("is not there")?;
    std::thread::sleep(Duration::from_secs(6)); // more than half of it is over, did it play
    let _supervisor = stage.supervisor()?;
    let viewer = stage.receiver("viewer", &["--stream", "film"])?;
    viewer.wait_for_line("it is told of the end", |line| line["ended"] == true)?;
    let lines = viewer.lines();
    // Whoever has no parent any more has nothing from it.
    let had = lines.iter().filter_map(|line| line["bytes_down"].as_u64());
    let (had, all) = (had.max(), std::fs::metadata(&film)?.len());
    assert!(had > Some(all / 2), "{had:?} of {all} bytes");
    Ok(())
}

#[test]
fn a_relay_that_is_told_to_end_says_goodbye_to_its_children() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let mut relay = stage.relay("relay", 50_000)?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let viewer = stage.receiver("viewer", &["--stream", "test"])?;
    viewer.wait_for_line("it plays", |line| line["playing"] == true)?;
    is_the_last_word_of(&mut relay, &viewer)
}

#[test]
fn a_broadcaster_that_is_told_to_end_says_goodbye_to_its_relays() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let relay = stage.relay("relay", 50_000)?;
    let mut broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let viewer = stage.receiver("viewer", &["--stream", "test"])?;
    viewer.wait_for_line("it plays", |line| line["playing"] == true)?;
    is_the_last_word_of(&mut broadcaster, &relay)
}
