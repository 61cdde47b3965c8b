//! What the configuration of any service may say of its peer. Each check is on its own field, so that an error
//! points at the line.

use std::ops::RangeInclusive;

use protocol::security::suite::Suite;
use protocol::signal::MAX_NAME;
use serde::de::{Deserialize, Deserializer, Error};

/// One audio stream at the least; 100 Gbit/s at the most.
const UPLINK_KBPS: RangeInclusive<u32> = 32..=100_000_000;
/// The paper asks for 2048 or more (§III.B.2); beyond 4096 a board takes seconds for each handshake.
const RSA_BITS: [u32; 3] = [2048, 3072, 4096];

/// The name of a stream or a peer. The supervisor closes the socket on one who says a longer one.
pub fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    if name.is_empty() || name.trim() != name || name.chars().any(char::is_control) {
        return Err(D::Error::custom(format!(
            "{name:?} must have at least one character, no control characters, and no space at either end"
        )));
    }
    if name.len() > MAX_NAME {
        return Err(D::Error::custom(format!(
            "{name:?} takes {} bytes, but may take {MAX_NAME}: one for a letter from a to z, two to four for others",
            name.len()
        )));
    }
    Ok(name)
}

/// What may be sent in all.
pub fn uplink_kbps<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let value = i64::deserialize(from)?;
    let fits = |value: &u32| UPLINK_KBPS.contains(value);
    u32::try_from(value).ok().filter(fits).ok_or_else(|| {
        let (least, most) = UPLINK_KBPS.into_inner();
        D::Error::custom(format!("{value} is not from {least} to {most} kbit/s"))
    })
}

/// The suites a peer can do.
pub fn suites<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Suite>, D::Error> {
    let suites = Vec::<Suite>::deserialize(from)?;
    let mut each = suites.clone();
    each.sort_unstable();
    each.dedup();
    if suites.is_empty() || each.len() != suites.len() {
        return Err(D::Error::custom(
            "suites must name \"elliptic\", \"rsa\" or both, each once",
        ));
    }
    Ok(suites)
}

/// Length of an RSA key.
pub fn rsa_bits<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let value = i64::deserialize(from)?;
    RSA_BITS
        .into_iter()
        .find(|&bits| i64::from(bits) == value)
        .ok_or_else(|| {
            D::Error::custom(format!(
                "rsa_bits is {value}, but must be 2048, 3072 or 4096"
            ))
        })
}
