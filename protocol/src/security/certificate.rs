//! The certificate: what the Certification Authority (the supervisor) says of a peer to all others.
//!
//! Both ends of a link check the other's, and that it names the DTLS certificate of the very connection they
//! have. So whoever alters a session description on its way through signalling gets no link.

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use super::signed::{self, Domain, SignedError};
use crate::id::{Fingerprint, KeyFingerprint, PeerId, SignerKey};
use crate::signal::Component;

/// Longest signed certificate, bytes; one with all fields has 204 at most.
pub const MAX_CERTIFICATE: usize = 512;

/// What is certified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The peer's name.
    pub peer: PeerId,
    /// What it may be.
    pub role: Component,
    /// The public key that it has proven to hold.
    pub key: KeyFingerprint,
    /// What its chunks are signed with; broadcasters only.
    pub signing_key: Option<SignerKey>,
    /// The DTLS certificate it shows on every link.
    pub dtls: Fingerprint,
    /// When this ends, seconds since 1970.
    pub not_after_s: u64,
    /// The authority's number for it: what revocation names.
    pub serial: u64,
}

/// Why a certificate is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not a certificate of this authority.
    #[error("the certificate: {0}")]
    Signed(#[from] SignedError),
    /// Its time is over.
    #[error("the certificate ended {0} s ago")]
    Expired(u64),
}

/// How a neighbour differs from what its certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// Another peer's certificate.
    #[error("the certificate is {0}'s")]
    Peer(PeerId),
    /// The peer may not be what it is here.
    #[error("the certificate is a {0:?}'s")]
    Role(Component),
    /// The connection is with somebody else.
    #[error("the connection shows another DTLS certificate than the certified one")]
    Dtls,
    /// Another public key.
    #[error("the certificate is for another key")]
    Key,
}

/// Signs a certificate. Only [`super::authority::Authority`] has the key for it.
pub fn issue(authority: &SigningKey, certificate: &Certificate) -> Vec<u8> {
    signed::enclose(authority, Domain::Certificate, certificate)
}

impl Certificate {
    /// Reads a signed certificate, checks its signature and its time. `now_s`: seconds since 1970, by the
    /// supervisor's clock.
    pub fn check(
        bytes: &[u8],
        authority: &SignerKey,
        now_s: u64,
    ) -> Result<Self, CertificateError> {
        let certificate: Self =
            signed::disclose(authority, Domain::Certificate, bytes, MAX_CERTIFICATE)?;
        if certificate.not_after_s <= now_s {
            return Err(CertificateError::Expired(now_s - certificate.not_after_s));
        }
        Ok(certificate)
    }

    /// Whether it is the certificate of the peer at the other end of a connection.
    pub fn for_neighbour(
        &self,
        peer: PeerId,
        role: Component,
        dtls: Fingerprint,
    ) -> Result<(), Mismatch> {
        if self.peer != peer {
            return Err(Mismatch::Peer(self.peer));
        }
        if self.role != role {
            return Err(Mismatch::Role(self.role));
        }
        if self.dtls != dtls {
            return Err(Mismatch::Dtls);
        }
        Ok(())
    }

    /// Whether it is one's own: for this peer, and the key it has just proven.
    pub fn for_self(
        &self,
        peer: PeerId,
        role: Component,
        dtls: Fingerprint,
        key: KeyFingerprint,
    ) -> Result<(), Mismatch> {
        self.for_neighbour(peer, role, dtls)?;
        if self.key == key {
            Ok(())
        } else {
            Err(Mismatch::Key)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ca() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 16])
    }

    fn dtls(n: u8) -> Fingerprint {
        Fingerprint::from_bytes([n; 32])
    }

    fn certificate() -> Certificate {
        Certificate {
            peer: peer(1),
            role: Component::Broadcaster,
            key: KeyFingerprint::from_bytes([2; 32]),
            signing_key: Some(SignerKey::from_bytes([3; 32])),
            dtls: dtls(4),
            not_after_s: 1_000,
            serial: 5,
        }
    }

    #[test]
    fn a_certificate_reads_back_until_its_time_is_over() {
        let bytes = issue(&ca(), &certificate());
        let authority = signed::public(&ca());
        assert_eq!(
            Certificate::check(&bytes, &authority, 999),
            Ok(certificate())
        );
        assert_eq!(
            Certificate::check(&bytes, &authority, 1_007),
            Err(CertificateError::Expired(7))
        );
    }

    #[test]
    fn the_longest_certificate_is_below_its_bound() {
        let longest = Certificate {
            not_after_s: u64::MAX,
            serial: u64::MAX,
            ..certificate()
        };
        assert_eq!(issue(&ca(), &longest).len(), 198);
    }

    #[test]
    fn a_certificate_altered_or_cut_anywhere_is_refused() {
        let bytes = issue(&ca(), &certificate());
        let authority = signed::public(&ca());
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert!(Certificate::check(&altered, &authority, 0).is_err());
            assert!(Certificate::check(&bytes[..at], &authority, 0).is_err());
        }
        let long = [&bytes[..], &[0; MAX_CERTIFICATE]].concat();
        assert!(Certificate::check(&long, &authority, 0).is_err());
    }

    #[test]
    fn another_authoritys_certificate_is_refused() {
        let bytes = issue(&SigningKey::from_bytes(&[9; 32]), &certificate());
        assert_eq!(
            Certificate::check(&bytes, &signed::public(&ca()), 0),
            Err(SignedError::Signature.into())
        );
    }

    #[test]
    fn a_neighbour_that_differs_from_its_certificate_is_told_in_what() {
        let certificate = certificate();
        let check = |p, role, d| certificate.for_neighbour(p, role, d);
        let role = Component::Broadcaster;
        assert_eq!(check(peer(1), role, dtls(4)), Ok(()));
        assert_eq!(check(peer(2), role, dtls(4)), Err(Mismatch::Peer(peer(1))));
        assert_eq!(
            check(peer(1), Component::Relay, dtls(4)),
            Err(Mismatch::Role(role))
        );
        assert_eq!(check(peer(1), role, dtls(5)), Err(Mismatch::Dtls));
    }
}
