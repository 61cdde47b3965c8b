//! RSA keys of the services. Never in a page: there WebCrypto has them.
//!
//! RUSTSEC-2023-0071: how long a decryption takes may tell something of the key. Decryption is blinded, and
//! [`crate::security::auth::Examiner`] lets nobody outside see how long it took.

use core::fmt;

use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use rsa::rand_core::CryptoRng;
use rsa::sha2::Sha256;
use rsa::traits::PublicKeyParts;
use rsa::{Oaep, PrivateKey};
use zeroize::Zeroizing;

use super::EllipticKey;
use crate::security::boxes::KeyTask;
use crate::security::suite::{MAX_RSA_KEY, PublicKey};

/// Shortest key that is used (paper §III.B.2: "≥ 2048"), bits of its modulus.
const MIN_BITS: u32 = 2048;
/// Longest one: a stranger's key is not to cost the supervisor more than that.
const MAX_BITS: u32 = 4096;

/// Why there is no RSA key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RsaKeyError {
    /// A length that is not offered.
    #[error("an RSA key of {0} bits, but it must have from {MIN_BITS} to {MAX_BITS}")]
    Bits(u32),
    /// Not PKCS#8, or not a key.
    #[error("the RSA key cannot be read")]
    Malformed,
    /// The library could not make one.
    #[error("the RSA key could not be made")]
    Generation,
}

/// A key of the RSA suite.
pub struct RsaKey {
    private: PrivateKey,
    public: Vec<u8>,
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaKey({:?})", self.public_key())
    }
}

impl RsaKey {
    /// A new key. Takes from a tenth of a second (2048 bits) to several (4096).
    pub fn generate(rng: &mut impl CryptoRng, bits: u32) -> Result<Self, RsaKeyError> {
        check_bits(bits)?;
        Self::new(PrivateKey::new(rng, bits as usize).map_err(|_| RsaKeyError::Generation)?)
    }

    /// A key of any length, also of the paper's 512 and 1024 bits: to measure what that costs. Nobody
    /// accepts one.
    #[cfg(feature = "weak-rsa")]
    pub fn generate_for_measurement(
        rng: &mut impl CryptoRng,
        bits: u32,
    ) -> Result<Self, RsaKeyError> {
        let private = PrivateKey::new_unchecked(rng, bits as usize);
        Self::new(private.map_err(|_| RsaKeyError::Generation)?)
    }

    /// Reads a key from its file.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, RsaKeyError> {
        let private = PrivateKey::from_pkcs8_der(der).map_err(|_| RsaKeyError::Malformed)?;
        check_bits(private.n().bit_width())?;
        Self::new(private)
    }

    /// Writes a key for its file.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, RsaKeyError> {
        let der = self
            .private
            .to_pkcs8_der()
            .map_err(|_| RsaKeyError::Malformed)?;
        Ok(Zeroizing::new(der.as_bytes().to_vec()))
    }

    fn new(private: PrivateKey) -> Result<Self, RsaKeyError> {
        let der = private.as_public_key().to_public_key_der();
        let public = der.map_err(|_| RsaKeyError::Malformed)?.into_vec();
        Ok(Self { private, public })
    }

    /// Its public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::Rsa(self.public.clone())
    }

    /// Does what can be done with it; nothing if it does not open, or is another key's task. `rng` blinds
    /// the decryption.
    pub fn answer(&self, task: &KeyTask, rng: &mut impl CryptoRng) -> Option<Zeroizing<Vec<u8>>> {
        let KeyTask::RsaOpen { ciphertext, label } = task else {
            return None;
        };
        let opened = self.private.decrypt_blinded(rng, oaep(label), ciphertext);
        opened.ok().map(Zeroizing::new)
    }
}

fn check_bits(bits: u32) -> Result<(), RsaKeyError> {
    if (MIN_BITS..=MAX_BITS).contains(&bits) {
        Ok(())
    } else {
        Err(RsaKeyError::Bits(bits))
    }
}

