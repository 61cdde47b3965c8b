//! What peers and the supervisor say to each other over the WebSocket: JSON texts, one message each, under
//! the paper's names where the paper has one (§III.C.1).
//!
//! A conversation begins with `COLLECT_PEER_INFO_REQUEST` and its response; nothing else is taken before. The
//! `AUTHENTICATION_…` messages come next: [`crate::security::auth`] has their order.
//! Then everything is asynchronous: neither side waits for an answer before it says the next thing.

use serde::{Deserialize, Serialize};

use crate::id::{Fingerprint, KeyFingerprint, LinkId, PeerId, SignerKey, StreamId};
use crate::media::{Codec, Track};
use crate::security::authority::Endorsement;
use crate::security::base64::Base64;
use crate::security::suite::{PublicKey, Suite};
use crate::time::ClockMap;

/// Longest text either side takes, bytes. A session description is 2 KB at most; a list of 100 streams 40 KB.
pub const MAX_TEXT: usize = 64 * 1024;
/// Bytes read from a connection at a time, and kept as room by either end. Most messages are shorter; the libraries' 128 KiB
/// would be a supervisor's largest cost of a peer.
pub const READ_BUFFER: usize = 8 * 1024;
/// Longest session description or candidate, bytes.
pub const MAX_DESCRIPTION: usize = 16 * 1024;
/// Longest name of a stream or a peer, bytes.
pub const MAX_NAME: usize = 100;
/// Encoders that are told of for one stream. Eleven are known.
pub const MAX_TRIED: usize = 16;
/// Longest words on how one did, bytes.
pub const MAX_OUTCOME: usize = 200;
/// Streams of one broadcaster whose encoding is told of. As many as it may have, by default.
pub const MAX_ENCODINGS: usize = 16;
/// Most suites a peer lists. Guess: there are two, and there may be more one day.
const MAX_SUITES: usize = 8;
/// Slow children that one report names. Guess: there is another one in two seconds.
pub const MAX_SLOW: usize = 8;
/// The signalling versions this crate speaks.
pub const VERSIONS: VersionRange = VersionRange { min: 1, max: 1 };

/// The protocol versions one side speaks, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    /// The oldest.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

impl VersionRange {
    /// The newest version both sides speak, if there is one.
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min && newest >= other.min).then_some(newest)
    }
}

/// What a peer is (the paper's componentType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// The source of streams.
    Broadcaster,
    /// An always-on forward relay point.
    Relay,
    /// A viewer, in a browser or headless.
    Receiver,
}

/// Another peer, as the supervisor introduces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its name.
    pub peer: PeerId,
    /// What it is.
    pub component: Component,
    /// The DTLS certificate it must show.
    pub fingerprint: Fingerprint,
}

/// Number of an order: a later one counts, an earlier one is stale. A supervisor that starts again uses a
/// higher term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Order {
    /// Which run of the supervisor: its start, in seconds since 1970.
    pub term: u64,
    /// Which order of the run.
    pub sequence: u64,
}

/// How a stream's peers are arranged (paper §III.A; relay-first is ours).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Topology {
    /// Viewers one after another, in order of arrival.
    LinkedList,
    /// A complete tree; the paper's binary tree has arity 2.
    Tree {
        /// Most children of one peer, at least one.
        #[serde(default = "binary", deserialize_with = "at_least_one")]
        arity: u8,
    },
    /// Relays at the top within their uplinks, viewers below them, and below viewers only when relays are full.
    #[default]
    RelayFirst,
}

/// The paper's.
const fn binary() -> u8 {
    2
}

fn at_least_one<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    let arity = i64::deserialize(from)?;
    u8::try_from(arity)
        .ok()
        .filter(|&arity| arity > 0)
        .ok_or_else(|| {
            serde::de::Error::custom(format!("arity is {arity}, but must be from 1 to 255"))
        })
}

