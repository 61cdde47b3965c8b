//! What a stream is made of: tracks, codecs, encoded frames, and the descriptor of an epoch.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
}

impl Codec {
    /// The track this codec is for.
    pub const fn track(self) -> Track {
        match self {
            Self::Vp8 | Self::Vp9 => Track::Video,
            Self::Opus | Self::Vorbis => Track::Audio,
        }
    }

    /// The MIME type that `MediaSource.isTypeSupported` takes.
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Vp8 => "video/webm; codecs=\"vp8\"",
            Self::Vp9 => "video/webm; codecs=\"vp9\"",
            Self::Opus => "audio/webm; codecs=\"opus\"",
            Self::Vorbis => "audio/webm; codecs=\"vorbis\"",
        }
    }
}

/// One frame as it leaves the encoder (or a demuxed file): one VP8 frame, one Opus packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// Whether decoding can start here. Every audio packet is one.
    pub key: bool,
    /// When it was captured, on the broadcaster's monotonic clock.
    pub capture: Time,
    /// Its place on the stream's time line, microseconds; goes on across epochs.
    pub media_us: u64,
    /// The encoder's bytes.
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
    /// The container's head, to be appended before anything else: EBML head, Segment, Info, Tracks.
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
