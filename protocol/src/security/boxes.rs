//! Sealing to a public key and opening with one's own, whatever the suite.
//!
//! What takes a private key, or a library that is not here (RSA; in a page that is WebCrypto's), is not done
//! but asked for: a [`KeyTask`], answered by bytes, or by nothing if it cannot be done.

use core::fmt;

use zeroize::Zeroizing;

use super::hpke::{self, HpkeError};
use super::suite::PublicKey;

/// Purposes: what is sealed for one does not open for another. HPKE's info, and OAEP's label.
pub mod purpose {
    /// The two numbers of the challenge.
    pub const NONCE: &str = "ownstream/1 nonce";
    /// The answer to it.
    pub const ANSWER: &str = "ownstream/1 answer";
    /// A stream's key, handed out to a member.
    pub const STREAM_KEY: &str = "ownstream/1 stream key";
}

/// Longest sealed message, bytes: RSA of 4096 bits gives 512, HPKE 48 more than its contents.
pub const MAX_SEALED: usize = 512;
/// Most that can be sealed whatever the key: what OAEP with SHA-256 leaves of 2048 bits (RFC 8017 §7.1.1).
pub const MAX_CONTENTS: usize = 256 - 2 * 32 - 2;

/// What only the holder of a private key, or a library outside, can do.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyTask {
    /// X25519 of one's elliptic private key and this share: 32 bytes.
    Agree {
        /// The other's public share.
        theirs: [u8; 32],
    },
    /// RSA-OAEP-SHA-256 decryption with one's RSA private key.
    RsaOpen {
        /// The sealed message.
        ciphertext: Vec<u8>,
        /// OAEP's label, ASCII.
        label: &'static str,
    },
    /// RSA-OAEP-SHA-256 encryption. Takes no private key; whatever the key is, it comes from a stranger.
    RsaSeal {
        /// A DER SubjectPublicKeyInfo, perhaps.
        to: Vec<u8>,
        /// The contents.
        plaintext: Zeroizing<Vec<u8>>,
        /// OAEP's label, ASCII.
        label: &'static str,
    },
}

impl fmt::Debug for KeyTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agree { .. } => "Agree(…)",
            Self::RsaOpen { .. } => "RsaOpen(…)",
            Self::RsaSeal { .. } => "RsaSeal(…)",
        })
    }
}

/// A message that is sealed, or will be when its task is answered: the answer is the sealed message then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealing {
    /// Sealed.
    Done(Vec<u8>),
    /// To be sealed outside.
    Task(KeyTask),
}

/// Why nothing can be sealed to a key, or something sealed does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BoxError {
    /// More contents than the shortest key takes.
    #[error("{0} bytes to be sealed, but at most {MAX_CONTENTS} can be")]
    TooLong(usize),
    /// More than any key makes of it, or nothing.
    #[error("a sealed message of {0} bytes, but 1 to {MAX_SEALED} are allowed")]
    Length(usize),
    /// The elliptic suite's own.
    #[error(transparent)]
    Hpke(#[from] HpkeError),
}

/// Seals to a key. `random`: 32 random bytes for this message alone.
pub fn seal(
    to: &PublicKey,
    purpose: &'static str,
    plaintext: &[u8],
    random: &[u8; 32],
) -> Result<Sealing, BoxError> {
    if plaintext.len() > MAX_CONTENTS {
        return Err(BoxError::TooLong(plaintext.len()));
    }
    Ok(match to {
        PublicKey::Elliptic(key) => {
            Sealing::Done(hpke::seal(key, purpose.as_bytes(), b"", plaintext, random)?)
        }
        PublicKey::Rsa(der) => Sealing::Task(KeyTask::RsaSeal {
            to: der.clone(),
            plaintext: Zeroizing::new(plaintext.to_vec()),
            label: purpose,
        }),
    })
}

/// Begins to open what was sealed to one's own key.
pub fn open(own: &PublicKey, purpose: &'static str, sealed: &[u8]) -> Result<KeyTask, BoxError> {
    if sealed.is_empty() || sealed.len() > MAX_SEALED {
        return Err(BoxError::Length(sealed.len()));
    }
    Ok(match own {
        PublicKey::Elliptic(_) => KeyTask::Agree {
            theirs: hpke::their_share(sealed)?,
        },
        PublicKey::Rsa(_) => KeyTask::RsaOpen {
            ciphertext: sealed.to_vec(),
            label: purpose,
        },
    })
}

/// Opens, with the answer to [`open`]'s task.
pub fn finish_open(
    own: &PublicKey,
    purpose: &'static str,
    sealed: &[u8],
    answer: &[u8],
) -> Result<Zeroizing<Vec<u8>>, BoxError> {
    let contents = match own {
        PublicKey::Elliptic(key) => {
            let agreed = answer.try_into().map_err(|_| HpkeError::BadKey)?;
            hpke::open(agreed, key, purpose.as_bytes(), b"", sealed)?
        }
        PublicKey::Rsa(_) => answer.to_vec(),
    };
    Ok(Zeroizing::new(contents))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::local::EllipticKey;
    use crate::security::secret::Seed;

    #[test]
    fn what_is_sealed_to_an_elliptic_key_opens_with_it_and_for_its_purpose_alone() {
        let own = EllipticKey::new(Seed::from_bytes([1; 32]));
        let public = own.public_key();
        let Ok(Sealing::Done(sealed)) = seal(&public, purpose::NONCE, b"text", &[2; 32]) else {
            panic!("an elliptic key needs no help to seal");
        };
        let task = open(&public, purpose::NONCE, &sealed).expect("a task");
        let answer = own.answer(&task).expect("can be done");
        let opened = |purpose| finish_open(&public, purpose, &sealed, &answer[..]);
        assert_eq!(opened(purpose::NONCE).expect("opens")[..], *b"text");
        assert!(opened(purpose::ANSWER).is_err());
    }

    #[test]
    fn a_sealed_message_longer_than_any_key_makes_is_refused_before_it_costs_anything() {
        let own = PublicKey::Rsa(vec![1]);
        for length in [0, MAX_SEALED + 1] {
            let task = open(&own, purpose::NONCE, &vec![0; length]);
            assert_eq!(task, Err(BoxError::Length(length)));
        }
    }

    #[test]
    fn a_task_says_nothing_of_its_contents_in_the_log() {
        let task = seal(
            &PublicKey::Rsa(vec![1]),
            purpose::NONCE,
            &[77; 32],
            &[0; 32],
        );
        assert!(!format!("{task:?}").contains("77"));
    }
}
