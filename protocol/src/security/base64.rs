//! Bytes in JSON: base64 with padding, as JavaScript's `atob` and `btoa` take and give it.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that stand in a message as base64.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Base64(pub Vec<u8>);

impl fmt::Debug for Base64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64({} bytes)", self.0.len())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.serialize_str(&STANDARD.encode(&self.0))
        } else {
            self.0.serialize(to)
        }
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return Vec::deserialize(from).map(Self);
        }
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        STANDARD
            .decode(text.as_bytes())
            .map(Self)
            .map_err(|_| serde::de::Error::custom("not base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stand_in_json_as_atob_takes_them() {
        let bytes = Base64(vec![0xFB, 0xFF, 0]);
        let text = serde_json::to_string(&bytes).expect("text");
        assert_eq!(text, "\"+/8A\"");
        assert_eq!(serde_json::from_str::<Base64>(&text).expect("bytes"), bytes);
        assert!(serde_json::from_str::<Base64>("\"-_8A\"").is_err());
    }
}
