//! Relays that lie to those below them (see [`crate::liar`]), and what these notice.

use std::net::Ipv4Addr;

use serde_json::Value;

use crate::audience::{Audience, Mood};
use crate::stage::{Process, Signal, Stage, TEST_PICTURE};
use crate::tap::{Tap, honest};

/// Some five seconds of the stream.
const WATCHED_AFTER: u64 = 250_000;

/// What the supervisor's journal says of an accusation.
pub const ACCUSED: &str = "was sent something forged by";

/// How it ended.
#[derive(Debug)]
pub struct Lie {
    /// The viewers' last lines.
    pub viewers: Vec<Value>,
    /// The liar's PeerID.
    pub liar: Value,
    /// How the viewers fared before it lied, and at the end.
    pub moods: (Mood, Mood),
    /// How often the supervisor said that somebody accuses the liar.
    pub accusations: usize,
    /// Whether it put the liar out.
    pub evicted: bool,
}

/// What the liar passes on besides, and can take things from.
const ANOTHER_STREAM: &str = r#"
[[stream]]
name = "another"
source = { kind = "test" }
video = { width = 320, height = 240, fps = 5, bitrate_kbps = 100 }
"#;

fn watches_another(stage: &Stage) -> anyhow::Result<Process> {
    let viewer = stage.receiver("another", &["--stream", "another", "--leaf"])?;
    viewer.wait_for_line("it plays", |line| line["playing"] == true)?;
    Ok(viewer)
}

/// Viewers play below a relay that plays this trick on them, and an honest relay stands by.
pub fn lie(trick: &str, viewers: u32) -> anyhow::Result<Lie> {
    // Certificates that end while one looks on.
    let stage = Stage::with_certificates_of(20)?;
    let supervisor = stage.supervisor()?;
    let another = if trick == "splice" {
        ANOTHER_STREAM
    } else {
        ""
    };
    let _broadcaster = stage.broadcaster(&format!("{TEST_PICTURE}{another}"))?;
    let process = stage.liar(trick, 50_000)?;
    let liar = process.wait_for_line("its name", |line| line["peer"].is_string())?["peer"].clone();
    let _other = match trick {
        "splice" => Some(watches_another(&stage)?),
        _ => None,
    };
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
    process.wait_for_any_line("it lies", |line| line["lied"] == true)?;
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
        accusations: supervisor.log().matches(ACCUSED).count(),
        evicted: supervisor.log().contains("forged media"),
    })
}

/// Viewers of two networks play below a relay that lies to all of them, and an honest relay stands by. Gives what the supervisor
/// said when all had left the liar.
pub fn lie_to_two_networks(trick: &str) -> anyhow::Result<String> {
    let stage = Stage::new()?;
    let supervisor = stage.supervisor()?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let process = stage.liar(trick, 50_000)?;
    let liar = process.wait_for_line("its name", |line| line["peer"].is_string())?["peer"].clone();
    let far = Tap::from_address(Ipv4Addr::new(127, 0, 7, 7).into(), &stage.url(), honest)?;
    let near = Audience::new(&stage, 1)?;
    let far = Audience::at(&stage, &far.url(), "far", 1).map(|audience| (far, audience))?;
    for audience in [&near, &far.1] {
        audience.until("it is below the liar", |line| line["parent"] == liar)?;
    }
    let _honest = stage.relay("honest", 1_000_000)?;
    process.signal(Signal::User)?;
    for audience in [&near, &far.1] {
        audience.until("another parent", |line| {
            line["parent"].is_string() && line["parent"] != liar
        })?;
        audience.watches_on(WATCHED_AFTER)?;
    }
    supervisor.wait_for_log("forged media")?;
    process.wait_for_log("Refused")?;
    Ok(supervisor.log())
}

/// A liar, an honest relay that checks this share of what it gets from it, and viewers below that one, who watch.
#[derive(Debug)]
pub struct Chain {
    liar: Process,
    relay: Process,
    audience: Audience,
    _others: [Process; 2],
    _first: Audience,
    // The last to go: it takes the folder with it.
    _stage: Stage,
}

/// How often a chain is built, where relays leave the liar by themselves: on a busy machine they may take it for dead.
const TRIES: usize = 3;

impl Chain {
    /// Lets all in, and waits until all play below the relay, and that below the liar, which does not lie yet.
    pub fn new(trick: &str, threshold: f64) -> anyhow::Result<Self> {
        for _ in 0..TRIES {
            let chain = Self::build(trick, threshold)?;
            let below_the_relay = |line: &Value| {
                let relay = line["parent"].as_str().unwrap_or_default();
                let words = format!("took this relay in peer={relay}");
                chain.relay.log().contains(&words)
            };
            chain.audience.until("it is below the relay", |line| {
                line["depth"] == 3 || (line["depth"] == 2 && below_the_relay(line))
            })?;
            if chain.audience.lines().iter().all(|line| line["depth"] == 3) {
                return Ok(chain);
            }
            println!("the relay went to the broadcaster by itself: once more");
        }
        anyhow::bail!("the relay went to the broadcaster by itself each time")
    }

    fn build(trick: &str, threshold: f64) -> anyhow::Result<Self> {
        const ONE_CHILD_KBPS: u32 = 700; // 400 kbit/s and sound, and some room
        let stage = Stage::new()?;
        let supervisor = stage.supervisor()?;
        let streams = format!("uplink_kbps = {ONE_CHILD_KBPS}\n{TEST_PICTURE}");
        let broadcaster = stage.broadcaster(&streams)?;
        let liar = stage.liar(trick, ONE_CHILD_KBPS)?;
        // It draws the liar in, which has room for the relay or for a viewer: the relay gets it.
        let first = Audience::new(&stage, 1)?;
        let more = format!("uplink_kbps = 50000\nthreshold = {threshold:?}\n");
        let relay = stage.relay_alone("relay", &more)?;
        relay.wait_for_log("took this relay in")?;
        let audience = Audience::new(&stage, 2)?;
        Ok(Self {
            liar,
            relay,
            audience,
            _others: [supervisor, broadcaster],
            _first: first,
            _stage: stage,
        })
    }

    /// The liar lies from now on.
    pub fn lies(&self) -> anyhow::Result<()> {
        self.liar.signal(Signal::User)?;
        self.liar
            .wait_for_any_line("it lies", |line| line["lied"] == true)
    }

    /// The liar is switched off.
    pub fn is_rid_of_it(&mut self) {
        self.liar.kill();
    }

    /// The viewers.
    pub const fn audience(&self) -> &Audience {
        &self.audience
    }

    /// The honest relay.
    pub const fn relay(&self) -> &Process {
        &self.relay
    }
}
