//! The world of one run: its peers in shards, its supervisor, and what happens to all of them. Time goes on in spans no longer than anything
//! takes from one to another, so that shards and supervisor can go through a span side by side.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use protocol::media::{Codec, Track};
use protocol::node::{self, MOST_LANES, Node};
use protocol::playback::screen::Screen;
use protocol::security::secret::HandshakeSeed;
use protocol::signal::{Access, Component, Registration, StreamTrack};
use protocol::time::Time;
use protocol::viewer::Viewer;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::actor::Actor;
use super::office::{Arrival, Office};
use super::queue::Queue;
use super::sealed::Sealed;
use super::shard::{
    BROADCASTER, Happening, KBPS, Name, SHARDS, STREAM, Security, Sent, Shard, TO_SUPERVISOR,
    fingerprint, id_of, open, shard_of,
};
use super::uplink::Uplink;
use super::{Failure, Look, Outcome, Plan, Sample};
use crate::script::{Part, Scribe, Script};

/// A viewer that failed comes back as another one after this. Guess: a program's start.
const COMES_BACK: Duration = Duration::from_millis(100);
/// How it goes is noted this often.
const SAMPLED: Duration = Duration::from_secs(1);
/// The order of victims is looked at for each, and of more than so many only after this: of a hundred thousand it takes 40 ms (measured).
const MANY: usize = 1_000;
const ORDER_LASTS: Duration = Duration::from_millis(100);
/// How long a peer hangs that does not die of it, milliseconds.
const HANGS_MS: std::ops::Range<u64> = 50..1_500;
/// Peers are back at a supervisor that is back within this, milliseconds.
const RECONNECTING_MS: std::ops::Range<u64> = 10..500;
/// With fewer viewers a span is over sooner than threads are started. Guess: ten microseconds a peer and span, and some fifty a thread.
const WORTH_THREADS: u32 = 2_000;
/// The least time there is.
const MOMENT: Duration = Duration::from_micros(1);

/// What happens to the world as a whole, between two spans.
enum Change {
    NewViewer,
    Fail,
    Sample,
    Hang,
    SupervisorGoes,
    SupervisorComes,
    EncoderRestarts,
}

struct World {
    plan: Arc<Plan>,
    now: Time,
    /// When the run ends.
    until: Time,
    changes: Queue<Change>,
    shards: Vec<Shard>,
    office: Office,
    random: StdRng,
    began: Time,
    /// The victims to be, and until when they are taken to be where they were.
    order: Vec<Name>,
    order_until: Time,
    sealed: Security,
    made: u64,
    threads: usize,
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
    perform(World::new(plan), every, tell).outcome
}

/// Runs a plan to its end, and writes down what each peer was told and did.
pub fn write_down(plan: &Plan) -> Vec<Script> {
    let world = World {
        scripts: Some(Vec::new()),
        ..World::new(plan)
    };
    let done = perform(world, plan.length * 2, |_| {});
    done.scripts.unwrap_or_default()
}

fn perform(mut world: World, every: Duration, mut tell: impl FnMut(Look)) -> World {
    world.open();
    let begin = world.now;
    let mut next = begin + every;
    while let Some(at) = world.next().filter(|at| *at <= world.until) {
        if at >= next {
            tell(world.seen(next.since(begin)));
            next += every;
        }
        world.now = at;
        world.go_on();
    }
    world.close();
    world
}

impl World {
    fn new(plan: &Plan) -> Self {
        let now = Time::from_millis(1_000);
        let plan = Arc::new(plan.clone());
        let sealed = plan
            .sealed
            .then(|| Arc::new(Mutex::new(Sealed::new(plan.seed))));
        let shards = (0..SHARDS).map(|number| Shard::new(&plan, number, sealed.clone(), now));
        Self {
            now,
            until: now + plan.length,
            changes: Queue::new(),
            shards: shards.collect(),
            office: Office::new(&plan, sealed.clone(), now),
            random: StdRng::seed_from_u64(plan.seed),
            began: now,
            order: Vec::new(),
            order_until: now,
            sealed,
            made: 0,
            threads: threads(&plan),
            scripts: None,
            outcome: Outcome::default(),
            plan,
        }
    }

