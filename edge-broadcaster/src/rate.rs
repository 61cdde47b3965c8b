//! The bitrate that a stream's children can take, as far as what waits for them tells.
//!
//! One slow child costs itself alone (it skips). Where media waits for most of them it is our own uplink that is too slow
//! for this stream: then all get less, rather than all skipping. Less than what went through, that is: an easy picture is
//! far below the rate its encoder is set to, and to lower that in steps would change nothing for long. Decides only: time
//! and what was seen are arguments.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::time::Time;

/// How often to look. Guess: well below [`SETTLES`].
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a change nothing more is taken away for so long: what waits by then was made before. As long as a child may be
/// behind before it skips, and a little.
const SETTLES: Duration = Duration::from_secs(3);
/// What went through is what went in this time: twice a group of pictures as configured by default, of which the key frame
/// is most.
const SENT_IN: Duration = Duration::from_millis(2_000);
/// What sound costs beside its rate, kbit/s: 50 packets a second with some 100 bytes of header, digest and container each.
const SOUND_BESIDES: u32 = 40;
/// What is left of what went through, and what is given back. Guesses: seen, and not a collapse; with a fourth of the uplink free
/// what waits is gone after twice as long as it took to come.
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
    /// What is sent beside the pictures, kbit/s.
    beside: u32,
    /// When how many bytes had been sent, the oldest first.
    sent: VecDeque<(Time, u64)>,
}

/// What is known of a stream's children.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// How many there are.
    pub(crate) children: u16,
    /// For how many of them media waits, more than a burst.
    pub(crate) behind: u16,
    /// Media bytes that were sent to them so far.
    pub(crate) sent: u64,
}

impl Rate {
    /// Begins with `most`, and goes no lower than `least`, kbit/s; `sound` is sent beside it, if any.
    pub(crate) fn new(least: u32, most: u32, sound: Option<u32>) -> Self {
        Self {
            beside: sound.map_or(0, |kbps| kbps + SOUND_BESIDES),
            sent: VecDeque::new(),
            least: least.min(most),
            most,
            kbps: most,
            taken: None,
            given: None,
            clear: None,
            clear_for: CLEAR_FOR,
        }
    }

