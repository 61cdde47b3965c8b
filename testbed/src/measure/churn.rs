//! What is left behind by viewers that came and went.

use std::thread::sleep;
use std::time::Duration;

use crate::stage::{Process, Stage};

/// The longest grace of the supervisor is 5 s, and memory is given back 6 s after the last has left.
const SETTLES: Duration = Duration::from_secs(15);

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Memory in RAM, KiB.
    pub resident_kib: u64,
    /// What of that is no part of the program's file, KiB.
    pub own_kib: u64,
    /// File descriptors.
    pub descriptors: usize,
}

fn held(process: &Process) -> Held {
    Held {
        resident_kib: process.resident_kib(),
        own_kib: process.own_kib(),
        descriptors: process.descriptors(),
    }
}

/// What supervisor and relay hold at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Viewers that have come and gone so far.
    pub gone: u32,
    /// The supervisor.
    pub supervisor: Held,
    /// The relay.
    pub relay: Held,
}

/// Lets `rounds` times `at_once` viewers come, play and go, with one that stays; tells what is held before,
/// and after each round once the last of them is forgotten.
pub fn churn(rounds: u32, at_once: u32, mut tell: impl FnMut(Look)) -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let supervisor = stage.supervisor()?;
    let relay = stage.relay("relay", 1_000_000)?;
    let _source = stage.source(300)?;
    let stays = stage.receiver("stays", &["--leaf"])?;
    stays.wait_for_line("it plays", |l| l["playing"] == true)?;
    let look = |gone| Look {
        gone,
        supervisor: held(&supervisor),
        relay: held(&relay),
    };
    sleep(SETTLES); // and the stream's window fills
    tell(look(0));
    for round in 1..=rounds {
        let mut many = stage.receiver(
            &format!("round-{round}"),
            &["--leaf", "--viewers", &at_once.to_string()],
        )?;
        for viewer in 0..at_once {
            let plays = |l: &serde_json::Value| l["viewer"] == viewer && l["playing"] == true;
            many.wait_for_any_line("it plays", plays)?;
        }
        // Every other round is killed, so that both kinds of going are seen.
        if round % 2 == 0 {
            many.kill();
        } else {
            many.signal(crate::stage::Signal::Interrupt)?;
            many.wait_for_end()?;
        }
        sleep(SETTLES);
        tell(look(round * at_once));
    }
    Ok(())
}
