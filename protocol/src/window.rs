//! The last seconds of a stream that a peer keeps: out of it come the first picture of a child that joins in
//! the middle, and what a child lacks that comes from another parent.
//!
//! Holds whole chunks, as they came, each once; says of an arriving chunk whether it is new.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use crate::chunk::{Chunk, Header, Position};
use crate::media::Track;
use crate::repair::Frame;
use crate::security::otdp::GroupId;
use crate::wire::TrackPosition;

/// Media kept at least, newest minus oldest. Guess.
pub const MIN_SPAN: Duration = Duration::from_secs(4);
/// Bytes kept at most. Guess.
pub const MAX_BYTES: usize = 16 << 20;

/// Frames of one track that are counted as lacking; more are no matter of single frames. Guess: two seconds of sound.
const MOST_LACKING: usize = 128;

/// A track of a rendition.
type Name = (Track, u8);
type Key = (Position, u16);

#[derive(Debug, Default)]
struct TrackWindow {
    chunks: BTreeMap<Key, Chunk>,
    /// Positions at which decoding can start, with their media time; all within `chunks`.
    starts: BTreeMap<Position, u64>,
    /// Nothing before this is taken any more.
    floor: Position,
    /// Something came out of turn: there may be holes.
    ragged: bool,
}

/// When a chunk plays. The epoch comes first: a board that boots again may start its time line again.
fn moment(chunk: &Chunk) -> (u32, u64) {
    (chunk.header().position.epoch, chunk.header().media_us)
}

/// The window of one stream.
#[derive(Debug, Default)]
pub struct Window {
    tracks: BTreeMap<Name, TrackWindow>,
    bytes: usize,
}

impl TrackWindow {
    /// Takes note of a chunk that is not what comes right after the newest one before.
    fn notice_order(&mut self, header: &Header) {
        let key = (header.position, header.part);
        let Some((&before, chunk)) = self.chunks.range(..key).next_back() else {
            return;
        };
        let is_newest = self.chunks.last_key_value().is_some_and(|(&k, _)| k == key);
        let follows = key == after(before, chunk) || before.0.epoch != header.position.epoch;
        self.ragged |= !is_newest || !follows;
    }

    fn newest(&self) -> Option<&Chunk> {
        self.chunks.last_key_value().map(|(_, chunk)| chunk)
    }

    /// Forgets the oldest frame; gives the bytes freed.
    fn drop_oldest(&mut self) -> usize {
        let Some((&(position, _), _)) = self.chunks.first_key_value() else {
            return 0;
        };
        let rest = self.chunks.split_off(&(position.next(), 0));
        let gone = std::mem::replace(&mut self.chunks, rest);
        self.starts.remove(&position);
        self.floor = position.next();
        gone.values().map(|c| c.message().len()).sum()
    }

    /// Whether the oldest frame is neither needed to start decoding nor within the span.
    fn has_outlived(&self) -> bool {
        let (Some((&(oldest, _), first)), Some(newest)) =
            (self.chunks.first_key_value(), self.newest())
        else {
            return false;
        };
        let span = newest
            .header()
            .media_us
            .saturating_sub(first.header().media_us);
        let needed = self
            .starts
            .last_key_value()
            .is_none_or(|(&start, _)| oldest >= start);
        u128::from(span) > MIN_SPAN.as_micros() && !needed
    }
}

/// What comes right after a chunk.
fn after((position, part): Key, chunk: &Chunk) -> Key {
    if part + 1 == chunk.header().parts {
        (position.next(), 0)
    } else {
        (position, part + 1)
    }
}

impl Window {
    /// Takes a chunk; false if it was here already, or is older than what is kept.
    pub fn insert(&mut self, chunk: &Chunk) -> bool {
        let header = *chunk.header();
        let track = self
            .tracks
            .entry((header.track, header.rendition))
            .or_default();
        if header.position < track.floor {
            return false;
        }
        let Entry::Vacant(place) = track.chunks.entry((header.position, header.part)) else {
            return false;
        };
        place.insert(chunk.clone());
        self.bytes += chunk.message().len();
        track.notice_order(&header);
        if header.random_access && header.part == 0 {
            track.starts.insert(header.position, header.media_us);
        }
        while track.has_outlived() {
            self.bytes -= track.drop_oldest();
        }
        while self.bytes > MAX_BYTES && self.drop_from_fullest() {}
        true
    }

