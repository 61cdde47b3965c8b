//! A seeded simulator: the very machines of supervisor, broadcaster, relays and viewers under virtual time.
//!
//! No socket, no clock: what one machine puts out reaches another after a latency, and after it had its turn on an
//! uplink that is slow; whatever is random comes from the seed. Two runs from one seed are the same to the last chunk. What is
//! lost on the way comes later, as with SCTP: losses slow no sender down here, and cost control messages nothing.

mod actor;
pub mod draw;
mod office;
mod queue;
pub mod scenarios;
mod sealed;
mod shard;
mod uplink;
mod world;

use std::time::Duration;

use clap::ValueEnum;
use protocol::signal::Topology;

use crate::live::{self, Fault, Record, System};
use crate::victims::Distribution;

pub use world::{run, run_watched, write_down};

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Viewers at the start; one that fails comes back as a new one.
    pub viewers: u32,
    /// Relays; they do not fail.
    pub relays: u32,
    /// How the peers are arranged.
    pub topology: Topology,
    /// Whether they have backup parents.
    pub backups: bool,
    /// What each relay may send, kbit/s.
    pub relay_kbps: u32,
    /// What each viewer may send, kbit/s.
    pub viewer_kbps: u32,
    /// Every so many-th peer, if a viewer, can really send no more than `slow_kbps`, whatever it says; 0 for none.
    pub slow_every: u32,
    /// See above, kbit/s.
    pub slow_kbps: u32,
    /// How long, in virtual time.
    pub length: Duration,
    /// How long nobody fails once all are there.
    pub calm: Duration,
    /// Failures a second, among viewers.
    pub failures_per_s: f64,
    /// How they fail.
    pub failure: Failure,
    /// Who fails.
    pub victims: Distribution,
    /// How often a second some viewer hangs for a while, and then goes on.
    pub hangs_per_s: f64,
    /// When the supervisor goes away, and for how long; it comes back as one that knows nobody.
    pub supervisor_away: Option<(Duration, Duration)>,
    /// When the broadcaster's encoder starts again, in another epoch.
    pub encoder_restarts: Option<Duration>,
    /// Whether everybody proves who he is, and chunks are sealed and checked.
    pub sealed: bool,
    /// What each viewer keeps ahead, whatever happens; by the player's own rules if none.
    pub hold: Option<Duration>,
    /// Whether everybody can really send no more than it says.
    pub real_uplinks: bool,
    /// The share of packets with media that are lost on the way, 0 to 1.
    pub loss: f64,
    /// One-way latency of a pair of peers: between these, milliseconds.
    pub latency_ms: (u64, u64),
    /// Where all randomness comes from.
    pub seed: u64,
    /// Threads that work at it, which change nothing of what comes out. None: as many as there are processors, where it is worth it.
    pub threads: Option<usize>,
}

/// How a viewer fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Failure {
    /// It closes its connections (a tab that is closed).
    Leave,
    /// It is silent for its neighbours, and its socket to the supervisor is closed (a process killed).
    Kill,
    /// It is silent for all (a process that stands still, a cable pulled): the supervisor learns of it last.
    Freeze,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            viewers: 80,
            relays: 1,
            topology: Topology::RelayFirst,
            backups: true,
            relay_kbps: 50_000,
            viewer_kbps: 3_000,
            slow_every: 0,
            slow_kbps: 0,
            length: Duration::from_secs(60),
            calm: live::CALM,
            failures_per_s: 0.0,
            failure: Failure::Leave,
            victims: Distribution::Uniform,
            hangs_per_s: 0.0,
            supervisor_away: None,
            encoder_restarts: None,
            sealed: false,
            hold: None,
            real_uplinks: false,
            loss: 0.0,
            latency_ms: (5, 40),
            seed: 1,
            threads: None,
        }
    }
}

/// Viewers come one after the other, this far apart.
pub(crate) const JOINING: Duration = Duration::from_millis(20);
/// Or closer to each other, so that it takes no longer than this until all are there.
const ALL_THERE: Duration = Duration::from_secs(10);

impl Plan {
    /// How far apart viewers come at the start.
    pub fn joining(&self) -> Duration {
        JOINING.min(ALL_THERE / self.viewers.max(1))
    }

