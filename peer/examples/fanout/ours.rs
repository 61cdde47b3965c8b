//! The sender over our transport.

use std::sync::Arc;

use peer::transport::webrtc::{WebRtc, WebRtcConfig};
use peer::transport::{Channel, Connection, Role, Transport, TransportEvent};
use protocol::id::LinkId;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::Plan;
use super::measure::stream;
use super::signalling::Signals;

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
    let bind = plan.address.parse().ok();
    let transport = WebRtc::new(WebRtcConfig {
        bind,
        loopback: true,
        ..WebRtcConfig::default()
    })
    .map_err(|error| error.to_string())?;
    let mut children = Vec::new();
    for i in 0..plan.children {
        let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
        children.push(accept(&transport, LinkId(i as u64), Signals::new(stream)).await?);
    }
    stream(&plan, async |messages| {
        for child in &children {
            for message in messages {
                let _ = child.try_send(Channel::Media, message).await;
            }
        }
    })
    .await;
    Ok(())
}

async fn accept(
    transport: &Arc<WebRtc>,
    link: LinkId,
    mut signals: Signals,
) -> Result<Box<dyn Connection>, String> {
    let (kind, offer) = signals.next().await.ok_or("no offer")?;
    if kind != "offer" {
        return Err(format!("{kind} before the offer"));
    }
    let (sender, mut events) = mpsc::channel(256);
    let role = Role::Answer { offer };
    let connection = transport
        .open(link, role, sender)
        .await
        .map_err(|error| error.to_string())?;
    loop {
        tokio::select! {
            Some((_, event)) = events.recv() => match event {
                TransportEvent::LocalDescription(sdp) => signals.tell("answer", &sdp).await,
                TransportEvent::LocalCandidate(json) => signals.tell("candidate", &json).await,
                TransportEvent::Open => break,
                event => return Err(format!("{event:?} during set-up")),
            },
            Some((_, text)) = signals.next() => {
                connection.add_candidate(text).await.map_err(|error| error.to_string())?;
            }
        }
    }
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    Ok(connection)
}
