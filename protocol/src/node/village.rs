//! A supervisor and its peers with all of the security on, in one process: who comes in, and what becomes of
//! those who cheat.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Config, Event, Input, MOST_LANES, Node, Output, Security};
use crate::chunk::{Chunk, Header, Position};
use crate::id::{Fingerprint, InvitationId, KeyFingerprint, LinkId, PeerId, StreamId};
use crate::media::{Codec, Descriptor, Track, TrackInfo};
use crate::security::auth::Examination;
use crate::security::authority::Authority;
use crate::security::grant::SignedDescriptor;
use crate::security::local::EllipticKey;
use crate::security::otdp::{Sealer, signer};
use crate::security::secret::{HandshakeSeed, Seed, StreamKey, TokenSecret};
use crate::security::token::Invitation;
use crate::signal::{Access, Component, FromPeer, Registration, StreamTrack, Topology};
use crate::stream_manager::{self as manager, Limits, SocketId, StreamManager};
use crate::time::{ClockMap, Time};

const STREAM: StreamId = StreamId::from_bytes([7; 16]);
const BROADCASTER: u8 = 1;
const RELAY: u8 = 10;
const STEP: Duration = Duration::from_millis(5);

fn id(n: u8) -> PeerId {
    PeerId::from_bytes([n; 16])
}

fn dtls(n: u8) -> Fingerprint {
    Fingerprint::from_bytes([n; 32])
}

fn key(n: u8) -> EllipticKey {
    EllipticKey::new(Seed::from_bytes([n; 32]))
}

fn authority() -> Authority {
    Authority::new(&Seed::from_bytes([0xCA; 32]))
}

fn handshake_key() -> EllipticKey {
    EllipticKey::new(Seed::from_bytes([0x5A; 32]))
}

fn signing() -> Seed {
    Seed::from_bytes([0x51; 32])
}

fn component(n: u8) -> Component {
    match n {
        BROADCASTER => Component::Broadcaster,
        RELAY..20 => Component::Relay,
        _ => Component::Receiver,
    }
}

/// What one peer does to a chunk that it passes on.
type Cheat = Box<dyn FnMut(&Chunk) -> Bytes>;

enum Mail {
    ToNode(u8, Input),
    ToManager(u8, String),
}

struct Village {
    now: Time,
    manager: StreamManager,
    nodes: BTreeMap<u8, Node>,
    links: BTreeMap<LinkId, (u8, u8)>,
    mail: VecDeque<Mail>,
    events: Vec<(u8, Event)>,
    said: Vec<(u8, FromPeer)>,
    cheats: BTreeMap<u8, Cheat>,
    sealer: Option<Sealer>,
    /// The keys of those whom the store is to remember as put out.
    put_out: Vec<KeyFingerprint>,
    /// What whoever comes in shows.
    token: Option<TokenSecret>,
    /// Where a peer comes from.
    address: fn(u8) -> IpAddr,
    /// Share of groups that relays check.
    relays_check: f64,
}

impl Village {
    fn new(access: Access) -> Self {
        Self::where_relays_check(1.0, access)
    }

    fn where_relays_check(relays_check: f64, access: Access) -> Self {
        let now = Time::from_millis(1_000);
        let mut village = Self {
            now,
            manager: Self::supervisor(1, now, BTreeSet::new()),
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            mail: VecDeque::new(),
            events: Vec::new(),
            said: Vec::new(),
            cheats: BTreeMap::new(),
            sealer: None,
            put_out: Vec::new(),
            token: None,
            relays_check,
            address: |n| Ipv4Addr::new(192, 0, 2, n).into(),
        };
        village.enter(BROADCASTER);
        village.enter(RELAY);
        village.put(BROADCASTER, Input::Publish(registration(access)));
        village.settle();
        village.go_on_air();
        village
    }

