//! The configuration file of a relay.

use std::net::IpAddr;
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
    #[serde(default = "default_suites", deserialize_with = "peer::limits::suites")]
    pub suites: Vec<Suite>,
    /// Length of its RSA key, where it needs one and has none yet.
    #[serde(
        default = "default_rsa_bits",
        deserialize_with = "peer::limits::rsa_bits"
    )]
    pub rsa_bits: u32,
    /// What its owner calls it; the monitor shows it.
    #[serde(default = "default_name", deserialize_with = "peer::limits::name")]
    pub name: String,
    /// What it may send over all streams, kbit/s: decides how many children it is given.
    #[serde(
        default = "default_uplink_kbps",
        deserialize_with = "peer::limits::uplink_kbps"
    )]
    pub uplink_kbps: u32,
    /// Lets it in the first time: what `supervisor token create --role relay` prints.
    pub join_token: Option<Token>,
    /// The share of groups of chunks that it checks before it passes them on, 0 to 1.
    #[serde(default = "default_threshold", deserialize_with = "share")]
    pub threshold: f64,
    /// Where its identity is kept.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// Where Prometheus finds figures.
    #[serde(default = "default_metrics")]
    pub metrics: daemon::metrics::Address,
    /// The one UDP port for all its neighbours; 0 lets the system choose.
    #[serde(default)]
    pub udp_port: u16,
    /// The one address of this machine that it listens on and offers; all of them if it is missing.
    pub udp_address: Option<IpAddr>,
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

/// All of them: who checks less takes the blame for what it passes on unchecked.
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

const fn default_metrics() -> daemon::metrics::Address {
    daemon::metrics::Address::loopback(9462)
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
    use daemon::config::trial::{spoilt, taken_or_refused_with_its_place};

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
    fn the_file_that_comes_with_the_unit_is_valid() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/relay.toml");
        let packaged: Config = daemon::config::load(path).expect("valid");
        // What the unit's StateDirectory= makes.
        assert_eq!(
            packaged.state_dir,
            PathBuf::from("/var/lib/ownstream-relay")
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_file_says_it_is_taken_or_refused_with_its_place(
            at in proptest::arbitrary::any::<proptest::sample::Index>(),
            out in 0_usize..20,
            put in "-?[0-9]{1,24}|[\\[\\]{}=\"'\n.#,]{1,4}|true|nan|1e400|\"[^\"]{0,60}\"|.{0,12}",
        ) {
            let example = include_str!("../relay.example.toml");
            let text = spoilt(example, |of| at.index(of), out, &put);
            let folder = tempfile::tempdir().expect("a folder");
            let told = taken_or_refused_with_its_place(folder.path(), &text, |path| daemon::config::load::<Config>(path));
            proptest::prop_assert_eq!(told, Ok(()), "{}", text);
        }
    }

    /// What is said of a file that holds this one line, and where.
    fn error_of(line: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("relay.toml");
        std::fs::write(&path, format!("udp_port = 0\n{line}\n")).expect("a file");
        let error = daemon::config::load::<Config>(&path).expect_err("invalid");
        let words = format!("{error:#}");
        let (_, place_and_message) = words.split_once("relay.toml:").expect("the file is named");
        place_and_message.to_owned()
    }

    #[test]
    fn a_value_that_cannot_be_is_answered_with_its_line_and_what_may_stand_there() {
        for (line, said) in [
            ("rsa_bits = 1024", "1024, but must be 2048, 3072 or 4096"),
            ("suites = []", "must name \"elliptic\", \"rsa\" or both"),
            ("uplink_kbps = 0", "0 is not from 32 to 100000000 kbit/s"),
            ("name = \"\"", "must have at least one character"),
        ] {
            let error = error_of(line);
            assert!(error.starts_with("2:"), "{error}");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_name_is_as_long_as_the_supervisor_takes_it_and_no_longer() {
        let named = |name: String| toml::from_str::<Config>(&format!("name = {name:?}"));
        assert!(named("ж".repeat(50)).is_ok());
        let error = error_of(&format!("name = {:?}", "ж".repeat(51)));
        assert!(
            error.contains("takes 102 bytes, but may take 100"),
            "{error}"
        );
    }

    #[test]
    fn every_key_there_is_stands_in_the_example() {
        let error = toml::from_str::<Config>("no_such_key = 1").expect_err("unknown");
        let keys = error.message().split('`').skip(3).step_by(2);
        let example = include_str!("../relay.example.toml");
        let lines = || example.lines().map(|line| line.trim_start_matches("# "));
        let missing: Vec<&str> = keys
            .filter(|key| !lines().any(|line| line.starts_with(&format!("{key} ="))))
            .collect();
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn an_address_of_another_kind_is_refused_with_what_it_must_be() {
        let error = Url::try_from("http://host".to_owned()).expect_err("not a WebSocket");
        assert!(error.contains("must begin with ws:// or wss://"), "{error}");
    }
}