    /// Broadcaster and relays first, then the viewers, one each 20 ms.
    fn open(&mut self) {
        let broadcaster = self.make(Component::Broadcaster);
        self.put(
            Duration::ZERO,
            broadcaster,
            node::Input::Publish(registration()),
        );
        for _ in 0..self.plan.relays {
            self.make(Component::Relay);
        }
        for viewer in 0..self.plan.viewers {
            self.later(
                Duration::from_millis(500) + self.plan.joining() * viewer,
                Change::NewViewer,
            );
        }
        self.later(SAMPLED, Change::Sample);
        if self.plan.failures_per_s > 0.0 {
            self.later(self.plan.settling(), Change::Fail);
        }
        if self.plan.hangs_per_s > 0.0 {
            self.later(self.plan.calm, Change::Hang);
        }
        if let Some((at, _)) = self.plan.supervisor_away {
            self.later(at, Change::SupervisorGoes);
        }
        if let Some(at) = self.plan.encoder_restarts {
            self.later(at, Change::EncoderRestarts);
        }
    }

    fn later(&mut self, delay: Duration, change: Change) {
        self.changes.put(self.now + delay, change);
    }

    fn put(&mut self, delay: Duration, name: Name, input: node::Input) {
        let happening = Happening::Input(input);
        self.shards[shard_of(name)].put(self.now + delay, name, happening);
    }

    /// When something happens next, to whomever.
    fn next(&self) -> Option<Time> {
        let shards = self.shards.iter().filter_map(Shard::next);
        let others = [self.changes.next(), self.office.next()];
        shards.chain(others.into_iter().flatten()).min()
    }

    /// What changes at this moment, or else all that happens in the span that begins now.
    fn go_on(&mut self) {
        if let Some((_, change)) = self.changes.pop_before(self.now + MOMENT) {
            return self.change(change);
        }
        // Where something may arrive at once, no further than this moment.
        let mut end = (self.now + least(&self.plan).max(MOMENT)).min(self.until + MOMENT);
        if let Some(at) = self.changes.next() {
            end = end.min(at);
        }
        self.run_until(end);
        self.hand_over();
        self.now = end;
    }

    fn run_until(&mut self, end: Time) {
        if self.threads <= 1 {
            self.shards.iter_mut().for_each(|shard| shard.run(end));
            return self.office.run(end);
        }
        let share = self.shards.len().div_ceil(self.threads);
        let office = &mut self.office;
        thread::scope(|scope| {
            for shards in self.shards.chunks_mut(share) {
                scope.spawn(move || shards.iter_mut().for_each(|shard| shard.run(end)));
            }
            office.run(end);
        });
    }

    /// What left one shard comes to another: always in the same order, whoever was done first.
    fn hand_over(&mut self) {
        let of_shards = self.shards.iter_mut().map(|shard| &mut shard.sent);
        let outboxes = of_shards.chain([&mut self.office.sent]);
        let sent: Vec<Sent> = outboxes.flat_map(std::mem::take).collect();
        for sent in sent {
            match sent {
                Sent::ToPeer(at, name, happening) => {
                    self.shards[shard_of(name)].put(at, name, happening);
                }
                Sent::ToSupervisor(at, name, text) => {
                    self.office.put(at, Arrival::Text(name, text));
                }
            }
        }
    }

