//! A town of peers on one supervisor: what each is told, sentence by sentence.

use std::net::IpAddr;

use proptest::prelude::*;

mod wishes;

use super::*;
use crate::id::{Fingerprint, LinkId};
use crate::media::{Codec, Track};
use crate::signal::{
    Component, LinkDescription, PeerInfo, Registration, StreamTrack, VERSIONS, VersionRange,
};

const SECOND: Duration = Duration::from_secs(1);
/// 2026-01-01, microseconds since 1970.
const NEW_YEAR_US: i64 = 1_767_225_600_000_000;
const BROADCASTER: u8 = 1;
const RELAY: u8 = 10;
const SHOW: StreamId = StreamId::from_bytes([7; 16]);

fn id(n: u8) -> PeerId {
    PeerId::from_bytes([n; 16])
}

/// A supervisor, its time, and what it has said. Peer n speaks on socket n, unless told otherwise.
struct Town {
    manager: StreamManager,
    now: Time,
    said: Vec<Output>,
    term: u64,
    /// Who does not answer when it is asked whether it is there; all others do.
    mute: Option<u8>,
}

impl Town {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let mut town = Self {
            manager: manager(1, limits),
            now: Time::ZERO,
            said: Vec::new(),
            term: 1,
            mute: None,
        };
        // Long after the start, unless a test restarts it.
        town.sleep(RELEARNING);
        town
    }

    /// The supervisor is killed and started again.
    fn restart(&mut self) {
        self.term += 1;
        self.manager = manager(self.term, Limits::default());
        self.now = Time::ZERO;
    }

    /// With a broadcaster whose stream is registered, and nobody else.
    fn on_air() -> Self {
        let mut town = Self::new();
        town.enter(BROADCASTER);
        town.says(BROADCASTER, register(SHOW, "show"));
        town.said.clear();
        town
    }

    /// The stream is the paper's binary tree.
    fn in_pairs() -> Self {
        let mut town = Self::on_air();
        let FromPeer::RegisterStream(offer) = register(SHOW, "show") else {
            unreachable!()
        };
        town.says(BROADCASTER, FromPeer::EndStream { stream: SHOW });
        let pairs = Some(Topology::Tree { arity: 2 });
        town.says(
            BROADCASTER,
            FromPeer::RegisterStream(Registration {
                topology: pairs,
                ..offer
            }),
        );
        town.said.clear();
        town
    }

    fn input(&mut self, input: Input<'_>) {
        self.manager.handle(self.now, input, &mut self.said);
        let mut asked = Vec::new();
        self.said.retain(|output| match output {
            &Output::Send(socket, ToPeer::AreYouThere) => {
                asked.push(socket);
                false
            }
            _ => true,
        });
        let mute = self.mute.map(|n| SocketId(n.into()));
        for socket in asked.into_iter().filter(|&socket| Some(socket) != mute) {
            let answer = FromPeer::TimeRequest { sent_us: 0 };
            let mut out = Vec::new();
            let answer = Input::Said(socket, answer);
            self.manager.handle(self.now, answer, &mut out);
            out.retain(|o| !matches!(o, Output::Send(_, ToPeer::TimeResponse { .. })));
            self.said.append(&mut out);
        }
    }

    fn enter(&mut self, n: u8) {
        self.enter_by(n, info(n));
    }

    fn enter_by(&mut self, socket: u8, info: PeerInfo) {
        self.input(Input::Connected(SocketId(socket.into()), None));
        self.says(socket, FromPeer::CollectPeerInfoResponse(info));
    }

    fn watch(&mut self, n: u8) {
        self.enter(n);
        self.said.clear();
        self.says(n, join(None));
    }

    fn says(&mut self, n: u8, message: FromPeer) {
        self.input(Input::Text(SocketId(n.into()), &message.to_text()));
    }

    fn hangs_up(&mut self, n: u8) {
        self.said.clear();
        self.input(Input::Disconnected(SocketId(n.into())));
    }

    /// Time passes; those who are here say that they are.
    fn sleep(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + SECOND);
            let mute = self.mute.map(|n| SocketId(n.into()));
            let sockets = self.manager.sockets.keys().copied();
            let here: Vec<_> = sockets.filter(|&socket| Some(socket) != mute).collect();
            let mut answers = Vec::new();
            for socket in here {
                self.manager.handle(
                    self.now,
                    Input::Said(socket, FromPeer::TimeRequest { sent_us: 0 }),
                    &mut answers,
                );
            }
            answers.retain(|o| !matches!(o, Output::Send(_, ToPeer::TimeResponse { .. })));
            self.said.append(&mut answers);
            self.input(Input::Tick);
        }
    }

    /// What peer n was told, since the last time this was asked of anybody.
    fn told(&self, n: u8) -> Vec<&ToPeer> {
        let to = |output| match output {
            &Output::Send(SocketId(socket), ref message) if socket == u64::from(n) => Some(message),
            _ => None,
        };
        self.said.iter().filter_map(to).collect()
    }

    /// Who was told to take which parent, in order; the parent was told to expect it just before.
    fn placed(&self) -> Vec<(u8, Option<u8>)> {
        let mut expected = None;
        let mut placed = Vec::new();
        for output in &self.said {
            match output {
                Output::Send(socket, ToPeer::ExpectChild { child, .. }) => {
                    expected = Some((*socket, child.peer))
                }
                Output::Send(socket, ToPeer::Placement { parent, .. }) => {
                    let child = socket.0 as u8;
                    if let Some(parent) = parent {
                        let parent = SocketId(parent.peer.as_bytes()[0].into());
                        assert_eq!(
                            expected.take(),
                            Some((parent, id(child))),
                            "the parent hears of it first"
                        );
                    }
                    placed.push((child, parent.map(|parent| parent.peer.as_bytes()[0])));
                }
                _ => {}
            }
        }
        placed
    }

    fn closed(&self) -> Vec<(u64, Refusal, &str)> {
        let close = |output| match output {
            &Output::Close(socket, refusal, ref words) => Some((socket.0, refusal, words.as_str())),
            _ => None,
        };
        self.said.iter().filter_map(close).collect()
    }

    fn order_of(&self, n: u8) -> Order {
        let order = |message: &&ToPeer| match **message {
            ToPeer::Placement { order, .. } => Some(order),
            _ => None,
        };
        self.told(n)
            .iter()
            .rev()
            .find_map(order)
            .expect("it was placed")
    }

    fn parent(&self, n: u8) -> Option<u8> {
        self.manager
            .forest()
            .parent(SHOW, id(n))
            .map(|parent| parent.as_bytes()[0])
    }

    fn lost(&mut self, n: u8, parent: u8, order: Order) {
        self.said.clear();
        let reason = "silent".into();
        self.says(
            n,
            FromPeer::ParentLost {
                stream: SHOW,
                parent: id(parent),
                order,
                reason,
            },
        );
    }
}

