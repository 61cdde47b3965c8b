//! The supervisor's machine: who is here, which streams there are, who feeds whom (paper §III.A, §III.C.1).
//!
//! Keeps a session for each socket, the register of streams, and a [`Forest`] that decides the topology; turns
//! the forest's changes into orders to peers. What it knows of the topology is soft: after a restart it is
//! relearned from what the peers say, and nobody who is well is moved.
//!
//! There is no socket here and no clock: `supervisor` carries texts in and out, and wall time is a
//! [`ClockMap`] from the machine's own.

mod admission;
mod attempts;
mod backups;
mod deadlines;
mod happenings;
mod history;
mod keys;
mod limits;
mod links;
mod members;
mod peers;
mod relearn;
mod streams;
#[cfg(test)]
mod tests;
mod totals;
mod view;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::id::{KeyFingerprint, PeerId, StreamId};
use crate::security::boxes::KeyTask;
use crate::security::secret::StreamKey;
use crate::signal::{Access, FromPeer, IceServer, Order, Refusal, ToPeer, Topology};
use crate::time::{ClockMap, Time};
use crate::topology::{Change, Forest};
use admission::Admissions;
pub use admission::{MAX_PUT_OUT, Petition, RandomSource, Security};
use attempts::Attempts;
pub use attempts::network;
use backups::Backups;
use deadlines::{Deadline, Deadlines};
pub use happenings::{Happening, What};
pub use history::{MOMENT, MOMENTS_KEPT, Moment};
use peers::{Peer, Socket};
use relearn::HeldJoin;
use streams::Stream;
pub use totals::{LATENCY_BOUNDS_MS, Totals};
pub use view::{MemberView, PeerView, State, StreamView};
pub use wishes::{Wish, WishError};

/// Time a peer has to say who it is. Guess: ten round trips over a bad mobile link.
pub const INTRODUCTION_LIMIT: Duration = Duration::from_secs(10);
/// Silence after which a peer is gone: three of its heartbeats, one `TIME_REQUEST` each 2 s.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(6);
/// Silence after which a peer is given no more children and backs nobody up: one heartbeat, and some. Nobody stands below
/// the last of a tree to notice that it is dead, and it is they who get the children of others.
pub const QUIET_LIMIT: Duration = Duration::from_millis(2_500);
/// A viewer that a neighbour has lost is asked whether it is there; one that has not answered by then has no place any more. A
/// child is at its backup after 200 ms, so that a page that is busy for longer has lost its children already. Guess: a round
/// trip over a mobile link, and a page that is busy for half a second.
pub const ANSWER_LIMIT: Duration = Duration::from_millis(700);
/// A peer whose socket is closed keeps its places for this long. Guess: a reconnection, with one retry.
pub const AWAY_GRACE: Duration = Duration::from_secs(5);
/// A stream whose broadcaster is away ends after this. Guess: a board that reboots.
pub const STREAM_GRACE: Duration = Duration::from_secs(60);
/// A relay that feeds nobody leaves the stream after this. Guess: a viewer who reloads the page.
pub const IDLE_GRACE: Duration = Duration::from_secs(10);
/// A parent that was reported lost is avoided for this long. Guess: longer than noticing that it is gone.
pub const SUSPICION: Duration = Duration::from_secs(10);
/// How long a claimed parent may take to come back. Guess: peers reconnect within a few seconds.
pub const CLAIM_GRACE: Duration = Duration::from_secs(10);
/// After a start, claims are believed even beyond what the parent can feed, and joins of unknown streams held.
pub const RELEARNING: Duration = STREAM_GRACE;
/// A child that was moved has this long to settle at its new parent before the old one lets it go. Guess:
/// setting up a link takes 1 s, on a bad day.
pub const SETTLING: Duration = Duration::from_secs(5);
/// Pause between announcements of a stream that differ only in its viewers, and between its clocks.
const ANNOUNCE_PAUSE: Duration = Duration::from_secs(1);
/// Why a broadcaster does not get on the air.
const BARRED: &str = "the operator has ended this stream, and not yet allowed it again";
/// From the start until the streams' keys are changed, where somebody was put out before it. Guess: longer than the pause after
/// which peers look for their supervisor again.
const MEMBERS_RETURN: Duration = Duration::from_secs(30);
/// Pause between two tries to place those who wait.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// One WebSocket, by a number its carrier chose; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u64);

/// Gives the ICE servers for one peer at one moment (supervisor's time, microseconds since 1970): the
/// credentials of TURN servers run out.
pub type IceServers = Box<dyn Fn(PeerId, i64) -> Vec<IceServer> + Send>;

