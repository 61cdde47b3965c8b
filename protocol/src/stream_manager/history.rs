//! The last quarter of an hour of a stream, for whoever opens the monitor and wonders what was before.
//!
//! A few additions for each report that comes anyway, and one moment noted in five seconds; nothing is done per peer, and
//! nothing is done when no reports come.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use super::StreamManager;
use super::totals::Totals;
use crate::id::StreamId;
use crate::signal::{Component, Report};
use crate::time::Time;

/// Length of a moment: members report each 2 s, so that each is in it twice or so.
pub const MOMENT: Duration = Duration::from_secs(5);
/// Moments kept: a quarter of an hour. 12 KB a stream.
pub const MOMENTS_KEPT: usize = 180;

/// What was counted in [`MOMENT`], or longer if no report came for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Its end, microseconds since 1970.
    pub at_us: i64,
    /// Receivers in the stream then.
    pub viewers: u32,
    /// Median of the live latencies that they reported, milliseconds; right to about 6 %. None if nobody did.
    pub p50_ms: Option<u32>,
    /// What 99 of 100 were not above, likewise.
    pub p99_ms: Option<u32>,
    /// Viewers' stalls.
    pub stalls: u64,
    /// Members that were gone without a word.
    pub disconnections: u64,
    /// Takeovers by peers themselves.
    pub takeovers: u64,
    /// Media sent by the broadcaster, kbit/s.
    pub broadcaster_kbps: u64,
    /// The same by relays.
    pub relays_kbps: u64,
    /// The same by viewers.
    pub viewers_kbps: u64,
}

/// A stream's moments, and the one that is not over.
#[derive(Debug)]
pub(super) struct History {
    moments: VecDeque<Moment>,
    since: Time,
    latencies: Latencies,
    /// Bytes sent by broadcaster, relays, viewers.
    bytes: [u64; 3],
    /// Stalls, disconnections and takeovers of the stream when it began.
    before: [u64; 3],
}

impl History {
    pub(super) fn new(now: Time) -> Self {
        Self {
            moments: VecDeque::new(),
            since: now,
            latencies: Latencies::default(),
            bytes: [0; 3],
            before: [0; 3],
        }
    }

    /// Ends the moment if it is time, before a report of the next one is taken.
    pub(super) fn pass(&mut self, (now, at_us): (Time, i64), viewers: u32, totals: &Totals) {
        let length = now.since(self.since);
        if length < MOMENT {
            return;
        }
        let counted = [totals.stalls, totals.disconnections, totals.takeovers];
        let [stalls, disconnections, takeovers] =
            std::array::from_fn(|i| counted[i].saturating_sub(self.before[i]));
        let ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        // Bits in a millisecond are kbit/s.
        let [broadcaster_kbps, relays_kbps, viewers_kbps] =
            self.bytes.map(|bytes| bytes.saturating_mul(8) / ms.max(1));
        let moment = Moment {
            at_us,
            viewers,
            p50_ms: self.latencies.percentile(50),
            p99_ms: self.latencies.percentile(99),
            stalls,
            disconnections,
            takeovers,
            broadcaster_kbps,
            relays_kbps,
            viewers_kbps,
        };
        let moments = std::mem::take(&mut self.moments);
        *self = Self {
            moments,
            before: counted,
            ..Self::new(now)
        };
        if self.moments.len() >= MOMENTS_KEPT {
            self.moments.pop_front();
        }
        self.moments.push_back(moment);
    }

    /// Takes a member's report in; `before` is its last one. The first says what it sent before anybody counted.
    pub(super) fn take(&mut self, component: Component, before: Option<&Report>, now: &Report) {
        let sent = before.map_or(0, |before| now.bytes_up.saturating_sub(before.bytes_up));
        let of = match component {
            Component::Broadcaster => 0,
            Component::Relay => 1,
            Component::Receiver => 2,
        };
        self.bytes[of] = self.bytes[of].saturating_add(sent);
        if let Some(latency) = now.latency_ms.filter(|_| component == Component::Receiver) {
            self.latencies.note(latency);
        }
    }
}

/// Classes in each doubling: a class is an eighth of its lower bound wide.
const IN_AN_OCTAVE: usize = 8;
/// Latencies below this are not told apart, milliseconds.
const LEAST_OCTAVE: u32 = 4;
/// From 16 ms on to 131 s: a player is nowhere near that far behind.
const OCTAVES: usize = 13;

/// How often which latency was reported.
#[derive(Debug)]
struct Latencies {
    counts: [u32; OCTAVES * IN_AN_OCTAVE],
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: [0; OCTAVES * IN_AN_OCTAVE],
        }
    }
}

