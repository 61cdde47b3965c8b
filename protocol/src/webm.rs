//! The WebM writer of one track: what a `SourceBuffer` is fed with.
//!
//! One track per byte stream, so nothing here interleaves and nothing waits: every encoded frame comes
//! out at once as the bytes to append. Segment and Clusters have unknown sizes, as live WebM does. Cues,
//! SeekHead, durations and DateUTC are absent: the last is fatal in Chrome when two SourceBuffers
//! differ in it.
//!
//! Clusters begin where a player may begin: at each video key frame, and for audio at each whole second
//! of media time. The latter is a rule that anyone can apply to a time stamp, so a player can put
//! [`silent_opus`] in the place of a lost packet even when the packet carried a Cluster's head.

use bytes::{BufMut, Bytes, BytesMut};

use crate::container::{Frame, Shape, TrackFormat};
use crate::media::{Codec, EncodedFrame, Track};

/// Audio Clusters begin when a whole second of media time does. Design: at the latest after 1 s.
const AUDIO_CLUSTER_MS: u64 = 1_000;
/// A video Cluster without a further key frame ends after this. Design: 5 s; the 16-bit relative time
/// of a block would allow 32 s.
const VIDEO_CLUSTER_MS: u64 = 5_000;
/// What an Opus decoder must hear before its output is right (RFC 7845 §4.6), nanoseconds.
const OPUS_PREROLL_NS: u64 = 80_000_000;
/// One 20 ms Opus packet of silence: full-band CELT, mono, one frame. Stereo decoders take it too.
const OPUS_SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// Writes one track. Time stamps never go backwards in its output, whatever goes in.
#[derive(Debug, Clone)]
pub struct Writer {
    format: TrackFormat,
    /// The running Cluster's time, if there is one.
    cluster_ms: Option<u64>,
    /// The last block's time.
    last_ms: u64,
}

impl Writer {
    /// A writer whose next frame begins a Cluster.
    pub const fn new(format: TrackFormat) -> Self {
        Self {
            format,
            cluster_ms: None,
            last_ms: 0,
        }
    }

    /// The init segment: everything before the first Cluster.
    pub fn init(&self) -> Bytes {
        let mut out = BytesMut::new();
        element(&mut out, id::EBML, |b| {
            uint(b, id::EBML_VERSION, 1);
            uint(b, id::EBML_READ_VERSION, 1);
            uint(b, id::EBML_MAX_ID_LENGTH, 4);
            uint(b, id::EBML_MAX_SIZE_LENGTH, 8);
            binary(b, id::DOC_TYPE, b"webm");
            uint(b, id::DOC_TYPE_VERSION, 4);
            uint(b, id::DOC_TYPE_READ_VERSION, 2);
        });
        put_id(&mut out, id::SEGMENT);
        out.put_slice(&UNKNOWN_SIZE);
        element(&mut out, id::INFO, |b| {
            uint(b, id::TIMECODE_SCALE, 1_000_000);
            binary(b, id::MUXING_APP, b"OwnStream Edge");
            binary(b, id::WRITING_APP, b"OwnStream Edge");
        });
        element(&mut out, id::TRACKS, |b| {
            element(b, id::TRACK_ENTRY, |b| self.write_track(b))
        });
        out.freeze()
    }

    fn write_track(&self, b: &mut BytesMut) {
        uint(b, id::TRACK_NUMBER, 1);
        uint(b, id::TRACK_UID, 1);
        uint(
            b,
            id::TRACK_TYPE,
            if self.format.track() == Track::Video {
                1
            } else {
                2
            },
        );
        uint(b, id::FLAG_LACING, 0);
        binary(b, id::LANGUAGE, b"und");
        binary(b, id::CODEC_ID, codec_id(self.format.codec));
        if !self.format.codec_private.is_empty() {
            binary(b, id::CODEC_PRIVATE, &self.format.codec_private);
        }
        if self.format.codec == Codec::Opus {
            // Firefox refuses a delay that differs from the pre-skip in OpusHead.
            uint(
                b,
                id::CODEC_DELAY,
                opus_delay_ns(&self.format.codec_private),
            );
            uint(b, id::SEEK_PRE_ROLL, OPUS_PREROLL_NS);
        }
        match self.format.shape {
            // No DefaultDuration, although `frame_ns` is known: Chromium takes a step of more than two of them
            // for a hole, and drops all frames up to the next key frame (measured). Cameras make such steps in
            // the dark, and boards when they are busy. What it costs: Chromium holds the newest frame back until
            // the next one says how long it lasted.
            Shape::Video { width, height, .. } => element(b, id::VIDEO, |b| {
                uint(b, id::PIXEL_WIDTH, width.into());
                uint(b, id::PIXEL_HEIGHT, height.into());
            }),
            Shape::Audio { rate_hz, channels } => element(b, id::AUDIO, |b| {
                binary(b, id::SAMPLING_FREQUENCY, &f64::from(rate_hz).to_be_bytes());
                uint(b, id::CHANNELS, channels.into());
            }),
        }
    }

