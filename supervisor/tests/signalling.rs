//! The real program, over real sockets: what peers say to it and hear from it.

mod town;

use protocol::id::LinkId;
use protocol::signal::{
    Component, FromPeer, LinkDescription, MAX_TEXT, PeerInfo, Refusal, ToPeer, VersionRange,
};
use tokio_tungstenite::tungstenite::Message;
use town::{JOIN, STREAM, Supervisor, id, info, patiently};

/// That the socket was closed with these words last.
async fn refused(socket: &mut town::Socket, why: Refusal) -> String {
    match socket.hears_to_the_end().await {
        Some(ToPeer::PeerRefused { refusal, words }) => {
            assert_eq!(refusal, why, "{words}");
            words
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_peer_of_another_version_is_refused_in_words() {
    let supervisor = Supervisor::start().await;
    let mut socket = supervisor.connect().await;
    let versions = VersionRange { min: 900, max: 901 };
    let info = PeerInfo {
        versions,
        ..info(30, Component::Receiver)
    };
    socket.says(&FromPeer::CollectPeerInfoResponse(info)).await;
    let words = refused(&mut socket, Refusal::Version).await;
    assert!(words.contains("900 to 901"), "{words}");
}

#[tokio::test]
async fn garbage_closes_its_socket_and_no_other() {
    let supervisor = Supervisor::start().await;
    let mut innocent = supervisor.peer(30, Component::Receiver).await;
    let garbage = [
        Message::text("{"),
        Message::text("{\"type\":\"MAKE_COFFEE\"}"),
        Message::text("x".repeat(MAX_TEXT + 1)),
        Message::text("[".repeat(MAX_TEXT)),
        Message::binary(vec![0; 100]),
        Message::text(FromPeer::ListStreams.to_text()),
    ];
    for message in garbage {
        let mut socket = supervisor.connect().await;
        socket.sends(message).await;
        refused(&mut socket, Refusal::BadMessage).await;
    }
    innocent.says(&FromPeer::TimeRequest { sent_us: 5 }).await;
    assert!(matches!(
        innocent.hears().await,
        ToPeer::TimeResponse { sent_us: 5, .. }
    ));
}

#[tokio::test]
async fn a_viewer_finds_a_stream_gets_a_place_and_its_offer_reaches_its_parent() {
    let supervisor = Supervisor::start().await;
    let mut relay = supervisor.peer(10, Component::Relay).await;
    let mut viewer = supervisor.peer(30, Component::Receiver).await;
    viewer.says(&FromPeer::ListStreams).await;
    assert!(matches!(viewer.hears().await, ToPeer::Streams { streams } if streams.is_empty()));

    let mut broadcaster = supervisor.broadcaster(1).await;
    assert!(
        matches!(viewer.hears().await, ToPeer::StreamAnnounced { info } if info.name == "garden")
    );

    viewer.says(&JOIN).await;
    assert!(
        matches!(broadcaster.hears().await, ToPeer::ExpectChild { child, .. } if child.peer == id(10))
    );
    assert!(
        matches!(relay.hears().await, ToPeer::Placement { parent: Some(p), .. } if p.peer == id(1))
    );
    assert!(
        matches!(relay.hears().await, ToPeer::ExpectChild { child, .. } if child.peer == id(30))
    );
    assert!(
        matches!(viewer.hears().await, ToPeer::Placement { parent: Some(p), .. } if p.peer == id(10))
    );

    let step = |peer, body: &str| LinkDescription {
        peer: id(peer),
        link: LinkId(9),
        body: body.into(),
    };
    viewer.says(&FromPeer::LinkOffer(step(10, "offer"))).await;
    assert_eq!(relay.hears().await, ToPeer::LinkOffer(step(30, "offer")));
    relay.says(&FromPeer::LinkAnswer(step(30, "answer"))).await;
    // The number of viewers is announced when a second has passed; the answer may come before or after.
    let answer = loop {
        match viewer.hears().await {
            ToPeer::StreamAnnounced { .. } => {}
            other => break other,
        }
    };
    assert_eq!(answer, ToPeer::LinkAnswer(step(10, "answer")));
}

#[tokio::test]
async fn members_hear_that_their_stream_has_ended() {
    let supervisor = Supervisor::start().await;
    let mut broadcaster = supervisor.broadcaster(1).await;
    let mut viewer = supervisor.peer(30, Component::Receiver).await;
    viewer.says(&JOIN).await;
    assert!(matches!(
        viewer.hears().await,
        ToPeer::Placement {
            parent: Some(_),
            ..
        }
    ));
    broadcaster
        .says(&FromPeer::EndStream { stream: STREAM })
        .await;
    assert_eq!(viewer.hears().await, ToPeer::StreamEnded { stream: STREAM });
}

#[tokio::test]
async fn a_supervisor_that_ends_closes_its_sockets() {
    let mut supervisor = Supervisor::start().await;
    let mut viewer = supervisor.peer(30, Component::Receiver).await;
    supervisor.signal("TERM");
    let status = patiently(supervisor.process.wait()).await.expect("it ends");
    assert!(status.success(), "{status}");
    assert_eq!(viewer.next().await, None);
}

#[tokio::test]
async fn a_thousand_joins_and_leaves_leave_nothing_behind() {
    let supervisor = Supervisor::start().await;
    let mut broadcaster = supervisor.broadcaster(1).await;
    let mut relay = supervisor.peer(10, Component::Relay).await;
    let before = (supervisor.health().await, supervisor.open_files());
    for round in 0..50 {
        let mut viewers = Vec::new();
        for n in 0..20 {
            let mut viewer = supervisor
                .peer(100 + round * 20 + n, Component::Receiver)
                .await;
            viewer.says(&JOIN).await;
            // A place, or none: those who have just left keep theirs for a moment.
            assert!(matches!(viewer.hears().await, ToPeer::Placement { .. }));
            viewers.push(viewer);
        }
        for (n, mut viewer) in viewers.into_iter().enumerate() {
            if n % 2 == 0 {
                viewer.says(&FromPeer::Leave { stream: STREAM }).await;
            }
            viewer.hangs_up().await;
        }
        broadcaster.is_alive().await;
        relay.is_alive().await;
    }
    // Peers whose sockets closed are kept for a few seconds, an idle relay for ten.
    let settled = async {
        loop {
            broadcaster.is_alive().await;
            relay.is_alive().await;
            let now = (supervisor.health().await, supervisor.open_files());
            if now == before {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(60), settled).await;
    assert!(
        in_time.is_ok(),
        "before: {before:?}, now: {:?}",
        (supervisor.health().await, supervisor.open_files())
    );
}