    /// One that starts now, and knows whose keys were revoked before.
    fn supervisor(term: u64, now: Time, put_out: BTreeSet<KeyFingerprint>) -> StreamManager {
        let security = manager::Security {
            examination: Arc::new(Examination {
                software: "test".into(),
                keys: vec![authority().endorse(handshake_key().public_key(), term)],
            }),
            authority: authority(),
            certificate_lifetime: Duration::from_secs(60),
            owners: BTreeMap::new(),
            keys: BTreeMap::new(),
            revoked_invitations: BTreeSet::new(),
            blocked: BTreeSet::new(),
            put_out,
            random: Box::new({
                let mut n = 0;
                move |bytes| {
                    n += 1;
                    bytes.fill(n);
                }
            }),
        };
        let config = manager::Config {
            term,
            epochs: BTreeMap::new(),
            software: "test".into(),
            wall: ClockMap::default(),
            ice: Box::new(|_, _| Vec::new()),
            ice_lifetime: None,
            external_address: None,
            topology: Topology::RelayFirst,
            backups: true,
            limits: Limits::default(),
            security: Some(security),
        };
        StreamManager::new(config, now)
    }

    fn enter(&mut self, n: u8) {
        self.enter_as(n, id(n), key(n));
    }

    /// Peer n comes in under this name, and shows this key for its own.
    fn enter_as(&mut self, n: u8, peer: PeerId, shown: EllipticKey) {
        let security = Security {
            keys: vec![shown.public_key()],
            signing_key: (n == BROADCASTER).then(|| signer(&signing())),
            token: self.token.clone(),
            pin: Some(authority().fingerprint()),
            threshold: match component(n) {
                Component::Relay => self.relays_check,
                _ => 1.0,
            },
        };
        let config = Config {
            peer,
            component: component(n),
            fingerprint: dtls(n),
            uplink_kbps: 20_000,
            relays: true,
            software: "test".into(),
            name: None,
            lanes: MOST_LANES,
            seed: n.into(),
            security: Some(security),
        };
        self.nodes.insert(n, Node::new(config, self.now));
        let address = (self.address)(n);
        self.put(n, Input::SupervisorUp(HandshakeSeed::from_bytes([n; 32])));
        self.manage(manager::Input::Connected(SocketId(n.into()), Some(address)));
        self.settle();
    }

    fn watch(&mut self, n: u8, invitation: Option<String>) {
        self.enter(n);
        self.put(n, Input::Watch(STREAM, invitation));
        self.settle();
    }

    fn put(&mut self, n: u8, input: Input) {
        self.mail.push_back(Mail::ToNode(n, input));
    }

