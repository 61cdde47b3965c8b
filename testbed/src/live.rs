//! The paper's experiment with the real programs: viewers fail while others watch, and stalls are counted.
//!
//! Supervisor, broadcaster, relays and every single viewer are processes of their own, joined by WebRTC over loopback.
//! docs/experiments.md says what is counted, and reads the results.

mod crowd;
pub mod draw;
pub mod kept;
pub mod matrix;
mod record;

use std::time::{Duration, Instant};

use clap::ValueEnum;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::stage::{Process, Signal, Stage};
use crate::victims::Distribution;
use crowd::Crowd;
pub use record::Record;

/// About as many bits as the paper's film (Table I: 1159 kbit/s), with little work for the encoder, and no sound: two
/// cores carry 80 viewers of 25 chunks a second, and not of 75.
const STREAM: &str = r#"
[[stream]]
name = "test"
source = { kind = "test" }
video = { width = 640, height = 360, fps = 25, bitrate_kbps = 1000 }
audio = { enabled = false }
"#;
/// The paper's viewers.
pub(crate) const PAPERS_VIEWERS: usize = 80;
/// What a viewer may send: two children, as in the paper's tree.
pub(crate) const VIEWER_KBPS: u32 = 3_300;
/// What a relay may send: ten children, so that of 80 viewers 50 are fed by viewers.
const RELAY_KBPS: u32 = 12_000;
const RELAYS: usize = 3;
/// Everybody plays for this long before anything fails.
pub(crate) const CALM: Duration = Duration::from_secs(5);
/// How often latencies are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A run on a machine that wakes its programs later than this is no measurement (99 of 100 times).
pub const MOST_DELAY: Duration = Duration::from_millis(50);

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum System {
    /// Binary tree, no backup parents, 300 ms held.
    #[value(name = "paper-300")]
    Paper300,
    /// The same with 500 ms.
    #[value(name = "paper-500")]
    Paper500,
    /// The same with a second.
    #[value(name = "paper-1000")]
    Paper1000,
    /// Binary tree with all we have.
    Ours,
    /// All we have, and three relays.
    Relays,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Paper300,
        Self::Paper500,
        Self::Paper1000,
        Self::Ours,
        Self::Relays,
    ];

    /// Its name on the command line, in files and in pictures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper300 => "paper-300",
            Self::Paper500 => "paper-500",
            Self::Paper1000 => "paper-1000",
            Self::Ours => "ours",
            Self::Relays => "relays",
        }
    }

    /// What each viewer keeps ahead, whatever happens; by the player's own rules if none.
    pub(crate) fn hold(self) -> Option<Duration> {
        let fixed = match self {
            Self::Paper300 => 300,
            Self::Paper500 => 500,
            Self::Paper1000 => 1000,
            Self::Ours | Self::Relays => return None,
        };
        Some(Duration::from_millis(fixed))
    }

    /// The systems that differ from it in nothing but what players hold, and are watched in the same run, by players of
    /// their own: who feeds whom does not depend on it.
    pub(crate) fn beside(self) -> &'static [Self] {
        match self {
            Self::Paper500 => &[Self::Paper300, Self::Paper1000],
            _ => &[],
        }
    }

    fn supervisor_lines(self) -> &'static str {
        match self {
            Self::Relays => "",
            Self::Ours => "default_topology = { kind = \"tree\" }\n",
            _ => "default_topology = { kind = \"tree\" }\nbackups = false\n",
        }
    }
}

/// How viewers fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// They leave, as a tab does that is closed: the paper's disconnection.
    Close,
    /// Their process is killed (SIGKILL).
    Kill,
    /// Their process stands still (SIGSTOP): nothing tells that they are gone.
    Freeze,
    /// No viewer fails; one relay of three is killed, halfway through.
    OneRelay,
    /// No viewer fails; all relays are killed at once, halfway through, and come back after a second.
    AllRelays,
}

impl Fault {
    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::OneRelay => "one-relay",
            Self::AllRelays => "all-relays",
        }
    }

    fn signal(self) -> Option<Signal> {
        match self {
            Self::Close => Some(Signal::Interrupt),
            Self::Kill => Some(Signal::Kill),
            Self::Freeze => Some(Signal::Stop),
            Self::OneRelay | Self::AllRelays => None,
        }
    }
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What is run.
    pub system: System,
    /// Who fails.
    pub distribution: Distribution,
    /// How often, a second.
    pub rate: f64,
    /// How.
    pub fault: Fault,
    /// Viewers at a time.
    pub viewers: usize,
    /// How long, once all play.
    pub seconds: u64,
    /// Who is drawn.
    pub seed: u64,
    /// What is not as in the paper's experiment.
    pub unlike: Unlike,
}

