//! When the picture at the play head was captured.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::time::{ClockMap, Time};

/// Pictures remembered at most: ten seconds at 60 a second, behind and ahead of the play head.
const MOST: usize = 600;

/// Media time and capture time of the last pictures, and how to compare the latter with our clock.
#[derive(Debug, Default)]
pub(super) struct Captured {
    at: BTreeMap<u64, Time>,
    own: Option<ClockMap>,
    broadcaster: Option<ClockMap>,
}

impl Captured {
    pub(super) fn remember(&mut self, media_us: u64, capture: Time) {
        self.at.insert(media_us, capture);
        if self.at.len() > MOST {
            self.at.pop_first();
        }
    }

    pub(super) const fn set_clocks(
        &mut self,
        own: Option<ClockMap>,
        broadcaster: Option<ClockMap>,
    ) {
        self.own = own;
        self.broadcaster = broadcaster;
    }

    /// Forgets what was captured in an earlier run of the broadcaster: its clock has started again.
    pub(super) fn forget(&mut self) {
        self.at.clear();
    }

    /// The live latency of a play head at `position_us`: now minus the moment that is shown, both on the
    /// supervisor's clock. None before both clocks are known.
    pub(super) fn latency(&self, now: Time, position_us: u64) -> Option<Duration> {
        let (&media_us, &capture) = self.at.range(..=position_us).next_back()?;
        let shown = capture + Duration::from_micros(position_us - media_us);
        let captured = self.broadcaster?.to_supervisor_us(shown);
        let micros = self.own?.to_supervisor_us(now).saturating_sub(captured);
        // Clocks agree to within half a round trip only; less than nothing is nothing.
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_capture_to_picture_on_the_supervisors_clock() {
        let mut captured = Captured::default();
        captured.remember(5_000_000, Time::from_millis(100));
        assert_eq!(
            captured.latency(Time::from_millis(9_000), 5_010_000),
            None,
            "before the clocks are known"
        );
        let map = |offset_us| {
            Some(ClockMap {
                offset_us,
                uncertainty_us: 0,
            })
        };
        captured.set_clocks(map(1_000_000), map(9_500_000));
        // Captured at 9.6 s and shown 10 ms into the picture, at 10 s of the supervisor's clock.
        assert_eq!(
            captured.latency(Time::from_millis(9_000), 5_010_000),
            Some(Duration::from_millis(390))
        );
    }

    #[test]
    fn the_table_is_bounded() {
        let mut captured = Captured::default();
        (0..10_000).for_each(|i| captured.remember(i, Time::ZERO));
        assert_eq!(captured.at.len(), MOST);
    }
}
