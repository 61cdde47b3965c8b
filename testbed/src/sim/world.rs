//! The world of one run: a queue of what happens when, and the machines it happens to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use protocol::chunk::{Header, Position, cut};
use protocol::id::{Fingerprint, LinkId, PeerId, StreamId};
use protocol::media::{Codec, Descriptor, Track, TrackInfo};
use protocol::node::{self, Node, Output};
use protocol::playback::screen::Screen;
use protocol::playback::{self, LOOK_EVERY};
use protocol::security::grant::SignedDescriptor;
use protocol::security::secret::HandshakeSeed;
use protocol::signal::{Access, Component, FromPeer, Registration, StreamTrack, ToPeer};
use protocol::stream_manager::{self, Limits, SocketId, StreamManager};
use protocol::time::{ClockMap, Time};
use protocol::viewer::Viewer;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::sealed::Sealed;
use super::uplink::Uplink;
use super::{Failure, Look, Outcome, Plan, Sample};
use crate::script::{Cue, Part, Scribe, Script};

const STREAM: StreamId = StreamId::from_bytes([0x51; 16]);
/// The simulated stream: 25 pictures a second, a key frame each second, one chunk each; 1.1 Mbit/s.
const FRAME: Duration = Duration::from_millis(40);
const FRAMES_A_GROUP: u64 = 25;
const FRAME_BYTES: usize = 5_500;
const KBPS: u32 = 1_100;
/// From a peer to the supervisor.
const TO_SUPERVISOR: Duration = Duration::from_millis(10);
/// Setting up DTLS and SCTP takes four round trips (RFC 9147, RFC 9260).
const SET_UP_ROUND_TRIPS: u32 = 4;
/// A viewer that failed comes back as another one after this. Guess: a program's start.
const COMES_BACK: Duration = Duration::from_millis(100);

/// Of a data channel, in one packet (RFC 8831, 5: no more than 1200 bytes, with all headers).
const PACKET_BYTES: usize = 1_150;
/// Three more packets must have come before one is taken for lost: the next frame, in a stream as slow as this.
const FOLLOWED_BY: Duration = FRAME;
/// The least wait of SCTP where only time tells (RFC 9260, 16: RTO.Min); twice as long each time after that.
const TIME_OUT: Duration = Duration::from_secs(1);
/// How it goes is noted this often.
const SAMPLED: Duration = Duration::from_secs(1);
/// By then a link is given up.
const MOST_LATE: Duration = Duration::from_secs(8);
/// The order of victims is looked at again after this: of a hundred thousand it takes a while.
const ORDER_LASTS: Duration = Duration::from_millis(100);
/// How long a peer hangs that does not die of it, milliseconds.
const HANGS_MS: std::ops::Range<u64> = 50..1_500;
/// Peers are back at a supervisor that is back within this, milliseconds.
const RECONNECTING_MS: std::ops::Range<u64> = 10..500;

/// An actor: the number is its name for good, also of its socket.
type Name = u64;

enum Happening {
    ToNode(Name, node::Input),
    FromNode(Name, String),
    Connected(Name),
    Disconnected(Name),
    Wake(Name),
    WakeManager,
    NewViewer,
    Fail,
    Sample,
    Hang,
    SupervisorGoes,
    SupervisorComes,
    EncoderRestarts,
    Frame(u32, u64),
}

struct Actor {
    node: Node,
    viewer: Option<(Viewer, Screen)>,
    started: bool,
    /// When it saw its first picture.
    since: Time,
    wakes_at: Time,
    /// Hangs until then.
    hangs: Time,
    scribe: Option<Scribe>,
}

