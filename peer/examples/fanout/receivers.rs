//! The children, which are the same whoever sends: our transport, one port each, as in so many
//! processes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use peer::transport::webrtc::{WebRtc, WebRtcConfig};
use peer::transport::{Connection, Role, Transport, TransportEvent};
use protocol::id::LinkId;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::Plan;
use super::measure::{now_micros, percentile, stamp};
use super::signalling::Signals;

#[derive(Default)]
struct Tally {
    bytes: usize,
    delays_ms: Vec<f64>,
}

struct Receiver {
    _transport: Arc<WebRtc>,
    _connection: Box<dyn Connection>,
    events: mpsc::Receiver<(LinkId, TransportEvent)>,
}

pub(crate) async fn receive(port: u16, plan: Plan) -> Result<(), String> {
    let (mut set_up, mut tasks) = (Vec::new(), Vec::new());
    for i in 0..plan.children {
        let begin = Instant::now();
        let receiver = connect(port, &plan, LinkId(i as u64)).await?;
        set_up.push(begin.elapsed().as_secs_f64() * 1000.0);
        tasks.push(tokio::spawn(read(receiver)));
    }
    let (mut bytes, mut delays) = (0, Vec::new());
    for task in tasks {
        let tally = task.await.map_err(|error| error.to_string())?;
        bytes += tally.bytes;
        delays.extend(tally.delays_ms);
    }
    println!(
        "{}",
        serde_json::json!({
            "bytes": bytes,
            "chunks": delays.len(),
            "setup_p50_ms": percentile(set_up, 50),
            "delay_p50_ms": percentile(delays.clone(), 50),
            "delay_p99_ms": percentile(delays, 99),
        })
    );
    Ok(())
}

async fn connect(port: u16, plan: &Plan, link: LinkId) -> Result<Receiver, String> {
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .map_err(|e| e.to_string())?;
    let mut signals = Signals::new(stream);
    let bind = plan.address.parse().ok();
    let transport = WebRtc::new(WebRtcConfig {
        bind,
        loopback: true,
        ..WebRtcConfig::default()
    })
    .map_err(|error| error.to_string())?;
    let (sender, mut events) = mpsc::channel(256);
    let connection = transport
        .open(link, Role::Offer, sender)
        .await
        .map_err(|e| e.to_string())?;
    loop {
        tokio::select! {
            Some((_, event)) = events.recv() => match event {
                TransportEvent::LocalDescription(sdp) => signals.tell("offer", &sdp).await,
                TransportEvent::LocalCandidate(json) => signals.tell("candidate", &json).await,
                TransportEvent::Open => break,
                event => return Err(format!("{event:?} during set-up")),
            },
            Some((kind, text)) = signals.next() => match kind.as_str() {
                "answer" => connection.set_answer(text).await.map_err(|e| e.to_string())?,
                _ => connection.add_candidate(text).await.map_err(|e| e.to_string())?,
            },
        }
    }
    Ok(Receiver {
        _transport: transport,
        _connection: connection,
        events,
    })
}

/// Reads until the stream has begun and then been silent for a second.
async fn read(mut receiver: Receiver) -> Tally {
    let mut tally = Tally::default();
    loop {
        let patience = if tally.bytes == 0 { 60 } else { 1 };
        let next = tokio::time::timeout(Duration::from_secs(patience), receiver.events.recv());
        match next.await {
            Ok(Some((_, TransportEvent::Message(_, message)))) => {
                tally.bytes += message.len();
                if let Some((made, true)) = stamp(&message) {
                    tally
                        .delays_ms
                        .push(now_micros().saturating_sub(made) as f64 / 1000.0);
                }
            }
            Ok(Some((_, TransportEvent::Closed(_))) | None) | Err(_) => return tally,
            Ok(Some(_)) => {}
        }
    }
}
