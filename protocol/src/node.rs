//! The whole of a peer: its conversation with the supervisor, its links, its streams.
//!
//! Broadcaster, relay and receiver, native and in the browser, all run this one machine; they differ in what
//! they put in (a broadcaster its own chunks) and in what they take out (a receiver hands arriving chunks to
//! its player). Never looks into a chunk beyond its header.

mod backups;
mod children;
mod credentials;
mod joining;
mod lag;
mod lanes;
mod links;
mod media;
mod own;
mod repairs;
mod reports;
mod session;
mod streams;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod village;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::chunk::Chunk;
use crate::forwarder::Gap;
use crate::id::{AuthorityFingerprint, Fingerprint, LinkId, PeerId, StreamId};
use crate::link::Link;
use crate::media::Descriptor;
use crate::security::boxes::KeyTask;
use crate::security::grant::SignedDescriptor;
use crate::security::secret::{HandshakeSeed, StreamKey};
use crate::signal::{
    BoxHealth, Component, Failure, FromPeer, IceServer, PeerInfo, Refusal, Registration, Report,
    StreamInfo, VERSIONS,
};
use crate::time::{ClockMap, Time};

use credentials::Papers;
pub use credentials::Security;
pub(crate) use credentials::key_contents;
pub use lanes::MOST_LANES;
use session::Session;
use streams::Stream;

/// Who this peer is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its name: 128 random bits.
    pub peer: PeerId,
    /// What it is.
    pub component: Component,
    /// The DTLS certificate its transport shows.
    pub fingerprint: Fingerprint,
    /// What it can send over all streams, kbit/s.
    pub uplink_kbps: u32,
    /// Whether it relays.
    pub relays: bool,
    /// Program and version, for people.
    pub software: String,
    /// What its owner calls it, for people.
    pub name: Option<String>,
    /// Connections of a link at most, one to [`MOST_LANES`]: how many to a parent, and how many it lets a child have.
    pub lanes: u8,
    /// Random bits, from which link ids are made, and which decide what is checked.
    pub seed: u64,
    /// What it proves itself with. None: nobody is certified and nothing sealed, as in simulations.
    pub security: Option<Security>,
}

/// What happens to a peer.
#[derive(Debug, Clone)]
pub enum Input {
    /// The socket to the supervisor is open.
    SupervisorUp(HandshakeSeed),
    /// The answer to [`Output::KeyTask`]; none if it cannot be done.
    TaskDone(u64, Option<Zeroizing<Vec<u8>>>),
    /// It is closed.
    SupervisorDown,
    /// A text came over it.
    SupervisorText(String),
    /// The transport made this link's offer or answer (SDP).
    LocalDescription(LinkId, String),
    /// The transport found a candidate (`RTCIceCandidateInit` as JSON text).
    LocalCandidate(LinkId, String),
    /// Both channels of the link are open.
    LinkOpen(LinkId),
    /// A message came over its control channel.
    Control(LinkId, Bytes),
    /// A message came over its media channel.
    Media(LinkId, Bytes),
    /// The answer to [`Output::AskBacklog`]: bytes the transport has not delivered yet.
    Backlog(LinkId, usize),
    /// The link is gone, for a reason in words.
    LinkClosed(LinkId, String),
    /// The application asks for the list of streams and its changes.
    ListStreams,
    /// It wants to watch; with its invitation, if it has one.
    Watch(StreamId, Option<String>),
    /// It no longer does.
    Unwatch(StreamId),
    /// It offers a stream of its own.
    Publish(Registration),
    /// Its encoders (re)started under the epoch the supervisor gave.
    StartEpoch(SignedDescriptor),
    /// They made a chunk.
    Own(Chunk),
    /// Its stream is over for good.
    EndStream(StreamId),
    /// How the viewer fares; goes to the supervisor with the next report. `depth`, `children` and the rates
    /// are filled in here.
    Viewing(StreamId, Report),
    /// How the board is that it runs on: for services to tell now and then.
    Health(BoxHealth),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this text to the supervisor.
    Signal(String),
    /// Close the socket to the supervisor (and connect again); the reason in words.
    HangUp(String),
    /// Do this with a private key, and answer with [`Input::TaskDone`] under the same number.
    KeyTask(u64, KeyTask),
    /// Set up a connection and make an offer for it.
    Connect(LinkId),
    /// Set up a connection and answer this offer.
    Accept(LinkId, String),
    /// The other end's answer to our offer.
    SetAnswer(LinkId, String),
    /// A candidate of the other end.
    AddCandidate(LinkId, String),
    /// Send over the control channel.
    Control(LinkId, Bytes),
    /// Send over the media channel.
    Media(LinkId, Bytes),
    /// Say what the media channel has not delivered yet, and, if that is above this many bytes, again when it falls
    /// below half of them.
    AskBacklog(LinkId, usize),
    /// Close the connection, once what was given to it before is on its way.
    Close(LinkId),
    /// STUN and TURN servers, and this host's address as seen from outside, for connections made from now on.
    IceServers(Vec<IceServer>, Option<String>),
    /// News for the application.
    Event(Event),
}

