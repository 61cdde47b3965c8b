//! How two peers carry messages to each other, whatever carries them.
//!
//! A *transport* opens *connections*; a connection is two message channels to one neighbour and is
//! all that a lane of a link is made of. The owner talks to a connection through [`Connection`] and
//! hears from all of its connections on one [`Events`] queue. Nothing here knows chunks, links or
//! the topology, and no type of any WebRTC library crosses this seam: session descriptions are
//! strings, messages are [`Bytes`].
//!
//! Two implementations, one conformance test (`tests/transport.rs`): [`webrtc`] for the network and
//! [`memory`] for tests and simulations in one process.

use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use protocol::id::{Fingerprint, LinkId};
use tokio::sync::mpsc;

pub mod memory;
pub mod webrtc;

/// Largest message that a connection carries, bytes, whatever its channel. Measured: messages of
/// this size keep the deepest hop of a tree of browsers at 12 ms; 64 KiB cost 66 ms.
pub const MAX_MESSAGE: usize = 16_384;

/// How much one channel of one connection may hold that the other side has not acknowledged,
/// bytes; past it a send answers [`SendError::Full`]. About one SCTP receive window (1 MiB), so that
/// it never limits the rate; the owner keeps well below it, in media time.
pub const SEND_BUFFER: usize = 1 << 20;

/// Longest session description or candidate that is looked at, bytes. A browser's offer with two
/// data channels is about 1 KiB; 64 KiB leaves room for a hundred candidates.
const MAX_DESCRIPTION: usize = 64 << 10;

/// Which of a connection's two channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Ordered and reliable; label `control`.
    Control,
    /// Reliable but in any order, so that one lost packet holds nothing else back; label `media`.
    Media,
}

impl Channel {
    /// The data channel's label, by which the answering side tells the two apart.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Media => "media",
        }
    }

    /// The channel with this label, if it is one of the two.
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::Control, Self::Media]
            .into_iter()
            .find(|channel| channel.label() == label)
    }
}

/// Which end of the set-up a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Makes the offer and creates both channels.
    Offer,
    /// Answers an offer, and receives the channels by their labels.
    Answer {
        /// The other side's session description.
        offer: String,
    },
}

/// What a connection tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportEvent {
    /// The offer or answer to give to the other side. Comes first, at once; candidates follow.
    LocalDescription(String),
    /// One address to give to the other side: the JSON text of an `RTCIceCandidateInit`, as a
    /// browser's `JSON.stringify(event.candidate)` gives it and its `addIceCandidate` takes it.
    LocalCandidate(String),
    /// Both channels are open. No message comes before this.
    Open,
    /// A message of the other side, at most [`MAX_MESSAGE`] bytes.
    Message(Channel, Bytes),
    /// The media buffer fell to the level of [`Connection::set_low_water`] or below after having been above.
    Drained,
    /// The connection ended, for the reason given in words; the last event. Not sent after the
    /// owner's own [`Connection::close`], which says as much when it returns.
    Closed(String),
}

/// Where connections report. When the owner does not read it, the connections wait (and through
/// them the other sides) instead of growing memory.
pub type Events = mpsc::Sender<(LinkId, TransportEvent)>;

/// A STUN or TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:host[:port]` or `turn:host[:port][?transport=udp]`.
    pub urls: Vec<String>,
    /// TURN only.
    pub username: Option<String>,
    /// TURN only.
    pub credential: Option<String>,
}

/// Why a connection could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The certificate given cannot be used. The caller makes a new one and loses its fingerprint.
    #[error("unusable certificate: {0}")]
    Certificate(String),
    /// The socket could not be made. A person must act: the port is taken, or there is no network.
    #[error("{what}: {source}")]
    Socket {
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The other side's session description makes no sense. Its own doing: give the link up.
    #[error("session description refused: {0}")]
    Description(String),
    /// The other side's candidate makes no sense. Its own doing; the connection lives on.
    #[error("candidate refused: {0}")]
    Candidate(String),
    /// The connection has ended.
    #[error("the connection is closed")]
    Closed,
    /// The library below refused, for reasons of its own.
    #[error("setting up: {0}")]
    Setup(String),
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The channel holds [`SEND_BUFFER`] bytes already. Not a failure: the other side is slow.
    #[error("the send buffer is full")]
    Full,
    /// The connection is not open any more, or not yet.
    #[error("the connection is not open")]
    Closed,
    /// The message is larger than [`MAX_MESSAGE`]: a mistake of the caller.
    #[error("a message of {0} bytes is larger than {MAX_MESSAGE}")]
    TooLarge(usize),
}

/// Opens connections, all under one identity.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// The fingerprint that this side's session descriptions carry.
    fn fingerprint(&self) -> Fingerprint;

    /// Sets the servers to ask for addresses, and the address under which a router forwards our
    /// port to us, for connections opened from now on.
    fn set_ice_servers(&self, servers: Vec<IceServer>, external_address: Option<IpAddr>);

    /// Starts a connection. It goes on by itself and reports to `events`; it ends when the value
    /// returned is dropped.
    async fn open(
        &self,
        link: LinkId,
        role: Role,
        events: Events,
    ) -> Result<Box<dyn Connection>, TransportError>;
}

/// One connection, as its owner holds it. Dropping it closes it.
#[async_trait]
pub trait Connection: Send + Sync {
    /// Hands over the answer to our offer.
    async fn set_answer(&self, sdp: String) -> Result<(), TransportError>;

    /// Hands over one of the other side's addresses: [`TransportEvent::LocalCandidate`]'s text, or
    /// `null` for the end of them. May come before the answer.
    async fn add_candidate(&self, candidate: String) -> Result<(), TransportError>;

    /// Takes a message to send, or says at once why not. Never waits for the network.
    async fn try_send(&self, channel: Channel, message: &Bytes) -> Result<(), SendError>;

    /// Media bytes handed over that the other side has not acknowledged.
    async fn media_buffered(&self) -> usize;

    /// Sets the level, in bytes, whose undercutting is told by [`TransportEvent::Drained`], each time. None is told of
    /// without one, which is how a connection begins: with 64 children, 30 pictures a second and nobody who waits for it, to
    /// be told was a fifth of all that a relay did (measured).
    async fn set_low_water(&self, bytes: Option<usize>);

    /// Ends the connection: tells the other side, and returns when nothing of it is left here.
    async fn close(self: Box<Self>);
}
