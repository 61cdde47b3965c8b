//! Measures the real programs; see `testbed::measure`.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use testbed::measure::churn::{Held, churn};
use testbed::measure::relay_cost::{Cost, Plan, compare};
use testbed::measure::security::{Line, authentication, key_pairs, operations};
use testbed::measure::setup::set_up;
use testbed::measure::siege::siege;

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
        What::Security { keys, peers } => security(keys, peers),
        What::Siege {
            handshakes,
            viewers,
        } => siege(handshakes, viewers).map(|seen| {
            println!(
                "{} handshakes hung: {} of {} viewers play, {} stalls before and {} after",
                seen.hanging, seen.playing, seen.viewers, seen.stalls.0, seen.stalls.1
            );
        }),
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

fn security(keys: usize, peers: u32) -> anyhow::Result<()> {
    anyhow::ensure!(keys > 0 && peers > 0, "at least one key and one peer");
    let tell = |lines: Vec<Line>| {
        for Line { what, took, paper } in lines {
            let paper = paper.map_or_else(String::new, |paper| format!("   (the paper: {paper})"));
            println!("{:10.3} ms  {what}{paper}", took.as_secs_f64() * 1000.0);
        }
    };
    tell(key_pairs(keys)?);
    tell(operations()?);
    let each = authentication(peers)?;
    println!(
        "{:10.3} ms  of the supervisor's processor for one authentication, elliptic: {:.0} a second on one core",
        each.as_secs_f64() * 1000.0,
        1.0 / each.as_secs_f64()
    );
    Ok(())
}

fn held(held: Held) -> String {
    format!(
        "{} KiB and {} descriptors",
        held.resident_kib, held.descriptors
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