/// One track of a stream, as the list of streams shows it: enough to say "this browser cannot play it".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamTrack {
    /// Video or audio.
    pub track: Track,
    /// How it is encoded.
    pub codec: Codec,
}

/// A stream, as the list of streams shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// The stream.
    pub stream: StreamId,
    /// Its name, unique at this supervisor; for people, never a key.
    pub name: String,
    /// Its tracks.
    pub tracks: Vec<StreamTrack>,
    /// Its rate, kbit/s.
    pub kbps: u32,
    /// Who may watch it.
    #[serde(default)]
    pub access: Access,
    /// Whether its broadcaster is connected.
    pub live: bool,
    /// Peers that watch it now (receivers only).
    pub viewers: u32,
    /// Whether its viewers may be told to fail, as a test.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub allow_failures: bool,
}

/// A STUN or TURN server, as `RTCConfiguration.iceServers` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:host:port` or `turn:host:port?transport=udp`.
    pub urls: Vec<String>,
    /// TURN: expiry and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// TURN: HMAC over the user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// How a member of a stream fares; sent every second or two while it watches or relays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Peers from the broadcaster down to this one: a child of the broadcaster has 1.
    pub depth: u16,
    /// Children it feeds.
    pub children: u16,
    /// Capture to picture (or, for a relay, to arrival), milliseconds; absent until clocks agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u32>,
    /// Media held ahead of the play head, milliseconds; receivers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<u32>,
    /// Stalls since the first picture.
    #[serde(default)]
    pub stalls: u32,
    /// Their total length, milliseconds.
    #[serde(default)]
    pub stalled_ms: u64,
    /// Media received since the last report, kbit/s.
    #[serde(default)]
    pub down_kbps: u32,
    /// Media sent since the last report, kbit/s.
    #[serde(default)]
    pub up_kbps: u32,
    /// Media sent since it has its part in the stream, bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_up: u64,
    /// The most children it had since the last report while media waited for most of them, more than a burst; none if it fed them
    /// in time.
    #[serde(default, skip_serializing_if = "is_none")]
    pub too_many: u16,
    /// Children that are behind while most are not: it is they who are slow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slow: Vec<PeerId>,
}

const fn is_none(n: &u16) -> bool {
    *n == 0
}

const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// How a viewer fails when it is told to, as a test of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Failure {
    /// It leaves, and says so: a tab that is closed.
    Leave,
    /// It is gone from one moment to the next, as a process that is killed: its socket closes, its links fall silent.
    Kill,
    /// It does nothing any more, and nothing tells that it is gone: a process that stands still.
    Freeze,
}

/// How a broadcaster encodes one of its streams.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoding {
    /// The stream's name.
    pub stream: String,
    /// The encoder at work; none where nothing is encoded, as of a film.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
    /// What was tried, in order. The last one that works is at work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<TriedEncoder>,
    /// Whether the camera shows nothing; none where there is no camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera_away: Option<bool>,
}

/// What became of an encoder that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriedEncoder {
    /// Its name.
    pub encoder: String,
    /// Whose it is, in words.
    pub of: String,
    /// Whether what it made was right.
    pub works: bool,
    /// How well it did, or why not, in words.
    pub outcome: String,
}

impl Encoding {
    fn check(&self) -> Result<(), SignalError> {
        bounded("stream", &self.stream, MAX_NAME)?;
        bounded("encoder", self.encoder.as_deref().unwrap_or(""), MAX_NAME)?;
        at_most("tried", self.tried.len(), MAX_TRIED)?;
        self.tried.iter().try_for_each(|tried| {
            bounded("encoder", &tried.encoder, MAX_NAME)?;
            bounded("of", &tried.of, MAX_NAME)?;
            bounded("outcome", &tried.outcome, MAX_OUTCOME)
        })
    }
}

