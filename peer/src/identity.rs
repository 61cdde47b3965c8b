//! Who a service is: what it keeps from run to run, and the peer made of it over WebRTC.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use log::warn;
use protocol::id::PeerId;
use protocol::node::{Config, Event, MOST_LANES, Security};
use protocol::security::local::{EllipticKey, LocalKey, RsaKey, RsaKeyError};
use protocol::security::otdp::signer;
use protocol::security::secret::Seed;
use protocol::security::suite::Suite;
use protocol::security::token::JoinToken;
use protocol::signal::Component;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::keystore::{self, KeystoreError};
use crate::node::Keys;
use crate::signalling::Supervisor;
use crate::transport::webrtc::{CertificatePem, WebRtc, WebRtcConfig};
use crate::transport::{Transport, TransportError};
use crate::{Clock, Handle, node};

/// What a service says of itself.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What it is.
    pub component: Component,
    /// What its owner calls it.
    pub name: Option<String>,
    /// What it may send over all streams, kbit/s.
    pub uplink_kbps: u32,
    /// Whether it relays.
    pub relays: bool,
    /// What its chunks are signed with; broadcasters only.
    pub signing: Option<Seed>,
    /// Lets it in the first time, and says which supervisor is the right one.
    pub join_token: Option<JoinToken>,
    /// The suites it can do, at least one (paper §III.B.2). The supervisor's order decides among them.
    pub suites: Vec<Suite>,
    /// Length of its RSA key, where it has none yet: 2048 to 4096 bits.
    pub rsa_bits: u32,
    /// The share of groups of chunks that it checks (the paper's threshold, §III.C.2).
    pub threshold: f64,
    /// Where its DTLS certificate, its key and its authority's name are kept.
    pub state_dir: PathBuf,
    /// The one UDP port for all neighbours; 0 for any.
    pub udp_port: u16,
    /// The one address that it listens on and offers; all of this machine's without.
    pub udp_address: Option<IpAddr>,
    /// Whether it offers its loopback address.
    pub loopback: bool,
    /// Program and version.
    pub software: String,
    /// How links are made.
    pub links: LinkChoice,
}

/// How links are made. Other than usual, it is there to be compared with that.
#[derive(Debug, Clone, Copy)]
pub struct LinkChoice {
    /// Connections of a link at most, one to [`MOST_LANES`].
    pub lanes: u8,
    /// Whether a parent's chunks are delivered in the order in which they were sent: what comes after a lost one waits.
    pub ordered: bool,
}

impl Default for LinkChoice {
    fn default() -> Self {
        Self {
            lanes: MOST_LANES,
            ordered: false,
        }
    }
}

/// Why a peer could not start. A person must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The state directory is of no use.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The network is of no use.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// It can do none of the suites.
    #[error("suites must name \"elliptic\", \"rsa\" or both")]
    NoSuite,
    /// There is no RSA key to be had.
    #[error("{}: {source}; remove it to get a new one, which has to be enrolled anew", path.display())]
    Rsa {
        /// Where it is kept.
        path: PathBuf,
        /// What is wrong with it.
        source: RsaKeyError,
    },
}

/// Starts the peer: its DTLS identity is the one of its last run, its PeerID is new.
pub fn start(
    identity: Identity,
    supervisor: Supervisor,
    clock: Clock,
) -> Result<(Handle, mpsc::Receiver<Event>), StartError> {
    start_over(identity, supervisor, clock, |transport| transport)
}

