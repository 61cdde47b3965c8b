//! The two ends of a connection, and how tests speak to them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use peer::transport::webrtc::{WebRtc, WebRtcConfig};
use peer::transport::{
    Channel, Connection, Role, SendError, Transport, TransportError, TransportEvent,
};
use protocol::id::{Fingerprint, LinkId};
use tokio::sync::mpsc;

/// Events that one end of a test may leave unread. More than a set-up has, less than a flood.
const QUEUE: usize = 32;

/// A transport that speaks to this machine only.
pub(crate) fn webrtc() -> Arc<WebRtc> {
    let localhost = Some(IpAddr::from(Ipv4Addr::LOCALHOST));
    WebRtc::new(WebRtcConfig {
        bind: localhost,
        loopback: true,
        ..WebRtcConfig::default()
    })
    .expect("a port of this machine")
}

/// One end of a connection.
pub(crate) struct End {
    pub(crate) connection: Box<dyn Connection>,
    pub(crate) events: mpsc::Receiver<(LinkId, TransportEvent)>,
}

impl End {
    pub(crate) async fn next(&mut self) -> TransportEvent {
        self.events.recv().await.expect("an event").1
    }

    /// The next message, or the end of the connection.
    pub(crate) async fn message(&mut self) -> Result<(Channel, Bytes), String> {
        loop {
            match self.next().await {
                TransportEvent::Message(channel, message) => return Ok((channel, message)),
                TransportEvent::Closed(reason) => return Err(reason),
                _ => {}
            }
        }
    }

    pub(crate) async fn closed(&mut self) -> String {
        loop {
            if let Err(reason) = self.message().await {
                return reason;
            }
        }
    }

    /// Fills the channel until it takes no more, and says how many messages it took.
    pub(crate) async fn fill(&self, message: &Bytes) -> usize {
        let mut taken = 0;
        loop {
            match self.connection.try_send(Channel::Media, message).await {
                Ok(()) => taken += 1,
                Err(SendError::Full) => return taken,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

pub(crate) async fn open(
    transport: &dyn Transport,
    link: u64,
    role: Role,
) -> Result<(End, String), TransportError> {
    let (sender, mut events) = mpsc::channel(QUEUE);
    let connection = transport.open(LinkId(link), role, sender).await?;
    let (id, first) = events.recv().await.expect("an event");
    assert_eq!(id, LinkId(link));
    let TransportEvent::LocalDescription(sdp) = first else {
        panic!("{first:?} came first")
    };
    assert_eq!(Fingerprint::from_sdp(&sdp), Some(transport.fingerprint()));
    Ok((End { connection, events }, sdp))
}

/// Passes candidates across until both ends are open.
pub(crate) async fn introduce(a: &mut End, b: &mut End) {
    let mut open = (false, false);
    while open != (true, true) {
        tokio::select! {
            event = a.next(), if !open.0 => open.0 = pass(event, &*b.connection).await,
            event = b.next(), if !open.1 => open.1 = pass(event, &*a.connection).await,
        }
    }
}

async fn pass(event: TransportEvent, to: &dyn Connection) -> bool {
    match event {
        TransportEvent::LocalCandidate(candidate) => {
            to.add_candidate(candidate).await.expect("a good candidate");
            false
        }
        TransportEvent::Open => true,
        other => panic!("{other:?} before the connection is open"),
    }
}

pub(crate) async fn connect(a: &dyn Transport, b: &dyn Transport, link: u64) -> (End, End) {
    let (mut offerer, offer) = open(a, link, Role::Offer).await.expect("an offer");
    let (mut answerer, answer) = open(b, link, Role::Answer { offer })
        .await
        .expect("an answer");
    offerer
        .connection
        .set_answer(answer)
        .await
        .expect("a good answer");
    introduce(&mut offerer, &mut answerer).await;
    (offerer, answerer)
}
