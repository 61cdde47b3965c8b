//! A model of a media element, for whoever plays without a browser: the headless receiver, the simulator, tests.
//!
//! Its play head moves with time, at the speed asked for, and stops at the end of what is buffered in any track.
//! It decodes nothing: it goes by the media time that [`Output::Append`] names.

use std::collections::BTreeMap;

use super::lane::micros;
use super::ranges::Ranges;
use super::{Element, Input, Output};
use crate::media::Track;
use crate::time::Time;

/// See the module's own words.
#[derive(Debug, Default)]
pub struct Screen {
    buffers: BTreeMap<Track, Ranges>,
    position_us: u64,
    rate: f32,
    playing: bool,
    paused: bool,
    moved: Time,
}

impl Screen {
    /// An element without a source.
    pub fn new() -> Self {
        Self {
            rate: 1.0,
            ..Self::default()
        }
    }

    /// The viewer pauses, or plays again.
    pub fn pause(&mut self, now: Time, paused: bool) {
        self.move_on(now);
        self.paused = paused;
    }

    /// Carries an output out; gives what the player is to be told of it.
    pub fn carry_out(&mut self, now: Time, output: &Output) -> Option<Input> {
        self.move_on(now);
        match output {
            Output::Open(tracks) => {
                self.buffers = tracks
                    .iter()
                    .map(|&(track, _)| (track, Ranges::default()))
                    .collect();
                self.playing = false;
                return Some(Input::SourceOpen);
            }
            Output::Append {
                track, media_us, ..
            } if !media_us.is_empty() => {
                // Browsers join what is hardly apart; a longer hole stops them.
                let buffer = self.buffers.entry(*track).or_default();
                let joined = buffer
                    .end()
                    .is_some_and(|end| media_us.start <= end + (media_us.end - media_us.start) * 2);
                buffer.push(media_us.start, media_us.end, joined);
            }
            Output::Remove { track, up_to_us } => {
                if let Some(buffer) = self.buffers.get_mut(track) {
                    buffer.forget_before(*up_to_us);
                }
            }
            Output::Seek(position_us) => self.position_us = *position_us,
            Output::Rate(rate) => self.rate = *rate,
            Output::Play => self.playing = true,
            Output::Append { .. } | Output::Abort(_) | Output::End | Output::Event(_) => {}
        }
        None
    }

    /// What the element is doing now.
    pub fn look(&mut self, now: Time) -> Element {
        self.move_on(now);
        Element {
            position_us: self.position_us,
            wants_to_play: !self.paused,
            hole_ends_us: None,
        }
    }

    fn move_on(&mut self, now: Time) {
        let passed = micros(now.since(self.moved));
        self.moved = now;
        if !self.playing || self.paused {
            return;
        }
        let wanted = (passed as f64 * f64::from(self.rate)) as u64;
        let left = self
            .buffers
            .values()
            .map(|buffer| buffer.left(self.position_us))
            .min()
            .unwrap_or(0);
        self.position_us += wanted.min(left);
    }
}
