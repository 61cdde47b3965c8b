//! The broadcaster's command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use edge_broadcaster::clock::Clock;
use edge_broadcaster::config::Config;
use edge_broadcaster::{check, dump, send};

const HELP: &str = "OWNSTREAM_LOG=debug in the environment shows more. Every key of the configuration stands, with its \
    default, in edge-broadcaster/broadcaster.example.toml of the source: https://github.com/ownstream/ownstream-edge";

/// Captures, encodes and sends live streams into the tree.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = HELP,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Arguments {
    /// The configuration file.
    #[arg(required = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what this machine has, how well it encodes, and what each stream would send. Succeeds if every one would.
    Check {
        /// The configuration file; without one, only what this machine has.
        config: Option<PathBuf>,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Write each track of each stream to a WebM file, without a supervisor.
    Dump {
        /// The configuration file.
        config: PathBuf,
        /// Length of media to write.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
        /// Directory of the files.
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(command) = arguments.command else {
        let path = arguments.config.unwrap_or_default();
        return daemon::run_parsed("edge-broadcaster", async move |service| {
            send::send(service, Config::load(path)?).await
        });
    };
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("edge-broadcaster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check { config, json } => {
            let config = config.map(Config::load).transpose()?;
            let report =
                tokio::task::spawn_blocking(move || check::report(config.as_ref())).await??;
            match json {
                true => println!("{}", serde_json::to_string_pretty(&report)?),
                false => print!("{report}"),
            }
            Ok(if report.ready() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::Dump {
            config,
            seconds,
            out,
        } => dump_all(&Config::load(config)?, seconds, &out).await,
    }
}

async fn dump_all(
    config: &Config,
    seconds: u32,
    out: &std::path::Path,
) -> anyhow::Result<ExitCode> {
    daemon::logging::init("edge-broadcaster")?;
    let clock = Clock::start();
    for stream in &config.streams {
        for path in dump::dump(stream, clock, seconds, out).await? {
            println!("{}", path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}