    /// Takes a chunk as [`Self::insert`] does, in place of another version of it if there is one.
    pub fn put(&mut self, chunk: &Chunk) -> bool {
        let header = chunk.header();
        let held = self
            .tracks
            .get_mut(&(header.track, header.rendition))
            .and_then(|track| track.chunks.get_mut(&(header.position, header.part)));
        match held {
            Some(held) if held == chunk => false,
            Some(held) => {
                self.bytes = self.bytes + chunk.message().len() - held.message().len();
                *held = chunk.clone();
                true
            }
            None => self.insert(chunk),
        }
    }

    /// Forgets the frames from `from` up to but not including `to`, which may come anew.
    pub fn remove(&mut self, track: Track, rendition: u8, from: Position, to: Position) {
        let Some(window) = self.tracks.get_mut(&(track, rendition)) else {
            return;
        };
        let gone: Vec<Key> = window
            .chunks
            .range((from, 0)..(to, 0))
            .map(|(&key, _)| key)
            .collect();
        for key in gone {
            if let Some(chunk) = window.chunks.remove(&key) {
                self.bytes -= chunk.message().len();
            }
            window.starts.remove(&key.0);
        }
    }

    fn drop_from_fullest(&mut self) -> bool {
        let Some(track) = self.tracks.values_mut().max_by_key(|t| t.chunks.len()) else {
            return false;
        };
        let freed = track.drop_oldest();
        self.bytes -= freed;
        freed > 0
    }

    /// Bytes kept now.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The newest frame of each track.
    pub fn newest(&self) -> Vec<TrackPosition> {
        let newest = |(&(track, rendition), window): (&Name, &TrackWindow)| {
            let position = window.newest()?.header().position;
            Some(TrackPosition {
                track,
                rendition,
                position,
            })
        };
        self.tracks.iter().filter_map(newest).collect()
    }

    /// Epoch and media time of the newest random access point that all tracks can be played from: the newest
    /// of the video, if there is video.
    fn newest_start(&self) -> Option<(u32, u64)> {
        let newest = |window: &TrackWindow| {
            window
                .starts
                .last_key_value()
                .map(|(at, &media)| (at.epoch, media))
        };
        self.tracks.iter().find_map(|(_, window)| newest(window))
    }

    /// Where each track begins for whoever begins at the newest random access point: there, or at the
    /// track's own last one before it (sound in WebM can only begin where a Cluster does).
    fn start_of(&self, name: &Name, start: (u32, u64)) -> Position {
        let starts = self.tracks.get(name).map(|window| &window.starts);
        let before = |entry: &(&Position, &u64)| (entry.0.epoch, *entry.1) <= start;
        let own = starts.and_then(|starts| starts.iter().rev().find(before));
        // With the whole of its group, for a part of one is covered by no signature.
        own.map(|(&at, _)| GroupId::start_of(name.0, at))
            .unwrap_or_default()
    }

    /// What a child that joins now gets: all from the newest random access point of the video on, and the
    /// sound that goes with it; in order of media time.
    pub fn from_newest_start(&self) -> Vec<Chunk> {
        self.from_positions(&[])
    }

    /// What a child gets that lacks everything from the given positions on; in order of media time. A track it
    /// does not name comes from the newest random access point on.
    pub fn from_positions(&self, from: &[TrackPosition]) -> Vec<Chunk> {
        let Some(start) = self.newest_start() else {
            return Vec::new();
        };
        let begin = |name: &Name| {
            let asked = from.iter().find(|p| (p.track, p.rendition) == *name);
            asked.map_or_else(|| self.start_of(name, start), |asked| asked.position)
        };
        let begins: BTreeMap<Name, Position> = self
            .tracks
            .keys()
            .map(|name| (*name, begin(name)))
            .collect();
        self.collect(|name, chunk| {
            begins
                .get(name)
                .is_some_and(|begin| chunk.header().position >= *begin)
        })
    }

    fn collect(&self, wanted: impl Fn(&Name, &Chunk) -> bool) -> Vec<Chunk> {
        let mut chunks: Vec<Chunk> = self
            .tracks
            .iter()
            .flat_map(|(name, window)| window.chunks.values().filter(|c| wanted(name, c)))
            .cloned()
            .collect();
        chunks.sort_by_key(|c| (moment(c), c.header().track, c.header().part));
        chunks
    }

    /// Whether everything came in turn since nothing lacked last.
    pub fn is_smooth(&self) -> bool {
        self.tracks.values().all(|track| !track.ragged)
    }