    fn make(&mut self, component: Component) -> Name {
        self.made += 1;
        let name = self.made;
        let uplink_kbps = match component {
            Component::Broadcaster => 20_000,
            Component::Relay => self.plan.relay_kbps,
            Component::Receiver => self.plan.viewer_kbps,
        };
        let config = node::Config {
            peer: id_of(name),
            component,
            fingerprint: fingerprint(name),
            uplink_kbps,
            relays: true,
            software: "simulated".into(),
            name: None,
            lanes: MOST_LANES,
            seed: self.random.random(),
            security: self
                .sealed
                .as_ref()
                .map(|sealed| open(sealed).of_peer(name, component)),
        };
        let slow_every = u64::from(self.plan.slow_every);
        let is_slow = slow_every > 0 && name.is_multiple_of(slow_every);
        let uplink = match component {
            Component::Receiver if is_slow => Some(Uplink::new(self.plan.slow_kbps)),
            _ => self.plan.real_uplinks.then(|| Uplink::new(uplink_kbps)),
        };
        let viewer = (component == Component::Receiver).then(|| (self.player(), Screen::new()));
        let watches = viewer.is_some().then_some((STREAM, self.plan.hold));
        let scribe = self.scripts.as_ref().map(|_| {
            let part = Part::new(&config, watches, self.now);
            Scribe::new(self.plan.seed, name, part)
        });
        let loss = (self.plan.loss > 0.0).then(|| {
            let random = StdRng::seed_from_u64(self.random.random());
            (self.plan.loss, Box::new(random))
        });
        let actor = Actor {
            name,
            node: Node::new(config, self.now),
            viewer,
            links: BTreeMap::new(),
            uplink,
            loss,
            started: false,
            since: self.now,
            wakes_at: Time::NEVER,
            hangs: Time::ZERO,
            scribe,
        };
        self.shards[shard_of(name)].add(Box::new(actor));
        self.connect(name, self.office.is_there_in(self.now) + TO_SUPERVISOR);
        name
    }

    fn connect(&mut self, name: Name, delay: Duration) {
        self.office.put(self.now + delay, Arrival::Connected(name));
        let unused = || HandshakeSeed::from_bytes([0; 32]);
        let random = self
            .sealed
            .as_ref()
            .map_or_else(unused, |sealed| open(sealed).handshake());
        self.put(delay, name, node::Input::SupervisorUp(random));
    }

    fn player(&self) -> Viewer {
        match self.plan.hold {
            Some(hold) => Viewer::holding(STREAM, self.now, hold),
            None => Viewer::new(STREAM, self.now),
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::NewViewer => {
                let name = self.make(Component::Receiver);
                self.put(TO_SUPERVISOR * 2, name, node::Input::Watch(STREAM, None));
            }
            Change::Fail => self.fail(),
            Change::Sample => self.sample(),
            Change::Hang => self.hang(),
            Change::SupervisorGoes => self.supervisor_goes(),
            Change::SupervisorComes => self.office.comes_back(self.now),
            Change::EncoderRestarts => {
                self.put(
                    Duration::ZERO,
                    BROADCASTER,
                    node::Input::Publish(registration()),
                );
            }
        }
    }

    /// Those who are there come back one after the other once it is.
    fn supervisor_goes(&mut self) {
        let Some((_, length)) = self.plan.supervisor_away else {
            return;
        };
        self.office.away = Some(self.now + length);
        self.later(length, Change::SupervisorComes);
        for name in self.names() {
            self.put(TO_SUPERVISOR, name, node::Input::SupervisorDown);
            let pause = Duration::from_millis(self.random.random_range(RECONNECTING_MS));
            self.connect(name, length + pause);
        }
    }

    /// Somebody does nothing for a while, and then all at once.
    fn hang(&mut self) {
        let pause = Duration::from_secs_f64(1.0 / self.plan.hangs_per_s);
        self.later(pause, Change::Hang);
        let viewers = self.breadth_first();
        if viewers.is_empty() {
            return;
        }
        let victim = viewers[self.random.random_range(0..viewers.len())];
        let length = Duration::from_millis(self.random.random_range(HANGS_MS));
        if let Some(actor) = self.shards[shard_of(victim)].actor(victim) {
            actor.hangs = self.now + length;
        }
    }

    fn actors(&self) -> impl Iterator<Item = &Actor> {
        self.shards.iter().flat_map(Shard::actors)
    }

    /// Those who are alive, the eldest first.
    fn names(&self) -> Vec<Name> {
        let mut names: Vec<Name> = self.actors().map(|actor| actor.name).collect();
        names.sort_unstable();
        names
    }

