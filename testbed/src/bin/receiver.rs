//! Watches a stream without a browser, and prints how it goes: one JSON object a line and viewer.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use peer::identity::{self, Identity};
use peer::signalling::Supervisor;
use protocol::id::Fingerprint;
use protocol::security::suite::Suite;
use protocol::signal::Component;
use serde_json::json;
use testbed::viewer::{Figures, Receiver};
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
    /// Milliseconds between two lines of a viewer.
    #[arg(long, default_value_t = 1000)]
    interval_ms: u64,
    /// What each viewer may send to children, kbit/s.
    #[arg(long, default_value_t = 6000)]
    uplink_kbps: u32,
    /// Do not relay.
    #[arg(long)]
    leaf: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match watch(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("receiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn watch(arguments: Arguments) -> anyhow::Result<()> {
    let mut viewers = JoinSet::new();
    let folder = std::env::temp_dir().join(format!("ownstream-receiver-{}", std::process::id()));
    for number in 0..arguments.viewers {
        let state_dir = folder.join(number.to_string());
        viewers.spawn(view(
            number,
            arguments.clone(),
            start(&arguments, state_dir)?,
        ));
    }
    let _folder = Folder(folder);
    let over = async {
        match arguments.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = viewers.join_next() => Ok(()),
        () = over => Ok(()),
        result = tokio::signal::ctrl_c() => result.context("listening for Ctrl-C"),
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
        loopback: true,
        software: concat!("headless receiver ", env!("CARGO_PKG_VERSION")).into(),
    };
    let supervisor = Supervisor {
        url: arguments.supervisor.clone(),
        certificate: arguments.certificate,
    };
    identity::start(identity, supervisor, peer::Clock::new()).context("starting a viewer")
}

async fn view(number: u32, arguments: Arguments, (node, news): Peer) {
    let receiver = Receiver::new(node, news, peer::Clock::new(), arguments.stream.clone());
    receiver
        .run(Duration::from_millis(arguments.interval_ms), |figures| {
            print(number, &figures)
        })
        .await;
}

fn print(number: u32, figures: &Figures) {
    let node = figures
        .stream
        .and_then(|stream| figures.node.streams.get(&stream))
        .copied()
        .unwrap_or_default();
    let player = figures.player.unwrap_or_default();
    let line = json!({
        "viewer": number,
        "playing": player.started,
        "stalls": player.stalls,
        "stalled_ms": player.stalled.as_millis() as u64,
        "latency_ms": player.latency.map(|l| l.as_millis() as u64),
        "hold_ms": player.hold.as_millis() as u64,
        "ahead_ms": player.ahead.as_millis() as u64,
        "jumps": player.jumps,
        "parent": node.parent.map(|p| p.to_string()),
        "depth": node.depth,
        "children": node.children,
        "bytes_down": node.bytes_down,
        "bytes_up": node.bytes_up,
        "ended": figures.ended,
    });
    let _ = writeln!(std::io::stdout(), "{line}"); // whoever reads it may be gone
}
