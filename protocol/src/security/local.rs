//! Private keys that are held here rather than by WebCrypto: the services', and, in the elliptic suite, those
//! of a page that has no `crypto.subtle`.

use core::fmt;

use x25519_dalek::{PublicKey as Share, StaticSecret};
use zeroize::Zeroizing;

use super::boxes::KeyTask;
use super::secret::Seed;
use super::suite::PublicKey;

#[cfg(feature = "rsa")]
mod rsa_key;

#[cfg(feature = "rsa")]
pub use rsa_key::{LocalKey, RsaKey, RsaKeyError, rsa_seal};

/// A key of the elliptic suite.
pub struct EllipticKey {
    secret: StaticSecret,
    public: [u8; 32],
}

impl fmt::Debug for EllipticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EllipticKey({:?})", self.public_key())
    }
}

impl EllipticKey {
    /// The key made of these random bytes.
    pub fn new(seed: Seed) -> Self {
        let secret = StaticSecret::from(*seed.as_bytes());
        let public = Share::from(&secret).to_bytes();
        Self { secret, public }
    }

    /// Its public half.
    pub const fn public_key(&self) -> PublicKey {
        PublicKey::Elliptic(self.public)
    }

    /// Does what can be done with it; nothing if that is another key's task.
    pub fn answer(&self, task: &KeyTask) -> Option<Zeroizing<Vec<u8>>> {
        let KeyTask::Agree { theirs } = task else {
            return None;
        };
        let agreed = self.secret.diffie_hellman(&Share::from(*theirs));
        let answer = agreed.as_bytes().to_vec();
        agreed.was_contributory().then(|| Zeroizing::new(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_agrees_on_zero_with_everybody_is_not_answered() {
        let key = EllipticKey::new(Seed::from_bytes([1; 32]));
        assert_eq!(key.answer(&KeyTask::Agree { theirs: [0; 32] }), None);
    }
}
