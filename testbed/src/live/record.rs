//! What came of a run, as it is kept in a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{MOST_DELAY, PAPERS_VIEWERS, Plan, Unlike};

/// One viewer's life, as far as it was counted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Life {
    /// The how manieth.
    pub number: usize,
    /// Whether it was made to fail.
    pub failed: bool,
    /// Whether it ever played.
    pub played: bool,
    /// Its stalls.
    pub stalls: u64,
    /// Their length.
    pub stalled_ms: u64,
    /// From the start of its process to the first picture; none for those that were there before anything failed.
    pub joined_ms: Option<u64>,
    /// What it held in the end.
    pub hold_ms: u64,
    /// How deep it was in the end.
    pub depth: u64,
}

/// A run's results.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The plan, by its names.
    pub system: String,
    /// See above.
    pub distribution: String,
    /// See above.
    pub fault: String,
    /// Failures a second.
    pub rate: f64,
    /// How long it ran, seconds.
    pub seconds: u64,
    /// Who was drawn.
    pub seed: u64,
    /// Viewers at a time.
    #[serde(default = "papers_viewers")]
    pub viewers: usize,
    /// What was not as in the paper's experiment.
    #[serde(default, skip_serializing_if = "Unlike::is_none")]
    pub unlike: Unlike,
    /// Viewers' lives.
    pub lives: usize,
    /// Stalls, over every life.
    pub stalls: u64,
    /// Total stalled time.
    pub stalled_s: f64,
    /// The longest that one life was stalled in all.
    pub most_stalled_ms: u64,
    /// From a process's start to its first picture, of those that came while others failed.
    pub rejoin_p50_ms: Option<u64>,
    /// The same, the slowest.
    pub rejoin_max_ms: Option<u64>,
    /// Capture to picture, over all viewers and looks.
    pub latency_p50_ms: Option<u64>,
    /// The same of those who were deepest at the time, 99 of 100.
    pub deepest_latency_p99_ms: Option<u64>,
    /// How deep it ever was.
    pub deepest: u64,
    /// What was held at most.
    pub hold_max_ms: u64,
    /// Share of viewers that were fed by viewers, mean over time.
    pub below_viewers: f64,
    /// How late this machine woke a program that had nothing else to do, 99 of 100 times.
    pub delay_p99_ms: f64,
    /// Whether the machine was quick enough for this to mean anything.
    pub valid: bool,
    /// Life for life; none in a list of runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<Life>,
}

const fn papers_viewers() -> usize {
    PAPERS_VIEWERS
}

/// What was seen of a crowd while it watched.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// Capture to picture, milliseconds, of everybody.
    pub(super) latencies: Vec<u64>,
    /// The same of those who were deepest at the time.
    pub(super) deepest_latencies: Vec<u64>,
    pub(super) deepest: u64,
    /// Share of viewers fed by viewers.
    pub(super) below_viewers: Vec<f64>,
}

impl Record {
    /// Of a run of which nothing is known.
    pub(crate) fn empty(plan: &Plan) -> Self {
        Self::new(plan, Vec::new(), Looks::default(), 0.0)
    }

    pub(super) fn new(plan: &Plan, each: Vec<Life>, looks: Looks, delay_p99_ms: f64) -> Self {
        let rejoins: Vec<u64> = each.iter().filter_map(|life| life.joined_ms).collect();
        let below = &looks.below_viewers;
        Self {
            system: plan.system.name().into(),
            distribution: plan.distribution.name().into(),
            fault: plan.fault.name().into(),
            rate: plan.rate,
            seconds: plan.seconds,
            seed: plan.seed,
            viewers: plan.viewers,
            unlike: plan.unlike,
            lives: each.len(),
            stalls: each.iter().map(|life| life.stalls).sum(),
            stalled_s: each.iter().map(|life| life.stalled_ms).sum::<u64>() as f64 / 1000.0,
            most_stalled_ms: each.iter().map(|life| life.stalled_ms).max().unwrap_or(0),
            rejoin_max_ms: rejoins.iter().max().copied(),
            rejoin_p50_ms: percentile(rejoins, 0.5),
            latency_p50_ms: percentile(looks.latencies, 0.5),
            deepest_latency_p99_ms: percentile(looks.deepest_latencies, 0.99),
            deepest: looks.deepest,
            hold_max_ms: each.iter().map(|life| life.hold_ms).max().unwrap_or(0),
            // The sum of nothing is -0.
            below_viewers: below.iter().sum::<f64>() / below.len().max(1) as f64 + 0.0,
            delay_p99_ms,
            valid: delay_p99_ms <= MOST_DELAY.as_secs_f64() * 1000.0,
            each,
        }
    }

    /// All of it in one line, but for the single lives.
    pub fn line(&self) -> String {
        let show = |n: Option<u64>| n.map_or_else(|| "-".into(), |n: u64| n.to_string());
        format!(
            "system={}{} distribution={} fault={} rate={} seed={} lives={} stalls={} stalled_s={:.2} most_ms={} rejoin_p50_ms={} rejoin_max_ms={} latency_p50_ms={} deepest_latency_p99_ms={} depth={} hold_max_ms={} below_viewers={:.2} delay_p99_ms={:.1}{}",
            self.system,
            self.unlike.words(),
            self.distribution,
            self.fault,
            self.rate,
            self.seed,
            self.lives,
            self.stalls,
            self.stalled_s,
            self.most_stalled_ms,
            show(self.rejoin_p50_ms),
            show(self.rejoin_max_ms),
            show(self.latency_p50_ms),
            show(self.deepest_latency_p99_ms),
            self.deepest,
            self.hold_max_ms,
            self.below_viewers,
            self.delay_p99_ms,
            if self.valid {
                ""
            } else {
                " INVALID: this machine was too slow"
            }
        )
    }
}

/// The value that a share of all is not above.
pub(super) fn percentile(mut values: Vec<u64>, share: f64) -> Option<u64> {
    values.sort_unstable();
    let at = (values.len() as f64 * share).ceil() as usize;
    values.get(at.saturating_sub(1)).copied()
}

/// Watches how late this machine wakes a thread that only sleeps.
pub(super) struct Delays {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u64>>,
}

/// It sleeps for so long at a time.
const NAP: Duration = Duration::from_millis(10);

impl Delays {
    pub(super) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut delays = Vec::new();
            while !told.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::thread::sleep(NAP);
                delays.push((began.elapsed().saturating_sub(NAP)).as_micros() as u64);
            }
            delays
        });
        Self { stop, thread }
    }

    /// The delay, milliseconds, that 99 of 100 were not above.
    pub(super) fn end(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        let delays = self.thread.join().unwrap_or_default();
        percentile(delays, 0.99).unwrap_or(0) as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn the_median_of_three_is_the_second_and_of_none_nothing() {
        assert_eq!(percentile(vec![9, 1, 5], 0.5), Some(5));
        assert_eq!(percentile((1..=100).collect(), 0.99), Some(99));
        assert_eq!(percentile(Vec::new(), 0.5), None);
    }
}