    /// Half a second, in which everything is delivered.
    fn settle(&mut self) {
        for _ in 0..100 {
            self.now += STEP;
            self.manage(manager::Input::Tick);
            for n in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.put(n, Input::Tick);
            }
            while let Some(mail) = self.mail.pop_front() {
                match mail {
                    Mail::ToNode(n, input) => self.step(n, input),
                    Mail::ToManager(n, text) => {
                        self.said
                            .extend(FromPeer::parse(&text).ok().map(|said| (n, said)));
                        self.manage(manager::Input::Text(SocketId(n.into()), &text));
                    }
                }
            }
        }
    }

    fn manage(&mut self, input: manager::Input<'_>) {
        let mut out = Vec::new();
        self.manager.handle(self.now, input, &mut out);
        self.carry_out_all(out);
    }

    fn carry_out_all(&mut self, out: Vec<manager::Output>) {
        for output in out {
            match output {
                manager::Output::Send(SocketId(n), message) => {
                    self.put(n as u8, Input::SupervisorText(message.to_text()));
                }
                manager::Output::Text(SocketId(n), text) => {
                    self.put(n as u8, Input::SupervisorText(text));
                }
                manager::Output::Task(number, task) => {
                    let answer = handshake_key().answer(&task);
                    self.manage(manager::Input::TaskDone(number, answer));
                }
                manager::Output::Admit(socket, _) => {
                    self.manage(manager::Input::Admitted(socket, Ok(())));
                }
                manager::Output::Close(SocketId(n), refusal, words) => {
                    let said = crate::signal::ToPeer::PeerRefused { refusal, words };
                    self.put(n as u8, Input::SupervisorText(said.to_text()));
                    self.put(n as u8, Input::SupervisorDown);
                }
                manager::Output::PutOut(key) => self.put_out.push(key),
                manager::Output::Own { .. }
                | manager::Output::KeepEpoch(..)
                | manager::Output::KeepKey(..) => {}
            }
        }
    }

    fn step(&mut self, n: u8, input: Input) {
        let Some(node) = self.nodes.get_mut(&n) else {
            return;
        };
        let mut out = Vec::new();
        node.handle(self.now, input, &mut out);
        out.into_iter().for_each(|output| self.carry_out(n, output));
    }

    fn carry_out(&mut self, n: u8, output: Output) {
        let other = |links: &BTreeMap<LinkId, (u8, u8)>, link| {
            let &(a, b) = links.get(&link)?;
            Some(if a == n { b } else { a })
        };
        match output {
            Output::Signal(text) => self.mail.push_back(Mail::ToManager(n, text)),
            Output::KeyTask(number, task) => {
                let answer = key(n).answer(&task);
                self.put(n, Input::TaskDone(number, answer));
            }
            Output::Connect(link) => {
                self.links.insert(link, (n, 0));
                self.put(n, Input::LocalDescription(link, sdp(n)));
            }
            Output::Accept(link, _) => {
                if let Some(ends) = self.links.get_mut(&link) {
                    ends.1 = n;
                }
                self.put(n, Input::LocalDescription(link, sdp(n)));
            }
            Output::SetAnswer(link, _) => {
                if let Some(other) = other(&self.links, link) {
                    self.put(other, Input::LinkOpen(link));
                    self.put(n, Input::LinkOpen(link));
                }
            }
            Output::Control(link, bytes) => {
                if let Some(other) = other(&self.links, link) {
                    self.put(other, Input::Control(link, bytes));
                }
            }
            Output::Media(link, bytes) => {
                let Some(other) = other(&self.links, link) else {
                    return;
                };
                let chunk = Chunk::decode(bytes.clone()).expect("peers send chunks");
                let bytes = self.cheats.get_mut(&n).map_or(bytes, |cheat| cheat(&chunk));
                self.put(other, Input::Media(link, bytes));
            }
            Output::AskBacklog(link, _) => self.put(n, Input::Backlog(link, 0)),
            Output::Close(link) => {
                if let Some(other) = other(&self.links, link) {
                    self.put(other, Input::LinkClosed(link, "closed".into()));
                }
            }
            Output::Event(event) => self.events.push((n, event)),
            Output::HangUp(_) | Output::AddCandidate(..) | Output::IceServers(..) => {}
        }
    }

    /// The broadcaster's encoders start.
    fn go_on_air(&mut self) {
        let mut given = None;
        let mut begun = None;
        for (_, event) in &self.events {
            match event {
                Event::StreamKey(_, key_id, key) => given = Some((*key_id, key.clone())),
                Event::Registered(_, epoch, grant) => begun = Some((*epoch, grant.clone())),
                _ => {}
            }
        }
        let (key_id, key) = given.expect("a stream key");
        let (epoch, grant) = begun.expect("a grant");
        let signed = SignedDescriptor::new(&signing(), descriptor(epoch, key_id), grant);
        self.sealer = Some(Sealer::new(&signing(), key_id, key));
        self.put(BROADCASTER, Input::StartEpoch(signed));
        self.settle();
    }

    fn send(&mut self, sequences: std::ops::Range<u64>) {
        let epoch = self.nodes[&BROADCASTER].epoch(&STREAM).expect("on the air");
        for sequence in sequences {
            let sealer = self.sealer.as_mut().expect("on the air");
            for chunk in sealer.seal(header(epoch, sequence), &[sequence as u8; 1_000]) {
                self.put(BROADCASTER, Input::Own(chunk));
            }
        }
        self.settle();
    }

    fn seen_by(&self, n: u8) -> Vec<u64> {
        let seen = |(at, event): &(u8, Event)| match event {
            Event::Chunk(_, chunk) if *at == n => Some(chunk.header().position.sequence),
            _ => None,
        };
        self.events.iter().filter_map(seen).collect()
    }

    fn is_in(&self, n: u8) -> bool {
        self.events.contains(&(n, Event::Accepted))
    }

    fn refused(&self, n: u8) -> Option<&str> {
        self.events.iter().find_map(|(at, event)| match event {
            Event::Refused(_, words) | Event::StreamRefused(_, _, words) if *at == n => {
                Some(words.as_str())
            }
            _ => None,
        })
    }

    /// This peer says, true or not, that its parent forges.
    fn accuse(&mut self, parent: u8, n: u8) {
        let accusation = FromPeer::Accuse {
            stream: STREAM,
            parent: id(parent),
            what: "it forges".into(),
        };
        let text = accusation.to_text();
        self.mail.push_back(Mail::ToManager(n, text));
        self.settle();
    }

    fn accusers_of(&self, n: u8) -> Vec<u8> {
        let accuse = |(at, said): &(u8, FromPeer)| match said {
            FromPeer::Accuse { parent, .. } if *parent == id(n) => Some(*at),
            _ => None,
        };
        self.said.iter().filter_map(accuse).collect()
    }
}