    /// Writes the next frame. A time before the last frame's is taken to be the last frame's.
    ///
    /// Block times are media times rounded down to milliseconds, so that a play head set to a frame's
    /// media time is never before the block. Opus blocks are not moved by the codec's delay: 6.5 ms of
    /// sound ahead of the picture is not heard, and the two tracks keep one time line.
    pub fn write(&mut self, frame: &EncodedFrame) -> Frame {
        let at_ms = (frame.media_us / 1000).max(self.last_ms);
        let begun = self.begins(at_ms, frame.key);
        let cluster_ms = begun.or(self.cluster_ms).unwrap_or(at_ms);
        let mut out = BytesMut::with_capacity(frame.data.len() + CLUSTER_HEAD + BLOCK_HEAD);
        if begun.is_some() {
            put_cluster(&mut out, cluster_ms);
        }
        put_block(
            &mut out,
            relative(at_ms, cluster_ms),
            frame.key,
            &frame.data,
        );
        (self.cluster_ms, self.last_ms) = (Some(cluster_ms), at_ms);
        let startable = frame.key || self.format.track() == Track::Audio;
        Frame {
            container: out.freeze(),
            random_access: begun.is_some() && startable,
        }
    }

    /// The time of the Cluster that a block at `at_ms` begins, if it begins one.
    fn begins(&self, at_ms: u64, key: bool) -> Option<u64> {
        match (self.format.track(), self.cluster_ms) {
            (Track::Audio, running) => {
                let second = audio_cluster_ms(at_ms);
                (running != Some(second)).then_some(second)
            }
            (Track::Video, Some(running)) if !key && at_ms - running < VIDEO_CLUSTER_MS => None,
            (Track::Video, _) => Some(at_ms),
        }
    }
}

/// The bytes to append in the place of a lost Opus packet at `media_us`: 20 ms of silence.
///
/// `previous_us` is the media time of the packet before it, lost or not, or `None` if the packet is the
/// first. Chrome waits for ever at a gap of two packets, and plays on through any number of these.
pub fn silent_opus(previous_us: Option<u64>, media_us: u64) -> Frame {
    let previous_ms = previous_us.map(|us| us / 1000);
    let at_ms = (media_us / 1000).max(previous_ms.unwrap_or(0));
    let second = audio_cluster_ms(at_ms);
    let begins = previous_ms.map(audio_cluster_ms) != Some(second);
    let mut out = BytesMut::with_capacity(CLUSTER_HEAD + BLOCK_HEAD + OPUS_SILENCE.len());
    if begins {
        put_cluster(&mut out, second);
    }
    put_block(&mut out, relative(at_ms, second), true, &OPUS_SILENCE);
    Frame {
        container: out.freeze(),
        random_access: begins,
    }
}

/// An OpusHead (RFC 7845 §5.1) for up to two channels, for encoders that do not supply one.
pub fn opus_head(channels: u8, pre_skip: u16, rate_hz: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(19);
    out.put_slice(b"OpusHead\x01");
    out.put_u8(channels);
    out.put_u16_le(pre_skip);
    out.put_u32_le(rate_hz);
    out.put_slice(&[0, 0, 0]);
    out.freeze()
}

/// Vorbis' three header packets as WebM's CodecPrivate: Xiph lacing, the third's length implied.
pub fn vorbis_private(headers: [&[u8]; 3]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(2);
    for header in &headers[..2] {
        out.put_bytes(255, header.len() / 255);
        out.put_u8((header.len() % 255) as u8);
    }
    headers.iter().for_each(|header| out.put_slice(header));
    out.freeze()
}

const fn audio_cluster_ms(at_ms: u64) -> u64 {
    at_ms - at_ms % AUDIO_CLUSTER_MS
}

/// A block's time within its Cluster. Both rules for beginning one keep it below 5 s.
fn relative(at_ms: u64, cluster_ms: u64) -> i16 {
    i16::try_from(at_ms.saturating_sub(cluster_ms)).unwrap_or(i16::MAX)
}

const fn codec_id(codec: Codec) -> &'static [u8] {
    match codec {
        Codec::H264(_) => b"V_MPEG4/ISO/AVC", // never asked for: it goes into MP4
        Codec::Vp8 => b"V_VP8",
        Codec::Vp9 => b"V_VP9",
        Codec::Opus => b"A_OPUS",
        Codec::Vorbis => b"A_VORBIS",
    }
}

/// The pre-skip of an OpusHead in nanoseconds; 0 for something shorter.
fn opus_delay_ns(head: &[u8]) -> u64 {
    let pre_skip = head
        .get(10..12)
        .map_or(0, |b| u64::from(u16::from_le_bytes([b[0], b[1]])));
    pre_skip * 1_000_000_000 / 48_000
}