struct World {
    plan: Plan,
    now: Time,
    queue: BTreeMap<(Time, u64), Happening>,
    queued: u64,
    manager: StreamManager,
    manager_wakes_at: Time,
    actors: BTreeMap<Name, Actor>,
    links: BTreeMap<LinkId, (Name, Name)>,
    links_of: BTreeMap<Name, BTreeSet<LinkId>>,
    uplinks: BTreeMap<Name, Uplink>,
    peers: BTreeMap<PeerId, Name>,
    random: StdRng,
    began: Time,
    /// The victims to be, and until when they are taken to be where they were.
    order: Vec<Name>,
    order_until: Time,
    sealed: Option<Sealed>,
    /// When the stream began, and how far its running epoch began after that, microseconds.
    on_air: (Option<Time>, u64),
    made: u64,
    /// When the supervisor is back, while it is away.
    away: Option<Time>,
    /// The lives of those who are no more, where they are written down.
    scripts: Option<Vec<Script>>,
    outcome: Outcome,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Outcome {
    run_watched(plan, plan.length * 2, |_| {})
}

/// Runs a plan to its end, and tells every so often how the world stands.
pub fn run_watched(plan: &Plan, every: Duration, tell: impl FnMut(Look)) -> Outcome {
    perform(World::new(plan.clone()), every, tell).outcome
}

/// Runs a plan to its end, and writes down what each peer was told and did.
pub fn write_down(plan: &Plan) -> Vec<Script> {
    let world = World {
        scripts: Some(Vec::new()),
        ..World::new(plan.clone())
    };
    let done = perform(world, plan.length * 2, |_| {});
    done.scripts.unwrap_or_default()
}

fn perform(mut world: World, every: Duration, mut tell: impl FnMut(Look)) -> World {
    let plan = world.plan.clone();
    world.open();
    let (begin, end) = (world.now, world.now + plan.length);
    let mut next = begin + every;
    while let Some(((at, _), happening)) = world.queue.pop_first() {
        if at > end {
            break;
        }
        if at >= next {
            tell(world.seen(next.since(begin)));
            next += every;
        }
        world.now = at;
        world.happen(happening);
    }
    world.close();
    world
}

impl World {
    fn new(plan: Plan) -> Self {
        let now = Time::from_millis(1_000);
        let sealed = plan.sealed.then(|| Sealed::new(plan.seed));
        Self {
            now,
            queue: BTreeMap::new(),
            queued: 0,
            manager: supervisor(&plan, sealed.as_ref(), 1, now),
            manager_wakes_at: Time::NEVER,
            actors: BTreeMap::new(),
            links: BTreeMap::new(),
            links_of: BTreeMap::new(),
            uplinks: BTreeMap::new(),
            peers: BTreeMap::new(),
            random: StdRng::seed_from_u64(plan.seed),
            began: now,
            order: Vec::new(),
            order_until: now,
            sealed,
            on_air: (None, 0),
            made: 0,
            away: None,
            scripts: None,
            outcome: Outcome::default(),
            plan,
        }
    }

    /// Broadcaster and relays first, then the viewers, one each 20 ms.
    fn open(&mut self) {
        let broadcaster = self.make(Component::Broadcaster);
        self.later(
            Duration::ZERO,
            Happening::ToNode(broadcaster, node::Input::Publish(registration())),
        );
        for _ in 0..self.plan.relays {
            self.make(Component::Relay);
        }
        for viewer in 0..self.plan.viewers {
            self.later(
                Duration::from_millis(500) + self.plan.joining() * viewer,
                Happening::NewViewer,
            );
        }
        self.later(SAMPLED, Happening::Sample);
        if self.plan.failures_per_s > 0.0 {
            self.later(self.plan.settling(), Happening::Fail);
        }
        if self.plan.hangs_per_s > 0.0 {
            self.later(self.plan.calm, Happening::Hang);
        }
        if let Some((at, _)) = self.plan.supervisor_away {
            self.later(at, Happening::SupervisorGoes);
        }
        if let Some(at) = self.plan.encoder_restarts {
            self.later(at, Happening::EncoderRestarts);
        }
    }

    fn later(&mut self, delay: Duration, happening: Happening) {
        self.queued += 1;
        self.queue
            .insert((self.now + delay, self.queued), happening);
    }

