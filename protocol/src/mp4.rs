//! The fragmented-MP4 writer of one track of H.264: what a `SourceBuffer` is fed with where WebM cannot be.
//!
//! As in [`crate::webm`], every encoded frame comes out at once as the bytes to append: a fragment of its own, of 104
//! bytes and the frame. There are no B-frames, so a frame's time is all there is to say of its place. Absent: sound
//! (it stays in WebM), more than one sample a fragment, indexes, edit lists.

use bytes::{BufMut, Bytes, BytesMut};

use crate::container::{Frame, Shape, TrackFormat};
use crate::media::EncodedFrame;

/// Ticks per second: milliseconds, rounded down as in WebM, so that a play head set to a frame's media time is never
/// before the frame.
const TIMESCALE: u32 = 1_000;
/// The only track.
const TRACK: u32 = 1;
/// How many frame times a frame is said to last, see [`Writer::lasts_ms`].
const LASTS_FRAMES: u64 = 3;
/// A frame is said to last at least so long. Guess: a camera of 30 frames per second falls to 10 in the dark.
const LASTS_AT_LEAST_MS: u64 = 100;
/// `moof` and the head of `mdat`.
const FRAGMENT_HEAD: usize = 104;
/// A sample's flags (ISO/IEC 14496-12 §8.8.3.1): depends on no other, and is a sync sample.
const KEY: u32 = 0x0200_0000;
/// Depends on others, and is not a sync sample.
const NOT_KEY: u32 = 0x0101_0000;
/// No rotation, no scaling: fixed-point numbers of 16.16, and of 2.30 in the last column.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// Writes one track. Times always grow in its output, whatever goes in.
#[derive(Debug, Clone)]
pub struct Writer {
    format: TrackFormat,
    /// Of the last fragment, from 1.
    number: u32,
    last_ms: Option<u64>,
}

impl Writer {
    /// A writer for a track whose `codec_private` is the configuration record ([`crate::avc`]).
    pub const fn new(format: TrackFormat) -> Self {
        Self {
            format,
            number: 0,
            last_ms: None,
        }
    }

    /// The init segment: `ftyp` and `moov`.
    pub fn init(&self) -> Bytes {
        let mut out = BytesMut::new();
        boxed(&mut out, b"ftyp", |b| {
            b.put_slice(b"iso6");
            b.put_u32(0);
            b.put_slice(b"iso6mp41avc1");
        });
        boxed(&mut out, b"moov", |b| {
            boxed(b, b"mvhd", movie_header);
            boxed(b, b"trak", |b| self.put_track(b));
            boxed(b, b"mvex", |b| boxed(b, b"trex", |b| self.put_defaults(b)));
        });
        out.freeze()
    }

    fn put_track(&self, b: &mut BytesMut) {
        let (width, height) = self.size();
        boxed(b, b"tkhd", |b| {
            b.put_u32(3); // enabled, and in the movie
            b.put_bytes(0, 8);
            b.put_u32(TRACK);
            b.put_bytes(0, 24); // also the duration: not known
            MATRIX.iter().for_each(|&number| b.put_u32(number));
            b.put_u32(u32::from(width) << 16);
            b.put_u32(u32::from(height) << 16);
        });
        boxed(b, b"mdia", |b| {
            boxed(b, b"mdhd", |b| {
                b.put_bytes(0, 12);
                b.put_u32(TIMESCALE);
                b.put_u32(0);
                b.put_u32(0x55c4_0000); // no language
            });
            boxed(b, b"hdlr", |b| {
                b.put_bytes(0, 8);
                b.put_slice(b"vide");
                b.put_bytes(0, 12);
                b.put_slice(b"OwnStream Edge\0");
            });
            boxed(b, b"minf", |b| self.put_media(b));
        });
    }

    fn put_media(&self, b: &mut BytesMut) {
        boxed(b, b"vmhd", |b| {
            b.put_u32(1);
            b.put_bytes(0, 8);
        });
        boxed(b, b"dinf", |b| {
            boxed(b, b"dref", |b| {
                b.put_u32(0);
                b.put_u32(1);
                boxed(b, b"url ", |b| b.put_u32(1)); // the media is in this file
            });
        });
        boxed(b, b"stbl", |b| {
            boxed(b, b"stsd", |b| {
                b.put_u32(0);
                b.put_u32(1);
                boxed(b, b"avc1", |b| self.put_sample_entry(b));
            });
            // All samples are in fragments.
            boxed(b, b"stts", |b| b.put_bytes(0, 8));
            boxed(b, b"stsc", |b| b.put_bytes(0, 8));
            boxed(b, b"stsz", |b| b.put_bytes(0, 12));
            boxed(b, b"stco", |b| b.put_bytes(0, 8));
        });
    }