/// How the board is that a broadcaster or a relay runs on; what cannot be known is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxHealth {
    /// The board, as its firmware calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// The hottest sensor, degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f32>,
    /// Whether the processor is slowed down because of heat now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<bool>,
    /// Whether the power supply is too weak now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_voltage: Option<bool>,
    /// Whether it was too weak at any time since the board started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_voltage_once: Option<bool>,
    /// Memory that could be used, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_free: Option<u64>,
    /// Memory there is, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total: Option<u64>,
    /// Free on the disk that holds what the service keeps, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free: Option<u64>,
    /// Size of that disk, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_total: Option<u64>,
    /// Processes that want to run, mean over a minute, as a share of the processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<f32>,
    /// Wi-Fi signal, dBm; none on a cable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wifi_dbm: Option<i32>,
    /// Since the board started, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_s: Option<u64>,
    /// How a broadcaster encodes its streams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encodings: Vec<Encoding>,
}

/// What a peer says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FromPeer {
    /// Who it is; the first message of a peer.
    CollectPeerInfoResponse(PeerInfo),
    /// It has checked the supervisor's key, and goes on.
    AuthenticationResponse {},
    /// The number computed from the two of the challenge.
    AuthenticationChallengeResponse {
        /// Sealed to the supervisor's handshake key.
        answer: Base64,
    },
    /// A broadcaster offers a stream. Answered by `STREAM_REGISTERED` or `STREAM_REFUSED`.
    RegisterStream(Registration),
    /// How the broadcaster's clock maps to the supervisor's, now; passed on to the stream's members.
    StreamClock {
        /// The stream.
        stream: StreamId,
        /// The map.
        clock: ClockMap,
    },
    /// The broadcaster ends a stream for good.
    EndStream {
        /// The stream.
        stream: StreamId,
    },
    /// Asks for `STREAMS` now, and to be told of every change from now on.
    ListStreams,
    /// Asks for a place in a stream; or, with `parent`, says that it has one (after the supervisor came
    /// back, or a relay's own report), which the supervisor adopts where it can.
    Join {
        /// The stream.
        stream: StreamId,
        /// The parent that feeds it now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<PeerId>,
        /// What lets it watch a stream that is not for everybody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invitation: Option<String>,
    },
    /// Gives the place up.
    Leave {
        /// The stream.
        stream: StreamId,
    },
    /// Its parent is gone, or refused it; asks for another. Stale unless `order` is the newest one.
    ParentLost {
        /// The stream.
        stream: StreamId,
        /// Who.
        parent: PeerId,
        /// The order that named that parent.
        order: Order,
        /// What happened, in words.
        reason: String,
    },
    /// Its parent was lost to it, and one of its backup parents feeds it already. Stale unless `order` is the newest
    /// one.
    TookOver {
        /// The stream.
        stream: StreamId,
        /// Who feeds it from now on.
        parent: PeerId,
        /// Who did before.
        lost: PeerId,
        /// The order that named that parent.
        order: Order,
    },
    /// A backup parent is silent, or cannot be reached; asks for another.
    BackupLost {
        /// The stream.
        stream: StreamId,
        /// Who.
        backup: PeerId,
    },
    /// A parent passed on something forged. An accusation, and no proof: anybody can make it.
    Accuse {
        /// The stream.
        stream: StreamId,
        /// Who passed it on.
        parent: PeerId,
        /// What it was, in words.
        what: String,
    },
    /// A child's offer to its parent, passed on as it is.
    LinkOffer(LinkDescription),
    /// The parent's answer.
    LinkAnswer(LinkDescription),
    /// An ICE candidate of either, trickled: `RTCIceCandidateInit` as JSON text.
    LinkCandidate(LinkDescription),
    /// The peer will not have this link.
    LinkRefused(LinkDescription),
    /// How it fares in one stream.
    Report {
        /// The stream.
        stream: StreamId,
        /// The figures.
        report: Report,
    },
    /// How the board is that it runs on.
    Health(BoxHealth),
    /// Asks for the supervisor's time; also the peer's heartbeat.
    TimeRequest {
        /// The peer's own time, microseconds, to be given back.
        sent_us: u64,
    },
}

