//! Connections over WebRTC data channels: to browsers, and to other boards.
//!
//! The only module that knows the `webrtc` crate, which is young and pinned to one version; none of
//! its types leaves. All connections of a process share one UDP port (`shared_port`), which is what
//! a home router has to forward, and which lets the datagrams of all children go out together
//! (`send_queue`). The library is not changed for that: it is given a runtime whose sockets are
//! views of the shared port (`runtime`, `virtual_socket`).

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ::webrtc::peer_connection::{
    CipherSuiteId, PeerConnection, PeerConnectionBuilder, RTCConfigurationBuilder, RTCIceServer,
    RTCSessionDescription, SettingEngine, SettingEngineBuilder,
};
use async_trait::async_trait;
use protocol::id::{Fingerprint, LinkId};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use rtc::peer_connection::transport::RTCDtlsRole;

use self::connection::{Channels, Handler, Parts};
pub use self::identity::CertificatePem;
use self::identity::Identity;
use self::runtime::ConnectionRuntime;
use self::send_queue::Pace;
use self::session::CandidateWriter;
use self::shared_port::{Membership, SharedPort};
use self::table::Member;
use super::{
    Channel, Connection, Events, IceServer, MAX_MESSAGE, Role, SEND_BUFFER, Transport,
    TransportError, TransportEvent,
};

mod addresses;
mod connection;
mod identity;
mod runtime;
mod send_queue;
mod session;
mod shared_port;
mod socket;
mod stun;
mod table;
mod virtual_socket;
mod youth;

/// Checks of one path: every 50 ms, 20 times. Measured: with answers as DTLS server, Chromium's
/// connection opens in 77 ms instead of 207–563.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
const CHECKS: u16 = 20;
/// Silence until a path counts as disconnected, then as failed, and the pace of what keeps it up.
/// The least that does not fall over a short hiccup of Wi-Fi; neighbours watch each other far more
/// closely than this (`protocol::link`), so it only clears up after them.
const DISCONNECTED: Duration = Duration::from_secs(3);
const FAILED: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// How long the offering side goes on looking for a better path once one works, by what it knows of
/// the other side's address: it saw it itself (browsers hide theirs), or a STUN or TURN server did.
/// The library waits 1 s, 0.5 s and 2 s; measured: an offer to Chromium then opens in 1.7 s.
/// Guess: a direct path answers within two of [`CHECK_INTERVAL`].
const WAIT_SEEN: Duration = Duration::from_millis(50);
const WAIT_REFLEXIVE: Duration = Duration::from_millis(100);
const WAIT_RELAYED: Duration = Duration::from_millis(500);

/// Bytes of a message that the other side is told it may send; each connection keeps a buffer of this length. A little
/// more than is spoken, so that whoever speaks more is told.
const ANNOUNCED_MESSAGE: u32 = MAX_MESSAGE as u32 + 1024;

/// How a [`WebRtc`] is set up.
#[derive(Debug, Clone, Default)]
pub struct WebRtcConfig {
    /// What [`WebRtc::certificate_pem`] gave another time, so that the fingerprint stays the same.
    /// None: a new certificate.
    pub certificate_pem: Option<CertificatePem>,
    /// The one UDP port of all connections; 0 for any that is free.
    pub udp_port: u16,
    /// Offer loopback addresses, too: for peers on this machine, which are tests.
    pub loopback: bool,
    /// Listen on, and offer, this address only. None: every address of every interface, IPv4 and
    /// IPv6, as they are when a connection is opened.
    pub bind: Option<IpAddr>,
    /// What this machine's line can send, kbit/s: datagrams to other machines leave not much faster. None: as
    /// fast as they come.
    pub uplink_kbps: Option<u32>,
    /// Whether media is delivered in order over the connections that this end opens; usually it is not.
    pub ordered: bool,
}

/// The transport to browsers and boards.
pub struct WebRtc {
    identity: Identity,
    port: Arc<SharedPort>,
    bind: Option<IpAddr>,
    loopback: bool,
    ordered: bool,
    servers: RwLock<Servers>,
}

#[derive(Default)]
struct Servers {
    ice: Vec<RTCIceServer>,
    /// `host:port` of those that are TURN servers.
    relay_hosts: HashSet<String>,
    external_address: Option<IpAddr>,
}