fn manager(term: u64, limits: Limits) -> StreamManager {
    StreamManager::new(config(term, limits), Time::ZERO)
}

fn config(term: u64, limits: Limits) -> Config {
    Config {
        term,
        epochs: BTreeMap::new(),
        software: "test".into(),
        wall: ClockMap {
            offset_us: NEW_YEAR_US,
            uncertainty_us: 0,
        },
        ice: Box::new(|_, _| Vec::new()),
        ice_lifetime: None,
        external_address: None,
        topology: Topology::RelayFirst,
        backups: true,
        limits,
        security: None,
    }
}

fn info(n: u8) -> PeerInfo {
    let component = match n {
        BROADCASTER..RELAY => Component::Broadcaster,
        RELAY..20 => Component::Relay,
        _ => Component::Receiver,
    };
    PeerInfo {
        versions: VERSIONS,
        peer: id(n),
        component,
        fingerprint: Fingerprint::from_bytes([n; 32]),
        uplink_kbps: if component == Component::Receiver {
            2000
        } else {
            20_000
        },
        relays: true,
        software: "test".into(),
        name: None,
        public_key: None,
        suites: vec![],
        signing_key: None,
    }
}

fn register(stream: StreamId, name: &str) -> FromPeer {
    FromPeer::RegisterStream(Registration {
        stream,
        name: name.into(),
        tracks: vec![StreamTrack {
            track: Track::Video,
            codec: Codec::Vp8,
        }],
        kbps: 1000,
        running_epoch: None,
        topology: None,
        access: Access::Public,
        running_key: None,
        allow_failures: false,
    })
}

fn join(parent: Option<u8>) -> FromPeer {
    FromPeer::Join {
        stream: SHOW,
        parent: parent.map(id),
        invitation: None,
    }
}

fn offer(to: u8) -> FromPeer {
    FromPeer::LinkOffer(LinkDescription {
        peer: id(to),
        link: LinkId(1),
        body: "sdp".into(),
    })
}

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

// Streams.

#[test]
fn a_registered_stream_is_announced_to_those_who_list() {
    let mut town = Town::new();
    town.enter(30);
    town.says(30, FromPeer::ListStreams);
    assert!(matches!(town.told(30)[2], ToPeer::Streams { streams, .. } if streams.is_empty()));
    town.enter(BROADCASTER);
    town.says(BROADCASTER, register(SHOW, "show"));
    assert!(
        matches!(town.told(30)[3], ToPeer::StreamAnnounced { info } if info.name == "show" && info.live)
    );
}

#[test]
fn a_list_too_long_for_one_message_comes_in_several() {
    let mut town = Town::with(Limits {
        streams_per_broadcaster: 150,
        ..Limits::default()
    });
    town.enter(BROADCASTER);
    (0..120).for_each(|n| {
        town.says(
            BROADCASTER,
            register(StreamId::from_bytes([n; 16]), &format!("{n}")),
        )
    });
    town.enter(30);
    town.said.clear();
    town.says(30, FromPeer::ListStreams);
    let told = town.told(30);
    assert!(matches!(told[0], ToPeer::Streams { streams, more: false } if streams.len() == 100));
    assert!(matches!(told[1], ToPeer::Streams { streams, more: true } if streams.len() == 20));
    assert_eq!(told.len(), 2);
    assert!(
        told.iter()
            .all(|message| message.to_text().len() < crate::signal::MAX_TEXT)
    );
}

#[test]
fn a_broadcaster_that_registers_again_and_again_is_announced_once_a_second() {
    let mut town = Town::new();
    town.enter(30);
    town.says(30, FromPeer::ListStreams);
    town.enter(BROADCASTER);
    town.said.clear();
    for _ in 0..500 {
        town.says(BROADCASTER, register(SHOW, "show"));
    }
    assert_eq!(town.told(30).len(), 1);
    town.sleep(ANNOUNCE_PAUSE);
    assert_eq!(town.told(30).len(), 2);
}

