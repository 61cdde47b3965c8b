//! Measures the real programs; see `testbed::measure`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum as _};
use protocol::node::MOST_LANES;
use testbed::attacks::{ATTACKS, Scene};
use testbed::audience::Mood;
use testbed::liar::Trick;
use testbed::measure::camera::{camera, check, seal};
use testbed::measure::churn::{Held, churn};
use testbed::measure::day::day;
use testbed::measure::encoder;
use testbed::measure::engine::{depth, engine as measure_engine};
use testbed::measure::lies::lie;
use testbed::measure::loss;
use testbed::measure::monitor::{Cost as MonitorCost, monitor};
use testbed::measure::picture;
use testbed::measure::relay_cost::{Cost, Plan, compare};
use testbed::measure::revocation::revocation;
use testbed::measure::security::{Line, authentication, key_pairs, operations, shares_of_a_relay};
use testbed::measure::setup::set_up;
use testbed::measure::siege::siege;
use testbed::measure::timing::rsa_timing;

/// Measures the programs built beside this one. Over loopback only; ends by itself.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A relay's processor time and memory beside a bare WebRTC program's.
    RelayCost {
        /// Children.
        #[arg(long, default_value_t = 64)]
        children: u32,
        /// Rate to each, kbit/s.
        #[arg(long, default_value_t = 3000)]
        kbps: u32,
        /// Seconds of one run.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Runs of each kind.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// What supervisor and relay still hold after viewers came and went.
    Churn {
        /// Times they come and go.
        #[arg(long, default_value_t = 20)]
        rounds: u32,
        /// Viewers at once.
        #[arg(long, default_value_t = 50)]
        viewers: u32,
    },
    /// What the security layer costs, beside the paper's Fig. 12 and 13.
    Security {
        /// Key pairs of each length.
        #[arg(long, default_value_t = 9)]
        keys: usize,
        /// Peers that are let in at once.
        #[arg(long, default_value_t = 200)]
        peers: u32,
        /// Where to draw Fig. 12 and 13 (SVG).
        #[arg(long)]
        picture: Option<PathBuf>,
    },
    /// Seals and checks a camera's chunks: what callgrind counts for the estimates in docs/security.md.
    Chunks {
        /// Seconds of a camera of 3 Mbit/s and its sound: 80 chunks each.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Only seals.
        #[arg(long)]
        unchecked: bool,
    },
    /// How long a relay that was revoked still feeds viewers, when it does not heed it.
    Revocation {
        /// Viewers below it.
        #[arg(long, default_value_t = 10)]
        viewers: u32,
        /// Times.
        #[arg(long, default_value_t = 5)]
        times: u32,
    },
    /// How late chunks come, and how often viewers stall, over the loopback that there is (tools/bad-network.sh makes it a bad one).
    Loss {
        /// The stream's rate, kbit/s.
        #[arg(long, default_value_t = 3000)]
        kbps: u32,
        /// Viewers, each below the one before.
        #[arg(long, default_value_t = 1)]
        depth: u32,
        /// Seconds of a run.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Runs.
        #[arg(long, default_value_t = 1)]
        runs: u32,
        /// Milliseconds that each viewer keeps ahead; by its own rules if left out.
        #[arg(long)]
        hold_ms: Option<u64>,
        /// Connections of a link at most; more than one are opened where packets are lost.
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST_LANES)))]
        lanes: Option<u8>,
        /// Media is delivered in the order in which it was sent: what comes after a lost chunk waits.
        #[arg(long)]
        ordered: bool,
        /// What each viewer logged, too: who fed it, and when its picture stood still.
        #[arg(long)]
        logs: bool,
    },
    /// What somebody who times the supervisor's answers sees of its RSA key.
    Timing {
        /// Responses of each kind.
        #[arg(long, default_value_t = 100)]
        times: usize,
    },
    /// Attackers of every kind, each beside viewers who watch.
    Attacks {
        /// Viewers.
        #[arg(long, default_value_t = 50)]
        viewers: u32,
    },
    /// How viewers fare while handshakes hang by the thousand.
    Siege {
        /// Handshakes that are opened and left hanging.
        #[arg(long, default_value_t = 10_000)]
        handshakes: u32,
        /// Viewers.
        #[arg(long, default_value_t = 50)]
        viewers: u32,
    },
    /// What the monitor costs the supervisor while nobody watches, and while somebody does.
    Monitor {
        /// Viewers.
        #[arg(long, default_value_t = 80)]
        viewers: u32,
        /// Seconds of each of the three looks.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// What the topology engine takes for a large stream, and how deep its trees are.
    Engine {
        /// Viewers.
        #[arg(long, default_value_t = 100_000)]
        viewers: u32,
        /// Who leaves.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// What encoding costs beside GStreamer alone, and what stays in memory.
    Encoder {
        /// Seconds of video of each size.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Small pictures that are encoded to see whether memory grows.
        #[arg(long, default_value_t = 1_000_000)]
        frames: u64,
    },
    /// A long run in virtual time: whether latency or memory grows.
    Day {
        /// Hours of virtual time.
        #[arg(long, default_value_t = 24.0)]
        hours: f64,
        /// Viewers.
        #[arg(long, default_value_t = 3)]
        viewers: u32,
    },
    /// How long two native peers take to set up a link.
    Setup {
        /// Links, one after another.
        #[arg(long, default_value_t = 100)]
        links: u64,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().what {
        What::RelayCost {
            children,
            kbps,
            seconds,
            rounds,
        } => relay_cost(&Plan {
            children,
            kbps,
            length: Duration::from_secs(seconds),
            rounds,
        }),
        What::Churn { rounds, viewers } => churn(rounds, viewers, |look| {
            println!(
                "after {:5} viewers: supervisor {}, relay {}",
                look.gone,
                held(look.supervisor),
                held(look.relay)
            );
        }),
        What::Security {
            keys,
            peers,
            picture,
        } => security(keys, peers, picture.as_deref()),
        What::Chunks { seconds, unchecked } => {
            let sealed = seal(&camera(seconds));
            let good = if unchecked { 0 } else { check(&sealed) };
            println!("{} chunks sealed, {good} checked and good", sealed.len());
            Ok(())
        }
        What::Revocation { viewers, times } => revocations(viewers, times),
        What::Loss {
            kbps,
            depth,
            seconds,
            runs,
            hold_ms,
            lanes,
            ordered,
            logs,
        } => losses(
            &loss::Plan {
                kbps,
                depth,
                length: Duration::from_secs(seconds),
                hold: hold_ms.map(Duration::from_millis),
                lanes,
                ordered,
            },
            runs,
            logs,
        ),
        What::Timing { times } => timing(times),
        What::Attacks { viewers } => attacks(viewers),
        What::Siege {
            handshakes,
            viewers,
        } => siege(handshakes, viewers).and_then(|seen| {
            println!(
                "{} handshakes hung: {} of {viewers} viewers play, {} stalls before and {} after",
                seen.hanging, seen.after.playing, seen.before.stalls, seen.after.stalls
            );
            anyhow::ensure!(seen.after.stalls == seen.before.stalls, "viewers suffered");
            Ok(())
        }),
        What::Monitor { viewers, seconds } => {
            let length = Duration::from_secs(seconds.max(1));
            monitor(viewers, length).map(|cost| tell_monitor(viewers, cost))
        }
        What::Engine { viewers, seed } => engine(viewers, seed),
        What::Encoder { seconds, frames } => encoder(seconds, frames),
        What::Day { hours, viewers } => long(hours, viewers),
        What::Setup { links } => setup(links),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("measure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tell_monitor(viewers: u32, cost: MonitorCost) {
    let percent = |share: f64| share * 100.0;
    println!(
        "{viewers} peers: supervisor {:.2} % of a core with nobody watching, {:.2} % with one page open \
         (the monitor {:.2} %; wanted: 1); {} events told",
        percent(cost.alone),
        percent(cost.watched),
        percent(cost.watched - cost.alone),
        cost.events
    );
}

fn engine(viewers: u32, seed: u64) -> anyhow::Result<()> {
    anyhow::ensure!(viewers > 0, "at least one viewer");
    let seen = measure_engine(viewers, seed)?;
    println!(
        "{viewers} joins: {:.3} s (wanted for 100 000: 1)",
        seen.filled.as_secs_f64()
    );
    let us = |took: &[Duration], percent: usize| {
        took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e6
    };
    for (what, took) in [("join", &seen.joins), ("leave", &seen.leaves)] {
        println!(
            "a {what} in a tree of {viewers}: p50 {:.1} us, p99 {:.1} us (wanted: 50)",
            us(took, 50),
            us(took, 99)
        );
    }
    println!(
        "a leave gives another parent to its children and {} more at most; memory {} bytes a peer (wanted: 512)",
        seen.moved_beyond_children, seen.bytes_per_peer
    );
    let (mean, least) = depth(1_000)?;
    println!(
        "1000 viewers below three relays: mean depth {mean:.2}, the least there can be {least:.2}"
    );
    Ok(())
}

fn encoder(seconds: u64, frames: u64) -> anyhow::Result<()> {
    anyhow::ensure!(seconds > 0 && frames > 0, "at least a second and a frame");
    for (width, height) in [(1280, 720), (1920, 1080)] {
        let seen = encoder::compare(width, height, seconds)?;
        println!(
            "{height}p30 VP8: {:.3} CPU s a second, GStreamer alone {:.3}: {:.2} of it (wanted: 1.1); painting {:.3}",
            seen.ours,
            seen.plain,
            seen.ours / seen.plain,
            seen.painting
        );
        println!(
            "{height}p30, capture to sealed chunk: p50 {:.1} ms, p99 {:.1} ms (wanted: 50)",
            seen.p50_ms, seen.p99_ms
        );
    }
    let (warm, end) = encoder::memory(frames)?;
    println!("memory after 10000 pictures {warm} KiB, after {frames} {end} KiB");
    Ok(())
}

fn long(hours: f64, viewers: u32) -> anyhow::Result<()> {
    anyhow::ensure!(hours > 0.0 && viewers > 0, "some time and a viewer");
    let seen = day(hours, viewers);
    println!(
        "{hours} hours of virtual time, {viewers} viewers, {} stalls: latency {:.0} ms, growing {:.3} ms/h (wanted: below 1)",
        seen.stalls, seen.latency_ms, seen.slope_ms_per_h
    );
    println!(
        "media kept {} bytes, at the end {}; memory {} KiB, at the end {}",
        seen.kept.0, seen.kept.1, seen.resident_kib.0, seen.resident_kib.1
    );
    Ok(())
}

fn setup(links: u64) -> anyhow::Result<()> {
    anyhow::ensure!(links > 0, "at least one link");
    let took = tokio::runtime::Runtime::new()?.block_on(set_up(links))?;
    let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    println!(
        "native to native set-up, {links} links: p50 {:.1} ms, p99 {:.1} ms",
        at(50),
        at(99)
    );
    Ok(())
}

fn security(keys: usize, peers: u32, drawn: Option<&Path>) -> anyhow::Result<()> {
    anyhow::ensure!(keys > 0 && peers > 0, "at least one key and one peer");
    let tell = |lines: Vec<Line>| {
        for Line { what, took, paper } in &lines {
            let paper =
                paper.map_or_else(String::new, |(_, words)| format!("   (the paper: {words})"));
            println!("{:10.3} ms  {what}{paper}", took.as_secs_f64() * 1000.0);
        }
        lines
    };
    let pairs = tell(key_pairs(keys)?);
    let operations = tell(operations()?);
    let by_rsa_2048 = operations
        .iter()
        .filter(|line| line.what.ends_with("RSA 2048"));
    let rsa_operations: f64 = by_rsa_2048
        .map(|line| line.took.as_secs_f64() * 1000.0)
        .sum();
    if let Some(path) = drawn {
        let panels = [
            ("Fig. 12: making a key pair", pairs),
            ("Fig. 13: what the security layer does", operations),
        ];
        picture::draw(path, &panels)?;
    }
    let shares = shares_of_a_relay()?;
    println!(
        "{:10.1} %   of what a relay's processor does for {} children is security: {:.1} % the check of what it gets, {:.1} % DTLS (10 wanted)",
        (shares.checking + shares.records) * 100.0,
        shares.children,
        shares.checking * 100.0,
        shares.records * 100.0
    );
    let each = authentication(peers, false)?;
    println!(
        "{:10.3} ms  of the supervisor's processor for one authentication, elliptic: {:.0} a second on one core (200 wanted)",
        each.as_secs_f64() * 1000.0,
        1.0 / each.as_secs_f64()
    );
    let by_rsa = authentication(peers.min(100), true)?.as_secs_f64() * 1000.0;
    println!(
        "{by_rsa:10.3} ms  the same by RSA 2048, {:.3} without its two operations (5 wanted)",
        by_rsa - rsa_operations
    );
    Ok(())
}

fn timing(times: usize) -> anyhow::Result<()> {
    anyhow::ensure!(times > 0, "at least one response");
    let seen = rsa_timing(times)?;
    println!("from the challenge response to the verdict, RSA 2048, {times} of each:");
    for (what, took) in [
        ("the right answer", seen.right),
        ("a ciphertext that opens, wrong answer", seen.wrong),
        ("a ciphertext that does not open", seen.unreadable),
    ] {
        let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        println!(
            "  p5 {:6.2}  p50 {:6.2}  p95 {:6.2} ms  {what}",
            at(5),
            at(50),
            at(95)
        );
    }
    Ok(())
}

fn attacks(viewers: u32) -> anyhow::Result<()> {
    anyhow::ensure!(viewers > 0, "at least one viewer");
    println!("stalls of {viewers} viewers:");
    let mut harmful = Vec::new();
    let mut tell = |name: &str, before: Mood, after: Mood| {
        if after.stalls > before.stalls || after.playing < viewers as usize {
            harmful.push(name.to_owned());
        }
        println!(
            "  {:3} ({} ms), {} of them play  {name}",
            after.stalls - before.stalls,
            after.stalled_ms - before.stalled_ms,
            after.playing
        );
    };
    let scene = Scene::new(viewers)?;
    for attack in &ATTACKS {
        let (before, after) = scene.suffers(attack)?;
        tell(attack.name, before, after);
    }
    drop(scene);
    let lies = Trick::value_variants().iter().filter(|t| t.lies());
    for trick in lies {
        let word = trick.to_possible_value().context("a trick has a name")?;
        let seen = lie(word.get_name(), viewers)?;
        tell(
            &format!("a relay that lies: {}", word.get_name()),
            seen.moods.0,
            seen.moods.1,
        );
    }
    anyhow::ensure!(
        harmful.is_empty(),
        "viewers suffered by: {}",
        harmful.join("; ")
    );
    Ok(())
}

fn revocations(viewers: u32, times: u32) -> anyhow::Result<()> {
    let took = (0..times).map(|_| revocation(viewers));
    let mut took = took.collect::<anyhow::Result<Vec<_>>>()?;
    took.sort_unstable();
    let (middle, most) = (took.get(took.len() / 2), took.last());
    println!(
        "revoked, and all of {viewers} viewers fed by another: p50 {:.0} ms, at most {:.0} ms",
        milliseconds(middle.copied()),
        milliseconds(most.copied())
    );
    Ok(())
}

fn losses(plan: &loss::Plan, runs: u32, logs: bool) -> anyhow::Result<()> {
    for run in 1..=runs {
        for fared in loss::loss(plan)? {
            let [p50, p99, most] = fared.delays_ms;
            let (stalls, stalled) = fared.stalls;
            println!(
                "run {run}, depth {}: chunks p50 {p50} ms, p99 {p99} ms, at most {most} ms; {stalls} stalls, {stalled} ms; \
                 {} connections",
                fared.depth, fared.connections
            );
            if logs {
                print!("{}", fared.log);
            }
        }
    }
    Ok(())
}

fn milliseconds(time: Option<Duration>) -> f64 {
    time.unwrap_or_default().as_secs_f64() * 1_000.0
}

fn held(held: Held) -> String {
    format!(
        "{} KiB ({} its own) and {} descriptors",
        held.resident_kib, held.own_kib, held.descriptors
    )
}

fn relay_cost(plan: &Plan) -> anyhow::Result<()> {
    println!(
        "{} children at {} kbit/s, {} s a run",
        plan.children,
        plan.kbps,
        plan.length.as_secs()
    );
    let gigabits = f64::from(plan.children * plan.kbps) * plan.length.as_secs_f64() / 1e6;
    let (relay, bare) = compare(plan, |kind, cost| {
        println!(
            "{kind:6} {:6.3} CPU s/Gbit {:8.1} MiB",
            cost.cpu_s / gigabits,
            cost.resident_mib
        );
    })?;
    let ratio = |of: fn(&Cost) -> f64| median(&relay, of) / median(&bare, of);
    println!(
        "relay / bare: CPU {:.2}, memory {:.2} (medians)",
        ratio(|c| c.cpu_s),
        ratio(|c| c.resident_mib)
    );
    Ok(())
}

fn median(costs: &[Cost], of: fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<f64> = costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
