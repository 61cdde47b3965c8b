//! Viewers who watch while something is tried, and what they noticed of it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stage::{PATIENCE, Process, Stage};

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Headless receivers in one process, none of which relays.
#[derive(Debug)]
pub struct Audience {
    process: Process,
    viewers: u32,
}

/// How they fare, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mood {
    /// Those whose picture moves, or has moved.
    pub playing: usize,
    /// Stalls of all of them so far.
    pub stalls: u64,
    /// Their total length, milliseconds.
    pub stalled_ms: u64,
}

impl Audience {
    /// Lets them in, and waits until all play.
    pub fn new(stage: &Stage, viewers: u32) -> anyhow::Result<Self> {
        Self::at(stage, &stage.url(), "audience", viewers)
    }

    /// The same, where they find the supervisor at `url`: behind somebody in the middle.
    pub fn at(stage: &Stage, url: &str, name: &str, viewers: u32) -> anyhow::Result<Self> {
        let count = viewers.to_string();
        let words = ["--stream", "test", "--leaf", "--viewers", &count];
        let audience = Self {
            process: stage.receiver_at(url, name, &words)?,
            viewers,
        };
        audience.until("all play", |line| line["playing"] == true)?;
        Ok(audience)
    }

    /// The last line of each.
    pub fn lines(&self) -> Vec<Value> {
        let lines = self.process.lines();
        let last = |n: u32| lines.iter().rev().find(|l| l["viewer"] == n).cloned();
        (0..self.viewers).filter_map(last).collect()
    }

    /// What their process logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until one of them has said so.
    pub fn wait_for_log(&self, words: &str) -> anyhow::Result<()> {
        self.process.wait_for_log(words)
    }

    /// Waits until it is so for each of them.
    pub fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let lines = self.lines();
            let so = lines.iter().filter(|line| wanted(line)).count();
            if so == self.viewers as usize {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < until,
                "{what}: of {} viewers {so} alone; one of the others: {:?}",
                self.viewers,
                lines.iter().find(|line| !wanted(line))
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until each has had so many bytes more.
    pub fn watches_on(&self, bytes: u64) -> anyhow::Result<()> {
        let had = |line: &Value| line["bytes_down"].as_u64().unwrap_or(0);
        let most = self.lines().iter().map(had).max().unwrap_or(0);
        self.until("media goes on", |line| had(line) > most + bytes)
    }

    /// How they fare.
    pub fn mood(&self) -> Mood {
        let lines = self.lines();
        let sum = |key: &str| lines.iter().filter_map(|line| line[key].as_u64()).sum();
        Mood {
            playing: lines.iter().filter(|line| line["playing"] == true).count(),
            stalls: sum("stalls"),
            stalled_ms: sum("stalled_ms"),
        }
    }
}
