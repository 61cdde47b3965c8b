//! The player: when which bytes go into which buffer, where the play head is put, how fast it runs.
//!
//! Takes chunks in any order and looks at the play head; gives what is to be done with a media element. Knows
//! nothing of any element: the page carries the outputs out on `MediaSource`, the headless receiver on
//! [`screen::Screen`], and both are told the same. Design §8 has the rules, the findings what browsers do.

mod arrivals;
mod captured;
pub mod hold;
mod lane;
mod ranges;
pub mod screen;
mod sound;
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
use hold::{Advice, Hold};
use lane::{Epochs, Lane, Moment, micros};

/// A burst on joining comes within this; then the play head is put where the hold is ahead. Guess: two round
/// trips on a LAN and the time to append a second of media (measured: 0.4 ms a frame).
const BURST: Duration = Duration::from_millis(80);
/// A burst that took longer is found out after this.
const SETTLED: Duration = Duration::from_millis(600);
/// So far before a hole the play head is put beyond it: it may not come nearer. Measured: Chromium's stops up to a
/// frame before the end of what it has.
const HOLE_NEAR: Duration = Duration::from_millis(50);
/// Sound may begin so much before or after the first picture: a packet and a bit.
const START_SLACK: Duration = Duration::from_millis(25);
/// Sound that has run out while this much of the picture is ahead is not coming.
const SOUND_LATE: Duration = Duration::from_millis(150);
/// The same, before the first sound came. Guess.
const FIRST_SOUND_LATE: Duration = Duration::from_millis(500);
/// A gap younger than this is no loss. Guess: as long as until a repair is asked for (design §5).
const GAP_GRACE: Duration = Duration::from_millis(40);
/// The same while nothing plays yet, and nothing is gained by hurry. Guess.
const FIRST_GAP_GRACE: Duration = Duration::from_millis(250);
/// "Run out", and how far silence then goes ahead of the play head.
const SOUND_LOW: Duration = Duration::from_millis(50);
/// Media behind the play head that stays buffered, and how often the rest is removed (design §8).
const BEHIND: Duration = Duration::from_secs(10);
/// Media behind the play head that stays when the browser's quota is used up.
const BEHIND_WHEN_FULL: Duration = Duration::from_secs(1);
/// A paused viewer's buffer does not grow beyond this. Guess.
const PAUSED_AHEAD: Duration = Duration::from_secs(5);
/// A play head that stands still with media ahead is pushed, so often. Measured: a seek takes 8–40 ms, but up to a
/// second on a machine with too much to do, and a seek every half second kept such a one from ever playing.
const PUSH_EVERY: Duration = Duration::from_millis(1500);
/// A source that fails again within this has failed of what was put back into it.
const FAILED_AGAIN: Duration = Duration::from_secs(2);
/// Failures in such a row that end it. Guess.
const MOST_FAILURES: u32 = 5;
/// How often the play head wants to be looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the media element is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Media time at the play head, microseconds; while a seek is under way, where it goes.
    pub position_us: u64,
    /// The viewer wants it to play, and the browser lets it.
    pub wants_to_play: bool,
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
    ended: bool,
    started: bool,
    rate: f32,
    /// When to see whether more came on joining than was expected.
    settle_at: Time,
    push_at: Time,
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
            ended: false,
            started: false,
            rate: 1.0,
            settle_at: Time::NEVER,
            push_at: Time::ZERO,
            remove_at: now + BEHIND,
            failed_at: None,
            failures: 0,
            jumps: 0,
            rebuilds: 0,
            looked: now,
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

    // --- what comes in -------------------------------------------------------------------------

    fn epoch(&mut self, descriptor: Descriptor, out: &mut Vec<Output>) {
        let newest = self
            .coming
            .as_ref()
            .or(self.running.as_ref())
            .map(|d| d.epoch);
        if newest.is_some_and(|newest| descriptor.epoch <= newest)
            || played(&descriptor).next().is_none()
        {
            return;
        }
        self.ended = false;
        if self.phase == Phase::Closed || !self.started {
            self.open(descriptor, out);
        } else {
            self.coming = Some(descriptor);
        }
        let early = core::mem::take(&mut self.early);
        early.into_iter().for_each(|chunk| self.chunk(chunk));
    }

    fn chunk(&mut self, chunk: Chunk) {
        let header = chunk.header();
        if header.rendition != 0 {
            return;
        }
        let of =
            |d: &Option<Descriptor>| d.as_ref().is_some_and(|d| d.epoch == header.position.epoch);
        if !of(&self.running) && !of(&self.coming) {
            let newest = self
                .coming
                .as_ref()
                .or(self.running.as_ref())
                .map_or(0, |d| d.epoch);
            if header.position.epoch > newest && self.early.len() < MOST_EARLY {
                self.early.push(chunk);
            }
            return;
        }
        if let Some(lane) = self.lanes.get_mut(&header.track) {
            if header.track == self.running.as_ref().map_or(Track::Video, main_track) {
                self.captured.remember(header.media_us, header.capture);
            }
            lane.insert(&chunk);
        }
    }

    fn source_open(&mut self, now: Time, out: &mut Vec<Output>) {
        let (Phase::Opening, Some(running)) = (self.phase, &self.running) else {
            return;
        };
        let epochs = Epochs {
            running,
            coming: None,
        };
        let start = self
            .lanes
            .get(&main_track(running))
            .and_then(Lane::kept_from);
        self.lanes
            .values_mut()
            .for_each(|lane| lane.refill(epochs, out));
        self.phase = Phase::Empty;
        if let Some(start) = start {
            self.start_from(now, start, out);
        }
    }

    fn source_failed(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(tracks) = self
            .running
            .as_ref()
            .map(|running| played(running).collect())
        else {
            return;
        };
        let again = self
            .failed_at
            .is_some_and(|at| now.since(at) < FAILED_AGAIN);
        if again {
            self.lanes.values_mut().for_each(Lane::forget_kept);
        }
        self.failures = if again { self.failures + 1 } else { 1 };
        self.failed_at = Some(now);
        if self.failures > MOST_FAILURES {
            self.phase = Phase::Over;
            out.push(Output::Event(Event::GaveUp));
            return;
        }
        self.rebuilds += 1;
        out.push(Output::Event(Event::Rebuilt));
        self.phase = Phase::Opening;
        out.push(Output::Open(tracks));
    }

    // --- the source and its buffers ------------------------------------------------------------

    /// A new source for `descriptor`, with nothing kept.
    fn open(&mut self, descriptor: Descriptor, out: &mut Vec<Output>) {
        let mut before = core::mem::take(&mut self.lanes);
        for (track, codec) in played(&descriptor) {
            let Some(info) = descriptor.find(track, 0) else {
                continue;
            };
            // What has come of the new epoch waits in the old lane.
            let lane = before.remove(&track).filter(|lane| lane.codec() == codec);
            let mut lane = lane.unwrap_or_else(|| Lane::new(info));
            lane.forget_kept();
            self.lanes.insert(track, lane);
        }
        self.captured.forget();
        self.coming = None;
        self.phase = Phase::Opening;
        out.push(Output::Open(played(&descriptor).collect()));
        self.running = Some(descriptor);
    }

    /// Whether the epoch that comes can go into the buffers there are.
    fn coming_fits(&self) -> bool {
        let (Some(running), Some(coming)) = (&self.running, &self.coming) else {
            return false;
        };
        let end = self
            .lanes
            .values()
            .filter_map(|lane| lane.ranges().end())
            .max()
            .unwrap_or(0);
        // Media time goes on across epochs; where it does not, the play head would have to go back.
        played(running).eq(played(coming))
            && coming.media_origin_us.saturating_add(1_000_000) >= end
    }

    fn feed(&mut self, now: Time, out: &mut Vec<Output>) {
        if matches!(self.phase, Phase::Closed | Phase::Opening | Phase::Over) {
            return;
        }
        if self.park_if_paused() {
            return;
        }
        self.change_epoch_if_due(out);
        let fits = self.coming_fits();
        let Some(running) = self.running.take() else {
            return;
        };
        let coming = self.coming.take();
        let fits = coming.as_ref().filter(|_| fits);
        let epochs = Epochs {
            running: &running,
            coming: fits,
        };
        if self.phase != Phase::Opening {
            self.start_lanes(now, epochs, out);
            let grace = if self.is_filling() {
                FIRST_GAP_GRACE
            } else {
                GAP_GRACE
            };
            let moment = Moment {
                now,
                position_us: self.position_us,
                grace,
            };
            for lane in self.lanes.values_mut().filter(|lane| lane.has_started()) {
                lane.advance(moment, epochs, out);
            }
            self.stand_in_for_sound(now, out);
        }
        self.trim_kept();
        (self.running, self.coming) = (Some(running), coming);
        self.epoch_has_changed();
    }

    const fn is_filling(&self) -> bool {
        matches!(self.phase, Phase::Filling { .. })
    }

    /// A viewer who paused does not fill memory: only the newest group is kept for when play is pressed.
    fn park_if_paused(&mut self) -> bool {
        if self.wants_to_play {
            self.resuming |= self.parked;
            self.parked = false;
        } else if self.ahead() > micros(PAUSED_AHEAD) {
            self.parked = true;
        }
        if self.parked {
            self.lanes.values_mut().for_each(Lane::park);
        }
        self.parked
    }

    fn start_lanes(&mut self, now: Time, epochs: Epochs<'_>, out: &mut Vec<Output>) {
        let main = main_track(epochs.running);
        if let Some(lane) = self.lanes.get_mut(&main).filter(|lane| !lane.has_started())
            && let Some(start) = lane.start_with_newest(epochs, out)
        {
            self.start_from(now, start, out);
        }
        if !self.lanes.get(&main).is_some_and(Lane::has_started) {
            return;
        }
        let waited = !matches!(self.phase, Phase::Filling { since } if now.since(since) < BURST);
        for lane in self.lanes.values_mut().filter(|lane| !lane.has_started()) {
            lane.start_at(self.start_us, micros(START_SLACK), waited, epochs, out);
        }
    }

    fn start_from(&mut self, now: Time, start_us: u64, out: &mut Vec<Output>) {
        self.start_us = start_us;
        self.position_us = start_us;
        // The key frame's own time: Chromium's `buffered.start` may be earlier, and shows nothing there.
        out.push(Output::Seek(start_us));
        self.meter.moved_to(start_us);
        self.phase = Phase::Filling { since: now };
    }

    /// An epoch that does not fit into the buffers gets a source of its own, once the old one is played out.
    fn change_epoch_if_due(&mut self, out: &mut Vec<Output>) {
        let Some(coming) = &self.coming else { return };
        let main = main_track(coming);
        let has_start = self
            .lanes
            .get(&main)
            .is_none_or(|lane| lane.can_start_epoch(coming.epoch));
        if self.coming_fits() || !has_start || self.ahead() > micros(HOLE_NEAR) {
            return;
        }
        if let Some(coming) = self.coming.take() {
            self.open(coming, out);
        }
    }

    /// The first buffer with a new epoch in it makes that the running one.
    fn epoch_has_changed(&mut self) {
        let Some(coming) = &self.coming else { return };
        if self
            .lanes
            .values()
            .any(|lane| lane.epoch() == Some(coming.epoch))
        {
            self.captured.forget();
            self.running = self.coming.take();
        }
    }

    fn stand_in_for_sound(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(picture) = self
            .lanes
            .get(&Track::Video)
            .map(|lane| lane.ranges().left(self.position_us))
        else {
            return;
        };
        let Some(sound) = self.lanes.get_mut(&Track::Audio) else {
            return;
        };
        let is_late = match self.phase {
            Phase::Filling { since } => now.since(since) > FIRST_SOUND_LATE,
            Phase::Playing | Phase::Dry => true,
            _ => false,
        };
        let left = sound.ranges().left(self.position_us);
        if is_late && left < micros(SOUND_LOW) && picture > left + micros(SOUND_LATE) {
            let until = self.position_us + picture.min(micros(SOUND_LATE) + micros(SOUND_LOW));
            sound.stand_in(self.position_us, until, out);
        }
    }

    fn trim_kept(&mut self) {
        let start = self
            .lanes
            .get(&Track::Video)
            .map(|lane| lane.kept_from().unwrap_or(u64::MAX));
        if let Some(sound) = self.lanes.get_mut(&Track::Audio) {
            sound.trim_kept_sound(start);
        }
    }

    fn remove(&self, track: Track, behind: Duration, out: &mut Vec<Output>) {
        let up_to_us = self.position_us.saturating_sub(micros(behind));
        if up_to_us > 0 && self.lanes.contains_key(&track) {
            out.push(Output::Remove { track, up_to_us });
        }
    }

    // --- the play head -------------------------------------------------------------------------

    /// Media to play before the first track runs out, holes left out.
    fn ahead(&self) -> u64 {
        self.lanes
            .values()
            .map(|lane| lane.ranges().ahead(self.position_us))
            .min()
            .unwrap_or(0)
    }

    /// Where all tracks have the hold ahead of them, or as much as there is.
    fn live_position(&self) -> u64 {
        let hold = micros(self.hold.get());
        let back = |lane: &Lane| lane.ranges().back_from_end(hold).unwrap_or(0);
        self.lanes
            .values()
            .map(back)
            .min()
            .unwrap_or(0)
            .max(self.position_us)
    }

    fn begin_if_filled(&mut self, now: Time, out: &mut Vec<Output>) {
        let Phase::Filling { since } = self.phase else {
            return;
        };
        let ahead = Duration::from_micros(self.ahead());
        let enough = if self.started {
            self.hold.low()
        } else {
            self.hold.get()
        };
        let all = self.ended && now.since(since) > SETTLED;
        if now.since(since) < BURST || (ahead < enough && !all) {
            return;
        }
        self.phase = Phase::Playing;
        self.resuming = false;
        if ahead > self.hold.high() {
            self.put_play_head(self.live_position(), out);
        }
        if let Some(target) = self.beyond_holes(0) {
            self.put_play_head(target, out);
        }
        self.set_rate(1.0, out);
        self.settle_at = now + SETTLED;
        if self.wants_to_play {
            out.push(Output::Play);
        }
        if !self.started {
            self.started = true;
            out.push(Output::Event(Event::Started));
        }
    }

    fn put_play_head(&mut self, target_us: u64, out: &mut Vec<Output>) {
        if target_us != self.position_us {
            self.position_us = target_us;
            self.meter.moved_to(target_us);
            out.push(Output::Seek(target_us));
        }
    }

    fn set_rate(&mut self, rate: f32, out: &mut Vec<Output>) {
        if rate != self.rate {
            self.rate = rate;
            out.push(Output::Rate(rate));
        }
    }

    fn look(&mut self, now: Time, element: Element, out: &mut Vec<Output>) {
        self.looked = now;
        if element.wants_to_play && !self.wants_to_play {
            // Back from a pause: to where it is live.
            self.settle_at = now;
        }
        self.wants_to_play = element.wants_to_play;
        if self.parked {
            return;
        }
        if !matches!(self.phase, Phase::Playing | Phase::Dry) {
            self.meter.look(now, self.position_us, self.should_move());
            return;
        }
        self.position_us = element.position_us;
        self.meter_looks(now, out);
        self.hold.time_passes(now);
        if now >= self.remove_at {
            self.remove_old(now, out);
        }
        if !self.wants_to_play {
            return;
        }
        if self.ended && self.ahead() < micros(HOLE_NEAR) {
            self.finish(out);
            return;
        }
        self.jump_hole(now, out);
        self.keep_hold(now, out);
    }

    /// Whether a viewer is right to expect movement.
    fn should_move(&self) -> bool {
        let playing_out = self.ended && self.ahead() < micros(SOUND_LATE);
        self.started
            && self.wants_to_play
            && !self.resuming
            && !playing_out
            && self.phase != Phase::Over
    }

    /// Media time of what is seen and heard. Chromium's play head runs on for seconds after the last picture while
    /// there is sound.
    fn shown_us(&self) -> u64 {
        let shown = |lane: &Lane| lane.ranges().shown_at(self.position_us);
        self.lanes
            .values()
            .filter_map(shown)
            .min()
            .unwrap_or(self.position_us)
    }

    fn meter_looks(&mut self, now: Time, out: &mut Vec<Output>) {
        let was_stalled = self.meter.is_stalled();
        if self.meter.look(now, self.shown_us(), self.should_move()) {
            self.has_stalled(now, out);
            self.push_at = now + PUSH_EVERY;
        } else if was_stalled && !self.meter.is_stalled() {
            out.push(Output::Event(Event::Resumed));
        }
    }

    fn has_stalled(&mut self, now: Time, out: &mut Vec<Output>) {
        self.hold.stalled(now);
        out.push(Output::Event(Event::Stalled));
    }

    fn beyond_holes(&self, near_us: u64) -> Option<u64> {
        let beyond = |from: u64| {
            let holes = self
                .lanes
                .values()
                .filter_map(|lane| lane.ranges().beyond_hole(from, near_us));
            holes.max()
        };
        // The end of one track's hole may lie in another's.
        let first = beyond(self.position_us)?;
        Some((0..4).fold(first, |to, _| beyond(to).unwrap_or(to)))
    }

    fn jump_hole(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(target) = self.beyond_holes(micros(HOLE_NEAR)) else {
            return;
        };
        self.jumps += 1;
        out.push(Output::Event(Event::Jumped(target - self.position_us)));
        if self.meter.jump(now, target) {
            self.has_stalled(now, out);
        }
        self.put_play_head(target, out);
    }

    fn keep_hold(&mut self, now: Time, out: &mut Vec<Output>) {
        let ahead = Duration::from_micros(self.ahead());
        if self.meter.is_stalled() && ahead < self.hold.low() {
            // Without this it would play each frame as it comes, and stall after each.
            self.phase = Phase::Dry;
            self.set_rate(0.0, out);
            return;
        }
        self.phase = Phase::Playing;
        self.push_if_stuck(now, out);
        let unsettled = now >= self.settle_at;
        if unsettled {
            self.settle_at = Time::NEVER;
        }
        match self.hold.advise(ahead, self.rate) {
            Advice::Jump => self.put_play_head(self.live_position(), out),
            Advice::Speed(_) if unsettled && ahead > self.hold.high() + SOUND_LOW => {
                self.put_play_head(self.live_position(), out);
            }
            Advice::Speed(rate) => self.set_rate(rate, out),
        }
        if self.rate == 0.0 {
            self.set_rate(1.0, out);
        }
    }

    fn push_if_stuck(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.meter.is_stalled() && self.rate != 0.0 && now >= self.push_at {
            self.push_at = now + PUSH_EVERY;
            self.put_play_head(self.live_position().max(self.position_us + 1_000), out);
            if self.wants_to_play {
                out.push(Output::Play);
            }
        }
    }

    fn remove_old(&mut self, now: Time, out: &mut Vec<Output>) {
        self.remove_at = now + BEHIND;
        let tracks: Vec<Track> = self.lanes.keys().copied().collect();
        tracks
            .into_iter()
            .for_each(|track| self.remove(track, BEHIND, out));
        let behind = self.position_us.saturating_sub(micros(BEHIND));
        self.lanes
            .values_mut()
            .for_each(|lane| lane.forget_before(behind));
    }

    fn finish(&mut self, out: &mut Vec<Output>) {
        self.phase = Phase::Over;
        out.push(Output::End);
        out.push(Output::Event(Event::Finished));
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
