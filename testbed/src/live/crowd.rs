//! The viewers of a run: each a process of its own, one of which fails now and then and comes back as another.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::record::{Life, Looks, Record};
use super::{Plan, System, Unlike};
use crate::stage::{PATIENCE, Process, Signal, Stage};

/// Viewers come one after the other, this far apart: how they come is not what is measured.
const APART: Duration = Duration::from_millis(150);
/// How often a viewer says how it fares, milliseconds.
const SAYS_EVERY_MS: u64 = 200;
/// What stands still is ended after this, when everybody has long taken it for dead.
const FROZEN_FOR: Duration = Duration::from_secs(8);

struct Viewer {
    process: Process,
    number: usize,
    /// Its line when counting began.
    before: Value,
    /// Whether it was there from the start.
    is_first: bool,
}

/// See the module's own words.
pub(super) struct Crowd {
    viewers: Vec<Viewer>,
    frozen: Vec<(Instant, Process)>,
    made: usize,
    unlike: Unlike,
    watched: Vec<Watched>,
}

/// What was seen of one player of each viewer: its own first, then those beside it.
struct Watched {
    system: System,
    lives: Vec<Life>,
    looks: Looks,
}

impl Crowd {
    /// Lets all in, and waits until all play.
    pub(super) fn new(stage: &Stage, plan: &Plan) -> anyhow::Result<Self> {
        let mut crowd = Self {
            viewers: Vec::new(),
            frozen: Vec::new(),
            made: 0,
            unlike: plan.unlike,
            watched: Vec::new(),
        };
        for &system in [plan.system].iter().chain(plan.system.beside()) {
            crowd.watched.push(Watched {
                system,
                lives: Vec::new(),
                looks: Looks::default(),
            });
        }
        for _ in 0..plan.viewers {
            crowd.let_in(stage, true)?;
            std::thread::sleep(APART);
        }
        let until = Instant::now() + PATIENCE;
        while !crowd.viewers.iter().all(Viewer::plays) {
            anyhow::ensure!(
                Instant::now() < until,
                "only {} of {} viewers play; one that does not: {:?}, its log: {}",
                crowd.viewers.iter().filter(|v| v.plays()).count(),
                plan.viewers,
                crowd
                    .viewers
                    .iter()
                    .find(|v| !v.plays())
                    .map(|v| v.process.last_line()),
                crowd
                    .viewers
                    .iter()
                    .find(|v| !v.plays())
                    .map(|v| v.process.log())
                    .unwrap_or_default(),
            );
            std::thread::sleep(APART);
        }
        Ok(crowd)
    }

    fn let_in(&mut self, stage: &Stage, is_first: bool) -> anyhow::Result<()> {
        let number = self.made;
        self.made += 1;
        let unlike = self.unlike;
        let every = SAYS_EVERY_MS.to_string();
        let uplink = unlike.viewer_kbps().to_string();
        let mut words = vec!["--interval-ms", &every, "--uplink-kbps", &uplink];
        let holds = self.watched.iter().filter_map(|w| w.system.hold());
        let holds: Vec<String> = holds.map(|hold| hold.as_millis().to_string()).collect();
        for (at, hold) in holds.iter().enumerate() {
            words.extend([if at == 0 { "--hold-ms" } else { "--beside-ms" }, hold]);
        }
        let lanes = unlike.lanes.map(|lanes| lanes.to_string());
        if let Some(lanes) = &lanes {
            words.extend(["--lanes", lanes]);
        }
        if unlike.ordered {
            words.push("--ordered");
        }
        self.viewers.push(Viewer {
            process: stage.receiver(&format!("viewer-{number}"), &words)?,
            number,
            before: Value::Null,
            is_first,
        });
        Ok(())
    }

    /// What was before does not count.
    pub(super) fn count_from_here(&mut self) {
        for viewer in &mut self.viewers {
            viewer.before = viewer.process.last_line();
        }
    }

