//! A chain of headless receivers over a network that loses packets. The network is whatever loopback is here: `tools/bad-network.sh`
//! runs this where loopback is bad.

use std::thread::sleep;
use std::time::Duration;

use anyhow::bail;
use serde_json::Value;

use crate::stage::{Process, Stage};

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The stream's rate.
    pub kbps: u32,
    /// Viewers, each below the one before.
    pub depth: u32,
    /// How long.
    pub length: Duration,
    /// What each keeps ahead; by its own rules if none.
    pub hold: Option<Duration>,
    /// Connections of a link at most; as many as usual if none.
    pub lanes: Option<u8>,
    /// Whether media is delivered in order.
    pub ordered: bool,
}

/// How one viewer fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fared {
    /// Its distance from the broadcaster.
    pub depth: u64,
    /// Delays of chunks, milliseconds: half of them, 99 of a hundred, the longest.
    pub delays_ms: [u64; 3],
    /// Stalls, and their length, milliseconds.
    pub stalls: (u64, u64),
    /// Connections of all its links at the end.
    pub connections: u64,
    /// What it logged.
    pub log: String,
}

/// Runs it; gives how each viewer fared from the moment when all of them played for a while.
pub fn loss(plan: &Plan) -> anyhow::Result<Vec<Fared>> {
    let stage = Stage::with_supervisor("default_topology = { kind = \"linked-list\" }\n")?;
    let _supervisor = stage.supervisor()?;
    let _source = stage.source(plan.kbps)?;
    let hold = plan.hold.map(|hold| hold.as_millis().to_string());
    let after = SETTLES.as_secs().to_string();
    let mut words = vec!["--delays-after", &after];
    if let Some(hold) = &hold {
        words.extend(["--hold-ms", hold]);
    }
    let lanes = plan.lanes.map(|lanes| lanes.to_string());
    if let Some(lanes) = &lanes {
        words.extend(["--lanes", lanes]);
    }
    if plan.ordered {
        words.push("--ordered");
    }
    let mut viewers = Vec::new();
    for depth in 1..=plan.depth {
        let viewer = stage.receiver(&format!("viewer-{depth}"), &words)?;
        viewer.wait_for_line("it plays", |line| line["playing"] == true)?;
        viewers.push(viewer);
    }
    sleep(SETTLES);
    let before: Vec<Value> = viewers.iter().map(Process::last_line).collect();
    sleep(plan.length);
    let fared = viewers.iter().zip(&before).map(|(viewer, before)| {
        let line = viewer.last_line();
        let number = |line: &Value, name: &str| line[name].as_u64().unwrap_or(0);
        let since = |name| number(&line, name) - number(before, name);
        let delay = |share: &str| line["delays_ms"][share].as_u64();
        let delays = [delay("p50"), delay("p99"), delay("most")];
        let [Some(p50), Some(p99), Some(most)] = delays else {
            bail!("no chunks: {line}");
        };
        Ok(Fared {
            depth: number(&line, "depth"),
            delays_ms: [p50, p99, most],
            stalls: (since("stalls"), since("stalled_ms")),
            connections: number(&line, "links"),
            log: viewer.log(),
        })
    });
    fared.collect()
}

/// From the last one's first picture on: what the start needs is over by then, and links have the lanes they need.
const SETTLES: Duration = Duration::from_secs(20);