/// News for the application.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The supervisor took us in.
    Accepted,
    /// It will not have us.
    Refused(Refusal, String),
    /// The authority that vouches for it: for services to remember.
    Authority(AuthorityFingerprint),
    /// The key of a stream of our own, to seal with from now on.
    StreamKey(StreamId, u8, StreamKey),
    /// The list of streams, whenever it changes.
    Streams(Vec<StreamInfo>),
    /// The supervisor refuses a stream we asked for or offered.
    StreamRefused(StreamId, Refusal, String),
    /// Our stream may begin under this epoch, with the authority's grant for it.
    Registered(StreamId, u32, Bytes),
    /// A new epoch of a stream we watch or relay.
    Epoch(Descriptor),
    /// A chunk of a stream we watch, new to us, in whatever order they come.
    Chunk(StreamId, Chunk),
    /// Chunks of a stream we watch that will not come from this parent.
    Skipped(StreamId, Gap),
    /// Our parent in a stream changed. None: we wait for one.
    Parent(StreamId, Option<PeerId>),
    /// What kind of peer our parent in a stream is; said after each [`Event::Parent`] that names one.
    FedBy(StreamId, Component),
    /// The round trip to the furthest peer that feeds us a stream we watch, or may have to; when it changes.
    RoundTrip(StreamId, Duration),
    /// A stream is over for good.
    Ended(StreamId),
    /// We are to fail, as a test of the others, in a stream that allows it. The application carries it out.
    ToldToFail(Failure),
    /// How our clock maps to the supervisor's.
    Clock(ClockMap),
    /// How the broadcaster's does.
    StreamClock(StreamId, ClockMap),
    /// A link ended, or was never made, for a reason someone may want to know.
    LinkLost(PeerId, String),
}

/// How a stream goes here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Who feeds us.
    pub parent: Option<PeerId>,
    /// Peers from the broadcaster down to us; 0 for the broadcaster itself.
    pub depth: u16,
    /// How many we feed.
    pub children: u16,
    /// For how many of them media waits, more than a burst.
    pub behind: u16,
    /// Media bytes received so far.
    pub bytes_down: u64,
    /// Media bytes sent so far.
    pub bytes_up: u64,
    /// Media bytes kept.
    pub window_bytes: usize,
    /// How often a child was too slow and skipped.
    pub skips: u64,
    /// Chunks sent to children so far.
    pub chunks_up: u64,
    /// Chunks sent again, to neighbours that lacked them.
    pub repairs: u64,
    /// How often we went on at a backup parent by ourselves.
    pub takeovers: u64,
}

/// A peer. See the module's own words.
#[derive(Debug)]
pub struct Node {
    config: Config,
    session: Session,
    papers: Papers,
    links: BTreeMap<LinkId, Link>,
    streams: BTreeMap<StreamId, Stream>,
    listed: BTreeMap<StreamId, StreamInfo>,
    made_links: u64,
    next_report: Time,
    last_handled: Time,
    /// How late this peer was itself, at most, and when that was.
    own_delay: (Duration, Time),
    /// Neighbours the way to whom lost something lately.
    losses: BTreeMap<PeerId, lanes::Loss>,
    /// When the clock is to be looked at next.
    look_at: Time,
}

/// A call later than this after the last one, though a wake-up was due, means that this peer itself slept (a
/// busy main thread, a suspended tab, SIGSTOP). Guess.
const OVERSLEPT: Duration = Duration::from_millis(200);
/// How long a peer that was late counts as one that may be late. Guess: a page that is busy is so for some pictures.
const DELAY_COUNTS: Duration = Duration::from_secs(2);
/// More of its own delay is not forgiven a neighbour: what is longer is for [`OVERSLEPT`].
const MOST_DELAY: Duration = Duration::from_millis(125);
/// How often members report. Guess: the monitor's picture is fresh enough, 100 000 peers cost 50 000 texts a
/// second.
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// With more links than this not even their deadlines are looked through after every message: with 64 children that took a
/// tenth of a relay's processor time (measured).
const FEW_LINKS: usize = 8;
/// How much later than it should the clock may be looked at then. Guess: an eighth of the shortest time-out.
const COARSE: Duration = Duration::from_millis(5);

impl Node {
    /// A peer that begins now: no socket, no link, no stream.
    pub fn new(config: Config, now: Time) -> Self {
        Self {
            config,
            session: Session::default(),
            papers: Papers::default(),
            links: BTreeMap::new(),
            streams: BTreeMap::new(),
            listed: BTreeMap::new(),
            made_links: 0,
            next_report: now + REPORT_EVERY,
            last_handled: now,
            own_delay: (Duration::ZERO, now),
            losses: BTreeMap::new(),
            look_at: Time::NEVER,
        }
    }