    /// The frames that lack, at least in part, between the oldest and the newest of each track's newest epoch; in order.
    pub fn lacking(&mut self) -> Vec<Frame> {
        let mut all = Vec::new();
        for (&(track, rendition), window) in &mut self.tracks {
            let lacking = window.lacking();
            window.ragged = !lacking.is_empty();
            all.extend(
                lacking
                    .into_iter()
                    .map(|position| (track, rendition, position)),
            );
        }
        all
    }

    /// What is held of one frame.
    pub fn frame(&self, &(track, rendition, position): &Frame) -> Vec<Chunk> {
        let track = self.tracks.get(&(track, rendition));
        let parts = |track: &TrackWindow| {
            let parts = track.chunks.range((position, 0)..(position.next(), 0));
            parts.map(|(_, chunk)| chunk.clone()).collect()
        };
        track.map(parts).unwrap_or_default()
    }

    /// Whether all of one frame is held.
    pub fn is_whole(&self, frame: &Frame) -> bool {
        let held = self.frame(frame);
        held.first()
            .is_some_and(|chunk| held.len() == usize::from(chunk.header().parts))
    }

    /// The oldest frame of each track's newest epoch.
    pub fn oldest(&self) -> Vec<TrackPosition> {
        let oldest = |(&(track, rendition), window): (&Name, &TrackWindow)| {
            let epoch = window.newest()?.header().position.epoch;
            let (&(position, _), _) = window
                .chunks
                .range((Position::start_of(epoch), 0)..)
                .next()?;
            Some(TrackPosition {
                track,
                rendition,
                position,
            })
        };
        self.tracks.iter().filter_map(oldest).collect()
    }

    /// The first frame of each track this peer lacks: where another parent is to go on. A frame that lies
    /// behind a gap does not count as held.
    pub fn first_lacking(&self) -> Vec<TrackPosition> {
        let lacking = |(&(track, rendition), window): (&Name, &TrackWindow)| {
            let position = window.first_lacking()?;
            Some(TrackPosition {
                track,
                rendition,
                position,
            })
        };
        self.tracks.iter().filter_map(lacking).collect()
    }
}

impl TrackWindow {
    fn lacking(&self) -> Vec<Position> {
        let Some(newest) = self.newest().map(|chunk| chunk.header().position) else {
            return Vec::new();
        };
        let mut lacking = Vec::new();
        let mut expected: Option<Key> = None;
        let start = Position::start_of(newest.epoch);
        for (&(position, part), chunk) in self.chunks.range((start, 0)..) {
            let (mut next, next_part) = expected.unwrap_or((position, part));
            if (next, next_part) != (position, part) {
                // The rest of a frame, whole frames, and the beginning of this one.
                while next < position && lacking.len() < MOST_LACKING {
                    lacking.push(next);
                    next = next.next();
                }
                if part != 0 && position != newest && lacking.last() != Some(&position) {
                    lacking.push(position);
                }
            }
            expected = Some(after((position, part), chunk));
        }
        lacking
    }

