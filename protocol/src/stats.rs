//! What is measured of a viewer, with one definition for the browser, the headless receiver and the monitor.

use core::time::Duration;

use crate::time::Time;

/// A play head that stands still for longer than this, although it should move, is a stall. Measured: a seek of
/// our own takes 8–40 ms, and a picture that stands for 100 ms is three frames at 30 a second.
pub const STALL_AFTER: Duration = Duration::from_millis(100);
/// Looks further apart than this prove nothing: the machine slept, or the tab was frozen. Guess: a hidden
/// tab's slowest timer fires once a second.
const BLIND_AFTER: Duration = Duration::from_secs(2);

/// Counts how often, and for how long, a viewer's picture stood still (the paper's *Stalled* and *Total Stalled
/// Time*, §IV.B).
///
/// A *stall* begins when the play head stops although the viewer wants it to play, in practice because it has
/// reached the end of what is buffered, and ends when it moves again; it counts once it has lasted longer than
/// [`STALL_AFTER`]. A jump over media that never came is one too, however short. The wait for the first picture,
/// the viewer's own pause and the browser's refusal to play on its own are none. Times are the viewer's.
#[derive(Debug, Clone, Default)]
pub struct StallMeter {
    state: State,
    looked: Time,
    count: u32,
    total: Duration,
    longest: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Not to be playing: before the first picture, or paused.
    #[default]
    Idle,
    /// Moved last at `since`, to `at`.
    Moving { since: Time, at: u64 },
    /// Has stood at `at` since `since`.
    Stalled { since: Time, at: u64 },
}

impl StallMeter {
    /// Takes a look at the play head, at `position_us` of media time. Gives true when a stall has just become one.
    pub fn look(&mut self, now: Time, position_us: u64, should_play: bool) -> bool {
        let blind = now.since(self.looked) > BLIND_AFTER;
        self.looked = now;
        let before = self.state;
        self.state = match before {
            _ if !should_play => State::Idle,
            State::Idle => State::Moving {
                since: now,
                at: position_us,
            },
            State::Moving { since, at } if at == position_us && !blind => {
                State::Moving { since, at }
            }
            State::Moving { .. } => State::Moving {
                since: now,
                at: position_us,
            },
            State::Stalled { at, .. } if at != position_us => State::Moving {
                since: now,
                at: position_us,
            },
            stalled @ State::Stalled { .. } => stalled,
        };
        match (before, self.state) {
            (State::Stalled { .. }, State::Stalled { .. }) => {}
            (State::Stalled { since, .. }, _) => self.close(now.since(since)),
            (_, State::Moving { since, at }) if now.since(since) > STALL_AFTER => {
                self.open(since, at);
                return true;
            }
            _ => {}
        }
        false
    }

    /// The play head jumps over media that never came, to `position_us`: a stall, if it is not one already.
    pub fn jump(&mut self, now: Time, position_us: u64) -> bool {
        match self.state {
            State::Idle => false,
            State::Moving { .. } => {
                self.open(now, position_us);
                true
            }
            State::Stalled { since, .. } => {
                self.state = State::Stalled {
                    since,
                    at: position_us,
                };
                false
            }
        }
    }

    /// The play head is put to `position_us`, to be nearer to live: neither movement nor a stall.
    pub const fn moved_to(&mut self, position_us: u64) {
        match &mut self.state {
            State::Idle => {}
            State::Moving { at, .. } | State::Stalled { at, .. } => *at = position_us,
        }
    }

    const fn open(&mut self, since: Time, at: u64) {
        self.count += 1;
        self.state = State::Stalled { since, at };
    }

    fn close(&mut self, lasted: Duration) {
        self.total += lasted;
        self.longest = self.longest.max(lasted);
    }

    /// Stalls so far, one that still lasts included.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whether one lasts now.
    pub const fn is_stalled(&self) -> bool {
        matches!(self.state, State::Stalled { .. })
    }

    /// Total length, up to now.
    pub fn total(&self, now: Time) -> Duration {
        self.total + self.running(now)
    }

    /// Length of the longest, up to now.
    pub fn longest(&self, now: Time) -> Duration {
        self.longest.max(self.running(now))
    }

    const fn running(&self, now: Time) -> Duration {
        match self.state {
            State::Stalled { since, .. } => now.since(since),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A meter that saw the play head at these milliseconds of media, one look every 50 ms.
    fn looks(meter: &mut StallMeter, from_ms: u64, positions_ms: &[u64]) -> Time {
        let mut now = Time::from_millis(from_ms);
        for &position in positions_ms {
            meter.look(now, position * 1000, true);
            now += Duration::from_millis(50);
        }
        now - Duration::from_millis(50)
    }

    #[test]
    fn a_play_head_that_stood_for_400_ms_has_stalled_once_for_400_ms() {
        let mut meter = StallMeter::default();
        let now = looks(
            &mut meter,
            0,
            &[0, 50, 100, 100, 100, 100, 100, 100, 100, 100, 150, 200],
        );
        assert_eq!(
            (meter.count(), meter.total(now)),
            (1, Duration::from_millis(400))
        );
        assert!(!meter.is_stalled());
    }

    #[test]
    fn a_play_head_that_stood_for_100_ms_has_not_stalled() {
        let mut meter = StallMeter::default();
        let now = looks(&mut meter, 0, &[0, 50, 50, 50, 100]);
        assert_eq!((meter.count(), meter.total(now)), (0, Duration::ZERO));
    }

    #[test]
    fn a_stall_that_still_lasts_counts_up_to_now() {
        let mut meter = StallMeter::default();
        let now = looks(&mut meter, 0, &[7, 7, 7, 7, 7]);
        assert_eq!(
            (meter.count(), meter.total(now), meter.longest(now)),
            (1, now.since(Time::ZERO), now.since(Time::ZERO))
        );
        assert!(meter.is_stalled());
    }

    #[test]
    fn a_pause_is_no_stall_and_ends_one() {
        let mut meter = StallMeter::default();
        looks(&mut meter, 0, &[0, 0, 0, 0]);
        for ms in (200..2_000).step_by(50) {
            meter.look(Time::from_millis(ms), 0, false);
        }
        assert_eq!(
            (meter.count(), meter.total(Time::from_millis(2_000))),
            (1, Duration::from_millis(200))
        );
    }

    #[test]
    fn a_jump_over_a_hole_is_one_stall_however_short() {
        let mut meter = StallMeter::default();
        looks(&mut meter, 0, &[0, 50]);
        assert!(meter.jump(Time::from_millis(60), 500_000));
        looks(&mut meter, 100, &[550, 600]);
        assert_eq!(
            (meter.count(), meter.total(Time::from_millis(150))),
            (1, Duration::from_millis(40))
        );
    }

    #[test]
    fn a_jump_out_of_a_stall_is_not_a_second_one() {
        let mut meter = StallMeter::default();
        looks(&mut meter, 0, &[0, 0, 0, 0]);
        assert!(!meter.jump(Time::from_millis(160), 500_000));
        looks(&mut meter, 200, &[500, 550]);
        assert_eq!(meter.count(), 1);
    }

    #[test]
    fn a_machine_that_slept_for_an_hour_has_not_stalled_for_an_hour() {
        let mut meter = StallMeter::default();
        looks(&mut meter, 0, &[0, 50]);
        looks(&mut meter, 3_600_000, &[50, 100]);
        assert_eq!(meter.count(), 0);
    }
}