    /// From the start until failures begin: all are there by then, and play.
    pub fn settling(&self) -> Duration {
        self.calm + self.joining() * self.viewers
    }
}

/// What came out of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Viewers that saw a first picture.
    pub lives: u64,
    /// Their stalls.
    pub stalls: u64,
    /// Peers that lost a parent and took over at a backup.
    pub takeovers: u64,
    /// Peers that lost a parent and had to ask for another.
    pub complaints: u64,
    /// Connections that were begun.
    pub connections: u64,
    /// The stalls' total length.
    pub stalled: Duration,
    /// What viewers watched in all, from the first picture on, the stalls included.
    pub watched: Duration,
    /// Viewers alive at the end, and how many of them play.
    pub alive: u64,
    /// See above.
    pub playing: u64,
    /// Deepest viewer at the end.
    pub deepest: u16,
    /// Chunks that reached viewers.
    pub chunks: u64,
    /// A hash over every delivery: who, what, when.
    pub trace: u64,
    /// How it went, second by second.
    pub samples: Vec<Sample>,
}

impl Outcome {
    /// A delivery: who, what, when.
    fn follow(&mut self, fact: &[u64]) {
        for number in fact {
            self.trace = (self.trace ^ number).wrapping_mul(0x0100_0000_01B3);
        }
    }

    /// Adds what peers of a shard came to.
    fn add(&mut self, shard: &Self) {
        self.lives += shard.lives;
        self.takeovers += shard.takeovers;
        self.complaints += shard.complaints;
        self.connections += shard.connections;
        self.chunks += shard.chunks;
        self.follow(&[shard.trace]);
    }

    /// The share of their time for which viewers' pictures stood still, 0 to 1.
    pub fn stalled_share(&self) -> f64 {
        match self.watched.is_zero() {
            true => 0.0,
            false => self.stalled.as_secs_f64() / self.watched.as_secs_f64(),
        }
    }
}

/// How it is at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Since the start.
    pub at: Duration,
    /// Viewers alive.
    pub alive: u64,
    /// Those who have seen a picture and whose picture moves.
    pub playing: u64,
    /// Those whose picture stands still.
    pub stalled: u64,
    /// Stalls so far, of all who are there or were.
    pub stalls: u64,
    /// Takeovers so far.
    pub takeovers: u64,
    /// How far below the broadcaster the deepest viewer says it is.
    pub deepest: u16,
    /// And all on average.
    pub mean_depth: f64,
}

/// How a world stands at some moment of a run.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Since the beginning.
    pub at: Duration,
    /// From capture to picture, the mean over viewers; none if nobody plays.
    pub latency: Option<Duration>,
    /// Media that all peers keep, bytes.
    pub kept: usize,
}

/// The latencies of a LAN, one way, milliseconds: less than one, and with a busy switch a few.
const LAN_MS: (u64, u64) = (0, 4);

/// Simulates what [`live::run`] does with the real programs.
pub fn record(plan: &live::Plan) -> Record {
    let relays = plan.system == System::Relays;
    let outcome = run(&Plan {
        viewers: u32::try_from(plan.viewers).unwrap_or(u32::MAX),
        relays: if relays { 3 } else { 0 },
        topology: match relays {
            true => Topology::RelayFirst,
            false => Topology::Tree { arity: 2 },
        },
        backups: plan.system.hold().is_none(),
        relay_kbps: 11_500, // ten children each, as there
        length: live::CALM + Duration::from_secs(plan.seconds) + JOINING * plan.viewers as u32,
        failures_per_s: plan.rate,
        failure: match plan.fault {
            Fault::Close => Failure::Leave,
            Fault::Freeze => Failure::Freeze,
            _ => Failure::Kill,
        },
        victims: plan.distribution,
        hold: plan.system.hold(),
        latency_ms: LAN_MS,
        seed: plan.seed,
        ..Plan::default()
    });
    Record {
        lives: outcome.lives as usize,
        stalls: outcome.stalls,
        stalled_s: outcome.stalled.as_secs_f64(),
        deepest: outcome.deepest.into(),
        ..Record::empty(plan)
    }
}
