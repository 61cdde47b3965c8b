//! A relay that lies to its children: they find out, leave it, and their picture goes on. Strangers who open the door
//! and stand in it: others come and go. Real programs, real sockets.

use serde_json::Value;
use testbed::measure::siege::siege;
use testbed::stage::{Process, Stage};

const TEST_PICTURE: &str = r#"
[[stream]]
name = "test"
source = { kind = "test" }
video = { width = 320, height = 240, fps = 25, bitrate_kbps = 400 }
"#;

/// A stage where one viewer plays below a relay that will play this trick, and an honest relay stands by. Gives the
/// liar's name among the peers besides.
struct Scene {
    viewer: Process,
    liar: Value,
    supervisor: Process,
    _others: Vec<Process>,
    _stage: Stage,
}

fn scene(trick: &str) -> anyhow::Result<Scene> {
    let stage = Stage::new()?;
    let supervisor = stage.supervisor()?;
    let broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let liar = stage.liar(trick)?;
    let viewer = stage.receiver("viewer", &["--stream", "test"])?;
    let first = viewer.wait_for_line("it plays below the liar", |line| {
        line["playing"] == true && line["depth"] == 2
    })?;
    let honest = stage.relay("honest", 50_000)?;
    Ok(Scene {
        viewer,
        liar: first["parent"].clone(),
        supervisor,
        _others: vec![broadcaster, liar, honest],
        _stage: stage,
    })
}

fn bytes(line: &Value) -> u64 {
    line["bytes_down"].as_u64().unwrap_or(0)
}

/// Waits until some ten seconds of media more have come, all the while from the same parent.
fn goes_on(viewer: &Process) -> anyhow::Result<Value> {
    let more = bytes(&viewer.last_line()) + 500_000;
    viewer.wait_for_line("media goes on", |line| bytes(line) > more)
}

fn leaves_the_liar(trick: &str) -> anyhow::Result<()> {
    let scene = scene(trick)?;
    let liar = scene.liar.clone();
    scene.viewer.wait_for_line("another parent", |line| {
        line["parent"].is_string() && line["parent"] != liar
    })?;
    let later = goes_on(&scene.viewer)?;
    assert_eq!(later["playing"], true);
    assert_ne!(later["parent"], liar, "it did not come back to the liar");
    // One accuser alone gets nobody evicted: it may lie itself.
    assert!(
        !scene.supervisor.log().contains("evicted"),
        "{}",
        scene.supervisor.log()
    );
    Ok(())
}

#[test]
fn a_relay_that_alters_a_byte_loses_its_child_and_the_picture_goes_on() -> anyhow::Result<()> {
    leaves_the_liar("alter")
}

#[test]
fn a_relay_that_renumbers_chunks_loses_its_child_and_the_picture_goes_on() -> anyhow::Result<()> {
    leaves_the_liar("renumber")
}

#[test]
fn a_relay_that_splices_another_stream_in_loses_its_child_and_the_picture_goes_on()
-> anyhow::Result<()> {
    leaves_the_liar("splice")
}

#[test]
fn a_relay_that_changes_the_order_keeps_its_child_which_plays_on() -> anyhow::Result<()> {
    let scene = scene("reorder")?;
    let later = goes_on(&scene.viewer)?;
    assert_eq!(
        (&later["parent"], &later["playing"]),
        (&scene.liar, &Value::from(true))
    );
    Ok(())
}

#[test]
fn handshakes_left_hanging_by_the_thousand_bother_no_viewer_and_no_newcomer() -> anyhow::Result<()>
{
    let seen = siege(1_000, 5)?;
    assert_eq!((seen.hanging, seen.playing), (1_000, 5));
    Ok(())
}
