//! The broadcaster's clock: every capture time is read from it, and nothing else is.

use std::time::Duration;

use protocol::time::Time;

/// The kernel's monotonic clock, which V4L2 and ALSA stamp what they capture with and the peer's links run
/// by. It goes on when the process starts again, so a stream's time line does too.
#[derive(Debug, Clone, Copy)]
pub struct Clock(peer::Clock);

impl Clock {
    /// The clock.
    pub fn start() -> Self {
        Self(peer::Clock::new())
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.0.now()
    }

    /// The clock's reading at a moment of the system's monotonic clock, as V4L2 and ALSA stamp what
    /// they capture.
    pub fn at_monotonic(&self, stamp: Duration) -> Time {
        Time::ZERO + stamp
    }

    /// Sleeps the calling thread until the clock reads `at`.
    pub fn sleep_until(&self, at: Time) {
        std::thread::sleep(at.since(self.now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drivers_stamp_reads_as_the_clock_did_then() {
        let clock = Clock::start();
        let before = clock.now();
        let stamp = Duration::from_micros(before.as_micros());
        assert_eq!(clock.at_monotonic(stamp), before);
        assert!(clock.now() >= before);
    }
}