/// Who a peer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// What it speaks.
    pub versions: VersionRange,
    /// Its name, for as long as its process or tab lives.
    pub peer: PeerId,
    /// What it is.
    pub component: Component,
    /// The DTLS certificate it shows on every link.
    pub fingerprint: Fingerprint,
    /// What it can send over all streams, kbit/s. Children are derived from it.
    pub uplink_kbps: u32,
    /// Whether it relays at all: a receiver on a metered connection does not.
    pub relays: bool,
    /// Program and version, for people.
    pub software: String,
    /// What its owner calls it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its public key, of the suite that both like best: what it will prove to have the private one to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PublicKey>,
    /// The suites it can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suites: Vec<Suite>,
    /// What its chunks are signed with; broadcasters only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<SignerKey>,
}

/// A broadcaster's offer of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The stream, kept by the broadcaster for good.
    pub stream: StreamId,
    /// Its name.
    pub name: String,
    /// Its tracks.
    pub tracks: Vec<StreamTrack>,
    /// Its rate, kbit/s.
    pub kbps: u32,
    /// The epoch that runs already, if one does: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_epoch: Option<u32>,
    /// How its peers are to be arranged; the supervisor's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// Who may watch.
    #[serde(default)]
    pub access: Access,
    /// The stream key that its chunks are sealed with now: the next one must have another number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_key: Option<u8>,
    /// Whether its viewers may be told to fail, as a test: never for a show that matters.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub allow_failures: bool,
}

/// Who may watch a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everybody who reaches the supervisor.
    #[default]
    Public,
    /// Those who have an invitation (see [`crate::security::token`]).
    Invited,
}

/// One step of setting up a link, carried between its two ends by the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDescription {
    /// The other end: the recipient in what a peer says, the sender in what the supervisor says.
    pub peer: PeerId,
    /// The link.
    pub link: LinkId,
    /// SDP, an `RTCIceCandidateInit` as JSON text, or words, by the message's type. At most
    /// [`MAX_DESCRIPTION`] bytes.
    pub body: String,
}

/// Why a peer, a stream or a message is refused: a word for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Refusal {
    /// No common protocol version.
    Version,
    /// Not a message, too long, or out of order.
    BadMessage,
    /// The PeerID is in use.
    PeerIdInUse,
    /// Somebody else's stream, or its name is taken.
    StreamTaken,
    /// No such stream.
    NoSuchStream,
    /// Not allowed to this kind of peer.
    NotAllowed,
    /// Too many peers, streams or messages.
    TooMany,
    /// It did not keep up with what it was told, or said nothing for too long.
    TooSlow,
    /// It has no key of a suite that is taken here.
    Suite,
    /// It did not prove to hold the key it showed.
    NotAuthenticated,
    /// Its key is not known here, or not for this role; it needs a join token.
    NotEnrolled,
    /// It was put out.
    Revoked,
    /// The stream is for those who are invited, and it is not.
    NotInvited,
}