    fn put_sample_entry(&self, b: &mut BytesMut) {
        let (width, height) = self.size();
        b.put_bytes(0, 6);
        b.put_u16(1); // the one data reference
        b.put_bytes(0, 16);
        b.put_u16(width);
        b.put_u16(height);
        b.put_u32(0x0048_0000); // 72 dots per inch, as everybody writes
        b.put_u32(0x0048_0000);
        b.put_u32(0);
        b.put_u16(1); // frame per sample
        b.put_bytes(0, 32);
        b.put_u16(24); // bits of colour
        b.put_i16(-1);
        boxed(b, b"avcC", |b| b.put_slice(&self.format.codec_private));
    }

    /// What holds for every sample.
    fn put_defaults(&self, b: &mut BytesMut) {
        b.put_u32(0);
        b.put_u32(TRACK);
        b.put_u32(1); // the one sample entry
        b.put_u32(u32::try_from(self.lasts_ms()).unwrap_or(u32::MAX));
        b.put_u32(0);
        b.put_u32(NOT_KEY);
    }

    /// How long a frame is said to last.
    ///
    /// When it goes out nobody knows: that is when the next one comes. Too short is worse than too long: a browser
    /// takes a step of more than two of these for a hole and drops all up to the next key frame, while a frame that
    /// comes sooner simply follows (Media Source Extensions, coded frame processing). So it is generous, and whoever
    /// makes a step beyond [`longest_step_ms`] makes a key frame after it.
    const fn lasts_ms(&self) -> u64 {
        match self.format.shape {
            Shape::Video { frame_ns, .. } => lasts_ms(frame_ns),
            Shape::Audio { .. } => LASTS_AT_LEAST_MS,
        }
    }

    /// Pixels; 0 for what is no picture, or for no size an MP4 can say.
    fn size(&self) -> (u16, u16) {
        let side = |pixels: u32| u16::try_from(pixels).unwrap_or(0);
        match self.format.shape {
            Shape::Video { width, height, .. } => (side(width), side(height)),
            Shape::Audio { .. } => (0, 0),
        }
    }

    /// Writes the next frame. A time not after the last frame's is taken to be a millisecond after it: browsers would
    /// put it in the last frame's place.
    pub fn write(&mut self, frame: &EncodedFrame) -> Frame {
        let earliest = self.last_ms.map_or(0, |last| last.saturating_add(1));
        let at_ms = (frame.media_us / 1000).max(earliest);
        self.last_ms = Some(at_ms);
        self.number = self.number.wrapping_add(1);
        let length = u32::try_from(frame.data.len()).unwrap_or(u32::MAX);
        let mut out = BytesMut::with_capacity(FRAGMENT_HEAD + frame.data.len());
        boxed(&mut out, b"moof", |b| {
            boxed(b, b"mfhd", |b| {
                b.put_u32(0);
                b.put_u32(self.number);
            });
            boxed(b, b"traf", |b| {
                boxed(b, b"tfhd", |b| {
                    b.put_u32(0x02_0000); // offsets count from the moof
                    b.put_u32(TRACK);
                });
                boxed(b, b"tfdt", |b| {
                    b.put_u32(0x0100_0000); // version 1: 64 bits
                    b.put_u64(at_ms);
                });
                boxed(b, b"trun", |b| {
                    b.put_u32(0x0601); // offset, and each sample's size and flags
                    b.put_u32(1);
                    b.put_u32(FRAGMENT_HEAD as u32);
                    b.put_u32(length);
                    b.put_u32(if frame.key { KEY } else { NOT_KEY });
                });
            });
        });
        boxed(&mut out, b"mdat", |b| b.put_slice(&frame.data));
        Frame {
            container: out.freeze(),
            random_access: frame.key,
        }
    }
}

/// The longest step from one frame to the next, milliseconds, that a browser plays over, for a track of so many
/// nanoseconds a frame; see `Writer::lasts_ms`.
pub const fn longest_step_ms(frame_ns: u64) -> u64 {
    2 * lasts_ms(frame_ns)
}

const fn lasts_ms(frame_ns: u64) -> u64 {
    let ms = LASTS_FRAMES.saturating_mul(frame_ns) / 1_000_000;
    if ms > LASTS_AT_LEAST_MS {
        ms
    } else {
        LASTS_AT_LEAST_MS
    }
}

fn movie_header(b: &mut BytesMut) {
    b.put_bytes(0, 12);
    b.put_u32(TIMESCALE);
    b.put_u32(0);
    b.put_u32(0x1_0000); // rate 1
    b.put_u16(0x100); // volume 1
    b.put_bytes(0, 10);
    MATRIX.iter().for_each(|&number| b.put_u32(number));
    b.put_bytes(0, 24);
    b.put_u32(TRACK + 1); // the next track's number
}

/// A box: its length, its name, and what `write` writes.
fn boxed(out: &mut BytesMut, name: &[u8; 4], write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    out.put_slice(name);
    write(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests;
