//! Parents that bring everything, but later and later: a full uplink, or a bad way between the two.
//!
//! What a link does not take in time waits at the parent, and it is the parent who knows how much: it says so while that is
//! more than a burst. Only that child hears it, and not all below, to whom the same media comes as late over ways that are
//! well. It asks a backup for a frame that it should have had by now, and takes over there if that comes.

use std::time::Duration;

use super::streams::Child;
use super::{Node, Output};
use crate::id::{LinkId, StreamHandle};
use crate::signal::FromPeer;
use crate::time::Time;
use crate::wire::Control;

/// Media of this length that waits for a child is told to it. Guess: more than a key frame of 100 KB takes at 5 Mbit/s, and
/// less than any viewer keeps ahead.
pub(super) const BEHIND: Duration = Duration::from_millis(200);
/// And again this often, while it is so.
pub(super) const TELL_AGAIN: Duration = Duration::from_millis(100);
/// A parent that has said so for this long is slow, and a backup is asked: twice is enough, for that one may have no more,
/// and nothing is lost by asking. Simulated: with half a second viewers ran dry before.
const SLOW_FOR: Duration = Duration::from_millis(100);
/// What was said counts for so long.
const GOOD_FOR: Duration = Duration::from_millis(300);
/// After a parent was left for being slow the next one has so long; twice as long each time, for it may be our own way that
/// is slow. Guesses.
const PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));
/// A backup is asked for the frame so far behind the newest we have: the parent brings the next one while we ask.
pub(super) const AHEAD: u64 = 5;

/// What a parent says of how far behind it is with what it sends us.
#[derive(Debug)]
pub(super) struct Lag {
    since: Time,
    told: Time,
    /// Nothing is done about it before.
    not_before: Time,
    pause: Duration,
}

impl Default for Lag {
    fn default() -> Self {
        Self {
            since: Time::NEVER,
            told: Time::ZERO,
            not_before: Time::ZERO,
            pause: PAUSE.0,
        }
    }
}

impl Lag {
    fn told(&mut self, now: Time) {
        if self.since == Time::NEVER || now.since(self.told) > GOOD_FOR {
            self.since = now;
        }
        self.told = now;
    }

    /// When the parent has been slow for long enough, if it goes on being so.
    pub(super) fn due(&self) -> Time {
        if self.since == Time::NEVER {
            Time::NEVER
        } else {
            (self.since + SLOW_FOR).max(self.not_before)
        }
    }

    /// Whether it is due, by what was said a moment ago.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.due() <= now && now.since(self.told) <= GOOD_FOR
    }

    /// Nothing has been said for a while.
    pub(super) fn forget_if_old(&mut self, now: Time) {
        if now.since(self.told) > GOOD_FOR {
            self.since = Time::NEVER;
        }
    }

    /// Another parent is tried.
    pub(super) fn left(&mut self, now: Time) {
        self.since = Time::NEVER;
        self.not_before = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE.1);
    }
}

impl Child {
    /// Whether media waits for it, more than a burst, after it once had all there was.
    pub(super) fn is_behind(&self) -> bool {
        self.has_caught_up && self.mailbox.lag() >= BEHIND
    }
}

impl Node {
    /// Tells a child how much waits for it, when that is much, and it has once had all there was, and most others wait as
    /// well.
    pub(super) fn tell_behind(
        &mut self,
        now: Time,
        handle: StreamHandle,
        link: LinkId,
        out: &mut Vec<Output>,
    ) {
        let Some(stream) = self.streams.values_mut().find(|s| s.handle() == handle) else {
            return;
        };
        let Some(child) = stream.children.get(&link) else {
            return;
        };
        if !child.is_behind() || now.since(child.told_behind) < TELL_AGAIN {
            return;
        }
        let lag = child.mailbox.lag();
        // Looked at no more often than told: with many children it is not for each chunk and child to count them.
        if let Some(child) = stream.children.get_mut(&link) {
            child.told_behind = now;
        }
        // Where the others get everything in time, it is this child that is slow: no other parent would help it.
        if !stream.are_most_behind() {
            return;
        }
        stream.is_strained();
        let millis = u32::try_from(lag.as_millis()).unwrap_or(u32::MAX);
        self.say(now, link, &Control::Behind { handle, millis }, out);
    }

    /// A parent says that media waits there for us.
    pub(super) fn behind(
        &mut self,
        now: Time,
        link: LinkId,
        handle: StreamHandle,
        millis: u32,
        out: &mut Vec<Output>,
    ) {
        let feeds = |s: &&mut super::streams::Stream| {
            s.handle() == handle && s.next.is_none() && s.parent.is_some_and(|p| p.link == link)
        };
        let Some(stream) = self.streams.values_mut().find(feeds) else {
            return;
        };
        if Duration::from_millis(millis.into()) < BEHIND {
            return;
        }
        stream.lag.told(now);
        let Some(parent) = stream.parent.filter(|_| stream.backups.is_empty()) else {
            return; // a backup is asked first (`probe`)
        };
        if stream.lag.is_due(now) {
            stream.lag.left(now);
            let message = FromPeer::ParentLost {
                stream: stream.id,
                parent: parent.peer,
                order: stream.order,
                reason: "it falls behind".into(),
            };
            self.tell(&message, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_millis(100_000 + ms)
    }

    #[test]
    fn a_parent_that_says_so_twice_is_slow() {
        let mut lag = Lag::default();
        assert!(!lag.is_due(at(0)));
        lag.told(at(0));
        assert!(!lag.is_due(at(99)));
        lag.told(at(100));
        assert!(lag.is_due(at(100)));
    }

    #[test]
    fn what_was_said_long_ago_counts_no_more() {
        let mut lag = Lag::default();
        [0, 100].into_iter().for_each(|ms| lag.told(at(ms)));
        assert!(!lag.is_due(at(500)));
        lag.told(at(600)); // it begins anew
        assert!(!lag.is_due(at(650)) && lag.is_due(at(700)));
    }

    #[test]
    fn the_parent_after_a_slow_one_has_longer_each_time() {
        let mut lag = Lag::default();
        for pause in [10_000, 20_000, 40_000] {
            let now = lag.not_before;
            for ms in [0, 100] {
                lag.told(now + Duration::from_millis(ms));
            }
            let now = now + Duration::from_millis(100);
            assert!(lag.is_due(now));
            lag.left(now);
            assert_eq!(lag.not_before, now + Duration::from_millis(pause));
        }
    }
}
