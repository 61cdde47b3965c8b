//! A look at a file before it is sent: what it holds, at what rate, and what is wrong with it.

use std::path::Path;

use anyhow::Context;
use protocol::container::TrackFormat;
use protocol::media::Track;

use super::demux::{Demuxer, Item, Packet};

/// Media looked at. Guess: long enough for a fair mean rate, short enough to read from an SD card at once.
const LOOK_US: u64 = 10_000_000;
/// Frames looked at, however they are dated: a damaged file may say anything.
const LOOK_PACKETS: usize = 5_000;
/// Key frames further apart make joining and repair dear. Design.
pub(super) const KEY_FRAMES_US: u64 = 2_000_000;

const KEY_FRAMES_WARNING: &str = "its key frames are";

/// What a file holds.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    /// Its tracks, video first, with their mean rates.
    pub(crate) tracks: Vec<TrackFormat>,
    /// The length it states, microseconds.
    pub(crate) length_us: Option<u64>,
    /// What its owner should know.
    pub(crate) warnings: Vec<String>,
}

/// Looks at the beginning of a file.
pub(crate) fn probe(path: &Path) -> anyhow::Result<Probe> {
    let file_bytes = size_of(path)?;
    crate::elements::init()?;
    let demuxer = Demuxer::open(path)?;
    let mut look = Look::default();
    look.read(&demuxer)
        .with_context(|| path.display().to_string())?;
    let length_us = demuxer.length_us();
    let mut probe = Probe {
        tracks: look.tracks,
        length_us,
        warnings: look.warnings,
    };
    let rates = look.bytes.map(|bytes| kbps(bytes, look.end_us));
    let whole = length_us.map(|length| kbps(file_bytes, length));
    for format in &mut probe.tracks {
        format.kbps = share(rates, format.track(), whole);
    }
    probe.tracks.sort_by_key(TrackFormat::track);
    Ok(probe)
}

fn size_of(path: &Path) -> anyhow::Result<u64> {
    let file = std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let about = file
        .metadata()
        .with_context(|| path.display().to_string())?;
    anyhow::ensure!(about.is_file(), "{} is not a file", path.display());
    Ok(about.len())
}

const fn kbps(bytes: u64, us: u64) -> u64 {
    bytes.saturating_mul(8_000) / if us == 0 { 1 } else { us }
}

/// A track's share of the whole file's rate, as the beginning divides it; the beginning's own rate if
/// the file's length is not known.
fn share(rates: [u64; 2], track: Track, whole: Option<u64>) -> u32 {
    let (own, all) = (rates[track as usize], rates[0].saturating_add(rates[1]));
    let rate = whole.map_or(own, |whole| whole.saturating_mul(own) / all.max(1));
    u32::try_from(rate.max(1)).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Look {
    tracks: Vec<TrackFormat>,
    warnings: Vec<String>,
    /// Bytes of video and of audio.
    bytes: [u64; 2],
    end_us: u64,
    key_frames: KeyFrames,
}

impl Look {
    fn read(&mut self, demuxer: &Demuxer) -> anyhow::Result<()> {
        let (mut first_us, mut packets) = (None, 0);
        while packets < LOOK_PACKETS {
            match demuxer.next()? {
                Item::Track(format) => self.tracks.push(format),
                Item::Unplayable(unplayable) => return Err(unplayable.into()),
                Item::Surplus(track) => self.warnings.push(format!(
                    "has more than one {track:?} track: the first is sent"
                )),
                Item::Packet(packet) => {
                    packets += 1;
                    let from = *first_us.get_or_insert(packet.at_us);
                    self.count(&packet, packet.at_us.saturating_sub(from));
                }
                Item::End(end) => return self.end(end),
            }
            if self.end_us >= LOOK_US {
                break;
            }
        }
        Ok(())
    }

    fn count(&mut self, packet: &Packet, at_us: u64) {
        self.bytes[packet.track as usize] += packet.data.len() as u64;
        self.end_us = self.end_us.max(at_us);
        if let Some(warning) = self.key_frames.note(packet) {
            self.warnings.push(warning);
        }
    }

    fn end(&mut self, end: Result<(), String>) -> anyhow::Result<()> {
        match end {
            Ok(()) if self.tracks.is_empty() => anyhow::bail!("it holds no frames"),
            Err(words) if self.tracks.is_empty() => {
                anyhow::bail!("it is not a WebM file: {words}")
            }
            // Damage after the first frames is the player's to warn of, when it comes there.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Watches the distance of key frames, and warns once.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyFrames {
    last_us: Option<u64>,
    warned: bool,
}

impl KeyFrames {
    /// A watch that says nothing more if one of these was its warning.
    pub(super) fn after(warnings: &[String]) -> Self {
        Self {
            last_us: None,
            warned: warnings
                .iter()
                .any(|warning| warning.starts_with(KEY_FRAMES_WARNING)),
        }
    }

    /// Begins with another run through the file.
    pub(super) fn restart(&mut self) {
        self.last_us = None;
    }

    /// Looks at the next packet of any track.
    pub(super) fn note(&mut self, packet: &Packet) -> Option<String> {
        if packet.track != Track::Video {
            return None;
        }
        let last_us = *self.last_us.get_or_insert(packet.at_us);
        if packet.key {
            self.last_us = Some(packet.at_us);
        }
        let apart_us = packet.at_us.saturating_sub(last_us);
        if self.warned || apart_us <= KEY_FRAMES_US {
            return None;
        }
        self.warned = true;
        Some(format!(
            "{KEY_FRAMES_WARNING} more than {} s apart: joining is slow and repair is dear; \
             encode it with a key frame each second",
            KEY_FRAMES_US / 1_000_000
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn picture(at_ms: u64, key: bool) -> Packet {
        Packet {
            track: Track::Video,
            key,
            at_us: at_ms * 1000,
            length_us: None,
            data: Bytes::new(),
        }
    }

    #[test]
    fn key_frames_2_s_apart_are_well_and_3_s_apart_are_warned_of_once() {
        let mut near = KeyFrames::default();
        let mut far = KeyFrames::default();
        let warnings = |key_frames: &mut KeyFrames, every: u64| {
            (0..12_000)
                .step_by(40)
                .filter(|&at| key_frames.note(&picture(at, at % every == 0)).is_some())
                .count()
        };
        assert_eq!(warnings(&mut near, 2_000), 0);
        assert_eq!(warnings(&mut far, 3_000), 1);
    }

    #[test]
    fn rates_are_the_files_own_divided_as_its_beginning_is() {
        assert_eq!(kbps(1_000_000, 8_000_000), 1_000);
        assert_eq!(share([900, 100], Track::Video, Some(1_159)), 1_043);
        assert_eq!(share([900, 100], Track::Audio, None), 100);
        assert_eq!(share([0, 0], Track::Audio, Some(5)), 1);
    }
}
