//! The player: when which bytes go into which buffer, where the play head is put, how fast it runs.
//!
//! Takes chunks in any order and looks at the play head; gives what is to be done with a media element. Knows
//! nothing of any element: the page carries the outputs out on `MediaSource`, the headless receiver on
//! [`screen::Screen`], and both are told the same. docs/protocol.md has the rules.

mod arrivals;
mod captured;
mod head;
pub mod hold;
mod lane;
mod ranges;
pub mod screen;
mod sound;
mod source;
#[cfg(test)]
mod tests;

use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::chunk::{Chunk, Position};
use crate::media::{Codec, Descriptor, Track};
use crate::stats::StallMeter;
use crate::time::{ClockMap, Time};
use captured::Captured;
use hold::Hold;
use lane::Lane;

/// A burst on joining comes within this; then the play head is put where the hold is ahead. Guess: two round
/// trips on a LAN and the time to append a second of media (measured: 0.4 ms a frame).
const BURST: Duration = Duration::from_millis(80);
/// So far before a hole the play head is put beyond it: it may not come nearer. Measured: Chromium's stops up to a
/// frame before the end of what it has.
const HOLE_NEAR: Duration = Duration::from_millis(50);
/// Sound that has run out while this much of the picture is ahead is not coming.
const SOUND_LATE: Duration = Duration::from_millis(150);
/// "Run out", and how far silence then goes ahead of the play head.
const SOUND_LOW: Duration = Duration::from_millis(50);
/// Media behind the play head that stays buffered, and how often the rest is removed. Guess.
const BEHIND: Duration = Duration::from_secs(10);
/// Media behind the play head that stays when the browser's quota is used up.
const BEHIND_WHEN_FULL: Duration = Duration::from_secs(1);
/// How often the play head wants to be looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the media element is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Media time at the play head, microseconds; while a seek is under way, where it goes.
    pub position_us: u64,
    /// The viewer wants it to play, and the browser lets it.
    pub wants_to_play: bool,
    /// The play head is in a hole of what the element itself says is buffered, or right before one: where the
    /// hole ends. Measured: Chromium makes one where the last frame before a cluster lasts longer than those
    /// before it, although no frame is missing.
    pub hole_ends_us: Option<u64>,
}

/// What happens to a player.
#[derive(Debug, Clone)]
pub enum Input {
    /// A new epoch of the stream, or the first.
    Epoch(Descriptor),
    /// A chunk, in any order.
    Chunk(Chunk),
    /// Frames before `to` that are not here yet will not come.
    Skipped {
        /// Of which track.
        track: Track,
        /// The next frame that does come.
        to: Position,
    },
    /// A look at the media element.
    Element(Element),
    /// The media source asked for by [`Output::Open`] is open and has its buffers.
    SourceOpen,
    /// The media source or the element has failed for good.
    SourceFailed,
    /// A buffer is full.
    QuotaExceeded(Track),
    /// How our clock and the broadcaster's map to the supervisor's, as far as is known.
    Clock {
        /// Ours.
        own: Option<ClockMap>,
        /// The broadcaster's.
        broadcaster: Option<ClockMap>,
    },
    /// The round trip to the furthest peer that may have to feed us.
    RoundTrip(Duration),
    /// Who feeds us now is itself a viewer, who may leave at any time, or a box that is always on.
    FedByViewer(bool),
    /// The stream is over: what is buffered is played out.
    Ended,
    /// Time has passed.
    Tick,
}

/// What is to be done with the media element.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Make a new media source with these buffers, in place of the one there may be; say [`Input::SourceOpen`].
    Open(Vec<(Track, Codec)>),
    /// Append to the track's buffer, after all that was asked of it before.
    Append {
        /// Which buffer.
        track: Track,
        /// What.
        bytes: Bytes,
        /// The media time it is taken to cover, for models of an element; empty for an init segment.
        media_us: Range<u64>,
    },
    /// Reset the buffer's parser: `SourceBuffer.abort()`.
    Abort(Track),
    /// Remove everything before this from the buffer, ahead of all else asked of it.
    Remove {
        /// Which buffer.
        track: Track,
        /// Media time, microseconds.
        up_to_us: u64,
    },
    /// Put the play head here, microseconds of media time, after all that was asked of the buffers before.
    Seek(u64),
    /// Play at this speed; 0 stands still without being paused.
    Rate(f32),
    /// Begin to play.
    Play,
    /// No more will come: `MediaSource.endOfStream()`.
    End,
    /// News for the page and the log.
    Event(Event),
}

/// What the viewer notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The first picture is there and moves.
    Started,
    /// The picture stands still.
    Stalled,
    /// It moves again.
    Resumed,
    /// Media was left out, microseconds.
    Jumped(u64),
    /// The media source failed and is made anew.
    Rebuilt,
    /// The stream ended and has been played out.
    Finished,
    /// The browser refuses whatever it is given.
    GaveUp,
}

/// Figures for the overlay and the report.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Stalls so far.
    pub stalls: u32,
    /// Their total length.
    pub stalled: Duration,
    /// The longest.
    pub longest_stall: Duration,
    /// Whether the picture stands still now.
    pub is_stalled: bool,
    /// What is kept ahead, by the rules.
    pub hold: Duration,
    /// What is ahead.
    pub ahead: Duration,
    /// Capture to picture; none before the clocks are known.
    pub latency: Option<Duration>,
    /// Speed asked for last.
    pub rate: f32,
    /// Holes jumped.
    pub jumps: u32,
    /// Sources made anew.
    pub rebuilds: u32,
    /// Packets of silence put in the place of lost sound.
    pub silent_packets: u64,
    /// Whether the first picture was there.
    pub started: bool,
    /// Media time at the play head, microseconds.
    pub position_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing to open yet.
    Closed,
    /// The source is being made.
    Opening,
    /// It is there, and empty.
    Empty,
    /// The first frames are in; the hold is not.
    Filling { since: Time },
    /// The play head moves.
    Playing,
    /// It ran dry, and stands still until there is something to play.
    Dry,
    /// The stream is over and played out.
    Over,
}

