//! The bitrate that a stream's children can take, as far as what waits for them tells.
//!
//! One slow child costs itself alone (it skips). Where media waits for most of them it is our own uplink that is too slow
//! for this stream: then all get less, rather than all skipping. Less than what went through, that is: an easy picture is
//! far below the rate its encoder is set to, and to lower that in steps would change nothing for long. Much less at first,
//! until what waits is gone, then nearly as much as went through. Decides only: time and what was seen are arguments.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::time::Time;

/// How often to look. Guess: well below [`SETTLES`].
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a change nothing more is taken away for so long: what waits by then was made before. As long as a child may be
/// behind before it skips, and a little.
const SETTLES: Duration = Duration::from_secs(3);
/// What went through is what went in this time: a group of pictures as configured by default. Longer would count what went
/// before the uplink was slow, and when something waits it is busy all the time, with key frames or others.
const SENT_IN: Duration = Duration::from_millis(1_000);
/// What sound costs beside its rate, kbit/s: 50 packets a second with some 100 bytes of header, digest and container each.
const SOUND_BESIDES: u32 = 40;
/// What is left of all that went through while something waits: half a second of media is gone after a second and a quarter,
/// and viewers have not much more than half a second. Measured with three fourths: what waited stayed until it was skipped.
const WAITING: (u32, u32) = (3, 5);
/// The same once nothing waits.
const DOWN: (u32, u32) = (4, 5);
/// What is given back at a time. Guess: seen, and not much to take back.
const UP: (u32, u32) = (5, 4);
/// More is given when nothing has waited for anybody for so long. Slower than to take away: what is too much is seen by all.
const CLEAR_FOR: Duration = Duration::from_secs(15);
/// What was given and had to be taken back within this time is tried half as often. Guess.
const TOO_EARLY: Duration = Duration::from_secs(30);
/// But at least this often. Guess.
const CLEAR_FOR_AT_MOST: Duration = Duration::from_secs(240);

/// Payload of the longest part of a frame, as time at the stream's rate: while a part is under way to
/// a child that child hears nothing else, and after half a second of that it leaves. Guess: a fifth of it, for an uplink
/// may carry half of what the rate is when it becomes slow.
const LONGEST_PART: Duration = Duration::from_millis(100);
/// But never less than this, bytes. Guess: a message of two datagrams.
const SHORTEST_PART: usize = 2 * 1024;

