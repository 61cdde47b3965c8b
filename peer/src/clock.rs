//! The peer's clock: the kernel's monotonic one, read here and nowhere in `protocol`.

use std::time::Instant;

use nix::time::{ClockId, clock_gettime};
use protocol::time::Time;

/// CLOCK_MONOTONIC: the clock of V4L2's and ALSA's time stamps, the same for all processes of a board, and so
/// a time line that goes on when a service starts again.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    at_origin: Time,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Reads the kernel's clock once; later readings are differences.
    pub fn new() -> Self {
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Time::ZERO, |t| {
            Time::from_micros(
                t.tv_sec().unsigned_abs() * 1_000_000 + t.tv_nsec().unsigned_abs() / 1_000,
            )
        });
        Self {
            origin: Instant::now(),
            at_origin: monotonic,
        }
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.at_origin + self.origin.elapsed()
    }

    /// `time` as tokio's timers take it.
    pub(crate) fn instant(&self, time: Time) -> tokio::time::Instant {
        // A day is as good as never, and an Instant can hold it.
        let ahead = time
            .since(self.at_origin)
            .min(self.origin.elapsed() + std::time::Duration::from_secs(86_400));
        tokio::time::Instant::from_std(self.origin + ahead)
    }
}
