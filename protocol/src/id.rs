//! The names of things: peers, streams, links. All opaque, all fixed in size, none ever a key to
//! anything but a table.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {digits} hexadecimal digits, but is {got:?}")]
pub struct ParseIdError {
    what: &'static str,
    digits: usize,
    got: String,
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Takes the bytes as they are.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}…)", stringify!($name), hex::encode(&self.0[..4]))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $bytes];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseIdError {
                    what: $what,
                    digits: $bytes * 2,
                    got: text.chars().take($bytes * 2 + 1).collect(),
                })?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if from.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; $bytes]>::deserialize(from).map(Self)
                }
            }
        }
    };
}

hex_id! {
    /// A peer, for as long as its process or its tab lives: 128 random bits (paper §III.B.1).
    PeerId, 16, "a peer id"
}
hex_id! {
    /// A stream, for good, whatever its name: 128 random bits, kept by its broadcaster.
    StreamId, 16, "a stream id"
}

hex_id! {
    /// Which public key, of either suite; see [`crate::security::suite::PublicKey::fingerprint`].
    KeyFingerprint, 32, "a key's fingerprint"
}
hex_id! {
    /// Which Certification Authority: SHA-256 of its public key. What a join token pins.
    AuthorityFingerprint, 32, "an authority's fingerprint"
}
hex_id! {
    /// An Ed25519 public key: an authority's, or the one a broadcaster's chunks are signed with.
    SignerKey, 32, "a signing key"
}
hex_id! {
    /// SHA-256 of a join token's secret: all the supervisor keeps of it.
    TokenDigest, 32, "a token's digest"
}

hex_id! {
    /// One invitation: 128 random bits in it. Says who came by which link, and which one is taken back.
    InvitationId, 16, "an invitation's id"
}

impl StreamId {
    /// The stream's short name in every chunk header: the first eight bytes.
    pub fn handle(&self) -> StreamHandle {
        let mut first = [0; 8];
        first.copy_from_slice(&self.as_bytes()[..8]);
        StreamHandle(u64::from_be_bytes(first))
    }
}

/// A stream's short name in chunk headers; see [`StreamId::handle`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamHandle(pub u64);

impl fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamHandle({:016x})", self.0)
    }
}

/// A link: 64 random bits chosen by the peer that opens it, the later child. Both ends and the
/// supervisor, which carries its offer, call it by this name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkId({self})")
    }
}

// As text everywhere: JavaScript has no 64-bit integers in JSON.
impl Serialize for LinkId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LinkId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        if text.len() != 16 {
            return Err(serde::de::Error::custom(
                "a link id is 16 hexadecimal digits",
            ));
        }
        u64::from_str_radix(&text, 16)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// SHA-256 of a DTLS certificate, as SDP's `a=fingerprint:sha-256` line carries it (RFC 8122).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Takes the digest as it is.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The fingerprint that a session description states: the only one, in the only spelling, on every line that speaks of
    /// any. Which of several counts, or what a stray character does, each WebRTC library decides for itself.
    pub fn from_sdp(sdp: &str) -> Option<Self> {
        let mut stated = None;
        for line in sdp.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.contains(char::is_control) {
                return None;
            }
            if !line.to_ascii_lowercase().contains("fingerprint") {
                continue;
            }
            let text = line.strip_prefix("a=fingerprint:sha-256 ")?;
            let fingerprint: Self = text.parse().ok()?;
            let is_plain = fingerprint.to_string().eq_ignore_ascii_case(text);
            if !is_plain || stated.is_some_and(|other| other != fingerprint) {
                return None;
            }
            stated = Some(fingerprint);
        }
        stated
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02X}", if i == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({}…)", hex::encode(&self.0[..4]))
    }
}

impl FromStr for Fingerprint {
    type Err = ParseIdError;
    /// Takes upper case (SDP) and lower case (Chromium's `getFingerprints`).
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError {
            what: "a fingerprint",
            digits: 64,
            got: text.chars().take(96).collect(),
        };
        let digits: String = text.chars().take(96).filter(|&c| c != ':').collect();
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| error())?;
        Ok(Self(bytes))
    }
}

// As text for people and browsers; as bytes in certificates, which are to be small.
impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            self.0.serialize(to)
        }
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return <[u8; 32]>::deserialize(from).map(Self);
        }
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_reads_back_from_its_own_text() {
        let id = PeerId::from_bytes(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            serde_json::from_str::<PeerId>(&format!("\"{id}\"")).ok(),
            Some(id)
        );
    }

    #[test]
    fn an_id_of_the_wrong_length_is_refused_with_the_length_it_must_have() {
        let error = "abcd".parse::<PeerId>().expect_err("too short");
        assert_eq!(
            error.to_string(),
            "a peer id must be 32 hexadecimal digits, but is \"abcd\""
        );
    }

    #[test]
    fn a_fingerprint_is_the_same_in_upper_and_lower_case() {
        let text = "AB:".repeat(31) + "CD";
        let upper: Fingerprint = text.parse().expect("valid");
        assert_eq!(text.to_lowercase().parse(), Ok(upper));
        assert_eq!(upper.to_string(), text);
        assert_eq!(
            Fingerprint::from_sdp(&format!("v=0\r\na=fingerprint:sha-256 {text}\r\n")),
            Some(upper)
        );
    }

    #[test]
    fn a_description_that_speaks_of_two_fingerprints_or_in_another_spelling_states_none() {
        let (ours, theirs) = ("AB:".repeat(31) + "AB", "CD:".repeat(31) + "CD");
        let genuine = format!("a=fingerprint:sha-256 {ours}\r\n");
        let stated = |more: &str| {
            let before = Fingerprint::from_sdp(&format!("v=0\r\n{more}\r\n{genuine}"));
            let after = Fingerprint::from_sdp(&format!("v=0\r\n{genuine}m=x\r\n{more}\r\n"));
            (before, after)
        };
        let known = ours.parse().ok();
        assert_eq!(stated("a=mid:0"), (known, known));
        assert_eq!(stated(genuine.trim_end()), (known, known));
        for more in [
            format!("a=fingerprint:sha-256 {theirs}"),
            format!("a= fingerprint:sha-256 {theirs}"),
            format!(" a=fingerprint:sha-256 {theirs}"),
            format!("\ra=fingerprint:sha-256 {theirs}"),
            format!("a=mid:0\ra=fingerprint:sha-256 {theirs}"),
            format!("a=Fingerprint:sha-256 {theirs}"),
            format!("a=fingerprint:SHA-256 {theirs}"),
            format!("a=fingerprint:sha-512 {theirs}{theirs}"),
            format!("a=fingerprint:sha-256  {theirs}"),
            format!("a=fingerprint:sha-256 {ours}:{theirs}"),
            "a=mid:0\u{0}".to_owned(),
        ] {
            assert_eq!(stated(&more), (None, None), "{more:?}");
        }
    }
}
