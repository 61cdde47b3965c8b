//! `testbed scenarios`: what the peers of short simulated runs were told and did, for who does it again.

use std::io::{Write as _, stdout};

use anyhow::Context as _;
use clap::Args;
use testbed::sim::scenarios::scenario;
use testbed::sim::write_down;

/// Which to run.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// The last.
    #[arg(long, default_value_t = 1)]
    to: u64,
    /// In place of scripts: what this peer did in the first run, in words.
    #[arg(long, requires = "step")]
    peer: Option<u64>,
    /// At this step.
    #[arg(long, requires = "peer")]
    step: Option<usize>,
}

pub(crate) fn scenarios(arguments: &Arguments) -> anyhow::Result<()> {
    if let (Some(peer), Some(step)) = (arguments.peer, arguments.step) {
        return explain(arguments.from, peer, step);
    }
    let mut out = stdout().lock();
    for seed in arguments.from..=arguments.to {
        for script in write_down(&scenario(seed)) {
            out.write_all(&script.encode())
                .context("writing a script")?;
        }
    }
    Ok(())
}

fn explain(seed: u64, peer: u64, step: usize) -> anyhow::Result<()> {
    let scripts = write_down(&scenario(seed));
    let script = scripts
        .iter()
        .find(|script| script.name == peer)
        .context("there is no such peer in this run")?;
    let words = script
        .explain(step)?
        .context("it does not live that long")?;
    println!("{words}");
    Ok(())
}