/// What the operator decides.
pub struct Config {
    /// Which run of the supervisor, greater than those of all before: its start, in seconds since 1970, where no clock went back.
    pub term: u64,
    /// The last epoch of each stream that was issued before this start.
    pub epochs: BTreeMap<StreamId, u32>,
    /// Program and version, for people.
    pub software: String,
    /// From the machine's time to the time of day.
    pub wall: ClockMap,
    /// STUN and TURN servers.
    pub ice: IceServers,
    /// How long the credentials in it are good; none if they are for good, or there are none.
    pub ice_lifetime: Option<Duration>,
    /// The address under which peers beside the supervisor are seen from outside. Told to those who come from a
    /// private address, or from this one.
    pub external_address: Option<IpAddr>,
    /// For streams that do not ask for one.
    pub topology: Topology,
    /// Whether members are given backup parents. False in experiments that show what they are good for.
    pub backups: bool,
    /// What is too much.
    pub limits: Limits,
    /// What proves peers, certifies them, and seals streams. None: everybody is who he says he is, as in
    /// simulations.
    pub security: Option<Security>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("term", &self.term)
            .field("software", &self.software)
            .finish_non_exhaustive()
    }
}

/// What is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Peers connected at once.
    pub peers: usize,
    /// Streams at once.
    pub streams: usize,
    /// Streams of one broadcaster.
    pub streams_per_broadcaster: usize,
    /// Streams one peer may watch or relay.
    pub places_per_peer: usize,
    /// Messages a second from a receiver, in the long run; relays and broadcasters, who answer all their
    /// children, may say ten times as much.
    pub messages_per_s: u32,
    /// Messages from a receiver at once.
    pub message_burst: u32,
    /// Handshakes a second from one address (an IPv6 /64 is one), in the long run: each costs the supervisor work
    /// with a private key.
    pub handshakes_per_s: u32,
    /// Handshakes from one address at once.
    pub handshake_burst: u32,
}

impl Default for Limits {
    /// All guesses: ten thousand viewers are the aim, and setting up a link takes some twenty messages.
    fn default() -> Self {
        Self {
            peers: 10_000,
            streams: 1_000,
            streams_per_broadcaster: 16,
            places_per_peer: 64,
            messages_per_s: 200,
            message_burst: 400,
            handshakes_per_s: 10,
            handshake_burst: 256,
        }
    }
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Input<'a> {
    /// A socket is open, from this address if that is known.
    Connected(SocketId, Option<IpAddr>),
    /// The answer to [`Output::Task`]; none if it cannot be done.
    TaskDone(u64, Option<Zeroizing<Vec<u8>>>),
    /// The answer to [`Output::Admit`].
    Admitted(SocketId, Result<(), (Refusal, String)>),
    /// A text came.
    Text(SocketId, &'a str),
    /// A text came and is parsed already: for simulators.
    Said(SocketId, FromPeer),
    /// A socket is closed.
    Disconnected(SocketId),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Say this.
    Send(SocketId, ToPeer),
    /// Say this, to the letter: both ends hash it.
    Text(SocketId, String),
    /// Do this, with the handshake key of its suite, and answer with [`Input::TaskDone`] under the same number.
    Task(u64, KeyTask),
    /// Ask the store whether this peer may come in, and answer with [`Input::Admitted`].
    Admit(SocketId, Petition),
    /// Remember that this epoch of the stream was issued; after [`Self::Own`].
    KeepEpoch(StreamId, u32),
    /// Remember the stream's key, and its number.
    KeepKey(StreamId, u8, StreamKey),
    /// Remember that this key's peers were put out.
    PutOut(KeyFingerprint),
    /// Remember that the stream belongs to this key.
    Own {
        /// The stream.
        stream: StreamId,
        /// Its broadcaster's key.
        key: KeyFingerprint,
        /// Its name, for people.
        name: String,
        /// Who may watch it.
        access: Access,
    },
    /// Say `PEER_REFUSED` with this, and close; no `Disconnected` is expected after it.
    Close(SocketId, Refusal, String),
}

/// How large the tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Open sockets.
    pub sockets: usize,
    /// Peers, those away for a moment included.
    pub peers: usize,
    /// Streams.
    pub streams: usize,
    /// Places in streams, those of broadcasters included.
    pub places: usize,
    /// Backup parents named.
    pub backups: usize,
    /// Deadlines set.
    pub deadlines: usize,
}

