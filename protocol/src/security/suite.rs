//! The two suites and their public keys. There is nothing to choose within one but the length of an RSA key.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use sha2::{Digest, Sha256};

use super::base64::Base64;
use crate::id::KeyFingerprint;

/// Longest RSA public key, bytes of DER. One of 4096 bits has 550.
pub const MAX_RSA_KEY: usize = 800;

/// Separates this digest from every other SHA-256 of the protocol.
const FINGERPRINT_DOMAIN: &[u8] = b"ownstream/1 public key";

/// How the two numbers, the answer and stream keys are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// HPKE (RFC 9180): X25519, HKDF-SHA-256, ChaCha20-Poly1305. Works in every browser, also over plain http.
    Elliptic,
    /// RSA-OAEP with SHA-256 (RFC 8017), 2048 to 4096 bits: the paper's (§III.B.2).
    Rsa,
}

impl Suite {
    /// The suite's number where one byte stands for it.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Elliptic => 1,
            Self::Rsa => 2,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elliptic => "elliptic",
            Self::Rsa => "rsa",
        })
    }
}

/// The suite both can, the one that stands first with the supervisor.
pub fn choose(offered: &[Suite], mine: &[Suite]) -> Option<Suite> {
    offered.iter().copied().find(|suite| mine.contains(suite))
}

/// A public key of either suite: what a peer is known by once it has proven that the private one is its own.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// X25519.
    Elliptic([u8; 32]),
    /// A DER SubjectPublicKeyInfo, at most [`MAX_RSA_KEY`] bytes. Whether it is one shows when it is used.
    Rsa(Vec<u8>),
}

impl PublicKey {
    /// The suite it is for.
    pub const fn suite(&self) -> Suite {
        match self {
            Self::Elliptic(_) => Suite::Elliptic,
            Self::Rsa(_) => Suite::Rsa,
        }
    }

    /// The key's bytes: 32, or DER.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Elliptic(bytes) => bytes,
            Self::Rsa(der) => der,
        }
    }

    /// The key's name, 32 bytes whatever the suite.
    pub fn fingerprint(&self) -> KeyFingerprint {
        let digest = Sha256::new()
            .chain_update(FINGERPRINT_DOMAIN)
            .chain_update([self.suite().byte()])
            .chain_update(self.bytes())
            .finalize();
        KeyFingerprint::from_bytes(digest.into())
    }

    fn from_parts(suite: Suite, bytes: Vec<u8>) -> Result<Self, &'static str> {
        match suite {
            Suite::Elliptic => <[u8; 32]>::try_from(bytes)
                .map(Self::Elliptic)
                .map_err(|_| "an elliptic key has 32 bytes"),
            Suite::Rsa if bytes.is_empty() || bytes.len() > MAX_RSA_KEY => {
                Err("an RSA key has 1 to 800 bytes of DER")
            }
            Suite::Rsa => Ok(Self::Rsa(bytes)),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {:?})", self.suite(), self.fingerprint())
    }
}

/// The form of both encodings: `{"suite":"elliptic","key":"<base64>"}` in JSON, a byte and the bytes in postcard.
#[derive(Serialize, Deserialize)]
#[serde(rename = "PublicKey", deny_unknown_fields)]
struct Parts {
    suite: Suite,
    key: Base64,
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.bytes().len() > MAX_RSA_KEY {
            return Err(ser::Error::custom("an RSA key has at most 800 bytes"));
        }
        let (suite, key) = (self.suite(), Base64(self.bytes().to_vec()));
        Parts { suite, key }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Parts { suite, key } = Parts::deserialize(from)?;
        Self::from_parts(suite, key.0).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_supervisors_order_decides() {
        use Suite::{Elliptic, Rsa};
        assert_eq!(choose(&[Rsa, Elliptic], &[Elliptic, Rsa]), Some(Rsa));
        assert_eq!(choose(&[Rsa, Elliptic], &[Elliptic]), Some(Elliptic));
        assert_eq!(choose(&[Rsa], &[Elliptic]), None);
    }

    #[test]
    fn a_key_is_suite_and_base64_in_json_and_short_in_postcard() {
        let key = PublicKey::Elliptic([0; 32]);
        let text = serde_json::to_string(&key).expect("text");
        let zeros = "A".repeat(43);
        assert_eq!(text, format!(r#"{{"suite":"elliptic","key":"{zeros}="}}"#));
        assert_eq!(serde_json::from_str::<PublicKey>(&text).expect("key"), key);
        let bytes = postcard::to_allocvec(&key).expect("bytes");
        assert_eq!(bytes.len(), 34);
        assert_eq!(postcard::from_bytes::<PublicKey>(&bytes).expect("key"), key);
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused() {
        for text in [
            r#"{"suite":"elliptic","key":"AAAA"}"#.to_owned(),
            r#"{"suite":"rsa","key":""}"#.to_owned(),
            format!(r#"{{"suite":"rsa","key":"{}"}}"#, "AAAA".repeat(267)),
        ] {
            assert!(serde_json::from_str::<PublicKey>(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_value_as_two_kinds_of_key_has_two_fingerprints() {
        assert_ne!(
            PublicKey::Elliptic([1; 32]).fingerprint(),
            PublicKey::Rsa(vec![1; 32]).fingerprint()
        );
    }
}
