//! What every transport promises, on each of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peer::transport::memory::Memory;
use peer::transport::{
    Channel, MAX_MESSAGE, Role, SendError, Transport, TransportError, TransportEvent,
};

mod ends;
use ends::{End, connect, open, webrtc};

/// Two transports of each kind.
fn pairs() -> Vec<(Arc<dyn Transport>, Arc<dyn Transport>)> {
    let memory = Memory::network();
    vec![
        (webrtc(), webrtc()),
        (memory.transport(), memory.transport()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_carries_both_channels_both_ways() {
    for (a, b) in pairs() {
        let (mut offerer, mut answerer) = connect(&*a, &*b, 1).await;
        for channel in [Channel::Control, Channel::Media] {
            let (there, back) = (
                Bytes::from_static(b"there"),
                Bytes::from(vec![7; MAX_MESSAGE]),
            );
            offerer
                .connection
                .try_send(channel, &there)
                .await
                .expect("room");
            assert_eq!(answerer.message().await, Ok((channel, there)));
            answerer
                .connection
                .try_send(channel, &back)
                .await
                .expect("room");
            assert_eq!(offerer.message().await, Ok((channel, back)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_messages_arrive_in_the_order_they_were_sent() {
    for (a, b) in pairs() {
        let (offerer, mut answerer) = connect(&*a, &*b, 1).await;
        for i in 0..100_u8 {
            offerer
                .connection
                .try_send(Channel::Control, &Bytes::from(vec![i]))
                .await
                .expect("room");
        }
        for i in 0..100_u8 {
            assert_eq!(
                answerer.message().await,
                Ok((Channel::Control, Bytes::from(vec![i])))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_message_arrives() {
    for (a, b) in pairs() {
        let (offerer, mut answerer) = connect(&*a, &*b, 1).await;
        offerer
            .connection
            .try_send(Channel::Media, &Bytes::new())
            .await
            .expect("room");
        assert_eq!(answerer.message().await, Ok((Channel::Media, Bytes::new())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_above_the_limit_is_refused_and_the_connection_lives_on() {
    for (a, b) in pairs() {
        let (offerer, mut answerer) = connect(&*a, &*b, 1).await;
        let long = Bytes::from(vec![0; MAX_MESSAGE + 1]);
        let refused = offerer.connection.try_send(Channel::Media, &long).await;
        assert_eq!(refused, Err(SendError::TooLarge(MAX_MESSAGE + 1)));
        offerer
            .connection
            .try_send(Channel::Media, &long.slice(1..))
            .await
            .expect("room");
        assert_eq!(
            answerer.message().await,
            Ok((Channel::Media, long.slice(1..)))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_answers_full_and_costs_other_connections_nothing() {
    for (a, b) in pairs() {
        let (offerer, mut slow) = connect(&*a, &*b, 1).await;
        let (other, mut quick) = connect(&*a, &*b, 2).await;
        let message = Bytes::from(vec![1; MAX_MESSAGE]);
        let taken = offerer.fill(&message).await;

        other
            .connection
            .try_send(Channel::Media, &message)
            .await
            .expect("room on the other");
        assert_eq!(quick.message().await, Ok((Channel::Media, message.clone())));
        for _ in 0..taken {
            assert_eq!(slow.message().await, Ok((Channel::Media, message.clone())));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sender_waits_for_an_owner_that_does_not_read() {
    for (a, b) in pairs() {
        let (offerer, _unread) = connect(&*a, &*b, 1).await;
        let message = Bytes::from(vec![1; MAX_MESSAGE]);
        let (mut taken, mut idle) = (0, 0);
        while idle < 10 {
            let more = offerer.fill(&message).await;
            (taken, idle) = (taken + more, if more == 0 { idle + 1 } else { 0 });
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(taken < 1024, "{taken} messages, 16 MiB, wait somewhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_hears_when_its_buffer_has_drained() {
    for (a, b) in pairs() {
        let (mut offerer, mut answerer) = connect(&*a, &*b, 1).await;
        offerer.connection.set_low_water(Some(100_000)).await;
        offerer.fill(&Bytes::from(vec![1; MAX_MESSAGE])).await;
        tokio::spawn(async move { answerer.closed().await });
        assert_eq!(offerer.next().await, TransportEvent::Drained);
        // On a busy machine it may have drained once already while it was being filled.
        while offerer.connection.media_buffered().await > 100_000 {
            assert_eq!(offerer.next().await, TransportEvent::Drained);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_does_not_wait_for_its_buffer_hears_nothing_of_it() {
    for (a, b) in pairs() {
        let (mut offerer, mut answerer) = connect(&*a, &*b, 1).await;
        offerer.connection.set_low_water(Some(100_000)).await;
        offerer.connection.set_low_water(None).await;
        offerer.fill(&Bytes::from(vec![1; MAX_MESSAGE])).await;
        while offerer.connection.media_buffered().await > 0 {
            let _ = tokio::time::timeout(Duration::from_millis(20), answerer.next()).await;
        }
        answerer.connection.close().await;
        assert!(matches!(offerer.next().await, TransportEvent::Closed(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_one_end_ends_the_other() {
    for (a, b) in pairs() {
        let (offerer, mut answerer) = connect(&*a, &*b, 1).await;
        offerer.connection.close().await;
        assert_eq!(answerer.closed().await, "closed by the other side");
        assert_eq!(answerer.events.recv().await, None, "closed comes last");
        let refused = answerer
            .connection
            .try_send(Channel::Media, &Bytes::new())
            .await;
        assert_eq!(refused, Err(SendError::Closed));

        let (mut offerer, answerer) = connect(&*a, &*b, 2).await;
        answerer.connection.close().await;
        assert_eq!(offerer.closed().await, "closed by the other side");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_one_end_ends_the_other() {
    for (a, b) in pairs() {
        let (offerer, mut answerer) = connect(&*a, &*b, 1).await;
        drop(offerer);
        assert_eq!(answerer.closed().await, "closed by the other side");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_stops_listening_closes_the_connection() {
    for (a, b) in pairs() {
        let (offerer, mut answerer) = connect(&*a, &*b, 1).await;
        let End { connection, events } = offerer;
        drop(events);
        answerer
            .connection
            .try_send(Channel::Media, &Bytes::new())
            .await
            .expect("room");
        assert_eq!(answerer.closed().await, "closed by the other side");
        drop(connection);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_before_the_connection_is_open() {
    for (a, _) in pairs() {
        let (offerer, _) = open(&*a, 1, Role::Offer).await.expect("an offer");
        let refused = offerer
            .connection
            .try_send(Channel::Control, &Bytes::new())
            .await;
        assert_eq!(refused, Err(SendError::Closed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_between_the_same_two_transports_both_carry() {
    for (a, b) in pairs() {
        let (first, mut first_end) = connect(&*a, &*b, 1).await;
        let (second, mut second_end) = connect(&*a, &*b, 2).await;
        let (third, mut third_end) = connect(&*b, &*a, 3).await;
        let message = |name: &'static str| (Channel::Media, Bytes::from_static(name.as_bytes()));
        for (end, name) in [(&first, "first"), (&second, "second"), (&third, "third")] {
            end.connection
                .try_send(Channel::Media, &message(name).1)
                .await
                .expect("room");
        }
        assert_eq!(first_end.message().await, Ok(message("first")));
        assert_eq!(second_end.message().await, Ok(message("second")));
        assert_eq!(third_end.message().await, Ok(message("third")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_may_come_before_the_answer() {
    for (a, b) in pairs() {
        let (mut offerer, offer) = open(&*a, 1, Role::Offer).await.expect("an offer");
        let (mut answerer, answer) = open(&*b, 1, Role::Answer { offer })
            .await
            .expect("an answer");
        let TransportEvent::LocalCandidate(candidate) = answerer.next().await else {
            panic!("a candidate follows the description")
        };
        offerer
            .connection
            .add_candidate(candidate)
            .await
            .expect("kept");
        offerer
            .connection
            .add_candidate("null".to_owned())
            .await
            .expect("the end of them");
        offerer
            .connection
            .set_answer(answer)
            .await
            .expect("a good answer");
        while offerer.next().await != TransportEvent::Open {}
        while answerer.next().await != TransportEvent::Open {}
    }
}

/// What a confused or hostile peer may send in the place of a description.
const GARBAGE: [&str; 8] = [
    "",
    "garbage",
    "v=0\r\n",
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
    "v=0\r\nm=application 99999999999999999999 UDP/DTLS/SCTP webrtc-datachannel\r\n",
    "m=\r\na=\r\n=\r\n",
    "{\"type\":\"offer\"}",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_garbled_description_is_an_error() {
    for (a, b) in pairs() {
        for garbage in GARBAGE {
            let answered = open(
                &*b,
                1,
                Role::Answer {
                    offer: garbage.to_owned(),
                },
            )
            .await;
            let error = answered
                .err()
                .unwrap_or_else(|| panic!("answered to {garbage:?}"));
            assert!(
                matches!(error, TransportError::Description(_)),
                "{error} for {garbage:?}"
            );

            let (offerer, _) = open(&*a, 1, Role::Offer).await.expect("an offer");
            let answered = offerer.connection.set_answer(garbage.to_owned()).await;
            assert!(
                matches!(answered, Err(TransportError::Description(_))),
                "{garbage:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_garbled_candidate_is_an_error_and_the_connection_lives_on() {
    for (a, b) in pairs() {
        let (offerer, mut answerer) = connect(&*a, &*b, 1).await;
        let candidate = |text: &str| format!(r#"{{"candidate":"{text}","sdpMLineIndex":0}}"#);
        let huge = candidate(&"1".repeat(1 << 20));
        let few = candidate("candidate:1 1 udp");
        let bad = candidate("candidate:1 1 udp x 300.1.1.1 99999 typ host");
        for garbage in ["", "{", "[]", "7", &few, &bad, &huge] {
            let added = offerer.connection.add_candidate(garbage.to_owned()).await;
            assert!(
                matches!(added, Err(TransportError::Candidate(_))),
                "{garbage:.40}: {added:?}"
            );
        }
        offerer
            .connection
            .try_send(Channel::Control, &Bytes::new())
            .await
            .expect("room");
        answerer.message().await.expect("still open");
    }
}

/// A group to join is there only with a route to it, and a machine on a cable of its own has no default one.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_listens_to_no_multicast_dns() {
    const MDNS: &str = ":14E9 "; // port 5353
    let (a, b) = (webrtc(), webrtc());
    let (_offerer, _answerer) = connect(&*a, &*b, 1).await;
    let read = |path: &str| std::fs::read_to_string(path).expect("the kernel's table");
    let table = read("/proc/self/net/udp") + &read("/proc/self/net/udp6");
    let inodes = table.lines().filter(|line| line.contains(MDNS));
    let inodes: Vec<_> = inodes.filter_map(|l| l.split_whitespace().nth(9)).collect();
    let ours = std::fs::read_dir("/proc/self/fd").expect("descriptors");
    let ours: Vec<_> = ours
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .collect();
    for inode in inodes {
        let socket = std::path::PathBuf::from(format!("socket:[{inode}]"));
        assert!(!ours.contains(&socket), "{table}");
    }
}
