//! Which stretches of media time a buffer holds.

use std::collections::VecDeque;

/// Stretches kept at most; the oldest go first. A hole every few seconds for the ten seconds that stay buffered
/// behind the play head.
const MOST: usize = 32;

/// Stretches of media time, microseconds, in order and apart from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(VecDeque<(u64, u64)>);

impl Ranges {
    /// Adds `from..to`; as the continuation of the newest stretch if it follows on it without a frame missing.
    pub(super) fn push(&mut self, from: u64, to: u64, follows: bool) {
        match self.0.back_mut() {
            Some(newest) if follows || from <= newest.1 => newest.1 = newest.1.max(to),
            _ => self.0.push_back((from, to)),
        }
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }

    /// The end of the newest stretch.
    pub(super) fn end(&self) -> Option<u64> {
        self.0.back().map(|&(_, end)| end)
    }

    /// How much there is to play from `position` on, holes left out.
    pub(super) fn ahead(&self, position: u64) -> u64 {
        self.0
            .iter()
            .map(|&(from, to)| to.saturating_sub(from.max(position)))
            .sum()
    }

    /// How much there is to play from `position` on without a hole.
    pub(super) fn left(&self, position: u64) -> u64 {
        let within = |&&(from, to): &&(u64, u64)| from <= position && position < to;
        self.0
            .iter()
            .find(within)
            .map_or(0, |&(_, to)| to - position)
    }

    /// The last place at or before `position` that there is something to show of.
    pub(super) fn shown_at(&self, position: u64) -> Option<u64> {
        let (_, to) = self.0.iter().rev().find(|&&(from, _)| from <= position)?;
        Some(position.min(*to))
    }

    /// Where playing goes on for a play head that is in a hole, or less than `near` before one.
    pub(super) fn beyond_hole(&self, position: u64, near: u64) -> Option<u64> {
        let (start, _) = *self
            .0
            .iter()
            .find(|&&(_, to)| to > position.saturating_add(near))?;
        (start > position).then_some(start)
    }

    /// The latest place that has `hold` to play after it, holes left out; none if there is less.
    pub(super) fn back_from_end(&self, hold: u64) -> Option<u64> {
        let mut wanted = hold;
        for &(from, to) in self.0.iter().rev() {
            if to - from >= wanted {
                return Some(to - wanted);
            }
            wanted -= to - from;
        }
        None
    }

    /// Forgets what ended before `position`.
    pub(super) fn forget_before(&mut self, position: u64) {
        while self.0.front().is_some_and(|&(_, to)| to < position) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_stretches() -> Ranges {
        let mut ranges = Ranges::default();
        ranges.push(100, 200, false);
        ranges.push(200, 300, true);
        ranges.push(500, 600, false);
        ranges
    }

    #[test]
    fn what_is_ahead_leaves_holes_out() {
        let ranges = two_stretches();
        assert_eq!(
            (
                ranges.ahead(0),
                ranges.ahead(250),
                ranges.ahead(400),
                ranges.ahead(700)
            ),
            (300, 150, 100, 0)
        );
        assert_eq!(
            (ranges.left(250), ranges.left(400), ranges.left(599)),
            (50, 0, 1)
        );
        assert_eq!(
            (
                ranges.shown_at(250),
                ranges.shown_at(400),
                ranges.shown_at(50)
            ),
            (Some(250), Some(300), None)
        );
    }

    #[test]
    fn a_play_head_near_a_hole_goes_on_beyond_it() {
        let ranges = two_stretches();
        assert_eq!(ranges.beyond_hole(0, 10), Some(100));
        assert_eq!(ranges.beyond_hole(250, 10), None);
        assert_eq!(ranges.beyond_hole(291, 10), Some(500));
        assert_eq!(ranges.beyond_hole(400, 10), Some(500));
        assert_eq!(ranges.beyond_hole(595, 10), None);
    }

    #[test]
    fn going_back_from_the_end_steps_over_holes() {
        let ranges = two_stretches();
        assert_eq!(ranges.back_from_end(100), Some(500));
        assert_eq!(ranges.back_from_end(150), Some(250));
        assert_eq!(ranges.back_from_end(1000), None);
    }

    #[test]
    fn the_number_of_stretches_is_bounded() {
        let mut ranges = Ranges::default();
        (0..1000).for_each(|i| ranges.push(i * 10, i * 10 + 5, false));
        assert_eq!(ranges.0.len(), MOST);
    }
}