    /// Takes one step.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        self.notice_oversleeping(now);
        let frequent = matches!(
            input,
            Input::Control(..) | Input::Media(..) | Input::Backlog(..)
        );
        match input {
            Input::SupervisorUp(random) => self.supervisor_up(now, random),
            Input::SupervisorDown => self.supervisor_down(),
            Input::TaskDone(task, answer) => self.task_done(now, task, answer, out),
            Input::SupervisorText(text) => self.supervisor_said(now, &text, out),
            Input::LocalDescription(link, sdp) => self.describe(link, sdp, out),
            Input::LocalCandidate(link, candidate) => self.tell_candidate(link, candidate, out),
            Input::LinkOpen(link) => self.link_open(now, link, out),
            Input::Control(link, bytes) => self.control_came(now, link, &bytes, out),
            Input::Media(link, bytes) => self.media_came(now, link, bytes, out),
            Input::Backlog(link, bytes) => self.backlog_told(now, link, bytes, out),
            Input::LinkClosed(link, reason) => self.link_gone(now, link, &reason, out),
            Input::ListStreams => self.list_streams(out),
            Input::Watch(stream, invitation) => self.watch(now, stream, invitation, out),
            Input::Unwatch(stream) => self.unwatch(now, stream, out),
            Input::Publish(registration) => self.publish(registration, out),
            Input::StartEpoch(signed) => self.start_epoch(now, signed, out),
            Input::Own(chunk) => self.own_chunk(now, &chunk, out),
            Input::EndStream(stream) => self.end_own(now, stream, out),
            Input::Viewing(stream, report) => self.note_viewing(stream, report),
            Input::Health(health) => self.tell(&FromPeer::Health(health), out),
            Input::Tick => {}
        }
        // Nothing of what follows does anything before the first deadline.
        if frequent && now < self.look_at {
            self.look_at = match self.links.len() > FEW_LINKS {
                true => self.look_at.min(now + COARSE),
                false => self.first_deadline(),
            };
            if now < self.look_at {
                return;
            }
        }
        self.look_at_the_clock(now, out);
        self.look_at = self.first_deadline();
    }

    /// When [`Self::handle`] wants to be called at the latest.
    pub const fn next_wakeup(&self) -> Time {
        self.look_at
    }

    fn first_deadline(&self) -> Time {
        let links = self
            .links
            .iter()
            .map(|(&id, link)| link.next_wakeup(self.use_of(id)));
        let streams = self.streams.values().map(Stream::next_wakeup);
        let streams = streams.chain([self.next_doubt()]);
        let own = [
            self.session.next_wakeup(),
            self.papers.next_wakeup(),
            self.report_at(),
        ];
        links.chain(streams).chain(own).min().unwrap_or(Time::NEVER)
    }

    /// How `stream` goes here, if it does.
    pub fn stats(&self, stream: &StreamId) -> Option<StreamStats> {
        self.streams.get(stream).map(Stream::stats)
    }

    /// The epoch of `stream` that runs here, if one does.
    pub fn epoch(&self, stream: &StreamId) -> Option<u32> {
        self.streams.get(stream).and_then(Stream::epoch)
    }

    /// The streams this peer has a part in.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.streams.keys().copied()
    }

    /// Bytes that the transport of `link` may have left, and be given more all the same; none if there is no such link.
    pub fn water(&self, link: LinkId) -> usize {
        self.links.get(&link).map_or(0, |link| link.flow.water())
    }

    /// Links there are, whatever their phase.
    pub fn link_count(&self) -> usize {
        self.links.len()
    }

    /// Who this peer is.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    fn info(&self) -> PeerInfo {
        PeerInfo {
            versions: VERSIONS,
            peer: self.config.peer,
            component: self.config.component,
            fingerprint: self.config.fingerprint,
            uplink_kbps: self.config.uplink_kbps,
            relays: self.config.relays,
            software: self.config.software.clone(),
            name: self.config.name.clone(),
            public_key: None,
            suites: Vec::new(),
            signing_key: self.config.security.as_ref().and_then(|s| s.signing_key),
        }
    }

    /// How late this peer was itself in the last moments: what was said to it may wait as long to be read.
    fn own_delay(&self) -> Duration {
        let (delay, at) = self.own_delay;
        match self.last_handled > at + DELAY_COUNTS {
            true => Duration::ZERO,
            false => delay,
        }
    }

    fn notice_oversleeping(&mut self, now: Time) {
        let late = now.since(self.look_at).min(MOST_DELAY);
        if late > COARSE && (late >= self.own_delay.0 || now > self.own_delay.1 + DELAY_COUNTS) {
            self.own_delay = (late, now);
        }
        if now.since(self.last_handled) > OVERSLEPT && now > self.next_wakeup() + OVERSLEPT {
            self.links.values_mut().for_each(|link| link.overslept(now));
        }
        self.last_handled = now;
    }

    fn look_at_the_clock(&mut self, now: Time, out: &mut Vec<Output>) {
        self.tend_session(now, out);
        self.tend_links(now, out);
        self.doubt_silent_parents(now, out);
        self.give_up_silent_backups(now, out);
        self.mend(now, out);
        self.probe(now, out);
        self.tend_streams(now, out);
        self.open_lanes(now, out);
        if now >= self.report_at() {
            self.next_report = now + REPORT_EVERY;
            self.report(out);
        }
    }

    fn report_at(&self) -> Time {
        if self.session.is_in() && !self.streams.is_empty() {
            self.next_report
        } else {
            Time::NEVER
        }
    }
}
