//! `testbed experiments`: all runs that are not yet there, then the figures and the table.

use std::path::PathBuf;

use clap::Args;
use testbed::live::{draw, kept, matrix};

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the runs' raw data is kept; what is there already is not run again.
    #[arg(long, default_value = "target/experiments")]
    data: PathBuf,
    /// Where the figures and the table go.
    #[arg(long, default_value = "docs/experiments")]
    figures: PathBuf,
    /// Go on where the list beside the figures ends (runs.jsonl): what it has, from whatever machine, is not run again, and is drawn.
    #[arg(long)]
    go_on: bool,
    /// A few short runs (five minutes), in place of all (hours).
    #[arg(long)]
    quick: bool,
    /// Runs of each kind, each with another seed.
    #[arg(long, default_value_t = 1)]
    samples: u64,
    /// Only runs whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
    /// Run nothing; draw what is there, and what the list has.
    #[arg(long)]
    draw: bool,
}

pub(crate) fn experiments(arguments: &Arguments) -> anyhow::Result<()> {
    let list = arguments.figures.join("runs.jsonl");
    let listed = (arguments.go_on || arguments.draw).then_some(list.as_path());
    if !arguments.draw {
        let runs = match arguments.quick {
            true => matrix::quick(),
            false => matrix::all(arguments.samples),
        };
        let known = kept::read(&arguments.data, listed)?;
        matrix::run(&runs, &known, &arguments.data, &arguments.only)?;
    }
    let runs: Vec<kept::Kept> = kept::read(&arguments.data, listed)?.into_values().collect();
    draw::draw(&runs, &arguments.figures)?;
    kept::write_list(runs.iter(), &list)?;
    for line in kept::sums(&runs) {
        println!("{line}");
    }
    Ok(())
}
