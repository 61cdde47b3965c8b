//! Single frames that did not come: which, since when, and whom to ask for them (docs/protocol.md).
//!
//! Channels are reliable, so on a clean network nothing is ever lacking for long. Frames are lost where a parent is:
//! whoever feeds a peer next may itself have joined a moment ago and hold nothing older. And a connection that lost a
//! packet may bring nothing for a second, while a backup parent has it all.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::chunk::Position;
use crate::id::LinkId;
use crate::media::Track;
use crate::time::Time;
use crate::wire::{FrameRange, MAX_RANGES};

/// Frames overtake each other by so much on unordered channels; what is lacking longer is asked for. Guess.
const LEAST_PATIENCE: Duration = Duration::from_millis(40);
/// Round trips after which the answer over a link that loses packets is overdue: the question takes one, and of the dozen packets of its
/// answer one may have to be sent again. Measured: asked again after one and a half, frames came up to seven times.
const ANSWERED_AFTER: u32 = 3;
/// A frame is asked for so often. Guess: parent, backup, and once more each.
const TRIES: u8 = 4;
/// Frames lacking that are known at a time. Guess: two seconds of both tracks.
const MOST_HOLES: usize = 256;
/// Frames that one question may be about; the rest has to be asked for again.
pub const MOST_FRAMES: u64 = 128;

/// One frame of one track.
pub type Frame = (Track, u8, Position);

#[derive(Debug)]
struct Hole {
    ask_at: Time,
    tries: u8,
    /// Over which it was asked for, in this round.
    asked: Vec<LinkId>,
    /// Not a hole in what we hold: somebody below lacks it, and our window begins after it.
    for_a_child: bool,
}

/// Who may be asked, and how far away it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Over which link.
    pub link: LinkId,
    /// The way there and back.
    pub round_trip: Duration,
    /// The link is known to lose packets: what comes over it may need one more.
    pub loses: bool,
}

/// The frames of one stream that lack.
#[derive(Debug, Default)]
pub struct Repair {
    holes: BTreeMap<Frame, Hole>,
}

/// A number still missing after max(40 ms, 1.5 round trips) is asked for (docs/protocol.md).
fn patience(round_trip: Duration) -> Duration {
    (round_trip * 3 / 2).max(LEAST_PATIENCE)
}

/// Who was asked has not what it was asked for, or the answer got lost, if nothing came for so long.
fn answered_after(source: &Source) -> Duration {
    let patience = patience(source.round_trip);
    match source.loses {
        true => patience.max(source.round_trip * ANSWERED_AFTER),
        false => patience,
    }
}

impl Repair {
    /// Takes note of what lacks now, and of what does no more.
    pub fn lacks(&mut self, now: Time, frames: &[Frame], parent_round_trip: Duration) {
        self.holes
            .retain(|frame, hole| hole.for_a_child || frames.binary_search(frame).is_ok());
        for &frame in frames {
            if self.holes.len() >= MOST_HOLES {
                return;
            }
            self.holes.entry(frame).or_insert_with(|| Hole {
                ask_at: now + patience(parent_round_trip),
                tries: 0,
                asked: Vec::new(),
                for_a_child: false,
            });
        }
    }

    /// A child lacks these, and so do we: they are asked for at once.
    pub fn child_lacks(&mut self, now: Time, frames: impl Iterator<Item = Frame>) {
        for frame in frames {
            if self.holes.len() >= MOST_HOLES {
                return;
            }
            let hole = self.holes.entry(frame).or_insert(Hole {
                ask_at: now,
                tries: 0,
                asked: Vec::new(),
                for_a_child: true,
            });
            hole.ask_at = hole
                .ask_at
                .min(now.max(if hole.tries > 0 { hole.ask_at } else { now }));
        }
    }

    /// The whole frame is here.
    pub fn came(&mut self, frame: &Frame) {
        self.holes.remove(frame);
    }

    /// Whether nothing lacks.
    pub fn is_empty(&self) -> bool {
        self.holes.is_empty()
    }

    /// Whether the frame may come over `link`, though that is no parent's.
    pub fn expects(&self, link: LinkId, frame: &Frame) -> bool {
        self.holes
            .get(frame)
            .is_some_and(|hole| hole.asked.contains(&link))
    }

    /// When [`Self::due`] has something to ask.
    pub fn next_wakeup(&self) -> Time {
        let open = self.holes.values().filter(|hole| hole.tries < TRIES);
        open.map(|hole| hole.ask_at).min().unwrap_or(Time::NEVER)
    }

    /// Whether some of what is to be asked for now was asked for before, and the answer did not come in time.
    pub fn asks_again(&self, now: Time) -> bool {
        let mut due = self.holes.values().filter(|hole| hole.ask_at <= now);
        due.any(|hole| (1..TRIES).contains(&hole.tries))
    }

