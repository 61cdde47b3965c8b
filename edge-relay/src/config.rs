//! The configuration file of a relay.

use std::path::PathBuf;

use protocol::id::Fingerprint;
use protocol::security::suite::Suite;
use protocol::security::token::{JoinToken, TokenError};
use serde::Deserialize;

/// What one relay does. Can only be made by parsing, so one that exists is a valid one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The supervisor's address for peers, `ws://host:port/peer` or `wss://`.
    #[serde(default = "default_supervisor")]
    pub supervisor: Url,
    /// The one certificate the supervisor may show on `wss://`: its SHA-256 fingerprint, as the supervisor prints it.
    pub supervisor_certificate: Option<Fingerprint>,
    /// The suites it can do.
    #[serde(default = "default_suites")]
    pub suites: Vec<Suite>,
    /// Length of its RSA key, where it needs one and has none yet.
    #[serde(default = "default_rsa_bits")]
    pub rsa_bits: u32,
    /// What its owner calls it; the monitor shows it.
    #[serde(default = "default_name")]
    pub name: String,
    /// What it may send over all streams, kbit/s: decides how many children it is given.
    #[serde(default = "default_uplink_kbps")]
    pub uplink_kbps: u32,
    /// Lets it in the first time: what `supervisor token create --role relay` prints.
    pub join_token: Option<Token>,
    /// The share of groups of chunks that it checks before it passes them on, 0 to 1.
    #[serde(default = "default_threshold", deserialize_with = "share")]
    pub threshold: f64,
    /// Where its identity is kept.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// The one UDP port for all its neighbours; 0 lets the system choose.
    #[serde(default)]
    pub udp_port: u16,
    /// Whether it may be reached over the loopback interface: only for peers on this machine.
    #[serde(default)]
    pub loopback: bool,
}

/// A WebSocket address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Url(pub(crate) String);

impl TryFrom<String> for Url {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let rest = text
            .strip_prefix("ws://")
            .or_else(|| text.strip_prefix("wss://"));
        match rest {
            Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(Self(text)),
            _ => Err(format!(
                "supervisor is {text:?}, but must begin with ws:// or wss:// and name a host"
            )),
        }
    }
}

/// A join token.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Token(pub(crate) JoinToken);

impl TryFrom<String> for Token {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|error: TokenError| error.to_string())
    }
}

/// All of them (design §7): who checks less takes the blame for what it passes on unchecked.
const fn default_threshold() -> f64 {
    1.0
}

fn share<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(from)?;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(serde::de::Error::custom(format!(
            "{value} is not from 0 to 1"
        )))
    }
}

fn default_supervisor() -> Url {
    Url("ws://127.0.0.1:8080/peer".into())
}

/// What every browser can do, and costs a twentieth of RSA.
fn default_suites() -> Vec<Suite> {
    vec![Suite::Elliptic]
}

/// The paper's (§III.B.2).
const fn default_rsa_bits() -> u32 {
    2048
}

fn default_name() -> String {
    "relay".into()
}

/// Guess: a wired box at home, 100 Mbit/s.
const fn default_uplink_kbps() -> u32 {
    100_000
}

/// systemd's StateDirectory of the unit.
fn default_state_dir() -> PathBuf {
    "/var/lib/edge-relay".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_what_the_defaults_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/relay.example.toml");
        let example: Config = daemon::config::load(path).expect("valid");
        assert_eq!(
            (example.udp_port, example.uplink_kbps),
            (0, default_uplink_kbps())
        );
    }

    #[test]
    fn an_address_of_another_kind_is_refused_with_what_it_must_be() {
        let error = Url::try_from("http://host".to_owned()).expect_err("not a WebSocket");
        assert!(error.contains("must begin with ws:// or wss://"), "{error}");
    }
}
