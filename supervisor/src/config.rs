//! The configuration file of the supervisor. Documented in `supervisor.example.toml`.

pub(crate) mod door;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use protocol::security::suite::Suite;
use protocol::signal::Topology;
use protocol::stream_manager;
use serde::Deserialize;

use door::{Origin, Tls};

/// What the operator decides. Can only be made by parsing, so one that exists is a valid one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where pages and peers are served.
    #[serde(default = "default_listen")]
    pub(crate) listen: SocketAddr,
    /// Where Prometheus finds figures.
    #[serde(default = "default_metrics")]
    pub(crate) metrics: daemon::metrics::Address,
    /// Where secrets and enrolments are kept.
    #[serde(default = "default_state_dir")]
    pub(crate) state_dir: PathBuf,
    /// The address under which peers on this host are seen from outside.
    pub(crate) external_address: Option<IpAddr>,
    /// How viewers reach the pages: what stands in front of the links that are handed out.
    pub(crate) public_url: Option<Origin>,
    /// Whose pages may open sockets here, besides our own.
    #[serde(default)]
    pub(crate) allowed_origins: Vec<Origin>,
    /// Who is believed about the address it speaks for.
    #[serde(default)]
    pub(crate) trusted_proxies: Vec<IpAddr>,
    /// What connections are wrapped in.
    #[serde(default)]
    pub(crate) tls: Tls,
    /// How peers find their addresses.
    #[serde(default)]
    pub(crate) stun: Stun,
    /// How peers reach each other that cannot directly.
    pub(crate) turn: Option<Turn>,
    /// How a stream's peers are arranged when its broadcaster does not say.
    #[serde(default)]
    pub(crate) default_topology: TopologyChoice,
    /// Whether members of streams are given backup parents.
    #[serde(default = "yes")]
    pub(crate) backups: bool,
    /// How peers prove who they are.
    #[serde(default)]
    pub(crate) security: SecurityConfig,
    /// What is too much.
    #[serde(default)]
    pub(crate) limits: Limits,
}

impl Default for Config {
    /// What an empty file says.
    fn default() -> Self {
        Self {
            listen: default_listen(),
            metrics: default_metrics(),
            state_dir: default_state_dir(),
            external_address: None,
            public_url: None,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            tls: Tls::default(),
            stun: Stun::default(),
            turn: None,
            default_topology: TopologyChoice::default(),
            backups: true,
            security: SecurityConfig::default(),
            limits: Limits::default(),
        }
    }
}

/// How peers prove who they are.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawSecurity")]
pub(crate) struct SecurityConfig {
    /// The suites taken, the one liked best first.
    pub(crate) suites: Vec<Suite>,
    /// Length of the RSA handshake key.
    pub(crate) rsa_bits: u32,
    /// How long a peer's certificate is good; renewed at half of it.
    pub(crate) certificate_lifetime_s: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSecurity {
    suites: Vec<Suite>,
    rsa_bits: u32,
    certificate_lifetime_s: u32,
}

impl Default for RawSecurity {
    /// The elliptic suite works everywhere and costs a twentieth of RSA. A day: guess, as TURN's credentials.
    fn default() -> Self {
        Self {
            suites: vec![Suite::Elliptic],
            rsa_bits: 2048,
            certificate_lifetime_s: 86_400,
        }
    }
}

impl Default for SecurityConfig {
    fn default() -> Self {
        Self::try_from(RawSecurity::default()).expect("the defaults are valid")
    }
}

impl TryFrom<RawSecurity> for SecurityConfig {
    type Error = String;

    fn try_from(raw: RawSecurity) -> Result<Self, String> {
        let mut suites = raw.suites.clone();
        suites.sort_unstable();
        suites.dedup();
        if raw.suites.is_empty() || suites.len() != raw.suites.len() {
            return Err(
                "security.suites must name \"elliptic\", \"rsa\" or both, each once".into(),
            );
        }
        if ![2048, 3072, 4096].contains(&raw.rsa_bits) {
            return Err(format!(
                "security.rsa_bits is {}, but must be 2048, 3072 or 4096",
                raw.rsa_bits
            ));
        }
        if raw.certificate_lifetime_s < 10 {
            return Err("security.certificate_lifetime_s must be at least 10".into());
        }
        Ok(Self {
            suites: raw.suites,
            rsa_bits: raw.rsa_bits,
            certificate_lifetime_s: raw.certificate_lifetime_s,
        })
    }
}

const fn yes() -> bool {
    true
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 8080))
}

const fn default_metrics() -> daemon::metrics::Address {
    daemon::metrics::Address::loopback(9461)
}

fn default_state_dir() -> PathBuf {
    "/var/lib/supervisor".into()
}

/// STUN servers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stun {
    /// `stun:host:port` each.
    #[serde(default)]
    pub(crate) urls: Vec<StunUrl>,
}

/// TURN servers that share a secret with the supervisor.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawTurn")]
pub(crate) struct Turn {
    /// `turn:host:port?transport=udp` each.
    pub(crate) urls: Vec<String>,
    /// Where the secret is.
    pub(crate) secret: Secret,
    /// Credentials run out after this, seconds.
    pub(crate) lifetime_s: u32,
}