fn sdp(n: u8) -> String {
    format!("v=0\r\na=fingerprint:sha-256 {}\r\n", dtls(n))
}

fn registration(access: Access) -> Registration {
    Registration {
        stream: STREAM,
        name: "test".into(),
        tracks: vec![StreamTrack {
            track: Track::Video,
            codec: Codec::Vp8,
        }],
        kbps: 100,
        running_epoch: None,
        topology: None,
        access,
        running_key: None,
        allow_failures: false,
    }
}

fn descriptor(epoch: u32, key_id: u8) -> Descriptor {
    let track = TrackInfo {
        track: Track::Video,
        rendition: 0,
        codec: Codec::Vp8,
        kbps: 100,
        init: Bytes::from_static(b"init"),
    };
    Descriptor {
        stream: STREAM,
        epoch,
        key_id,
        media_origin_us: 0,
        tracks: vec![track],
    }
}

fn header(epoch: u32, sequence: u64) -> Header {
    Header {
        random_access: sequence.is_multiple_of(10),
        track: Track::Video,
        rendition: 0,
        key_id: 0,
        handle: STREAM.handle(),
        position: Position { epoch, sequence },
        part: 0,
        parts: 1,
        capture: Time::from_millis(sequence * 40),
        media_us: sequence * 40_000,
    }
}

#[test]
fn who_proves_its_key_is_let_in_and_sees_what_the_broadcaster_sealed() {
    let mut village = Village::new(Access::Public);
    village.watch(30, None);
    village.send(0..5);
    assert_eq!(village.seen_by(30), [0, 1, 2, 3, 4]);
    assert_eq!(village.nodes[&30].stats(&STREAM).map(|s| s.depth), Some(2));
}

#[test]
fn whoever_shows_a_key_that_is_not_its_own_is_refused() {
    let mut village = Village::new(Access::Public);
    // Peer 31's own private key answers for peer 30's public one.
    village.enter_as(31, id(31), key(30));
    assert!(!village.is_in(31));
}

#[test]
fn a_stolen_peer_id_is_of_no_use_with_another_key() {
    let mut village = Village::new(Access::Public);
    village.enter(30);
    assert!(village.is_in(30));
    village.enter_as(31, id(30), key(31));
    assert!(!village.is_in(31));
    assert!(
        village
            .refused(31)
            .is_some_and(|words| words.contains("another peer is here"))
    );
    assert_eq!(village.refused(30), None);
}

#[test]
fn a_relay_that_alters_a_byte_is_dropped_accused_and_nobody_plays_what_it_made_of_it() {
    let mut village = Village::new(Access::Public);
    village.watch(30, None);
    village.send(0..3);
    village.cheats.insert(
        RELAY,
        Box::new(|chunk| {
            let mut bytes = chunk.message().to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            bytes.into()
        }),
    );
    village.send(3..6);
    let played = village.events.iter().filter_map(|(at, event)| match event {
        Event::Chunk(_, chunk) if *at == 30 => Some(chunk.payload()),
        _ => None,
    });
    for payload in played {
        assert!(payload.iter().all(|byte| *byte == payload[0]), "altered");
    }
    assert!(village.accusers_of(RELAY).contains(&30));
}

#[test]
fn viewers_play_nothing_that_was_altered_whether_or_not_the_relay_above_them_checks() {
    for relays_check in [0.0, 0.5, 1.0] {
        let mut village = Village::where_relays_check(relays_check, Access::Public);
        village.watch(30, None);
        village.send(0..3);
        // Somebody above the relay lies to it.
        village.cheats.insert(
            BROADCASTER,
            Box::new(|chunk| {
                let mut bytes = chunk.message().to_vec();
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                bytes.into()
            }),
        );
        village.send(3..20);
        let played = village.events.iter().filter_map(|(at, event)| match event {
            Event::Chunk(_, chunk) if *at == 30 => Some(chunk.payload()),
            _ => None,
        });
        for payload in played {
            assert!(payload.iter().all(|byte| *byte == payload[0]), "altered");
        }
        // Who checks blames whoever brought it; who does not is blamed in its place.
        let relay_found_out = village.accusers_of(BROADCASTER).contains(&RELAY);
        assert_eq!(relay_found_out, relays_check > 0.0, "{relays_check}");
    }
}

