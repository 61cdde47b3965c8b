//! The bitrate that a stream's children can take, as far as what waits for them tells.
//!
//! One slow child costs itself alone (it skips). Where media waits for most of them it is our own uplink that is too slow
//! for this stream: then all get less, rather than all skipping. Decides only: time and what was seen are arguments.

use std::time::Duration;

use protocol::time::Time;

/// How often to look. Guess: well below [`SETTLES`].
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a change nothing more is taken away for so long: what waits by then was made before. As long as a child may be
/// behind before it skips, and a little.
const SETTLES: Duration = Duration::from_secs(3);
/// What is left of the rate, and what is given back, in fourths. Guesses: seen, and not a collapse.
const DOWN: (u32, u32) = (3, 4);
const UP: (u32, u32) = (5, 4);
/// More is given when nothing has waited for anybody for so long. Slower than to take away: what is too much is seen by all.
const CLEAR_FOR: Duration = Duration::from_secs(15);
/// What was given and had to be taken back within this time is tried half as often. Guess.
const TOO_EARLY: Duration = Duration::from_secs(30);
/// But at least this often. Guess.
const CLEAR_FOR_AT_MOST: Duration = Duration::from_secs(240);

/// The machine.
#[derive(Debug)]
pub(crate) struct Rate {
    /// Bounds, kbit/s.
    least: u32,
    most: u32,
    kbps: u32,
    /// When something was last taken away.
    taken: Option<Time>,
    /// When something was last given.
    given: Option<Time>,
    /// Since when nothing waits for anybody.
    clear: Option<Time>,
    /// How long that has to be so.
    clear_for: Duration,
}

impl Rate {
    /// Begins with `most`, and goes no lower than `least`, kbit/s.
    pub(crate) fn new(least: u32, most: u32) -> Self {
        Self {
            least: least.min(most),
            most,
            kbps: most,
            taken: None,
            given: None,
            clear: None,
            clear_for: CLEAR_FOR,
        }
    }

    /// Of so many children media waits for so many, more than a burst. Gives the rate from now on if it changes, kbit/s.
    pub(crate) fn look(&mut self, now: Time, children: u16, behind: u16) -> Option<u32> {
        if behind > 0 || children == 0 {
            self.clear = None; // of nobody nothing is known
        }
        let before = self.kbps;
        if u32::from(behind) * 2 > u32::from(children) {
            let settles = |at: &Time| now.since(*at) < SETTLES;
            if !self.taken.as_ref().is_some_and(settles) {
                self.less(now);
            }
        } else if behind == 0 && children > 0 {
            let clear = *self.clear.get_or_insert(now);
            if now.since(clear) >= self.clear_for && self.kbps < self.most {
                self.kbps = (self.kbps * UP.0 / UP.1).max(self.kbps + 1).min(self.most);
                (self.given, self.clear) = (Some(now), None);
            }
        }
        (self.kbps != before).then_some(self.kbps)
    }

    fn less(&mut self, now: Time) {
        let early = self.given.take().map(|at| now.since(at) < TOO_EARLY);
        match early {
            Some(true) => self.clear_for = (self.clear_for * 2).min(CLEAR_FOR_AT_MOST),
            Some(false) => self.clear_for = CLEAR_FOR,
            None => {}
        }
        self.kbps = (self.kbps * DOWN.0 / DOWN.1).max(self.least);
        self.taken = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks for so many seconds at an uplink that carries `carries` kbit/s to each of three children.
    fn run(rate: &mut Rate, from_s: u64, seconds: u64, carries: u32) -> Vec<u32> {
        let mut changes = Vec::new();
        for half in 0..2 * seconds {
            let now = Time::from_millis(from_s * 1_000 + half * 500);
            let behind = if rate.kbps > carries { 3 } else { 0 };
            changes.extend(rate.look(now, 3, behind));
        }
        changes
    }

    #[test]
    fn an_uplink_that_carries_it_gets_all_of_it_for_good() {
        assert_eq!(run(&mut Rate::new(250, 1_000), 0, 3_600, 1_000), [0_u32; 0]);
    }

    #[test]
    fn what_the_uplink_does_not_carry_is_taken_away_step_by_step() {
        let mut rate = Rate::new(250, 1_000);
        assert_eq!(run(&mut rate, 0, 10, 600), [750, 562]);
    }

    #[test]
    fn no_more_is_taken_away_than_the_configuration_allows() {
        let mut rate = Rate::new(400, 1_000);
        assert_eq!(run(&mut rate, 0, 60, 10), [750, 562, 421, 400]);
        let mut fixed = Rate::new(2_000, 1_000);
        assert_eq!(run(&mut fixed, 0, 60, 10), [0_u32; 0]);
    }

    #[test]
    fn all_of_it_comes_back_when_there_is_room_again() {
        let mut rate = Rate::new(250, 1_000);
        run(&mut rate, 0, 10, 600);
        assert_eq!(run(&mut rate, 10, 120, 2_000), [702, 877, 1_000]);
    }

    #[test]
    fn an_uplink_that_stays_slow_is_tried_ever_less_often() {
        let mut rate = Rate::new(250, 1_000);
        let hour = |rate: &mut Rate, n: u64| run(rate, n * 3_600, 3_600, 700).len();
        assert!(hour(&mut rate, 0) < 60);
        assert!(hour(&mut rate, 1) <= 2 * 15);
    }

    #[test]
    fn one_slow_child_of_three_costs_nobody_else_anything() {
        let mut rate = Rate::new(250, 1_000);
        let looks = (0..1_000).map(|n| rate.look(Time::from_millis(n * 500), 3, 1));
        assert_eq!(looks.flatten().count(), 0);
    }

    #[test]
    fn of_nobody_nothing_is_known() {
        let mut rate = Rate::new(250, 1_000);
        run(&mut rate, 0, 10, 600);
        let looks = (20..1_000).map(|n| rate.look(Time::from_millis(n * 500), 0, 0));
        assert_eq!(looks.flatten().count(), 0);
    }
}
