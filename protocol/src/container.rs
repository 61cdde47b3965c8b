//! What carries a track's frames: WebM, or fragmented MP4 for H.264. One writer for both, so that whoever sends frames
//! need not know which it is.

use bytes::Bytes;

use crate::media::{Codec, Container, EncodedFrame, Track};
use crate::{mp4, webm};

/// What a player must know of a track before its first frame.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackFormat {
    /// How the frames are encoded. Decides whether `shape` must be video or audio.
    pub codec: Codec,
    /// The codec's own head: OpusHead for Opus, the three Xiph-laced headers for Vorbis, the configuration
    /// record for H.264 ([`crate::avc`]), empty for VP8.
    pub codec_private: Bytes,
    /// Mean rate, kbit/s.
    pub kbps: u32,
    /// Picture size or sound format.
    pub shape: Shape,
}

impl TrackFormat {
    /// Video or audio.
    pub const fn track(&self) -> Track {
        self.codec.track()
    }
}

/// The uncompressed form of a track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Pictures.
    Video {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Nominal time from frame to frame, nanoseconds; 0 if unknown. Not written into WebM, see
        /// [`crate::webm::Writer::init`].
        frame_ns: u64,
    },
    /// Sound.
    Audio {
        /// Samples per second.
        rate_hz: u32,
        /// Number of channels.
        channels: u8,
    },
}

/// What the writer made of one encoded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The bytes to append: a SimpleBlock, with a Cluster's head before it where one begins; or a fragment of MP4.
    pub container: Bytes,
    /// A player may begin here, after the init segment.
    pub random_access: bool,
}

/// Writes one track in the container that its codec asks for.
#[derive(Debug, Clone)]
pub enum Writer {
    /// VP8, VP9, Opus, Vorbis.
    WebM(webm::Writer),
    /// H.264.
    Mp4(mp4::Writer),
}

impl Writer {
    /// A writer for the track.
    pub const fn new(format: TrackFormat) -> Self {
        match format.codec.container() {
            Container::WebM => Self::WebM(webm::Writer::new(format)),
            Container::Mp4 => Self::Mp4(mp4::Writer::new(format)),
        }
    }

    /// What a player is given before any frame.
    pub fn init(&self) -> Bytes {
        match self {
            Self::WebM(writer) => writer.init(),
            Self::Mp4(writer) => writer.init(),
        }
    }

    /// Writes the next frame.
    pub fn write(&mut self, frame: &EncodedFrame) -> Frame {
        match self {
            Self::WebM(writer) => writer.write(frame),
            Self::Mp4(writer) => writer.write(frame),
        }
    }
}
