//! What only the transport over WebRTC has to promise: one port, its table, strangers, identity.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use bytes::Bytes;
use peer::transport::webrtc::{WebRtc, WebRtcConfig};
use peer::transport::{Channel, Role, Transport, TransportEvent};

mod ends;
use ends::{connect, open, webrtc};

/// Files that this process has open.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_connections_that_came_and_went_leave_nothing_behind() {
    let (a, b) = (webrtc(), webrtc());
    let files = open_files();
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    for link in 0..200 {
        let (offerer, answerer) = connect(&*a, &*b, link).await;
        offerer.connection.close().await;
        answerer.connection.close().await;
    }
    assert_eq!((a.table_rows(), b.table_rows()), (0, 0));
    assert_eq!(
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks(),
        tasks
    );
    assert!(
        open_files() <= files,
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
        certificate_pem: Some("no".to_owned()),
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
