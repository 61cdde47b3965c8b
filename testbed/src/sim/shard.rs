//! A share of a run's peers, and what is to happen to them. Shards touch nothing of each other's: what a peer sends to another one
//! is handed over between two spans of time, so that shards can be run side by side.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use protocol::chunk::{Header, Position, cut};
use protocol::id::{Fingerprint, LinkId, PeerId, StreamId};
use protocol::media::{Codec, Descriptor, Track, TrackInfo};
use protocol::node::{self, Output};
use protocol::security::grant::SignedDescriptor;
use protocol::signal::FromPeer;
use protocol::time::Time;

use super::actor::{Actor, Told};
use super::queue::Queue;
use super::sealed::Sealed;
use super::{Outcome, Plan};
use crate::script::Cue;

pub(super) const STREAM: StreamId = StreamId::from_bytes([0x51; 16]);
/// The simulated stream: 25 pictures a second, a key frame each second, one chunk each; 1.1 Mbit/s.
pub(super) const FRAME: Duration = Duration::from_millis(40);
const FRAMES_A_GROUP: u64 = 25;
const FRAME_BYTES: usize = 5_500;
pub(super) const KBPS: u32 = 1_100;
/// From a peer to the supervisor.
pub(super) const TO_SUPERVISOR: Duration = Duration::from_millis(10);
/// Setting up DTLS and SCTP takes four round trips (RFC 9147, RFC 9260).
const SET_UP_ROUND_TRIPS: u32 = 4;

/// An actor: the number is its name for good, also of its socket. The broadcaster is the first.
pub(super) type Name = u64;
pub(super) const BROADCASTER: Name = 1;

/// What happens to a peer.
pub(super) enum Happening {
    Input(node::Input),
    /// Somebody offers it a link, and is at that one's other end.
    Linked(LinkId, Name),
    Wake,
    /// The encoder has a picture.
    Frame(u32, u64),
}

/// What leaves a shard.
pub(super) enum Sent {
    ToPeer(Time, Name, Happening),
    ToSupervisor(Time, Name, String),
}

/// The security of a run that has it. One peer of one shard seals, and the supervisor keeps what is its own: whoever is first, it is the
/// same.
pub(super) type Security = Option<Arc<Mutex<Sealed>>>;

pub(super) fn open(sealed: &Arc<Mutex<Sealed>>) -> MutexGuard<'_, Sealed> {
    sealed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module's own words.
pub(super) struct Shard {
    plan: Arc<Plan>,
    number: u64,
    now: Time,
    queue: Queue<(Name, Happening)>,
    /// By their names, of which every [`SHARDS`]-th is one of this shard's.
    actors: Vec<Option<Box<Actor>>>,
    pub(super) sent: Vec<Sent>,
    sealed: Security,
    /// When the stream began, and how far its running epoch began after that, microseconds.
    on_air: (Option<Time>, u64),
    /// What its peers came to so far.
    pub(super) outcome: Outcome,
    /// Used in each step.
    out: Vec<Output>,
}

/// So many, whatever the machine: two runs from one seed are the same on each. Guess: few boards have more processors.
pub(super) const SHARDS: u64 = 8;

/// The number of a peer's shard.
pub(super) const fn shard_of(name: Name) -> usize {
    (name % SHARDS) as usize
}

const fn place_of(name: Name) -> usize {
    (name / SHARDS) as usize
}