    /// One fails, and another comes in its place; `draw` says which of so many, breadth first from the broadcaster.
    pub(super) fn fail_one(
        &mut self,
        stage: &Stage,
        signal: Signal,
        draw: impl FnOnce(usize) -> usize,
    ) -> anyhow::Result<()> {
        let order = breadth_first(&self.viewers);
        if !order.is_empty() {
            let victim = self.viewers.swap_remove(order[draw(order.len())]);
            self.note_life(&victim, true);
            victim.process.signal(signal)?;
            self.frozen.push((Instant::now(), victim.process));
        }
        self.frozen
            .retain(|(since, _)| since.elapsed() < FROZEN_FOR);
        self.let_in(stage, false)
    }

    /// Notes latencies and the tree's shape.
    pub(super) fn look(&mut self) {
        let lines: Vec<Value> = self.viewers.iter().map(|v| v.process.last_line()).collect();
        let playing: Vec<&Value> = lines.iter().filter(|l| l["playing"] == true).collect();
        let depth = |line: &Value| line["depth"].as_u64().unwrap_or(0);
        let deepest = playing.iter().map(|l| depth(l)).max().unwrap_or(0);
        let viewers: Vec<&Value> = lines.iter().map(|l| &l["peer"]).collect();
        let below = playing
            .iter()
            .filter(|l| viewers.contains(&&l["parent"]))
            .count();
        let below = below as f64 / playing.len().max(1) as f64;
        for (at, Watched { looks, .. }) in self.watched.iter_mut().enumerate() {
            looks.deepest = looks.deepest.max(deepest);
            looks.below_viewers.push(below);
            for line in &playing {
                let Some(latency) = player(line, at)["latency_ms"].as_u64() else {
                    continue;
                };
                looks.latencies.push(latency);
                if depth(line) == deepest {
                    looks.deepest_latencies.push(latency);
                }
            }
        }
    }

    fn note_life(&mut self, viewer: &Viewer, failed: bool) {
        for (at, watched) in self.watched.iter_mut().enumerate() {
            watched.lives.push(viewer.life(at, failed));
        }
    }

    /// Ends all, and sums up.
    pub(super) fn close(mut self, plan: &Plan, delay_p99_ms: f64) -> Vec<Record> {
        // All of them before the first is ended, for whoever it feeds would stand still.
        let viewers = std::mem::take(&mut self.viewers);
        for viewer in &viewers {
            self.note_life(viewer, false);
        }
        let record = |watched: Watched| {
            let system = watched.system;
            let plan = Plan { system, ..*plan };
            Record::new(&plan, watched.lives, watched.looks, delay_p99_ms)
        };
        self.watched.into_iter().map(record).collect()
    }
}

impl Viewer {
    fn plays(&self) -> bool {
        self.process.last_line()["playing"] == true
    }

    /// As its player of this place had it.
    fn life(&self, at: usize, failed: bool) -> Life {
        let whole = self.process.last_line();
        let (line, before) = (player(&whole, at), player(&self.before, at));
        let grown = |key: &str| {
            let now = line[key].as_u64().unwrap_or(0);
            now.saturating_sub(before[key].as_u64().unwrap_or(0))
        };
        Life {
            number: self.number,
            failed,
            played: line["playing"] == true,
            stalls: grown("stalls"),
            stalled_ms: grown("stalled_ms"),
            joined_ms: line["joined_ms"].as_u64().filter(|_| !self.is_first),
            hold_ms: line["hold_ms"].as_u64().unwrap_or(0),
            depth: whole["depth"].as_u64().unwrap_or(0),
        }
    }
}

/// What a viewer's line says of its own player, or of one beside it.
fn player(line: &Value, at: usize) -> &Value {
    match at.checked_sub(1) {
        None => line,
        Some(at) => &line["beside"][at],
    }
}

/// The places of those that have a place in the tree, those next to the broadcaster first.
fn breadth_first(viewers: &[Viewer]) -> Vec<usize> {
    let mut order: Vec<(u64, usize, usize)> = viewers
        .iter()
        .enumerate()
        .filter_map(|(at, viewer)| {
            let line = viewer.process.last_line();
            let depth = line["depth"]
                .as_u64()
                .filter(|_| line["parent"].is_string())?;
            Some((depth, viewer.number, at))
        })
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(.., at)| at).collect()
}
