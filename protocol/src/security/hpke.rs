//! Hybrid public key encryption, RFC 9180, in the one way used here: base mode, one message, DHKEM(X25519,
//! HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305.
//!
//! The key schedule is ours, on RustCrypto's parts, because whoever opens a message may hold its private key
//! where nothing but the agreement of two keys can be asked for: WebCrypto's `deriveBits` on a
//! non-extractable key. The `hpke` crate wants the private key itself and cannot take the agreement from
//! outside. RFC 9180's own vector is among the tests.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

/// Bytes a sealed message has more than its contents: the ephemeral share, and the tag.
pub const OVERHEAD: usize = SHARE_LEN + 16;
const SHARE_LEN: usize = 32;

/// "KEM" and the number of DHKEM(X25519, HKDF-SHA256) (RFC 9180 §4.1, §7.1).
const KEM: &[u8] = b"KEM\x00\x20";
/// "HPKE" and the numbers of KEM, KDF and AEAD (RFC 9180 §5.1, §7).
const HPKE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";
/// No pre-shared key, no sender's key (RFC 9180 §5, table 1).
const MODE_BASE: u8 = 0;

/// Why a message could not be sealed or opened. An opener tells nobody which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HpkeError {
    /// Shorter than the share and the tag.
    #[error("a sealed message of {0} bytes, but the shortest has {OVERHEAD}")]
    TooShort(usize),
    /// The two keys agree on zero: one of them is of low order (RFC 9180 §7.1.4).
    #[error("the key is not one to agree with")]
    BadKey,
    /// Not sealed to this key, for this purpose, or altered since.
    #[error("the sealed message does not open")]
    DoesNotOpen,
}

/// Seals to the key `to`: gives the ephemeral share and the encrypted contents. `ephemeral` is the private
/// key of this one message: 32 random bytes, never used again.
pub fn seal(
    to: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    ephemeral: &[u8; 32],
) -> Result<Vec<u8>, HpkeError> {
    let secret = StaticSecret::from(*ephemeral);
    let share = PublicKey::from(&secret).to_bytes();
    let agreed = secret.diffie_hellman(&PublicKey::from(*to));
    let schedule = Schedule::new(agreed.as_bytes(), &share, to, info)?;
    let sealed = schedule
        .cipher()
        .encrypt(
            &schedule.nonce(),
            Payload {
                msg: plaintext,
                aad,
            },
        )
        .map_err(|_| HpkeError::DoesNotOpen)?;
    Ok([&share[..], &sealed].concat())
}

/// The share that the opener's private key has to be brought to agreement with.
pub fn their_share(sealed: &[u8]) -> Result<[u8; 32], HpkeError> {
    match sealed.split_first_chunk() {
        Some((share, _)) if sealed.len() >= OVERHEAD => Ok(*share),
        _ => Err(HpkeError::TooShort(sealed.len())),
    }
}

/// Opens with what X25519 made of the private key and [`their_share`]. `own_public` is that key's public half.
pub fn open(
    agreed: &[u8; 32],
    own_public: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, HpkeError> {
    let share = their_share(sealed)?;
    let schedule = Schedule::new(agreed, &share, own_public, info)?;
    let msg = &sealed[SHARE_LEN..];
    schedule
        .cipher()
        .decrypt(&schedule.nonce(), Payload { msg, aad })
        .map_err(|_| HpkeError::DoesNotOpen)
}

/// The key and the nonce of one message.
struct Schedule {
    key: Zeroizing<[u8; 32]>,
    nonce: [u8; 12],
}

impl Schedule {
    /// ExtractAndExpand and KeySchedule (RFC 9180 §4.1, §5.1), with neither a pre-shared key nor an export.
    fn new(
        agreed: &[u8; 32],
        share: &[u8; 32],
        receiver: &[u8; 32],
        info: &[u8],
    ) -> Result<Self, HpkeError> {
        if bool::from(agreed.ct_eq(&[0; 32])) {
            return Err(HpkeError::BadKey);
        }
        let mut shared = Zeroizing::new([0; 32]);
        let kem_context = [&share[..], receiver].concat();
        extract(KEM, b"", b"eae_prk", agreed).expand(b"shared_secret", &kem_context, &mut *shared);

        let mut context = vec![MODE_BASE];
        context.extend(extract(HPKE, b"", b"psk_id_hash", b"").prk);
        context.extend(extract(HPKE, b"", b"info_hash", info).prk);
        let secret = extract(HPKE, &*shared, b"secret", b"");
        let (mut key, mut nonce) = (Zeroizing::new([0; 32]), [0; 12]);
        secret.expand(b"key", &context, &mut *key);
        secret.expand(b"base_nonce", &context, &mut nonce);
        Ok(Self { key, nonce })
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&Key::from(*self.key))
    }

    fn nonce(&self) -> Nonce {
        Nonce::from(self.nonce)
    }
}