impl Shard {
    pub(super) fn new(plan: &Arc<Plan>, number: u64, sealed: Security, now: Time) -> Self {
        Self {
            plan: Arc::clone(plan),
            number,
            now,
            queue: Queue::new(),
            actors: Vec::new(),
            sent: Vec::new(),
            sealed,
            on_air: (None, 0),
            outcome: Outcome::default(),
            out: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, actor: Box<Actor>) {
        let place = place_of(actor.name);
        if self.actors.len() <= place {
            self.actors.resize_with(place + 1, || None);
        }
        self.actors[place] = Some(actor);
    }

    pub(super) fn actor(&mut self, name: Name) -> Option<&mut Actor> {
        self.actors.get_mut(place_of(name))?.as_deref_mut()
    }

    pub(super) fn remove(&mut self, name: Name) -> Option<Box<Actor>> {
        self.actors.get_mut(place_of(name))?.take()
    }

    pub(super) fn actors(&self) -> impl Iterator<Item = &Actor> {
        self.actors.iter().filter_map(Option::as_deref)
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<Time> {
        self.queue.next()
    }

    pub(super) fn put(&mut self, at: Time, name: Name, happening: Happening) {
        debug_assert!(at >= self.now, "nothing happens in the past");
        self.queue.put(at, (name, happening));
    }

    /// Lets happen what happens before `end`.
    pub(super) fn run(&mut self, end: Time) {
        while let Some((at, (name, happening))) = self.queue.pop_before(end) {
            self.now = at;
            self.happen(name, happening);
        }
    }

    /// A peer closes its connections.
    pub(super) fn say_good_bye(&mut self, now: Time, name: Name) {
        self.now = now;
        let links = self.actor(name).map(|actor| actor.links.clone());
        for link in links.unwrap_or_default().into_keys() {
            self.send(name, link, node::Input::LinkClosed(link, "left".into()));
        }
    }

    fn later(&mut self, delay: Duration, name: Name, happening: Happening) {
        let at = self.now + delay;
        if name % SHARDS == self.number {
            self.put(at, name, happening);
        } else {
            self.sent.push(Sent::ToPeer(at, name, happening));
        }
    }

    fn happen(&mut self, name: Name, happening: Happening) {
        let now = self.now;
        let Some(actor) = self.actor(name) else {
            return; // it is no more
        };
        if actor.hangs > now && !matches!(happening, Happening::Linked(..)) {
            let until = actor.hangs;
            if matches!(happening, Happening::Wake) {
                actor.wakes_at = until;
            }
            return self.put(until, name, happening);
        }
        match happening {
            Happening::Input(input) => self.step(name, input),
            Happening::Linked(link, other) => {
                actor.links.insert(link, other);
            }
            // One that was put off, or brought forward: each of them would set the next one, for ever.
            Happening::Wake if actor.wakes_at != now => {}
            Happening::Wake => {
                actor.wakes_at = Time::NEVER;
                let is_new = actor.look(now);
                let is_due = actor.node.next_wakeup() <= now;
                self.outcome.lives += u64::from(is_new);
                if is_due {
                    self.step(name, node::Input::Tick);
                } else {
                    self.schedule(name);
                }
            }
            Happening::Frame(epoch, sequence) => self.frame(name, epoch, sequence),
        }
    }

    fn step(&mut self, name: Name, input: node::Input) {
        let now = self.now;
        let mut inputs = vec![input];
        let mut out = std::mem::take(&mut self.out);
        while let Some(input) = inputs.pop() {
            let Some(actor) = self.actor(name) else {
                break;
            };
            if let node::Input::LinkClosed(link, _) = &input {
                actor.links.remove(link);
            }
            let cue = actor.scribe.is_some().then(|| Cue::of_node(&input));
            actor.node.handle(now, input, &mut out);
            if let Some((scribe, cue)) = actor.scribe.as_mut().zip(cue) {
                scribe.node(now, cue, &out, actor.node.next_wakeup());
            }
            for output in out.drain(..) {
                inputs.extend(self.carry_out(name, output));
            }
        }
        self.out = out;
        self.schedule(name);
    }

    fn schedule(&mut self, name: Name) {
        let now = self.now;
        let Some(actor) = self.actor(name) else {
            return;
        };
        let wakeup = actor.next_wakeup(now);
        if wakeup < actor.wakes_at {
            actor.wakes_at = wakeup;
            self.put(wakeup, name, Happening::Wake);
        }
    }

    fn carry_out(&mut self, name: Name, output: Output) -> Option<node::Input> {
        match output {
            Output::Signal(text) => self.signal(name, text),
            Output::KeyTask(task, what) => {
                let sealed = self.sealed.as_ref();
                let answer = sealed.and_then(|sealed| open(sealed).answer_peer(name, &what));
                return Some(node::Input::TaskDone(task, answer));
            }
            Output::Connect(link) => {
                self.outcome.connections += 1;
                return Some(node::Input::LocalDescription(link, sdp(name)));
            }
            Output::Accept(link, _) => return Some(node::Input::LocalDescription(link, sdp(name))),
            Output::SetAnswer(link, _) => self.set_up(name, link),
            Output::Control(link, bytes) => {
                self.send(name, link, node::Input::Control(link, bytes));
            }
            Output::Media(link, bytes) => self.send_media(name, link, bytes),
            Output::AskBacklog(link, water) => return Some(self.backlog(name, link, water)),
            Output::Close(link) => {
                self.send(name, link, node::Input::LinkClosed(link, "closed".into()));
                if let Some(actor) = self.actor(name) {
                    actor.links.remove(&link);
                }
            }
            Output::Event(event) => return self.news(name, &event),
            Output::AddCandidate(..) | Output::IceServers(..) | Output::HangUp(_) => {}
        }
        None
    }

    fn signal(&mut self, name: Name, text: String) {
        match FromPeer::parse(&text) {
            Ok(FromPeer::LinkOffer(offer)) => {
                let parent = name_of(offer.peer);
                if let Some(actor) = self.actor(name) {
                    actor.links.insert(offer.link, parent);
                }
                // It is there before the offer, which goes by way of the supervisor.
                self.later(TO_SUPERVISOR, parent, Happening::Linked(offer.link, name));
            }
            Ok(FromPeer::TookOver { .. }) => self.outcome.takeovers += 1,
            Ok(FromPeer::ParentLost { .. }) => self.outcome.complaints += 1,
            _ => {}
        }
        self.sent
            .push(Sent::ToSupervisor(self.now + TO_SUPERVISOR, name, text));
    }

    /// Whoever is at the other end of a link, and how far away.
    fn way(&mut self, name: Name, link: LinkId) -> Option<(Name, Duration)> {
        let other = *self.actor(name)?.links.get(&link)?;
        Some((other, latency(&self.plan, name, other)))
    }

    fn set_up(&mut self, name: Name, link: LinkId) {
        let Some((parent, latency)) = self.way(name, link) else {
            return;
        };
        let time = latency * 2 * SET_UP_ROUND_TRIPS;
        for end in [name, parent] {
            self.later(time, end, Happening::Input(node::Input::LinkOpen(link)));
        }
    }

    fn send(&mut self, name: Name, link: LinkId, input: node::Input) {
        if let Some((other, latency)) = self.way(name, link) {
            self.later(latency, other, Happening::Input(input));
        }
    }

    /// Media goes out one after the other where the uplink is no more than it is.
    fn send_media(&mut self, name: Name, link: LinkId, bytes: Bytes) {
        let now = self.now;
        let Some((other, way)) = self.way(name, link) else {
            return;
        };
        let Some(actor) = self.actor(name) else {
            return;
        };
        let gone = match &mut actor.uplink {
            Some(uplink) => uplink.send(now, link, bytes.len()),
            None => now,
        };
        let there = gone.since(now) + way + actor.late(bytes.len(), way * 2);
        let input = node::Input::Media(link, bytes);
        self.later(there, other, Happening::Input(input));
    }

    /// What an uplink has not sent yet; when it is above the water, the node is told again when half of that is left.
    fn backlog(&mut self, name: Name, link: LinkId, water: usize) -> node::Input {
        let now = self.now;
        let uplink = self.actor(name).and_then(|actor| actor.uplink.as_mut());
        let Some(uplink) = uplink else {
            return node::Input::Backlog(link, 0);
        };
        let (left, half_at) = uplink.left(now, link, water / 2);
        if left > water {
            let again = node::Input::Backlog(link, water / 2);
            self.put(half_at.max(now), name, Happening::Input(again));
        }
        node::Input::Backlog(link, left)
    }

    fn news(&mut self, name: Name, event: &node::Event) -> Option<node::Input> {
        let now = self.now;
        match event {
            node::Event::Registered(_, epoch, grant) => {
                let began = *self.on_air.0.get_or_insert(now);
                self.on_air.1 = now.as_micros() - began.as_micros();
                let descriptor = descriptor(*epoch, self.on_air.1);
                let begun = match &self.sealed {
                    Some(sealed) => open(sealed).begin(descriptor, grant.clone()),
                    None => Some(SignedDescriptor::unsigned(descriptor)),
                };
                self.put(now, name, Happening::Frame(*epoch, 0));
                return begun.map(node::Input::StartEpoch);
            }
            node::Event::StreamKey(_, number, key) => {
                if let Some(sealed) = &self.sealed {
                    open(sealed).take_key(*number, key.clone());
                }
            }
            node::Event::Chunk(_, chunk) => {
                self.outcome.chunks += 1;
                let fact = [name, chunk.header().position.sequence, now.as_micros()];
                self.outcome.follow(&fact);
            }
            _ => {}
        }
        if let Some(actor) = self.actor(name) {
            actor.play(now, Told::News(event));
        }
        None
    }

    fn frame(&mut self, name: Name, epoch: u32, sequence: u64) {
        let runs = |actor: &mut Actor| actor.node.epoch(&STREAM) == Some(epoch);
        if !self.actor(name).is_some_and(runs) {
            return; // the encoder has started again
        }
        self.later(FRAME, name, Happening::Frame(epoch, sequence + 1));
        let header = Header {
            random_access: sequence.is_multiple_of(FRAMES_A_GROUP),
            track: Track::Video,
            rendition: 0,
            key_id: 0,
            handle: STREAM.handle(),
            position: Position { epoch, sequence },
            part: 0,
            parts: 1,
            capture: self.now,
            media_us: self.on_air.1 + sequence * FRAME.as_micros() as u64,
        };
        let chunks = match &self.sealed {
            Some(sealed) => open(sealed).seal(header, &[0; FRAME_BYTES]),
            None => cut(header, &[0; FRAME_BYTES]),
        };
        for chunk in chunks {
            self.step(name, node::Input::Own(chunk));
        }
    }
}

/// A pair's latency is the same all the time, and both ways: what was sent first arrives first.
fn latency(plan: &Plan, a: Name, b: Name) -> Duration {
    let (least, most) = plan.latency_ms;
    let mixed = (a.min(b) << 32 | a.max(b)).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ plan.seed;
    Duration::from_millis(least + (mixed >> 16) % (most - least + 1))
}

/// The PeerID of an actor.
pub(super) fn id_of(name: Name) -> PeerId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&name.to_be_bytes());
    PeerId::from_bytes(id)
}

fn name_of(peer: PeerId) -> Name {
    let mut name = [0; 8];
    name.copy_from_slice(&peer.as_bytes()[..8]);
    Name::from_be_bytes(name)
}

/// The DTLS certificate that an actor would show.
pub(super) fn fingerprint(name: Name) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&name.to_be_bytes());
    Fingerprint::from_bytes(bytes)
}

fn sdp(name: Name) -> String {
    format!("v=0\r\na=fingerprint:sha-256 {}\r\n", fingerprint(name))
}

fn descriptor(epoch: u32, media_origin_us: u64) -> Descriptor {
    let init = Bytes::from_static(b"init");
    let track = TrackInfo {
        track: Track::Video,
        rendition: 0,
        codec: Codec::Vp8,
        kbps: KBPS,
        init,
    };
    Descriptor {
        stream: STREAM,
        epoch,
        key_id: 0,
        media_origin_us,
        tracks: vec![track],
    }
}