#[test]
fn who_stays_longer_than_the_credentials_of_turn_servers_gets_others_in_time() {
    let mut town = Town::new();
    let ice_lifetime = Some(8 * SECOND);
    let config = Config {
        ice_lifetime,
        ..config(1, Limits::default())
    };
    town.manager = StreamManager::new(config, town.now);
    town.enter(30);
    town.said.clear();
    town.sleep(4 * SECOND);
    assert!(matches!(town.told(30)[..], [ToPeer::IceServers { .. }]));
}

#[test]
fn epochs_grow_and_a_running_one_goes_on() {
    let mut town = Town::new();
    town.enter(BROADCASTER);
    let mut epoch_of = |running_epoch| {
        town.said.clear();
        let FromPeer::RegisterStream(offer) = register(SHOW, "show") else {
            unreachable!()
        };
        town.says(
            BROADCASTER,
            FromPeer::RegisterStream(Registration {
                running_epoch,
                ..offer
            }),
        );
        match town.told(BROADCASTER)[..] {
            [ToPeer::StreamRegistered { epoch, .. }] => *epoch,
            ref other => panic!("{other:?}"),
        }
    };
    let first = epoch_of(None);
    assert_eq!(
        i64::from(first),
        NEW_YEAR_US / 1_000_000 - 1_577_836_800 + 60
    );
    assert_eq!(epoch_of(Some(first)), first);
    assert_eq!(epoch_of(None), first + 1);
    assert_eq!(
        epoch_of(Some(first)),
        first + 2,
        "a later one was issued since"
    );
    assert_eq!(
        epoch_of(Some(u32::MAX)),
        first + 3,
        "nobody issued that one"
    );
}

#[test]
fn a_supervisor_whose_clock_has_gone_back_issues_a_higher_epoch_all_the_same() {
    let issued = 900_000_000;
    let mut town = Town::new();
    let epochs = BTreeMap::from([(SHOW, issued)]);
    town.manager = StreamManager::new(
        Config {
            epochs,
            ..config(2, Limits::default())
        },
        town.now,
    );
    town.enter(BROADCASTER);
    town.says(BROADCASTER, register(SHOW, "show"));
    let next = issued + 1;
    assert!(town.said.contains(&Output::KeepEpoch(SHOW, next)));
    let told = town.told(BROADCASTER);
    assert!(
        matches!(told.last(), Some(ToPeer::StreamRegistered { epoch, .. }) if *epoch == next),
        "{told:?}"
    );
}