#[test]
fn a_member_that_forges_with_the_right_stream_key_is_found_out_by_the_signature() {
    let mut village = Village::new(Access::Public);
    village.watch(30, None);
    village.send(0..3);
    let (key_id, key) = village
        .events
        .iter()
        .find_map(|(_, event)| match event {
            Event::StreamKey(_, key_id, key) => Some((*key_id, key.clone())),
            _ => None,
        })
        .expect("a stream key");
    // It has all that a member has, and a signing key of its own.
    let mut forger = Sealer::new(&Seed::from_bytes([0xF0; 32]), key_id, key);
    village.cheats.insert(
        RELAY,
        Box::new(move |chunk| {
            let forged = forger.seal(*chunk.header(), b"forged");
            forged.last().expect("one part").message().clone()
        }),
    );
    village.send(3..6);
    let forged = village.events.iter().any(
        |(_, event)| matches!(event, Event::Chunk(_, chunk) if &chunk.payload()[..] == b"forged"),
    );
    assert!(!forged);
    assert!(village.accusers_of(RELAY).contains(&30));
}

#[test]
fn two_accusers_at_two_addresses_put_a_relay_out_and_one_liar_does_not() {
    let mut village = Village::new(Access::Public);
    village.watch(30, None);
    village.watch(31, None);
    village.send(0..3);
    (0..5).for_each(|_| village.accuse(RELAY, 30));
    assert_eq!(village.refused(RELAY), None, "one voice is none");
    village.accuse(RELAY, 31);
    assert!(village.refused(RELAY).is_some());
    assert_eq!(village.put_out, [key(RELAY).public_key().fingerprint()]);
}

#[test]
fn who_was_put_out_and_enrolled_anew_is_in_with_its_token_and_later_without() {
    let mut village = Village::new(Access::Public);
    village.watch(30, None);
    village.watch(31, None);
    village.send(0..3);
    village.accuse(RELAY, 30);
    village.accuse(RELAY, 31);
    assert!(village.refused(RELAY).is_some());
    let is_refused_again = |village: &mut Village| {
        village.events.clear();
        village.manage(manager::Input::Disconnected(SocketId(RELAY.into())));
        village.enter(RELAY);
        village.refused(RELAY).is_some()
    };
    assert!(is_refused_again(&mut village), "it shows no token");
    village.token = Some(TokenSecret::from_bytes([9; 16]));
    assert!(!is_refused_again(&mut village) && village.is_in(RELAY));
    village.token = None;
    assert!(!is_refused_again(&mut village) && village.is_in(RELAY));
}

#[test]
fn two_addresses_of_which_one_host_may_have_both_are_one_voice() {
    assert_one_voice(|n| match n {
        31 => Ipv6Addr::LOCALHOST.into(),
        n => Ipv4Addr::new(127, 0, 0, n).into(),
    });
}

#[test]
fn two_accusers_in_the_same_network_are_one_voice() {
    assert_one_voice(|n| Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n)).into());
}

/// Where two viewers at these addresses accuse the relay, it stays.
fn assert_one_voice(address: fn(u8) -> IpAddr) {
    let mut village = Village::new(Access::Public);
    village.address = address;
    village.watch(30, None);
    village.watch(31, None);
    village.send(0..3);
    village.accuse(RELAY, 30);
    village.accuse(RELAY, 31);
    assert_eq!(village.refused(RELAY), None);
}

