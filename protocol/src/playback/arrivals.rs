//! Chunks as they come, in any order and perhaps twice, put together to frames in their order.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::chunk::{Chunk, Header, Position};
use crate::time::Time;

/// Bytes that may wait at most. Ten seconds at 12 Mbit/s; what waits longer comes too late for any hold.
const MOST_BYTES: usize = 16 << 20;
/// Frames that may wait at most. Guess: ten seconds of both tracks, four times over.
const MOST_FRAMES: usize = 4096;

/// One whole frame, as the container's writer made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) position: Position,
    pub(super) random_access: bool,
    pub(super) capture: Time,
    pub(super) media_us: u64,
    pub(super) bytes: Bytes,
}

/// A frame of which some parts are there.
#[derive(Debug)]
struct Partial {
    header: Header,
    parts: Vec<Option<Bytes>>,
    lacking: usize,
}

impl Partial {
    fn new(header: Header) -> Self {
        let parts = usize::from(header.parts);
        Self {
            header,
            parts: vec![None; parts],
            lacking: parts,
        }
    }

    /// Takes a part; gives the bytes that are new.
    fn insert(&mut self, chunk: &Chunk) -> usize {
        let place = self.parts.get_mut(usize::from(chunk.header().part));
        let Some(place @ None) = place else { return 0 };
        let payload = chunk.payload();
        let new = payload.len();
        *place = Some(payload);
        self.lacking -= 1;
        new
    }

    const fn is_whole(&self) -> bool {
        self.lacking == 0
    }

    fn len(&self) -> usize {
        self.parts.iter().flatten().map(Bytes::len).sum()
    }

    fn join(mut self) -> Frame {
        let bytes = match &mut self.parts[..] {
            [only] => only.take().unwrap_or_default(),
            several => {
                let mut all = BytesMut::new();
                several
                    .iter()
                    .flatten()
                    .for_each(|part| all.extend_from_slice(part));
                all.freeze()
            }
        };
        let Header {
            position,
            random_access,
            capture,
            media_us,
            ..
        } = self.header;
        Frame {
            position,
            random_access,
            capture,
            media_us,
            bytes,
        }
    }
}

/// What has come of one track and is not yet appended.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// Sound: decoding can start at any frame, and a cluster's head can be put before it ([`super::sound`]).
    start_anywhere: bool,
    frames: BTreeMap<Position, Partial>,
    bytes: usize,
    /// The frame to be appended next; none before the start.
    next: Option<Position>,
    /// Nobody will send what lies before this.
    skipped_to: Option<Position>,
}

impl Arrivals {
    pub(super) const fn new(start_anywhere: bool) -> Self {
        Self {
            start_anywhere,
            frames: BTreeMap::new(),
            bytes: 0,
            next: None,
            skipped_to: None,
        }
    }

    /// Takes a chunk, unless it is here already or comes too late.
    pub(super) fn insert(&mut self, chunk: &Chunk) {
        let header = *chunk.header();
        if self.next.is_some_and(|next| header.position < next) {
            return;
        }
        let frame = self
            .frames
            .entry(header.position)
            .or_insert_with(|| Partial::new(header));
        self.bytes += frame.insert(chunk);
        if self.bytes > MOST_BYTES || self.frames.len() > MOST_FRAMES {
            self.forget_all_but_newest_start();
        }
    }

    /// Takes note that the frames up to `to` will not come.
    pub(super) fn skipped(&mut self, to: Position) {
        self.skipped_to = self.skipped_to.max(Some(to));
    }

    /// Whether a start has been chosen.
    pub(super) const fn has_started(&self) -> bool {
        self.next.is_some()
    }

    /// The next frame in order, if it is whole.
    pub(super) fn take_next(&mut self) -> Option<Frame> {
        let next = self.next?;
        self.frames.get(&next).filter(|f| f.is_whole())?;
        let frame = self.frames.remove(&next)?;
        self.bytes -= frame.len();
        self.next = Some(next.next());
        Some(frame.join())
    }

    /// Whether a later frame has come, at least in part, while the next one is not whole.
    pub(super) fn has_gap(&self) -> bool {
        let Some(next) = self.next else { return false };
        let whole = self.frames.get(&next).is_some_and(Partial::is_whole);
        !whole && self.frames.range(next.next()..).next().is_some()
    }

    /// Whether nobody will send the next frame any more.
    pub(super) fn next_is_skipped(&self) -> bool {
        matches!((self.next, self.skipped_to), (Some(next), Some(to)) if next < to)
    }

    fn starts(&self, from: Position) -> impl DoubleEndedIterator<Item = &Header> + '_ {
        let fits = |f: &&Partial| f.is_whole() && (self.start_anywhere || f.header.random_access);
        self.frames
            .range(from..)
            .map(|(_, f)| f)
            .filter(fits)
            .map(|f| &f.header)
    }

    /// The first whole frame after the next one at which decoding can start, of an epoch that `known` knows.
    pub(super) fn start_after_gap(&self, known: impl Fn(u32) -> bool) -> Option<Header> {
        let from = self.next.map_or_else(Position::default, Position::next);
        self.starts(from).find(|h| known(h.position.epoch)).copied()
    }

    /// The newest whole frame at which decoding can start, of an epoch that `known` knows.
    pub(super) fn newest_start(&self, known: impl Fn(u32) -> bool) -> Option<Header> {
        self.starts(Position::default())
            .rev()
            .find(|h| known(h.position.epoch))
            .copied()
    }

    /// The first whole frame at `media_us` or later at which decoding can start.
    pub(super) fn start_from(&self, media_us: u64, known: impl Fn(u32) -> bool) -> Option<Header> {
        let fits = |h: &&Header| h.media_us >= media_us && known(h.position.epoch);
        self.starts(Position::default()).find(fits).copied()
    }

    /// Goes on at `position`; what lies before it is forgotten.
    pub(super) fn go_on_at(&mut self, position: Position) {
        let rest = self.frames.split_off(&position);
        self.bytes -= self.frames.values().map(Partial::len).sum::<usize>();
        self.frames = rest;
        self.next = Some(position);
    }

    /// Forgets the past while nothing is appended, and chooses a start again later.
    pub(super) fn forget_all_but_newest_start(&mut self) {
        let newest = self.newest_start(|_| true).map(|h| h.position);
        let oldest = self.frames.first_key_value().map(|(&position, _)| position);
        match newest {
            Some(start) if oldest != Some(start) => self.go_on_at(start),
            _ if self.bytes > MOST_BYTES / 2 || self.frames.len() > MOST_FRAMES / 2 => {
                self.frames.clear();
                self.bytes = 0;
            }
            _ => {}
        }
        self.next = None;
    }

    #[cfg(test)]
    pub(super) fn is_within_bounds(&self) -> bool {
        let held: usize = self.frames.values().map(Partial::len).sum();
        held == self.bytes && self.bytes <= MOST_BYTES && self.frames.len() <= MOST_FRAMES
    }
}