/// The longest part of a frame in a stream of this rate, bytes.
pub(crate) fn longest_part(kbps: u32) -> usize {
    let bits = u128::from(kbps) * LONGEST_PART.as_millis();
    (bits as usize / 8).max(SHORTEST_PART)
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Rate {
    /// Bounds, kbit/s.
    least: u32,
    most: u32,
    kbps: u32,
    /// When something was last taken away.
    taken: Option<Time>,
    /// While what waits is to go.
    draining: Option<Draining>,
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

/// From the first time that something is taken away until nothing waits.
#[derive(Debug)]
struct Draining {
    /// The rate before, kbit/s.
    before: u32,
    /// What went through by the last two looks, kbit/s: the older one may have been while the uplink stood still for a moment,
    /// the newer one when nothing waited any more.
    through: (Option<u32>, Option<u32>),
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
            draining: None,
            given: None,
            clear: None,
            clear_for: CLEAR_FOR,
        }
    }

    /// The rate now, kbit/s.
    pub(crate) const fn kbps(&self) -> u32 {
        self.kbps
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
        if let Some(draining) = &mut self.draining {
            draining.through = (draining.through.1, through);
        }
        if u32::from(behind) * 2 > u32::from(children) {
            let settles = |at: &Time| now.since(*at) < SETTLES;
            if !self.taken.as_ref().is_some_and(settles) {
                self.less(now, through);
            }
        } else if children > 0
            && let Some(over) = self.draining.take()
        {
            let least = self.kbps;
            let through = over.through.0.max(over.through.1);
            let afterwards = through.map(|through| self.pictures(through, DOWN));
            self.kbps = afterwards.map_or(least, |kbps| kbps.max(least).min(over.before));
        } else if behind == 0 && children > 0 {
            let clear = *self.clear.get_or_insert(now);
            if now.since(clear) >= self.clear_for && self.kbps < self.most {
                self.kbps = (self.kbps * UP.0 / UP.1).max(self.kbps + 1).min(self.most);
                (self.given, self.clear) = (Some(now), None);
            }
        }
        (self.kbps != before).then_some(self.kbps)
    }

    /// What went through to each child of late, kbit/s; none while that cannot be said.
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
        Some(u32::try_from(kbps).unwrap_or(u32::MAX))
    }

    /// What is left for pictures of a share of all that is sent.
    fn pictures(&self, all: u32, share: (u32, u32)) -> u32 {
        let pictures = (all * share.0 / share.1).saturating_sub(self.beside);
        pictures.max(self.least).min(self.most)
    }

    fn less(&mut self, now: Time, through: Option<u32>) {
        let early = self.given.take().map(|at| now.since(at) < TOO_EARLY);
        match early {
            Some(true) => self.clear_for = (self.clear_for * 2).min(CLEAR_FOR_AT_MOST),
            Some(false) => self.clear_for = CLEAR_FOR,
            None => {}
        }
        let made = self.kbps + self.beside;
        let goes = through.map_or(made, |through| through.min(made));
        self.draining.get_or_insert(Draining {
            before: self.kbps,
            through: (None, through),
        });
        self.kbps = self.pictures(goes, WAITING).min(self.kbps);
        self.taken = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks for so many seconds at an uplink that carries `carries` kbit/s to each of three children, of a picture for
    /// which an encoder needs no more than `needs`.
    fn run_easy(rate: &mut Rate, from_s: u64, seconds: u64, carries: u32, needs: u32) -> Vec<u32> {
        run_over(rate, from_s, seconds, |_| carries, needs)
    }

    /// The same over an uplink that carries more or less by the second.
    fn run_over(
        rate: &mut Rate,
        from_s: u64,
        seconds: u64,
        carries: impl Fn(u64) -> u32,
        needs: u32,
    ) -> Vec<u32> {
        let mut changes = Vec::new();
        let mut sent = rate.sent.back().map_or(0, |(_, bytes)| *bytes);
        let mut waits = 0; // bits, at each child
        for half in 0..2 * seconds {
            let now = Time::from_millis(from_s * 1_000 + half * 500);
            let made = rate.kbps.min(needs) + rate.beside;
            let (more, can) = (u64::from(made) * 500, u64::from(carries(half / 2)) * 500);
            let goes = can.min(waits + more);
            waits = waits + more - goes;
            sent += goes / 8 * 3;
            let behind = if waits > more * 2 / 5 { 3 } else { 0 };
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
        // All waits from the start: a step of what is made; then three fifths of 400 for pictures and 104 beside them, less
        // where that takes long, and four fifths when nothing waits any more.
        assert_eq!(run(&mut rate, 0, 20, 400), [558, 136, 50, 216]);
    }

    #[test]
    fn a_part_is_as_long_as_a_message_may_be_except_at_low_rates() {
        assert!(longest_part(1_400) > protocol::chunk::MAX_PAYLOAD);
        assert_eq!(longest_part(400), 5_000);
        assert_eq!(longest_part(50), SHORTEST_PART);
    }

    #[test]
    fn an_easy_picture_is_not_lowered_in_steps_that_change_nothing() {
        let mut rate = Rate::new(50, 1_000, None);
        assert_eq!(run_easy(&mut rate, 0, 10, 1_000, 300), [0_u32; 0]);
        assert_eq!(run_easy(&mut rate, 10, 10, 200, 300), [120, 160]);
    }

    #[test]
    fn an_uplink_that_carries_it_gets_all_of_it_for_good() {
        assert_eq!(
            run(&mut Rate::new(250, 1_000, None), 0, 3_600, 1_000),
            [0_u32; 0]
        );
    }

    #[test]
    fn an_uplink_that_stands_still_for_a_moment_costs_little() {
        let mut rate = Rate::new(50, 1_000, None);
        let carries = |second| if second == 10 { 10 } else { 2_000 };
        let changes = run_over(&mut rate, 0, 60, carries, u32::MAX);
        // The second looked at last is half of it still.
        assert_eq!(changes[1..], [638, 797, 996, 1_000]);
    }

    #[test]
    fn what_the_uplink_does_not_carry_is_taken_away() {
        let mut rate = Rate::new(250, 1_000, None);
        assert_eq!(run(&mut rate, 0, 10, 600), [600, 360, 480]);
    }

    #[test]
    fn no_more_is_taken_away_than_the_configuration_allows() {
        let mut rate = Rate::new(400, 1_000, None);
        assert_eq!(run(&mut rate, 0, 60, 10), [600, 400]);
        let mut fixed = Rate::new(2_000, 1_000, None);
        assert_eq!(run(&mut fixed, 0, 60, 10), [0_u32; 0]);
    }

    #[test]
    fn all_of_it_comes_back_when_there_is_room_again() {
        let mut rate = Rate::new(250, 1_000, None);
        run(&mut rate, 0, 10, 600);
        assert_eq!(run(&mut rate, 10, 120, 2_000), [600, 750, 937, 1_000]);
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