/// A TURN server's shared secret, or the file that holds it.
#[derive(Clone)]
pub(crate) enum Secret {
    Here(String),
    In(PathBuf),
}

// A secret must not reach a log by way of a debug print.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(_) => f.write_str("Here(…)"),
            Self::In(path) => write!(f, "In({})", path.display()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTurn {
    urls: Vec<String>,
    secret: Option<String>,
    secret_file: Option<PathBuf>,
    /// Guess: longer than anybody watches at a stretch.
    #[serde(default = "a_day")]
    lifetime_s: u32,
}

const fn a_day() -> u32 {
    86_400
}

impl TryFrom<RawTurn> for Turn {
    type Error = String;

    fn try_from(raw: RawTurn) -> Result<Self, String> {
        let secret = match (raw.secret, raw.secret_file) {
            (Some(secret), None) if !secret.is_empty() => Secret::Here(secret),
            (None, Some(path)) => Secret::In(path),
            _ => return Err("turn needs either secret or secret_file".into()),
        };
        if raw.lifetime_s < 60 {
            return Err(format!(
                "turn.lifetime_s is {}, but must be at least 60",
                raw.lifetime_s
            ));
        }
        let wrong = raw
            .urls
            .iter()
            .find(|url| !is_server(url, &["turn:", "turns:"]));
        match wrong {
            _ if raw.urls.is_empty() => Err("turn.urls is empty".into()),
            Some(wrong) => Err(format!(
                "turn.urls has {wrong:?}, but must be like turn:turn.example.org:3478?transport=udp"
            )),
            None => Ok(Self {
                urls: raw.urls,
                secret,
                lifetime_s: raw.lifetime_s,
            }),
        }
    }
}

/// The address of a STUN server.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct StunUrl(pub(crate) String);

impl TryFrom<String> for StunUrl {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        if is_server(&url, &["stun:"]) {
            Ok(Self(url))
        } else {
            Err(format!(
                "{url:?} is no STUN server: must be like stun:stun.example.org:3478"
            ))
        }
    }
}

/// Whether it is `scheme:host[:port][?transport=…]` (RFC 7064, RFC 7065), which every browser takes.
fn is_server(url: &str, schemes: &[&str]) -> bool {
    let Some(rest) = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)) else {
        return false;
    };
    let (address, query) = rest.split_once('?').unwrap_or((rest, "transport=udp"));
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    };
    let host_is_one = match host.strip_prefix('[') {
        Some(v6) => v6
            .strip_suffix(']')
            .is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        }
    };
    let may_have_query =
        !url.starts_with("stun:") || query == "transport=udp" && !rest.contains('?');
    host_is_one
        && may_have_query
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
        && ["transport=udp", "transport=tcp"].contains(&query)
}

/// A topology, as the file says it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "RawTopology")]
pub(crate) struct TopologyChoice(pub(crate) Topology);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTopology {
    kind: String,
    arity: Option<u8>,
}

impl TryFrom<RawTopology> for TopologyChoice {
    type Error = String;

    fn try_from(raw: RawTopology) -> Result<Self, String> {
        match (raw.kind.as_str(), raw.arity) {
            ("relay-first", None) => Ok(Self(Topology::RelayFirst)),
            ("linked-list", None) => Ok(Self(Topology::LinkedList)),
            ("tree", None) => Ok(Self(Topology::Tree { arity: 2 })), // the paper's
            ("tree", Some(arity @ 1..)) => Ok(Self(Topology::Tree { arity })),
            ("tree", Some(0)) => Err("default_topology.arity is 0, but must be at least 1".into()),
            ("relay-first" | "linked-list", Some(_)) => Err(format!(
                "default_topology.arity is only for kind = \"tree\", not for {:?}",
                raw.kind
            )),
            (kind, _) => Err(format!(
                "default_topology.kind is {kind:?}, but must be \"relay-first\", \"tree\" or \"linked-list\""
            )),
        }
    }
}

/// What is too much; what is not said is as [`stream_manager::Limits`] has it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    peers: Option<usize>,
    streams: Option<usize>,
    streams_per_broadcaster: Option<usize>,
    places_per_peer: Option<usize>,
    messages_per_s: Option<u32>,
    message_burst: Option<u32>,
    connections_per_address: Option<usize>,
    handshakes_per_s: Option<u32>,
}

/// Connections from one address. Guess: a company behind one address, each viewer with a page and a socket.
const CONNECTIONS_PER_ADDRESS: usize = 256;
/// Connections beyond those of all peers, for pages. Guess: a tenth of the peers load theirs at once.
const CONNECTIONS_FOR_PAGES: usize = 1_000;

impl Limits {
    /// How many connections there may be from one address, and in all.
    pub(crate) fn connections(self) -> (usize, usize) {
        let each = self
            .connections_per_address
            .unwrap_or(CONNECTIONS_PER_ADDRESS)
            .max(1);
        let all = self.resolve().peers.saturating_add(CONNECTIONS_FOR_PAGES);
        (each, all)
    }

