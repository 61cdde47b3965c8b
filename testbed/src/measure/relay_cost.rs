//! What a relay costs that feeds many children, beside a bare program of the `webrtc` crate that sends as much
//! to as many (the fanout example of `peer`).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::stage::{Process, Stage};

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Children.
    pub children: u32,
    /// Rate to each, kbit/s.
    pub kbps: u32,
    /// Length of one run.
    pub length: Duration,
    /// Runs of each kind, interleaved.
    pub rounds: u32,
}

/// What one run cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Processor seconds.
    pub cpu_s: f64,
    /// Memory, MiB.
    pub resident_mib: f64,
}

/// Runs both kinds in turn; gives the costs of the relay, and of the bare program.
pub fn compare(
    plan: &Plan,
    mut tell: impl FnMut(&str, Cost),
) -> anyhow::Result<(Vec<Cost>, Vec<Cost>)> {
    let (mut relay, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        bare.push(bare_run(plan)?);
        tell("bare", bare[bare.len() - 1]);
        relay.push(relay_run(plan)?);
        tell("relay", relay[relay.len() - 1]);
    }
    Ok((relay, bare))
}

/// One run of the real relay.
pub fn relay_run(plan: &Plan) -> anyhow::Result<Cost> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    // One address, as the bare program has: each one more costs something for each child.
    let relay = stage.relay_alone(
        "relay",
        &format!(
            "uplink_kbps = {}\nudp_address = \"127.0.0.1\"\n",
            plan.kbps * (plan.children + 1)
        ),
    )?;
    relay.wait_for_log("took this relay in")?;
    let _source = stage.source(plan.kbps)?;
    let viewers = stage.receiver(
        "viewers",
        &["--leaf", "--viewers", &plan.children.to_string()],
    )?;
    all_play(&viewers, plan.children)?;
    sleep(Duration::from_secs(1)); // let the set-up settle
    let before = relay.cpu_seconds();
    let got = media(&viewers, plan.children);
    sleep(plan.length);
    let cpu_s = relay.cpu_seconds() - before;
    let share = (media(&viewers, plan.children) - got) * 8.0
        / (f64::from(plan.kbps * plan.children) * 1000.0 * plan.length.as_secs_f64());
    ensure!(
        share > 0.95,
        "only {share:.2} of the media arrived: this machine is too busy to measure"
    );
    Ok(Cost {
        cpu_s,
        resident_mib: relay.resident_kib() as f64 / 1024.0,
    })
}

/// The last line of each viewer.
fn last_lines(viewers: &Process, count: u32) -> Vec<Value> {
    let lines = viewers.lines();
    let last = |n: u32| lines.iter().rev().find(|l| l["viewer"] == n).cloned();
    (0..count).filter_map(last).collect()
}

fn media(viewers: &Process, count: u32) -> f64 {
    last_lines(viewers, count)
        .iter()
        .filter_map(|l| l["bytes_down"].as_f64())
        .sum()
}

fn all_play(viewers: &Process, count: u32) -> anyhow::Result<()> {
    let playing = || {
        last_lines(viewers, count)
            .iter()
            .filter(|l| l["playing"] == true)
            .count()
    };
    for _ in 0..600 {
        if playing() == count as usize {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    anyhow::bail!(
        "only {} of {count} viewers play; their log:\n{}",
        playing(),
        viewers.log()
    )
}

fn bare_run(plan: &Plan) -> anyhow::Result<Cost> {
    let program = crate::stage::programs()?.join("examples/fanout");
    let words = [
        ("--children", plan.children.to_string()),
        ("--kbps", plan.kbps.to_string()),
        ("--seconds", plan.length.as_secs().to_string()),
    ];
    let words: Vec<String> = words
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
    let (mut sender, mut from_sender) = spawn(&program, &["sender-bare".into()], &words)?;
    let port = read_line(&mut from_sender)?;
    let (mut receivers, mut from_receivers) = spawn(&program, &["receivers".into(), port], &words)?;
    let cost: Value = serde_json::from_str(&read_line(&mut from_sender)?)
        .context("what the bare sender printed")?;
    read_line(&mut from_receivers)?;
    for process in [&mut sender, &mut receivers] {
        process.wait().context("waiting for the bare program")?;
    }
    let number = |name: &str| {
        cost[name]
            .as_f64()
            .with_context(|| format!("the bare sender says no {name}"))
    };
    Ok(Cost {
        cpu_s: number("cpu_s")?,
        resident_mib: number("rss_mib")?,
    })
}

fn spawn(
    program: &Path,
    what: &[String],
    words: &[String],
) -> anyhow::Result<(Child, BufReader<ChildStdout>)> {
    let mut child = Command::new(program)
        .args(what)
        .args(words)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!(
                "starting {} (cargo build --release -p peer --example fanout)",
                program.display()
            )
        })?;
    let stdout = child.stdout.take().context("a pipe")?;
    Ok((child, BufReader::new(stdout)))
}

fn read_line(from: &mut BufReader<ChildStdout>) -> anyhow::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)
        .context("reading from the bare program")?;
    ensure!(!line.is_empty(), "the bare program ended early");
    Ok(line.trim().to_owned())
}
