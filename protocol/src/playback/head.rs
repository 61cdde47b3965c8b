//! The play head: where it is put, how fast it runs, and when it has stalled.

use core::time::Duration;

use super::hold::Advice;
use super::lane::{Lane, micros};
use super::{
    BEHIND, BURST, Element, Event, HOLE_NEAR, Output, Phase, Playback, SOUND_LATE, SOUND_LOW,
};
use crate::chunk::MAX_MEDIA_US;
use crate::media::Track;
use crate::time::Time;

/// A burst that took longer is found out after this.
const SETTLED: Duration = Duration::from_millis(600);
/// A play head that stands still with media ahead is pushed, so often. Measured: a seek takes 8–40 ms, but up to a
/// second on a machine with too much to do, and a seek every half second kept such a one from ever playing.
const PUSH_EVERY: Duration = Duration::from_millis(1500);
/// A play head that has not moved for so long is at the end of the stream, if that is near. Guess: some looks.
const AT_THE_END: Duration = Duration::from_millis(300);

impl Playback {
    /// Media to play before the first track runs out, holes left out.
    pub(super) fn ahead(&self) -> u64 {
        self.lanes
            .values()
            .map(|lane| lane.ranges().ahead(self.position_us))
            .min()
            .unwrap_or(0)
    }

    /// Where all tracks have the hold ahead of them, or as much as there is.
    pub(super) fn live_position(&self) -> u64 {
        let hold = micros(self.hold.get());
        let back = |lane: &Lane| lane.ranges().back_from_end(hold).unwrap_or(0);
        self.lanes
            .values()
            .map(back)
            .min()
            .unwrap_or(0)
            .max(self.position_us)
    }

    pub(super) fn begin_if_filled(&mut self, now: Time, out: &mut Vec<Output>) {
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
        self.starting = !self.started || self.resuming;
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
        self.push_at = now + PUSH_EVERY;
    }

    pub(super) fn put_play_head(&mut self, target_us: u64, out: &mut Vec<Output>) {
        if target_us != self.position_us {
            self.position_us = target_us;
            self.meter.moved_to(target_us);
            out.push(Output::Seek(target_us));
        }
    }

    pub(super) fn set_rate(&mut self, rate: f32, out: &mut Vec<Output>) {
        if rate != self.rate {
            self.rate = rate;
            out.push(Output::Rate(rate));
        }
    }

    pub(super) fn look(&mut self, now: Time, element: Element, out: &mut Vec<Output>) {
        self.looked = now;
        if element.wants_to_play && !self.wants_to_play {
            self.starting = true;
            self.push_at = now + PUSH_EVERY;
        }
        self.wants_to_play = element.wants_to_play;
        if self.parked {
            return;
        }
        if !matches!(self.phase, Phase::Playing | Phase::Dry) {
            self.meter_looks(now, out);
            return;
        }
        if self.starting && element.position_us > self.position_us {
            self.has_started(now, out);
        }
        if element.position_us != self.position_us {
            self.moved_at = now;
        }
        self.position_us = element.position_us.min(MAX_MEDIA_US);
        self.meter_looks(now, out);
        self.hold.time_passes(now);
        if now >= self.remove_at {
            self.remove_old(now, out);
        }
        if !self.wants_to_play {
            return;
        }
        if self.ended && self.is_played_out(now) {
            self.finish(out);
            return;
        }
        self.jump_hole(now, out);
        self.leave_hole_of_the_element(element, out);
        if self.starting {
            self.push_if_stuck(now, out);
        } else {
            self.keep_hold(now, out);
        }
    }

    /// The play head moves: at first, or after a pause. More may have come meanwhile than the hold.
    pub(super) fn has_started(&mut self, now: Time, out: &mut Vec<Output>) {
        self.starting = false;
        self.settle_at = now;
        if !self.started {
            self.started = true;
            out.push(Output::Event(Event::Started));
        }
    }

    /// The browser shows no more, though it may have stopped before the last frame: with sound, Chromium has been seen
    /// to stop 75 ms before.
    fn is_played_out(&self, now: Time) -> bool {
        let is_stuck = self.meter.is_stalled() && now >= self.push_at;
        let ahead = self.ahead();
        let has_stopped = ahead < micros(SOUND_LATE) && now.since(self.moved_at) > AT_THE_END;
        ahead < micros(HOLE_NEAR) || has_stopped || is_stuck
    }