    /// What is to be asked for now, and where: for each frame the first of those who may be asked that was not asked yet.
    pub fn due(&mut self, now: Time, sources: &[Source]) -> BTreeMap<LinkId, Vec<FrameRange>> {
        let mut asked: BTreeMap<LinkId, Vec<FrameRange>> = BTreeMap::new();
        for (&(track, rendition, position), hole) in &mut self.holes {
            if hole.tries >= TRIES || hole.ask_at > now {
                continue;
            }
            let fresh = sources.iter().find(|s| !hole.asked.contains(&s.link));
            if fresh.is_none() {
                hole.asked.clear(); // all were: from the beginning
            }
            let Some(source) = fresh.or_else(|| sources.first()) else {
                hole.ask_at = now + LEAST_PATIENCE;
                continue;
            };
            hole.asked.push(source.link);
            hole.tries += 1;
            hole.ask_at = now + answered_after(source);
            add(
                asked.entry(source.link).or_default(),
                (track, rendition, position),
            );
        }
        // Nobody has what was asked for in vain for a child.
        self.holes
            .retain(|_, hole| !(hole.for_a_child && hole.tries >= TRIES && hole.ask_at <= now));
        asked
    }
}

/// Adds a frame to the last range if it comes right after it, else as one of its own while there is room.
fn add(ranges: &mut Vec<FrameRange>, (track, rendition, from): Frame) {
    let (to, is_full) = (from.next(), ranges.len() >= MAX_RANGES);
    match ranges.last_mut() {
        Some(last) if (last.track, last.rendition, last.to) == (track, rendition, from) => {
            last.to = to;
        }
        _ if is_full => {}
        _ => ranges.push(FrameRange {
            track,
            rendition,
            from,
            to,
        }),
    }
}

/// The frames of some ranges, as many as one question may be about.
pub fn frames(ranges: &[FrameRange]) -> impl Iterator<Item = Frame> + '_ {
    let all = ranges.iter().flat_map(|range| {
        let same_epoch = range.from.epoch == range.to.epoch;
        let end = if same_epoch { range.to.sequence } else { 0 };
        (range.from.sequence..end).map(|sequence| {
            let position = Position {
                sequence,
                ..range.from
            };
            (range.track, range.rendition, position)
        })
    });
    all.take(MOST_FRAMES as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    const fn frame(sequence: u64) -> Frame {
        (Track::Video, 0, Position { epoch: 1, sequence })
    }

    fn source(link: u64, round_trip_ms: u64) -> Source {
        Source {
            link: LinkId(link),
            round_trip: Duration::from_millis(round_trip_ms),
            loses: false,
        }
    }

    fn range(from: u64, to: u64) -> FrameRange {
        FrameRange {
            track: Track::Video,
            rendition: 0,
            from: frame(from).2,
            to: frame(to).2,
        }
    }

    #[test]
    fn what_comes_within_one_and_a_half_round_trips_is_never_asked_for() {
        let mut repair = Repair::default();
        repair.lacks(ms(0), &[frame(7)], Duration::from_millis(100));
        assert_eq!(repair.next_wakeup(), ms(150));
        assert!(repair.due(ms(149), &[source(1, 10)]).is_empty());
        repair.came(&frame(7));
        assert_eq!(repair.next_wakeup(), Time::NEVER);
    }

    #[test]
    fn neighbouring_frames_are_asked_for_in_one_range_and_of_everybody_in_turn() {
        let mut repair = Repair::default();
        repair.lacks(
            ms(0),
            &[frame(3), frame(4), frame(5), frame(9)],
            Duration::ZERO,
        );
        let sources = [source(1, 10), source(2, 100)];
        let asked = repair.due(ms(40), &sources);
        assert_eq!(
            asked,
            BTreeMap::from([(LinkId(1), vec![range(3, 6), range(9, 10)])])
        );
        assert!(repair.expects(LinkId(1), &frame(4)));
        assert!(!repair.expects(LinkId(2), &frame(4)));
        assert!(repair.due(ms(79), &sources).is_empty());
        let asked = repair.due(ms(80), &sources);
        assert_eq!(asked.into_keys().collect::<Vec<_>>(), [LinkId(2)]);
        assert_eq!(repair.next_wakeup(), ms(230), "it is further away");
    }

    #[test]
    fn what_nobody_has_is_asked_for_four_times_and_then_no_more() {
        let mut repair = Repair::default();
        let mut asked = 0;
        for now in (0..2_000).step_by(10) {
            repair.lacks(ms(now), &[frame(1)], Duration::ZERO);
            asked += repair.due(ms(now), &[source(1, 10), source(2, 10)]).len();
        }
        assert_eq!(asked, 4);
    }

    #[test]
    fn what_a_child_lacks_is_asked_for_at_once_and_forgotten_in_the_end() {
        let mut repair = Repair::default();
        repair.child_lacks(ms(0), frames(&[range(1, 3)]));
        assert_eq!(repair.due(ms(0), &[source(1, 10)]).len(), 1);
        (10..1_000).step_by(10).for_each(|now| {
            repair.lacks(ms(now), &[], Duration::ZERO);
            repair.due(ms(now), &[source(1, 10)]);
        });
        assert!(repair.is_empty());
    }

    #[test]
    fn a_question_about_a_million_frames_is_one_about_128() {
        let many = range(0, 1 << 40);
        assert_eq!(frames(&[many, many]).count(), MOST_FRAMES as usize);
        let backwards = FrameRange {
            to: Position {
                epoch: 0,
                sequence: 9,
            },
            ..many
        };
        assert_eq!(frames(&[backwards]).count(), 0);
    }
}
