//! The video chunk (the paper's VC): a fixed header, a digest, perhaps a signature, and a part of what
//! the container's writer made of one encoded frame.
//!
//! Nobody downstream of the broadcaster takes a chunk apart to pass it on: [`Chunk`] keeps the bytes it
//! came in, and relays send those. (epoch, sequence, part) within a stream's track is the only key.

use core::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::id::StreamHandle;
use crate::media::Track;
use crate::time::Time;

/// Largest message on a data channel, bytes, chunk header included. Measured: 16 KiB messages reach the
/// deepest hop of a 15-tab tree in 12 ms, 64 KiB ones in 66 ms.
pub const MAX_MESSAGE: usize = 16_384;
/// The wire format this crate writes; the header's first byte.
pub const VERSION: u8 = 1;
/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 48;
/// Bytes of the digest that follows it (HMAC-SHA-256; all zero while `key_id` is 0).
pub const DIGEST_LEN: usize = 32;
/// Bytes of the signature that follows where the flag says so (Ed25519).
pub const SIGNATURE_LEN: usize = 64;
/// Most payload in one chunk, whether signed or not.
pub const MAX_PAYLOAD: usize = MAX_MESSAGE - HEADER_LEN - DIGEST_LEN - SIGNATURE_LEN;
/// Most parts of one frame: 8 MiB. Guess: a 4K key frame at the highest quality is below 2 MiB.
pub const MAX_PARTS: u16 = 512;

/// Latest media time of a frame, microseconds: 2^53, some 285 years. What a browser's numbers hold exactly, and so
/// far below the end of a `u64` that no player's sum overflows.
pub const MAX_MEDIA_US: u64 = 1 << 53;

const FLAG_RANDOM_ACCESS: u8 = 1;
const FLAG_SIGNED: u8 = 1 << 1;
const KNOWN_FLAGS: u8 = FLAG_RANDOM_ACCESS | FLAG_SIGNED;

/// A chunk's number, ordered as the chunks of one track are.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Position {
    /// Which run of the encoder.
    pub epoch: u32,
    /// Which frame of the run, per (rendition, track), from 0.
    pub sequence: u64,
}

impl Position {
    /// The first frame of an epoch.
    pub const fn start_of(epoch: u32) -> Self {
        Self { epoch, sequence: 0 }
    }

    /// The frame after this one in the same epoch.
    pub const fn next(self) -> Self {
        Self {
            epoch: self.epoch,
            sequence: self.sequence.saturating_add(1),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.sequence)
    }
}

/// The fixed header. All numbers are big-endian on the wire; docs/protocol.md has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Decoding can start at this frame.
    pub random_access: bool,
    /// Video or audio.
    pub track: Track,
    /// Which quality of the stream.
    pub rendition: u8,
    /// Which stream key made the digest; 0 for none.
    pub key_id: u8,
    /// Which stream.
    pub handle: StreamHandle,
    /// Which frame.
    pub position: Position,
    /// Which part of the frame, from 0, below `parts`.
    pub part: u16,
    /// How many parts the frame has.
    pub parts: u16,
    /// When the frame was captured, on the broadcaster's clock.
    pub capture: Time,
    /// The frame's place on the stream's time line, microseconds.
    pub media_us: u64,
}

/// One message on the media channel: a decoded header and the very bytes it came in.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk {
    header: Header,
    signed: bool,
    message: Bytes,
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let h = &self.header;
        write!(
            f,
            "Chunk({:?} {} part {}/{}, {} bytes)",
            h.track,
            h.position,
            h.part,
            h.parts,
            self.message.len()
        )
    }
}

