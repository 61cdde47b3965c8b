//! Who may sign a stream's chunks, and the description of an epoch signed by that broadcaster.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::secret::Seed;
use super::signed::{self, Domain, SIGNATURE_LEN, SignedError};
use crate::id::{SignerKey, StreamId};
use crate::media::{Descriptor, DescriptorError, MAX_DESCRIPTOR};

/// Longest signed grant, bytes; one has 119 at most.
const MAX_GRANT: usize = 128;
/// Longest signed descriptor, bytes: the descriptor, the grant and one more signature. Leaves room for a
/// message's own fields (see [`crate::chunk::MAX_MESSAGE`]).
pub const MAX_SIGNED_DESCRIPTOR: usize = MAX_DESCRIPTOR + 256;

/// The authority's word that chunks of a stream's epoch are signed with this key. Without an end: an epoch
/// may run for months, and a broadcaster that is evicted gets no new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The stream.
    pub stream: StreamId,
    /// The epoch.
    pub epoch: u32,
    /// The broadcaster's key.
    pub signer: SignerKey,
    /// The stream key with which the epoch begins.
    pub key_id: u8,
}

impl Grant {
    /// Reads a signed grant.
    pub fn check(bytes: &[u8], authority: &SignerKey) -> Result<Self, SignedError> {
        signed::disclose(authority, Domain::Grant, bytes, MAX_GRANT)
    }
}

/// An epoch's descriptor as it goes from parent to child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedDescriptor {
    /// What the epoch is.
    pub descriptor: Descriptor,
    /// A signed [`Grant`]: the authority's.
    pub grant: Bytes,
    /// The signature over the descriptor, by the key that the grant names.
    pub signature: Bytes,
}

/// Why a descriptor is refused. Whoever passed it on is to be dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorRefused {
    /// It breaks a bound.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// The grant is none of this authority.
    #[error("the descriptor's grant: {0}")]
    Grant(SignedError),
    /// Another stream's, epoch's or key's grant.
    #[error("the descriptor's grant is for another stream, epoch or key")]
    OtherGrant,
    /// The broadcaster did not sign it.
    #[error("the descriptor's signature is not the granted broadcaster's")]
    Signature,
}

impl SignedDescriptor {
    /// Signs a descriptor with the key that `grant` names.
    pub fn new(seed: &Seed, descriptor: Descriptor, grant: Bytes) -> Self {
        let key = SigningKey::from_bytes(seed.as_bytes());
        let signature = signed::sign(&key, Domain::Descriptor, &digest(&descriptor));
        Self {
            descriptor,
            grant,
            signature: Bytes::copy_from_slice(&signature),
        }
    }

    /// A descriptor where nobody is certified: in simulations.
    pub fn unsigned(descriptor: Descriptor) -> Self {
        Self {
            descriptor,
            grant: Bytes::new(),
            signature: Bytes::from_static(&[0; SIGNATURE_LEN]),
        }
    }

    /// Checks everything but whether the epoch is the newest.
    pub fn check(&self, authority: &SignerKey) -> Result<Grant, DescriptorRefused> {
        self.descriptor.check()?;
        let grant = Grant::check(&self.grant, authority).map_err(DescriptorRefused::Grant)?;
        let Descriptor {
            stream,
            epoch,
            key_id,
            ..
        } = self.descriptor;
        if (grant.stream, grant.epoch, grant.key_id) != (stream, epoch, key_id) {
            return Err(DescriptorRefused::OtherGrant);
        }
        let body = digest(&self.descriptor);
        if !signed::verify(&grant.signer, Domain::Descriptor, &body, &self.signature) {
            return Err(DescriptorRefused::Signature);
        }
        Ok(grant)
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("descriptors hold nothing that postcard cannot")
    }

    /// Reads it, and checks its bounds; its signatures are [`Self::check`]'s.
    pub fn decode(bytes: &[u8]) -> Result<Self, DescriptorRefused> {
        if bytes.len() > MAX_SIGNED_DESCRIPTOR {
            return Err(DescriptorError::TooLong(bytes.len()).into());
        }
        let Ok((signed, [])) = postcard::take_from_bytes::<Self>(bytes) else {
            return Err(DescriptorError::Malformed.into());
        };
        signed.bounds()?;
        Ok(signed)
    }

