//! Points in time, as every machine of this crate takes them: an argument, never a clock.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment on some peer's monotonic clock, in microseconds since an origin of that peer's choice.
///
/// Two peers' times can only be compared through a [`ClockMap`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);
    /// Later than any moment that comes: a deadline that is not set.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The moment `millis` milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1000)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, by: Duration) {
        *self = *self + by;
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// How one peer's clock maps to the supervisor's: `supervisor = own + offset`.
///
/// Boards have no real-time clock, so every peer keeps its monotonic one and learns the offset from
/// an exchange of time stamps; it is right to within `uncertainty`, half the best round trip seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClockMap {
    /// Supervisor's time minus own time, microseconds.
    pub offset_us: i64,
    /// The offset is wrong by at most this, microseconds.
    pub uncertainty_us: u32,
}

impl ClockMap {
    /// `own`, on the supervisor's clock, in microseconds.
    pub const fn to_supervisor_us(self, own: Time) -> i64 {
        (own.as_micros() as i64).saturating_add(self.offset_us)
    }

    /// What one exchange says: sent at `sent`, answered with the supervisor's `supervisor_us`,
    /// received at `received`. The reply is taken to have been written half-way.
    pub fn from_exchange(sent: Time, supervisor_us: i64, received: Time) -> Self {
        let half = received.since(sent).as_micros() as i64 / 2;
        let middle = (sent.as_micros() as i64).saturating_add(half);
        Self {
            offset_us: supervisor_us.saturating_sub(middle),
            uncertainty_us: u32::try_from(half).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_exchange_over_40_ms_is_right_to_within_20_ms() {
        let map =
            ClockMap::from_exchange(Time::from_millis(100), 1_000_000, Time::from_millis(140));
        assert_eq!(
            map,
            ClockMap {
                offset_us: 880_000,
                uncertainty_us: 20_000
            }
        );
        assert_eq!(map.to_supervisor_us(Time::from_millis(120)), 1_000_000);
    }

    #[test]
    fn time_between_two_moments_is_never_negative() {
        assert_eq!(
            Time::from_millis(1).since(Time::from_millis(2)),
            Duration::ZERO
        );
        assert_eq!(Time::ZERO - Duration::from_secs(1), Time::ZERO);
        assert_eq!(Time::NEVER + Duration::from_secs(1), Time::NEVER);
    }
}