/// Why bytes off a media channel are not a chunk.
///
/// Every variant is the sender's doing, so the caller's answer is always the same: close that one link
/// and leave the others alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message ended inside its header, digest or signature.
    #[error("a chunk of {got} bytes ends inside its {need}-byte head")]
    Truncated {
        /// Bytes there are.
        got: usize,
        /// Bytes there must be.
        need: usize,
    },
    /// Longer than [`MAX_MESSAGE`].
    #[error("a chunk of {0} bytes, but at most {MAX_MESSAGE} are allowed")]
    TooLong(usize),
    /// The sender speaks another wire format.
    #[error("chunk version {0}, but this peer speaks version {VERSION}")]
    Version(u8),
    /// A flag or a reserved field this version does not have.
    #[error("chunk flags {0:#04x} are not of version {VERSION}")]
    Flags(u8),
    /// Neither video nor audio.
    #[error("track {0} is neither video (0) nor audio (1)")]
    Track(u8),
    /// No such part, or too many.
    #[error("part {part} of {parts}, but a frame has 1 to {MAX_PARTS} parts")]
    Part {
        /// The part's number.
        part: u16,
        /// The number of parts.
        parts: u16,
    },
    /// Later than [`MAX_MEDIA_US`].
    #[error("media time {0} us, but a stream ends at {MAX_MEDIA_US} us at the latest")]
    MediaTime(u64),
}

impl Chunk {
    /// Reads a message.
    pub fn decode(message: Bytes) -> Result<Self, DecodeError> {
        let got = message.len();
        if got > MAX_MESSAGE {
            return Err(DecodeError::TooLong(got));
        }
        // The version first: what else a later one has in its header is not for this reader to say.
        match message.first() {
            None => {
                return Err(DecodeError::Truncated {
                    got,
                    need: HEADER_LEN + DIGEST_LEN,
                });
            }
            Some(&VERSION) => {}
            Some(&other) => return Err(DecodeError::Version(other)),
        }
        if got < HEADER_LEN + DIGEST_LEN {
            return Err(DecodeError::Truncated {
                got,
                need: HEADER_LEN + DIGEST_LEN,
            });
        }
        let (header, signed) = Header::read(&message[..HEADER_LEN])?;
        let need = head_len(signed);
        if got < need {
            return Err(DecodeError::Truncated { got, need });
        }
        Ok(Self {
            header,
            signed,
            message,
        })
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The whole message, as it came and as it is passed on.
    pub const fn message(&self) -> &Bytes {
        &self.message
    }

    /// The container's bytes: this part of what the writer made of the frame.
    pub fn payload(&self) -> Bytes {
        self.message.slice(head_len(self.signed)..)
    }

    /// Whether a signature follows the digest.
    pub const fn is_signed(&self) -> bool {
        self.signed
    }

    /// The digest: what its broadcaster's stream key made of header and payload.
    pub fn digest(&self) -> &[u8; DIGEST_LEN] {
        let from_digest = self.message.split_at(HEADER_LEN).1;
        from_digest.first_chunk().expect("checked when read")
    }

    /// The signature, if it has one.
    pub fn signature(&self) -> Option<&[u8; SIGNATURE_LEN]> {
        let after_digest = self.message.split_at(HEADER_LEN + DIGEST_LEN).1;
        self.signed
            .then(|| after_digest.first_chunk().expect("checked when read"))
    }

    /// What the digest is made of: the header and the payload, where they stand in the message.
    pub fn digested(&self) -> [&[u8]; 2] {
        digested(&self.message, self.signed)
    }
}

const fn head_len(signed: bool) -> usize {
    HEADER_LEN + DIGEST_LEN + if signed { SIGNATURE_LEN } else { 0 }
}

fn digested(message: &[u8], signed: bool) -> [&[u8]; 2] {
    [&message[..HEADER_LEN], &message[head_len(signed)..]]
}

impl Header {
    fn read(mut from: &[u8]) -> Result<(Self, bool), DecodeError> {
        let _version = from.get_u8();
        let flags = from.get_u8();
        let track = match from.get_u8() {
            0 => Track::Video,
            1 => Track::Audio,
            other => return Err(DecodeError::Track(other)),
        };
        let rendition = from.get_u8();
        let key_id = from.get_u8();
        let reserved = [from.get_u8(), from.get_u8(), from.get_u8()];
        if flags & !KNOWN_FLAGS != 0 || reserved != [0; 3] {
            return Err(DecodeError::Flags(flags));
        }
        let handle = StreamHandle(from.get_u64());
        let epoch = from.get_u32();
        let (part, parts) = (from.get_u16(), from.get_u16());
        if parts == 0 || parts > MAX_PARTS || part >= parts {
            return Err(DecodeError::Part { part, parts });
        }
        let position = Position {
            epoch,
            sequence: from.get_u64(),
        };
        let (capture, media_us) = (Time::from_micros(from.get_u64()), from.get_u64());
        if media_us > MAX_MEDIA_US {
            return Err(DecodeError::MediaTime(media_us));
        }
        let random_access = flags & FLAG_RANDOM_ACCESS != 0;
        let signed = flags & FLAG_SIGNED != 0;
        Ok((
            Self {
                random_access,
                track,
                rendition,
                key_id,
                handle,
                position,
                part,
                parts,
                capture,
                media_us,
            },
            signed,
        ))
    }

