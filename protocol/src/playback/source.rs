//! The media source and its buffers: which epoch they hold, what goes in, and what happens when they fail.

use core::time::Duration;

use super::lane::{Epochs, Lane, Moment, micros};
use super::{
    BURST, Event, HOLE_NEAR, MOST_EARLY, Output, Phase, Playback, SOUND_LATE, SOUND_LOW,
    main_track, played,
};
use crate::chunk::Chunk;
use crate::media::{Descriptor, Track};
use crate::time::Time;

/// Sound may begin so much before or after the first picture: a packet and a bit.
const START_SLACK: Duration = Duration::from_millis(25);
/// The same, before the first sound came. Guess.
const FIRST_SOUND_LATE: Duration = Duration::from_millis(500);
/// A gap younger than this is no loss. Guess: as long as until a repair is asked for.
const GAP_GRACE: Duration = Duration::from_millis(40);
/// The same while nothing plays yet, and nothing is gained by hurry. Guess.
const FIRST_GAP_GRACE: Duration = Duration::from_millis(250);
/// A paused viewer's buffer does not grow beyond this. Guess.
const PAUSED_AHEAD: Duration = Duration::from_secs(5);
/// A source that fails again within this has failed of what was put back into it.
const FAILED_AGAIN: Duration = Duration::from_secs(2);
/// Failures in such a row that end it. Guess.
const MOST_FAILURES: u32 = 5;

impl Playback {
    pub(super) fn epoch(&mut self, descriptor: Descriptor, out: &mut Vec<Output>) {
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

    pub(super) fn chunk(&mut self, chunk: Chunk) {
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

    pub(super) fn source_open(&mut self, now: Time, out: &mut Vec<Output>) {
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

    pub(super) fn source_failed(&mut self, now: Time, out: &mut Vec<Output>) {
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

    /// A new source for `descriptor`, with nothing kept.
    pub(super) fn open(&mut self, descriptor: Descriptor, out: &mut Vec<Output>) {
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
    pub(super) fn coming_fits(&self) -> bool {
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

    pub(super) fn feed(&mut self, now: Time, out: &mut Vec<Output>) {
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
                dry: self.phase == Phase::Dry,
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

    pub(super) const fn is_filling(&self) -> bool {
        matches!(self.phase, Phase::Filling { .. })
    }

    /// A viewer who paused does not fill memory: only the newest group is kept for when play is pressed.
    pub(super) fn park_if_paused(&mut self) -> bool {
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

    pub(super) fn start_lanes(&mut self, now: Time, epochs: Epochs<'_>, out: &mut Vec<Output>) {
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

    pub(super) fn start_from(&mut self, now: Time, start_us: u64, out: &mut Vec<Output>) {
        self.start_us = start_us;
        self.position_us = start_us;
        // The key frame's own time: Chromium's `buffered.start` may be earlier, and shows nothing there.
        out.push(Output::Seek(start_us));
        self.meter.moved_to(start_us);
        self.phase = Phase::Filling { since: now };
    }

    /// An epoch that does not fit into the buffers gets a source of its own, once the old one is played out.
    pub(super) fn change_epoch_if_due(&mut self, out: &mut Vec<Output>) {
        let Some(coming) = &self.coming else { return };
        let main = main_track(coming);
        let has_start = self
            .lanes
            .get(&main)
            .is_none_or(|lane| lane.can_start_epoch(coming.epoch));
        let played_out = self.ahead() <= micros(HOLE_NEAR) || self.phase == Phase::Dry;
        if self.coming_fits() || !has_start || !played_out {
            return;
        }
        if let Some(coming) = self.coming.take() {
            self.open(coming, out);
        }
    }

    /// The first buffer with a new epoch in it makes that the running one.
    pub(super) fn epoch_has_changed(&mut self) {
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

    pub(super) fn stand_in_for_sound(&mut self, now: Time, out: &mut Vec<Output>) {
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
        // A play head that stands still for want of sound does not come nearer to where it ends.
        let dry = self.phase == Phase::Dry;
        let low = dry || left < micros(SOUND_LOW);
        if is_late && low && picture > left + micros(SOUND_LATE) {
            let enough = if dry {
                self.hold.get()
            } else {
                SOUND_LATE + SOUND_LOW
            };
            let until = self.position_us + picture.min(micros(enough));
            sound.stand_in(self.position_us, until, out);
        }
    }

    pub(super) fn trim_kept(&mut self) {
        let start = self
            .lanes
            .get(&Track::Video)
            .map(|lane| lane.kept_from().unwrap_or(u64::MAX));
        if let Some(sound) = self.lanes.get_mut(&Track::Audio) {
            sound.trim_kept_sound(start);
        }
    }

    pub(super) fn remove(&self, track: Track, behind: Duration, out: &mut Vec<Output>) {
        let up_to_us = self.position_us.saturating_sub(micros(behind));
        if up_to_us > 0 && self.lanes.contains_key(&track) {
            out.push(Output::Remove { track, up_to_us });
        }
    }
}
