//! What a stream is made of: tracks, codecs, encoded frames, and the descriptor of an epoch.

use core::fmt;
use core::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::avc::AvcProfile;
use crate::id::StreamId;
use crate::time::Time;

/// Largest encoded descriptor, bytes: it travels in one message (see [`crate::chunk::MAX_MESSAGE`]),
/// beside the message's own fields. A Vorbis init segment alone is 4.3 KB.
pub const MAX_DESCRIPTOR: usize = 15 * 1024;
/// Most tracks of all renditions. Guess: three renditions of video, and audio, twice over.
pub const MAX_TRACKS: usize = 8;

/// Video or audio: the number in the chunk header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Track {
    /// Pictures.
    Video = 0,
    /// Sound.
    Audio = 1,
}

/// How a track is encoded, hence which container carries it.
///
/// In JSON it is its text; in a descriptor a number, with H.264's three bytes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")] // the encoding of descriptors
#[non_exhaustive]
pub enum Codec {
    /// VP8 in WebM.
    Vp8,
    /// VP9 in WebM.
    Vp9,
    /// Opus in WebM.
    Opus,
    /// Vorbis in WebM.
    Vorbis,
    /// H.264 in fragmented MP4. Whether it can be played depends on its profile and level.
    H264(AvcProfile),
}

impl Codec {
    /// The track this codec is for.
    pub const fn track(self) -> Track {
        match self {
            Self::Vp8 | Self::Vp9 | Self::H264(_) => Track::Video,
            Self::Opus | Self::Vorbis => Track::Audio,
        }
    }

    /// The container that carries it.
    pub const fn container(self) -> Container {
        match self {
            Self::Vp8 | Self::Vp9 | Self::Opus | Self::Vorbis => Container::WebM,
            Self::H264(_) => Container::Mp4,
        }
    }

    /// The MIME type that `MediaSource.isTypeSupported` takes.
    pub fn mime(self) -> String {
        let kind = match self.track() {
            Track::Video => "video",
            Track::Audio => "audio",
        };
        format!("{kind}/{}; codecs=\"{self}\"", self.container().extension())
    }

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Opus => "Opus",
            Self::Vorbis => "Vorbis",
            Self::H264(_) => "H.264",
        }
    }
}

/// What carries the frames of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// [`crate::webm`].
    WebM,
    /// [`crate::mp4`].
    Mp4,
}

impl Container {
    /// What names of its files end in; also the second half of its MIME type.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::WebM => "webm",
            Self::Mp4 => "mp4",
        }
    }
}

impl fmt::Display for Codec {
    /// As in a MIME type's `codecs`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vp8 => f.write_str("vp8"),
            Self::Vp9 => f.write_str("vp9"),
            Self::Opus => f.write_str("opus"),
            Self::Vorbis => f.write_str("vorbis"),
            Self::H264(profile) => profile.fmt(f),
        }
    }
}

impl FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(text: &str) -> Result<Self, UnknownCodec> {
        match text {
            "vp8" => Ok(Self::Vp8),
            "vp9" => Ok(Self::Vp9),
            "opus" => Ok(Self::Opus),
            "vorbis" => Ok(Self::Vorbis),
            _ => text.parse().map(Self::H264).map_err(|_| UnknownCodec),
        }
    }
}

/// A codec that this peer does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not one of the codecs vp8, vp9, avc1.PPCCLL, opus and vorbis")]
pub struct UnknownCodec;

impl Serialize for Codec {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            Self::serialize(self, to)
        }
    }
}

impl<'de> Deserialize<'de> for Codec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return Self::deserialize(from);
        }
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One frame as it leaves the encoder (or a demuxed file): one picture of VP8 or H.264, one Opus packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// Whether decoding can start here. Every audio packet is one.
    pub key: bool,
    /// When it was captured, on the broadcaster's monotonic clock.
    pub capture: Time,
    /// Its place on the stream's time line, microseconds; goes on across epochs.
    pub media_us: u64,
    /// The encoder's bytes. H.264: NAL units, each behind its length of four bytes.
    pub data: Bytes,
}

/// One track of one rendition, as a player needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackInfo {
    /// Video or audio.
    pub track: Track,
    /// Which quality of the stream; audio is rendition 0 and shared by all.
    pub rendition: u8,
    /// How it is encoded.
    pub codec: Codec,
    /// Mean rate, kbit/s: what a child of this track costs its parent.
    pub kbps: u32,
    /// The container's head, to be appended before anything else: WebM up to its Tracks, or MP4's `ftyp` and `moov`.
    pub init: Bytes,
}

/// What one epoch of a stream is: one uninterrupted run of its encoders.
///
/// It reaches a peer ahead of the epoch's first chunk, from its parent, and a lower epoch than the newest
/// seen is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The stream.
    pub stream: StreamId,
    /// Counter issued by the supervisor; sequence numbers start again with it.
    pub epoch: u32,
    /// Which stream key seals the chunks; 0 for none.
    pub key_id: u8,
    /// Where the epoch begins on the stream's time line, microseconds.
    pub media_origin_us: u64,
    /// All tracks of all renditions.
    pub tracks: Vec<TrackInfo>,
}

/// Why bytes are not a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// Longer than [`MAX_DESCRIPTOR`].
    #[error("a descriptor of {0} bytes, but at most {MAX_DESCRIPTOR} are allowed")]
    TooLong(usize),
    /// Not the encoding of one.
    #[error("the descriptor cannot be read")]
    Malformed,
    /// More than [`MAX_TRACKS`], none, or the same one twice.
    #[error("a descriptor of {0} tracks, or with one track twice")]
    Tracks(usize),
}

impl Descriptor {
    /// The total of all tracks that a child of rendition 0 takes, kbit/s.
    pub fn kbps(&self) -> u32 {
        self.tracks
            .iter()
            .filter(|t| t.rendition == 0)
            .map(|t| t.kbps)
            .sum()
    }

    /// The track `track` of rendition `rendition`.
    pub fn find(&self, track: Track, rendition: u8) -> Option<&TrackInfo> {
        self.tracks
            .iter()
            .find(|t| t.track == track && t.rendition == rendition)
    }

    /// Checks what the encoding alone does not: bounds and that no track stands twice.
    pub fn check(&self) -> Result<(), DescriptorError> {
        let mut names: Vec<_> = self.tracks.iter().map(|t| (t.track, t.rendition)).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() || names.len() > MAX_TRACKS || names.len() != self.tracks.len() {
            return Err(DescriptorError::Tracks(self.tracks.len()));
        }
        let init: usize = self.tracks.iter().map(|t| t.init.len()).sum();
        if init > MAX_DESCRIPTOR - 256 {
            return Err(DescriptorError::TooLong(init));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_is_its_text_in_json_and_the_same_again() {
        let h264 = Codec::H264("avc1.42C01E".parse().expect("a codec string"));
        for (codec, json, mime) in [
            (Codec::Vp8, "\"vp8\"", "video/webm; codecs=\"vp8\""),
            (Codec::Vp9, "\"vp9\"", "video/webm; codecs=\"vp9\""),
            (Codec::Opus, "\"opus\"", "audio/webm; codecs=\"opus\""),
            (Codec::Vorbis, "\"vorbis\"", "audio/webm; codecs=\"vorbis\""),
            (h264, "\"avc1.42C01E\"", "video/mp4; codecs=\"avc1.42C01E\""),
        ] {
            assert_eq!(serde_json::to_string(&codec).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Codec>(json).expect("a codec"), codec);
            assert_eq!(codec.mime(), mime);
        }
        assert!(serde_json::from_str::<Codec>("\"av1\"").is_err());
    }
}