impl WebRtc {
    /// Binds the port. Must be called inside a tokio runtime, which from then on does the work.
    ///
    /// # Errors
    ///
    /// When the certificate cannot be used or the port cannot be bound.
    pub fn new(config: WebRtcConfig) -> Result<Arc<Self>, TransportError> {
        Ok(Arc::new(Self {
            identity: Identity::new(config.certificate_pem)?,
            port: SharedPort::open(
                config.bind,
                config.udp_port,
                config.uplink_kbps.map(Pace::for_uplink),
            )?,
            bind: config.bind,
            loopback: config.loopback,
            ordered: config.ordered,
            servers: RwLock::default(),
        }))
    }

    /// The DTLS identity, private key included, for the caller to keep (readable by nobody else).
    pub fn certificate_pem(&self) -> CertificatePem {
        self.identity.pem.clone()
    }

    /// The UDP port that all connections use.
    pub fn udp_port(&self) -> u16 {
        self.port.number()
    }

    /// How many rows the table of the shared port has: none when there is no connection.
    pub fn table_rows(&self) -> usize {
        self.port.table().len()
    }

    /// One address to bind for each address to offer. The port says nothing: see `virtual_socket`.
    fn local_addresses(&self) -> Vec<SocketAddr> {
        let all = match self.bind {
            Some(address) if !address.is_unspecified() => vec![address],
            _ => addresses::host_addresses(self.loopback),
        };
        let served = all.into_iter().filter(|address| self.port.serves(*address));
        served.map(|address| SocketAddr::new(address, 0)).collect()
    }

    async fn build(
        &self,
        member: &Arc<Member>,
        handler: Arc<Handler>,
    ) -> Result<Arc<dyn PeerConnection>, TransportError> {
        let (ice, relay_hosts) = {
            let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
            (servers.ice.clone(), servers.relay_hosts.clone())
        };
        let runtime =
            ConnectionRuntime::new(Arc::clone(&self.port), Arc::clone(member), relay_hosts);
        let configuration = RTCConfigurationBuilder::new()
            .with_certificates(vec![self.identity.certificate.clone()])
            .with_ice_servers(ice)
            .build();
        let built = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_setting_engine(self.settings(member))
            .with_handler(handler)
            .with_runtime(runtime)
            .with_udp_addrs(self.local_addresses())
            .with_data_channel_send_buffer_limit(SEND_BUFFER)
            .build()
            .await;
        Ok(Arc::new(built.map_err(setup)?))
    }

    fn settings(&self, member: &Member) -> SettingEngine {
        let settings = SettingEngineBuilder::new()
            .with_crypto_provider(Arc::clone(&self.identity.crypto))
            .with_answering_dtls_role(RTCDtlsRole::Server)
            .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECKS))
            .with_ice_timeouts(Some(DISCONNECTED), Some(FAILED), Some(KEEP_ALIVE))
            .with_prflx_acceptance_min_wait(Some(WAIT_SEEN))
            .with_srflx_acceptance_min_wait(Some(WAIT_REFLEXIVE))
            .with_relay_acceptance_min_wait(Some(WAIT_RELAYED))
            .with_ice_credentials(member.ufrag.clone(), member.password.clone())
            .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(ANNOUNCED_MESSAGE))
            .with_include_loopback_candidate(self.loopback || self.binds_loopback())
            // Names of the .local kind are left out of descriptions anyway, and each connection would join a multicast group, which
            // a machine without a default route cannot.
            .with_multicast_dns_mode(MulticastDnsMode::Disabled);
        if has_aes_instructions() {
            return settings.build();
        }
        // Without them AES costs more than ChaCha20; with them it is the other way round.
        let ciphers = vec![
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
        ];
        settings.with_dtls_cipher_suites(ciphers).build()
    }

    fn binds_loopback(&self) -> bool {
        self.bind.is_some_and(|address| address.is_loopback())
    }

    fn external_address(&self) -> Option<IpAddr> {
        self.servers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .external_address
    }
}

#[async_trait]
impl Transport for WebRtc {
    fn fingerprint(&self) -> Fingerprint {
        self.identity.fingerprint
    }

