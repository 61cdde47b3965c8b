//! `testbed experiments`: all runs that are not yet there, then the figures and the table.

use std::path::PathBuf;

use clap::Args;
use testbed::live::{draw, matrix};

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the runs' raw data is kept; what is there already is not run again.
    #[arg(long, default_value = "target/experiments")]
    data: PathBuf,
    /// Where the figures and the table go.
    #[arg(long, default_value = "docs/experiments")]
    figures: PathBuf,
    /// A few short runs (five minutes), in place of all (hours).
    #[arg(long)]
    quick: bool,
    /// Runs of each kind, each with another seed.
    #[arg(long, default_value_t = 1)]
    samples: u64,
    /// Only runs whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
    /// Run nothing; draw what is there.
    #[arg(long)]
    draw: bool,
}

pub(crate) fn experiments(arguments: &Arguments) -> anyhow::Result<()> {
    if !arguments.draw {
        let runs = match arguments.quick {
            true => matrix::quick(),
            false => matrix::all(arguments.samples),
        };
        matrix::run(&runs, &arguments.data, &arguments.only)?;
    }
    let runs = matrix::read(&arguments.data)?;
    draw::draw(&runs, &arguments.figures)?;
    for line in matrix::sums(&runs) {
        println!("{line}");
    }
    Ok(())
}