/// What LabeledExtract gives, to be expanded under the same suite.
struct Extracted {
    suite: &'static [u8],
    prk: [u8; 32],
    hkdf: Hkdf<Sha256>,
}

impl Drop for Extracted {
    fn drop(&mut self) {
        self.prk.zeroize();
    }
}

/// LabeledExtract (RFC 9180 §4).
fn extract(suite: &'static [u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> Extracted {
    let labeled = Zeroizing::new([b"HPKE-v1", suite, label, ikm].concat());
    let (prk, hkdf) = Hkdf::<Sha256>::extract(Some(salt), &labeled);
    Extracted {
        suite,
        prk: prk.into(),
        hkdf,
    }
}

impl Extracted {
    /// LabeledExpand (RFC 9180 §4).
    fn expand(&self, label: &[u8], info: &[u8], to: &mut [u8]) {
        let length = u16::try_from(to.len()).expect("keys and nonces are short");
        let labeled = [
            &length.to_be_bytes(),
            &b"HPKE-v1"[..],
            self.suite,
            label,
            info,
        ]
        .concat();
        self.hkdf
            .expand(&labeled, to)
            .expect("far less than HKDF's 8160 bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<const N: usize>(hex: &str) -> [u8; N] {
        let mut bytes = [0; N];
        hex::decode_to_slice(hex, &mut bytes).expect("hex");
        bytes
    }

    fn agree(own: &[u8; 32], theirs: &[u8; 32]) -> [u8; 32] {
        x25519_dalek::x25519(*own, *theirs)
    }

    // RFC 9180 A.2.1, sequence number 0.
    const INFO: &[u8] = b"Ode on a Grecian Urn";
    const TEXT: &[u8] = b"Beauty is truth, truth beauty";
    const AAD: &[u8] = b"Count-0";
    const OWN: &str = "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb";
    const PUBLIC: &str = "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
    const EPHEMERAL: &str = "f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600";
    const SEALED: &str = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a\
        1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28";

    #[test]
    fn the_rfcs_message_comes_out_as_in_the_rfc() {
        let sealed = seal(&key(PUBLIC), INFO, AAD, TEXT, &key(EPHEMERAL)).expect("sealed");
        assert_eq!(hex::encode(&sealed), SEALED);
        let agreed = agree(&key(OWN), &their_share(&sealed).expect("a share"));
        assert_eq!(
            open(&agreed, &key(PUBLIC), INFO, AAD, &sealed).as_deref(),
            Ok(TEXT)
        );
    }

    #[test]
    fn a_message_altered_anywhere_or_opened_for_another_purpose_does_not_open() {
        let sealed = hex::decode(SEALED).expect("hex");
        let open_it = |sealed: &[u8], info, aad| {
            let agreed = agree(&key(OWN), &their_share(sealed)?);
            open(&agreed, &key(PUBLIC), info, aad, sealed)
        };
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(open_it(&altered, INFO, AAD).is_err(), "byte {at}");
        }
        assert!(open_it(&sealed, b"another", AAD).is_err());
        assert!(open_it(&sealed, INFO, b"another").is_err());
        assert!(open_it(&sealed[..OVERHEAD - 1], INFO, AAD).is_err());
    }

    #[test]
    fn a_key_that_agrees_on_zero_with_everybody_is_refused() {
        let sealed = seal(&[0; 32], INFO, AAD, TEXT, &key(EPHEMERAL));
        assert_eq!(sealed, Err(HpkeError::BadKey));
        let sealed = hex::decode(SEALED).expect("hex");
        assert_eq!(
            open(&[0; 32], &key(PUBLIC), INFO, AAD, &sealed),
            Err(HpkeError::BadKey)
        );
    }
}
