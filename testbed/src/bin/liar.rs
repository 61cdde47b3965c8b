//! A relay that lies to its children; see `testbed::liar`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::Parser;
use peer::identity::{self, Identity, LinkChoice};
use peer::signalling::Supervisor;
use protocol::security::suite::Suite;
use protocol::security::token::JoinToken;
use protocol::signal::Component;
use testbed::intruder::{Intruder, Mask, new_key};
use testbed::liar::{Loot, Lying, Trick};
use tokio::signal::unix::{SignalKind, signal};

/// A relay that is honest until it gets SIGUSR1, and then plays a trick on its children.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The supervisor's address for peers.
    #[arg(long, default_value = "ws://127.0.0.1:8080/peer")]
    supervisor: String,
    /// What `supervisor token create --role relay` prints.
    #[arg(long)]
    join_token: JoinToken,
    /// Where its identity is kept.
    #[arg(long)]
    state_dir: std::path::PathBuf,
    /// What it can send, kbit/s.
    #[arg(long, default_value_t = 50_000)]
    uplink_kbps: u32,
    /// What it does.
    #[arg(long)]
    trick: Trick,
}

#[tokio::main]
async fn main() -> ExitCode {
    match lie(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("liar: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn lie(arguments: Arguments) -> anyhow::Result<()> {
    let identity = Identity {
        component: Component::Relay,
        name: Some("liar".into()),
        uplink_kbps: arguments.uplink_kbps,
        relays: true,
        signing: None,
        join_token: Some(arguments.join_token),
        suites: vec![Suite::Elliptic],
        rsa_bits: 2048,
        threshold: 1.0,
        state_dir: arguments.state_dir,
        udp_port: 0,
        udp_address: None,
        loopback: true,
        software: "liar".into(),
        links: LinkChoice::default(),
    };
    let (begun, trick) = (Arc::new(AtomicBool::new(false)), arguments.trick);
    let (told, mut order) = (Arc::clone(&begun), signal(SignalKind::user_defined1())?);
    tokio::spawn(async move {
        if order.recv().await.is_some() {
            told.store(true, Ordering::Relaxed);
        }
    });
    let loot = Arc::new(Loot::default());
    if trick == Trick::Borrowed {
        let mut receiver = Intruder::knock(&arguments.supervisor).await?;
        let mask = Mask::new(Component::Receiver);
        let verdict = receiver.proves(&mask, &new_key()).await?;
        let acceptance = verdict.map_err(|(_, words)| anyhow::anyhow!(words))?;
        let _ = loot.certificate.set(acceptance.signed.into()); // it is empty
    }
    // A runtime of its own is dropped where waiting is allowed.
    let (state_dir, thief) = (identity.state_dir.clone(), Arc::clone(&loot));
    let tap =
        tokio::task::spawn_blocking(move || thief.tap(&arguments.supervisor, &state_dir, trick));
    let tap = std::mem::ManuallyDrop::new(tap.await??);
    let supervisor = Supervisor::at(tap.url());
    let (_handle, mut news) =
        identity::start_over(identity, supervisor, peer::Clock::new(), |inner| {
            Arc::new(Lying {
                inner,
                trick,
                begun,
                loot,
            })
        })
        .context("starting the liar")?;
    while let Some(event) = news.recv().await {
        eprintln!("liar: {event:?}");
    }
    Ok(())
}