#[test]
fn a_stream_belongs_to_whoever_registered_it() {
    let mut town = Town::on_air();
    town.enter(2);
    let refused = |town: &mut Town, message| {
        town.said.clear();
        town.says(2, message);
        match town.told(2)[..] {
            [ToPeer::StreamRefused { refusal, .. }] => *refusal,
            ref other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        refused(&mut town, register(SHOW, "mine")),
        Refusal::StreamTaken
    );
    assert_eq!(
        refused(&mut town, register(StreamId::from_bytes([8; 16]), "show")),
        Refusal::StreamTaken
    );
    assert_eq!(
        refused(&mut town, register(StreamId::from_bytes([8; 16]), " ")),
        Refusal::NotAllowed
    );
    assert_eq!(
        refused(&mut town, FromPeer::EndStream { stream: SHOW }),
        Refusal::NotAllowed
    );
}

#[test]
fn a_receiver_offers_no_streams_and_a_broadcaster_does_not_watch() {
    let mut town = Town::on_air();
    town.enter(30);
    town.says(30, register(StreamId::from_bytes([8; 16]), "mine"));
    town.says(BROADCASTER, join(None));
    for n in [30, BROADCASTER] {
        let last = *town.told(n).last().expect("it was answered");
        assert!(
            matches!(
                last,
                ToPeer::StreamRefused {
                    refusal: Refusal::NotAllowed,
                    ..
                }
            ),
            "{last:?}"
        );
    }
}

#[test]
fn viewers_are_counted_and_announced_at_most_once_a_second() {
    let mut town = Town::on_air();
    town.enter(29);
    town.says(29, FromPeer::ListStreams);
    town.watch(30);
    town.watch(31);
    assert_eq!(town.told(29).len(), 0, "not at once");
    town.sleep(SECOND);
    assert!(matches!(town.told(29)[..], [ToPeer::StreamAnnounced { info }] if info.viewers == 2));
}

#[test]
fn the_broadcasters_clock_reaches_members_and_later_ones_after_their_placement() {
    let mut town = Town::on_air();
    town.watch(30);
    town.said.clear();
    let clock = ClockMap {
        offset_us: 5,
        uncertainty_us: 1,
    };
    town.says(
        BROADCASTER,
        FromPeer::StreamClock {
            stream: SHOW,
            clock,
        },
    );
    assert_eq!(
        town.told(30),
        [&ToPeer::StreamClock {
            stream: SHOW,
            clock
        }]
    );
    town.watch(31);
    assert!(matches!(
        town.told(31)[..],
        [ToPeer::Placement { .. }, ToPeer::StreamClock { .. }]
    ));
}

#[test]
fn an_ended_stream_is_over_for_members_and_listeners() {
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.watch(30);
    town.enter(31);
    town.says(31, FromPeer::ListStreams);
    town.said.clear();
    town.says(BROADCASTER, FromPeer::EndStream { stream: SHOW });
    for n in [RELAY, 30, 31] {
        assert_eq!(town.told(n), [&ToPeer::StreamEnded { stream: SHOW }]);
    }
    assert_eq!(
        (town.manager.census().streams, town.manager.census().places),
        (0, 0)
    );
}

// Places.

#[test]
fn a_viewer_gets_a_relay_above_it_which_gets_its_own_place_first() {
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.watch(30);
    assert_eq!(
        town.placed(),
        [(RELAY, Some(BROADCASTER)), (30, Some(RELAY))]
    );
}

#[test]
fn a_relay_leaves_ten_seconds_after_its_last_child() {
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.watch(30);
    town.said.clear();
    town.says(30, FromPeer::Leave { stream: SHOW });
    assert_eq!(
        town.told(RELAY),
        [&ToPeer::DropChild {
            stream: SHOW,
            child: id(30)
        }]
    );
    town.sleep(IDLE_GRACE - SECOND);
    assert!(town.manager.forest().contains(SHOW, id(RELAY)));
    town.sleep(SECOND);
    assert!(matches!(
        town.told(RELAY).last(),
        Some(ToPeer::Release { .. })
    ));
    assert_eq!(
        town.told(BROADCASTER),
        [&ToPeer::DropChild {
            stream: SHOW,
            child: id(RELAY)
        }]
    );
}

#[test]
fn a_relay_that_gets_a_child_in_time_stays() {
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.watch(30);
    town.says(30, FromPeer::Leave { stream: SHOW });
    town.sleep(SECOND * 5);
    town.says(30, join(None));
    town.sleep(IDLE_GRACE);
    assert_eq!(
        (town.parent(30), town.parent(RELAY)),
        (Some(RELAY), Some(BROADCASTER))
    );
}

#[test]
fn a_peer_whose_socket_closed_keeps_its_place_for_a_moment() {
    let mut town = Town::on_air();
    town.watch(30);
    town.hangs_up(30);
    town.sleep(AWAY_GRACE - SECOND);
    assert_eq!(town.parent(30), Some(BROADCASTER));
    town.enter_by(40, info(30));
    town.sleep(AWAY_GRACE);
    assert_eq!(town.parent(30), Some(BROADCASTER), "it is back");
    town.hangs_up(40);
    town.sleep(AWAY_GRACE);
    assert!(!town.manager.forest().contains(SHOW, id(30)));
    assert_eq!(
        town.told(BROADCASTER).last(),
        Some(&&ToPeer::DropChild {
            stream: SHOW,
            child: id(30)
        })
    );
}

#[test]
fn nobody_is_placed_below_a_peer_whose_socket_is_closed() {
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.watch(30);
    town.hangs_up(RELAY);
    town.watch(31);
    assert_eq!(town.placed(), [(31, Some(BROADCASTER))]);
}

#[test]
fn a_child_that_lost_a_living_parent_gets_another_and_the_parent_is_avoided() {
    let mut town = Town::on_air();
    (RELAY..=11).for_each(|n| town.enter(n));
    town.watch(30);
    let (order, relay) = (town.order_of(30), town.parent(30).expect("it has a place"));
    let other = 21 - relay;
    town.lost(30, relay, order);
    assert_eq!(
        town.placed(),
        [(other, Some(BROADCASTER)), (30, Some(other))]
    );
    assert!(town.told(relay).contains(&&ToPeer::DropChild {
        stream: SHOW,
        child: id(30)
    }));
}

#[test]
fn children_of_a_peer_that_is_really_gone_are_placed_as_soon_as_one_complains() {
    let mut town = Town::on_air();
    (RELAY..=11).for_each(|n| town.enter(n));
    town.watch(30);
    let (order, relay) = (town.order_of(30), town.parent(30).expect("it has a place"));
    town.watch(31);
    town.hangs_up(relay);
    assert_eq!(town.placed(), [], "it may be back in a moment");
    town.lost(30, relay, order);
    let other = 21 - relay;
    assert_eq!(
        town.placed(),
        [
            (other, Some(BROADCASTER)),
            (30, Some(other)),
            (31, Some(other))
        ]
    );
}

#[test]
fn a_complaint_about_an_earlier_parent_is_stale() {
    let mut town = Town::on_air();
    (RELAY..=11).for_each(|n| town.enter(n));
    town.watch(30);
    let (order, relay) = (town.order_of(30), town.parent(30).expect("it has a place"));
    town.lost(30, relay, order);
    town.lost(30, relay, order);
    assert_eq!(town.placed(), []);
}

#[test]
fn a_child_that_was_moved_is_dropped_by_its_old_parent_only_after_a_while() {
    let mut town = Town::in_pairs();
    town.manager.config.backups = false;
    (30..=33).for_each(|n| town.watch(n));
    town.said.clear();
    town.says(31, FromPeer::Leave { stream: SHOW });
    assert_eq!(
        town.placed(),
        [(32, Some(BROADCASTER))],
        "who has been here longest fills the gap"
    );
    let drop = ToPeer::DropChild {
        stream: SHOW,
        child: id(32),
    };
    assert!(!town.told(30).contains(&&drop));
    town.sleep(SETTLING);
    assert!(town.told(30).contains(&&drop));
}

#[test]
fn an_old_parent_that_stands_by_for_a_child_by_now_does_not_drop_it() {
    let mut town = Town::in_pairs();
    (30..=33).for_each(|n| town.watch(n));
    town.says(31, FromPeer::Leave { stream: SHOW });
    town.said.clear();
    town.sleep(SETTLING * 2);
    assert_eq!((town.parent(32), town.backup(32)), (Some(1), Some(30)));
    let drop = ToPeer::DropChild {
        stream: SHOW,
        child: id(32),
    };
    assert!(!town.told(30).contains(&&drop));
}

#[test]
fn whoever_loses_one_parent_after_the_other_is_fed_by_the_broadcaster_and_backed_up_by_it_before() {
    let mut town = Town::in_pairs();
    (30..=44).for_each(|n| town.watch(n));
    town.sleep(SECOND);
    let first = town.parent(44).expect("placed");
    let order = town.order_of(44);
    town.said.clear();
    town.lost(44, first, order);
    let second = town.parent(44).expect("there are places");
    assert_ne!(second, BROADCASTER);
    assert_eq!(town.backup(44), Some(BROADCASTER));
    let told = town.told(44);
    let mut named = told.iter().filter_map(|message| match message {
        ToPeer::Backups { backups, .. } => Some(backups.iter().map(|at| at.peer).collect()),
        _ => None,
    });
    assert_eq!(named.next_back(), Some(vec![id(BROADCASTER)]));

    let order = town.order_of(44);
    town.lost(44, second, order);
    assert_eq!(town.parent(44), Some(BROADCASTER), "its third child");

    // Somebody goes between when that is over.
    town.sleep(SECOND * 10);
    let graph = town.manager.forest().graph(SHOW).expect("on the air");
    assert_eq!(graph.children(id(BROADCASTER)).count(), 2);
}

#[test]
fn a_backup_that_refuses_is_one_no_more_though_its_peer_has_another_place_by_then() {
    let mut town = Town::in_pairs();
    (30..=44).for_each(|n| town.watch(n));
    town.sleep(SECOND);
    let (order, backup) = (town.order_of(44), town.backup(44).expect("named"));
    assert_ne!(backup, BROADCASTER);
    town.lost(44, backup, order);
    assert_eq!(town.backup(44), Some(BROADCASTER));
    town.sleep(SECOND * 10);
    assert_ne!(town.backup(44), Some(BROADCASTER), "it is for others");
    assert!(town.backup(44).is_some());
}

#[test]
fn who_finds_no_place_waits_and_gets_one_when_there_is_room() {
    let mut town = Town::on_air();
    let poor = |n| PeerInfo {
        relays: false,
        ..info(n)
    };
    for n in 30..50 {
        town.enter_by(n, poor(n));
        town.says(n, join(None));
    }
    town.said.clear();
    town.enter_by(50, poor(50));
    town.says(50, join(None));
    assert_eq!(town.placed(), [(50, None)]);
    town.said.clear();
    town.says(30, FromPeer::Leave { stream: SHOW });
    assert_eq!(town.placed(), [(50, Some(BROADCASTER))]);
}

// Links.

#[test]
fn an_offer_reaches_the_parent_with_the_childs_name_on_it() {
    let mut town = Town::on_air();
    town.watch(30);
    town.says(30, offer(BROADCASTER));
    let expected = LinkDescription {
        peer: id(30),
        link: LinkId(1),
        body: "sdp".into(),
    };
    assert_eq!(
        town.told(BROADCASTER).last(),
        Some(&&ToPeer::LinkOffer(expected))
    );
}

#[test]
fn an_offer_to_somebody_elses_parent_is_refused() {
    let mut town = Town::on_air();
    town.enter(30);
    town.said.clear();
    town.says(30, offer(BROADCASTER));
    assert!(
        matches!(town.told(30)[..], [ToPeer::LinkRefused(refused)] if refused.peer == id(BROADCASTER))
    );
    assert!(town.told(BROADCASTER).is_empty());
}

#[test]
fn an_offer_to_a_parent_that_is_not_connected_is_refused() {
    let mut town = Town::on_air();
    town.watch(30);
    town.hangs_up(BROADCASTER);
    town.says(30, offer(BROADCASTER));
    assert!(matches!(town.told(30)[..], [.., ToPeer::LinkRefused(_)]));
}

#[test]
fn a_refusal_that_cannot_be_delivered_is_not_refused_in_turn() {
    let mut town = Town::on_air();
    town.enter(30);
    town.said.clear();
    let refusal = LinkDescription {
        peer: id(99),
        link: LinkId(1),
        body: "no".into(),
    };
    town.says(30, FromPeer::LinkRefused(refusal));
    assert_eq!(town.said, []);
}

// The broadcaster goes and comes.

#[test]
fn a_broadcaster_that_restarts_is_given_its_children_back_under_its_new_name() {
    let mut town = Town::on_air();
    town.watch(30);
    town.watch(31);
    let order = town.order_of(31);
    town.hangs_up(BROADCASTER);
    town.lost(31, BROADCASTER, order);
    assert_eq!(town.placed(), [(31, None)], "there is nobody to go to");
    town.sleep(AWAY_GRACE * 2);
    assert_eq!(
        town.parent(30),
        Some(BROADCASTER),
        "who did not complain keeps its place"
    );
    town.said.clear();
    town.enter_by(
        2,
        PeerInfo {
            fingerprint: info(BROADCASTER).fingerprint,
            ..info(2)
        },
    );
    town.says(2, register(SHOW, "show"));
    assert_eq!(town.placed(), [(30, Some(2)), (31, Some(2))]);
}

#[test]
fn a_broadcaster_that_only_lost_its_socket_disturbs_nobody() {
    let mut town = Town::on_air();
    town.watch(30);
    town.hangs_up(BROADCASTER);
    town.enter_by(3, info(BROADCASTER));
    town.says(3, register(SHOW, "show"));
    assert_eq!(town.placed(), []);
    assert!(matches!(
        town.told(3)[..],
        [.., ToPeer::StreamRegistered { .. }]
    ));
}

#[test]
fn a_stream_whose_broadcaster_stays_away_for_a_minute_is_over() {
    let mut town = Town::on_air();
    town.watch(30);
    town.says(30, FromPeer::ListStreams);
    town.hangs_up(BROADCASTER);
    assert!(matches!(town.told(30)[..], [ToPeer::StreamAnnounced { info }] if !info.live));
    town.sleep(STREAM_GRACE);
    assert_eq!(
        town.told(30).last(),
        Some(&&ToPeer::StreamEnded { stream: SHOW })
    );
    town.hangs_up(30);
    town.sleep(AWAY_GRACE);
    assert_eq!(town.manager.census(), Census::default());
}

// The supervisor goes and comes.

#[test]
fn after_a_restart_nobody_who_is_well_is_moved_whatever_the_order_of_return() {
    let everybody = [BROADCASTER, RELAY, 30, 31];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let mut town = Town::new();
        town.restart();
        for n in order.map(|i: usize| everybody[i]) {
            town.enter(n);
            match n {
                BROADCASTER => town.says(n, register(SHOW, "show")),
                RELAY => town.says(n, join(Some(BROADCASTER))),
                _ => town.says(n, join(Some(RELAY))),
            }
        }
        town.sleep(CLAIM_GRACE * 2);
        assert_eq!(town.placed(), [], "{order:?}");
        assert_eq!(
            [RELAY, 30, 31].map(|n| town.parent(n)),
            [Some(BROADCASTER), Some(RELAY), Some(RELAY)]
        );
    }
}

