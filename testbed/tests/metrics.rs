//! What Prometheus finds at the three services, and the dashboard that is delivered for it.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;
use testbed::stage::Stage;

const STREAM: &str =
    "[[stream]]\nname = \"test\"\nsource = \"test\"\nvideo = { width = 320, height = 180 }\n";
/// Nothing is slower than this unless it is broken; nothing is asserted about it.
const PATIENCE: Duration = Duration::from_secs(30);

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn metrics(port: u16) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer")?;
    anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    anyhow::ensure!(body.ends_with("# EOF\n"), "it is cut off");
    Ok(body.to_owned())
}

/// What is found there once it has this line.
fn metrics_with(port: u16, beginning: &str) -> anyhow::Result<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = metrics(port).unwrap_or_default();
        if found.lines().any(|line| line.starts_with(beginning)) {
            return Ok(found);
        }
        anyhow::ensure!(Instant::now() < end, "no {beginning} in\n{found}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Names of what there is to ask for: a histogram's three, and a counter's with `_total`.
fn names(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect()
}

/// Names that the dashboard's panels and variables ask for.
fn asked(of: &Value, found: &mut BTreeSet<String>) {
    match of {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text)
                        if ["expr", "definition", "query"].contains(&key.as_str()) =>
                    {
                        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                        let ours = words.filter(|word| word.starts_with("ownstream_"));
                        found.extend(ours.map(str::to_owned));
                    }
                    other => asked(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| asked(item, found)),
        _ => {}
    }
}

/// A board tells what it has: a virtual machine neither warmth nor a radio. peer::figures has their tests.
fn is_of_a_board(name: &str) -> bool {
    name.starts_with("ownstream_board_")
}

/// The test picture has no camera that could be away; edge_broadcaster::tally has its test.
fn is_of_a_camera(name: &str) -> bool {
    name == "ownstream_camera_away"
}

#[test]
fn the_dashboard_asks_for_nothing_that_the_services_do_not_have() -> anyhow::Result<()> {
    let (supervisor_port, relay_port, broadcaster_port) =
        (free_port()?, free_port()?, free_port()?);
    let at = |port: u16| format!("metrics = \"127.0.0.1:{port}\"\n");
    let stage = Stage::with_supervisor(&at(supervisor_port))?;
    let _supervisor = stage.supervisor()?;
    let relay = format!("uplink_kbps = 20000\n{}", at(relay_port));
    let _relay = stage.relay_alone("relay", &relay)?;
    let _broadcaster = stage.broadcaster(&(at(broadcaster_port) + STREAM))?;
    let viewer = stage.receiver("viewer", &[])?;
    viewer.wait_for_line("it plays", |line| line["playing"] == true)?;

    let supervisor = metrics_with(
        supervisor_port,
        "ownstream_live_latency_seconds_count{stream=\"test\"} 1",
    )?;
    assert!(
        supervisor.contains("ownstream_viewers{stream=\"test\"} 1"),
        "{supervisor}"
    );
    assert!(
        supervisor.contains("ownstream_peers{component=\"relay\"} 1"),
        "{supervisor}"
    );
    let relay = metrics_with(relay_port, "ownstream_peer_forwarded_chunks_total{")?;
    let broadcaster = metrics_with(broadcaster_port, "ownstream_encoder_frames_total{")?;

    let mut there = names(&supervisor);
    there.extend(names(&relay));
    there.extend(names(&broadcaster));
    // Nobody was refused yet.
    there.insert("ownstream_refusals_total".into());
    let dashboard = include_str!("../../docs/grafana-dashboard.json");
    let mut wanted = BTreeSet::new();
    asked(&serde_json::from_str(dashboard)?, &mut wanted);
    assert!(wanted.len() > 20, "{wanted:?}");
    let missing: Vec<_> = wanted
        .iter()
        .filter(|name| !there.contains(*name) && !is_of_a_board(name) && !is_of_a_camera(name))
        .collect();
    assert_eq!(missing, [""; 0], "of {there:?}");

    let documented = include_str!("../../docs/monitor.md");
    for name in wanted.iter().filter(|name| is_of_a_board(name)) {
        let end = name.trim_start_matches("ownstream_board");
        assert!(documented.contains(end), "{name} is not documented");
        assert!(
            peer::figures::NAMES_OF_A_BOARD.contains(&name.as_str()),
            "{name} is nowhere"
        );
    }
    Ok(())
}
