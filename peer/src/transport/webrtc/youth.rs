//! How long a connection counts as young, and so gets its timers cut short.
//!
//! Measured: what an event queues inside the library (ClientHello, SCTP INIT, channel OPEN) is
//! written only at its next wake-up, and the idle timer is 200 ms. With no sleep longer than 5 ms
//! a connection is set up in 24 ms instead of 606.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longest sleep of a young connection.
const NAP: Duration = Duration::from_millis(5);
/// Youth ends by itself after this long without progress, so that a connection that nobody answers
/// does not wake 200 times a second until it is given up. Guess: several slow round trips.
const LIMIT: Duration = Duration::from_secs(5);

/// Whether a connection is young.
#[derive(Debug)]
pub(super) struct Youth {
    born: Instant,
    /// Milliseconds after `born`.
    ends: AtomicU64,
}

impl Youth {
    pub(super) fn new() -> Self {
        let youth = Self {
            born: Instant::now(),
            ends: AtomicU64::new(0),
        };
        youth.renew();
        youth
    }

    /// There was progress (an answer came): young again.
    pub(super) fn renew(&self) {
        self.ends
            .store(millis(self.born.elapsed() + LIMIT), Ordering::Relaxed);
    }

    /// The connection is open, or being closed.
    pub(super) fn end(&self) {
        self.ends.store(0, Ordering::Relaxed);
    }

    /// How long to sleep instead of `wanted`.
    pub(super) fn nap(&self, wanted: Duration) -> Duration {
        if wanted <= NAP {
            return wanted; // the common case under load: spare the clock
        }
        let ends = self.ends.load(Ordering::Relaxed);
        if ends != 0 && millis(self.born.elapsed()) < ends {
            NAP
        } else {
            wanted
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_connection_naps_and_a_grown_one_sleeps() {
        let youth = Youth::new();
        let long = Duration::from_millis(200);
        assert_eq!(youth.nap(long), NAP);
        assert_eq!(
            youth.nap(Duration::from_millis(1)),
            Duration::from_millis(1)
        );
        youth.end();
        assert_eq!(youth.nap(long), long);
        youth.renew();
        assert_eq!(youth.nap(long), NAP);
    }
}