/// What the supervisor says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ToPeer {
    /// Asks who it is; the first message on every socket.
    CollectPeerInfoRequest {
        /// What the supervisor speaks.
        versions: VersionRange,
        /// Program and version, for people.
        software: String,
        /// The suites it takes, the one it likes best first; none if it does not authenticate.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        suites: Vec<Suite>,
    },
    /// The supervisor's public key, and its authority's word for it.
    AuthenticationRequest(Endorsement),
    /// Two random numbers.
    AuthenticationChallengeRequest {
        /// Sealed to the peer's public key.
        nonce: Base64,
    },
    /// The peer is in.
    PeerAccepted {
        /// The version both speak from now on.
        version: u16,
        /// For its links.
        ice_servers: Vec<IceServer>,
        /// The address under which peers on the supervisor's host are seen from outside, if configured.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external_address: Option<String>,
        /// Supervisor's time, microseconds since 1970.
        supervisor_us: i64,
        /// The peer's certificate (see [`crate::security::certificate`]), if it was authenticated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate: Option<Base64>,
    },
    /// The peer, or something it said, is refused; the socket closes after this.
    PeerRefused {
        /// Why, for programs.
        refusal: Refusal,
        /// Why, for people.
        words: String,
    },
    /// STUN and TURN servers with fresh credentials, for links made from now on.
    IceServers {
        /// As in `PEER_ACCEPTED`.
        ice_servers: Vec<IceServer>,
        /// As in `PEER_ACCEPTED`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external_address: Option<String>,
    },
    /// All streams there are, or, in a long list, some.
    Streams {
        /// The list.
        streams: Vec<StreamInfo>,
        /// Whether these come on top of those of the message before.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        more: bool,
    },
    /// A stream is new, or something of it changed.
    StreamAnnounced {
        /// It.
        info: StreamInfo,
    },
    /// A stream is gone for good.
    StreamEnded {
        /// It.
        stream: StreamId,
    },
    /// The broadcaster may send under this epoch.
    StreamRegistered {
        /// The stream.
        stream: StreamId,
        /// Greater than any before it, or the one that runs.
        epoch: u32,
        /// The authority's word for it (see [`crate::security::grant`]).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<Base64>,
    },
    /// A stream's key; its broadcaster seals with it from now on, everybody else checks with it.
    StreamKey {
        /// The stream.
        stream: StreamId,
        /// The key's number in chunk headers.
        key_id: u8,
        /// The epoch that runs: what is of an earlier one is not live, whoever signed it.
        #[serde(default)]
        epoch: u32,
        /// Stream, number and key, sealed to the peer's public key.
        sealed: Base64,
    },
    /// The peer's certificate, in time before the last one ends.
    Certificate {
        /// As in `PEER_ACCEPTED`.
        certificate: Base64,
    },
    /// This peer was put out: close whatever link there is to it.
    Expel {
        /// Who.
        peer: PeerId,
    },
    /// Whoever has this key was put out while no supervisor ran: close whatever link there is to it.
    ExpelKey {
        /// As its certificate names it.
        key: KeyFingerprint,
    },
    /// A registration or a join is refused; the socket stays.
    StreamRefused {
        /// The stream.
        stream: StreamId,
        /// Why, for programs.
        refusal: Refusal,
        /// Why, for people.
        words: String,
    },
    /// Take this parent; without one, wait (the stream is away, or the tree is full).
    Placement {
        /// The stream.
        stream: StreamId,
        /// The order's number.
        order: Order,
        /// The parent.
        parent: Option<Neighbour>,
    },
    /// Who is to feed this peer if its parent is lost: it keeps connections to them, best first. Replaces what was
    /// said before.
    Backups {
        /// The stream.
        stream: StreamId,
        /// The order's number.
        order: Order,
        /// The backup parents.
        backups: Vec<Neighbour>,
    },
    /// This peer is about to subscribe, or may have to: let it.
    ExpectChild {
        /// The stream.
        stream: StreamId,
        /// The child.
        child: Neighbour,
    },
    /// This peer has no business here any more.
    DropChild {
        /// The stream.
        stream: StreamId,
        /// The child.
        child: PeerId,
    },
    /// The member has no place in the stream any more: forget it, children included.
    Release {
        /// The stream.
        stream: StreamId,
        /// The order's number.
        order: Order,
    },
    /// Fail, as a test of the others. A viewer does so if the stream's own entry in the list of streams allows it, and
    /// nobody else.
    Fail {
        /// The stream it watches.
        stream: StreamId,
        /// How.
        how: Failure,
    },
    /// The broadcaster's clock.
    StreamClock {
        /// The stream.
        stream: StreamId,
        /// The map.
        clock: ClockMap,
    },
    /// See [`FromPeer::LinkOffer`].
    LinkOffer(LinkDescription),
    /// See [`FromPeer::LinkAnswer`].
    LinkAnswer(LinkDescription),
    /// See [`FromPeer::LinkCandidate`].
    LinkCandidate(LinkDescription),
    /// See [`FromPeer::LinkRefused`]; also said when the other end is not connected.
    LinkRefused(LinkDescription),
    /// Somebody hears nothing of this peer: it is to say a `TIME_REQUEST`, now.
    AreYouThere,
    /// Answer to `TIME_REQUEST`.
    TimeResponse {
        /// The request's own.
        sent_us: u64,
        /// Supervisor's time, microseconds since 1970.
        supervisor_us: i64,
    },
}