fn oaep(label: &str) -> Oaep<Sha256> {
    Oaep::new_with_label(label.as_bytes())
}

/// Does [`KeyTask::RsaSeal`]: nothing if the key is none, or not of 2048 to 4096 bits, or it is another task.
pub fn rsa_seal(task: &KeyTask, rng: &mut impl CryptoRng) -> Option<Vec<u8>> {
    let KeyTask::RsaSeal {
        to,
        plaintext,
        label,
    } = task
    else {
        return None;
    };
    if to.len() > MAX_RSA_KEY {
        return None;
    }
    let key = rsa::PublicKey::from_public_key_der(to).ok()?;
    check_bits(key.n().bit_width()).ok()?;
    key.encrypt(rng, oaep(label), plaintext).ok()
}

/// A key of either suite, and RSA's encryption: it answers every task that is its own.
#[derive(Debug)]
pub enum LocalKey {
    /// Of the elliptic suite.
    Elliptic(EllipticKey),
    /// Of the RSA suite.
    Rsa(Box<RsaKey>),
}

impl LocalKey {
    /// Its public half.
    pub fn public_key(&self) -> PublicKey {
        match self {
            Self::Elliptic(key) => key.public_key(),
            Self::Rsa(key) => key.public_key(),
        }
    }

    /// Does what is asked; nothing if it cannot be done, or not with this key.
    pub fn answer(&self, task: &KeyTask, rng: &mut impl CryptoRng) -> Option<Zeroizing<Vec<u8>>> {
        match (self, task) {
            (_, KeyTask::RsaSeal { .. }) => rsa_seal(task, rng).map(Zeroizing::new),
            (Self::Elliptic(key), _) => key.answer(task),
            (Self::Rsa(key), _) => key.answer(task, rng),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::security::boxes::{Sealing, finish_open, open, purpose, seal};

    fn rng() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    fn task(to: &PublicKey) -> KeyTask {
        match seal(to, purpose::NONCE, b"two numbers", &[0; 32]) {
            Ok(Sealing::Task(task)) => task,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_out_of_its_file_opens_what_was_sealed_to_it_and_for_its_purpose_alone() {
        let mut rng = rng();
        let made = RsaKey::generate(&mut rng, 2048).expect("a key");
        let key = RsaKey::from_pkcs8(&made.to_pkcs8().expect("DER")).expect("a key");
        let public = key.public_key();
        assert_eq!(public, made.public_key());
        let sealed = rsa_seal(&task(&public), &mut rng).expect("a key to seal to");
        assert_eq!(sealed.len(), 256);

        let open_it = open(&public, purpose::NONCE, &sealed).expect("a task");
        let answer = key.answer(&open_it, &mut rng).expect("opens");
        let opened = finish_open(&public, purpose::NONCE, &sealed, &answer).expect("opens");
        assert_eq!(opened[..], *b"two numbers");

        let for_another = open(&public, purpose::ANSWER, &sealed).expect("a task");
        assert_eq!(key.answer(&for_another, &mut rng), None);
    }

    #[test]
    fn keys_that_are_too_short_too_long_or_none_are_not_sealed_to() {
        let mut rng = rng();
        let weak = RsaKey::new(PrivateKey::new(&mut rng, 1024).expect("a key"));
        let weak = weak.expect("a key");
        assert_eq!(rsa_seal(&task(&weak.public_key()), &mut rng), None);
        let der = weak.to_pkcs8().expect("DER");
        assert_eq!(
            RsaKey::from_pkcs8(&der).map(|_| ()),
            Err(RsaKeyError::Bits(1024))
        );
        let none = PublicKey::Rsa(vec![0x30; 294]);
        assert_eq!(rsa_seal(&task(&none), &mut rng), None);
        assert!(RsaKey::generate(&mut rng, 8192).is_err());
    }
}