/// As [`start`], over what `wrap` makes of the transport: for experiments that disturb it.
pub fn start_over(
    identity: Identity,
    supervisor: Supervisor,
    clock: Clock,
    wrap: impl FnOnce(Arc<dyn Transport>) -> Arc<dyn Transport>,
) -> Result<(Handle, mpsc::Receiver<Event>), StartError> {
    let path = identity.state_dir.join("dtls.pem");
    let kept = keystore::load(&path)?.map(CertificatePem::from);
    let transport = open(&identity, kept.clone())?;
    let certificate = transport.certificate_pem();
    if kept.as_ref() != Some(&certificate) {
        keystore::save(&path, certificate.as_str())?;
    }
    if identity.suites.is_empty() {
        return Err(StartError::NoSuite);
    }
    let own: Vec<LocalKey> = identity
        .suites
        .iter()
        .map(|suite| key(*suite, &identity))
        .collect::<Result<_, _>>()?;
    let authority_file = identity.state_dir.join("authority");
    // What cannot be read is no leave to believe anybody.
    let kept = keystore::parsed(
        &authority_file,
        "this should name the supervisor's authority; remove it to believe the next one there is:",
    )?;
    let security = Security {
        keys: own.iter().map(LocalKey::public_key).collect(),
        signing_key: identity.signing.as_ref().map(signer),
        // A new token may lead to a new supervisor.
        pin: identity
            .join_token
            .as_ref()
            .map(|token| token.authority)
            .or(kept),
        token: identity.join_token.map(|token| token.secret),
        threshold: identity.threshold,
    };
    let keys = Keys {
        own,
        authority_file,
    };
    let config = Config {
        peer: PeerId::from_bytes(rand::random()),
        component: identity.component,
        fingerprint: transport.fingerprint(),
        uplink_kbps: identity.uplink_kbps,
        relays: identity.relays,
        software: identity.software,
        name: identity.name,
        lanes: identity.links.lanes,
        seed: rand::random(),
        security: Some(security),
    };
    let transport = wrap(transport);
    Ok(node::start(config, supervisor, transport, clock, keys))
}

/// The key that is kept for a suite; a new one if there is none yet.
fn key(suite: Suite, identity: &Identity) -> Result<LocalKey, StartError> {
    if suite == Suite::Elliptic {
        let path = identity.state_dir.join("identity.key");
        let seed = keystore::seed(&path, Seed::from_bytes(rand::random()))?;
        return Ok(LocalKey::Elliptic(EllipticKey::new(seed)));
    }
    let path = identity.state_dir.join("identity.rsa.key");
    let bad = |source| StartError::Rsa {
        path: path.clone(),
        source,
    };
    if let Some(text) = keystore::load(&path)?.map(Zeroizing::new) {
        let der = hex::decode(text.trim()).map(Zeroizing::new);
        let der = der.map_err(|_| bad(RsaKeyError::Malformed))?;
        let kept = RsaKey::from_pkcs8(&der).map_err(bad)?;
        return Ok(LocalKey::Rsa(Box::new(kept)));
    }
    log::info!(
        "making an RSA key of {} bits; on a small board that takes a while",
        identity.rsa_bits
    );
    let made = RsaKey::generate(&mut rand::rng(), identity.rsa_bits).map_err(bad)?;
    let text = Zeroizing::new(hex::encode(made.to_pkcs8().map_err(bad)?.as_slice()));
    keystore::save(&path, &text)?;
    Ok(LocalKey::Rsa(Box::new(made)))
}

fn open(
    identity: &Identity,
    certificate_pem: Option<CertificatePem>,
) -> Result<Arc<WebRtc>, TransportError> {
    let config = |certificate_pem| WebRtcConfig {
        certificate_pem,
        udp_port: identity.udp_port,
        bind: identity.udp_address,
        loopback: identity.loopback,
        uplink_kbps: Some(identity.uplink_kbps),
        ordered: identity.links.ordered,
    };
    match WebRtc::new(config(certificate_pem)) {
        Err(TransportError::Certificate(reason)) => {
            warn!("the kept DTLS certificate cannot be used ({reason}); making a new one");
            WebRtc::new(config(None))
        }
        other => other,
    }
}

/// The addresses of this machine that others may reach, for messages to people.
pub fn local_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let address = |i: nix::ifaddrs::InterfaceAddress| {
        let address = i.address?;
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.filter(|ip| !ip.is_loopback())
    };
    interfaces.filter_map(address).collect()
}
