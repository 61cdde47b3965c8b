//! One microphone from being opened to its end.

use std::ffi::CString;
use std::time::Duration;

use alsa::pcm::{Access, Format, HwParams, PCM};
use alsa::{Direction, ValueOr};
use anyhow::Context;
use protocol::time::Time;

use super::FORMAT;
use crate::clock::Clock;
use crate::repeats::Repeats;
use crate::stop::Stop;

/// The device hands over sound in pieces of this length: half an Opus packet.
const PERIOD_US: u32 = 10_000;
/// What the device may keep while the process is not running.
const BUFFER_US: u32 = 200_000;
/// How long to wait for sound before looking whether to stop.
const GLANCE_MS: u32 = 200;
/// A microphone that is silent in this way has failed: a working one gives zeros.
const PATIENCE: Duration = Duration::from_secs(3);

const EAGAIN: i32 = 11;
const EPIPE: i32 = 32;
const ESTRPIPE: i32 = 86;

/// A microphone that captures.
pub(crate) struct Opened {
    name: String,
    pcm: PCM,
    rate_hz: u32,
    channels: usize,
}

impl Opened {
    /// Opens a microphone at the rate nearest to 48 kHz that it has itself.
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let path = CString::new(name).context("a device's name holds a zero byte")?;
        let pcm = PCM::open(&path, Direction::Capture, true)
            .with_context(|| format!("opening the microphone {name}"))?;
        set(&pcm).with_context(|| format!("setting up the microphone {name}"))?;
        let (rate_hz, channels) = {
            let current = pcm.hw_params_current()?;
            (current.get_rate()?, current.get_channels()?)
        };
        Ok(Self {
            name: name.to_owned(),
            pcm,
            rate_hz,
            channels: channels.max(1) as usize,
        })
    }

    /// Samples per second and channel.
    pub(crate) const fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Channels that it gives; they are mixed into one.
    pub(crate) const fn channels(&self) -> usize {
        self.channels
    }

    /// Takes sound until told to stop, or the microphone fails. `take` gets the samples of all channels mixed, from
    /// -1 to 1, and when the first of them was heard.
    pub(crate) fn run(
        &self,
        clock: Clock,
        stop: &Stop,
        mut take: impl FnMut(Time, &[f32]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut samples = vec![0; self.rate_hz as usize / 50 * self.channels];
        let (mut heard, mut overruns) = (clock.now(), Overruns::default());
        self.pcm.start().with_context(|| self.fails())?;
        while !stop.is_set() {
            let read = self.read(&mut samples);
            let now = clock.now();
            match read.with_context(|| self.fails())? {
                Read::Frames(count) => {
                    heard = now;
                    let mixed = mix(&samples[..count * self.channels], self.channels);
                    take(now - self.age(count), &mixed)?;
                }
                Read::Overrun => overruns.count(now, &self.name),
                Read::Nothing if now.since(heard) >= PATIENCE => {
                    anyhow::bail!("{}: it gives nothing", self.fails())
                }
                Read::Nothing => {}
            }
        }
        Ok(())
    }

    fn fails(&self) -> String {
        format!("the microphone {} fails", self.name)
    }

    /// Waits for sound and reads it.
    fn read(&self, samples: &mut [i16]) -> alsa::Result<Read> {
        let ready = self.pcm.wait(Some(GLANCE_MS));
        let read = ready.and_then(|ready| match ready {
            true => self.pcm.io_i16()?.readi(samples),
            false => Ok(0),
        });
        match read {
            Ok(0) => Ok(Read::Nothing),
            Ok(count) => Ok(Read::Frames(count)),
            Err(error) if error.errno() == EAGAIN => Ok(Read::Nothing),
            // Sound was lost because nobody read it in time, or the board slept.
            Err(error) if [EPIPE, ESTRPIPE].contains(&error.errno()) => {
                self.pcm.prepare()?;
                self.pcm.start()?;
                Ok(Read::Overrun)
            }
            Err(error) => Err(error),
        }
    }

    /// How long ago the first of the samples just read was heard.
    fn age(&self, read: usize) -> Duration {
        let waiting = self.pcm.avail_delay().map_or(0, |(_, delay)| delay.max(0));
        let frames = read as u64 + waiting.unsigned_abs();
        Duration::from_micros(frames * 1_000_000 / u64::from(self.rate_hz.max(1)))
    }
}

/// What a wait for sound brought.
enum Read {
    /// So many samples of each channel.
    Frames(usize),
    Overrun,
    Nothing,
}

/// Counts how often sound was lost for not being read in time.
#[derive(Default)]
struct Overruns {
    all: u64,
    log: Repeats,
}

impl Overruns {
    fn count(&mut self, now: Time, name: &str) {
        self.all += 1;
        if self.log.note(now).is_some() {
            let all = self.all;
            log::warn!(
                "the microphone {name} overran, {all} times since it was opened: the board is too slow"
            );
        }
    }
}

/// The mean of all channels.
fn mix(samples: &[i16], channels: usize) -> Vec<f32> {
    let scale = 1.0 / (32_768.0 * channels as f32);
    let frames = samples.chunks_exact(channels);
    frames
        .map(|frame| frame.iter().map(|&s| f32::from(s)).sum::<f32>() * scale)
        .collect()
}

fn set(pcm: &PCM) -> alsa::Result<()> {
    let wanted = HwParams::any(pcm)?;
    wanted.set_access(Access::RWInterleaved)?;
    wanted.set_format(Format::s16())?;
    // ALSA's own resampling is poor, and hides the card's crystal: `capture::steady` does it.
    wanted.set_rate_resample(false)?;
    wanted.set_channels_near(FORMAT.channels.into())?;
    wanted.set_rate_near(FORMAT.rate_hz, ValueOr::Nearest)?;
    wanted.set_period_time_near(PERIOD_US, ValueOr::Nearest)?;
    wanted.set_buffer_time_near(BUFFER_US, ValueOr::Nearest)?;
    pcm.hw_params(&wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_mixed_and_none_is_louder_for_it() {
        assert_eq!(mix(&[16_384, -16_384, 16_384, 16_384], 2), [0.0, 0.5]);
        assert_eq!(mix(&[16_384, 0, 0, 0], 4), [0.125]);
    }

    #[test]
    fn a_microphone_that_is_not_there_is_named() {
        let error = Opened::new("plughw:31,7").err().expect("no such device");
        assert_eq!(error.to_string(), "opening the microphone plughw:31,7");
    }
}
