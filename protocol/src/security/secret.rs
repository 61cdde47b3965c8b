//! What must never be shown: overwritten when dropped, silent in the log, and without a way into a message.

use core::fmt;

use zeroize::Zeroize;

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Takes the bytes, which must be random, and secret.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The bytes: for whoever keeps the secret, or works with it.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.0.zeroize();
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

secret! {
    /// A stream's key (the paper's K): every member has it, so it keeps out strangers, not members.
    StreamKey, 32
}
secret! {
    /// What an Ed25519 or X25519 private key is made of.
    Seed, 32
}
secret! {
    /// What one handshake of a peer draws its secrets from: 32 random bytes, used for no other.
    HandshakeSeed, 32
}
secret! {
    /// The part of a join token that proves one has it. 128 bits: nobody guesses it, and people paste it.
    TokenSecret, 16
}

// In constant time: how many bytes agree is nobody's business.
impl PartialEq for StreamKey {
    fn eq(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq as _;
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_says_nothing_in_the_log() {
        assert_eq!(
            format!("{:?}", StreamKey::from_bytes([7; 32])),
            "StreamKey(…)"
        );
    }
}