    fn write(&self, signed: bool, to: &mut BytesMut) {
        let flags = if self.random_access {
            FLAG_RANDOM_ACCESS
        } else {
            0
        } | if signed { FLAG_SIGNED } else { 0 };
        to.put_slice(&[
            VERSION,
            flags,
            self.track as u8,
            self.rendition,
            self.key_id,
            0,
            0,
            0,
        ]);
        to.put_u64(self.handle.0);
        to.put_u32(self.position.epoch);
        to.put_u16(self.part);
        to.put_u16(self.parts);
        to.put_u64(self.position.sequence);
        to.put_u64(self.capture.as_micros());
        to.put_u64(self.media_us);
    }
}

/// Cuts what the container's writer made of one frame into chunks of at most [`MAX_MESSAGE`] bytes.
///
/// `first` is the header of the first part; `part` and `parts` in it are set here. Chunks are not yet
/// sealed: their digest is zero. Gives none for no bytes, and none for more than [`MAX_PARTS`] parts
/// (8 MiB), which no live encoder makes of one frame.
pub fn cut(first: Header, container: &[u8]) -> Vec<Chunk> {
    cut_open(first, container, MAX_PAYLOAD, false)
        .into_iter()
        .map(OpenChunk::close)
        .collect()
}

/// As [`cut`], but into parts of at most `longest` bytes of payload, whose digest and signature (in the last one, if
/// `signed`) are still to be written.
pub(crate) fn cut_open(
    first: Header,
    container: &[u8],
    longest: usize,
    signed: bool,
) -> Vec<OpenChunk> {
    // No frame is too large for being cut into short parts.
    let least = container.len().div_ceil(MAX_PARTS.into());
    let longest = longest.max(least).clamp(1, MAX_PAYLOAD);
    let Ok(parts) = u16::try_from(container.len().div_ceil(longest)) else {
        return Vec::new();
    };
    if parts > MAX_PARTS {
        return Vec::new();
    }
    container
        .chunks(longest)
        .zip(0..)
        .map(|(payload, part)| {
            let header = Header {
                part,
                parts,
                ..first
            };
            OpenChunk::new(header, signed && part + 1 == parts, payload)
        })
        .collect()
}

/// A chunk while it is made. Once closed it never changes: others hold its bytes.
#[derive(Debug)]
pub(crate) struct OpenChunk {
    header: Header,
    signed: bool,
    message: BytesMut,
}

impl OpenChunk {
    fn new(header: Header, signed: bool, payload: &[u8]) -> Self {
        let head = head_len(signed);
        let mut message = BytesMut::with_capacity(head + payload.len());
        header.write(signed, &mut message);
        message.put_bytes(0, head - HEADER_LEN);
        message.put_slice(payload);
        Self {
            header,
            signed,
            message,
        }
    }

    pub(crate) fn digested(&self) -> [&[u8]; 2] {
        digested(&self.message, self.signed)
    }

    pub(crate) fn write_digest(&mut self, digest: &[u8; DIGEST_LEN]) {
        self.message[HEADER_LEN..HEADER_LEN + DIGEST_LEN].copy_from_slice(digest);
    }