#[test]
fn after_a_restart_a_viewer_whose_parent_does_not_come_back_is_placed_anew() {
    let mut town = Town::new();
    town.restart();
    town.enter(BROADCASTER);
    town.says(BROADCASTER, register(SHOW, "show"));
    town.enter(30);
    town.says(30, join(Some(RELAY)));
    town.sleep(CLAIM_GRACE - SECOND);
    assert_eq!(town.placed(), []);
    town.sleep(SECOND);
    assert_eq!(town.placed(), [(30, Some(BROADCASTER))]);
}

#[test]
fn after_a_restart_a_child_may_complain_about_the_parent_it_claimed() {
    let mut town = Town::new();
    town.restart();
    town.enter(BROADCASTER);
    town.says(BROADCASTER, register(SHOW, "show"));
    (RELAY..=11).for_each(|n| town.enter(n));
    town.says(RELAY, join(Some(BROADCASTER)));
    town.enter(30);
    town.says(30, join(Some(RELAY)));
    town.lost(
        30,
        RELAY,
        Order {
            term: 1,
            sequence: 99,
        },
    );
    assert_eq!(town.parent(30), Some(11));
}

#[test]
fn after_a_restart_a_join_of_a_stream_that_never_returns_ends() {
    let mut town = Town::new();
    town.restart();
    town.enter(30);
    town.says(30, join(None));
    assert_eq!(town.placed(), [(30, None)]);
    town.enter(31);
    town.says(31, join(Some(RELAY)));
    assert_eq!(
        town.placed(),
        [(30, None)],
        "who says it is fed is left in peace"
    );
    town.said.clear();
    town.sleep(RELEARNING);
    for n in [30, 31] {
        assert_eq!(town.told(n), [&ToPeer::StreamEnded { stream: SHOW }]);
    }
}

