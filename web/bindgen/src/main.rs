//! Turns the compiled WebAssembly into an ES module: `web-bindgen IN.wasm OUT_DIRECTORY`.
//!
//! The library behind the `wasm-bindgen` program, as part of the workspace: its version is the one
//! of the lock file, which has to be the very version of the `wasm-bindgen` crate, and nobody has
//! to install a program.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("web-bindgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [input, directory] = args.as_slice() else {
        bail!("usage: web-bindgen IN.wasm OUT_DIRECTORY");
    };
    Bindgen::new()
        .input_path(input)
        .web(true)?
        .typescript(true) // the types that `make check` holds the pages' JavaScript against
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(directory)
        .with_context(|| format!("turning {input} into {directory}"))
}
