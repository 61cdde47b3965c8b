//! The Certification Authority: the supervisor's one long-lived key, Ed25519 whatever the suite, and the only
//! place where it signs.

use core::fmt;

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::base64::Base64;
use super::certificate::{self, Certificate};
use super::grant::Grant;
use super::secret::Seed;
use super::signed::{self, Domain};
use super::suite::PublicKey;
use super::token::Invitation;
use crate::id::{AuthorityFingerprint, SignerKey};

/// The authority's key.
pub struct Authority(SigningKey);

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({:?})", self.public())
    }
}

impl Authority {
    /// The authority whose key is made of these random bytes.
    pub fn new(seed: &Seed) -> Self {
        Self(SigningKey::from_bytes(seed.as_bytes()))
    }

    /// What its signatures are checked with.
    pub fn public(&self) -> SignerKey {
        signed::public(&self.0)
    }

    /// Its name.
    pub fn fingerprint(&self) -> AuthorityFingerprint {
        fingerprint(&self.public())
    }

    /// Signs a peer's certificate.
    pub fn certify(&self, certificate: &Certificate) -> Vec<u8> {
        certificate::issue(&self.0, certificate)
    }

    /// Signs that a broadcaster may sign an epoch's chunks.
    pub fn grant(&self, grant: &Grant) -> Vec<u8> {
        signed::enclose(&self.0, Domain::Grant, grant)
    }

    /// Signs that a handshake key is the supervisor's, in one term of it.
    pub fn endorse(&self, key: PublicKey, term: u64) -> Endorsement {
        let signature = signed::sign(&self.0, Domain::Endorsement, &endorsed(&key, term));
        Endorsement {
            key,
            authority: self.public(),
            term,
            endorsement: Base64(signature.to_vec()),
        }
    }

    /// Signs an invitation: text for a link.
    pub fn invite(&self, invitation: &Invitation) -> String {
        invitation.sign(&self.0)
    }
}

/// An authority's name: what a join token pins.
pub fn fingerprint(authority: &SignerKey) -> AuthorityFingerprint {
    AuthorityFingerprint::from_bytes(Sha256::digest(authority.as_bytes()).into())
}

/// The supervisor's handshake key, new at each start, with the word of its authority. The fields of
/// `AUTHENTICATION_REQUEST`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endorsement {
    /// The handshake key of the suite that was agreed on.
    pub key: PublicKey,
    /// The authority's public key.
    pub authority: SignerKey,
    /// Which run of the supervisor (see [`crate::signal::Order`]): an older one's key is not to come back.
    pub term: u64,
    /// The authority's signature over the key's fingerprint and the term.
    pub endorsement: Base64,
}

impl Endorsement {
    /// Whether the signature is the named authority's.
    pub fn is_genuine(&self) -> bool {
        let body = endorsed(&self.key, self.term);
        signed::verify(
            &self.authority,
            Domain::Endorsement,
            &body,
            &self.endorsement.0,
        )
    }
}

fn endorsed(key: &PublicKey, term: u64) -> Vec<u8> {
    let fingerprint = key.fingerprint();
    [&fingerprint.as_bytes()[..], &term.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endorsement_holds_for_its_key_and_term_alone() {
        let authority = Authority::new(&Seed::from_bytes([1; 32]));
        let right = authority.endorse(PublicKey::Elliptic([2; 32]), 3);
        assert!(right.is_genuine());
        let key = PublicKey::Elliptic([9; 32]);
        assert!(
            !Endorsement {
                key,
                ..right.clone()
            }
            .is_genuine()
        );
        assert!(
            !Endorsement {
                term: 4,
                ..right.clone()
            }
            .is_genuine()
        );
        let endorsement = Base64(vec![0; 63]);
        assert!(
            !Endorsement {
                endorsement,
                ..right
            }
            .is_genuine()
        );
    }

    #[test]
    fn an_authority_says_nothing_of_its_seed_in_the_log() {
        let authority = Authority::new(&Seed::from_bytes([0xAB; 32]));
        assert!(!format!("{authority:?}").contains("abab"));
    }
}
