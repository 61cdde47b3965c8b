//! Microphones, through ALSA: which there are, and which goes with a camera.

use std::path::Path;
use std::time::Duration;

use alsa::Direction;

use super::AudioFormat;
use super::v4l2::{Identity, usb_above};
use crate::config;

mod session;

pub(crate) use session::Opened;

/// What every microphone's sound is made into.
pub const FORMAT: AudioFormat = AudioFormat {
    rate_hz: 48_000,
    channels: 1,
};

/// Where the kernel says what a sound card belongs to.
const SYS: &str = "/sys/class/sound";

/// A microphone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// ALSA's name for it, as in `plughw:CARD=C920,DEV=0`: it stays when cards are replugged.
    pub device: String,
    /// What it calls itself.
    pub name: String,
    /// The USB port it is plugged in at, if it is a USB device.
    pub place: Option<String>,
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
    let about = control.card_info()?;
    let (id, card_name) = (about.get_id()?, about.get_name()?);
    let place = place_of(Path::new(SYS), card.get_index());
    let devices = alsa::ctl::DeviceIter::new(&control);
    let found = devices.filter_map(|device| {
        let number = u32::try_from(device).ok()?;
        let info = control.pcm_info(number, 0, Direction::Capture).ok()?;
        Some(Found {
            device: format!("plughw:CARD={id},DEV={device}"),
            name: format!("{card_name}: {}", info.get_name().unwrap_or("?")),
            place: place.clone(),
        })
    });
    Ok(found.collect())
}

/// The USB port of a card.
fn place_of(sys: &Path, card: i32) -> Option<String> {
    let interface = sys.join(format!("card{card}/device")).canonicalize().ok()?;
    let device = usb_above(&interface)?;
    Some(device.file_name()?.to_string_lossy().into_owned())
}

/// The microphone that the configuration asks for, among those there are now. None found is silence.
pub fn choose(microphone: &config::Microphone, camera: Option<&Identity>) -> Chosen {
    match microphone {
        config::Microphone::None => Chosen::Silence,
        config::Microphone::Alsa(name) => Chosen::Device(converting(name)),
        config::Microphone::Auto => first(microphones(), camera),
    }
}

/// The camera's own, which hears what it sees; else the first.
fn first(microphones: Vec<Found>, camera: Option<&Identity>) -> Chosen {
    let place = camera.map(|camera| &camera.place);
    let own = |found: &Found| found.place.is_some() && found.place.as_ref() == place;
    let best = microphones.into_iter().min_by_key(|found| !own(found));
    best.map_or(Chosen::Silence, |found| Chosen::Device(found.device))
}

/// The device's name with ALSA's conversion before it: cards of 24 bits give 16.
fn converting(name: &str) -> String {
    match name.strip_prefix("hw:") {
        Some(rest) => format!("plughw:{rest}"),
        None => name.to_owned(),
    }
}

/// How long so many samples of [`FORMAT`] last.
pub(crate) const fn samples_length(samples: u64) -> Duration {
    Duration::from_micros(samples * 1_000_000 / FORMAT.rate_hz as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Microphone;

    fn found(device: &str, place: Option<&str>) -> Found {
        Found {
            device: device.into(),
            name: device.into(),
            place: place.map(Into::into),
        }
    }

    #[test]
    fn a_hardware_device_is_asked_for_by_way_of_conversion() {
        let named = |name: &str| choose(&Microphone::Alsa(name.into()), None);
        assert_eq!(named("hw:1,0"), Chosen::Device("plughw:1,0".into()));
        assert_eq!(named("default"), Chosen::Device("default".into()));
    }

    #[test]
    fn no_microphone_is_silence_and_no_error() {
        assert_eq!(choose(&Microphone::None, None), Chosen::Silence);
        assert_eq!(first(Vec::new(), None), Chosen::Silence);
    }

    #[test]
    fn the_cameras_own_microphone_comes_first() {
        let camera = Identity {
            place: "1-1.2".into(),
            ..Identity::default()
        };
        let there = || vec![found("card", None), found("own", Some("1-1.2"))];
        let device = |name: &str| Chosen::Device(name.into());
        assert_eq!(first(there(), Some(&camera)), device("own"));
        assert_eq!(first(there(), None), device("card"));
    }
}