/// Element identifiers (RFC 8794, RFC 9559), length marker included.
mod id {
    pub(super) const EBML: u32 = 0x1a45_dfa3;
    pub(super) const EBML_VERSION: u32 = 0x4286;
    pub(super) const EBML_READ_VERSION: u32 = 0x42f7;
    pub(super) const EBML_MAX_ID_LENGTH: u32 = 0x42f2;
    pub(super) const EBML_MAX_SIZE_LENGTH: u32 = 0x42f3;
    pub(super) const DOC_TYPE: u32 = 0x4282;
    pub(super) const DOC_TYPE_VERSION: u32 = 0x4287;
    pub(super) const DOC_TYPE_READ_VERSION: u32 = 0x4285;
    pub(super) const SEGMENT: u32 = 0x1853_8067;
    pub(super) const INFO: u32 = 0x1549_a966;
    pub(super) const TIMECODE_SCALE: u32 = 0x002a_d7b1;
    pub(super) const MUXING_APP: u32 = 0x4d80;
    pub(super) const WRITING_APP: u32 = 0x5741;
    pub(super) const TRACKS: u32 = 0x1654_ae6b;
    pub(super) const TRACK_ENTRY: u32 = 0xae;
    pub(super) const TRACK_NUMBER: u32 = 0xd7;
    pub(super) const TRACK_UID: u32 = 0x73c5;
    pub(super) const TRACK_TYPE: u32 = 0x83;
    pub(super) const FLAG_LACING: u32 = 0x9c;
    pub(super) const LANGUAGE: u32 = 0x0022_b59c;
    pub(super) const CODEC_ID: u32 = 0x86;
    pub(super) const CODEC_PRIVATE: u32 = 0x63a2;
    pub(super) const CODEC_DELAY: u32 = 0x56aa;
    pub(super) const SEEK_PRE_ROLL: u32 = 0x56bb;
    pub(super) const VIDEO: u32 = 0xe0;
    pub(super) const PIXEL_WIDTH: u32 = 0xb0;
    pub(super) const PIXEL_HEIGHT: u32 = 0xba;
    pub(super) const AUDIO: u32 = 0xe1;
    pub(super) const SAMPLING_FREQUENCY: u32 = 0xb5;
    pub(super) const CHANNELS: u32 = 0x9f;
    pub(super) const CLUSTER: u32 = 0x1f43_b675;
    pub(super) const TIMECODE: u32 = 0xe7;
    pub(super) const SIMPLE_BLOCK: u32 = 0xa3;
}

/// "Until the next element of this level", in eight bytes.
const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/// Most bytes of a Cluster's head: id, unknown size, Timecode of eight bytes.
const CLUSTER_HEAD: usize = 4 + 8 + 10;
/// Most bytes before a block's frame: id, size, track number, relative time, flags.
const BLOCK_HEAD: usize = 1 + 8 + 4;

fn put_cluster(out: &mut BytesMut, at_ms: u64) {
    put_id(out, id::CLUSTER);
    out.put_slice(&UNKNOWN_SIZE);
    uint(out, id::TIMECODE, at_ms);
}

fn put_block(out: &mut BytesMut, relative_ms: i16, key: bool, data: &[u8]) {
    put_id(out, id::SIMPLE_BLOCK);
    put_size(out, data.len() + 4);
    out.put_u8(0x81); // track 1
    out.put_i16(relative_ms);
    out.put_u8(if key { 0x80 } else { 0 });
    out.put_slice(data);
}

fn element(out: &mut BytesMut, id: u32, write: impl FnOnce(&mut BytesMut)) {
    let mut body = BytesMut::new();
    write(&mut body);
    binary(out, id, &body);
}

fn binary(out: &mut BytesMut, id: u32, body: &[u8]) {
    put_id(out, id);
    put_size(out, body.len());
    out.put_slice(body);
}

fn uint(out: &mut BytesMut, id: u32, value: u64) {
    let leading = (value.leading_zeros() / 8).min(7) as usize;
    binary(out, id, &value.to_be_bytes()[leading..]);
}

fn put_id(out: &mut BytesMut, id: u32) {
    let leading = (id.leading_zeros() / 8) as usize;
    out.put_slice(&id.to_be_bytes()[leading..]);
}

/// A size in the fewest bytes that hold it; all ones means "unknown" and is passed over.
fn put_size(out: &mut BytesMut, size: usize) {
    let size = size as u64;
    let length = (1..8).find(|n| size < (1 << (7 * n)) - 1).unwrap_or(8);
    let marked = size | 1 << (7 * length);
    out.put_slice(&marked.to_be_bytes()[8 - length..]);
}

#[cfg(test)]
mod tests;