#[test]
fn a_stream_that_never_was_is_refused() {
    let mut town = Town::new();
    town.enter(30);
    town.says(30, join(None));
    assert!(matches!(
        town.told(30).last(),
        Some(ToPeer::StreamRefused {
            refusal: Refusal::NoSuchStream,
            ..
        })
    ));
}

#[test]
fn a_claim_that_would_be_a_burden_is_not_believed_later() {
    let mut town = Town::on_air();
    let poor = PeerInfo {
        relays: false,
        ..info(30)
    };
    town.enter_by(30, poor);
    town.says(30, join(None));
    town.enter(31);
    town.says(31, join(Some(30)));
    assert_eq!(town.parent(31), Some(BROADCASTER));
}

// Nothing stays behind.

#[test]
fn a_thousand_joins_and_leaves_leave_the_tables_as_they_were() {
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.sleep(SECOND * 2);
    let before = town.manager.census();
    for n in 0..1000_u32 {
        let socket = 30 + (n % 50) as u8;
        town.enter(socket);
        town.says(socket, join(None));
        if n % 2 == 0 {
            town.says(socket, FromPeer::Leave { stream: SHOW });
        }
        town.hangs_up(socket);
        town.sleep(AWAY_GRACE);
    }
    town.sleep(IDLE_GRACE + SECOND);
    assert_eq!(town.manager.census(), before);
}