    /// Only for a chunk that was opened as a signed one.
    pub(crate) fn write_signature(&mut self, signature: &[u8; SIGNATURE_LEN]) {
        if self.signed {
            self.message[HEADER_LEN + DIGEST_LEN..head_len(true)].copy_from_slice(signature);
        }
    }

    pub(crate) fn close(self) -> Chunk {
        Chunk {
            header: self.header,
            signed: self.signed,
            message: self.message.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header {
            random_access: true,
            track: Track::Audio,
            rendition: 2,
            key_id: 3,
            handle: StreamHandle(0x0102_0304_0506_0708),
            position: Position {
                epoch: 9,
                sequence: 10,
            },
            part: 0,
            parts: 1,
            capture: Time::from_micros(11),
            media_us: 12,
        }
    }

    #[test]
    fn the_header_on_the_wire_is_the_golden_one() {
        let chunk = cut(header(), b"webm").pop().expect("one part");
        assert_eq!(
            hex::encode(&chunk.message()[..HEADER_LEN]),
            "0101010203000000\
             0102030405060708\
             00000009\
             00000001\
             000000000000000a\
             000000000000000b\
             000000000000000c"
        );
        assert_eq!(&chunk.message()[HEADER_LEN + DIGEST_LEN..], b"webm");
    }

    #[test]
    fn a_frame_of_40_kb_travels_in_three_messages_and_comes_out_as_it_went_in() {
        let frame: Vec<u8> = (0..40_000_u32).map(|i| (i % 251) as u8).collect();
        let chunks = cut(header(), &frame);
        let read: Vec<Chunk> = chunks
            .iter()
            .map(|c| Chunk::decode(c.message().clone()).expect("just written"))
            .collect();
        assert_eq!(read, chunks);
        assert!(read.iter().all(|c| c.message().len() <= MAX_MESSAGE));
        assert_eq!(
            read.iter()
                .map(|c| (c.header().part, c.header().parts))
                .collect::<Vec<_>>(),
            [(0, 3), (1, 3), (2, 3)]
        );
        assert_eq!(
            read.iter().flat_map(Chunk::payload).collect::<Vec<_>>(),
            frame
        );
    }

    #[test]
    fn a_chunk_cut_anywhere_in_its_head_is_refused_and_never_panics() {
        let whole = cut(header(), b"").len() + HEADER_LEN + DIGEST_LEN;
        let message = cut(header(), b"x")
            .pop()
            .expect("one part")
            .message()
            .clone();
        for end in 0..whole {
            assert!(
                matches!(
                    Chunk::decode(message.slice(..end)),
                    Err(DecodeError::Truncated { .. })
                ),
                "cut at {end}"
            );
        }
    }

    #[test]
    fn a_time_no_stream_can_reach_is_refused() {
        let at = |media_us| {
            let header = Header {
                media_us,
                ..header()
            };
            let message = cut(header, b"x").pop().expect("one part").message().clone();
            Chunk::decode(message).map(|chunk| chunk.header().media_us)
        };
        assert_eq!(at(MAX_MEDIA_US), Ok(MAX_MEDIA_US));
        assert_eq!(
            at(MAX_MEDIA_US + 1),
            Err(DecodeError::MediaTime(MAX_MEDIA_US + 1))
        );
    }

    #[test]
    fn a_later_version_is_named_even_if_the_rest_makes_no_sense() {
        assert_eq!(
            Chunk::decode(Bytes::from_static(&[7])),
            Err(DecodeError::Version(7))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_and_what_is_read_is_kept_to_the_letter(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() { *first = VERSION; }
            if let Ok(chunk) = Chunk::decode(Bytes::from(bytes.clone())) {
                prop_assert_eq!(chunk.message(), &bytes);
                let mut again = BytesMut::new();
                chunk.header.write(chunk.signed, &mut again);
                prop_assert_eq!(&again[..], &bytes[..HEADER_LEN]);
            }
        }
    }
}
