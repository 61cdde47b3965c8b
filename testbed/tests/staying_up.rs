//! What must not bother a viewer: neighbours that die, stand still or come back. Real programs, real sockets.

use std::os::unix::net::UnixDatagram;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use testbed::stage::{Process, Signal, Stage, TEST_PICTURE, make_film};

fn plays(line: &Value) -> bool {
    line["playing"] == true
}

fn bytes(viewer: &Process) -> u64 {
    viewer.last_line()["bytes_down"].as_u64().unwrap_or(0)
}

/// Waits until a good second of media more has come.
fn goes_on(viewer: &Process) -> anyhow::Result<()> {
    let more = bytes(viewer) + 60_000;
    viewer.wait_for_line("media goes on", |line| {
        line["bytes_down"].as_u64() > Some(more)
    })?;
    Ok(())
}

fn watching(stage: &Stage, name: &str) -> anyhow::Result<Process> {
    let viewer = stage.receiver(name, &["--stream", "test"])?;
    viewer.wait_for_line("it plays", plays)?;
    Ok(viewer)
}

#[test]
fn a_viewer_whose_relay_dies_plays_on_below_the_other() -> anyhow::Result<()> {
    for signal in [Signal::Kill, Signal::Stop] {
        let stage = Stage::new()?;
        let _supervisor = stage.supervisor()?;
        let relays = [
            stage.relay("first", 50_000)?,
            stage.relay("second", 50_000)?,
        ];
        let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
        let viewer = watching(&stage, "viewer")?;
        let parent = viewer.last_line()["parent"].clone();
        // The other one stands by.
        let name = parent.as_str().expect("it has a parent").to_owned();
        let took_in = format!("took this relay in peer={name}");
        let serving = relays
            .iter()
            .find(|r| r.log().contains(&took_in))
            .expect("one serves");
        serving.signal(signal)?;
        viewer.wait_for_line("another parent", |l| {
            l["parent"].is_string() && l["parent"] != parent
        })?;
        goes_on(&viewer)?;
        serving.signal(Signal::Continue).ok(); // a killed one is gone
    }
    Ok(())
}

#[test]
fn people_watch_on_while_the_supervisor_is_away_and_others_join_when_it_is_back()
-> anyhow::Result<()> {
    let stage = Stage::new()?;
    let mut supervisor = stage.supervisor()?;
    let _relay = stage.relay("relay", 50_000)?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let early = watching(&stage, "early")?;
    let parent = early.last_line()["parent"].clone();
    supervisor.kill();
    goes_on(&early)?;
    let _supervisor = stage.supervisor()?;
    let late = watching(&stage, "late")?;
    goes_on(&early)?;
    goes_on(&late)?;
    assert_eq!(
        early.last_line()["parent"],
        parent,
        "who is well is not moved"
    );
    assert_eq!(early.last_line()["stalls"], 0);
    Ok(())
}

#[test]
fn viewers_go_on_by_themselves_when_the_broadcaster_starts_again() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let _relay = stage.relay("relay", 50_000)?;
    let mut broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let viewer = watching(&stage, "viewer")?;
    broadcaster.kill();
    let before = bytes(&viewer);
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    viewer.wait_for_line("media of the new epoch", |l| {
        l["bytes_down"].as_u64() > Some(before + 100_000)
    })?;
    let ahead =
        |l: &Value| l["ahead_ms"].as_u64() > Some(0) && l["latency_ms"].as_u64() < Some(3_000);
    viewer.wait_for_line("it plays what is sent now", ahead)?;
    Ok(())
}

/// As the broadcaster likes them: a key frame every second.
const ENCODED: &str = "vp8enc deadline=1 keyframe-max-dist=25 ! webmmux";

#[test]
fn a_film_that_stands_still_is_not_taken_for_a_camera_that_hangs() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let (film, notices) = (
        stage.folder().join("film.webm"),
        stage.folder().join("notices"),
    );
    make_film(&film, (20, "1/3"), ENCODED)?;
    let systemd = UnixDatagram::bind(&notices)?;
    let environment = [
        ("NOTIFY_SOCKET", notices.to_string_lossy().into_owned()),
        ("WATCHDOG_USEC", "500000".to_owned()),
    ];
    let streams =
        format!("[[stream]]\nname = \"test\"\nsource = {{ kind = \"file\", path = {film:?} }}");
    // Read all the time: whoever writes to a socket that is full waits.
    let (notice, notices) = mpsc::channel();
    std::thread::spawn(
        move || {
            while systemd.recv(&mut [0; 4096]).is_ok() && notice.send(()).is_ok() {}
        },
    );
    let broadcaster = stage.broadcaster_in(&environment, &streams)?;
    broadcaster.wait_for_log("sending \"")?;
    while notices.try_recv().is_ok() {}
    for _ in 0..30 {
        // Less than from one picture to the next.
        let fed = notices.recv_timeout(Duration::from_secs(2));
        fed.with_context(|| format!("its watchdog is not fed: {}", broadcaster.log()))?;
    }
    Ok(())
}

#[test]
fn a_viewer_whose_stream_has_ended_watches_it_again_when_it_is_back() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let film = stage.folder().join("film.webm");
    make_film(&film, (100, "25/1"), ENCODED)?;
    let viewer = stage.receiver("viewer", &["--stream", "test"])?;
    let mut broadcaster = stage.broadcaster(&format!(
        "[[stream]]\nname = \"test\"\nsource = {{ kind = \"file\", path = {film:?}, loop = false }}"
    ))?;
    viewer.wait_for_line("it plays", plays)?;
    viewer.wait_for_line("the film is over", |line| line["ended"] == true)?;
    broadcaster.wait_for_end()?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    viewer.wait_for_line("it plays again", |line| {
        line["ended"] == false && plays(line)
    })?;
    goes_on(&viewer)
}