    fn set_ice_servers(&self, servers: Vec<IceServer>, external_address: Option<IpAddr>) {
        // Browsers can reach them; the library here passes them over without a word.
        if let Some(url) = servers
            .iter()
            .flat_map(|server| &server.urls)
            .find(|url| url.starts_with("turns:") || url.ends_with("transport=tcp"))
        {
            log::warn!("this peer reaches TURN servers by UDP only, and passes over {url}");
        }
        let relay_hosts = servers
            .iter()
            .flat_map(|server| &server.urls)
            .filter_map(|url| relay_host(url));
        let servers = Servers {
            relay_hosts: relay_hosts.collect(),
            ice: servers.into_iter().map(library_server).collect(),
            external_address,
        };
        *self.servers.write().unwrap_or_else(PoisonError::into_inner) = servers;
    }

    async fn open(
        &self,
        link: LinkId,
        role: Role,
        events: Events,
    ) -> Result<Box<dyn Connection>, TransportError> {
        let member = Member::new(random_text(8), random_text(16));
        let membership = Membership::new(Arc::clone(&self.port), Arc::clone(&member));
        let (handler, news) = Handler::new();
        let library = self.build(&member, handler).await?;
        let channels = Arc::<Channels>::default();
        let described = role != Role::Offer;
        let description = match describe(&library, &channels, role, self.ordered).await {
            Ok(description) => description,
            Err(error) => {
                // Else its driver would live on: it ends only when told so.
                let _ = library.close().await;
                return Err(error);
            }
        };
        let candidates = CandidateWriter {
            media_id: session::media_id(&description),
            ufrag: member.ufrag.clone(),
            port: self.port.number(),
        };
        let external = self
            .external_address()
            .map(|address| candidates.external(address));
        let mut first = vec![TransportEvent::LocalDescription(description)];
        first.extend(external.map(TransportEvent::LocalCandidate));
        let parts = Parts {
            link,
            events,
            library,
            channels,
            membership,
            news,
            candidates,
            described,
        };
        Ok(connection::start(parts, first))
    }
}

/// Makes our description, and gives it to the library, which then starts to gather candidates.
async fn describe(
    library: &Arc<dyn PeerConnection>,
    channels: &Channels,
    role: Role,
    ordered: bool,
) -> Result<String, TransportError> {
    let local = match role {
        Role::Offer => offer(library, channels, ordered).await?,
        Role::Answer { offer } => answer(library, &offer).await?,
    };
    let description = session::without_candidates(&local.sdp);
    library.set_local_description(local).await.map_err(setup)?;
    Ok(description)
}

async fn offer(
    library: &Arc<dyn PeerConnection>,
    channels: &Channels,
    ordered: bool,
) -> Result<RTCSessionDescription, TransportError> {
    for channel in [Channel::Control, Channel::Media] {
        let made = library
            .create_data_channel(channel.label(), Some(connection::offered(channel, ordered)))
            .await
            .map_err(setup)?;
        channels.set(channel, made);
    }
    library.create_offer(None).await.map_err(setup)
}

async fn answer(
    library: &Arc<dyn PeerConnection>,
    offer: &str,
) -> Result<RTCSessionDescription, TransportError> {
    let refused = |error: ::webrtc::error::Error| TransportError::Description(error.to_string());
    let offer = RTCSessionDescription::offer(session::accepted(offer)?).map_err(refused)?;
    library
        .set_remote_description(offer)
        .await
        .map_err(refused)?;
    library.create_answer(None).await.map_err(refused)
}

fn setup(error: ::webrtc::error::Error) -> TransportError {
    TransportError::Setup(error.to_string())
}

fn library_server(server: IceServer) -> RTCIceServer {
    RTCIceServer {
        urls: server.urls,
        username: server.username.unwrap_or_default(),
        credential: server.credential.unwrap_or_default(),
    }
}

/// `host:port` of a TURN URL, as the library will ask for it.
fn relay_host(url: &str) -> Option<String> {
    let url = rtc::ice::url::Url::parse_url(url).ok()?;
    let relay = matches!(url.scheme, rtc::ice::url::SchemeType::Turn);
    relay.then(|| format!("{}:{}", url.host, url.port))
}

/// Random text of characters that ICE allows, four bits a character.
fn random_text(bytes: usize) -> String {
    (0..bytes)
        .map(|_| format!("{:02x}", rand::random::<u8>()))
        .collect()
}

fn has_aes_instructions() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}
