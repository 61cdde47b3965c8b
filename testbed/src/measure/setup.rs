//! How long two native peers take to set up a link: from the offer's beginning to both channels open at both
//! ends, descriptions and candidates handed over in memory, packets over loopback.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use peer::transport::webrtc::{WebRtc, WebRtcConfig};
use peer::transport::{Connection, Role, Transport as _, TransportEvent};
use protocol::id::LinkId;
use tokio::sync::mpsc;

type Events = mpsc::Receiver<(LinkId, TransportEvent)>;

/// Sets up `count` links one after another; gives how long each took, shortest first.
pub async fn set_up(count: u64) -> anyhow::Result<Vec<Duration>> {
    let (offerer, answerer) = (transport()?, transport()?);
    let mut took = Vec::new();
    for number in 0..count {
        let begin = Instant::now();
        let ends = connect(&offerer, &answerer, LinkId(number)).await?;
        took.push(begin.elapsed());
        for connection in ends {
            connection.close().await;
        }
    }
    took.sort_unstable();
    Ok(took)
}

fn transport() -> anyhow::Result<Arc<WebRtc>> {
    let config = WebRtcConfig {
        loopback: true,
        ..WebRtcConfig::default()
    };
    WebRtc::new(config).context("opening a socket")
}

/// Room for what one end has to say during set-up.
const SET_UP_EVENTS: usize = 64;

async fn connect(
    from: &WebRtc,
    to: &WebRtc,
    link: LinkId,
) -> anyhow::Result<[Box<dyn Connection>; 2]> {
    let (sender, mut of_offerer) = mpsc::channel(SET_UP_EVENTS);
    let offering = from.open(link, Role::Offer, sender).await?;
    let offer = description(&mut of_offerer).await?;
    let (sender, mut of_answerer) = mpsc::channel(SET_UP_EVENTS);
    let answering = to.open(link, Role::Answer { offer }, sender).await?;
    offering
        .set_answer(description(&mut of_answerer).await?)
        .await?;
    let (mut offerer_open, mut answerer_open) = (false, false);
    while !(offerer_open && answerer_open) {
        tokio::select! {
            Some((_, event)) = of_offerer.recv() => offerer_open |= hand_over(event, &*answering).await?,
            Some((_, event)) = of_answerer.recv() => answerer_open |= hand_over(event, &*offering).await?,
            else => bail!("both ends fell silent"),
        }
    }
    Ok([offering, answering])
}

async fn description(events: &mut Events) -> anyhow::Result<String> {
    match events.recv().await {
        Some((_, TransportEvent::LocalDescription(sdp))) => Ok(sdp),
        other => bail!("{other:?} in the place of a description"),
    }
}

/// Gives one end's candidate to the other; says whether this end is open.
async fn hand_over(event: TransportEvent, other: &dyn Connection) -> anyhow::Result<bool> {
    match event {
        TransportEvent::LocalCandidate(candidate) => other.add_candidate(candidate).await?,
        TransportEvent::Open => return Ok(true),
        TransportEvent::Closed(reason) => bail!("closed during set-up: {reason}"),
        _ => {}
    }
    Ok(false)
}
