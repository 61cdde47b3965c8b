//! A microphone's sound on the board's clock: any rate in, 48 kHz out, in blocks that follow each other, stretched
//! so little that nobody hears it and so that it never leaves its picture.

use std::time::Duration;

use protocol::time::Time;

use super::AudioBlock;
use super::alsa::FORMAT;
use super::drift::Drift;
use super::resample::Resampler;
use super::timeline::Timeline;

/// What the drift is said to be is said again after so much sound. Guess: often enough to find a bad crystal.
const SAID_EACH: Duration = Duration::from_secs(3_600);

/// One microphone's sound, as long as it runs.
pub(crate) struct Steady {
    rate_hz: u32,
    resampler: Resampler,
    drift: Drift,
    /// Loudness times this.
    gain: f32,
    unsaid: Duration,
}

impl Steady {
    /// For a microphone of this rate, made louder by `gain_db`.
    pub(crate) fn new(rate_hz: u32, gain_db: i8) -> Self {
        Self {
            rate_hz: rate_hz.max(1),
            resampler: Resampler::new(rate_hz, FORMAT.rate_hz),
            drift: Drift::default(),
            gain: 10_f32.powf(f32::from(gain_db) / 20.0),
            unsaid: Duration::ZERO,
        }
    }

    /// Takes samples, the first of them heard at `heard`, and gives the blocks that are full.
    pub(crate) fn take(
        &mut self,
        heard: Time,
        samples: &[f32],
        timeline: &mut Timeline,
    ) -> Vec<AudioBlock> {
        let length = Duration::from_secs_f64(samples.len() as f64 / f64::from(self.rate_hz));
        let stretch = if timeline.is_near(heard) {
            let behind_us = heard.as_micros() as f64 - timeline.next_at().as_micros() as f64;
            self.drift.correct(behind_us / 1_000.0, length)
        } else {
            self.drift.moved();
            self.drift.learned()
        };
        self.say(length);
        let stretched = self.resampler.take(samples, stretch);
        let loud: Vec<i16> = stretched.into_iter().map(|s| self.level(s)).collect();
        timeline.add(heard, &loud)
    }

    fn level(&self, sample: f32) -> i16 {
        (sample * self.gain * 32_767.0).clamp(-32_768.0, 32_767.0) as i16
    }

    fn say(&mut self, length: Duration) {
        self.unsaid += length;
        if self.unsaid >= SAID_EACH {
            self.unsaid = Duration::ZERO;
            let millionths = self.drift.learned();
            log::debug!(
                "the microphone's clock runs slow by {millionths:.0} millionths; made up for"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::alsa::samples_length;

    /// The largest distance, ms, between when a click was heard and where it lies in the sound, over `seconds` of a
    /// microphone of 44.1 kHz whose crystal is wrong by so many millionths; and whether blocks follow each other.
    fn clicks_apart(seconds: u64, millionths: f64) -> (f64, bool) {
        let rate_hz = 44_100.0 * (1.0 + millionths / 1e6);
        let (mut steady, mut timeline) = (Steady::new(44_100, 0), Timeline::new(Time::ZERO));
        let (mut worst, mut whole, mut next) = (0.0_f64, true, Time::ZERO);
        for period in 0..seconds * 100 {
            let first = period * 441;
            // One click a second, by the true clock.
            let samples: Vec<f32> = (first..first + 441)
                .map(|n| {
                    let (at, before) = (n as f64 / rate_hz, (n as f64 - 1.0) / rate_hz);
                    f32::from(u8::from(at.floor() > before.floor()))
                })
                .collect();
            let heard = Time::from_micros((first as f64 / rate_hz * 1e6) as u64);
            for block in steady.take(heard, &samples, &mut timeline) {
                whole &= block.capture == next;
                next = block.capture + Duration::from_millis(20);
                if let Some(at) = block.samples.iter().position(|s| *s > 12_000) {
                    let at = block.capture + samples_length(at as u64);
                    let off = (at.as_micros() as f64 / 1e6 + 0.5).fract() - 0.5;
                    worst = worst.max(off.abs() * 1_000.0);
                }
            }
        }
        (worst, whole)
    }

    #[test]
    fn clicks_stay_where_they_were_heard_while_the_crystal_is_wrong() {
        for millionths in [-200.0, 200.0] {
            let (worst, whole) = clicks_apart(120, millionths);
            assert!(worst < 15.0, "{worst} ms at {millionths}");
            assert!(whole, "a jump at {millionths}");
        }
    }

    #[test]
    fn gain_makes_it_louder_and_never_wraps() {
        let peak = |gain_db| {
            let (mut steady, mut line) = (Steady::new(48_000, gain_db), Timeline::new(Time::ZERO));
            let blocks = steady.take(Time::ZERO, &[0.25; 2_000], &mut line);
            blocks[1].samples[500]
        };
        assert_eq!(i32::from(peak(6)) * 10 / i32::from(peak(0)), 19);
        assert_eq!(peak(40), 32_767);
    }
}