/// Why a text is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// Longer than [`MAX_TEXT`].
    #[error("a message of {0} bytes, but at most {MAX_TEXT} are allowed")]
    TooLong(usize),
    /// Not JSON, no known type, or a field amiss.
    #[error("not a message of this protocol: {0}")]
    Malformed(String),
    /// A field is longer than it may be.
    #[error("{field} is {got} long, but may be {most}")]
    Field {
        /// Which.
        field: &'static str,
        /// Bytes, or items, that there are.
        got: usize,
        /// Bytes, or items, allowed.
        most: usize,
    },
}

fn parse<'a, M: Deserialize<'a>>(text: &'a str) -> Result<M, SignalError> {
    if text.len() > MAX_TEXT {
        return Err(SignalError::TooLong(text.len()));
    }
    serde_json::from_str(text).map_err(|e| SignalError::Malformed(e.to_string()))
}

fn bounded(field: &'static str, text: &str, most: usize) -> Result<(), SignalError> {
    at_most(field, text.len(), most)
}

fn at_most(field: &'static str, got: usize, most: usize) -> Result<(), SignalError> {
    if got > most {
        Err(SignalError::Field { field, got, most })
    } else {
        Ok(())
    }
}

impl FromPeer {
    /// Reads one text, and checks the bounds that the encoding alone does not.
    pub fn parse(text: &str) -> Result<Self, SignalError> {
        let message: Self = parse(text)?;
        match &message {
            Self::CollectPeerInfoResponse(info) => {
                bounded("software", &info.software, MAX_NAME)?;
                bounded("name", info.name.as_deref().unwrap_or(""), MAX_NAME)?;
                at_most("suites", info.suites.len(), MAX_SUITES)?;
            }
            Self::RegisterStream(registration) => bounded("name", &registration.name, MAX_NAME)?,
            Self::ParentLost { reason, .. } => bounded("reason", reason, MAX_NAME * 2)?,
            Self::Accuse { what, .. } => bounded("what", what, MAX_NAME * 2)?,
            Self::Report { report, .. } => at_most("slow", report.slow.len(), MAX_SLOW)?,
            Self::Health(health) => {
                bounded("board", health.board.as_deref().unwrap_or(""), MAX_NAME)?;
                at_most("encodings", health.encodings.len(), MAX_ENCODINGS)?;
                health.encodings.iter().try_for_each(Encoding::check)?;
            }
            Self::Join { invitation, .. } => {
                let text = invitation.as_deref().unwrap_or("");
                bounded("invitation", text, crate::security::token::MAX_INVITATION)?;
            }
            Self::LinkOffer(d)
            | Self::LinkAnswer(d)
            | Self::LinkCandidate(d)
            | Self::LinkRefused(d) => {
                bounded("body", &d.body, MAX_DESCRIPTION)?;
            }
            _ => {}
        }
        Ok(message)
    }

    /// Writes one text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("messages hold nothing that JSON cannot")
    }
}

impl ToPeer {
    /// Reads one text.
    pub fn parse(text: &str) -> Result<Self, SignalError> {
        parse(text)
    }