// Who backs whom up.

impl Town {
    /// A stream with two relays, and viewers 20 to 23 at the first of them.
    fn with_viewers() -> Self {
        let mut town = Self::on_air();
        town.enter(RELAY);
        town.enter(RELAY + 1);
        (20..24).for_each(|n| town.watch(n));
        town.sleep(SECOND);
        town
    }

    fn backup(&self, n: u8) -> Option<u8> {
        self.manager.backup(SHOW, id(n)).map(|b| b.as_bytes()[0])
    }

    /// Viewer 23 took over at its backup. Gives its parent of before, that backup, and the order it had.
    fn is_taken_over(&mut self) -> (u8, u8, Order) {
        let parent = self.parent(23).expect("placed");
        let backup = self.backup(23).expect("named");
        let order = self.order_of(23);
        self.took_over(23, backup, parent, order);
        (parent, backup, order)
    }

    fn took_over(&mut self, n: u8, parent: u8, lost: u8, order: Order) {
        self.said.clear();
        self.says(
            n,
            FromPeer::TookOver {
                stream: SHOW,
                parent: id(parent),
                lost: id(lost),
                order,
            },
        );
    }
}

#[test]
fn a_viewer_is_named_a_backup_that_is_neither_its_parent_nor_below_it() {
    let town = Town::with_viewers();
    for n in 20..24 {
        let (parent, backup) = (town.parent(n), town.backup(n));
        assert!(backup.is_some() && backup != parent, "{n}: {backup:?}");
        let backup = id(backup.expect("named"));
        let graph = town.manager.forest().graph(SHOW).expect("on the air");
        assert!(!graph.is_below(backup, id(n)));
    }
    let named = |m: &&ToPeer| matches!(m, ToPeer::Backups { backups, .. } if backups.len() == 1);
    assert!(town.told(23).iter().any(named));
}

#[test]
fn a_second_relay_stands_by_for_those_at_the_first_and_stays_as_long_as_it_is_needed() {
    let mut town = Town::with_viewers();
    let other = |n| if n == RELAY { RELAY + 1 } else { RELAY };
    let parent = town.parent(23).expect("placed");
    assert_eq!(town.backup(23), Some(other(parent)));
    town.sleep(IDLE_GRACE * 3);
    assert_eq!(town.backup(23), Some(other(parent)));
    (20..24).for_each(|n| town.says(n, FromPeer::Leave { stream: SHOW }));
    town.sleep(IDLE_GRACE * 2);
    assert_eq!(town.manager.census().backups, 0);
    assert_eq!(town.manager.census().places, 1, "the broadcaster alone");
}

#[test]
fn a_backup_whose_places_are_taken_meanwhile_is_kept_as_long_as_it_has_uplink() {
    let mut town = Town::in_pairs();
    (20..24).for_each(|n| town.watch(n));
    town.sleep(SECOND);
    let before: Vec<_> = (20..24).map(|n| town.backup(n)).collect();
    (24..40).for_each(|n| town.watch(n));
    town.sleep(SECOND);
    let graph = town.manager.forest().graph(SHOW).expect("on the air");
    for (n, backup) in (20..24).zip(before) {
        let at = id(backup.expect("named"));
        // Nobody has to change for another reason.
        assert!(graph.parent(id(n)) != Some(at) && !graph.is_below(at, id(n)));
        assert_eq!(town.backup(n), backup, "{n}");
    }
}

#[test]
fn links_to_a_backup_are_carried() {
    let mut town = Town::with_viewers();
    let backup = town.backup(23).expect("named");
    town.said.clear();
    town.says(23, offer(backup));
    assert!(matches!(town.told(backup)[..], [ToPeer::LinkOffer(_)]));
}

#[test]
fn a_backup_that_is_lost_is_replaced() {
    let mut town = Town::with_viewers();
    let backup = town.backup(23).expect("named");
    town.says(
        23,
        FromPeer::BackupLost {
            stream: SHOW,
            backup: id(backup),
        },
    );
    town.input(Input::Tick);
    assert_ne!(town.backup(23), Some(backup));
}

#[test]
fn who_took_over_stays_where_it_is_if_that_costs_no_depth() {
    let mut town = Town::with_viewers();
    let (_, backup, _) = town.is_taken_over();
    assert_eq!(town.parent(23), Some(backup));
    assert_eq!(town.placed(), [], "nobody is moved");
    town.sleep(SECOND);
    assert_ne!(town.backup(23), Some(backup));
}

#[test]
fn a_takeover_from_a_parent_that_was_left_already_is_stale() {
    let mut town = Town::with_viewers();
    let (parent, backup, order) = town.is_taken_over();
    town.took_over(23, parent, parent, order);
    assert_eq!(town.parent(23), Some(backup));
}