    fn first_lacking(&self) -> Option<Position> {
        let newest_epoch = self.newest()?.header().position.epoch;
        let mut expected: Option<Key> = None;
        for (&(position, part), chunk) in self.chunks.range((Position::start_of(newest_epoch), 0)..)
        {
            if expected.is_some_and(|key| key != (position, part))
                || (expected.is_none() && part != 0)
            {
                break;
            }
            expected = Some(after((position, part), chunk));
        }
        expected.map(|(position, _)| position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{Header, cut};
    use crate::id::StreamHandle;
    use crate::time::Time;

    fn chunks(track: Track, sequence: u64, media_ms: u64, key: bool, bytes: usize) -> Vec<Chunk> {
        let header = Header {
            random_access: key,
            track,
            rendition: 0,
            key_id: 0,
            handle: StreamHandle(1),
            position: Position { epoch: 1, sequence },
            part: 0,
            parts: 1,
            capture: Time::from_millis(media_ms),
            media_us: media_ms * 1000,
        };
        cut(header, &vec![7; bytes])
    }

    fn video_and_sound(seconds: u64) -> Window {
        let mut window = Window::default();
        for frame in 0..seconds * 25 {
            for chunk in chunks(Track::Video, frame, frame * 40, frame % 25 == 0, 100) {
                assert!(window.insert(&chunk));
            }
            for half in 0..2 {
                for chunk in chunks(
                    Track::Audio,
                    frame * 2 + half,
                    frame * 40 + half * 20,
                    true,
                    50,
                ) {
                    assert!(window.insert(&chunk));
                }
            }
        }
        window
    }

    #[test]
    fn a_late_joiner_gets_the_newest_group_of_pictures_and_its_sound() {
        let joined = video_and_sound(10).from_newest_start();
        let first = joined.first().expect("a group").header();
        assert_eq!(
            (first.track, first.media_us, first.random_access),
            (Track::Video, 9_000_000, true)
        );
        assert!(joined.iter().all(|c| c.header().media_us >= 9_000_000));
        assert_eq!(joined.len(), 25 + 50);
    }

    #[test]
    fn four_seconds_are_kept_and_not_much_more() {
        let window = video_and_sound(60);
        let oldest = window.from_positions(&[TrackPosition {
            track: Track::Video,
            rendition: 0,
            position: Position::default(),
        }]);
        let first = oldest.first().expect("kept").header().media_us;
        assert!((55_900_000..=56_000_000).contains(&first), "{first}");
    }

    #[test]
    fn a_group_longer_than_the_span_is_kept_whole() {
        let mut window = Window::default();
        for frame in 0..500 {
            chunks(Track::Video, frame, frame * 40, frame == 0, 100)
                .iter()
                .for_each(|c| {
                    window.insert(c);
                });
        }
        assert_eq!(window.from_newest_start().len(), 500);
    }

    #[test]
    fn memory_stays_within_its_bound_even_without_key_frames() {
        let mut window = Window::default();
        for frame in 0..2_000 {
            for chunk in chunks(Track::Video, frame, frame, frame == 0, 30_000) {
                window.insert(&chunk);
            }
        }
        assert!(window.bytes() <= MAX_BYTES);
        assert!(window.bytes() > MAX_BYTES / 2);
    }

    #[test]
    fn a_chunk_that_comes_twice_is_new_only_once() {
        let mut window = Window::default();
        let chunk = &chunks(Track::Video, 0, 0, true, 10)[0];
        assert!(window.insert(chunk));
        assert!(!window.insert(chunk));
    }

    #[test]
    fn what_is_lacking_begins_at_the_first_gap() {
        let mut window = Window::default();
        for sequence in [0, 1, 2, 4, 5] {
            window.insert(&chunks(Track::Video, sequence, sequence * 40, sequence == 0, 10)[0]);
        }
        let lacking = window.first_lacking();
        assert_eq!(
            lacking
                .iter()
                .map(|l| l.position.sequence)
                .collect::<Vec<_>>(),
            [3]
        );
    }

    #[test]
    fn holes_are_known_until_they_are_filled() {
        let mut window = Window::default();
        let frame = |sequence| (Track::Video, 0, Position { epoch: 1, sequence });
        let put = |sequences: &[u64], window: &mut Window| {
            for &sequence in sequences {
                window.insert(&chunks(Track::Video, sequence, sequence * 40, sequence == 0, 10)[0]);
            }
        };
        put(&[0, 1, 2], &mut window);
        assert!(window.is_smooth());
        put(&[4, 7], &mut window);
        assert!(!window.is_smooth());
        assert_eq!(window.lacking(), [frame(3), frame(5), frame(6)]);
        put(&[5, 3, 6], &mut window);
        assert_eq!(window.lacking(), []);
        assert!(window.is_smooth());
    }

    #[test]
    fn a_frame_that_lacks_a_part_in_the_middle_lacks() {
        let mut window = Window::default();
        let parts = chunks(Track::Video, 1, 40, false, 60_000);
        window.insert(&chunks(Track::Video, 0, 0, true, 10)[0]);
        parts
            .iter()
            .filter(|p| p.header().part != 1)
            .for_each(|part| {
                window.insert(part);
            });
        window.insert(&chunks(Track::Video, 2, 80, false, 10)[0]);
        let frame = (Track::Video, 0, parts[0].header().position);
        assert_eq!(
            (window.lacking(), window.is_whole(&frame)),
            (vec![frame], false)
        );
        window.insert(&parts[1]);
        assert_eq!((window.lacking(), window.is_whole(&frame)), (vec![], true));
    }

    #[test]
    fn a_frame_of_which_a_part_is_lacking_is_asked_for_again() {
        let mut window = Window::default();
        window.insert(&chunks(Track::Video, 0, 0, true, 10)[0]);
        window.insert(&chunks(Track::Video, 1, 40, false, 40_000)[0]);
        assert_eq!(window.first_lacking()[0].position.sequence, 1);
    }
}
