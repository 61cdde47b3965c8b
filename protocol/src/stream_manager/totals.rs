//! What is counted of a stream as its members' reports come: a few additions each, whoever watches or not.

use serde::Serialize;

use super::happenings::What;
use crate::signal::{Component, Report};

/// Upper bounds of the latency classes, milliseconds; one more class is above them all. 300 ms is the hold a player
/// starts with; the rest about doubles.
pub const LATENCY_BOUNDS_MS: [u32; 9] = [100, 200, 300, 400, 500, 700, 1_000, 2_000, 5_000];

/// Counted since the stream was first registered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Peers that got a part in it.
    pub joins: u64,
    /// Those that gave it up.
    pub leaves: u64,
    /// Those that were gone without a word: the paper's disconnections.
    pub disconnections: u64,
    /// Takeovers by peers themselves.
    pub takeovers: u64,
    /// Moves by the supervisor.
    pub moves: u64,
    /// Viewers' stalls (the paper's *Stalled*).
    pub stalls: u64,
    /// Their length, milliseconds (the paper's *Total Stalled Time*).
    pub stalled_ms: u64,
    /// Media bytes sent by the broadcaster, as far as it was reported.
    pub bytes_by_broadcaster: u64,
    /// The same by relays.
    pub bytes_by_relays: u64,
    /// The same by viewers.
    pub bytes_by_viewers: u64,
    /// Reports of viewers by their live latency: up to each of [`LATENCY_BOUNDS_MS`], and above.
    pub latency_counts: [u64; LATENCY_BOUNDS_MS.len() + 1],
    /// The sum of what they reported, milliseconds.
    pub latency_sum_ms: u64,
}

impl Totals {
    pub(super) fn count(&mut self, what: What) {
        match what {
            What::Joined => self.joins += 1,
            What::Left | What::Evicted | What::InvitationRevoked => self.leaves += 1,
            What::Lost => self.disconnections += 1,
            What::TookOver { .. } => self.takeovers += 1,
            What::Moved { .. } => self.moves += 1,
            _ => {}
        }
    }

    /// Takes a member's report in; `before` is its last one. Gives the stalls there were in between.
    pub(super) fn take(
        &mut self,
        component: Component,
        before: Option<&Report>,
        now: &Report,
    ) -> u32 {
        let bytes = now
            .bytes_up
            .saturating_sub(before.map_or(0, |r| r.bytes_up));
        match component {
            Component::Broadcaster => self.bytes_by_broadcaster += bytes,
            Component::Relay => self.bytes_by_relays += bytes,
            Component::Receiver => self.bytes_by_viewers += bytes,
        }
        if component != Component::Receiver {
            return 0;
        }
        if let Some(latency) = now.latency_ms {
            let class = LATENCY_BOUNDS_MS.partition_point(|&bound| bound < latency);
            self.latency_counts[class] += 1;
            self.latency_sum_ms += u64::from(latency);
        }
        let stalls = now.stalls.saturating_sub(before.map_or(0, |r| r.stalls));
        let stalled = now
            .stalled_ms
            .saturating_sub(before.map_or(0, |r| r.stalled_ms));
        self.stalls += u64::from(stalls);
        self.stalled_ms += stalled;
        stalls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(stalls: u32, stalled_ms: u64, latency_ms: u32) -> Report {
        Report {
            stalls,
            stalled_ms,
            latency_ms: Some(latency_ms),
            bytes_up: u64::from(stalls) * 1_000,
            ..Report::default()
        }
    }

    #[test]
    fn what_a_viewer_reports_again_is_counted_once() {
        let mut totals = Totals::default();
        let (first, second) = (report(1, 300, 350), report(3, 900, 300));
        assert_eq!(totals.take(Component::Receiver, None, &first), 1);
        assert_eq!(totals.take(Component::Receiver, Some(&first), &second), 2);
        assert_eq!((totals.stalls, totals.stalled_ms), (3, 900));
        assert_eq!(totals.bytes_by_viewers, 3_000);
        assert_eq!((totals.latency_counts[2], totals.latency_counts[3]), (1, 1));
        assert_eq!(totals.latency_sum_ms, 650);
    }

    #[test]
    fn a_relay_has_no_picture_that_could_stand_still() {
        let mut totals = Totals::default();
        assert_eq!(totals.take(Component::Relay, None, &report(5, 500, 30)), 0);
        assert_eq!((totals.stalls, totals.latency_sum_ms), (0, 0));
        assert_eq!(totals.bytes_by_relays, 5_000);
    }
}