/// One thing that happens in the town below.
#[derive(Debug, Clone, Copy)]
enum Step {
    Watches(u8),
    Leaves(u8),
    HangsUp(u8),
    TakesOver(u8),
    Complains(u8),
    MissesItsBackup(u8),
    Waits,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let viewer = 20..44_u8;
    let step = (0..7_u8, viewer).prop_map(|(what, n)| match what {
        0 | 1 => Step::Watches(n),
        2 => Step::Leaves(n),
        3 => Step::HangsUp(n),
        4 => Step::TakesOver(n),
        5 => Step::Complains(n),
        6 => Step::MissesItsBackup(n),
        _ => Step::Waits,
    });
    proptest::collection::vec(prop_oneof![3 => step, 1 => Just(Step::Waits)], 1..120)
}

impl Town {
    fn takes(&mut self, step: Step) {
        let newest = Order {
            term: u64::MAX,
            sequence: 0,
        };
        match step {
            Step::Watches(n) if self.manager.is_connected(id(n)) => self.says(n, join(None)),
            Step::Watches(n) => self.watch(n),
            Step::Leaves(n) => self.says(n, FromPeer::Leave { stream: SHOW }),
            Step::HangsUp(n) => self.hangs_up(n),
            Step::TakesOver(n) => {
                if let (Some(parent), Some(backup)) = (self.parent(n), self.backup(n)) {
                    self.took_over(n, backup, parent, newest);
                }
            }
            Step::Complains(n) => {
                if let Some(parent) = self.parent(n) {
                    self.lost(n, parent, newest);
                }
            }
            Step::MissesItsBackup(n) => {
                if let Some(backup) = self.backup(n) {
                    let (stream, backup) = (SHOW, id(backup));
                    self.says(n, FromPeer::BackupLost { stream, backup });
                }
            }
            Step::Waits => self.sleep(SECOND),
        }
        self.input(Input::Tick);
    }
}

proptest! {
    #[test]
    fn whatever_happens_backups_are_no_parents_and_never_below_those_they_back_up(
        topology in prop_oneof![
            Just(Topology::RelayFirst),
            Just(Topology::Tree { arity: 2 }),
            Just(Topology::LinkedList),
        ],
        steps in steps(),
    ) {
        let mut town = Town::new();
        town.manager = StreamManager::new(Config { topology, ..config(1, Limits::default()) }, town.now);
        town.enter(BROADCASTER);
        town.says(BROADCASTER, register(SHOW, "show"));
        town.enter(RELAY);
        town.enter(RELAY + 1);
        for step in steps {
            town.takes(step);
            let graph = town.manager.forest().graph(SHOW).expect("on the air");
            let mut named = 0;
            for n in (10..12).chain(20..44) {
                let Some(backup) = town.backup(n).map(id) else { continue };
                named += 1;
                prop_assert!(graph.contains(id(n)) && graph.contains(backup));
                prop_assert!(!graph.is_below(backup, id(n)), "{n} has {backup:?}");
                prop_assert!(town.manager.are_neighbours(id(n), backup));
            }
            prop_assert_eq!(town.manager.census().backups, named);
        }
        // When all are gone, nothing is left of it.
        (20..44).for_each(|n| town.takes(Step::Leaves(n)));
        town.sleep(IDLE_GRACE * 3);
        prop_assert_eq!(town.manager.census().backups, 0);
    }
}

/// A binary tree of six viewers: the first parent of two that has a parent other than the broadcaster's.
fn a_parent_of_two(town: &Town) -> (u8, [u8; 2]) {
    let children = |of| (20..26).filter(move |&n| town.parent(n) == Some(of));
    let parent = (20..26).find(|&n| children(n).count() == 2);
    let parent = parent.expect("six fill two levels");
    let mut two = children(parent);
    (parent, [two.next(), two.next()].map(|n| n.expect("two")))
}

fn six_in_pairs() -> Town {
    let mut town = Town::in_pairs();
    (20..26).for_each(|n| town.watch(n));
    town.sleep(SECOND);
    town
}

#[test]
fn a_viewer_that_is_lost_to_a_child_and_does_not_answer_loses_its_place_and_its_other_child_is_moved()
 {
    let mut town = six_in_pairs();
    let (parent, [one, other]) = a_parent_of_two(&town);
    town.mute = Some(parent);
    let newest = Order {
        term: u64::MAX,
        sequence: 0,
    };
    town.lost(one, parent, newest);
    assert_eq!(town.parent(other), Some(parent), "it has not complained");
    town.now += ANSWER_LIMIT;
    town.input(Input::Tick);
    assert!(!town.manager.forest().contains(SHOW, id(parent)));
    for n in (20..26).filter(|&n| n != parent) {
        let above = town.parent(n);
        assert!(above.is_some() && above != Some(parent), "{n}: {above:?}");
    }
    // It wakes up before it would be gone.
    town.mute = None;
    town.said.clear();
    town.says(parent, FromPeer::TimeRequest { sent_us: 0 });
    assert_eq!(town.placed(), [(parent, town.parent(parent))]);
    assert!(town.parent(parent).is_some());
}

#[test]
fn a_viewer_that_is_lost_to_one_child_and_answers_keeps_its_place_and_the_other() {
    let mut town = six_in_pairs();
    let (parent, [one, other]) = a_parent_of_two(&town);
    let above = town.parent(parent);
    let newest = Order {
        term: u64::MAX,
        sequence: 0,
    };
    town.lost(one, parent, newest);
    town.sleep(SECOND);
    assert_eq!(town.parent(other), Some(parent));
    assert_eq!(town.parent(parent), above);
}