/// The machine. See the module.
#[derive(Debug)]
pub struct StreamManager {
    config: Config,
    started: Time,
    now: Time,
    sequence: u64,
    deadlines: Deadlines,
    sockets: BTreeMap<SocketId, Socket>,
    peers: BTreeMap<PeerId, Peer>,
    listeners: BTreeSet<PeerId>,
    streams: BTreeMap<StreamId, Stream>,
    names: BTreeMap<String, StreamId>,
    /// Joins of streams that are not back yet.
    held: BTreeMap<StreamId, BTreeMap<PeerId, HeldJoin>>,
    forest: Forest,
    /// Viewers that do not answer: they have no places, and get some as soon as they are heard.
    aside: BTreeSet<PeerId>,
    backups: Backups,
    admissions: Admissions,
    attempts: Attempts,
    /// Streams that the operator has ended, and their names.
    barred: BTreeMap<StreamId, String>,
    /// The second half of new arrangements, to be told soon.
    held_back: BTreeMap<StreamId, Vec<Change>>,
    happened: Vec<Happening>,
    outbox: Vec<Output>,
}

impl StreamManager {
    /// A supervisor that starts now.
    pub fn new(config: Config, now: Time) -> Self {
        let mut deadlines = Deadlines::default();
        if let Some(lifetime) = config.ice_lifetime {
            deadlines.set(Deadline::IceServers, now + lifetime / 2);
        }
        if config
            .security
            .as_ref()
            .is_some_and(|security| !security.put_out.is_empty())
        {
            deadlines.set(Deadline::ChangeKeys, now + MEMBERS_RETURN);
        }
        let forest = match config.backups {
            true => Forest::default(),
            false => Forest::strict(),
        };
        Self {
            config,
            started: now,
            now,
            sequence: 0,
            deadlines,
            sockets: BTreeMap::new(),
            peers: BTreeMap::new(),
            listeners: BTreeSet::new(),
            streams: BTreeMap::new(),
            names: BTreeMap::new(),
            held: BTreeMap::new(),
            forest,
            aside: BTreeSet::new(),
            backups: Backups::default(),
            attempts: Attempts::default(),
            admissions: Admissions::default(),
            barred: BTreeMap::new(),
            held_back: BTreeMap::new(),
            happened: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// Takes one step.
    pub fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Vec<Output>) {
        self.now = now.max(self.now);
        self.happened.clear();
        while let Some(deadline) = self.deadlines.due(self.now) {
            self.pass(deadline);
        }
        match input {
            Input::Connected(socket, address) => self.connected(socket, address),
            Input::TaskDone(task, answer) => self.task_done(task, answer.as_ref()),
            Input::Admitted(socket, verdict) => self.admitted(socket, verdict),
            Input::Text(socket, text) => self.text(socket, text),
            Input::Said(socket, message) => self.said(socket, message),
            Input::Disconnected(socket) => self.disconnected(socket),
            Input::Tick => {}
        }
        if !self.forest.hungry().is_empty() {
            self.deadlines
                .set_once(Deadline::Retry, self.now + RETRY_PAUSE);
        }
        out.append(&mut self.outbox);
    }

    /// When [`Self::handle`] is to be called at the latest.
    pub fn next_wakeup(&self) -> Time {
        self.deadlines.next()
    }

    /// How large the tables are.
    pub fn census(&self) -> Census {
        Census {
            sockets: self.sockets.len(),
            peers: self.peers.len(),
            streams: self.streams.len(),
            places: self.forest.size().1,
            backups: self.backups.len(),
            deadlines: self.deadlines.len(),
        }
    }

    /// The stream that is called so now, if there is one.
    pub fn stream_named(&self, name: &str) -> Option<StreamId> {
        self.names.get(name.trim()).copied()
    }

    /// What that stream is called, while it is known.
    pub fn name_of(&self, stream: StreamId) -> Option<&str> {
        self.streams
            .get(&stream)
            .map(|known| known.info.name.as_str())
    }

    /// The trees, to look at.
    pub const fn forest(&self) -> &Forest {
        &self.forest
    }

    fn pass(&mut self, deadline: Deadline) {
        match deadline {
            Deadline::Silence(socket) => self.silent(socket),
            Deadline::Gone(peer) => self.gone(peer),
            Deadline::Suspect(peer) => self.refresh_standing(peer),
            Deadline::Limit(peer) => self.lift_limit(peer),
            Deadline::Unanswered(peer) => self.put_aside(peer),
            Deadline::Idle(stream, relay) => self.release_idle(stream, relay),
            Deadline::Ended(stream) => self.end_stream(stream),
            Deadline::Announce(stream) => self.announce(stream),
            Deadline::Clock(stream) => self.tell_clock(stream),
            Deadline::Claim(stream, peer) => self.claim_failed(stream, peer),
            Deadline::Held(stream) => self.stream_stayed_away(stream),
            Deadline::Drop(stream, parent, child) => self.drop_moved(stream, parent, child),
            Deadline::Examiner(socket) => self.examine(socket, crate::security::auth::Input::Tick),
            Deadline::Certificate(peer) => self.renew_certificate(peer),
            Deadline::Backup(stream, peer) => self.name_backup(stream, peer),
            Deadline::Balance(stream) => {
                self.change_forest(|forest, out| {
                    forest.balance(stream, out);
                });
            }
            Deadline::HeldBack(stream) => self.tell_held_back(stream),
            Deadline::IceServers => self.renew_ice_servers(),
            Deadline::Retry => self.change_forest(Forest::retry),
            Deadline::ChangeKeys => self.change_keys(),
        }
    }

    /// One message of a peer that is in.
    fn heard(&mut self, peer: PeerId, message: FromPeer) {
        use ToPeer::{LinkAnswer, LinkCandidate, LinkOffer, LinkRefused};
        match message {
            FromPeer::CollectPeerInfoResponse(_) => {
                self.refuse_peer(
                    peer,
                    Refusal::BadMessage,
                    "COLLECT_PEER_INFO_RESPONSE is said once",
                );
            }
            FromPeer::AuthenticationResponse {}
            | FromPeer::AuthenticationChallengeResponse { .. } => {
                self.refuse_peer(
                    peer,
                    Refusal::BadMessage,
                    "the authentication is over, or was not asked for",
                );
            }
            FromPeer::RegisterStream(registration) => self.register(peer, registration),
            FromPeer::StreamClock { stream, clock } => self.stream_clock(peer, stream, clock),
            FromPeer::EndStream { stream } => self.end_own_stream(peer, stream),
            FromPeer::ListStreams => self.list(peer),
            FromPeer::Join {
                stream,
                parent,
                invitation,
            } => self.join(peer, stream, parent, invitation.as_deref()),
            FromPeer::Accuse { stream, parent, .. } => self.accused(peer, stream, parent),
            FromPeer::Leave { stream } => self.leave(peer, stream),
            FromPeer::ParentLost {
                stream,
                parent,
                order,
                ..
            } => self.parent_lost(peer, stream, parent, order),
            FromPeer::BackupLost { stream, backup } => self.backup_lost(peer, stream, backup),
            FromPeer::TookOver {
                stream,
                parent,
                lost,
                order,
            } => self.took_over(peer, stream, parent, lost, order),
            FromPeer::LinkOffer(description) => self.pass_on(peer, description, LinkOffer),
            FromPeer::LinkAnswer(description) => self.pass_on(peer, description, LinkAnswer),
            FromPeer::LinkCandidate(description) => self.pass_on(peer, description, LinkCandidate),
            FromPeer::LinkRefused(description) => self.pass_on(peer, description, LinkRefused),
            FromPeer::Report { stream, report } => self.report(peer, stream, report),
            FromPeer::Health(health) => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.health = Some(health);
                }
            }
            FromPeer::TimeRequest { sent_us } => {
                let supervisor_us = self.wall_us();
                self.send(
                    peer,
                    ToPeer::TimeResponse {
                        sent_us,
                        supervisor_us,
                    },
                );
            }
        }
    }

    /// Says something to a peer, if it is connected.
    fn send(&mut self, peer: PeerId, message: ToPeer) {
        if let Some(socket) = self.peers.get(&peer).and_then(|known| known.socket) {
            self.outbox.push(Output::Send(socket, message));
        }
    }

    fn next_order(&mut self) -> Order {
        self.sequence += 1;
        Order {
            term: self.config.term,
            sequence: self.sequence,
        }
    }

    /// Supervisor's time of day, microseconds since 1970.
    const fn wall_us(&self) -> i64 {
        self.config.wall.to_supervisor_us(self.now)
    }

    /// Changes the topology, and tells those concerned.
    fn change_forest(&mut self, change: impl FnOnce(&mut Forest, &mut Vec<Change>)) {
        let mut changes = Vec::new();
        change(&mut self.forest, &mut changes);
        self.carry_out(changes);
    }
}
