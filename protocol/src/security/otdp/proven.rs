//! Which groups are proven already. Only the broadcaster's signature adds to it, so no forged chunk makes it
//! grow or moves its floor.

use std::collections::{BTreeMap, BTreeSet};

use super::GroupId;
use crate::media::Track;

/// Groups below the newest proven one that are remembered. Guess: 17 s of video at 60 frames/s.
const REMEMBERED: u64 = 1_024;
/// Runs of an encoder that are remembered: the one before the newest may still have chunks under way.
const EPOCHS: usize = 2;

/// The proven groups of all tracks.
#[derive(Debug)]
pub(super) struct Proven {
    lanes: BTreeMap<(Track, u8), BTreeMap<u32, BTreeSet<u64>>>,
}

impl Proven {
    pub(super) const fn new() -> Self {
        Self {
            lanes: BTreeMap::new(),
        }
    }

    /// Whether the group is proven, or so old that it is forgotten whether it was.
    pub(super) fn is_past(&self, group: GroupId) -> bool {
        let Some(epochs) = self.lanes.get(&(group.track, group.rendition)) else {
            return false;
        };
        match epochs.get(&group.epoch) {
            Some(numbers) => {
                let newest = numbers.last().copied().unwrap_or(0);
                group.number.saturating_add(REMEMBERED) <= newest || numbers.contains(&group.number)
            }
            None => {
                epochs.len() >= EPOCHS && epochs.keys().next().is_some_and(|&e| group.epoch < e)
            }
        }
    }

    pub(super) fn add(&mut self, group: GroupId) {
        let epochs = self
            .lanes
            .entry((group.track, group.rendition))
            .or_default();
        let numbers = epochs.entry(group.epoch).or_default();
        numbers.insert(group.number);
        let newest = numbers.last().copied().unwrap_or(0);
        while numbers
            .first()
            .is_some_and(|&n| n.saturating_add(REMEMBERED) <= newest)
        {
            numbers.pop_first();
        }
        while epochs.len() > EPOCHS {
            epochs.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(epoch: u32, number: u64) -> GroupId {
        GroupId {
            track: Track::Video,
            rendition: 0,
            epoch,
            number,
        }
    }

    #[test]
    fn what_is_far_below_the_newest_proven_group_is_past() {
        let mut proven = Proven::new();
        proven.add(group(1, 5_000));
        assert!(proven.is_past(group(1, 5_000)));
        assert!(!proven.is_past(group(1, 4_999)));
        assert!(proven.is_past(group(1, 5_000 - REMEMBERED)));
        assert!(!proven.is_past(group(1, u64::MAX)));
    }

    #[test]
    fn the_epoch_before_the_newest_is_still_taken_and_the_one_before_that_is_not() {
        let mut proven = Proven::new();
        for epoch in [7, 8, 9] {
            proven.add(group(epoch, 3));
        }
        assert!(proven.is_past(group(7, 4)));
        assert!(!proven.is_past(group(8, 4)));
        assert!(!proven.is_past(group(10, 0)));
    }
}
