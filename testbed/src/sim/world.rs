//! The world of one run: a queue of what happens when, and the machines it happens to.

use std::collections::BTreeMap;
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

use super::uplink::Uplink;
use super::{Failure, JOINING, Look, Outcome, Plan};
use crate::live;

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
    Frame(u64),
}

struct Actor {
    node: Node,
    viewer: Option<(Viewer, Screen)>,
    started: bool,
    wakes_at: Time,
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
    uplinks: BTreeMap<Name, Uplink>,
    peers: BTreeMap<PeerId, Name>,
    random: StdRng,
    made: u64,
    outcome: Outcome,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Outcome {
    run_watched(plan, plan.length * 2, |_| {})
}

/// Runs a plan to its end, and tells every so often how the world stands.
pub fn run_watched(plan: &Plan, every: Duration, mut tell: impl FnMut(Look)) -> Outcome {
    let mut world = World::new(plan.clone());
    world.open();
    let (begin, end) = (world.now, world.now + plan.length);
    let mut next = begin + every;
    while let Some(((at, _), happening)) = world.queue.pop_first() {
        if at > end {
            break;
        }
        if at >= next {
            tell(world.seen(next.since(begin)));
            next = next + every;
        }
        world.now = at;
        world.happen(happening);
    }
    world.close()
}

impl World {
    fn new(plan: Plan) -> Self {
        let now = Time::from_millis(1_000);
        let config = stream_manager::Config {
            term: 1,
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
            security: None,
        };
        Self {
            now,
            queue: BTreeMap::new(),
            queued: 0,
            manager: StreamManager::new(config, now),
            manager_wakes_at: Time::NEVER,
            actors: BTreeMap::new(),
            links: BTreeMap::new(),
            uplinks: BTreeMap::new(),
            peers: BTreeMap::new(),
            random: StdRng::seed_from_u64(plan.seed),
            made: 0,
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
                Duration::from_millis(500) + JOINING * viewer,
                Happening::NewViewer,
            );
        }
        if self.plan.failures_per_s > 0.0 {
            let all_there = live::CALM + JOINING * self.plan.viewers;
            self.later(all_there, Happening::Fail);
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
            security: None,
        };
        if component == Component::Receiver
            && self.plan.slow_every > 0
            && name.is_multiple_of(u64::from(self.plan.slow_every))
        {
            self.uplinks.insert(name, Uplink::new(self.plan.slow_kbps));
        }
        let viewer = (component == Component::Receiver).then(|| (self.player(), Screen::new()));
        self.peers.insert(config.peer, name);
        let node = Node::new(config, self.now);
        self.actors.insert(
            name,
            Actor {
                node,
                viewer,
                started: false,
                wakes_at: Time::NEVER,
            },
        );
        self.later(TO_SUPERVISOR, Happening::Connected(name));
        self.later(
            TO_SUPERVISOR,
            Happening::ToNode(
                name,
                node::Input::SupervisorUp(HandshakeSeed::from_bytes([0; 32])),
            ),
        );
        name
    }

    fn player(&self) -> Viewer {
        match self.plan.hold {
            Some(hold) => Viewer::holding(STREAM, self.now, hold),
            None => Viewer::new(STREAM, self.now),
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::ToNode(name, input) => self.step(name, input),
            Happening::Wake(name) => self.wake(name),
            Happening::Connected(name) => {
                self.manage(stream_manager::Input::Connected(SocketId(name), None))
            }
            Happening::Disconnected(name) => {
                self.manage(stream_manager::Input::Disconnected(SocketId(name)))
            }
            Happening::FromNode(name, text) => {
                self.manage(stream_manager::Input::Text(SocketId(name), &text))
            }
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
            Happening::Frame(sequence) => self.frame(sequence),
        }
    }

    fn wake(&mut self, name: Name) {
        let Some(actor) = self.actors.get_mut(&name) else {
            return;
        };
        actor.wakes_at = Time::NEVER;
        self.step(name, node::Input::Tick);
        self.look(name);
    }

