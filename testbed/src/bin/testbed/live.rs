//! `testbed live`: one run with the real programs.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use protocol::node::MOST_LANES;
use testbed::live::{Fault, Plan, System, Unlike, run};
use testbed::victims::Distribution;

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The paper's, at a hold of 300, 500 or 1000 ms (500: the other two are watched in the same run); ours; or ours with
    /// three relays.
    #[arg(long, value_enum, default_value_t = System::Ours)]
    system: System,
    /// Which viewers fail.
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    distribution: Distribution,
    /// How they fail; or whether relays do in their stead.
    #[arg(long, value_enum, default_value_t = Fault::Close)]
    fault: Fault,
    /// Failures a second.
    #[arg(long, default_value_t = 3.0)]
    rate: f64,
    /// Viewers at a time.
    #[arg(long, default_value_t = 80)]
    viewers: usize,
    /// Seconds, once all play.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Who is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// In place of the broadcaster's test picture, which has 1000 kbit/s, a source that encodes nothing and sends so many.
    #[arg(long)]
    source_kbps: Option<u32>,
    /// Connections of a viewer's link at most; more than one are opened where packets are lost.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST_LANES)))]
    lanes: Option<u8>,
    /// Viewers have media delivered in the order in which it was sent.
    #[arg(long)]
    ordered: bool,
    /// Where all there is to know of the run is written, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) fn live(arguments: &Arguments) -> anyhow::Result<()> {
    let plan = Plan {
        system: arguments.system,
        distribution: arguments.distribution,
        rate: arguments.rate,
        fault: arguments.fault,
        viewers: arguments.viewers,
        seconds: arguments.seconds,
        seed: arguments.seed,
        unlike: Unlike {
            source_kbps: arguments.source_kbps,
            lanes: arguments.lanes,
            ordered: arguments.ordered,
        },
    };
    let records = run(&plan, |how_far| eprintln!("{how_far}"))?;
    for record in &records {
        println!("{}", record.line());
    }
    if let Some(path) = &arguments.json {
        fs::write(path, serde_json::to_vec(&records[0])?).context("writing the record")?;
    }
    Ok(())
}