    fn make(&mut self, component: Component) -> Name {
        self.made += 1;
        let name = self.made;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&name.to_be_bytes());
        let uplink_kbps = match component {
            Component::Broadcaster => 20_000,
            Component::Relay => self.plan.relay_kbps,
            Component::Receiver => self.plan.viewer_kbps,
        };
        let config = node::Config {
            peer: PeerId::from_bytes(id),
            component,
            fingerprint: fingerprint(name),
            uplink_kbps,
            relays: true,
            software: "simulated".into(),
            name: None,
            seed: self.random.random(),
            security: self
                .sealed
                .as_ref()
                .map(|sealed| sealed.of_peer(name, component)),
        };
        let slow_every = u64::from(self.plan.slow_every);
        let is_slow = slow_every > 0 && name.is_multiple_of(slow_every);
        if component == Component::Receiver && is_slow {
            self.uplinks.insert(name, Uplink::new(self.plan.slow_kbps));
        } else if self.plan.real_uplinks {
            self.uplinks.insert(name, Uplink::new(uplink_kbps));
        }
        let viewer = (component == Component::Receiver).then(|| (self.player(), Screen::new()));
        self.peers.insert(config.peer, name);
        let watches = viewer.is_some().then_some((STREAM, self.plan.hold));
        let scribe = self.scripts.as_ref().map(|_| {
            let part = Part::new(&config, watches, self.now);
            Scribe::new(self.plan.seed, name, part)
        });
        let node = Node::new(config, self.now);
        self.actors.insert(
            name,
            Actor {
                node,
                viewer,
                started: false,
                since: self.now,
                wakes_at: Time::NEVER,
                hangs: Time::ZERO,
                scribe,
            },
        );
        let supervisor_is_there = self
            .away
            .map_or(Duration::ZERO, |back| back.since(self.now));
        self.connect(name, supervisor_is_there + TO_SUPERVISOR);
        name
    }

    fn connect(&mut self, name: Name, delay: Duration) {
        self.later(delay, Happening::Connected(name));
        let unused = || HandshakeSeed::from_bytes([0; 32]);
        let random = self.sealed.as_mut().map_or_else(unused, Sealed::handshake);
        let up = node::Input::SupervisorUp(random);
        self.later(delay, Happening::ToNode(name, up));
    }

    fn player(&self) -> Viewer {
        match self.plan.hold {
            Some(hold) => Viewer::holding(STREAM, self.now, hold),
            None => Viewer::new(STREAM, self.now),
        }
    }

    fn happen(&mut self, happening: Happening) {
        if let Happening::ToNode(name, _) | Happening::Wake(name) = happening
            && let Some(actor) = self.actors.get_mut(&name)
            && actor.hangs > self.now
        {
            if matches!(happening, Happening::Wake(_)) {
                actor.wakes_at = actor.hangs;
            }
            let until = actor.hangs.since(self.now);
            return self.later(until, happening);
        }
        match happening {
            Happening::ToNode(name, input) => self.step(name, input),
            Happening::Wake(name) => self.wake(name),
            // It may have died while it waited for the supervisor.
            Happening::Connected(name) if !self.actors.contains_key(&name) => {}
            Happening::Connected(name) => {
                self.manage(stream_manager::Input::Connected(SocketId(name), None))
            }
            Happening::Disconnected(name) => {
                self.manage(stream_manager::Input::Disconnected(SocketId(name)))
            }
            Happening::FromNode(name, text) => {
                self.manage(stream_manager::Input::Text(SocketId(name), &text))
            }
            Happening::WakeManager if self.manager_wakes_at != self.now => {}
            Happening::WakeManager => {
                self.manager_wakes_at = Time::NEVER;
                self.manage(stream_manager::Input::Tick);
            }
            Happening::NewViewer => {
                let name = self.make(Component::Receiver);
                self.later(
                    TO_SUPERVISOR * 2,
                    Happening::ToNode(name, node::Input::Watch(STREAM, None)),
                );
            }
            Happening::Fail => self.fail(),
            Happening::Sample => self.sample(),
            Happening::Hang => self.hang(),
            Happening::SupervisorGoes => self.supervisor_goes(),
            Happening::SupervisorComes => self.supervisor_comes(),
            Happening::EncoderRestarts => {
                if let Some((&broadcaster, _)) = self.actors.first_key_value() {
                    self.step(broadcaster, node::Input::Publish(registration()));
                }
            }
            Happening::Frame(epoch, sequence) => self.frame(epoch, sequence),
        }
    }