    fn manage(&mut self, input: stream_manager::Input<'_>) {
        let mut out = Vec::new();
        self.manager.handle(self.now, input, &mut out);
        for output in out {
            match output {
                stream_manager::Output::Send(SocketId(name), message) => self.tell(name, &message),
                // Nobody is certified here.
                stream_manager::Output::Text(..)
                | stream_manager::Output::Task(..)
                | stream_manager::Output::Admit(..)
                | stream_manager::Output::KeepKey(..)
                | stream_manager::Output::PutOut(_)
                | stream_manager::Output::Own { .. } => {}
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
            let mut out = Vec::new();
            actor.node.handle(self.now, input, &mut out);
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
            Output::KeyTask(task, _) => return Some(node::Input::TaskDone(task, None)),
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
        let there = gone.since(now) + self.latency(child, parent);
        self.later(
            there,
            Happening::ToNode(other, node::Input::Media(link, bytes)),
        );
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
        if let node::Event::Registered(_, epoch, _) = event {
            self.later(Duration::ZERO, Happening::Frame(0));
            return Some(node::Input::StartEpoch(SignedDescriptor::unsigned(
                descriptor(*epoch),
            )));
        }
        if let node::Event::Chunk(_, chunk) = event {
            self.outcome.chunks += 1;
            let fact = [name, chunk.header().position.sequence, self.now.as_micros()];
            for number in fact {
                self.outcome.trace = (self.outcome.trace ^ number).wrapping_mul(0x0100_0000_01B3);
            }
        }
        let now = self.now;
        if let Some((viewer, screen)) = self.actors.get_mut(&name).and_then(|a| a.viewer.as_mut()) {
            let mut out = Vec::new();
            viewer.news(now, event, &mut out);
            play(now, viewer, screen, out);
        }
        None
    }

    fn look(&mut self, name: Name) {
        let now = self.now;
        let Some(actor) = self.actors.get_mut(&name) else {
            return;
        };
        let Some((viewer, screen)) = &mut actor.viewer else {
            return;
        };
        let mut out = Vec::new();
        viewer.handle(now, playback::Input::Element(screen.look(now)), &mut out);
        play(now, viewer, screen, out);
        if !actor.started && viewer.stats(now).started {
            actor.started = true;
            self.outcome.lives += 1;
        }
    }

    fn frame(&mut self, sequence: u64) {
        self.later(FRAME, Happening::Frame(sequence + 1));
        let Some((&broadcaster, actor)) = self.actors.first_key_value() else {
            return;
        };
        let Some(epoch) = actor.node.epoch(&STREAM) else {
            return;
        };
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
            media_us: sequence * FRAME.as_micros() as u64,
        };
        for chunk in cut(header, &[0; FRAME_BYTES]) {
            self.step(broadcaster, node::Input::Own(chunk));
        }
    }

    fn fail(&mut self) {
        let pause = Duration::from_secs_f64(1.0 / self.plan.failures_per_s);
        self.later(pause, Happening::Fail);
        let viewers = self.breadth_first();
        if viewers.is_empty() {
            return;
        }
        let victim = viewers[self.plan.victims.draw(&mut self.random, viewers.len())];
        self.bury(victim);
        let links: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, ends)| ends.0 == victim || ends.1 == victim)
            .map(|(&l, _)| l)
            .collect();
        for link in links {
            if self.plan.failure == Failure::Leave {
                self.send(victim, link, |link| {
                    node::Input::LinkClosed(link, "left".into())
                });
            }
            self.links.remove(&link);
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
        let (viewer, _) = actor.viewer?;
        let stats = viewer.stats(self.now);
        self.outcome.stalls += u64::from(stats.stalls);
        self.outcome.stalled += stats.stalled;
        let depth = actor.node.stats(&STREAM).map_or(0, |s| s.depth);
        Some((actor.started && !stats.is_stalled, depth))
    }

    fn close(mut self) -> Outcome {
        let names: Vec<Name> = self.actors.keys().copied().collect();
        for name in names {
            if let Some((playing, depth)) = self.bury(name) {
                self.outcome.alive += 1;
                self.outcome.playing += u64::from(playing);
                self.outcome.deepest = self.outcome.deepest.max(depth);
            }
        }
        self.outcome
    }
}

fn play(now: Time, viewer: &mut Viewer, screen: &mut Screen, mut out: Vec<playback::Output>) {
    while !out.is_empty() {
        let told: Vec<_> = out
            .drain(..)
            .filter_map(|output| screen.carry_out(now, &output))
            .collect();
        told.into_iter()
            .for_each(|input| viewer.handle(now, input, &mut out));
    }
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

fn descriptor(epoch: u32) -> Descriptor {
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
        media_origin_us: 0,
        tracks: vec![track],
    }
}
