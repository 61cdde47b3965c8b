//! Watches a stream without a browser, and prints how it goes: one JSON object a line and viewer.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use peer::identity::{self, Identity, LinkChoice};
use peer::signalling::Supervisor;
use protocol::id::{Fingerprint, PeerId};
use protocol::node::{Input, MOST_LANES};
use protocol::security::suite::Suite;
use protocol::signal::Component;
use serde_json::{Value, json};
use testbed::delays::Delays;
use testbed::recorder::Recorder;
use testbed::viewer::{Figures, Played, Receiver};
use tokio::task::JoinSet;

/// Watches a stream without a browser, and prints how it goes as JSON lines.
#[derive(Debug, Clone, Parser)]
#[command(version)]
struct Arguments {
    /// The supervisor's address for peers.
    #[arg(long, default_value = "ws://127.0.0.1:8080/peer")]
    supervisor: String,
    /// The one certificate the supervisor may show on wss://, by its SHA-256 fingerprint.
    #[arg(long)]
    certificate: Option<Fingerprint>,
    /// Prove with RSA.
    #[arg(long)]
    rsa: bool,
    /// The stream's name; the first there is if left out.
    #[arg(long, default_value = "")]
    stream: String,
    /// Viewers in this process.
    #[arg(long, default_value_t = 1)]
    viewers: u32,
    /// Seconds to watch; for ever if left out.
    #[arg(long)]
    seconds: Option<u64>,
    /// Milliseconds between two lines of a viewer; the last one counts if it is said twice.
    #[arg(long, default_value_t = 1000, overrides_with = "interval_ms")]
    interval_ms: u64,
    /// What each viewer may send to children, kbit/s.
    #[arg(long, default_value_t = 6000)]
    uplink_kbps: u32,
    /// Do not relay.
    #[arg(long)]
    leaf: bool,
    /// Keep just so many milliseconds ahead of the picture, whatever happens; by the player's own rules if left out.
    #[arg(long)]
    hold_ms: Option<u64>,
    /// Have the same chunks played once more by a player that keeps just so many milliseconds ahead, and print how it
    /// fares too; as often as this is said.
    #[arg(long, value_name = "HOLD_MS")]
    beside_ms: Vec<u64>,
    /// Connections of a link at most: more than one are opened where packets are lost.
    #[arg(long, default_value_t = MOST_LANES, value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST_LANES)))]
    lanes: u8,
    /// Have media delivered in the order in which it was sent, so that what comes after a lost chunk waits.
    #[arg(long)]
    ordered: bool,
    /// Write what the player is given into this folder: each track to a file, and to another one when its encoder changes.
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,
    /// Print how late chunks came that were captured so many seconds after the first one came; the broadcaster has to run on the same machine.
    #[arg(long)]
    delays_after: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One viewer has no use for more than one thread, and dozens of them on one machine pay for each.
    let mut runtime = match arguments.viewers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build().context("starting the runtime");
    match runtime.and_then(|runtime| runtime.block_on(watch(arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("receiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn watch(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.record.is_some() && arguments.viewers != 1 {
        anyhow::bail!("only one viewer can be recorded into a folder: leave --viewers out");
    }
    let mut viewers = JoinSet::new();
    let folder = std::env::temp_dir().join(format!("ownstream-receiver-{}", std::process::id()));
    // A process of the same number that was killed may have left one, which knows another supervisor.
    let _ = std::fs::remove_dir_all(&folder); // mostly there is none
    let mut handles = Vec::new();
    for number in 0..arguments.viewers {
        let peer = start(&arguments, folder.join(number.to_string()))?;
        handles.push(peer.0.clone());
        viewers.spawn(view(number, arguments.clone(), peer));
    }
    let _folder = Folder(folder);
    let over = async {
        match arguments.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        Some(ended) = viewers.join_next() => ended.context("a viewer ended")??,
        () = over => {},
        result = tokio::signal::ctrl_c() => result.context("listening for Ctrl-C")?,
    }
    for handle in handles {
        leave(&handle).await;
    }
    tokio::time::sleep(LAST_WORD).await;
    Ok(())
}

/// The last word to neighbours is on its way by then. Guess: a few round trips on a LAN.
const LAST_WORD: Duration = Duration::from_millis(100);

/// Gives up what it watches, so that whoever it feeds knows at once.
async fn leave(handle: &peer::Handle) {
    let streams = handle.snapshot().await.unwrap_or_default().streams;
    for stream in streams.into_keys() {
        handle.put(Input::Unwatch(stream)).await;
    }
}

/// The viewers' identities, as long as the viewers are there: one that comes back is a new one.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // it may be gone
    }
}

type Peer = (
    peer::Handle,
    tokio::sync::mpsc::Receiver<protocol::node::Event>,
);

fn start(arguments: &Arguments, state_dir: PathBuf) -> anyhow::Result<Peer> {
    let identity = Identity {
        component: Component::Receiver,
        name: Some("headless".into()),
        uplink_kbps: arguments.uplink_kbps,
        relays: !arguments.leaf,
        signing: None,
        join_token: None,
        suites: vec![if arguments.rsa {
            Suite::Rsa
        } else {
            Suite::Elliptic
        }],
        rsa_bits: 2048,
        threshold: 1.0,
        state_dir,
        udp_port: 0,
        udp_address: None,
        loopback: true,
        software: concat!("headless receiver ", env!("CARGO_PKG_VERSION")).into(),
        links: LinkChoice {
            lanes: arguments.lanes,
            ordered: arguments.ordered,
        },
    };
    let supervisor = Supervisor {
        url: arguments.supervisor.clone(),
        certificate: arguments.certificate,
    };
    identity::start(identity, supervisor, peer::Clock::new()).context("starting a viewer")
}

async fn view(number: u32, arguments: Arguments, (node, news): Peer) -> anyhow::Result<()> {
    let (began, peer) = (Instant::now(), node.peer());
    let hold = arguments.hold_ms.map(Duration::from_millis);
    let receiver = Receiver::new(node, news, peer::Clock::new(), arguments.stream.clone());
    let after = Duration::from_secs(arguments.delays_after.unwrap_or(0));
    let beside = arguments.beside_ms.iter().copied();
    let beside: Vec<Duration> = beside.map(Duration::from_millis).collect();
    let receiver = receiver.holding(hold).beside(&beside);
    let receiver = receiver.counting_delays_after(after);
    let recorder = arguments.record.as_deref().map(Recorder::create);
    let receiver = receiver.recorded(recorder.transpose()?);
    receiver
        .run(Duration::from_millis(arguments.interval_ms), |figures| {
            let delays = arguments.delays_after.map(|_| &figures.delays);
            print(number, peer, began, &figures, delays)
        })
        .await
}

fn print(number: u32, peer: PeerId, began: Instant, figures: &Figures, delays: Option<&Delays>) {
    let node = figures
        .stream
        .and_then(|stream| figures.node.streams.get(&stream))
        .copied()
        .unwrap_or_default();
    let mut line = played(began, &figures.player);
    let of_the_node = json!({
        "viewer": number,
        "peer": peer.to_string(),
        "parent": node.parent.map(|p| p.to_string()),
        "depth": node.depth,
        "children": node.children,
        "bytes_down": node.bytes_down,
        "bytes_up": node.bytes_up,
        "failed": figures.failed,
        "ended": figures.ended,
        "links": figures.node.links,
    });
    if let (Some(line), Value::Object(node)) = (line.as_object_mut(), of_the_node) {
        line.extend(node);
    }
    if !figures.beside.is_empty() {
        let all = figures.beside.iter();
        line["beside"] = all.map(|player| played(began, player)).collect();
    }
    if let Some(delays) = delays {
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| delays.quantile_ms(share));
        line["delays_ms"] = json!({ "p50": p50, "p99": p99, "most": most });
    }
    let _ = writeln!(std::io::stdout(), "{line}"); // whoever reads it may be gone
}

fn played(began: Instant, player: &Played) -> Value {
    let Played {
        stats,
        first_picture,
    } = player;
    json!({
        "joined_ms": first_picture.map(|at| (at - began).as_millis() as u64),
        "playing": stats.started,
        "stalls": stats.stalls,
        "stalled_ms": stats.stalled.as_millis() as u64,
        "latency_ms": stats.latency.map(|l| l.as_millis() as u64),
        "hold_ms": stats.hold.as_millis() as u64,
        "ahead_ms": stats.ahead.as_millis() as u64,
        "position_ms": stats.position_us / 1000,
        "jumps": stats.jumps,
    })
}
