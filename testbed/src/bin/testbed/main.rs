//! Simulates a stream's peers, or runs the paper's experiments with the real programs.

mod ending;
mod experiments;
mod live;
mod scenarios;
mod sim;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Simulates a stream's peers, or runs the paper's experiments with the real programs, over loopback only.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The protocol's machines under virtual time, from a seed.
    Sim(sim::Arguments),
    /// What the peers of short simulated runs were told and did, as bytes: web/tests/replay.test.js does it again in a browser.
    Scenarios(scenarios::Arguments),
    /// One run with the real programs, each viewer a process of its own.
    Live(live::Arguments),
    /// All runs that are not yet there, then the figures and the table.
    Experiments(experiments::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().what {
        What::Sim(arguments) => sim::sim(&arguments),
        What::Scenarios(arguments) => scenarios::scenarios(&arguments),
        What::Live(arguments) => ending::with_children().and_then(|()| live::live(&arguments)),
        What::Experiments(arguments) => {
            ending::with_children().and_then(|()| experiments::experiments(&arguments))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
