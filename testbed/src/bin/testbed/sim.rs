//! `testbed sim`: runs a simulation and prints what came of it, in one line.

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use protocol::signal::Topology;
use testbed::sim::{Failure, Plan, run};
use testbed::victims::Distribution;

/// What to simulate.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Viewers.
    #[arg(long, default_value_t = 80)]
    peers: u32,
    /// Relays.
    #[arg(long, default_value_t = 1)]
    relays: u32,
    /// How the peers are arranged.
    #[arg(long, value_enum, default_value_t = Arrangement::RelayFirst)]
    topology: Arrangement,
    /// Nobody has a backup parent, as in the paper.
    #[arg(long)]
    no_backups: bool,
    /// Failures a second.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Which viewers fail.
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    distribution: Distribution,
    /// How they fail.
    #[arg(long, value_enum, default_value_t = Failure::Leave)]
    failure: Failure,
    /// Seconds of virtual time.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Longest one-way latency of two peers, milliseconds; the shortest is an eighth of it.
    #[arg(long, default_value_t = 40)]
    latency: u64,
    /// Each so many-th viewer can really send no more than --slow-kbps; 0: none.
    #[arg(long, default_value_t = 0)]
    slow_every: u32,
    /// See above, kbit/s; the stream has 1100.
    #[arg(long, default_value_t = 900)]
    slow_kbps: u32,
    /// Where all randomness comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Arrangement {
    LinkedList,
    BinaryTree,
    RelayFirst,
}

pub(crate) fn sim(arguments: &Arguments) {
    let plan = Plan {
        viewers: arguments.peers,
        relays: arguments.relays,
        topology: match arguments.topology {
            Arrangement::LinkedList => Topology::LinkedList,
            Arrangement::BinaryTree => Topology::Tree { arity: 2 },
            Arrangement::RelayFirst => Topology::RelayFirst,
        },
        backups: !arguments.no_backups,
        length: Duration::from_secs(arguments.seconds),
        failures_per_s: arguments.rate,
        failure: arguments.failure,
        victims: arguments.distribution,
        latency_ms: (arguments.latency / 8, arguments.latency),
        slow_every: arguments.slow_every,
        slow_kbps: arguments.slow_kbps,
        seed: arguments.seed,
        ..Plan::default()
    };
    let began = Instant::now();
    let o = run(&plan);
    println!(
        "seed={} lives={} alive={} playing={} stalls={} stalled_s={:.2} takeovers={} complaints={} connections={} deepest={} chunks={} trace={:016x} took_s={:.2}",
        plan.seed,
        o.lives,
        o.alive,
        o.playing,
        o.stalls,
        o.stalled.as_secs_f64(),
        o.takeovers,
        o.complaints,
        o.connections,
        o.deepest,
        o.chunks,
        o.trace,
        began.elapsed().as_secs_f64()
    );
}