#[test]
fn nobody_can_end_a_stream_by_accusing_its_broadcaster() {
    let mut village = Village::new(Access::Public);
    village.watch(30, None);
    village.send(0..3);
    // All that it feeds, and all who stand by it.
    village.accuse(BROADCASTER, RELAY);
    village.accuse(BROADCASTER, 30);
    assert_eq!(village.refused(BROADCASTER), None);
    village.send(3..6);
    assert_eq!(village.seen_by(30), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_newcomer_is_not_shown_an_epoch_that_is_over() {
    let mut village = Village::new(Access::Public);
    village.watch(30, None);
    village.send(0..3);
    // The supervisor knows of a later one, and the relay goes on with what it has recorded.
    let epoch = village.nodes[&BROADCASTER].epoch(&STREAM);
    let later = Registration {
        running_epoch: epoch.map(|epoch| epoch + 1),
        ..registration(Access::Public)
    };
    let text = FromPeer::RegisterStream(later).to_text();
    village.mail.push_back(Mail::ToManager(BROADCASTER, text));
    village.settle();
    village.watch(31, None);
    village.send(3..6);
    assert_eq!(village.seen_by(30), [0, 1, 2, 3, 4, 5]);
    assert_eq!(village.seen_by(31), [0; 0]);
}

#[test]
fn a_revoked_peers_links_are_closed_and_the_stream_goes_on_under_another_key() {
    let mut village = Village::new(Access::Public);
    village.watch(30, None);
    village.watch(31, None);
    village.send(0..3);
    let key_of_30 = key(30).public_key().fingerprint();
    let mut out = Vec::new();
    let gone = village.manager.revoke(village.now, key_of_30, &mut out);
    village.carry_out_all(out);
    village.settle();
    assert_eq!(gone, 1);
    assert!(village.refused(30).is_some());
    let fed =
        |links: &BTreeMap<LinkId, crate::link::Link>| links.values().any(|l| l.peer == id(30));
    assert!(!fed(&village.nodes[&RELAY].links));
    let keys: Vec<(u8, StreamKey)> = village
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::StreamKey(_, key_id, key) => Some((*key_id, key.clone())),
            _ => None,
        })
        .collect();
    let [.., (first, _), (second, key)] = &keys[..] else {
        panic!("another key");
    };
    assert_ne!(first, second);
    let sealer = village.sealer.as_mut().expect("on the air");
    sealer.set_key(*second, key.clone());
    village.send(3..6);
    assert_eq!(village.seen_by(31), [0, 1, 2, 3, 4, 5]);
    assert_eq!(village.seen_by(30), [0, 1, 2]);
}

#[test]
fn a_relay_that_was_away_while_a_viewer_was_revoked_closes_the_link_when_it_comes_back() {
    let mut village = Village::new(Access::Public);
    village.watch(30, None);
    village.send(0..3);
    let socket = SocketId(RELAY.into());
    village.put(RELAY, Input::SupervisorDown);
    village.manage(manager::Input::Disconnected(socket));
    let mut out = Vec::new();
    let key_of_30 = key(30).public_key().fingerprint();
    village.manager.revoke(village.now, key_of_30, &mut out);
    village.carry_out_all(out);
    village.settle();
    let is_linked = |village: &Village| {
        let mut links = village.nodes[&RELAY].links.values();
        links.any(|link| link.peer == id(30))
    };
    assert!(is_linked(&village), "nobody could tell it");

    village.put(
        RELAY,
        Input::SupervisorUp(HandshakeSeed::from_bytes([RELAY; 32])),
    );
    village.manage(manager::Input::Connected(socket, None));
    village.settle();
    assert!(!is_linked(&village));
    village.send(3..6);
    assert_eq!(village.seen_by(30), [0, 1, 2]);
}

#[test]
fn who_was_revoked_while_no_supervisor_ran_is_cut_off_when_one_does_and_the_key_is_changed() {
    let mut village = Village::new(Access::Public);
    village.watch(30, None);
    village.watch(31, None);
    village.send(0..3);
    let present = [BROADCASTER, RELAY, 31];
    for n in present.into_iter().chain([30]) {
        village.put(n, Input::SupervisorDown);
    }
    village.settle();
    let key_of_30 = key(30).public_key().fingerprint();
    village.manager = Village::supervisor(2, village.now, [key_of_30].into());
    village.settle();
    let is_linked = |village: &Village| {
        let mut links = village.nodes[&RELAY].links.values();
        links.any(|link| link.peer == id(30))
    };
    assert!(is_linked(&village), "nobody has told it");

    for n in present {
        let seed = HandshakeSeed::from_bytes([n; 32]);
        village.put(n, Input::SupervisorUp(seed));
        village.manage(manager::Input::Connected(SocketId(n.into()), None));
    }
    village.settle();
    assert!(!is_linked(&village));
    let keys = |village: &Village| {
        let given = village
            .events
            .iter()
            .filter(|(n, event)| *n == BROADCASTER && matches!(event, Event::StreamKey(..)));
        given.count()
    };
    let before = keys(&village);
    for _ in 0..62 {
        village.settle(); // half a minute
    }
    assert_eq!(keys(&village), before + 1);
    village.send(3..6);
    assert_eq!(village.seen_by(31), [0, 1, 2, 3, 4, 5]);
    assert_eq!(village.seen_by(30), [0, 1, 2]);
}

