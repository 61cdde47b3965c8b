//! The uplink of a peer that can send less than it says: what is given to it leaves one after the other.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use protocol::id::LinkId;
use protocol::time::Time;

pub(super) struct Uplink {
    kbps: u32,
    free_at: Time,
    /// What was given to it for each link: when it is gone, and its bytes.
    queues: BTreeMap<LinkId, VecDeque<(Time, usize)>>,
}

impl Uplink {
    pub(super) fn new(kbps: u32) -> Self {
        Self {
            kbps: kbps.max(1),
            free_at: Time::ZERO,
            queues: BTreeMap::new(),
        }
    }

    /// When the last byte has left.
    pub(super) fn send(&mut self, now: Time, link: LinkId, bytes: usize) -> Time {
        let takes = Duration::from_micros(bytes as u64 * 8_000 / u64::from(self.kbps));
        self.free_at = self.free_at.max(now) + takes;
        let queue = self.queues.entry(link).or_default();
        queue.push_back((self.free_at, bytes));
        self.free_at
    }

    /// Bytes of one link that have not left, and when no more than `few` of them are left.
    pub(super) fn left(&mut self, now: Time, link: LinkId, few: usize) -> (usize, Time) {
        let Some(queue) = self.queues.get_mut(&link) else {
            return (0, now);
        };
        while queue.front().is_some_and(|&(gone, _)| gone <= now) {
            queue.pop_front();
        }
        let left = queue.iter().map(|&(_, bytes)| bytes).sum();
        let mut rest = left;
        let enough = queue.iter().find(|&&(_, bytes)| {
            rest -= bytes;
            rest <= few
        });
        (left, enough.map_or(now, |&(gone, _)| gone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_leaves_one_after_the_other_and_is_counted_until_then() {
        let mut uplink = Uplink::new(8_000); // a byte each microsecond
        let at = |ms| Time::from_millis(ms);
        let (one, other) = (LinkId(1), LinkId(2));
        assert_eq!(uplink.send(at(0), one, 1_000), at(1));
        assert_eq!(uplink.send(at(0), other, 2_000), at(3));
        assert_eq!(uplink.send(at(0), one, 3_000), at(6));
        assert_eq!(uplink.left(at(0), one, 0), (4_000, at(6)));
        assert_eq!(uplink.left(at(2), one, 3_000), (3_000, at(6)));
        assert_eq!(uplink.left(at(6), one, 0), (0, at(6)));
    }
}
