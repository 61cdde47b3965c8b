//! The real program, over real sockets: what peers say to it and hear from it.

mod town;

use futures_util::SinkExt as _;
use futures_util::future::join_all;
use protocol::id::{LinkId, StreamId};
use protocol::security::suite::Suite;
use protocol::signal::{
    Component, FromPeer, LinkDescription, MAX_TEXT, PeerInfo, Refusal, Registration, ToPeer,
    VersionRange,
};
use tokio_tungstenite::tungstenite::Message;
use town::{JOIN, STREAM, Socket, Supervisor, id, info, patiently};

/// That the socket was closed with these words last.
async fn refused(socket: &mut Socket, why: Refusal) -> String {
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
    let info = PeerInfo {
        public_key: Some(town::private_key(30).public_key()),
        suites: vec![Suite::Elliptic],
        ..info
    };
    socket.says(&FromPeer::CollectPeerInfoResponse(info)).await;
    let words = refused(&mut socket, Refusal::Version).await;
    assert!(words.contains("900 to 901"), "{words}");
}

/// What nobody may say at any time.
fn garbage() -> [Message; 5] {
    [
        Message::text("{"),
        Message::text("{\"type\":\"MAKE_COFFEE\"}"),
        Message::text("x".repeat(MAX_TEXT + 1)),
        Message::text("[".repeat(MAX_TEXT)),
        Message::binary(vec![0; 100]),
    ]
}