    fn wake(&mut self, name: Name) {
        let Some(actor) = self.actors.get_mut(&name) else {
            return;
        };
        // One that was put off, or brought forward: each of them would set the next one, for ever.
        if actor.wakes_at != self.now {
            return;
        }
        actor.wakes_at = Time::NEVER;
        self.step(name, node::Input::Tick);
        self.look(name);
    }

    /// Those who are there come back one after the other once it is.
    fn supervisor_goes(&mut self) {
        let Some((_, length)) = self.plan.supervisor_away else {
            return;
        };
        self.away = Some(self.now + length);
        self.later(length, Happening::SupervisorComes);
        let names: Vec<Name> = self.actors.keys().copied().collect();
        for name in names {
            let down = node::Input::SupervisorDown;
            self.later(TO_SUPERVISOR, Happening::ToNode(name, down));
            let pause = Duration::from_millis(self.random.random_range(RECONNECTING_MS));
            self.connect(name, length + pause);
        }
    }

    /// A new one, that knows nobody.
    fn supervisor_comes(&mut self) {
        self.away = None;
        self.manager = supervisor(&self.plan, self.sealed.as_ref(), 2, self.now);
        self.manager_wakes_at = Time::NEVER;
    }

    /// Somebody does nothing for a while, and then all at once.
    fn hang(&mut self) {
        let pause = Duration::from_secs_f64(1.0 / self.plan.hangs_per_s);
        self.later(pause, Happening::Hang);
        let viewers = self.breadth_first();
        if viewers.is_empty() {
            return;
        }
        let victim = viewers[self.random.random_range(0..viewers.len())];
        let length = Duration::from_millis(self.random.random_range(HANGS_MS));
        if let Some(actor) = self.actors.get_mut(&victim) {
            actor.hangs = self.now + length;
        }
    }

    fn manage(&mut self, input: stream_manager::Input<'_>) {
        if self.away.is_some() {
            return;
        }
        let mut out = Vec::new();
        self.manager.handle(self.now, input, &mut out);
        for output in out {
            match output {
                stream_manager::Output::Send(SocketId(name), message) => self.tell(name, &message),
                stream_manager::Output::Text(SocketId(name), text) => {
                    let input = node::Input::SupervisorText(text);
                    self.later(TO_SUPERVISOR, Happening::ToNode(name, input));
                }
                stream_manager::Output::Task(task, what) => {
                    let sealed = self.sealed.as_ref();
                    let answer = sealed.and_then(|sealed| sealed.answer_supervisor(&what));
                    self.manage(stream_manager::Input::TaskDone(task, answer));
                }
                stream_manager::Output::Admit(socket, _) => {
                    self.manage(stream_manager::Input::Admitted(socket, Ok(())));
                }
                stream_manager::Output::KeepKey(..) | stream_manager::Output::Own { .. } => {
                    if let Some(sealed) = &mut self.sealed {
                        sealed.keep(&output);
                    }
                }
                stream_manager::Output::KeepEpoch(..) => {} // no clock goes back
                stream_manager::Output::PutOut(_) => {}     // nobody cheats
                stream_manager::Output::Close(SocketId(name), ..) => {
                    self.later(
                        TO_SUPERVISOR,
                        Happening::ToNode(name, node::Input::SupervisorDown),
                    );
                }
            }
        }
        let wakeup = self.manager.next_wakeup();
        if wakeup < self.manager_wakes_at {
            self.manager_wakes_at = wakeup;
            self.later(wakeup.since(self.now), Happening::WakeManager);
        }
    }

    fn tell(&mut self, name: Name, message: &ToPeer) {
        let input = node::Input::SupervisorText(message.to_text());
        self.later(TO_SUPERVISOR, Happening::ToNode(name, input));
    }