    /// Writes one text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("messages hold nothing that JSON cannot")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_the_papers_names() {
        let text = r#"{"type":"COLLECT_PEER_INFO_RESPONSE","versions":{"min":1,"max":1},"peer":"000102030405060708090a0b0c0d0e0f","component":"relay","fingerprint":"00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F","uplink_kbps":100000,"relays":true,"software":"edge-relay 0.1.0"}"#;
        let message = FromPeer::parse(text).expect("a message");
        assert_eq!(message.to_text(), text);
    }

    /// Golden vectors: what every release so far says, and takes. A line for each message.
    const FROM_PEER: &str = include_str!("signal/from_peer.jsonl");
    const TO_PEER: &str = include_str!("signal/to_peer.jsonl");

    #[test]
    fn a_board_that_tells_too_much_of_its_encoders_is_refused() {
        let tried = TriedEncoder {
            encoder: "vp8enc".into(),
            of: "software".into(),
            works: true,
            outcome: "x".repeat(MAX_OUTCOME),
        };
        let parsed = |streams: usize, tried: TriedEncoder, times: usize| {
            let encoding = Encoding {
                tried: vec![tried; times],
                ..Encoding::default()
            };
            let encodings = vec![encoding; streams];
            let health = BoxHealth {
                encodings,
                ..BoxHealth::default()
            };
            FromPeer::parse(&FromPeer::Health(health).to_text()).is_ok()
        };
        assert!(parsed(2, tried.clone(), MAX_TRIED));
        assert!(!parsed(1, tried.clone(), MAX_TRIED + 1));
        assert!(!parsed(MAX_ENCODINGS + 1, tried.clone(), 0));
        let outcome = "x".repeat(MAX_OUTCOME + 1);
        assert!(!parsed(1, TriedEncoder { outcome, ..tried }, 1));
    }

    #[test]
    fn every_message_is_written_as_it_always_was() {
        for line in FROM_PEER.lines() {
            assert_eq!(FromPeer::parse(line).expect(line).to_text(), line);
        }
        for line in TO_PEER.lines() {
            assert_eq!(ToPeer::parse(line).expect(line).to_text(), line);
        }
    }

    /// The names that no vector has, of those that the answer to an unknown one lists.
    fn without_a_vector(error: &SignalError, vectors: &str) -> Vec<String> {
        let words = error.to_string();
        let names = words.split('`').skip(3).step_by(2);
        names
            .filter(|name| !vectors.contains(&format!("{{\"type\":\"{name}\"")))
            .map(ToOwned::to_owned)
            .collect()
    }

    #[test]
    fn there_is_a_vector_for_every_message() {
        let unknown = r#"{"type":"MAKE_COFFEE"}"#;
        let from_peer = FromPeer::parse(unknown).expect_err("no such message");
        assert_eq!(without_a_vector(&from_peer, FROM_PEER), [""; 0]);
        let to_peer = ToPeer::parse(unknown).expect_err("no such message");
        assert_eq!(without_a_vector(&to_peer, TO_PEER), [""; 0]);
    }

    #[test]
    fn the_newest_common_version_is_spoken_or_none() {
        let range = |min, max| VersionRange { min, max };
        assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
        assert_eq!(range(1, 1).common(range(2, 5)), None);
    }

    #[test]
    fn an_unknown_message_is_refused_in_words() {
        let error = FromPeer::parse(r#"{"type":"MAKE_COFFEE"}"#)
            .expect_err("no such message")
            .to_string();
        assert!(error.contains("MAKE_COFFEE"), "{error}");
    }

    #[test]
    fn a_description_beyond_its_bound_is_refused() {
        let body = "x".repeat(MAX_DESCRIPTION + 1);
        let message = FromPeer::LinkOffer(LinkDescription {
            peer: PeerId::from_bytes([0; 16]),
            link: LinkId(1),
            body,
        });
        assert!(matches!(
            FromPeer::parse(&message.to_text()),
            Err(SignalError::Field { field: "body", .. })
        ));
    }
}
