//! Nothing stays behind when this program is told to end: the programs it started are ended with it.

use std::fs;
use std::thread;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

/// What a shell says of a program that a signal ended (128 and SIGINT's, or SIGTERM's, number).
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// From now on Ctrl-C and SIGTERM end this program's children, and then itself.
pub(crate) fn with_children() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("waiting for signals")?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    thread::spawn(move || {
        let code = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
            }
        });
        for child in children() {
            // SIGKILL: one that was stopped hears nothing else. It may be gone already.
            let _ = kill(child, Signal::SIGKILL);
        }
        std::process::exit(code);
    });
    Ok(())
}

/// The processes that this one has started and that have not ended (proc(5)).
fn children() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let lists = threads.filter_map(|t| fs::read_to_string(t.path().join("children")).ok());
    let words = lists.flat_map(|list| list.split(' ').map(str::to_owned).collect::<Vec<_>>());
    words
        .filter_map(|word| word.parse().ok())
        .map(Pid::from_raw)
        .collect()
}