    fn step(&mut self, name: Name, input: node::Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let Some(actor) = self.actors.get_mut(&name) else {
                return;
            };
            let cue = actor.scribe.is_some().then(|| Cue::of_node(&input));
            let mut out = Vec::new();
            actor.node.handle(self.now, input, &mut out);
            if let Some((scribe, cue)) = actor.scribe.as_mut().zip(cue) {
                scribe.node(self.now, cue, &out, actor.node.next_wakeup());
            }
            for output in out {
                inputs.extend(self.carry_out(name, output));
            }
        }
        self.schedule(name);
    }

    fn schedule(&mut self, name: Name) {
        let Some(actor) = self.actors.get_mut(&name) else {
            return;
        };
        let look = if actor.viewer.is_some() {
            self.now + LOOK_EVERY
        } else {
            Time::NEVER
        };
        let wakeup = actor.node.next_wakeup().min(look).max(self.now);
        if wakeup < actor.wakes_at {
            actor.wakes_at = wakeup;
            self.later(wakeup.since(self.now), Happening::Wake(name));
        }
    }

    fn carry_out(&mut self, name: Name, output: Output) -> Option<node::Input> {
        match output {
            Output::Signal(text) => self.signal(name, text),
            Output::KeyTask(task, what) => {
                let sealed = self.sealed.as_ref();
                let answer = sealed.and_then(|sealed| sealed.answer_peer(name, &what));
                return Some(node::Input::TaskDone(task, answer));
            }
            Output::Connect(link) => {
                self.outcome.connections += 1;
                return Some(node::Input::LocalDescription(link, sdp(name)));
            }
            Output::Accept(link, _) => return Some(node::Input::LocalDescription(link, sdp(name))),
            Output::SetAnswer(link, _) => self.set_up(name, link),
            Output::Control(link, bytes) => {
                self.send(name, link, |link| node::Input::Control(link, bytes))
            }
            Output::Media(link, bytes) => self.send_media(name, link, bytes),
            Output::AskBacklog(link, water) => {
                return Some(self.backlog(name, link, water));
            }
            Output::Close(link) => {
                self.send(name, link, |link| {
                    node::Input::LinkClosed(link, "closed".into())
                });
                self.forget_link(link);
            }
            Output::Event(event) => return self.news(name, &event),
            Output::AddCandidate(..) | Output::IceServers(..) | Output::HangUp(_) => {}
        }
        None
    }

    fn signal(&mut self, name: Name, text: String) {
        if let Ok(FromPeer::LinkOffer(offer)) = FromPeer::parse(&text)
            && let Some(&parent) = self.peers.get(&offer.peer)
        {
            self.links.insert(offer.link, (name, parent));
            for end in [name, parent] {
                self.links_of.entry(end).or_default().insert(offer.link);
            }
        }
        match FromPeer::parse(&text) {
            Ok(FromPeer::TookOver { .. }) => self.outcome.takeovers += 1,
            Ok(FromPeer::ParentLost { .. }) => self.outcome.complaints += 1,
            _ => {}
        }
        self.later(TO_SUPERVISOR, Happening::FromNode(name, text));
    }

    /// A pair's latency is the same all the time, and both ways: what was sent first arrives first.
    fn latency(&self, a: Name, b: Name) -> Duration {
        let (least, most) = self.plan.latency_ms;
        let mixed =
            (a.min(b) << 32 | a.max(b)).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.plan.seed;
        Duration::from_millis(least + (mixed >> 16) % (most - least + 1))
    }

    fn set_up(&mut self, name: Name, link: LinkId) {
        let Some(&(child, parent)) = self.links.get(&link) else {
            return;
        };
        debug_assert_eq!(name, child);
        let time = self.latency(child, parent) * 2 * SET_UP_ROUND_TRIPS;
        for end in [child, parent] {
            self.later(time, Happening::ToNode(end, node::Input::LinkOpen(link)));
        }
    }

    fn send(&mut self, name: Name, link: LinkId, input: impl FnOnce(LinkId) -> node::Input) {
        let Some(&(child, parent)) = self.links.get(&link) else {
            return;
        };
        let other = if name == child { parent } else { child };
        self.later(
            self.latency(child, parent),
            Happening::ToNode(other, input(link)),
        );
    }

    fn forget_link(&mut self, link: LinkId) {
        let Some((child, parent)) = self.links.remove(&link) else {
            return;
        };
        for end in [child, parent] {
            if let Some(links) = self.links_of.get_mut(&end) {
                links.remove(&link);
            }
        }
    }

    /// Media goes out one after the other where the uplink is no more than it is.
    fn send_media(&mut self, name: Name, link: LinkId, bytes: Bytes) {
        let now = self.now;
        let gone = match self.uplinks.get_mut(&name) {
            Some(uplink) => uplink.send(now, link, bytes.len()),
            None => now,
        };
        let Some(&(child, parent)) = self.links.get(&link) else {
            return;
        };
        let other = if name == child { parent } else { child };
        let way = self.latency(child, parent);
        let there = gone.since(now) + way + self.late(bytes.len(), way * 2);
        self.later(
            there,
            Happening::ToNode(other, node::Input::Media(link, bytes)),
        );
    }

    /// How much later than it should a message comes, for one of its packets was lost. Whoever waits for a packet learns by
    /// what follows it, and has it a round trip later; if that is lost as well only time tells (RFC 9260, 7.2.4 and 6.3.3).
    fn late(&mut self, bytes: usize, round_trip: Duration) -> Duration {
        if self.plan.loss <= 0.0 {
            return Duration::ZERO;
        }
        let packets = bytes.div_ceil(PACKET_BYTES);
        let mut waits = Duration::ZERO;
        for _ in 0..packets {
            let mut wait = Duration::ZERO;
            let mut again = round_trip + FOLLOWED_BY;
            while self.random.random_bool(self.plan.loss) && wait < MOST_LATE {
                wait += again;
                again = if again < TIME_OUT {
                    TIME_OUT
                } else {
                    again * 2
                };
            }
            waits = waits.max(wait);
        }
        waits
    }

    /// What an uplink has not sent yet; when it is above the water, the node is told again when half of that is left.
    fn backlog(&mut self, name: Name, link: LinkId, water: usize) -> node::Input {
        let now = self.now;
        let Some(uplink) = self.uplinks.get_mut(&name) else {
            return node::Input::Backlog(link, 0);
        };
        let (left, half_at) = uplink.left(now, link, water / 2);
        if left > water {
            let again = node::Input::Backlog(link, water / 2);
            self.later(half_at.since(now), Happening::ToNode(name, again));
        }
        node::Input::Backlog(link, left)
    }

    fn news(&mut self, name: Name, event: &node::Event) -> Option<node::Input> {
        if let node::Event::Registered(_, epoch, grant) = event {
            let began = *self.on_air.0.get_or_insert(self.now);
            self.on_air.1 = self.now.as_micros() - began.as_micros();
            let descriptor = descriptor(*epoch, self.on_air.1);
            let begun = match &mut self.sealed {
                Some(sealed) => sealed.begin(descriptor, grant.clone()),
                None => Some(SignedDescriptor::unsigned(descriptor)),
            };
            self.later(Duration::ZERO, Happening::Frame(*epoch, 0));
            return begun.map(node::Input::StartEpoch);
        }
        if let Some(sealed) = &mut self.sealed
            && let node::Event::StreamKey(_, number, key) = event
        {
            sealed.take_key(*number, key.clone());
        }
        if let node::Event::Chunk(_, chunk) = event {
            self.outcome.chunks += 1;
            let fact = [name, chunk.header().position.sequence, self.now.as_micros()];
            for number in fact {
                self.outcome.trace = (self.outcome.trace ^ number).wrapping_mul(0x0100_0000_01B3);
            }
        }
        if let Some(actor) = self.actors.get_mut(&name) {
            actor.play(self.now, Told::News(event));
        }
        None
    }

    fn look(&mut self, name: Name) {
        let now = self.now;
        let Some(actor) = self.actors.get_mut(&name) else {
            return;
        };
        let Some((_, screen)) = &mut actor.viewer else {
            return;
        };
        let seen = playback::Input::Element(screen.look(now));
        actor.play(now, Told::Input(seen));
        let has_started = |(viewer, _): &(Viewer, Screen)| viewer.stats(now).started;
        if !actor.started && actor.viewer.as_ref().is_some_and(has_started) {
            actor.started = true;
            actor.since = now;
            self.outcome.lives += 1;
        }
    }

    fn frame(&mut self, epoch: u32, sequence: u64) {
        let Some((&broadcaster, actor)) = self.actors.first_key_value() else {
            return;
        };
        if actor.node.epoch(&STREAM) != Some(epoch) {
            return; // the encoder has started again
        }
        self.later(FRAME, Happening::Frame(epoch, sequence + 1));
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
        let chunks = match &mut self.sealed {
            Some(sealed) => sealed.seal(header, &[0; FRAME_BYTES]),
            None => cut(header, &[0; FRAME_BYTES]),
        };
        for chunk in chunks {
            self.step(broadcaster, node::Input::Own(chunk));
        }
    }

    /// How it goes at this moment, for those who draw it.
    fn sample(&mut self) {
        self.later(SAMPLED, Happening::Sample);
        let mut sample = Sample {
            at: self.now.since(self.began),
            stalls: self.outcome.stalls,
            takeovers: self.outcome.takeovers,
            ..Sample::default()
        };
        let (mut placed, mut depths) = (0_u64, 0_u64);
        for actor in self.actors.values() {
            let Some((viewer, _)) = &actor.viewer else {
                continue;
            };
            let stats = viewer.stats(self.now);
            sample.alive += 1;
            sample.stalls += u64::from(stats.stalls);
            sample.playing += u64::from(actor.started && !stats.is_stalled);
            sample.stalled += u64::from(actor.started && stats.is_stalled);
            let stats = actor.node.stats(&STREAM).filter(|s| s.parent.is_some());
            if let Some(stats) = stats {
                placed += 1;
                depths += u64::from(stats.depth);
                sample.deepest = sample.deepest.max(stats.depth);
            }
        }
        sample.mean_depth = depths as f64 / placed.max(1) as f64;
        self.outcome.samples.push(sample);
    }

    fn fail(&mut self) {
        let pause = Duration::from_secs_f64(1.0 / self.plan.failures_per_s);
        self.later(pause, Happening::Fail);
        if self.now >= self.order_until {
            self.order = self.breadth_first();
            self.order_until = self.now + ORDER_LASTS.min(pause);
        }
        if self.order.is_empty() {
            return;
        }
        let nth = self.plan.victims.draw(&mut self.random, self.order.len());
        let victim = self.order.remove(nth);
        if !self.actors.contains_key(&victim) {
            return;
        }
        self.bury(victim);
        for link in self.links_of.remove(&victim).unwrap_or_default() {
            if self.plan.failure == Failure::Leave {
                self.send(victim, link, |link| {
                    node::Input::LinkClosed(link, "left".into())
                });
            }
            self.forget_link(link);
        }
        if self.plan.failure != Failure::Freeze {
            self.later(TO_SUPERVISOR, Happening::Disconnected(victim));
        }
        self.later(COMES_BACK, Happening::NewViewer);
    }

    /// The viewers that have a place in the tree, those next to the broadcaster first.
    fn breadth_first(&self) -> Vec<Name> {
        let place = |(&name, actor): (&Name, &Actor)| {
            let stats = actor.node.stats(&STREAM).filter(|s| s.parent.is_some())?;
            actor.viewer.as_ref().map(|_| (stats.depth, name))
        };
        let mut order: Vec<(u16, Name)> = self.actors.iter().filter_map(place).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, name)| name).collect()
    }

    fn seen(&self, at: Duration) -> Look {
        let viewers = self.actors.values().filter_map(|a| a.viewer.as_ref());
        let latencies: Vec<Duration> = viewers
            .filter_map(|(viewer, _)| viewer.stats(self.now).latency)
            .collect();
        let count = u32::try_from(latencies.len()).unwrap_or(u32::MAX);
        let stats = self.actors.values().filter_map(|a| a.node.stats(&STREAM));
        Look {
            at,
            latency: (count > 0).then(|| latencies.iter().sum::<Duration>() / count.max(1)),
            kept: stats.map(|stats| stats.window_bytes).sum(),
        }
    }

    /// Counts what a viewer's life came to.
    fn bury(&mut self, name: Name) -> Option<(bool, u16)> {
        let actor = self.actors.remove(&name)?;
        self.peers.remove(&actor.node.config().peer);
        self.uplinks.remove(&name);
        if let Some((scripts, scribe)) = self.scripts.as_mut().zip(actor.scribe) {
            let viewer = actor.viewer.as_ref().map(|(viewer, _)| viewer);
            scripts.push(scribe.end(self.now, &actor.node, viewer));
        }
        let (viewer, _) = actor.viewer?;
        let stats = viewer.stats(self.now);
        self.outcome.stalls += u64::from(stats.stalls);
        self.outcome.stalled += stats.stalled;
        if actor.started {
            self.outcome.watched += self.now.since(actor.since);
        }
        let depth = actor.node.stats(&STREAM).map_or(0, |s| s.depth);
        Some((actor.started && !stats.is_stalled, depth))
    }

    fn close(&mut self) {
        let names: Vec<Name> = self.actors.keys().copied().collect();
        for name in names {
            if let Some((playing, depth)) = self.bury(name) {
                self.outcome.alive += 1;
                self.outcome.playing += u64::from(playing);
                self.outcome.deepest = self.outcome.deepest.max(depth);
            }
        }
    }
}

