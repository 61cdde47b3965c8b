//! A *forward relay point*: takes streams from its parents, keeps their last seconds, forwards them to its
//! children. Never decodes, and decides nothing: `protocol::node` does.

mod config;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use config::Config;
use daemon::metrics::Sheet;
use log::{info, warn};
use peer::board::Board;
use peer::identity::{self, Identity, LinkChoice};
use peer::signalling::Supervisor;
use protocol::id::PeerId;
use protocol::node::Event;
use protocol::signal::Component;
use tokio::sync::mpsc;

const ABOUT: &str = "\
Forward relay point: takes live streams from a parent and passes them on to many children.
Every key of the configuration stands, with its default, in edge-relay/relay.example.toml of the source:
https://github.com/ownstream/ownstream-edge";

fn main() -> ExitCode {
    daemon::run("edge-relay", ABOUT, relay)
}

async fn relay(mut service: daemon::Service) -> anyhow::Result<()> {
    let config: Config = daemon::config::from_args()?;
    let join_token = match config.join_token.clone() {
        Some(token) => Some(token.0),
        None => daemon::credential("join-token")?,
    };
    let identity = Identity {
        component: Component::Relay,
        name: Some(config.name.clone()),
        uplink_kbps: config.uplink_kbps,
        relays: true,
        signing: None,
        join_token,
        suites: config.suites.clone(),
        rsa_bits: config.rsa_bits,
        threshold: config.threshold,
        state_dir: config.state_dir.clone(),
        udp_port: config.udp_port,
        udp_address: config.udp_address,
        loopback: config.loopback,
        software: concat!("edge-relay ", env!("CARGO_PKG_VERSION")).into(),
        links: LinkChoice::default(),
    };
    let supervisor = Supervisor {
        url: config.supervisor.0.clone(),
        certificate: config.supervisor_certificate,
    };
    let (handle, news) =
        identity::start(identity, supervisor, peer::Clock::new()).context("starting the relay")?;
    let board = Board::here(&config.state_dir);
    let (node, at) = (handle.clone(), board.clone());
    let sheet = move || figures(node.clone(), at.clone());
    service.spawn(
        "metrics",
        daemon::metrics::serve(config.metrics, service.shutdown(), sheet),
    );
    tokio::spawn(board.keep_telling(handle.clone(), |_| {}));
    let (mut shutdown, watchdog) = (service.shutdown(), service.watchdog());
    service.spawn("relay", async move {
        tokio::select! {
            biased; // what ends with the service is no failure
            () = shutdown.wait() => {}
            () = tell(handle.peer(), news) => anyhow::bail!("the peer's task has ended"),
            () = feed(handle.clone(), watchdog) => anyhow::bail!("the peer's task does not answer"),
        }
        handle.end().await; // children go elsewhere at once
        Ok(())
    });
    service.ready(&format!(
        "relaying up to {} kbit/s as {:?}",
        config.uplink_kbps, config.name
    ));
    service.run().await
}

/// What `/metrics` shows.
async fn figures(node: peer::Handle, board: Board) -> Sheet {
    let mut sheet = Sheet::default();
    for figure in peer::figures::gather(&node, board).await {
        let (counts, value) = (figure.counts, figure.value);
        sheet.figure(counts, figure.name, figure.help, &figure.labels(), value);
    }
    sheet
}

/// Puts what happens into the log.
async fn tell(me: PeerId, mut news: mpsc::Receiver<Event>) {
    while let Some(event) = news.recv().await {
        match event {
            Event::Accepted => {
                info!(peer:% = me, event = "accepted"; "the supervisor took this relay in")
            }
            Event::Refused(_, words) => {
                warn!(event = "refused"; "the supervisor refuses this relay: {words}")
            }
            Event::Epoch(d) => {
                info!(stream:% = d.stream, epoch = d.epoch, event = "epoch"; "relaying a stream, {} kbit/s", d.kbps())
            }
            Event::Parent(stream, Some(parent)) => {
                info!(stream:% = stream, peer:% = parent, event = "parent"; "fed by a new parent")
            }
            Event::Parent(stream, None) => {
                warn!(stream:% = stream, event = "parentless"; "without a parent, waiting for one")
            }
            Event::Ended(stream) => {
                info!(stream:% = stream, event = "ended"; "the stream has ended")
            }
            Event::LinkLost(peer, reason) => {
                info!(peer:% = peer, event = "link-lost"; "link lost: {reason}")
            }
            _ => {}
        }
    }
}

/// How often the peer's task is asked whether it lives. Guess: well within systemd's shortest watchdog.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Feeds the watchdog as long as the task that forwards answers, and gives back what children who left had.
async fn feed(handle: peer::Handle, mut watchdog: daemon::Watchdog) {
    let mut ebb = daemon::Ebb::default();
    while let Some(snapshot) = handle.snapshot().await {
        watchdog.feed();
        ebb.look(snapshot.links);
        tokio::time::sleep(ASK_EVERY).await;
    }
}
