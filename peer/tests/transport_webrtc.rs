//! What only the transport over WebRTC has to promise: one port, its table, strangers, identity.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use peer::transport::webrtc::{WebRtc, WebRtcConfig};
use peer::transport::{Channel, IceServer, MAX_MESSAGE, Role, Transport, TransportEvent};

mod ends;
mod lossy;
mod stranger;
use ends::{connect, open, webrtc};
use stranger::Stranger;

/// Files that this process has open.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

/// Tasks of this test.
fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_connections_that_came_and_went_leave_nothing_behind() {
    let (a, b) = (webrtc(), webrtc());
    let files = open_files();
    let tasks = tasks();
    for link in 0..200 {
        let (offerer, answerer) = connect(&*a, &*b, link).await;
        offerer.connection.close().await;
        answerer.connection.close().await;
    }
    assert_eq!((a.table_rows(), b.table_rows()), (0, 0));
    // A task's last step, after it has said that it is done, may still be under way.
    for _ in 0..500 {
        if self::tasks() > tasks {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(self::tasks(), tasks);
    // Other tests of this process have files open, too, but not as many as 200 leaks would leave.
    assert!(
        open_files() < files + 100,
        "{} files instead of {files}",
        open_files()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_was_dropped_unanswered_leaves_no_row() {
    let transport = webrtc();
    let (mut offerer, _) = open(&*transport, 1, Role::Offer).await.expect("an offer");
    assert_ne!(transport.table_rows(), 0);
    drop(offerer.connection);
    while offerer.events.recv().await.is_some() {}
    assert_eq!(transport.table_rows(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_certificate_gives_the_same_fingerprint() {
    let first = webrtc();
    let config = WebRtcConfig {
        certificate_pem: Some(first.certificate_pem()),
        loopback: true,
        ..WebRtcConfig::default()
    };
    let second = WebRtc::new(config).expect("a good certificate");
    assert_eq!(first.fingerprint(), second.fingerprint());
    connect(&*first, &*second, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_certificate_is_an_error() {
    let config = WebRtcConfig {
        certificate_pem: Some("no".to_owned().into()),
        ..WebRtcConfig::default()
    };
    assert!(WebRtc::new(config).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_candidate_names_the_one_port_and_so_does_the_external_address() {
    let config = WebRtcConfig {
        loopback: true,
        ..WebRtcConfig::default()
    };
    let transport = WebRtc::new(config).expect("a port");
    let external = IpAddr::from(Ipv4Addr::new(198, 51, 100, 7));
    transport.set_ice_servers(Vec::new(), Some(external));
    let (mut offerer, sdp) = open(&*transport, 1, Role::Offer).await.expect("an offer");
    assert!(!sdp.contains("a=candidate"), "candidates follow one by one");

    let mut addresses = Vec::new();
    while !["127.0.0.1", "::1", "198.51.100.7"]
        .iter()
        .all(|a| addresses.iter().any(|b| a == b))
    {
        let TransportEvent::LocalCandidate(json) = offerer.next().await else {
            continue;
        };
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let words: Vec<&str> = json["candidate"]
            .as_str()
            .expect("text")
            .split(' ')
            .collect();
        assert_eq!(words[5], transport.udp_port().to_string(), "{words:?}");
        assert_eq!(
            (&json["sdpMid"], &json["sdpMLineIndex"]),
            (&"0".into(), &0.into())
        );
        addresses.push(words[4].to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_datagrams_disturb_nobody() {
    let (a, b) = (webrtc(), webrtc());
    let (offerer, mut answerer) = connect(&*a, &*b, 1).await;
    let rows = b.table_rows();
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for seed in 0..500_usize {
        let mut datagram: Vec<u8> = (0..seed * 4).map(|i| (i * seed) as u8).collect();
        if seed % 2 == 0 && datagram.len() > 20 {
            // Something like a connectivity check.
            datagram[..2].copy_from_slice(&[0, 1]);
            let length = (datagram.len() - 20) as u16;
            datagram[2..4].copy_from_slice(&length.to_be_bytes());
            datagram[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
        }
        stranger
            .send_to(&datagram, ("127.0.0.1", b.udp_port()))
            .expect("sent");
    }
    offerer
        .connection
        .try_send(Channel::Media, &Bytes::from_static(b"on"))
        .await
        .expect("room");
    assert_eq!(
        answerer.message().await,
        Ok((Channel::Media, Bytes::from_static(b"on")))
    );
    assert!(b.table_rows() <= rows, "no stranger's address was learned");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_every_interface_open_too() {
    let everywhere = || {
        WebRtc::new(WebRtcConfig {
            loopback: true,
            ..WebRtcConfig::default()
        })
    };
    let (a, b) = (everywhere().expect("a port"), everywhere().expect("a port"));
    let (offerer, mut answerer) = connect(&*a, &*b, 1).await;
    offerer
        .connection
        .try_send(Channel::Media, &Bytes::new())
        .await
        .expect("room");
    answerer.message().await.expect("a message");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_ipv6_open_too() {
    let localhost = || {
        WebRtc::new(WebRtcConfig {
            bind: Some(IpAddr::from(Ipv6Addr::LOCALHOST)),
            loopback: true,
            ..WebRtcConfig::default()
        })
    };
    let (a, b) = (localhost().expect("a port"), localhost().expect("a port"));
    let (offerer, mut answerer) = connect(&*a, &*b, 1).await;
    offerer
        .connection
        .try_send(Channel::Media, &Bytes::new())
        .await
        .expect("room");
    answerer.message().await.expect("a message");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_above_the_limit_from_outside_closes_the_connection_with_words() {
    let transport = webrtc();
    let stranger = Stranger::new(&["control", "media"]).await;
    let mut end = stranger.connect(&*transport).await;
    stranger.send("media", MAX_MESSAGE).await;
    assert_eq!(end.message().await.expect("allowed").1.len(), MAX_MESSAGE);
    stranger.send("media", MAX_MESSAGE + 1).await;
    assert_eq!(
        end.closed().await,
        "a message of 16385 bytes, 16384 allowed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_of_another_name_is_closed_and_the_rest_opens() {
    let transport = webrtc();
    let stranger = Stranger::new(&["gossip", "control", "media"]).await;
    let mut end = stranger.connect(&*transport).await;
    stranger.send("control", 3).await;
    assert_eq!(end.message().await.expect("open").1.len(), 3);
}

/// Sends messages with numbers, a few packets each, and gives the numbers in the order in which they came.
async fn numbers_over(from: &ends::End, to: &mut ends::End) -> Vec<u32> {
    const MESSAGES: u32 = 200;
    let send = async {
        for number in 0..MESSAGES {
            let message = Bytes::from([&number.to_be_bytes()[..], &[0; 4_000]].concat());
            let sent = from.connection.try_send(Channel::Media, &message).await;
            sent.expect("there is room for all of them");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    let receive = async {
        let mut numbers = Vec::new();
        while numbers.len() < MESSAGES as usize {
            let (_, message) = to.message().await.expect("a message");
            let number = message.first_chunk().expect("a number");
            numbers.push(u32::from_be_bytes(*number));
        }
        numbers
    };
    tokio::join!(send, receive).1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_packet_of_media_holds_nothing_up_that_comes_after_it_whichever_end_sends() {
    let (a, b) = (webrtc(), webrtc());
    let (mut offerer, mut answerer, way) = lossy::connect(&a, &b).await;
    way.loses();
    for there_and_back in [true, false] {
        let numbers = match there_and_back {
            true => numbers_over(&offerer, &mut answerer).await,
            false => numbers_over(&answerer, &mut offerer).await,
        };
        assert!(!numbers.is_sorted(), "nothing overtook what was lost");
        let mut all = numbers;
        all.sort_unstable();
        assert!(
            all.into_iter().eq(0..200),
            "and nothing is missing, or came twice"
        );
    }
}

/// A STUN server that tells everybody the address it sees.
fn stun_server() -> IceServer {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = socket.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        let mut request = [0; 1500];
        while let Ok((20.., from)) = socket.recv_from(&mut request) {
            let SocketAddr::V4(seen) = from else { continue };
            let mut response = vec![1, 1, 0, 12];
            response.extend_from_slice(&request[4..20]);
            response.extend_from_slice(&[0, 0x20, 0, 8, 0, 1]);
            response.extend_from_slice(&(seen.port() ^ 0x2112).to_be_bytes());
            response.extend_from_slice(&(u32::from(*seen.ip()) ^ 0x2112_a442).to_be_bytes());
            let _ = socket.send_to(&response, from);
        }
    });
    IceServer {
        urls: vec![format!("stun:127.0.0.1:{port}")],
        username: None,
        credential: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stun_server_tells_each_connection_the_one_port() {
    let transport = webrtc();
    transport.set_ice_servers(vec![stun_server()], None);
    let mut ends = Vec::new();
    for link in 0..3 {
        ends.push(
            open(&*transport, link, Role::Offer)
                .await
                .expect("an offer")
                .0,
        );
    }
    for mut end in ends {
        let reflexive = loop {
            let TransportEvent::LocalCandidate(candidate) = end.next().await else {
                continue;
            };
            if candidate.contains("typ srflx") {
                break candidate;
            }
        };
        let seen = format!("127.0.0.1 {} typ srflx", transport.udp_port());
        assert!(reflexive.contains(&seen), "{reflexive}");
    }
}

/// Longer than ICE takes to call a way dead, in tenths of a second.
const LONGER_THAN_ICE: u32 = 80;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_an_earlier_one_between_the_same_two_ports() {
    let (a, b) = (webrtc(), webrtc());
    let (first, first_end) = connect(&*a, &*b, 1).await;
    let (mut there, mut here) = connect(&*a, &*b, 2).await;
    let (mut back, mut forth) = connect(&*b, &*a, 3).await;
    first.connection.close().await;
    first_end.connection.close().await;
    let message = (Channel::Control, Bytes::from_static(b"still there"));
    for _ in 0..LONGER_THAN_ICE {
        for (from, to) in [(&there, &mut here), (&back, &mut forth)] {
            let sent = from.connection.try_send(Channel::Control, &message.1);
            sent.await.expect("open");
            assert_eq!(to.message().await, Ok(message.clone()));
        }
        for (from, to) in [(&here, &mut there), (&forth, &mut back)] {
            let sent = from.connection.try_send(Channel::Control, &message.1);
            sent.await.expect("open");
            assert_eq!(to.message().await, Ok(message.clone()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