/// What a viewer is told.
enum Told<'a> {
    News(&'a node::Event),
    Input(playback::Input),
}

impl Actor {
    /// Tells its viewer, and does what that wants done; none may be there.
    fn play(&mut self, now: Time, told: Told<'_>) {
        let Some((viewer, screen)) = &mut self.viewer else {
            return;
        };
        let mut waiting = VecDeque::from([told]);
        while let Some(told) = waiting.pop_front() {
            let mut out = Vec::new();
            let cue = match told {
                Told::News(event) => {
                    viewer.news(now, event, &mut out);
                    Some(Cue::News)
                }
                Told::Input(input) => {
                    let cue = Cue::of_player(&input);
                    viewer.handle(now, input, &mut out);
                    cue
                }
            };
            if let Some((scribe, cue)) = self.scribe.as_mut().zip(cue) {
                scribe.player(now, cue, &out, viewer.next_wakeup());
            }
            let carried = out
                .iter()
                .filter_map(|output| screen.carry_out(now, output));
            waiting.extend(carried.map(Told::Input));
        }
    }
}

fn supervisor(plan: &Plan, sealed: Option<&Sealed>, term: u64, now: Time) -> StreamManager {
    let config = stream_manager::Config {
        term,
        epochs: BTreeMap::new(),
        software: "simulated".into(),
        wall: ClockMap::default(),
        ice: Box::new(|_, _| Vec::new()),
        ice_lifetime: None,
        external_address: None,
        topology: plan.topology,
        backups: plan.backups,
        limits: Limits {
            peers: usize::MAX,
            ..Limits::default()
        },
        security: sealed.map(|sealed| sealed.of_supervisor(term)),
    };
    StreamManager::new(config, now)
}

fn fingerprint(name: Name) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&name.to_be_bytes());
    Fingerprint::from_bytes(bytes)
}

fn sdp(name: Name) -> String {
    format!("v=0\r\na=fingerprint:sha-256 {}\r\n", fingerprint(name))
}

fn registration() -> Registration {
    let tracks = vec![StreamTrack {
        track: Track::Video,
        codec: Codec::Vp8,
    }];
    let name = "simulated".into();
    Registration {
        stream: STREAM,
        name,
        tracks,
        kbps: KBPS,
        running_epoch: None,
        topology: None,
        access: Access::Public,
        running_key: None,
        allow_failures: false,
    }
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
