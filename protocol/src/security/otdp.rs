//! The paper's One Time Digest Protocol (§III.C.2), modified once more: every chunk carries a digest by the
//! stream key, and every *group* of chunks one signature by the broadcaster.
//!
//! The digest keeps strangers out and is checked on arrival, so that a chunk can be passed on at once. But
//! every member has the stream key, so a member can forge it. The signature covers the digests of a whole
//! group, and only the broadcaster can make it; a viewer plays only what it covers. Because the digest is
//! HMAC-SHA-256, for which nobody finds two messages with one digest even knowing the key, signing digests
//! signs contents.
//!
//! A group is one frame of video, or [`AUDIO_GROUP`] packets of sound. Its very last chunk is the signed one.

use core::fmt;

use ed25519_dalek::SigningKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::secret::{Seed, StreamKey};
use super::signed::{self, Domain};
use crate::chunk::{Chunk, DIGEST_LEN, Header, MAX_PAYLOAD, OpenChunk, Position, cut_open};
use crate::id::SignerKey;
use crate::media::Track;

pub mod verifier;

mod group;
mod proven;

#[cfg(test)]
mod tests;

/// Packets of sound that share a signature: five of 20 ms (docs/security.md). Signing each would cost the smallest
/// board 50 signatures a second; a viewer waits at most 80 ms for one.
pub const AUDIO_GROUP: u64 = 5;

/// Frames whose chunks one signature covers.
const fn group_len(track: Track) -> u64 {
    match track {
        Track::Video => 1,
        Track::Audio => AUDIO_GROUP,
    }
}

/// Which group: all there is to it but the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupId {
    /// Video or audio.
    pub track: Track,
    /// Which quality.
    pub rendition: u8,
    /// Which run of the encoder.
    pub epoch: u32,
    /// Which group of the run, from 0.
    pub number: u64,
}

impl GroupId {
    /// The group that a chunk belongs to.
    pub const fn of(header: &Header) -> Self {
        Self {
            track: header.track,
            rendition: header.rendition,
            epoch: header.position.epoch,
            number: header.position.sequence / group_len(header.track),
        }
    }

    /// The first frame of the group that a frame is in.
    pub const fn start_of(track: Track, frame: Position) -> Position {
        let len = group_len(track);
        Position {
            epoch: frame.epoch,
            sequence: frame.sequence / len * len,
        }
    }

    /// Its first frame.
    pub const fn from(&self) -> Position {
        Position {
            epoch: self.epoch,
            sequence: self.number.saturating_mul(group_len(self.track)),
        }
    }

    /// The first frame after it.
    pub const fn to(&self) -> Position {
        Position {
            epoch: self.epoch,
            sequence: self.from().sequence.saturating_add(group_len(self.track)),
        }
    }
}

/// Whether the frame's last part is the group's last chunk.
const fn ends_group(header: &Header) -> bool {
    let len = group_len(header.track);
    header.position.sequence % len == len - 1
}

/// Whether the chunk must have a signature: it and no other of its group has.
const fn must_be_signed(header: &Header) -> bool {
    ends_group(header) && header.part + 1 == header.parts
}

fn mac(key: &StreamKey, digested: [&[u8]; 2]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .expect("HMAC takes keys of any length")
        .chain_update(digested[0])
        .chain_update(digested[1])
}

fn digest_fits(key: &StreamKey, chunk: &Chunk) -> bool {
    mac(key, chunk.digested())
        .verify_slice(chunk.digest())
        .is_ok()
}

/// Makes the digests and signatures of one stream. Nothing else does: relays pass on the bytes they got.
pub struct Sealer {
    signing: SigningKey,
    key_id: u8,
    key: StreamKey,
    /// Of the groups that have begun and not ended: the digests so far, per track.
    open: Vec<(GroupId, Vec<u8>)>,
    /// Payload of the longest part of a frame, bytes.
    longest: usize,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({:?}, key {})", self.signer(), self.key_id)
    }
}

impl Sealer {
    /// Signs with the key made from `seed`, digests with `key`. `key_id` is from 1: 0 stands for no digest.
    pub fn new(seed: &Seed, key_id: u8, key: StreamKey) -> Self {
        Self {
            signing: SigningKey::from_bytes(seed.as_bytes()),
            key_id,
            key,
            open: Vec::new(),
            longest: MAX_PAYLOAD,
        }
    }

    /// Cuts frames into parts of at most so many bytes from now on. Nothing else is sent to a child while a part is under
    /// way, so over a slow link they should be short.
    pub const fn set_longest_part(&mut self, bytes: usize) {
        self.longest = bytes;
    }

    /// What the signatures can be checked with.
    pub fn signer(&self) -> SignerKey {
        signed::public(&self.signing)
    }

    /// Digests with this key from now on: somebody was evicted who knows the last one.
    pub fn set_key(&mut self, key_id: u8, key: StreamKey) {
        self.key_id = key_id;
        self.key = key;
    }

    /// Cuts one frame as [`crate::chunk::cut`] does, and seals the parts. Frames of a track come in order,
    /// and all of them do: a group that lacks a frame of sound cannot be proven by anybody.
    pub fn seal(&mut self, first: Header, container: &[u8]) -> Vec<Chunk> {
        let first = Header {
            key_id: self.key_id,
            ..first
        };
        let mut parts = cut_open(first, container, self.longest, ends_group(&first));
        let mut digests = self.take_digests(GroupId::of(&first));
        for part in &mut parts {
            let digest: [u8; DIGEST_LEN] = mac(&self.key, part.digested())
                .finalize()
                .into_bytes()
                .into();
            part.write_digest(&digest);
            digests.extend(digest);
        }
        if !ends_group(&first) {
            self.open.push((GroupId::of(&first), digests));
        } else if let Some(last) = parts.last_mut() {
            last.write_signature(&signed::sign(&self.signing, Domain::Chunks, &digests));
        }
        parts.into_iter().map(OpenChunk::close).collect()
    }

    /// The group's digests so far. What else is open of this track is left over from a frame that never came.
    fn take_digests(&mut self, group: GroupId) -> Vec<u8> {
        let begun = self.open.iter().position(|(open, _)| *open == group);
        let digests = begun.map(|at| self.open.swap_remove(at).1);
        self.open
            .retain(|(open, _)| (open.track, open.rendition) != (group.track, group.rendition));
        digests.unwrap_or_default()
    }
}

/// What the signatures made with this seed can be checked with.
pub fn signer(seed: &Seed) -> SignerKey {
    signed::public(&SigningKey::from_bytes(seed.as_bytes()))
}

/// A hash for sampling, not for secrecy (the finalizer of SplitMix64): whoever does not know the seed cannot
/// tell which groups a peer checks.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Whether a peer with this seed checks the group, if it checks the share `threshold` of all.
fn is_checked(seed: u64, threshold: f64, group: GroupId) -> bool {
    let lane = (group.track as u64) << 40 | u64::from(group.rendition) << 32;
    let hash = mix(mix(mix(seed) ^ lane ^ u64::from(group.epoch)) ^ group.number);
    // 53 bits: as many as an f64 has.
    ((hash >> 11) as f64) < threshold * (1_u64 << 53) as f64
}
