//! Who is let in, and who is shown out.

use super::*;

// Who comes in.

#[test]
fn a_socket_is_asked_who_it_is_and_then_let_in() {
    let mut town = Town::new();
    town.enter(30);
    let told = town.told(30);
    assert!(matches!(told[0], ToPeer::CollectPeerInfoRequest { .. }));
    assert!(matches!(told[1], ToPeer::PeerAccepted { version: 1, .. }));
}

#[test]
fn the_address_outside_is_told_to_peers_on_this_side_of_the_router_alone() {
    let router = IpAddr::from([203, 0, 113, 7]);
    let mut config = config(1, Limits::default());
    config.external_address = Some(router);
    let mut town = Town::new();
    town.manager = StreamManager::new(config, Time::ZERO);
    let mut told_from = |n: u8, address: IpAddr| {
        town.input(Input::Connected(SocketId(n.into()), Some(address)));
        town.says(n, FromPeer::CollectPeerInfoResponse(info(n)));
        town.told(n).into_iter().find_map(|message| match message {
            ToPeer::PeerAccepted {
                external_address, ..
            } => external_address.clone(),
            _ => None,
        })
    };
    let here = [
        "192.168.1.5",
        "127.0.0.1",
        "::ffff:10.0.0.3",
        "fd00::1",
        "203.0.113.7",
    ];
    for (n, here) in (30..).zip(here) {
        let told = told_from(n, here.parse().expect("an address"));
        assert_eq!(told.as_deref(), Some("203.0.113.7"), "{here}");
    }
    assert_eq!(told_from(40, IpAddr::from([198, 51, 100, 9])), None);
}

#[test]
fn whoever_does_not_say_who_he_is_within_ten_seconds_is_refused() {
    let mut town = Town::new();
    town.input(Input::Connected(SocketId(30), None));
    town.now += INTRODUCTION_LIMIT;
    town.input(Input::Tick);
    assert!(matches!(town.closed()[..], [(30, Refusal::TooSlow, _)]));
}

#[test]
fn another_version_is_refused_in_words() {
    let mut town = Town::new();
    town.enter_by(
        30,
        PeerInfo {
            versions: VersionRange { min: 7, max: 9 },
            ..info(30)
        },
    );
    let closed = town.closed();
    assert!(
        matches!(closed[..], [(30, Refusal::Version, words)] if words.contains("7 to 9")),
        "{closed:?}"
    );
}

#[test]
fn a_message_before_the_introduction_is_refused() {
    let mut town = Town::new();
    town.input(Input::Connected(SocketId(30), None));
    town.says(30, FromPeer::ListStreams);
    assert!(matches!(town.closed()[..], [(30, Refusal::BadMessage, _)]));
}

#[test]
fn a_second_introduction_is_refused() {
    let mut town = Town::new();
    town.enter(30);
    town.says(30, FromPeer::CollectPeerInfoResponse(info(30)));
    assert!(matches!(town.closed()[..], [(30, Refusal::BadMessage, _)]));
    assert_eq!(town.manager.census(), Census::default());
}

#[test]
fn garbage_costs_the_sender_its_socket_and_nobody_else_anything() {
    let mut town = Town::on_air();
    town.watch(30);
    town.said.clear();
    town.enter(31);
    town.input(Input::Text(SocketId(31), "{\"type\":\"MAKE_COFFEE\"}"));
    assert!(matches!(town.closed()[..], [(31, Refusal::BadMessage, _)]));
    assert_eq!(
        (town.told(30).len(), town.parent(30)),
        (0, Some(BROADCASTER))
    );
}

#[test]
fn a_peer_id_in_use_is_refused_to_anybody_else() {
    let mut town = Town::new();
    town.enter(30);
    town.enter_by(
        31,
        PeerInfo {
            fingerprint: info(31).fingerprint,
            ..info(30)
        },
    );
    assert!(matches!(town.closed()[..], [(31, Refusal::PeerIdInUse, _)]));
    town.sleep(SECOND);
    town.enter_by(32, info(30));
    assert!(
        matches!(town.closed()[..], [_, (32, Refusal::PeerIdInUse, _)]),
        "the first is alive"
    );
}

#[test]
fn a_peer_comes_back_by_another_socket_when_the_old_one_is_silent() {
    let mut town = Town::on_air();
    town.watch(30);
    town.said.clear();
    town.now += SILENCE_LIMIT / 2;
    town.enter_by(31, info(30));
    assert!(matches!(town.closed()[..], [(30, Refusal::PeerIdInUse, _)]));
    assert_eq!(town.parent(30), Some(BROADCASTER));
    town.says(31, join(Some(BROADCASTER)));
    assert_eq!(town.placed(), [], "it is where it says it is");
}

#[test]
fn a_peer_that_missed_a_heartbeat_is_given_no_children_until_it_is_heard_again() {
    let alive = |town: &mut Town, peers: &[u8]| {
        for &n in peers {
            town.says(n, FromPeer::TimeRequest { sent_us: 0 });
        }
    };
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.enter(RELAY + 1);
    town.watch(20);
    let first = town.parent(20).expect("placed");
    let other = if first == RELAY { RELAY + 1 } else { RELAY };
    for _ in 0..3 {
        town.now += SECOND;
        alive(&mut town, &[BROADCASTER, other, 20]);
    }
    town.watch(21);
    assert_eq!(town.parent(21), Some(other), "{first} is quiet");
    assert_eq!(
        town.parent(20),
        Some(first),
        "its child has said nothing against it"
    );
    alive(&mut town, &[first]);
    town.watch(22);
    assert_eq!(town.parent(22), Some(first));
}

#[test]
fn a_peer_silent_for_six_seconds_is_gone() {
    let mut town = Town::on_air();
    town.watch(30);
    town.now += SILENCE_LIMIT;
    town.says(BROADCASTER, FromPeer::TimeRequest { sent_us: 0 });
    assert!(
        town.closed()
            .iter()
            .any(|&(socket, refusal, _)| (socket, refusal) == (30, Refusal::TooSlow))
    );
    assert!(!town.manager.forest().contains(SHOW, id(30)));
}

#[test]
fn a_flood_of_messages_closes_the_socket() {
    let mut town = Town::with(Limits {
        message_burst: 5,
        messages_per_s: 1,
        ..Limits::default()
    });
    town.enter(30);
    (0..6).for_each(|_| town.says(30, FromPeer::ListStreams));
    assert!(matches!(town.closed()[..], [(30, Refusal::TooMany, _)]));
}

#[test]
fn more_peers_than_allowed_are_refused() {
    let mut town = Town::with(Limits {
        peers: 2,
        ..Limits::default()
    });
    (30..33).for_each(|n| town.input(Input::Connected(SocketId(n), None)));
    assert!(matches!(town.closed()[..], [(32, Refusal::TooMany, _)]));
}