    /// How it goes at this moment, for those who draw it.
    fn sample(&mut self) {
        self.later(SAMPLED, Change::Sample);
        let mut sample = Sample {
            at: self.now.since(self.began),
            stalls: self.outcome.stalls,
            takeovers: self.shards.iter().map(|s| s.outcome.takeovers).sum(),
            ..Sample::default()
        };
        let (mut placed, mut depths) = (0_u64, 0_u64);
        for actor in self.actors() {
            if let Some(depth) = actor.sample(self.now, &mut sample) {
                placed += 1;
                depths += u64::from(depth);
                sample.deepest = sample.deepest.max(depth);
            }
        }
        sample.mean_depth = depths as f64 / placed.max(1) as f64;
        self.outcome.samples.push(sample);
    }

    fn fail(&mut self) {
        let pause = Duration::from_secs_f64(1.0 / self.plan.failures_per_s);
        self.later(pause, Change::Fail);
        if self.now >= self.order_until {
            self.order = self.breadth_first();
            let are_many = self.order.len() > MANY;
            self.order_until = self.now
                + if are_many {
                    ORDER_LASTS
                } else {
                    Duration::ZERO
                };
        }
        if self.order.is_empty() {
            return;
        }
        let nth = self.plan.victims.draw(&mut self.random, self.order.len());
        let victim = self.order.remove(nth);
        let shard = &mut self.shards[shard_of(victim)];
        if self.plan.failure == Failure::Leave {
            shard.say_good_bye(self.now, victim);
            self.hand_over();
        }
        if self.bury(victim).is_none() {
            return;
        }
        if self.plan.failure != Failure::Freeze {
            self.office
                .put(self.now + TO_SUPERVISOR, Arrival::Disconnected(victim));
        }
        self.later(COMES_BACK, Change::NewViewer);
    }

    /// The viewers that have a place in the tree, those next to the broadcaster first.
    fn breadth_first(&self) -> Vec<Name> {
        let place = |actor: &Actor| Some((actor.viewers_depth()?, actor.name));
        let mut order: Vec<(u16, Name)> = self.actors().filter_map(place).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, name)| name).collect()
    }

    fn seen(&self, at: Duration) -> Look {
        let viewers = self.actors().filter_map(|actor| actor.viewer.as_ref());
        let latencies: Vec<Duration> = viewers
            .filter_map(|(viewer, _)| viewer.stats(self.now).latency)
            .collect();
        let count = u32::try_from(latencies.len()).unwrap_or(u32::MAX);
        let stats = self.actors().filter_map(|actor| actor.node.stats(&STREAM));
        Look {
            at,
            latency: (count > 0).then(|| latencies.iter().sum::<Duration>() / count.max(1)),
            kept: stats.map(|stats| stats.window_bytes).sum(),
        }
    }

    /// Counts what a viewer's life came to: whether it plays, and how deep it is.
    fn bury(&mut self, name: Name) -> Option<(bool, u16)> {
        let actor = self.shards[shard_of(name)].remove(name)?;
        self.office.forget(name);
        let (script, end) = actor.bury(self.now, &mut self.outcome);
        if let Some((scripts, script)) = self.scripts.as_mut().zip(script) {
            scripts.push(script);
        }
        end
    }

    fn close(&mut self) {
        for name in self.names() {
            if let Some((playing, depth)) = self.bury(name) {
                self.outcome.alive += 1;
                self.outcome.playing += u64::from(playing);
                self.outcome.deepest = self.outcome.deepest.max(depth);
            }
        }
        for shard in &self.shards {
            self.outcome.add(&shard.outcome);
        }
    }
}

/// The least time that anything takes from one to another.
fn least(plan: &Plan) -> Duration {
    Duration::from_millis(plan.latency_ms.0).min(TO_SUPERVISOR)
}

/// How many threads are to work at it.
fn threads(plan: &Plan) -> usize {
    let is_worth_it = plan.viewers >= WORTH_THREADS && !least(plan).is_zero();
    plan.threads.unwrap_or_else(|| match is_worth_it {
        true => thread::available_parallelism().map_or(1, NonZero::get),
        false => 1,
    })
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