#[tokio::test]
async fn a_member_that_says_garbage_is_put_out_and_the_others_keep_their_places() {
    let supervisor = Supervisor::start().await;
    let mut broadcaster = supervisor.broadcaster(1).await;
    let mut innocent = supervisor.peer(30, Component::Receiver).await;
    innocent.says(&JOIN).await;
    let placed = innocent.hears().await;
    assert!(matches!(placed, ToPeer::Placement { parent: Some(p), .. } if p.peer == id(1)));

    let again = FromPeer::CollectPeerInfoResponse(info(40, Component::Receiver));
    let too_late = Message::text(again.to_text());
    for (n, message) in (40..).zip(garbage().into_iter().chain([too_late])) {
        let mut member = supervisor.peer(n, Component::Receiver).await;
        member.says(&JOIN).await;
        assert!(matches!(member.hears().await, ToPeer::Placement { .. }));
        member.sends(message).await;
        refused(&mut member, Refusal::BadMessage).await;
    }
    broadcaster.is_alive().await;
    innocent.says(&FromPeer::TimeRequest { sent_us: 5 }).await;
    loop {
        match innocent.hears().await {
            ToPeer::TimeResponse { .. } => break,
            ToPeer::Placement { .. } => panic!("it was placed anew"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn garbage_closes_its_socket_and_no_other() {
    let supervisor = Supervisor::start().await;
    let mut innocent = supervisor.peer(30, Component::Receiver).await;
    let too_early = Message::text(FromPeer::ListStreams.to_text());
    for message in garbage().into_iter().chain([too_early]) {
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
    assert!(matches!(viewer.hears().await, ToPeer::Streams { streams, .. } if streams.is_empty()));

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
    // All from one address, and faster than one may in the long run.
    let supervisor = Supervisor::start_with("[limits]\nhandshakes_per_s = 1000\n").await;
    let mut broadcaster = supervisor.broadcaster(1).await;
    let mut relay = supervisor.peer(10, Component::Relay).await;
    let before = (supervisor.health().await, supervisor.open_files());
    for round in 0..50 {
        let comes = async |n: u16| {
            let number = 100 + round * 20 + n;
            let mut viewer = supervisor.peer(number, Component::Receiver).await;
            viewer.says(&JOIN).await;
            // A place, or none: those who have just left keep theirs for a moment.
            assert!(matches!(viewer.hears().await, ToPeer::Placement { .. }));
            viewer
        };
        let viewers = join_all((0..20_u16).map(comes)).await;
        let goes = async |(n, mut viewer): (usize, Socket)| {
            if n % 2 == 0 {
                viewer.says(&FromPeer::Leave { stream: STREAM }).await;
            }
            viewer.hangs_up().await;
        };
        join_all(viewers.into_iter().enumerate().map(goes)).await;
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

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed_and_the_others_are_answered() {
    let supervisor = Supervisor::start().await;
    for n in 0..8 {
        let mut broadcaster = supervisor.peer(1000 + n, Component::Broadcaster).await;
        for stream in 0..12 {
            let id = StreamId::from_bytes([n as u8 * 12 + stream; 16]);
            let name = format!("{id}, a name as long as it may be {}", "x".repeat(30));
            let offer = Registration {
                stream: id,
                name,
                ..town::offer()
            };
            broadcaster.says(&FromPeer::RegisterStream(offer)).await;
        }
        broadcaster.is_alive().await;
        broadcaster.hangs_up().await; // its streams stay for a minute
    }
    let mut other = supervisor.peer(1, Component::Receiver).await;
    let mut deaf = supervisor.peer(2, Component::Relay).await;
    // Each answer is a list of 96 streams, 20 KB: far more than kernels buffer.
    for _ in 0..3_500 {
        if deaf
            .0
            .send(Message::text(FromPeer::ListStreams.to_text()))
            .await
            .is_err()
        {
            break;
        }
    }
    patiently(async {
        while supervisor.health().await["sockets"] == 2 {
            other.is_alive().await;
        }
    })
    .await;
    // Only now it reads: of what was meant for it, it gets what was under way, and then the end.
    let mut lists = 0;
    while let Some(message) = deaf.next().await {
        lists += usize::from(matches!(message, ToPeer::Streams { .. }));
    }
    assert!(lists < 3_500, "{lists}");
    other.is_alive().await;
}

#[tokio::test]
async fn a_stranger_that_would_be_a_relay_is_told_what_it_lacks() {
    let supervisor = Supervisor::start().await;
    for component in [Component::Relay, Component::Broadcaster] {
        let mut socket = supervisor.connect().await;
        let candidate = town::candidate(10, component, None);
        let (refusal, words) = socket
            .proves(candidate, &town::private_key(10))
            .await
            .expect_err("a stranger");
        assert_eq!(refusal, Refusal::NotEnrolled);
        assert!(words.contains("supervisor token create --role"), "{words}");
    }
}

#[tokio::test]
async fn a_join_token_is_good_for_one_key_and_one_role() {
    let supervisor = Supervisor::start().await;
    let token = supervisor.token("relay").await;
    let attempt = async |n, component| {
        let mut socket = supervisor.connect().await;
        let candidate = town::candidate(n, component, Some(&token));
        socket.proves(candidate, &town::private_key(n)).await
    };
    attempt(10, Component::Relay).await.expect("its first use");
    let (refusal, words) = attempt(11, Component::Relay).await.expect_err("used");
    assert_eq!(refusal, Refusal::NotEnrolled);
    assert!(
        words.ends_with("make another: `supervisor token create --role relay`"),
        "{words}"
    );
    let (refusal, words) = attempt(10, Component::Broadcaster)
        .await
        .expect_err("another role");
    assert_eq!(refusal, Refusal::NotEnrolled);
    assert!(
        words.ends_with("make another: `supervisor token create --role broadcaster`"),
        "{words}"
    );
}

#[tokio::test]
async fn whoever_shows_anothers_key_is_refused_in_the_words_for_every_wrong_answer() {
    let supervisor = Supervisor::start().await;
    let mut socket = supervisor.connect().await;
    let candidate = town::candidate(30, Component::Receiver, None);
    // Its public key is peer 30's, its private one is not: the numbers do not open.
    let mut thief = protocol::security::auth::Candidate::new(
        candidate,
        protocol::time::Time::ZERO,
        protocol::security::secret::HandshakeSeed::from_bytes([1; 32]),
    );
    let mut steps = Vec::new();
    for _ in 0..3 {
        let text = socket.next_text().await.expect("open");
        let input = protocol::security::auth::Input::Text(&text);
        thief.handle(protocol::time::Time::ZERO, input, &mut steps);
        for step in std::mem::take(&mut steps) {
            if let protocol::security::auth::CandidateOutput::Say(text) = step {
                socket.sends(Message::text(text)).await;
            }
        }
    }
    let answer = protocol::security::base64::Base64(vec![7; 100]);
    socket
        .says(&FromPeer::AuthenticationChallengeResponse { answer })
        .await;
    let words = refused(&mut socket, Refusal::NotAuthenticated).await;
    assert_eq!(words, "the answer to the challenge is not right");
}

#[tokio::test]
async fn a_revoked_relays_socket_is_closed_at_once_and_it_stays_out() {
    let supervisor = Supervisor::start().await;
    let mut relay = supervisor.peer(10, Component::Relay).await;
    let fingerprint = town::private_key(10).public_key().fingerprint().to_string();
    let said = supervisor
        .home
        .command(&format!("peers revoke {fingerprint}"))
        .await;
    assert!(said.well, "{said:?}");
    refused(&mut relay, Refusal::Revoked).await;
    let mut again = supervisor.connect().await;
    let candidate = town::candidate(10, Component::Relay, None);
    let (refusal, _) = again
        .proves(candidate, &town::private_key(10))
        .await
        .expect_err("revoked");
    assert_eq!(refusal, Refusal::Revoked);
}
