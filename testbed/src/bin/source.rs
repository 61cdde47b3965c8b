//! A broadcaster without camera and encoder: sends frames of one size at one rate, for measurements of whatever
//! is below it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Parser;
use peer::Clock;
use peer::identity::{self, Identity, LinkChoice};
use peer::signalling::Supervisor;
use protocol::chunk::{Header, Position};
use protocol::id::StreamId;
use protocol::media::{Codec, Descriptor, Track, TrackInfo};
use protocol::node::{Event, Input};
use protocol::security::grant::SignedDescriptor;
use protocol::security::otdp::Sealer;
use protocol::security::secret::Seed;
use protocol::security::suite::Suite;
use protocol::security::token::JoinToken;
use protocol::signal::{Access, Component, Registration, StreamTrack};

/// Sends a stream of frames of one size, as a camera of that rate would.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The supervisor's address for peers.
    #[arg(long, default_value = "ws://127.0.0.1:8080/peer")]
    supervisor: String,
    /// What `supervisor token create --role broadcaster` prints.
    #[arg(long)]
    join_token: Option<JoinToken>,
    /// The stream's name.
    #[arg(long, default_value = "load")]
    name: String,
    /// Rate, kbit/s.
    #[arg(long, default_value_t = 3000)]
    kbps: u32,
    /// Pictures a second.
    #[arg(long, default_value_t = 30)]
    fps: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    match send(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("source: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn send(arguments: Arguments) -> anyhow::Result<()> {
    let state_dir = std::env::temp_dir().join(format!("ownstream-source-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&state_dir); // of an earlier process of this number; mostly there is none
    let clock = Clock::new();
    let signing = Seed::from_bytes(rand::random());
    let who = who(&state_dir, signing.clone(), arguments.join_token.clone());
    let (node, mut news) = identity::start(who, Supervisor::at(&arguments.supervisor), clock)?;
    let stream = StreamId::from_bytes(rand::random());
    node.put(Input::Publish(registration(stream, &arguments)))
        .await;
    let mut key = None;
    let (epoch, grant) = loop {
        match news.recv().await.context("the peer has ended")? {
            Event::StreamKey(_, id, given) => key = Some((id, given)),
            Event::Registered(_, epoch, grant) => break (epoch, grant),
            Event::Refused(_, words) => anyhow::bail!("the supervisor refuses: {words}"),
            Event::StreamRefused(_, _, words) => anyhow::bail!("the stream is refused: {words}"),
            _ => {}
        }
    };
    tokio::spawn(async move { while news.recv().await.is_some() {} });
    let (key_id, key) = key.context("the supervisor gave no stream key")?;
    let descriptor = descriptor(stream, epoch, key_id, &arguments);
    let signed = SignedDescriptor::new(&signing, descriptor, grant);
    node.put(Input::StartEpoch(signed)).await;
    // Its identity is needed no longer: a source that comes back is a new one.
    std::fs::remove_dir_all(&state_dir).context("removing the identity")?;
    let mut sealer = Sealer::new(&signing, key_id, key);
    eprintln!("sending");
    let frame = vec![0; (arguments.kbps * 125 / arguments.fps) as usize];
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / arguments.fps);
    for sequence in 0.. {
        ticks.tick().await;
        let header = Header {
            random_access: sequence % u64::from(arguments.fps) == 0,
            track: Track::Video,
            rendition: 0,
            key_id: 0,
            handle: stream.handle(),
            position: Position { epoch, sequence },
            part: 0,
            parts: 1,
            capture: clock.now(),
            media_us: sequence * 1_000_000 / u64::from(arguments.fps),
        };
        for chunk in sealer.seal(header, &frame) {
            node.put(Input::Own(chunk)).await;
        }
    }
    Ok(())
}

fn who(state_dir: &std::path::Path, signing: Seed, join_token: Option<JoinToken>) -> Identity {
    Identity {
        component: Component::Broadcaster,
        name: None,
        uplink_kbps: 1_000_000,
        relays: true,
        signing: Some(signing),
        join_token,
        suites: vec![Suite::Elliptic],
        rsa_bits: 2048,
        threshold: 1.0,
        state_dir: state_dir.into(),
        udp_port: 0,
        udp_address: None,
        loopback: true,
        software: concat!("source ", env!("CARGO_PKG_VERSION")).into(),
        links: LinkChoice::default(),
    }
}

fn registration(stream: StreamId, arguments: &Arguments) -> Registration {
    let tracks = vec![StreamTrack {
        track: Track::Video,
        codec: Codec::Vp8,
    }];
    let (name, kbps) = (arguments.name.clone(), arguments.kbps);
    Registration {
        stream,
        name,
        tracks,
        kbps,
        running_epoch: None,
        topology: None,
        access: Access::Public,
        running_key: None,
        allow_failures: false,
    }
}

fn descriptor(stream: StreamId, epoch: u32, key_id: u8, arguments: &Arguments) -> Descriptor {
    let (codec, kbps, init) = (Codec::Vp8, arguments.kbps, Bytes::from_static(b"init"));
    let track = TrackInfo {
        track: Track::Video,
        rendition: 0,
        codec,
        kbps,
        init,
    };
    Descriptor {
        stream,
        epoch,
        key_id,
        media_origin_us: 0,
        tracks: vec![track],
    }
}
