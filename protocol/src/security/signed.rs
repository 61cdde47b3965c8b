//! Bytes with an Ed25519 signature behind them: the one form of everything that is signed, but for chunks.
//!
//! What is signed is a *domain* and the bytes, so that a signature made for one thing is good for no other.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::id::SignerKey;

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_LEN: usize = 64;

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Domain {
    Certificate,
    Grant,
    Descriptor,
    Endorsement,
    Invitation,
    Chunks,
}

impl Domain {
    /// Ends with a zero, which stands in none of the words.
    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Certificate => b"ownstream/1 certificate\0",
            Self::Grant => b"ownstream/1 grant\0",
            Self::Descriptor => b"ownstream/1 descriptor\0",
            Self::Endorsement => b"ownstream/1 endorsement\0",
            Self::Invitation => b"ownstream/1 invitation\0",
            Self::Chunks => b"ownstream/1 chunks\0",
        }
    }
}

/// Why signed bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignedError {
    /// More bytes than there may be.
    #[error("{got} signed bytes, but at most {most} are allowed")]
    TooLong {
        /// Bytes there are.
        got: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// Not the encoding of what it should be.
    #[error("it cannot be read")]
    Malformed,
    /// Altered, or signed by another, or for another purpose.
    #[error("the signature is not the one it must have")]
    Signature,
}

/// The public half, as everybody names it.
pub fn public(key: &SigningKey) -> SignerKey {
    SignerKey::from_bytes(key.verifying_key().to_bytes())
}

pub(crate) fn sign(key: &SigningKey, domain: Domain, body: &[u8]) -> [u8; SIGNATURE_LEN] {
    key.sign(&[domain.bytes(), body].concat()).to_bytes()
}

/// Whether `signature` is `signer`'s over these bytes. Strict: keys of low order and second spellings of a
/// signature are refused.
pub(crate) fn verify(signer: &SignerKey, domain: Domain, body: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = Signature::from_slice(signature) else {
        return false;
    };
    let Ok(key) = VerifyingKey::from_bytes(signer.as_bytes()) else {
        return false;
    };
    key.verify_strict(&[domain.bytes(), body].concat(), &signature)
        .is_ok()
}

/// Whether signatures can be made for this key at all.
pub(crate) fn is_signer(key: &SignerKey) -> bool {
    VerifyingKey::from_bytes(key.as_bytes()).is_ok_and(|key| !key.is_weak())
}

/// The value's encoding with its signature behind it.
pub(crate) fn enclose<T: Serialize>(key: &SigningKey, domain: Domain, value: &T) -> Vec<u8> {
    let mut bytes =
        postcard::to_allocvec(value).expect("what is signed holds nothing that postcard cannot");
    let signature = sign(key, domain, &bytes);
    bytes.extend(signature);
    bytes
}

/// Reads what [`enclose`] wrote. The signature is checked before anything is read.
pub(crate) fn disclose<T: DeserializeOwned>(
    signer: &SignerKey,
    domain: Domain,
    bytes: &[u8],
    most: usize,
) -> Result<T, SignedError> {
    let got = bytes.len();
    if got > most {
        return Err(SignedError::TooLong { got, most });
    }
    let (body, signature) = bytes
        .split_last_chunk::<SIGNATURE_LEN>()
        .ok_or(SignedError::Malformed)?;
    if !verify(signer, domain, body, signature) {
        return Err(SignedError::Signature);
    }
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(SignedError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_for_one_purpose_is_good_for_no_other() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let bytes = enclose(&key, Domain::Grant, &7_u32);
        let read = |domain| disclose::<u32>(&public(&key), domain, &bytes, 100);
        assert_eq!(read(Domain::Grant), Ok(7));
        assert_eq!(read(Domain::Certificate), Err(SignedError::Signature));
    }

    #[test]
    fn a_key_with_which_everything_is_signed_is_none() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(!is_signer(&SignerKey::from_bytes(identity)));
        assert!(is_signer(&public(&SigningKey::from_bytes(&[1; 32]))));
    }
}
