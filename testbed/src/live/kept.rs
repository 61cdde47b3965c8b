//! What runs came to, as it is kept: a file for each, life for life, and a list of all of them beside the figures.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{PAPERS_VIEWERS, Record, System};

/// A run's record, and whether it was simulated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// Whether it was simulated.
    pub simulated: bool,
    /// The record.
    #[serde(flatten)]
    pub record: Record,
}

impl Kept {
    /// The run's name, which is also its file's.
    pub fn name(&self) -> String {
        let Record {
            system,
            fault,
            distribution,
            rate,
            seconds,
            seed,
            viewers,
            unlike,
            ..
        } = &self.record;
        let kind = if self.simulated { "sim" } else { "live" };
        let mut name = format!("{kind}-{system}-{fault}-{distribution}-{rate}-{seconds}s-{seed}");
        if *viewers != PAPERS_VIEWERS {
            name += &format!("-{viewers}");
        }
        name + &unlike.words().replace(' ', "-")
    }
}

/// The runs of a folder and, if one is given, of a list, by name. What is in the folder was made here, and counts.
pub fn read(folder: &Path, list: Option<&Path>) -> anyhow::Result<BTreeMap<String, Kept>> {
    let listed = list.map_or_else(|| Ok(Vec::new()), listed)?;
    let named = |kept: Kept| (kept.name(), kept);
    let mut runs: BTreeMap<String, Kept> = listed.into_iter().map(named).collect();
    if !folder.exists() {
        return Ok(runs);
    }
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let record = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no record", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let simulated = name.starts_with("sim-");
        runs.insert(name.into_owned(), Kept { simulated, record });
    }
    Ok(runs)
}

/// The runs of a list, one a line; none where there is no list.
fn listed(list: &Path) -> anyhow::Result<Vec<Kept>> {
    let text = match fs::read_to_string(list) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", list.display())),
    };
    let record = |(at, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("{}:{} is no record", list.display(), at + 1))
    };
    text.lines().enumerate().map(record).collect()
}

/// Writes a list of runs, without their single lives.
pub fn write_list<'a>(runs: impl Iterator<Item = &'a Kept>, list: &Path) -> anyhow::Result<()> {
    let mut text = Vec::new();
    for kept in runs {
        let mut kept = kept.clone();
        kept.record.each.clear();
        serde_json::to_writer(&mut text, &kept)?;
        writeln!(text)?;
    }
    // Never half a list: it may be all there is of runs made elsewhere.
    let whole = list.with_extension("unfinished");
    fs::write(&whole, text).with_context(|| format!("writing {}", whole.display()))?;
    fs::rename(&whole, list).with_context(|| format!("writing {}", list.display()))
}

/// One line a system: what all its runs together came to.
pub fn sums(runs: &[Kept]) -> Vec<String> {
    let line = |system: System, simulated: bool| {
        let of_it =
            |kept: &&Kept| kept.simulated == simulated && kept.record.system == system.name();
        let own: Vec<&Record> = runs.iter().filter(of_it).map(|kept| &kept.record).collect();
        let latencies = own.iter().filter_map(|r| r.latency_p50_ms).collect();
        let latency = super::record::percentile(latencies, 0.5);
        (!own.is_empty()).then(|| {
            format!(
                "system={}{} runs={} lives={} stalls={} stalled_s={:.2} latency_p50_ms={}",
                system.name(),
                if simulated { " (simulated)" } else { "" },
                own.len(),
                own.iter().map(|r| r.lives).sum::<usize>(),
                own.iter().map(|r| r.stalls).sum::<u64>(),
                own.iter().map(|r| r.stalled_s).sum::<f64>(),
                latency.map_or_else(|| "-".into(), |ms| ms.to_string()),
            )
        })
    };
    let both = [true, false].into_iter();
    both.flat_map(|simulated| System::ALL.map(|system| (system, simulated)))
        .filter_map(|(system, simulated)| line(system, simulated))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{Fault, Plan, Unlike};
    use crate::victims::Distribution;

    fn run(seed: u64, stalls: u64) -> Kept {
        let plan = Plan {
            system: System::Ours,
            distribution: Distribution::Beta,
            rate: 3.0,
            fault: Fault::Kill,
            viewers: 80,
            seconds: 60,
            seed,
            unlike: Unlike::default(),
        };
        Kept {
            simulated: false,
            record: Record {
                stalls,
                ..Record::empty(&plan)
            },
        }
    }

    #[test]
    fn runs_of_a_list_are_read_again_and_those_of_the_folder_take_their_places() {
        let place = tempfile::tempdir().expect("a folder");
        let list = place.path().join("runs.jsonl");
        assert!(
            read(place.path(), Some(&list))
                .expect("it is well")
                .is_empty()
        );
        write_list([run(1, 7), run(2, 0)].iter(), &list).expect("it is well");
        let anew = run(1, 3);
        let file = place.path().join(format!("{}.json", anew.name()));
        fs::write(file, serde_json::to_vec(&anew.record).expect("it is well")).expect("it is well");
        let runs = read(place.path(), Some(&list)).expect("it is well");
        let stalls: Vec<u64> = runs.values().map(|kept| kept.record.stalls).collect();
        assert_eq!(stalls, [3, 0]);
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let place = tempfile::tempdir().expect("a folder");
        let list = place.path().join("runs.jsonl");
        fs::write(&list, "{}\n").expect("it is well");
        let error = read(place.path(), Some(&list))
            .expect_err("no record")
            .to_string();
        assert!(error.ends_with("runs.jsonl:1 is no record"), "{error}");
    }
}
