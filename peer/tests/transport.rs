//! What every transport promises, on each of them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use peer::transport::memory::Memory;
use peer::transport::webrtc::{WebRtc, WebRtcConfig};
use peer::transport::{
    Channel, Connection, MAX_MESSAGE, Role, SEND_BUFFER, SendError, Transport, TransportError,
    TransportEvent,
};
use protocol::id::{Fingerprint, LinkId};
use tokio::sync::mpsc;

/// Events that one end of a test may leave unread. More than a set-up has, less than a flood.
const QUEUE: usize = 32;

fn webrtc() -> Arc<WebRtc> {
    let localhost = Some(IpAddr::from(Ipv4Addr::LOCALHOST));
    WebRtc::new(WebRtcConfig { bind: localhost, loopback: true, ..WebRtcConfig::default() })
        .expect("a port of this machine")
}

/// Two transports of each kind.
fn pairs() -> Vec<(Arc<dyn Transport>, Arc<dyn Transport>)> {
    let memory = Memory::network();
    vec![(webrtc(), webrtc()), (memory.transport(), memory.transport())]
}

/// One end of a connection.
struct End {
    connection: Box<dyn Connection>,
    events: mpsc::Receiver<(LinkId, TransportEvent)>,
}

impl End {
    async fn next(&mut self) -> TransportEvent {
        self.events.recv().await.expect("an event").1
    }

    /// The next message, or the end of the connection.
    async fn message(&mut self) -> Result<(Channel, Bytes), String> {
        loop {
            match self.next().await {
                TransportEvent::Message(channel, message) => return Ok((channel, message)),
                TransportEvent::Closed(reason) => return Err(reason),
                _ => {}
            }
        }
    }

    async fn closed(&mut self) -> String {
        loop {
            if let Err(reason) = self.message().await {
                return reason;
            }
        }
    }

    /// Fills the channel until it takes no more, and says how many messages it took.
    async fn fill(&self, message: &Bytes) -> usize {
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

async fn open(transport: &dyn Transport, link: u64, role: Role) -> Result<(End, String), TransportError> {
    let (sender, mut events) = mpsc::channel(QUEUE);
    let connection = transport.open(LinkId(link), role, sender).await?;
    let (id, first) = events.recv().await.expect("an event");
    assert_eq!(id, LinkId(link));
    let TransportEvent::LocalDescription(sdp) = first else { panic!("{first:?} came first") };
    assert_eq!(Fingerprint::from_sdp(&sdp), Some(transport.fingerprint()));
    Ok((End { connection, events }, sdp))
}

/// Passes candidates across until both ends are open.
async fn introduce(a: &mut End, b: &mut End) {
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

async fn connect(a: &dyn Transport, b: &dyn Transport, link: u64) -> (End, End) {
    let (mut offerer, offer) = open(a, link, Role::Offer).await.expect("an offer");
    let (mut answerer, answer) = open(b, link, Role::Answer { offer }).await.expect("an answer");
    offerer.connection.set_answer(answer).await.expect("a good answer");
    introduce(&mut offerer, &mut answerer).await;
    (offerer, answerer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_carries_both_channels_both_ways() {
    for (a, b) in pairs() {
        let (mut offerer, mut answerer) = connect(&*a, &*b, 1).await;
        for channel in [Channel::Control, Channel::Media] {
            let (there, back) = (Bytes::from_static(b"there"), Bytes::from(vec![7; MAX_MESSAGE]));
            offerer.connection.try_send(channel, &there).await.expect("room");
            assert_eq!(answerer.message().await, Ok((channel, there)));
            answerer.connection.try_send(channel, &back).await.expect("room");
            assert_eq!(offerer.message().await, Ok((channel, back)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_messages_arrive_in_the_order_they_were_sent() {
    for (a, b) in pairs() {
        let (offerer, mut answerer) = connect(&*a, &*b, 1).await;
        for i in 0..100_u8 {
            offerer.connection.try_send(Channel::Control, &Bytes::from(vec![i])).await.expect("room");
        }
        for i in 0..100_u8 {
            assert_eq!(answerer.message().await, Ok((Channel::Control, Bytes::from(vec![i]))));
        }
    }
}
