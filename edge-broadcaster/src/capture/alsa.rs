//! Microphones, through ALSA: which there are, and their sound.
//!
//! Whatever a microphone is, it is asked for 48 kHz mono by way of ALSA's `plug`, which converts.

use std::ffi::CString;
use std::time::Duration;

use alsa::pcm::{Access, Format, HwParams, PCM};
use alsa::{Direction, ValueOr};
use anyhow::Context;
use protocol::time::Time;

use super::AudioFormat;
use crate::clock::Clock;
use crate::config;
use crate::stop::Stop;

/// What every microphone is made to give.
pub const FORMAT: AudioFormat = AudioFormat {
    rate_hz: 48_000,
    channels: 1,
};

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

/// A microphone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// ALSA's name for it, as in `plughw:1,0`.
    pub device: String,
    /// What it calls itself.
    pub name: String,
}

/// Which sound goes with a camera's picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// None: the track is there, and silent.
    Silence,
    /// An ALSA device.
    Device(String),
}

/// All devices that can capture sound.
pub fn microphones() -> Vec<Found> {
    alsa::card::Iter::new()
        .filter_map(Result::ok)
        .flat_map(|card| of_card(&card).unwrap_or_default())
        .collect()
}

fn of_card(card: &alsa::Card) -> alsa::Result<Vec<Found>> {
    let control = alsa::Ctl::from_card(card, true)?;
    let card_name = card.get_name()?;
    let devices = alsa::ctl::DeviceIter::new(&control);
    let found = devices.filter_map(|device| {
        let number = u32::try_from(device).ok()?;
        let info = control.pcm_info(number, 0, Direction::Capture).ok()?;
        Some(Found {
            device: format!("plughw:{},{device}", card.get_index()),
            name: format!("{card_name}: {}", info.get_name().unwrap_or("?")),
        })
    });
    Ok(found.collect())
}

/// The microphone that the configuration asks for. None found is silence, and said.
pub fn choose(microphone: &config::Microphone) -> Chosen {
    match microphone {
        config::Microphone::None => Chosen::Silence,
        config::Microphone::Alsa(name) => Chosen::Device(converting(name)),
        config::Microphone::Auto => match microphones().into_iter().next() {
            Some(found) => Chosen::Device(found.device),
            None => {
                log::warn!("no microphone was found: the stream is silent");
                Chosen::Silence
            }
        },
    }
}

/// The device's name with ALSA's conversion before it, so that every device gives [`FORMAT`].
fn converting(name: &str) -> String {
    match name.strip_prefix("hw:") {
        Some(rest) => format!("plughw:{rest}"),
        None => name.to_owned(),
    }
}

/// A microphone that captures.
pub(crate) struct Opened {
    name: String,
    pcm: PCM,
}

impl Opened {
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let path = CString::new(name).context("a device's name holds a zero byte")?;
        let pcm = PCM::open(&path, Direction::Capture, true)
            .with_context(|| format!("opening the microphone {name}"))?;
        set(&pcm).with_context(|| format!("setting the microphone {name} to 48 kHz"))?;
        Ok(Self {
            name: name.to_owned(),
            pcm,
        })
    }

    /// Takes sound until told to stop, or the microphone fails. `take` gets the samples and when the
    /// first of them was heard.
    pub(crate) fn run(
        &self,
        clock: Clock,
        stop: &Stop,
        mut take: impl FnMut(Time, &[i16]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut samples = [0; FORMAT.rate_hz as usize / 50];
        let mut heard = clock.now();
        self.pcm.start().with_context(|| self.fails())?;
        while !stop.is_set() {
            let read = self.read(&mut samples).with_context(|| self.fails())?;
            let now = clock.now();
            if read > 0 {
                heard = now;
                take(now - self.age(read), &samples[..read])?;
            }
            anyhow::ensure!(
                now.since(heard) < PATIENCE,
                "{}: it gives nothing",
                self.fails()
            );
        }
        Ok(())
    }

    fn fails(&self) -> String {
        format!("the microphone {} fails", self.name)
    }

    /// Waits for sound and reads it. Nothing after a glance, or when some was lost.
    fn read(&self, samples: &mut [i16]) -> alsa::Result<usize> {
        let ready = self.pcm.wait(Some(GLANCE_MS));
        let read = ready.and_then(|ready| match ready {
            true => self.pcm.io_i16()?.readi(samples),
            false => Ok(0),
        });
        match read {
            Err(error) if error.errno() == EAGAIN => Ok(0),
            // Sound was lost because nobody read it in time, or the board slept.
            Err(error) if [EPIPE, ESTRPIPE].contains(&error.errno()) => {
                log::warn!("the microphone {} overran", self.name);
                self.pcm.prepare()?;
                self.pcm.start()?;
                Ok(0)
            }
            other => other,
        }
    }

    /// How long ago the first of the samples just read was heard.
    fn age(&self, read: usize) -> Duration {
        let waiting = self.pcm.avail_delay().map_or(0, |(_, delay)| delay.max(0));
        samples_length(read as u64 + waiting.unsigned_abs())
    }
}

fn set(pcm: &PCM) -> alsa::Result<()> {
    let wanted = HwParams::any(pcm)?;
    wanted.set_access(Access::RWInterleaved)?;
    wanted.set_format(Format::s16())?;
    wanted.set_rate(FORMAT.rate_hz, ValueOr::Nearest)?;
    wanted.set_channels(FORMAT.channels.into())?;
    wanted.set_period_time_near(PERIOD_US, ValueOr::Nearest)?;
    wanted.set_buffer_time_near(BUFFER_US, ValueOr::Nearest)?;
    pcm.hw_params(&wanted)
}

/// How long so many samples last.
pub(crate) const fn samples_length(samples: u64) -> Duration {
    Duration::from_micros(samples * 1_000_000 / FORMAT.rate_hz as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Microphone;

    #[test]
    fn a_hardware_device_is_asked_for_by_way_of_conversion() {
        let named = |name: &str| choose(&Microphone::Alsa(name.into()));
        assert_eq!(named("hw:1,0"), Chosen::Device("plughw:1,0".into()));
        assert_eq!(named("default"), Chosen::Device("default".into()));
    }

    #[test]
    fn no_microphone_is_silence_and_no_error() {
        assert_eq!(choose(&Microphone::None), Chosen::Silence);
    }

    #[test]
    fn a_microphone_that_is_not_there_is_named() {
        let error = Opened::new("plughw:31,7").err().expect("no such device");
        assert_eq!(error.to_string(), "opening the microphone plughw:31,7");
    }
}
