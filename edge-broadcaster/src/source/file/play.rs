//! Plays a file's packets when they are due.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::media::{EncodedFrame, Track};
use protocol::time::Time;

use super::demux::{Demuxer, Item, Packet};
use super::probe::{KeyFrames, Probe};
use super::schedule::{Due, Schedule};
use crate::clock::Clock;
use crate::feed::{Feed, TrackFeed};
use crate::stop::Stop;

/// A player further behind than this goes on from where it is: the process was asleep.
const ASLEEP: Duration = Duration::from_secs(2);
/// When nothing comes for longer than this, somebody who watches wonders why.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// A file whose frames end this much before the length it states was cut short. Guess: more than any
/// track's ragged end.
const SHORT_US: u64 = 1_000_000;

/// Plays one file, once or for ever.
#[derive(Debug)]
pub(super) struct Player {
    path: PathBuf,
    repeat: bool,
    length_us: Option<u64>,
    clock: Clock,
    /// When the source's time line began.
    origin: Time,
    video: TrackFeed,
    audio: TrackFeed,
    key_frames: KeyFrames,
    schedule: Schedule,
    /// Whether a long pause was told of: in a film of still pictures each is one.
    told_of_pause: bool,
    /// Whether damage was told of: a film that loops comes there again.
    told_of_damage: bool,
}

/// How a run through the file ended.
enum Outcome {
    Stopped,
    Finished,
}

impl Player {
    /// A player that begins now. Announces the tracks.
    pub(super) fn new(path: &Path, repeat: bool, probed: Probe, clock: Clock, feed: &Feed) -> Self {
        let key_frames = KeyFrames::after(&probed.warnings);
        probed
            .tracks
            .into_iter()
            .for_each(|format| feed.announce(format));
        Self {
            path: path.to_owned(),
            repeat,
            length_us: probed.length_us,
            clock,
            origin: clock.now(),
            video: feed.track(Track::Video),
            audio: feed.track(Track::Audio),
            key_frames,
            schedule: Schedule::default(),
            told_of_pause: false,
            told_of_damage: false,
        }
    }

    /// Plays until told to stop, or the file's end if it does not loop.
    pub(super) fn run(&mut self, stop: &Stop) -> anyhow::Result<()> {
        loop {
            match self.run_once(stop)? {
                Outcome::Finished if self.repeat => {}
                Outcome::Finished | Outcome::Stopped => return Ok(()),
            }
        }
    }

    fn run_once(&mut self, stop: &Stop) -> anyhow::Result<Outcome> {
        let demuxer = Demuxer::open(&self.path)?;
        self.key_frames.restart();
        let mut any = false;
        loop {
            while self.schedule.wants_more() {
                match demuxer.next()? {
                    Item::Packet(packet) => {
                        any = true;
                        self.warn_of_key_frames(&packet);
                        self.schedule.add(packet);
                    }
                    Item::End(end) => {
                        anyhow::ensure!(any, "{} cannot be read any more", self.path.display());
                        self.warn_of_damage(end);
                        return Ok(self.play_rest(stop));
                    }
                    // Known since the probe.
                    Item::Track(_) | Item::Surplus(_) | Item::Unplayable(_) => {}
                }
            }
            if let Some(due) = self.schedule.next()
                && !self.play(due, stop)
            {
                return Ok(Outcome::Stopped);
            }
        }
    }

    fn play_rest(&mut self, stop: &Stop) -> Outcome {
        for due in self.schedule.finish_run(self.repeat) {
            if !self.play(due, stop) {
                return Outcome::Stopped;
            }
        }
        Outcome::Finished
    }

    /// Sends a packet when it is due. Says whether to go on.
    fn play(&mut self, due: Due, stop: &Stop) -> bool {
        let mut capture = self.origin + Duration::from_micros(due.at_us);
        let late = self.clock.now().since(capture);
        if late > ASLEEP {
            log::warn!(
                "{} is {} s late and goes on from here",
                self.path.display(),
                late.as_secs()
            );
            self.origin += late;
            capture += late;
        }
        let early = capture.since(self.clock.now());
        if early > LONG_PAUSE && !std::mem::replace(&mut self.told_of_pause, true) {
            log::warn!(
                "{} says that nothing comes for {} s now: a hole, or damage",
                self.path.display(),
                early.as_secs()
            );
        }
        if !stop.sleep_until(self.clock, capture) {
            return false;
        }
        let feed = match due.packet.track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        };
        feed.send(EncodedFrame {
            key: due.packet.key,
            capture,
            media_us: due.at_us,
            data: due.packet.data,
        });
        true
    }

    fn warn_of_key_frames(&mut self, packet: &Packet) {
        if let Some(warning) = self.key_frames.note(packet) {
            log::warn!("{}: {warning}", self.path.display());
        }
    }

    fn warn_of_damage(&mut self, end: Result<(), String>) {
        let read_us = self.schedule.read_us();
        let read_s = read_us / 1_000_000;
        let words = match (end, self.length_us) {
            (Err(words), _) => format!("is damaged after {read_s} s: {words}"),
            (Ok(()), Some(length_us)) if read_us + SHORT_US < length_us => format!(
                "says that it is {} s long, but ends after {read_s} s: it is damaged there, or was cut short",
                length_us / 1_000_000
            ),
            _ => return,
        };
        if !std::mem::replace(&mut self.told_of_damage, true) {
            log::warn!("{} {words}", self.path.display());
        }
    }
}
