//! All runs there are to make: made one after the other, kept in files, and not made twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::{Fault, PAPERS_VIEWERS, Plan, Record, System, Unlike, kept::Kept, run as run_one};
use crate::sim;
use crate::victims::Distribution;

/// The paper's minute.
const SECONDS: u64 = 60;
/// A run on a machine that was too slow is made again, so often.
const TRIES: usize = 3;

/// A run with the real programs, or a simulated one.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// What.
    pub plan: Plan,
    /// Whether it is simulated.
    pub simulated: bool,
}

impl Run {
    /// Its file's name, without what comes after the dot.
    pub fn name(&self) -> String {
        self.name_of(&Record::empty(&self.plan))
    }

    /// The same of every record that it gives.
    fn names(&self) -> Vec<String> {
        let beside = match self.simulated {
            true => &[][..],
            false => self.plan.system.beside(),
        };
        let systems = [self.plan.system].into_iter().chain(beside.iter().copied());
        let plan = |system| Plan {
            system,
            ..self.plan
        };
        systems
            .map(|system| self.name_of(&Record::empty(&plan(system))))
            .collect()
    }

    fn name_of(&self, record: &Record) -> String {
        let (simulated, record) = (self.simulated, record.clone());
        Kept { simulated, record }.name()
    }
}

fn plan(system: System, distribution: Distribution, rate: f64, fault: Fault, seed: u64) -> Plan {
    Plan {
        system,
        distribution,
        rate,
        fault,
        viewers: PAPERS_VIEWERS,
        seconds: SECONDS,
        seed,
        unlike: Unlike::default(),
    }
}

/// The paper's matrix simulated (five distributions, five rates, four samples), and a part of it with the real
/// programs: what says most comes first.
pub fn all(samples: u64) -> Vec<Run> {
    let mut runs = Vec::new();
    for system in System::ALL {
        for distribution in Distribution::ALL {
            for rate in 1..=5 {
                runs.extend((1..=4).map(|seed| Run {
                    plan: plan(system, distribution, f64::from(rate), Fault::Close, seed),
                    simulated: true,
                }));
            }
        }
    }
    let live = |plan| Run {
        plan,
        simulated: false,
    };
    for seed in 1..=samples {
        for rate in [5.0, 3.0, 1.0] {
            for distribution in Distribution::ALL {
                for system in [System::Ours, System::Relays, System::Paper500] {
                    runs.push(live(plan(system, distribution, rate, Fault::Close, seed)));
                }
            }
        }
        for fault in [Fault::Kill, Fault::Freeze] {
            for distribution in [Distribution::Uniform, Distribution::Beta] {
                for system in [System::Ours, System::Relays, System::Paper500] {
                    runs.push(live(plan(system, distribution, 3.0, fault, seed)));
                }
            }
        }
        for fault in [Fault::OneRelay, Fault::AllRelays] {
            runs.push(live(plan(
                System::Relays,
                Distribution::Uniform,
                0.0,
                fault,
                seed,
            )));
        }
    }
    runs
}

/// One run of each system, fifteen seconds each, and as much simulated.
pub fn quick() -> Vec<Run> {
    let systems = [System::Paper500, System::Ours, System::Relays];
    let quick = |simulated| {
        systems.map(|system| Run {
            plan: Plan {
                seconds: 15,
                ..plan(system, Distribution::Uniform, 3.0, Fault::Close, 1)
            },
            simulated,
        })
    };
    [quick(true), quick(false)].concat()
}

/// Makes the runs that are not there yet, nor among those that are known, and says how far it is.
pub fn run(
    runs: &[Run],
    known: &BTreeMap<String, Kept>,
    data: &Path,
    only: &str,
) -> anyhow::Result<()> {
    fs::create_dir_all(data).with_context(|| format!("making {}", data.display()))?;
    let path = |name: &str| data.join(format!("{name}.json"));
    let lacks = |name: &String| !known.contains_key(name) && !path(name).exists();
    let open = |run: &&Run| {
        let names = run.names();
        names.iter().any(|name| name.contains(only) && lacks(name))
    };
    let open: Vec<&Run> = runs.iter().filter(open).collect();
    let mut unsound = Vec::new();
    for (at, run) in open.iter().enumerate() {
        let name = run.name();
        eprintln!("{} of {}: {name}", at + 1, open.len());
        let mut tries = 0..TRIES;
        let records = loop {
            tries.next();
            let records = match run.simulated {
                true => vec![sim::record(&run.plan)],
                false => run_one(&run.plan, |_| {})?,
            };
            let late = records.iter().find(|record| !record.valid);
            let Some(late) = late.filter(|_| !tries.is_empty()) else {
                break records;
            };
            let ms = late.delay_p99_ms;
            eprintln!("  once more: this machine was late by {ms:.0} ms");
        };
        for record in &records {
            eprintln!("  {}", record.line());
        }
        if records.iter().any(|record| !record.valid) {
            unsound.push(name);
            continue;
        }
        for record in &records {
            // Never half a file, whenever this ends.
            let whole = data.join("unfinished");
            fs::write(&whole, serde_json::to_vec(record)?).context("writing a record")?;
            fs::rename(&whole, path(&run.name_of(record))).context("keeping a record")?;
        }
    }
    if !unsound.is_empty() {
        eprintln!(
            "not kept, for this machine was too busy: {}. Run this again when it is quiet.",
            unsound.join(", ")
        );
    }
    Ok(())
}
