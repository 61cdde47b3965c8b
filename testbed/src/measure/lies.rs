//! Relays that lie to those below them (see [`crate::liar`]), and what these notice.

use serde_json::Value;

use crate::audience::{Audience, Mood};
use crate::stage::{Signal, Stage, TEST_PICTURE};

/// Some ten seconds of the stream.
const WATCHED_AFTER: u64 = 500_000;

/// How it ended.
#[derive(Debug)]
pub struct Lie {
    /// The viewers' last lines.
    pub viewers: Vec<Value>,
    /// The liar's PeerID.
    pub liar: Value,
    /// How the viewers fared before it lied, and at the end.
    pub moods: (Mood, Mood),
    /// Whether the supervisor put the liar out.
    pub evicted: bool,
}

/// Viewers play below a relay that plays this trick on them, and an honest relay stands by.
pub fn lie(trick: &str, viewers: u32) -> anyhow::Result<Lie> {
    // Certificates that end while one looks on.
    let stage = Stage::with_certificates_of(20)?;
    let supervisor = stage.supervisor()?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let process = stage.liar(trick)?;
    let liar = process.wait_for_line("its name", |line| line["peer"].is_string())?["peer"].clone();
    // Nobody is ever fed by one that borrowed its certificate: the broadcaster alone is too little for many.
    let borrowed = trick == "borrowed";
    let first = borrowed.then(|| stage.relay("honest", 1_000_000));
    let first = first.transpose()?;
    let audience = Audience::new(&stage, viewers)?;
    let before = audience.mood();
    let _honest = match first {
        Some(relay) => relay,
        None => stage.relay("honest", 1_000_000)?,
    };
    process.signal(Signal::User)?;
    let harmless = borrowed || matches!(trick, "reorder" | "replay");
    if !harmless {
        audience.until("another parent", |line| {
            line["parent"].is_string() && line["parent"] != liar
        })?;
    }
    audience.watches_on(WATCHED_AFTER)?;
    Ok(Lie {
        viewers: audience.lines(),
        liar,
        moods: (before, audience.mood()),
        evicted: supervisor.log().contains("forged media"),
    })
}