    /// The bounds that the encoding alone does not have.
    pub fn bounds(&self) -> Result<(), DescriptorError> {
        self.descriptor.check()?;
        if self.grant.len() > MAX_GRANT || self.signature.len() != SIGNATURE_LEN {
            return Err(DescriptorError::Malformed);
        }
        Ok(())
    }
}

/// The digest is signed, not the descriptor, so that the page can check it against a digest it has already.
fn digest(descriptor: &Descriptor) -> [u8; 32] {
    let bytes =
        postcard::to_allocvec(descriptor).expect("descriptors hold nothing that postcard cannot");
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Codec, MAX_TRACKS, Track, TrackInfo};
    use crate::security::authority::Authority;

    fn ca() -> Authority {
        Authority::new(&Seed::from_bytes([1; 32]))
    }

    fn broadcaster() -> Seed {
        Seed::from_bytes([2; 32])
    }

    fn grant() -> Grant {
        Grant {
            stream: StreamId::from_bytes([3; 16]),
            epoch: 4,
            signer: signed::public(&SigningKey::from_bytes(broadcaster().as_bytes())),
            key_id: 5,
        }
    }

    fn track(rendition: u8, init: usize) -> TrackInfo {
        TrackInfo {
            track: Track::Video,
            rendition,
            codec: Codec::Vp8,
            kbps: u32::MAX,
            init: vec![0; init].into(),
        }
    }

    fn descriptor() -> Descriptor {
        Descriptor {
            stream: grant().stream,
            epoch: 4,
            key_id: 5,
            media_origin_us: u64::MAX,
            tracks: vec![track(0, 100)],
        }
    }

    fn signed(descriptor: Descriptor) -> SignedDescriptor {
        SignedDescriptor::new(&broadcaster(), descriptor, ca().grant(&grant()).into())
    }

    #[test]
    fn a_descriptor_signed_by_the_granted_broadcaster_is_taken() {
        let read = SignedDescriptor::decode(&signed(descriptor()).encode()).expect("readable");
        assert_eq!(read.check(&ca().public()), Ok(grant()));
    }

    #[test]
    fn a_descriptor_altered_anywhere_is_refused() {
        let bytes = signed(descriptor()).encode();
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            let checked = SignedDescriptor::decode(&altered).and_then(|d| d.check(&ca().public()));
            assert!(checked.is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_grant_for_another_epoch_or_by_another_authority_is_refused() {
        let later = Descriptor {
            epoch: 5,
            ..descriptor()
        };
        assert_eq!(
            signed(later).check(&ca().public()),
            Err(DescriptorRefused::OtherGrant)
        );
        let stranger = Authority::new(&Seed::from_bytes([9; 32]));
        assert_eq!(
            signed(descriptor()).check(&stranger.public()),
            Err(DescriptorRefused::Grant(SignedError::Signature))
        );
    }

    #[test]
    fn a_member_that_is_not_the_broadcaster_cannot_sign_one() {
        let member = Seed::from_bytes([8; 32]);
        let forged = SignedDescriptor::new(&member, descriptor(), ca().grant(&grant()).into());
        assert_eq!(
            forged.check(&ca().public()),
            Err(DescriptorRefused::Signature)
        );
    }

    #[test]
    fn the_longest_descriptor_there_may_be_fits_its_bound_when_signed() {
        let each = (MAX_DESCRIPTOR - 256) / MAX_TRACKS;
        let tracks = (0..8).map(|n| track(n, each)).collect();
        let longest = Descriptor {
            tracks,
            ..descriptor()
        };
        let bytes = signed(longest).encode();
        assert!(bytes.len() <= MAX_SIGNED_DESCRIPTOR, "{}", bytes.len());
        assert!(SignedDescriptor::decode(&bytes).is_ok());
    }
}