/// The player of one stream. See the module's own words.
#[derive(Debug)]
pub struct Playback {
    phase: Phase,
    lanes: BTreeMap<Track, Lane>,
    running: Option<Descriptor>,
    coming: Option<Descriptor>,
    /// Chunks that came before the description of their epoch.
    early: Vec<Chunk>,
    hold: Hold,
    meter: StallMeter,
    captured: Captured,
    position_us: u64,
    /// Media time at which the source was started last.
    start_us: u64,
    wants_to_play: bool,
    /// Nothing is appended, because the viewer has paused for long.
    parked: bool,
    /// The first pictures after that are awaited.
    resuming: bool,
    /// The play head has been told to move, for the first time or after a pause, and has yet to: browsers take
    /// their time, and that is start-up.
    starting: bool,
    ended: bool,
    started: bool,
    rate: f32,
    /// When to see whether more came on joining than was expected.
    settle_at: Time,
    push_at: Time,
    /// When the play head was last seen to move.
    moved_at: Time,
    remove_at: Time,
    failed_at: Option<Time>,
    failures: u32,
    jumps: u32,
    rebuilds: u32,
    looked: Time,
}

/// Chunks kept for an epoch not yet described. Guess: half a second of a camera with large key frames; the
/// description is sent first, and only order between channels can make it late.
const MOST_EARLY: usize = 256;

impl Playback {
    /// A player without a stream.
    pub fn new(now: Time) -> Self {
        Self {
            phase: Phase::Closed,
            lanes: BTreeMap::new(),
            running: None,
            coming: None,
            early: Vec::new(),
            hold: Hold::new(now),
            meter: StallMeter::default(),
            captured: Captured::default(),
            position_us: 0,
            start_us: 0,
            wants_to_play: true,
            parked: false,
            resuming: false,
            starting: false,
            ended: false,
            started: false,
            rate: 1.0,
            settle_at: Time::NEVER,
            push_at: Time::ZERO,
            moved_at: now,
            remove_at: now + BEHIND,
            failed_at: None,
            failures: 0,
            jumps: 0,
            rebuilds: 0,
            looked: now,
        }
    }

    /// A player without a stream that keeps just so much ahead, whatever happens.
    pub fn holding(now: Time, hold: Duration) -> Self {
        Self {
            hold: Hold::fixed(now, hold),
            ..Self::new(now)
        }
    }

    /// Takes one step.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Epoch(descriptor) => self.epoch(descriptor, out),
            Input::Chunk(chunk) => self.chunk(chunk),
            Input::Skipped { track, to } => {
                if let Some(lane) = self.lanes.get_mut(&track) {
                    lane.skipped(to);
                }
            }
            Input::Element(element) => self.look(now, element, out),
            Input::SourceOpen => self.source_open(now, out),
            Input::SourceFailed => self.source_failed(now, out),
            Input::QuotaExceeded(track) => self.remove(track, BEHIND_WHEN_FULL, out),
            Input::Clock { own, broadcaster } => self.captured.set_clocks(own, broadcaster),
            Input::RoundTrip(time) => self.hold.takeover_takes(time),
            Input::FedByViewer(viewer) => self.hold.fed_by_viewer(viewer),
            Input::Ended => self.ended = true,
            Input::Tick => {}
        }
        self.feed(now, out);
        self.begin_if_filled(now, out);
    }

    /// When [`Self::handle`] wants to be called at the latest, with a look at the element.
    pub fn next_wakeup(&self) -> Time {
        match self.phase {
            Phase::Closed | Phase::Opening | Phase::Empty | Phase::Over => Time::NEVER,
            Phase::Filling { .. } | Phase::Playing | Phase::Dry => self.looked + LOOK_EVERY,
        }
    }

    /// Figures, as they are now.
    pub fn stats(&self, now: Time) -> Stats {
        Stats {
            stalls: self.meter.count(),
            stalled: self.meter.total(now),
            longest_stall: self.meter.longest(now),
            is_stalled: self.meter.is_stalled(),
            hold: self.hold.get(),
            ahead: Duration::from_micros(self.ahead()),
            latency: if self.started {
                self.captured.latency(now, self.position_us)
            } else {
                None
            },
            rate: self.rate,
            jumps: self.jumps,
            rebuilds: self.rebuilds,
            silent_packets: self.lanes.values().map(Lane::silent_packets).sum(),
            started: self.started,
            position_us: self.position_us,
        }
    }

    #[cfg(test)]
    fn is_within_bounds(&self) -> bool {
        self.early.len() <= MOST_EARLY && self.lanes.values().all(Lane::is_within_bounds)
    }
}

/// The tracks of `descriptor` that are played: of rendition 0.
fn played(descriptor: &Descriptor) -> impl Iterator<Item = (Track, Codec)> {
    let found = |track| descriptor.find(track, 0).map(|info| (track, info.codec));
    [Track::Video, Track::Audio].into_iter().filter_map(found)
}

/// The track a player starts with: pictures, where there are any.
fn main_track(descriptor: &Descriptor) -> Track {
    played(descriptor)
        .map(|(track, _)| track)
        .min()
        .unwrap_or(Track::Video)
}
