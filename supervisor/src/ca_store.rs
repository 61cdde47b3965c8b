//! The certification authority as this supervisor holds it: its seed in the store, and the texts it makes.
//!
//! Stands in for `protocol::security` until that is merged: signs by HMAC what will be signed by Ed25519.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use protocol::id::StreamId;
use protocol::signal::Component;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::store::{Role, SecretHash, Store, StoreError};

/// SHA-256 of a peer's public key: what the store knows it by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct KeyFingerprint([u8; 32]);

impl KeyFingerprint {
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFingerprint({}…)", hex::encode(&self.0[..4]))
    }
}

impl FromStr for KeyFingerprint {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, hex::FromHexError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// A join token's secret.
pub(crate) type Secret = [u8; 16];

/// What the store keeps of a join token's secret.
pub(crate) fn secret_hash(secret: &Secret) -> SecretHash {
    Sha256::digest(secret).into()
}

/// Makes what only this supervisor can make.
#[derive(Clone)]
pub(crate) struct Authority {
    seed: [u8; 32],
}

// A seed must not reach a log by way of a debug print.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(…)")
    }
}

impl Authority {
    /// The one whose seed is in the store; makes one the first time.
    pub(crate) fn open(store: &Store) -> Result<Self, StoreError> {
        let seed = store.authority_seed(rand::random())?;
        Ok(Self { seed })
    }

    /// What a service that joins pins.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let public =
            Sha256::new_with_prefix(b"ownstream authority, interim").chain_update(self.seed);
        public.finalize().into()
    }

    /// The text that an operator gives to a service.
    pub(crate) fn join_token(&self, secret: Secret, role: Role) -> String {
        let content = (secret, Component::from(role), self.fingerprint());
        format!("own1-{}", text_of(&content, None))
    }

    /// The text that lets whoever has it watch that stream until then, seconds since 1970.
    pub(crate) fn invitation(&self, stream: StreamId, not_after_s: u64) -> String {
        let nonce: [u8; 16] = rand::random();
        text_of(&(stream, not_after_s, nonce), Some(&self.seed))
    }
}

fn text_of(content: &impl Serialize, key: Option<&[u8; 32]>) -> String {
    let mut bytes = postcard::to_allocvec(content).expect("memory does not run out");
    if let Some(key) = key {
        let mut signer =
            Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        signer.update(&bytes);
        bytes.extend(signer.finalize().into_bytes());
    }
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