    /// Whether a viewer is right to expect movement.
    pub(super) fn should_move(&self) -> bool {
        let playing_out = self.ended && self.ahead() < micros(SOUND_LATE);
        self.started
            && self.wants_to_play
            && !self.resuming
            && !self.starting
            && !playing_out
            && self.phase != Phase::Over
    }

    /// Media time of what is seen and heard. Chromium's play head runs on for seconds after the last picture while
    /// there is sound.
    pub(super) fn shown_us(&self) -> u64 {
        let shown = |lane: &Lane| lane.ranges().shown_at(self.position_us);
        self.lanes
            .values()
            .filter_map(shown)
            .min()
            .unwrap_or(self.position_us)
    }

    pub(super) fn meter_looks(&mut self, now: Time, out: &mut Vec<Output>) {
        let was_stalled = self.meter.is_stalled();
        if self.meter.look(now, self.shown_us(), self.should_move()) {
            self.has_stalled(now, out);
            self.push_at = now + PUSH_EVERY;
        } else if was_stalled && !self.meter.is_stalled() {
            out.push(Output::Event(Event::Resumed));
        }
    }

    pub(super) fn has_stalled(&mut self, now: Time, out: &mut Vec<Output>) {
        self.hold.stalled(now);
        out.push(Output::Event(Event::Stalled));
    }

    pub(super) fn beyond_holes(&self, near_us: u64) -> Option<u64> {
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

    pub(super) fn jump_hole(&mut self, now: Time, out: &mut Vec<Output>) {
        if let Some(target) = self.beyond_holes(micros(HOLE_NEAR)) {
            self.jump_to(now, target, out);
        }
    }

    fn jump_to(&mut self, now: Time, target: u64, out: &mut Vec<Output>) {
        self.jumps += 1;
        out.push(Output::Event(Event::Jumped(target - self.position_us)));
        if self.meter.jump(now, target) {
            self.has_stalled(now, out);
        }
        self.put_play_head(target, out);
    }

    /// A hole that only the element sees. Nothing is left out, so it is a stall only if it lasts like one.
    pub(super) fn leave_hole_of_the_element(&mut self, element: Element, out: &mut Vec<Output>) {
        let Some(end) = element.hole_ends_us else {
            return;
        };
        let next = self.position_us..self.position_us.saturating_add(micros(BEHIND));
        if element.position_us == self.position_us && next.contains(&end) {
            self.put_play_head(end, out);
        }
    }

    pub(super) fn keep_hold(&mut self, now: Time, out: &mut Vec<Output>) {
        let ahead = Duration::from_micros(self.ahead());
        if self.meter.is_stalled() && ahead < self.hold.low() && !self.ended {
            // Without this it would play each frame as it comes, and stall after each.
            self.phase = Phase::Dry;
            self.set_rate(0.0, out);
            return;
        }
        if self.phase == Phase::Dry {
            // What is left before a hole would be seen for a moment, between two stops.
            if let Some(target) = self.beyond_holes(micros(self.hold.low())) {
                self.jump_to(now, target, out);
            }
        }
        self.phase = Phase::Playing;
        self.push_if_stuck(now, out);
        if !self.ended && !self.meter.is_stalled() {
            self.hold.has_ahead(now, ahead);
        }
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

    pub(super) fn push_if_stuck(&mut self, now: Time, out: &mut Vec<Output>) {
        if (self.meter.is_stalled() || self.starting) && self.rate != 0.0 && now >= self.push_at {
            self.push_at = now + PUSH_EVERY;
            self.put_play_head(self.live_position().max(self.position_us + 1_000), out);
            if self.wants_to_play {
                out.push(Output::Play);
            }
        }
    }

    pub(super) fn remove_old(&mut self, now: Time, out: &mut Vec<Output>) {
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

    pub(super) fn finish(&mut self, out: &mut Vec<Output>) {
        self.phase = Phase::Over;
        out.push(Output::End);
        out.push(Output::Event(Event::Finished));
    }
}
