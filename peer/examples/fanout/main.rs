//! What it costs to send one stream to many children: the plain `webrtc` crate against our
//! transport, interleaved in one run on one machine.
//!
//! ```text
//! cargo run --release -p peer --example fanout -- --children 64 --kbps 3000 --seconds 10
//! ```
//!
//! Each round starts a sender and, in another process, its receivers; the sender's processor time
//! and memory are what is reported. `--address` takes an address of this machine other than
//! loopback, over which our transport paces what it sends. Ends by itself.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

mod bare;
mod measure;
mod ours;
mod receivers;
mod signalling;

/// Chunks a second: frames of a camera.
const CHUNKS_PER_SECOND: u32 = 30;

/// What to run, from the command line.
#[derive(Debug, Clone)]
struct Plan {
    children: usize,
    kbps: usize,
    seconds: u64,
    rounds: usize,
    address: String,
}

impl Plan {
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut plan = Self {
            children: 64,
            kbps: 3000,
            seconds: 10,
            rounds: 3,
            address: "127.0.0.1".to_owned(),
        };
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} needs a value", pair[0]));
            };
            let number = || {
                value
                    .parse::<usize>()
                    .map_err(|error| format!("{name}: {error}"))
            };
            match name.as_str() {
                "--children" => plan.children = number()?,
                "--kbps" => plan.kbps = number()?,
                "--seconds" => plan.seconds = number()? as u64,
                "--rounds" => plan.rounds = number()?,
                "--address" => plan.address.clone_from(value),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        Ok(plan)
    }

    fn words(&self) -> Vec<String> {
        let Self {
            children,
            kbps,
            seconds,
            rounds,
            address,
        } = self;
        let words = format!(
            "--children {children} --kbps {kbps} --seconds {seconds} --rounds {rounds} --address {address}"
        );
        words.split(' ').map(str::to_owned).collect()
    }

    fn chunk_bytes(&self) -> usize {
        self.kbps * 1000 / 8 / CHUNKS_PER_SECOND as usize
    }

    const fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fanout: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("sender-ours") => in_tokio(ours::send(Plan::parse(&words[1..])?)),
        Some("sender-bare") => in_tokio(bare::send(Plan::parse(&words[1..])?)),
        Some("receivers") => {
            let port = words[1].parse().map_err(|error| format!("port: {error}"))?;
            in_tokio(receivers::receive(port, Plan::parse(&words[2..])?))
        }
        _ => compare(&Plan::parse(&words)?),
    }
}

fn in_tokio(task: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::runtime::Runtime::new()
        .map_err(|error| error.to_string())?
        .block_on(task)
}

/// What the two processes of one round print, as JSON objects.
struct Round {
    sender: serde_json::Value,
    receivers: serde_json::Value,
}

fn compare(plan: &Plan) -> Result<(), String> {
    println!(
        "{} children, {} kbit/s each in {} chunks/s, {} s, {} rounds, over {}",
        plan.children, plan.kbps, CHUNKS_PER_SECOND, plan.seconds, plan.rounds, plan.address
    );
    println!(
        "kind  cpu_s  cpu_s/Gbit  rss_MiB  delivered  delay_p50_ms  delay_p99_ms  setup_p50_ms"
    );
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        for (kind, rounds) in [("bare", &mut bare), ("ours", &mut ours)] {
            let round = one_round(kind, plan)?;
            print_round(kind, plan, &round);
            rounds.push(round);
        }
    }
    for what in ["cpu_s", "rss_mib"] {
        let median = |rounds: &[Round]| {
            measure::percentile(
                rounds
                    .iter()
                    .map(|round| number(&round.sender, what))
                    .collect(),
                50,
            )
        };
        println!(
            "{what}: ours / bare = {:.3} (medians)",
            median(&ours) / median(&bare)
        );
    }
    Ok(())
}

fn number(object: &serde_json::Value, name: &str) -> f64 {
    object[name].as_f64().unwrap_or(f64::NAN)
}

fn print_round(kind: &str, plan: &Plan, round: &Round) {
    let cpu = number(&round.sender, "cpu_s");
    let gigabits = number(&round.receivers, "bytes") * 8e-9;
    let chunks = plan.seconds as f64 * f64::from(CHUNKS_PER_SECOND) * plan.children as f64;
    println!(
        "{kind}  {cpu:5.2}  {:10.3}  {:7.1}  {:8.1}%  {:12.1}  {:12.1}  {:12.1}",
        cpu / gigabits,
        number(&round.sender, "rss_mib"),
        100.0 * number(&round.receivers, "chunks") / chunks,
        number(&round.receivers, "delay_p50_ms"),
        number(&round.receivers, "delay_p99_ms"),
        number(&round.receivers, "setup_p50_ms"),
    );
}

/// Runs a sender and its receivers, and waits for both to end.
fn one_round(kind: &str, plan: &Plan) -> Result<Round, String> {
    let (mut sender, mut from_sender) = spawn(&[format!("sender-{kind}")], plan)?;
    let port = read_line(&mut from_sender)?;
    let (mut receivers, mut from_receivers) = spawn(&["receivers".to_owned(), port], plan)?;
    let round = Round {
        sender: parse(&read_line(&mut from_sender)?)?,
        receivers: parse(&read_line(&mut from_receivers)?)?,
    };
    for process in [&mut sender, &mut receivers] {
        process.wait().map_err(|error| error.to_string())?;
    }
    Ok(round)
}

type Lines = BufReader<std::process::ChildStdout>;

fn spawn(what: &[String], plan: &Plan) -> Result<(Child, Lines), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut process = Command::new(program)
        .args(what)
        .args(plan.words())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let lines = process.stdout.take().ok_or("no pipe")?;
    Ok((process, BufReader::new(lines)))
}

fn read_line(lines: &mut Lines) -> Result<String, String> {
    let mut line = String::new();
    lines
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
    if line.is_empty() {
        Err("a process ended early".to_owned())
    } else {
        Ok(line.trim().to_owned())
    }
}

fn parse(line: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(line).map_err(|error| format!("{error} in {line:?}"))
}
