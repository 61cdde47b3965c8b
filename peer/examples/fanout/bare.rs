//! The sender over the plain `webrtc` crate: a socket for each connection, its own runtime, its
//! settings as they come.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCSessionDescription, SettingEngineBuilder,
};

use super::Plan;
use super::measure::stream;
use super::signalling::Signals;

/// How long a child may take to set itself up. Guess: far above what 64 at once take.
const SET_UP_LIMIT: Duration = Duration::from_secs(60);

struct Handler {
    gathered: mpsc::Sender<()>,
    channels: mpsc::Sender<Arc<dyn DataChannel>>,
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.channels.try_send(channel);
    }
}

pub(crate) async fn send(plan: Plan) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| error.to_string())?;
    println!(
        "{}",
        listener
            .local_addr()
            .map_err(|error| error.to_string())?
            .port()
    );
    let mut children = Vec::new();
    for _ in 0..plan.children {
        let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
        let child = tokio::time::timeout(SET_UP_LIMIT, accept(&plan, Signals::new(stream)));
        let child = child.await.map_err(|_| "a child does not connect")?;
        children.push(child.map_err(|error| error.to_string())?);
    }
    stream(&plan, async |messages| {
        for (_, media) in &children {
            for message in messages {
                let _ = media.send(BytesMut::from(&message[..])).await;
            }
        }
    })
    .await;
    Ok(())
}

type Child = (Arc<dyn PeerConnection>, Arc<dyn DataChannel>);

async fn accept(plan: &Plan, mut signals: Signals) -> Result<Child, webrtc::error::Error> {
    let (gathered, mut is_gathered) = mpsc::channel(1);
    let (channels, mut opened) = mpsc::channel(4);
    let settings = SettingEngineBuilder::new()
        .with_include_loopback_candidate(true)
        .build();
    let connection = PeerConnectionBuilder::new()
        .with_setting_engine(settings)
        .with_handler(Arc::new(Handler { gathered, channels }))
        .with_udp_addrs(vec![format!("{}:0", plan.address)])
        .build()
        .await?;
    let (_, offer) = signals.next().await.unwrap_or_default();
    let offer = as_it_comes(&offer);
    connection
        .set_remote_description(RTCSessionDescription::offer(offer)?)
        .await?;
    // Both ends make the media channel (docs/protocol.md).
    let unordered = RTCDataChannelInit {
        ordered: false,
        negotiated: Some(10),
        ..RTCDataChannelInit::default()
    };
    let media = connection.create_data_channel("media", Some(unordered));
    let media = media.await?;
    let answer = connection.create_answer(None).await?;
    connection.set_local_description(answer).await?;
    let _ = is_gathered.recv().await;
    let answer = connection.local_description().await.unwrap_or_default();
    signals.tell("answer", &answer.sdp).await;
    tokio::spawn(drain(Arc::clone(&media)));
    loop {
        tokio::select! {
            Some((_, text)) = signals.next() => {
                if let Ok(candidate) = serde_json::from_str(&text) {
                    connection.add_ice_candidate(candidate).await?;
                }
            }
            Some(channel) = opened.recv() => {
                tokio::spawn(drain(channel));
                break;
            }
        }
    }
    Ok((Arc::new(connection), media))
}

/// The children are ours and say how long a message may be; those of a bare program leave it at what is usual, and the
/// library keeps a buffer of that length for each connection.
fn as_it_comes(offer: &str) -> String {
    let lines = offer.split_inclusive('\n');
    lines
        .filter(|line| !line.starts_with("a=max-message-size"))
        .collect()
}

/// Nobody is interested, but a channel must be read.
async fn drain(channel: Arc<dyn DataChannel>) {
    while let Some(event) = channel.poll().await {
        if matches!(event, DataChannelEvent::OnClose) {
            return;
        }
    }
}