impl Latencies {
    fn note(&mut self, ms: u32) {
        let octave = ms.max(1 << LEAST_OCTAVE).ilog2();
        let within = (ms.max(1 << LEAST_OCTAVE) >> (octave - 3)) as usize % IN_AN_OCTAVE;
        let class = (octave - LEAST_OCTAVE) as usize * IN_AN_OCTAVE + within;
        let class = class.min(self.counts.len() - 1);
        self.counts[class] = self.counts[class].saturating_add(1);
    }

    /// The middle of the class in which the latency is that so many in a hundred were not above.
    fn percentile(&self, hundredths: u64) -> Option<u32> {
        let all: u64 = self.counts.iter().map(|&count| u64::from(count)).sum();
        let wanted = (all * hundredths).div_ceil(100).max(1);
        let mut passed = 0;
        let class = self.counts.iter().position(|&count| {
            passed += u64::from(count);
            passed >= wanted
        })?;
        let width = 1 << ((class / IN_AN_OCTAVE) as u32 + LEAST_OCTAVE - 3);
        let low = (IN_AN_OCTAVE + class % IN_AN_OCTAVE) as u32 * width;
        Some(low + width / 2)
    }
}

impl StreamManager {
    /// The stream's last minutes, the oldest moment first.
    pub fn view_history(&self, stream: StreamId) -> Option<Vec<Moment>> {
        let known = self.streams.get(&stream)?;
        Some(known.history.moments.iter().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn report(latency_ms: u32, bytes_up: u64) -> Report {
        Report {
            latency_ms: Some(latency_ms),
            bytes_up,
            ..Report::default()
        }
    }

    fn pass(history: &mut History, now: Time, totals: &Totals) {
        let at_us = i64::try_from(now.as_micros()).expect("a small number");
        history.pass((now, at_us), 7, totals);
    }

    #[test]
    fn a_percentile_is_right_to_a_sixteenth() {
        for ms in [16, 17, 100, 299, 350, 5_000, 60_000] {
            let mut latencies = Latencies::default();
            latencies.note(ms);
            let found = latencies.percentile(50).expect("one was noted");
            assert!(found.abs_diff(ms) * 16 <= ms, "{ms} was found as {found}");
        }
        assert_eq!(Latencies::default().percentile(50), None);
    }

    #[test]
    fn the_99th_of_a_hundred_is_not_the_worst_and_nothing_is_out_of_range() {
        let mut latencies = Latencies::default();
        for _ in 0..99 {
            latencies.note(300);
        }
        latencies.note(u32::MAX);
        let near = |ms: u32| ms.abs_diff(300) < 20;
        assert!(latencies.percentile(50).is_some_and(near));
        assert!(latencies.percentile(99).is_some_and(near));
        assert!(latencies.percentile(100).is_some_and(|ms| ms > 100_000));
        latencies.note(0);
    }

    #[test]
    fn a_moment_holds_what_was_counted_in_it_alone() {
        let (mut history, mut totals) = (History::new(Time::ZERO), Totals::default());
        let (first, second) = (report(350, 1_000_000), report(350, 1_125_000));
        history.take(Component::Receiver, None, &first);
        history.take(Component::Receiver, Some(&first), &second);
        totals.stalls = 3;
        pass(&mut history, Time::ZERO + 4 * SECOND, &totals);
        assert_eq!(history.moments.len(), 0);
        pass(&mut history, Time::ZERO + 5 * SECOND, &totals);
        totals.stalls = 4;
        pass(&mut history, Time::ZERO + 10 * SECOND, &totals);

        let [before, after] = [history.moments[0], history.moments[1]];
        // What it had sent before the first report is not this moment's: 125 kB in 5 s.
        assert_eq!((before.viewers_kbps, before.relays_kbps), (200, 0));
        assert_eq!(
            (before.stalls, before.viewers, before.at_us),
            (3, 7, 5_000_000)
        );
        assert!(before.p50_ms.is_some());
        assert_eq!(
            (after.stalls, after.viewers_kbps, after.p50_ms),
            (1, 0, None)
        );
    }

    #[test]
    fn a_quarter_of_an_hour_is_kept_and_no_more() {
        let (mut history, totals) = (History::new(Time::ZERO), Totals::default());
        for n in 1..1_000 {
            pass(&mut history, Time::ZERO + MOMENT * n, &totals);
        }
        assert_eq!(history.moments.len(), MOMENTS_KEPT);
        let kept = history.moments[MOMENTS_KEPT - 1].at_us - history.moments[0].at_us;
        assert_eq!(kept, 179 * 5_000_000);
    }
}