#[test]
fn a_stream_that_the_operator_ended_is_off_until_it_is_allowed_and_the_other_goes_on()
-> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let _relay = stage.relay("relay", 100_000)?;
    let other = TEST_PICTURE.replace("name = \"test\"", "name = \"other\"");
    let mut broadcaster = stage.broadcaster(&format!("{TEST_PICTURE}\n{other}"))?;
    let viewer = stage.receiver("viewer", &["--stream", "test"])?;
    let neighbour = stage.receiver("neighbour", &["--stream", "other"])?;
    viewer.wait_for_line("it plays", plays)?;
    neighbour.wait_for_line("it plays", plays)?;

    let token = stage.command(&["operator-token"])?;
    let token = token.split_whitespace().last().unwrap_or_default();
    let streams = stage.ask_as_operator(token, "GET", "/api/streams", "")?;
    let named = |name| move |stream: &&Value| stream["name"] == name;
    let listed = streams["streams"].as_array();
    let found = listed.into_iter().flatten().find(named("test"));
    let id = found
        .and_then(|s| s["stream"].as_str())
        .context("the stream's id")?;
    stage.ask_as_operator(
        token,
        "POST",
        &format!("/api/streams/{id}/end"),
        r#"{"name": "test"}"#,
    )?;
    viewer.wait_for_line("it is over", |line| line["ended"] == true)?;
    broadcaster.wait_for_log("asking again")?;
    goes_on(&neighbour)?;

    stage.ask_as_operator(token, "POST", &format!("/api/streams/{id}/allow"), "")?;
    viewer.wait_for_line("it plays again", |line| {
        line["ended"] == false && plays(line)
    })?;
    anyhow::ensure!(broadcaster.is_running(), "the same broadcaster");
    goes_on(&viewer)
}

#[test]
fn a_viewer_that_stops_reading_costs_its_siblings_nothing() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let relay = stage.relay("relay", 50_000)?;
    let _source = stage.source(4_000)?;
    let viewer = |name| -> anyhow::Result<Process> {
        let viewer = stage.receiver(name, &[])?;
        viewer.wait_for_line("it plays", plays)?;
        Ok(viewer)
    };
    let (well, frozen) = (viewer("well")?, viewer("frozen")?);
    // Until the relay's window is full: 4 s of media, and a group of pictures.
    let window = bytes(&well) + 4_000_000;
    well.wait_for_line("the window is full", |line| {
        line["bytes_down"].as_u64() > Some(window)
    })?;
    let before = relay.resident_kib();
    frozen.signal(Signal::Stop)?;
    let stalls = well.last_line()["stalls"].clone();
    // 8 MB that the frozen one does not read.
    let much = bytes(&well) + 8_000_000;
    well.wait_for_line("media goes on", |line| {
        line["bytes_down"].as_u64() > Some(much)
    })?;
    assert_eq!(well.last_line()["stalls"], stalls);
    let grown = relay.resident_kib().saturating_sub(before);
    assert!(grown < 4 * 1024, "the relay grew by {grown} KiB");
    frozen.signal(Signal::Continue)?;
    goes_on(&frozen)?;
    Ok(())
}

#[test]
fn a_chain_of_viewers_below_one_relay_all_play() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let _relay = stage.relay("relay", 600)?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let viewers = [
        watching(&stage, "one")?,
        watching(&stage, "two")?,
        watching(&stage, "three")?,
    ];
    for viewer in &viewers {
        goes_on(viewer)?;
    }
    let deepest = viewers
        .iter()
        .filter_map(|v| v.last_line()["depth"].as_u64())
        .max();
    assert!(deepest > Some(2), "some viewer is fed by a viewer");
    Ok(())
}

#[test]
fn a_hundred_viewers_that_came_and_went_leave_nothing_behind() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let supervisor = stage.supervisor()?;
    let relay = stage.relay("relay", 500_000)?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let _stays = watching(&stage, "stays")?;
    let tables = || stage.health().expect("the supervisor answers");
    let before = (supervisor.descriptors(), relay.descriptors(), tables());
    for round in 0..10 {
        let many = stage.receiver(&format!("round-{round}"), &["--viewers", "10", "--leaf"])?;
        many.wait_for_line("they play", plays)?;
    }
    // Less is no leak: a connection of before may have been about to close, and a deadline about to pass. One or two
    // descriptors more are none either, which a library opens at its leisure: a hundred viewers would have left a
    // hundred.
    let are_as_before = |mut now: Value| {
        let deadlines = now["deadlines"].as_u64() <= before.2["deadlines"].as_u64();
        now["deadlines"] = before.2["deadlines"].clone();
        deadlines && now == before.2
    };
    let gone = || {
        supervisor.descriptors() <= before.0 + 2
            && relay.descriptors() <= before.1 + 2
            && are_as_before(tables())
    };
    let until = std::time::Instant::now() + testbed::stage::PATIENCE;
    while !gone() && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let now = (supervisor.descriptors(), relay.descriptors(), tables());
    let files = (supervisor.open_files(), relay.open_files());
    assert!(gone(), "{before:?} became {now:?}: {files:?}");
    Ok(())
}