/// What a run may have otherwise than the paper's experiment: for networks that lose packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlike {
    /// A source that encodes nothing and sends at this rate, kbit/s, in place of the broadcaster with its test picture.
    pub source_kbps: Option<u32>,
    /// Connections of a viewer's link at most; as many as usual if none.
    pub lanes: Option<u8>,
    /// Whether a viewer has its media delivered in order.
    pub ordered: bool,
}

impl Unlike {
    /// Whether there is nothing.
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What there is, for lines and names: nothing, or words that begin with a space.
    fn words(&self) -> String {
        let kbps = self.source_kbps.map(|kbps| format!(" kbps={kbps}"));
        let lanes = self.lanes.map(|lanes| format!(" lanes={lanes}"));
        let ordered = self.ordered.then(|| " ordered".to_owned());
        [kbps, lanes, ordered].into_iter().flatten().collect()
    }

    /// What a viewer may send: two children, and some more.
    fn viewer_kbps(&self) -> u32 {
        self.source_kbps
            .map_or(VIEWER_KBPS, |kbps| kbps * 2 + kbps / 5)
    }
}

struct World {
    stage: Stage,
    relays: Vec<Process>,
    _broadcaster: Process,
    _supervisor: Process,
}

impl World {
    fn new(plan: &Plan) -> anyhow::Result<Self> {
        let stage = Stage::with_supervisor(plan.system.supervisor_lines())?;
        let supervisor = stage.supervisor()?;
        let count = if plan.system == System::Relays {
            RELAYS
        } else {
            0
        };
        let relays = (0..count).map(|n| stage.relay(&relay_name(n), RELAY_KBPS));
        let relays = relays.collect::<anyhow::Result<_>>()?;
        let broadcaster = match plan.unlike.source_kbps {
            Some(kbps) => stage.source(kbps)?,
            None => stage.broadcaster(STREAM)?,
        };
        Ok(Self {
            stage,
            relays,
            _broadcaster: broadcaster,
            _supervisor: supervisor,
        })
    }

    fn kill_relays(&mut self, fault: Fault) {
        let count = match fault {
            Fault::OneRelay => 1,
            Fault::AllRelays => self.relays.len(),
            _ => 0,
        };
        self.relays.iter_mut().take(count).for_each(Process::kill);
    }

    /// They start again where they were, as a service manager would start them.
    fn relays_come_back(&mut self) -> anyhow::Result<()> {
        for (n, relay) in self.relays.iter_mut().enumerate() {
            if !relay.is_running() {
                *relay = self.stage.relay_again(&relay_name(n))?;
            }
        }
        Ok(())
    }
}

fn relay_name(n: usize) -> String {
    format!("relay-{n}")
}

/// Runs it, and gives its record, and after it those of the systems that were watched beside it. `tell` hears how far it
/// is.
pub fn run(plan: &Plan, mut tell: impl FnMut(&str)) -> anyhow::Result<Vec<Record>> {
    tell("starting");
    let mut world = World::new(plan)?;
    let mut crowd = Crowd::new(&world.stage, plan)?;
    tell("all play");
    std::thread::sleep(CALM);
    let delays = record::Delays::start();
    crowd.count_from_here();
    let mut random = StdRng::seed_from_u64(plan.seed);
    let began = Instant::now();
    let length = Duration::from_secs(plan.seconds);
    let pause = Duration::from_secs_f64(1.0 / plan.rate.max(1e-6));
    let (mut next_failure, mut next_look) = (pause, LOOK_EVERY);
    let mut relays_die = Some(length / 2);
    let mut relays_return = None;
    while began.elapsed() < length {
        std::thread::sleep(Duration::from_millis(5));
        let now = began.elapsed();
        if let Some(signal) = plan.fault.signal()
            && now >= next_failure
        {
            next_failure += pause;
            crowd.fail_one(&world.stage, signal, |n| {
                plan.distribution.draw(&mut random, n)
            })?;
        }
        if plan.fault.signal().is_none() && relays_die.take_if(|at| now >= *at).is_some() {
            world.kill_relays(plan.fault);
            relays_return = Some(now + Duration::from_secs(1));
        }
        if relays_return.take_if(|at| now >= *at).is_some() {
            world.relays_come_back()?;
        }
        if now >= next_look {
            next_look += LOOK_EVERY;
            crowd.look();
            if next_look.as_millis() % 10_000 == 0 {
                tell(&format!("{} s", next_look.as_secs()));
            }
        }
    }
    Ok(crowd.close(plan, delays.end()))
}