    pub(crate) fn resolve(self) -> stream_manager::Limits {
        let standard = stream_manager::Limits::default();
        stream_manager::Limits {
            peers: self.peers.unwrap_or(standard.peers),
            streams: self.streams.unwrap_or(standard.streams),
            streams_per_broadcaster: self
                .streams_per_broadcaster
                .unwrap_or(standard.streams_per_broadcaster),
            places_per_peer: self.places_per_peer.unwrap_or(standard.places_per_peer),
            messages_per_s: self
                .messages_per_s
                .unwrap_or(standard.messages_per_s)
                .max(1),
            message_burst: self.message_burst.unwrap_or(standard.message_burst).max(1),
            handshakes_per_s: self
                .handshakes_per_s
                .unwrap_or(standard.handshakes_per_s)
                .max(1),
            // All who may be connected may come back at once, after a restart.
            handshake_burst: u32::try_from(
                self.connections_per_address
                    .unwrap_or(CONNECTIONS_PER_ADDRESS),
            )
            .unwrap_or(u32::MAX)
            .max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon::config::trial::{spoilt, taken_or_refused_with_its_place};

    fn error(text: &str) -> String {
        toml::from_str::<Config>(text)
            .expect_err("must be refused")
            .to_string()
    }

    #[test]
    fn the_file_that_comes_with_the_unit_is_valid() {
        let packaged = include_str!("../../systemd/supervisor.toml");
        let config = toml::from_str::<Config>(packaged).expect("it parses");
        // What the unit's StateDirectory= makes.
        assert_eq!(
            config.state_dir,
            PathBuf::from("/var/lib/ownstream-supervisor")
        );
    }

    #[test]
    fn the_example_is_valid_and_so_is_an_empty_file() {
        let example = include_str!("../supervisor.example.toml");
        toml::from_str::<Config>(example).expect("the example parses");
        // What is commented out in it must be valid as well.
        let all: String = example
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line).to_owned() + "\n")
            .collect();
        let config =
            toml::from_str::<Config>(&all).expect("the example with everything in it parses");
        assert!(config.turn.is_some() && config.external_address.is_some());
        assert!(config.public_url.is_some() && config.tls.redirect_http.is_some());
        toml::from_str::<Config>("").expect("everything has a default");
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_file_says_it_is_taken_or_refused_with_its_place(
            at in proptest::arbitrary::any::<proptest::sample::Index>(),
            out in 0_usize..20,
            put in "-?[0-9]{1,24}|[\\[\\]{}=\"'\n.#,]{1,4}|true|nan|1e400|\"[^\"]{0,60}\"|.{0,12}",
        ) {
            let example = include_str!("../supervisor.example.toml").replace("\n#: ", "\n");
            let text = spoilt(&example, |of| at.index(of), out, &put);
            let folder = tempfile::tempdir().expect("a folder");
            let told = taken_or_refused_with_its_place(folder.path(), &text, |path| daemon::config::load::<Config>(path));
            proptest::prop_assert_eq!(told, Ok(()), "{}", text);
        }
    }

    #[test]
    fn a_misspelt_key_is_named_with_what_is_allowed() {
        let error = error("listn = \"0.0.0.0:80\"");
        assert!(
            error.contains("listn") && error.contains("listen"),
            "{error}"
        );
    }

    #[test]
    fn an_arity_is_only_for_trees() {
        assert!(
            error("default_topology = { kind = \"linked-list\", arity = 2 }")
                .contains("only for kind")
        );
        assert!(error("default_topology = { kind = \"ring\" }").contains("must be"));
    }

    #[test]
    fn turn_without_a_secret_is_refused() {
        assert!(error("[turn]\nurls = [\"turn:t.example.org\"]").contains("secret_file"));
    }

    #[test]
    fn servers_that_a_browser_would_refuse_are_refused_at_the_start() {
        for url in [
            "turn:",
            "turn:h:x",
            "turn:h:0",
            "turn:a b",
            "turn:h?transport=pigeon",
            "turn:[::1",
            "http://h",
        ] {
            let text = format!("[turn]\nsecret = \"s\"\nurls = [{url:?}]");
            assert!(error(&text).contains("must be like"), "{url}");
        }
        for url in [
            "turn:h",
            "turns:t.example.org:443?transport=tcp",
            "turn:[2001:db8::1]:3478",
        ] {
            let text = format!("[turn]\nsecret = \"s\"\nurls = [{url:?}]");
            toml::from_str::<Config>(&text).expect(url);
        }
        assert!(error("[stun]\nurls = [\"stun:h:x\"]").contains("must be like"));
        assert!(error("[stun]\nurls = [\"stun:h?transport=udp\"]").contains("must be like"));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let turn = "[turn]\nurls = [\"turn:t.example.org\"]\nsecret = \"hunter2\"";
        let config: Config = toml::from_str(turn).expect("valid");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