#[test]
fn an_invited_stream_is_watched_by_invitation_alone() {
    let mut village = Village::new(Access::Invited);
    let invite = |stream, not_after_s| {
        authority().invite(&Invitation {
            stream,
            not_after_s,
            id: InvitationId::from_bytes([1; 16]),
        })
    };
    village.watch(30, None);
    village.watch(31, Some(invite(STREAM, 1)));
    village.watch(32, Some(invite(StreamId::from_bytes([9; 16]), 1_000)));
    let mut edited = invite(STREAM, 1_000).into_bytes();
    edited[20] ^= 1;
    village.watch(33, String::from_utf8(edited).ok());
    village.watch(34, Some(invite(STREAM, 1_000)));
    village.send(0..3);
    for n in 30..34 {
        assert!(village.refused(n).is_some(), "{n}");
        assert_eq!(village.seen_by(n), [0; 0], "{n}");
    }
    assert_eq!(village.seen_by(34), [0, 1, 2]);
}

#[test]
fn an_invitation_that_is_taken_back_puts_out_whoever_came_by_it_and_nobody_else() {
    let mut village = Village::new(Access::Invited);
    let invite = |n| {
        let id = InvitationId::from_bytes([n; 16]);
        let text = authority().invite(&Invitation {
            stream: STREAM,
            not_after_s: 1_000,
            id,
        });
        (id, text)
    };
    let ((taken, link), (_, other)) = (invite(1), invite(2));
    village.watch(30, Some(link.clone()));
    village.watch(31, Some(link.clone()));
    village.watch(32, Some(other));
    village.send(0..3);
    assert_eq!(village.manager.watching_by_invitation()[&taken], 2);

    // One of them hears nothing of it: its neighbours cut it off all the same.
    let mut out = Vec::new();
    let gone = village
        .manager
        .revoke_invitation(village.now, taken, &mut out);
    out.retain(|output| !matches!(output, manager::Output::Send(SocketId(31), _)));
    assert_eq!(gone, 2);
    village.carry_out_all(out);
    village.settle();
    village.send(3..6);
    for n in [30, 31] {
        assert_eq!(village.seen_by(n), [0, 1, 2], "{n}");
    }
    assert!(village.refused(30).is_some());
    assert_eq!(village.seen_by(32), [0, 1, 2, 3, 4, 5]);
    assert!(
        !village
            .manager
            .watching_by_invitation()
            .contains_key(&taken)
    );

    village.watch(33, Some(link));
    village.send(6..9);
    assert!(village.refused(33).is_some());
    assert_eq!(village.seen_by(33), [0; 0]);
}

#[test]
fn certificates_are_renewed_before_they_end_and_no_link_is_dropped() {
    let mut village = Village::new(Access::Public);
    village.watch(30, None);
    let lost = |village: &Village| {
        let lost = |(_, event): &&(u8, Event)| matches!(event, Event::LinkLost(..));
        village.events.iter().filter(lost).count()
    };
    // Three lives of a certificate.
    for sequence in 0..360 {
        village.send(sequence..sequence + 1);
    }
    assert_eq!(lost(&village), 0);
    assert_eq!(village.seen_by(30).len(), 360);
}

#[test]
fn a_digest_covers_the_number_so_a_renumbered_chunk_is_bad() {
    let mut village = Village::new(Access::Public);
    village.watch(30, None);
    village.send(0..3);
    village.cheats.insert(
        RELAY,
        Box::new(|chunk| {
            let mut bytes = chunk.message().to_vec();
            bytes[31] = bytes[31].wrapping_add(5); // the last byte of the sequence
            bytes.into()
        }),
    );
    village.send(3..5);
    assert!(village.accusers_of(RELAY).contains(&30));
    assert!(village.seen_by(30).iter().all(|&sequence| sequence < 5));
}
