//! `testbed sim`: runs a simulation and prints what came of it, in one line.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use clap::{Args, ValueEnum};
use protocol::signal::Topology;
use testbed::sim::{Failure, Plan, draw, run_watched};
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
    faults: Failure,
    /// Seconds of virtual time, once all are there.
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
    /// Everybody can really send no more than it says.
    #[arg(long)]
    real_uplinks: bool,
    /// The share of packets with media that are lost, percent; each comes a round trip later, or after a second.
    #[arg(long, default_value_t = 0.0)]
    loss_percent: f64,
    /// Where to write how it went, second by second.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Where to draw it: a name that ends in .svg or .png.
    #[arg(long)]
    figure: Option<PathBuf>,
    /// Where all randomness comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads that work at it, which change nothing of what comes out; as many as there are processors if left out.
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Arrangement {
    LinkedList,
    BinaryTree,
    RelayFirst,
}

/// How often somebody who waits is told how far it is. Guess.
const TELL_EVERY: Duration = Duration::from_secs(10);

pub(crate) fn sim(arguments: &Arguments) -> anyhow::Result<()> {
    let mut plan = Plan {
        viewers: arguments.peers,
        relays: arguments.relays,
        topology: match arguments.topology {
            Arrangement::LinkedList => Topology::LinkedList,
            Arrangement::BinaryTree => Topology::Tree { arity: 2 },
            Arrangement::RelayFirst => Topology::RelayFirst,
        },
        backups: !arguments.no_backups,
        failures_per_s: arguments.rate,
        failure: arguments.faults,
        victims: arguments.distribution,
        latency_ms: (arguments.latency / 8, arguments.latency),
        slow_every: arguments.slow_every,
        slow_kbps: arguments.slow_kbps,
        real_uplinks: arguments.real_uplinks,
        loss: (arguments.loss_percent / 100.0).clamp(0.0, 1.0),
        seed: arguments.seed,
        threads: arguments.threads,
        ..Plan::default()
    };
    plan.length = plan.settling() + Duration::from_secs(arguments.seconds);
    let began = Instant::now();
    let mut told = began;
    let o = run_watched(&plan, Duration::from_secs(1), |look| {
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let (at, of) = (look.at.as_secs(), plan.length.as_secs());
            eprintln!(
                "{at} of {of} s, after {:.0} s",
                began.elapsed().as_secs_f64()
            );
        }
    });
    println!(
        "seed={} lives={} alive={} playing={} stalls={} stalled_s={:.2} stalled_percent={:.4} takeovers={} complaints={} connections={} deepest={} chunks={} trace={:016x} took_s={:.2}",
        plan.seed,
        o.lives,
        o.alive,
        o.playing,
        o.stalls,
        o.stalled.as_secs_f64(),
        o.stalled_share() * 100.0,
        o.takeovers,
        o.complaints,
        o.connections,
        o.deepest,
        o.chunks,
        o.trace,
        began.elapsed().as_secs_f64()
    );
    if let Some(path) = &arguments.csv {
        fs::write(path, draw::csv(&o)).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &arguments.figure {
        draw::draw(&plan, &o, path)?;
    }
    Ok(())
}
