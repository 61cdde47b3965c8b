//! How long a connection counts as young, and so gets its timers cut short.
//!
//! Measured: what an event queues inside the library (ClientHello, SCTP INIT, channel OPEN) is
//! written only at its next wake-up, and the idle timer is 200 ms. With no sleep longer than 5 ms
//! a connection is set up in 24 ms instead of 606. But only what came in, or was asked for, queues anything: while nothing
//! does, sleeps grow longer. Measured with 80 viewers on two cores, of which five a second are replaced: with 200 wake-ups a
//! second throughout, connections that wait for each other take the time from those that they wait for.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longest sleep of a young connection to which something has just happened.
const NAP: Duration = Duration::from_millis(5);
/// So many naps are of one length; those that follow are twice as long. What one event queues may queue something else in
/// turn.
const NAPS: u32 = 2;
/// Naps grow no more after this many doublings; the library's own timer is shorter.
const DOUBLINGS: u32 = 10;
/// Youth ends by itself after this long without progress, so that a connection that nobody answers
/// does not wake 200 times a second until it is given up. Guess: several slow round trips.
const LIMIT: Duration = Duration::from_secs(5);

/// Whether a connection is young.
#[derive(Debug)]
pub(super) struct Youth {
    born: Instant,
    /// Milliseconds after `born`.
    ends: AtomicU64,
    /// Naps since something happened.
    naps: AtomicU32,
}

impl Youth {
    pub(super) fn new() -> Self {
        let youth = Self {
            born: Instant::now(),
            ends: AtomicU64::new(0),
            naps: AtomicU32::new(0),
        };
        youth.renew();
        youth
    }

    /// There was progress (an answer came): young again.
    pub(super) fn renew(&self) {
        self.ends
            .store(millis(self.born.elapsed() + LIMIT), Ordering::Relaxed);
        self.stir();
    }

    /// Something happened: a datagram came, or the owner asked for something.
    pub(super) fn stir(&self) {
        self.naps.store(0, Ordering::Relaxed);
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
            let naps = self.naps.fetch_add(1, Ordering::Relaxed);
            let longer = 1 << (naps / NAPS).min(DOUBLINGS);
            wanted.min(NAP.saturating_mul(longer))
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

    #[test]
    fn naps_grow_longer_until_something_happens() {
        let youth = Youth::new();
        let naps = || [0; 6].map(|_| youth.nap(Duration::from_millis(15)).as_millis());
        assert_eq!(naps(), [5, 5, 10, 10, 15, 15]);
        youth.stir();
        assert_eq!(naps(), [5, 5, 10, 10, 15, 15]);
    }
}
