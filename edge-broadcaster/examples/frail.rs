//! The broadcaster, on a machine with a simulated hardware encoder that fails when it is told to. For end-to-end tests.
//!
//! usage: FAILS_WHEN=FILE frail CONFIG.toml
//!
//! The encoder is called `vavp8enc`, works, and fails once there is such a file.

#[path = "../tests/simulated/mod.rs"]
mod simulated;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use edge_broadcaster::config::Config;
use edge_broadcaster::send;
use simulated::Failing;

fn main() -> ExitCode {
    daemon::run_parsed("edge-broadcaster", async |service| {
        let told = std::env::var_os("FAILS_WHEN").context("FAILS_WHEN names no file")?;
        simulated::register(Failing::When(PathBuf::from(told)));
        let config = std::env::args_os().nth(1).context("no configuration")?;
        send::send(service, Config::load(PathBuf::from(config))?).await
    })
}