    /// Gives the rate from now on if it changes, kbit/s.
    pub(crate) fn look(&mut self, now: Time, seen: Seen) -> Option<u32> {
        let through = self.through(now, seen);
        let Seen {
            children, behind, ..
        } = seen;
        if behind > 0 || children == 0 {
            self.clear = None; // of nobody nothing is known
        }
        let before = self.kbps;
        if u32::from(behind) * 2 > u32::from(children) {
            let settles = |at: &Time| now.since(*at) < SETTLES;
            if !self.taken.as_ref().is_some_and(settles) {
                self.less(now, through);
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

    /// What went through to each child of late, pictures alone, kbit/s; none while that cannot be said.
    fn through(&mut self, now: Time, seen: Seen) -> Option<u32> {
        self.sent.push_back((now, seen.sent));
        while self
            .sent
            .get(1)
            .is_some_and(|(at, _)| now.since(*at) >= SENT_IN)
        {
            self.sent.pop_front();
        }
        let (at, before) = *self.sent.front()?;
        let took = now.since(at);
        if took < SENT_IN || seen.children == 0 {
            return None;
        }
        let bits = seen.sent.saturating_sub(before) * 8 / u64::from(seen.children);
        let kbps = bits / u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let kbps = u32::try_from(kbps).unwrap_or(u32::MAX);
        Some(kbps.saturating_sub(self.beside))
    }

    fn less(&mut self, now: Time, through: Option<u32>) {
        let early = self.given.take().map(|at| now.since(at) < TOO_EARLY);
        match early {
            Some(true) => self.clear_for = (self.clear_for * 2).min(CLEAR_FOR_AT_MOST),
            Some(false) => self.clear_for = CLEAR_FOR,
            None => {}
        }
        let from = through.map_or(self.kbps, |through| through.min(self.kbps));
        self.kbps = (from * DOWN.0 / DOWN.1).max(self.least);
        self.taken = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks for so many seconds at an uplink that carries `carries` kbit/s to each of three children, of a picture for
    /// which an encoder needs no more than `needs`.
    fn run_easy(rate: &mut Rate, from_s: u64, seconds: u64, carries: u32, needs: u32) -> Vec<u32> {
        let mut changes = Vec::new();
        let mut sent = rate.sent.back().map_or(0, |(_, bytes)| *bytes);
        for half in 0..2 * seconds {
            let now = Time::from_millis(from_s * 1_000 + half * 500);
            let made = rate.kbps.min(needs) + rate.beside;
            let behind = if made > carries { 3 } else { 0 };
            sent += u64::from(made.min(carries)) * 1_000 / 8 / 2 * 3;
            changes.extend(rate.look(now, seen(3, behind, sent)));
        }
        changes
    }

    fn run(rate: &mut Rate, from_s: u64, seconds: u64, carries: u32) -> Vec<u32> {
        run_easy(rate, from_s, seconds, carries, u32::MAX)
    }

    fn seen(children: u16, behind: u16, sent: u64) -> Seen {
        Seen {
            children,
            behind,
            sent,
        }
    }

    #[test]
    fn what_goes_through_is_known_once_and_less_than_that_is_made() {
        let mut rate = Rate::new(50, 1_000, Some(64));
        // All waits from the start: a step, then three fourths of 400 - 104.
        assert_eq!(run(&mut rate, 0, 60, 400)[..2], [750, 222]);
    }

    #[test]
    fn an_easy_picture_is_not_lowered_in_steps_that_change_nothing() {
        let mut rate = Rate::new(50, 1_000, None);
        assert_eq!(run_easy(&mut rate, 0, 10, 1_000, 300), [0_u32; 0]);
        // Three fourths of 275, for half a second of the two was slow already; then of 200.
        assert_eq!(run_easy(&mut rate, 10, 10, 200, 300), [206, 150]);
    }

    #[test]
    fn an_uplink_that_carries_it_gets_all_of_it_for_good() {
        assert_eq!(
            run(&mut Rate::new(250, 1_000, None), 0, 3_600, 1_000),
            [0_u32; 0]
        );
    }

    #[test]
    fn what_the_uplink_does_not_carry_is_taken_away() {
        let mut rate = Rate::new(250, 1_000, None);
        assert_eq!(run(&mut rate, 0, 10, 600), [750, 450]);
    }

    #[test]
    fn no_more_is_taken_away_than_the_configuration_allows() {
        let mut rate = Rate::new(400, 1_000, None);
        assert_eq!(run(&mut rate, 0, 60, 10), [750, 400]);
        let mut fixed = Rate::new(2_000, 1_000, None);
        assert_eq!(run(&mut fixed, 0, 60, 10), [0_u32; 0]);
    }

    #[test]
    fn all_of_it_comes_back_when_there_is_room_again() {
        let mut rate = Rate::new(250, 1_000, None);
        run(&mut rate, 0, 10, 600);
        assert_eq!(run(&mut rate, 10, 120, 2_000), [562, 702, 877, 1_000]);
    }

    #[test]
    fn an_uplink_that_stays_slow_is_tried_ever_less_often() {
        let mut rate = Rate::new(250, 1_000, None);
        let hour = |rate: &mut Rate, n: u64| run(rate, n * 3_600, 3_600, 700).len();
        assert!(hour(&mut rate, 0) < 60);
        assert!(hour(&mut rate, 1) <= 2 * 15);
    }

    #[test]
    fn one_slow_child_of_three_costs_nobody_else_anything() {
        let mut rate = Rate::new(250, 1_000, None);
        let looks =
            (0..1_000).map(|n| rate.look(Time::from_millis(n * 500), seen(3, 1, n * 100_000)));
        assert_eq!(looks.flatten().count(), 0);
    }

    #[test]
    fn of_nobody_nothing_is_known() {
        let mut rate = Rate::new(250, 1_000, None);
        run(&mut rate, 0, 10, 600);
        let looks = (20..1_000).map(|n| rate.look(Time::from_millis(n * 500), seen(0, 0, 0)));
        assert_eq!(looks.flatten().count(), 0);
    }
}
