//! A few peers on a desk: the test is their supervisor, and what one sends the other gets at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::{Config, Event, Input, Node, Output};
use crate::chunk::{Chunk, Header, Position, cut};
use crate::id::{Fingerprint, LinkId, PeerId, StreamId};
use crate::link::{
    ANSWER_LIMIT, ANSWER_LIMIT_STARVING, CHILD_SILENT, PARENT_DOUBTFUL, PARENT_SILENT, WELL,
};
use crate::media::{Codec, Descriptor, Track, TrackInfo};
use crate::security::grant::SignedDescriptor;
use crate::security::secret::HandshakeSeed;
use crate::signal::{
    Access, Component, Failure, FromPeer, LinkDescription, Neighbour, Order, Registration,
    StreamInfo, ToPeer, VERSIONS, VersionRange,
};
use crate::time::Time;
use crate::wire::{Control, FrameRange, TrackPosition};
use proptest::prelude::*;

const STREAM: StreamId = StreamId::from_bytes([7; 16]);

fn id(n: u8) -> PeerId {
    PeerId::from_bytes([n; 16])
}

fn fingerprint(n: u8) -> Fingerprint {
    Fingerprint::from_bytes([n; 32])
}

fn sdp(n: u8) -> String {
    format!("v=0\r\na=fingerprint:sha-256 {}\r\n", fingerprint(n))
}

fn component(n: u8) -> Component {
    match n {
        1 => Component::Broadcaster,
        2 => Component::Relay,
        _ => Component::Receiver,
    }
}

fn neighbour(n: u8) -> Neighbour {
    Neighbour {
        peer: id(n),
        component: component(n),
        fingerprint: fingerprint(n),
    }
}

#[derive(Default)]
struct Desk {
    now: Time,
    nodes: BTreeMap<u8, Node>,
    /// Which two peers a link joins.
    links: BTreeMap<LinkId, (u8, u8)>,
    said: Vec<(u8, FromPeer)>,
    events: Vec<(u8, Event)>,
    hung_up: Vec<(u8, String)>,
    closed: Vec<(u8, LinkId)>,
    /// Peers that neither hear nor speak.
    frozen: BTreeSet<u8>,
    /// Links that bring no media.
    dead: BTreeSet<LinkId>,
    /// Links whose transport has much left to send, whenever it is asked.
    full: BTreeSet<LinkId>,
    order: u64,
    queue: VecDeque<(u8, Input)>,
    busy: bool,
}

impl Desk {
    /// Peers 1 (broadcaster), 2 (relay) and on (receivers), all taken in by the supervisor.
    fn with_peers(count: u8) -> Self {
        let mut desk = Self {
            now: Time::from_millis(1_000),
            ..Self::default()
        };
        for n in 1..=count {
            let config = Config {
                peer: id(n),
                component: component(n),
                fingerprint: fingerprint(n),
                uplink_kbps: 10_000,
                relays: true,
                software: "test".into(),
                name: None,
                seed: n.into(),
                security: None,
            };
            desk.nodes.insert(n, Node::new(config, desk.now));
            desk.take_in(n);
        }
        desk.put(1, Input::Publish(registration()));
        desk.tell(
            1,
            ToPeer::StreamRegistered {
                stream: STREAM,
                epoch: 1,
                grant: None,
            },
        );
        desk.put(
            1,
            Input::StartEpoch(SignedDescriptor::unsigned(descriptor(1))),
        );
        desk
    }

    fn take_in(&mut self, n: u8) {
        self.put(n, Input::SupervisorUp(HandshakeSeed::from_bytes([0; 32])));
        self.tell(
            n,
            ToPeer::CollectPeerInfoRequest {
                versions: VERSIONS,
                software: "test".into(),
                suites: vec![],
            },
        );
        self.tell(
            n,
            ToPeer::PeerAccepted {
                version: 1,
                ice_servers: vec![],
                external_address: None,
                supervisor_us: 0,
                certificate: None,
            },
        );
    }

    fn tell(&mut self, n: u8, message: ToPeer) {
        self.put(n, Input::SupervisorText(message.to_text()));
    }

    /// Puts something in, and everything that follows from it, in the order in which it was said.
    fn put(&mut self, n: u8, input: Input) {
        self.queue.push_back((n, input));
        if std::mem::replace(&mut self.busy, true) {
            return;
        }
        while let Some((n, input)) = self.queue.pop_front() {
            if self.frozen.contains(&n) {
                continue;
            }
            let mut out = Vec::new();
            self.nodes
                .get_mut(&n)
                .expect("a peer of this desk")
                .handle(self.now, input, &mut out);
            out.into_iter().for_each(|output| self.carry_out(n, output));
        }
        self.busy = false;
    }

    fn other_end(&self, n: u8, link: LinkId) -> u8 {
        let (a, b) = self.links[&link];
        if a == n { b } else { a }
    }

    fn carry_out(&mut self, n: u8, output: Output) {
        match output {
            Output::Signal(text) => {
                self.hear(n, FromPeer::parse(&text).expect("peers speak the protocol"))
            }
            Output::HangUp(reason) => self.hung_up.push((n, reason)),
            Output::KeyTask(..) => unreachable!("nobody is certified at this desk"),
            Output::Connect(link) | Output::Accept(link, _) => {
                self.put(n, Input::LocalDescription(link, sdp(n)));
            }
            Output::SetAnswer(link, _) => {
                let other = self.other_end(n, link);
                self.put(other, Input::LinkOpen(link));
                self.put(n, Input::LinkOpen(link));
            }
            Output::Control(link, bytes) => {
                self.put(self.other_end(n, link), Input::Control(link, bytes))
            }
            Output::Media(link, _) if self.dead.contains(&link) => {}
            Output::Media(link, bytes) => {
                self.put(self.other_end(n, link), Input::Media(link, bytes))
            }
            Output::AskBacklog(link, _) => {
                let left = if self.full.contains(&link) {
                    usize::MAX
                } else {
                    0
                };
                self.put(n, Input::Backlog(link, left));
            }
            Output::Close(link) => {
                self.closed.push((n, link));
                self.put(
                    self.other_end(n, link),
                    Input::LinkClosed(link, "closed".into()),
                );
            }
            Output::Event(event) => self.events.push((n, event)),
            Output::AddCandidate(..) | Output::IceServers(..) => {}
        }
    }

    /// The supervisor: carries links' descriptions, and keeps the rest for the test to look at.
    fn hear(&mut self, n: u8, message: FromPeer) {
        let other = |d: &LinkDescription| d.peer.as_bytes()[0];
        let from = |d: LinkDescription| LinkDescription { peer: id(n), ..d };
        match message {
            FromPeer::LinkOffer(d) => {
                self.links.insert(d.link, (n, other(&d)));
                self.tell(other(&d), ToPeer::LinkOffer(from(d)));
            }
            FromPeer::LinkAnswer(d) => self.tell(other(&d), ToPeer::LinkAnswer(from(d))),
            FromPeer::LinkRefused(d) => self.tell(other(&d), ToPeer::LinkRefused(from(d))),
            other => self.said.push((n, other)),
        }
    }

    /// The supervisor gives `child` the parent `parent`.
    fn place(&mut self, child: u8, parent: u8) {
        self.order += 1;
        let order = Order {
            term: 1,
            sequence: self.order,
        };
        self.tell(
            parent,
            ToPeer::ExpectChild {
                stream: STREAM,
                child: neighbour(child),
            },
        );
        self.tell(
            child,
            ToPeer::Placement {
                stream: STREAM,
                order,
                parent: Some(neighbour(parent)),
            },
        );
    }

    /// The supervisor names `backup` as who stands in for `child`'s parent.
    fn name_backup(&mut self, child: u8, backup: u8) {
        self.order += 1;
        let order = Order {
            term: 1,
            sequence: self.order,
        };
        let stream = STREAM;
        let expect = ToPeer::ExpectChild {
            stream,
            child: neighbour(child),
        };
        self.tell(backup, expect);
        let backups = vec![neighbour(backup)];
        self.tell(
            child,
            ToPeer::Backups {
                stream,
                order,
                backups,
            },
        );
    }

    fn watch_below(&mut self, child: u8, parent: u8) {
        if component(child) == Component::Receiver {
            self.put(child, Input::Watch(STREAM, None));
        }
        self.place(child, parent);
    }

    fn send_frame(&mut self, sequence: u64) {
        for chunk in frame(1, sequence) {
            self.put(1, Input::Own(chunk));
        }
    }

    /// Lets time pass, in steps of 10 ms.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(10);
            let peers: Vec<u8> = self.nodes.keys().copied().collect();
            for n in peers {
                self.put(n, Input::Tick);
            }
        }
    }

    fn parent_of(&self, n: u8) -> Option<PeerId> {
        self.nodes[&n].stats(&STREAM).and_then(|stats| stats.parent)
    }

    fn seen_by(&self, n: u8) -> Vec<u64> {
        let seen = |(at, event): &(u8, Event)| match event {
            Event::Chunk(_, chunk) if *at == n => Some(chunk.header().position.sequence),
            _ => None,
        };
        self.events.iter().filter_map(seen).collect()
    }
}

/// The supervisor lets a relay go.
fn release() -> ToPeer {
    ToPeer::Release {
        stream: STREAM,
        order: Order {
            term: 9,
            sequence: 0,
        },
    }
}

fn registration() -> Registration {
    Registration {
        stream: STREAM,
        name: "test".into(),
        tracks: vec![],
        kbps: 100,
        running_epoch: None,
        topology: None,
        access: Access::Public,
        running_key: None,
        allow_failures: false,
    }
}

fn descriptor(epoch: u32) -> Descriptor {
    let init = Bytes::from_static(b"init");
    let track = TrackInfo {
        track: Track::Video,
        rendition: 0,
        codec: Codec::Vp8,
        kbps: 100,
        init,
    };
    Descriptor {
        stream: STREAM,
        epoch,
        key_id: 0,
        media_origin_us: 0,
        tracks: vec![track],
    }
}

/// A frame of 40 ms; every tenth is a key frame, in two parts.
fn frame(epoch: u32, sequence: u64) -> Vec<Chunk> {
    let key = sequence.is_multiple_of(10);
    let header = Header {
        random_access: key,
        track: Track::Video,
        rendition: 0,
        key_id: 0,
        handle: STREAM.handle(),
        position: Position { epoch, sequence },
        part: 0,
        parts: 1,
        capture: Time::from_millis(sequence * 40),
        media_us: sequence * 40_000,
    };
    cut(
        header,
        &vec![sequence as u8; if key { 20_000 } else { 1_000 }],
    )
}

#[test]
fn a_viewer_that_joins_in_the_middle_gets_everything_from_the_last_key_frame_on() {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(2, 1);
    (0..15).for_each(|sequence| desk.send_frame(sequence));
    desk.watch_below(3, 2);
    desk.send_frame(15);
    assert_eq!(
        desk.seen_by(3),
        [10, 10, 11, 12, 13, 14, 15],
        "the key frame has two parts"
    );
    assert!(desk.events.contains(&(3, Event::Epoch(descriptor(1)))));
    assert_eq!(desk.nodes[&3].stats(&STREAM).map(|s| s.depth), Some(2));
}

#[test]
fn chunks_pass_through_a_chain_to_the_letter() {
    let mut desk = Desk::with_peers(5);
    for (child, parent) in [(2, 1), (3, 2), (4, 3), (5, 4)] {
        desk.watch_below(child, parent);
    }
    desk.send_frame(0);
    let got: Vec<Chunk> = desk
        .events
        .iter()
        .filter_map(|(n, event)| match event {
            Event::Chunk(_, chunk) if *n == 5 => Some(chunk.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(got, frame(1, 0));
    assert_eq!(desk.nodes[&5].stats(&STREAM).map(|s| s.depth), Some(4));
}

#[test]
fn a_parent_that_falls_silent_is_reported_lost_and_the_next_one_goes_on_where_it_stopped() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(2, 1);
    desk.watch_below(3, 1);
    desk.watch_below(4, 2);
    (0..5).for_each(|sequence| desk.send_frame(sequence));
    desk.frozen.insert(2);
    desk.send_frame(5);
    desk.wait(PARENT_SILENT + Duration::from_millis(20));
    let lost = desk.said.iter().find_map(|(n, message)| match message {
        FromPeer::ParentLost { parent, order, .. } => Some((*n, *parent, *order)),
        _ => None,
    });
    assert_eq!(
        lost,
        Some((
            4,
            id(2),
            Order {
                term: 1,
                sequence: 3
            }
        ))
    );
    assert_eq!(desk.parent_of(4), None);

    desk.place(4, 3);
    desk.send_frame(6);
    assert_eq!(desk.parent_of(4), Some(id(3)));
    assert_eq!(desk.seen_by(4), [0, 0, 1, 2, 3, 4, 5, 6]);
}

/// Viewer 3 below relay 2, with viewer 4, who is at the broadcaster, as its backup.
fn with_a_backup() -> Desk {
    let mut desk = Desk::with_peers(5);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 1);
    desk.watch_below(5, 1);
    (0..3).for_each(|n| desk.send_frame(n));
    desk.name_backup(3, 4);
    desk
}

#[test]
fn who_has_a_backup_takes_over_when_its_parent_falls_silent_and_misses_nothing() {
    let mut desk = with_a_backup();
    desk.frozen.insert(2);
    (3..6).for_each(|n| desk.send_frame(n));
    desk.wait(PARENT_DOUBTFUL + Duration::from_millis(50));
    desk.send_frame(6);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(
        desk.seen_by(3),
        [0, 0, 1, 2, 3, 4, 5, 6],
        "the key frame has two parts"
    );
    let told = |said: &FromPeer| matches!(said, FromPeer::TookOver { parent, lost, .. } if (*parent, *lost) == (id(4), id(2)));
    assert!(desk.said.iter().any(|(n, said)| *n == 3 && told(said)));
    let complained = |said: &FromPeer| matches!(said, FromPeer::ParentLost { .. });
    assert!(!desk.said.iter().any(|(_, said)| complained(said)));
}

#[test]
fn who_is_late_itself_gives_a_silent_parent_longer() {
    let mut desk = with_a_backup();
    desk.wait(Duration::from_secs(1));
    desk.frozen.insert(2);
    let busy = PARENT_DOUBTFUL + Duration::from_millis(100);
    for pause in [busy, Duration::from_millis(40), Duration::from_millis(40)] {
        desk.now += pause;
        desk.put(3, Input::Tick);
    }
    assert_eq!(desk.parent_of(3), Some(id(2)), "it may wait to be read");
    (0..10).for_each(|_| {
        desk.now += Duration::from_millis(10);
        [3, 4].into_iter().for_each(|n| desk.put(n, Input::Tick));
    });
    assert_eq!(desk.parent_of(3), Some(id(4)), "but not for ever");
}

#[test]
fn who_has_a_backup_takes_over_in_the_moment_its_parent_leaves() {
    let mut desk = with_a_backup();
    desk.put(2, Input::SupervisorText(release().to_text()));
    desk.send_frame(3);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
}

#[test]
fn a_backup_that_was_just_relieved_still_feeds_who_took_over_before_it_heard_of_that() {
    let mut desk = with_a_backup();
    let relieve = ToPeer::DropChild {
        stream: STREAM,
        child: id(3),
    };
    desk.tell(4, relieve);
    desk.put(2, Input::SupervisorText(release().to_text()));
    desk.send_frame(3);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
    // But not for ever: there is no place for it here.
    desk.wait(Duration::from_secs(6));
    desk.send_frame(4);
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
}

#[test]
fn a_backup_of_before_stands_in_until_the_connection_to_the_new_one_is_there() {
    let mut desk = with_a_backup();
    desk.frozen.insert(5);
    desk.name_backup(3, 5);
    desk.tell(
        4,
        ToPeer::DropChild {
            stream: STREAM,
            child: id(3),
        },
    );
    desk.put(2, Input::SupervisorText(release().to_text()));
    desk.send_frame(3);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
}

#[test]
fn two_backups_below_the_subscriber_are_not_asked_in_turn_for_ever() {
    let mut desk = Desk::with_peers(6);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 3);
    desk.watch_below(5, 3);
    (0..3).for_each(|n| desk.send_frame(n));
    // By the time they are named they stand below it.
    desk.name_backup(3, 4);
    desk.name_backup(3, 5);
    desk.put(2, Input::SupervisorText(release().to_text()));
    assert_eq!(desk.parent_of(3), None);
    let lost = |said: &FromPeer| matches!(said, FromPeer::ParentLost { .. });
    let told = |desk: &Desk| desk.said.iter().filter(|(n, s)| *n == 3 && lost(s)).count();
    assert_eq!(told(&desk), 1);
    desk.wait(Duration::from_millis(900));
    assert_eq!(told(&desk), 1);
}

#[test]
fn a_backup_of_long_ago_does_not_stand_in() {
    let mut desk = with_a_backup();
    desk.frozen.insert(5);
    desk.name_backup(3, 5);
    desk.wait(Duration::from_secs(4));
    desk.put(2, Input::SupervisorText(release().to_text()));
    desk.send_frame(3);
    assert_ne!(desk.parent_of(3), Some(id(4)));
}

/// Viewer 3 of [`with_a_backup`] is on its way to viewer 5, which stands still.
fn on_the_way_to_somebody_frozen() -> Desk {
    let mut desk = with_a_backup();
    desk.frozen.insert(5);
    desk.place(3, 5);
    desk
}

#[test]
fn a_backup_helps_out_while_the_connection_to_the_next_parent_is_set_up() {
    let mut desk = on_the_way_to_somebody_frozen();
    desk.put(2, Input::SupervisorText(release().to_text()));
    desk.send_frame(3);
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    // It has named another parent, and that still holds.
    let told = |said: &FromPeer| matches!(said, FromPeer::TookOver { .. });
    assert!(!desk.said.iter().any(|(_, said)| told(said)));
}

#[test]
fn a_backup_that_is_connected_while_nobody_feeds_helps_out_at_once() {
    let mut desk = Desk::with_peers(5);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 1);
    desk.watch_below(5, 1);
    (0..3).for_each(|n| desk.send_frame(n));
    desk.frozen.insert(5);
    desk.place(3, 5);
    desk.put(2, Input::SupervisorText(release().to_text()));
    assert_eq!(desk.parent_of(3), None);
    desk.name_backup(3, 4);
    desk.send_frame(3);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
}

#[test]
fn who_is_still_below_the_subscriber_feeds_it_as_soon_as_it_is_below_somebody_else() {
    let mut desk = Desk::with_peers(5);
    desk.watch_below(2, 1);
    desk.watch_below(5, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 3);
    (0..3).for_each(|n| desk.send_frame(n));
    // Viewer 4 is to take the place of somebody above viewer 3, and is on its way: to viewer 5, which stands still.
    desk.frozen.insert(5);
    desk.place(4, 5);
    desk.place(3, 4);
    assert_eq!(desk.parent_of(3), Some(id(2)));
    desk.place(4, 1);
    desk.send_frame(3);
    assert_eq!(desk.parent_of(4), Some(id(1)));
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
    let refused = |said: &FromPeer| matches!(said, FromPeer::ParentLost { .. });
    assert!(!desk.said.iter().any(|(_, said)| refused(said)));
}

#[test]
fn a_backup_helps_out_as_well_when_the_parent_falls_silent_meanwhile() {
    let mut desk = on_the_way_to_somebody_frozen();
    desk.frozen.insert(2);
    (3..6).for_each(|n| desk.send_frame(n));
    desk.wait(PARENT_DOUBTFUL + Duration::from_millis(50));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_next_parent_that_does_not_answer_is_reported_while_the_backup_feeds() {
    let mut desk = on_the_way_to_somebody_frozen();
    desk.put(2, Input::SupervisorText(release().to_text()));
    desk.wait(ANSWER_LIMIT + Duration::from_millis(50));
    let lost =
        |said: &FromPeer| matches!(said, FromPeer::ParentLost { parent, .. } if *parent == id(5));
    assert!(desk.said.iter().any(|(n, said)| *n == 3 && lost(said)));
    desk.send_frame(3);
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
    assert_eq!(desk.parent_of(3), Some(id(4)));
}

#[test]
fn a_next_parent_that_does_not_answer_is_reported_sooner_where_nobody_feeds() {
    let mut desk = Desk::with_peers(5);
    desk.watch_below(2, 1);
    desk.frozen.insert(5);
    desk.watch_below(3, 5);
    let lost =
        |said: &FromPeer| matches!(said, FromPeer::ParentLost { parent, .. } if *parent == id(5));
    desk.wait(ANSWER_LIMIT_STARVING - Duration::from_millis(50));
    assert!(!desk.said.iter().any(|(_, said)| lost(said)));
    desk.wait(Duration::from_millis(100));
    assert!(desk.said.iter().any(|(n, said)| *n == 3 && lost(said)));
}

#[test]
fn a_parent_that_was_only_silent_for_a_moment_is_left_and_what_it_still_sends_is_taken() {
    let mut desk = with_a_backup();
    desk.frozen.extend([2, 4]);
    desk.send_frame(3);
    desk.wait(PARENT_DOUBTFUL + Duration::from_millis(50));
    // The backup is as silent as the parent was; that one is back.
    desk.frozen.remove(&2);
    desk.send_frame(4);
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 4]);
    desk.wait(PARENT_SILENT);
    assert_eq!(desk.parent_of(3), Some(id(2)));
}

#[test]
fn a_frame_that_was_lost_on_the_way_is_had_from_the_backup() {
    let mut desk = with_a_backup();
    desk.frozen.insert(3);
    desk.send_frame(3);
    desk.frozen.remove(&3);
    desk.send_frame(4);
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 4]);
    desk.wait(Duration::from_millis(50));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 4, 3]);
    assert_eq!(desk.parent_of(3), Some(id(2)), "its parent is well");
}

#[test]
fn who_is_moved_below_a_newcomer_gets_from_further_up_what_that_one_never_held() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    (0..6).for_each(|n| desk.send_frame(n));
    desk.frozen.insert(3);
    (6..12).for_each(|n| desk.send_frame(n));
    desk.watch_below(4, 2);
    assert_eq!(desk.seen_by(4), [10, 10, 11], "the key frame has two parts");
    desk.frozen.remove(&3);
    desk.place(3, 4);
    desk.wait(Duration::from_millis(50));
    let seen: BTreeSet<u64> = desk.seen_by(3).into_iter().collect();
    assert_eq!(seen, (0..12).collect());
}

#[test]
fn a_parent_that_is_there_and_keeps_everything_back_is_left_for_a_backup_that_has_more() {
    let mut desk = with_a_backup();
    // It goes on speaking, and nothing reaches it any more.
    let (&from_above, _) = desk
        .links
        .iter()
        .find(|(_, ends)| **ends == (2, 1))
        .expect("linked");
    desk.dead.insert(from_above);
    for n in 3..15 {
        desk.send_frame(n);
        desk.wait(Duration::from_millis(40));
    }
    assert_eq!(desk.parent_of(3), Some(id(4)));
    let seen: BTreeSet<u64> = desk.seen_by(3).into_iter().collect();
    assert_eq!(seen, (0..15).collect());
}

#[test]
fn a_backup_that_falls_silent_is_given_up_and_another_one_asked_for() {
    let mut desk = with_a_backup();
    desk.frozen.insert(4);
    desk.wait(WELL + Duration::from_millis(100));
    let lost = FromPeer::BackupLost {
        stream: STREAM,
        backup: id(4),
    };
    assert!(desk.said.contains(&(3, lost)));
    assert_eq!(desk.parent_of(3), Some(id(2)));
}

#[test]
fn a_source_that_pauses_moves_nobody_who_has_a_backup() {
    let mut desk = with_a_backup();
    desk.wait(PARENT_SILENT * 4);
    assert_eq!(desk.parent_of(3), Some(id(2)));
    let moved = |said: &FromPeer| {
        matches!(
            said,
            FromPeer::TookOver { .. } | FromPeer::ParentLost { .. } | FromPeer::BackupLost { .. }
        )
    };
    assert!(!desk.said.iter().any(|(_, said)| moved(said)));
}

#[test]
fn two_who_would_take_over_below_each_other_make_no_circle() {
    // 3 and 4 below 2, each the other's backup.
    let mut desk = Desk::with_peers(4);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 2);
    desk.send_frame(0);
    desk.name_backup(3, 4);
    desk.name_backup(4, 3);
    desk.frozen.insert(2);
    desk.wait(PARENT_SILENT * 2);
    let ways = [3, 4].map(|n| desk.nodes[&n].stats(&STREAM).map(|s| s.depth));
    assert!(
        desk.parent_of(3).is_none() || desk.parent_of(4).is_none(),
        "{ways:?}"
    );
}

#[test]
fn a_parent_that_only_pauses_is_kept() {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(3, 1);
    desk.send_frame(0);
    desk.wait(Duration::from_secs(5));
    assert_eq!(desk.parent_of(3), Some(id(1)));
}

#[test]
fn a_child_for_which_media_waits_is_counted_until_it_has_that() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(3, 1);
    desk.watch_below(4, 1);
    desk.send_frame(0);
    let behind = |desk: &Desk| desk.nodes[&1].stats(&STREAM).map(|s| s.behind);
    let (&link, _) = desk.links.first_key_value().expect("a link");
    desk.full.insert(link);
    let mut sequence = 0..;
    sequence.by_ref().skip(1).take(100).find(|&n| {
        desk.send_frame(n);
        behind(&desk) == Some(1)
    });
    assert_eq!(behind(&desk), Some(1));
    desk.full.clear();
    desk.put(1, Input::Backlog(link, 0));
    assert_eq!(behind(&desk), Some(0));
}

#[test]
fn a_child_that_falls_silent_is_let_go() {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(3, 1);
    desk.frozen.insert(3);
    desk.wait(CHILD_SILENT + Duration::from_millis(20));
    assert_eq!(desk.nodes[&1].stats(&STREAM).map(|s| s.children), Some(0));
    assert_eq!(desk.nodes[&1].link_count(), 0);
}

#[test]
fn a_moved_child_leaves_its_old_parent_only_when_the_new_one_delivers() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(2, 1);
    desk.watch_below(4, 2);
    desk.send_frame(0);
    desk.put(3, Input::Watch(STREAM, None));
    desk.place(4, 3); // which has nothing itself yet
    desk.send_frame(1);
    assert_eq!(desk.parent_of(4), Some(id(2)));
    assert_eq!(desk.seen_by(4), [0, 0, 1]);

    desk.place(3, 1);
    desk.send_frame(2);
    assert_eq!(desk.parent_of(4), Some(id(3)));
    assert_eq!(desk.seen_by(4), [0, 0, 1, 2]);
    assert_eq!(
        desk.nodes[&2].stats(&STREAM).map(|s| s.children),
        Some(0),
        "the old parent is left"
    );
}

#[test]
fn an_order_that_is_older_than_the_last_one_is_passed_over() {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    let stale = ToPeer::Placement {
        stream: STREAM,
        order: Order {
            term: 1,
            sequence: 1,
        },
        parent: Some(neighbour(1)),
    };
    desk.tell(3, stale);
    desk.send_frame(0);
    assert_eq!(desk.parent_of(3), Some(id(2)));
}

#[test]
fn who_was_not_announced_gets_nothing() {
    let mut desk = Desk::with_peers(3);
    desk.put(3, Input::Watch(STREAM, None));
    let order = Order {
        term: 1,
        sequence: 1,
    };
    desk.tell(
        3,
        ToPeer::Placement {
            stream: STREAM,
            order,
            parent: Some(neighbour(1)),
        },
    );
    desk.send_frame(0);
    assert_eq!(desk.seen_by(3), [0; 0]);
    assert_eq!(desk.nodes[&1].link_count(), 0);
    assert!(
        desk.said
            .iter()
            .any(|(n, m)| *n == 3 && matches!(m, FromPeer::ParentLost { .. }))
    );
}

#[test]
fn an_answer_that_shows_another_certificate_is_refused() {
    let mut desk = Desk::with_peers(3);
    desk.put(3, Input::Watch(STREAM, None));
    desk.tell(
        1,
        ToPeer::ExpectChild {
            stream: STREAM,
            child: neighbour(3),
        },
    );
    let impostor = Neighbour {
        fingerprint: fingerprint(9),
        ..neighbour(1)
    };
    let order = Order {
        term: 1,
        sequence: 1,
    };
    desk.tell(
        3,
        ToPeer::Placement {
            stream: STREAM,
            order,
            parent: Some(impostor),
        },
    );
    desk.send_frame(0);
    assert_eq!(desk.seen_by(3), [0; 0]);
    assert_eq!(desk.nodes[&3].link_count(), 0);
}

#[test]
fn garbage_costs_the_sender_its_link_and_its_siblings_nothing() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(3, 1);
    desk.watch_below(4, 1);
    let (&link, _) = desk
        .links
        .iter()
        .find(|(_, ends)| ends.0 == 3)
        .expect("linked");
    desk.put(1, Input::Control(link, Bytes::from_static(b"\x01garbage")));
    desk.send_frame(0);
    assert!(desk.closed.contains(&(1, link)));
    assert_eq!(desk.seen_by(4), [0, 0]);
    assert_eq!(desk.seen_by(3), [0; 0]);
}

/// Peer 3 says this over and over to its parent, peer 1; whether its sibling gets the next frame all the same.
fn is_expelled_for(said: &Control, times: usize) -> bool {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(3, 1);
    desk.watch_below(4, 1);
    let (&link, _) = desk
        .links
        .iter()
        .find(|(_, ends)| ends.0 == 3)
        .expect("linked");
    for _ in 0..times {
        desk.put(1, Input::Control(link, said.encode()));
    }
    desk.send_frame(0);
    assert_eq!(desk.seen_by(4), [0, 0]);
    desk.closed.contains(&(1, link))
}

#[test]
fn who_says_the_same_thousands_of_times_loses_its_link_and_who_was_only_queued_up_keeps_it() {
    assert!(!is_expelled_for(&Control::Ping(1), 1_000));
    assert!(is_expelled_for(&Control::Ping(1), 3_000));
}

#[test]
fn who_subscribes_over_and_over_to_be_sent_the_window_each_time_loses_its_link() {
    let again = Control::Subscribe {
        stream: STREAM,
        from: Vec::new(),
    };
    assert!(!is_expelled_for(&again, 5));
    assert!(is_expelled_for(&again, 100));
}

#[test]
fn a_parent_that_sends_what_nobody_asked_for_loses_its_child() {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(3, 1);
    let (&link, _) = desk.links.iter().next().expect("linked");
    let header = Header {
        handle: StreamId::from_bytes([9; 16]).handle(),
        ..*frame(1, 0)[0].header()
    };
    let spliced = cut(header, b"of another stream").pop().expect("one part");
    desk.put(3, Input::Media(link, spliced.message().clone()));
    assert!(desk.closed.contains(&(3, link)));
    assert_eq!(desk.nodes[&3].link_count(), 0);
}

/// Peer 3 offers peer 1 a link of this name, and peer 1 expects it.
fn offer(desk: &mut Desk, link: LinkId) {
    desk.tell(
        1,
        ToPeer::ExpectChild {
            stream: STREAM,
            child: neighbour(3),
        },
    );
    desk.links.insert(link, (3, 1));
    desk.tell(
        1,
        ToPeer::LinkOffer(LinkDescription {
            peer: id(3),
            link,
            body: sdp(3),
        }),
    );
}

#[test]
fn a_message_before_its_hello_closes_the_link() {
    let mut desk = Desk::with_peers(3);
    let link = LinkId(5);
    offer(&mut desk, link);
    desk.put(1, Input::LinkOpen(link));
    desk.put(
        1,
        Input::Control(link, Control::Unsubscribe { stream: STREAM }.encode()),
    );
    assert!(desk.closed.contains(&(1, link)));
}

#[test]
fn media_before_a_hello_closes_the_link() {
    let mut desk = Desk::with_peers(3);
    offer(&mut desk, LinkId(5));
    desk.put(1, Input::LinkOpen(LinkId(5)));
    let chunk = frame(1, 0)[0].message().clone();
    desk.put(1, Input::Media(LinkId(5), chunk));
    assert!(desk.closed.contains(&(1, LinkId(5))));
}

#[test]
fn a_neighbour_that_makes_one_link_after_the_other_has_two() {
    let mut desk = Desk::with_peers(3);
    for n in 5..100 {
        desk.now += Duration::from_millis(1);
        offer(&mut desk, LinkId(n));
    }
    assert_eq!(desk.nodes[&1].link_count(), 2);
    assert!(!desk.closed.contains(&(1, LinkId(99))));
    assert!(desk.closed.contains(&(1, LinkId(97))));
}

#[test]
fn a_way_to_the_root_through_oneself_is_no_way() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(3, 1);
    desk.watch_below(4, 3);
    desk.send_frame(0);
    desk.place(3, 4); // a supervisor that errs
    desk.send_frame(1);
    assert_eq!(desk.parent_of(3), Some(id(1)));
    assert_eq!(desk.seen_by(4), [0, 0, 1]);
}

#[test]
fn after_the_supervisor_came_back_it_is_told_how_things_stand() {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(3, 1);
    desk.send_frame(0);
    desk.put(3, Input::SupervisorDown);
    desk.put(1, Input::SupervisorDown);
    desk.send_frame(1);
    assert_eq!(desk.seen_by(3), [0, 0, 1], "the stream goes on without it");
    desk.said.clear();
    desk.take_in(3);
    desk.take_in(1);
    assert!(desk.said.contains(&(
        3,
        FromPeer::Join {
            stream: STREAM,
            parent: Some(id(1)),
            invitation: None,
        }
    )));
    let again = Registration {
        running_epoch: Some(1),
        ..registration()
    };
    assert!(desk.said.contains(&(1, FromPeer::RegisterStream(again))));
}

#[test]
fn a_viewer_fails_when_told_to_if_the_stream_allows_it_and_nobody_else_does() {
    let list = |allow_failures| ToPeer::Streams {
        streams: vec![StreamInfo {
            stream: STREAM,
            name: "show".into(),
            tracks: vec![],
            kbps: 1000,
            access: Access::Public,
            live: true,
            viewers: 1,
            allow_failures,
        }],
        more: false,
    };
    let fails = |desk: &mut Desk, n| {
        let (stream, how) = (STREAM, Failure::Freeze);
        desk.events.clear();
        desk.tell(n, ToPeer::Fail { stream, how });
        let mut events = desk.events.iter();
        events.any(|(who, event)| *who == n && matches!(event, Event::ToldToFail(Failure::Freeze)))
    };
    let mut desk = Desk::with_peers(4);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    assert!(!fails(&mut desk, 3), "it knows of no permission");
    for n in 1..=4 {
        desk.tell(n, list(false));
    }
    assert!(!fails(&mut desk, 3), "the stream does not allow it");
    for n in 1..=4 {
        desk.tell(n, list(true));
    }
    assert!(fails(&mut desk, 3));
    for n in [1, 2] {
        assert!(!fails(&mut desk, n), "{n} is no viewer");
    }
    assert!(!fails(&mut desk, 4), "it does not watch that stream");
}

#[test]
fn a_relay_that_feeds_nobody_when_the_supervisor_comes_back_leaves_the_stream() {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.send_frame(0);
    desk.put(2, Input::SupervisorDown);
    for gone in [1, 3] {
        let links: Vec<LinkId> = desk.nodes[&2]
            .links
            .iter()
            .filter(|(_, link)| link.peer == id(gone))
            .map(|(&link, _)| link)
            .collect();
        for link in links {
            desk.put(2, Input::LinkClosed(link, "gone".into()));
        }
    }
    assert_eq!(desk.nodes[&2].streams().count(), 1);
    desk.take_in(2);
    assert_eq!(desk.nodes[&2].streams().count(), 0);
}

#[test]
fn a_new_epoch_reaches_everybody_and_an_old_ones_frames_are_dropped() {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.send_frame(0);
    desk.put(
        1,
        Input::StartEpoch(SignedDescriptor::unsigned(descriptor(2))),
    );
    desk.send_frame(1);
    for chunk in frame(2, 0) {
        desk.put(1, Input::Own(chunk));
    }
    assert_eq!(desk.seen_by(3), [0, 0, 0, 0]);
    assert!(desk.events.contains(&(3, Event::Epoch(descriptor(2)))));
}

#[test]
fn who_leaves_leaves_nothing_behind() {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.send_frame(0);
    desk.put(3, Input::Unwatch(STREAM));
    desk.wait(Duration::from_secs(3));
    assert_eq!(desk.nodes[&3].streams().count(), 0);
    assert_eq!(
        (desk.nodes[&3].link_count(), desk.nodes[&2].link_count()),
        (0, 1)
    );
}

#[test]
fn a_supervisor_of_another_version_is_hung_up_on_with_words() {
    let mut desk = Desk::with_peers(1);
    desk.put(1, Input::SupervisorDown);
    desk.put(1, Input::SupervisorUp(HandshakeSeed::from_bytes([0; 32])));
    let versions = VersionRange { min: 8, max: 9 };
    desk.tell(
        1,
        ToPeer::CollectPeerInfoRequest {
            versions,
            software: "later".into(),
            suites: vec![],
        },
    );
    let words = &desk.hung_up.first().expect("hung up").1;
    assert!(words.contains("versions 8 to 9"), "{words}");
}

#[test]
fn a_supervisor_that_talks_nonsense_is_hung_up_on() {
    let mut desk = Desk::with_peers(1);
    desk.put(1, Input::SupervisorText("{}".into()));
    assert_eq!(desk.hung_up.len(), 1);
}

/// Anything a neighbour might say once it is in, made sense of or not.
fn anything() -> impl Strategy<Value = Control> {
    let position = (0..3_u32, 0..20_u64).prop_map(|(epoch, sequence)| Position { epoch, sequence });
    let stream = prop_oneof![
        Just(STREAM),
        any::<[u8; 16]>().prop_map(StreamId::from_bytes)
    ];
    let at = position.clone().prop_map(|position| TrackPosition {
        track: Track::Video,
        rendition: 0,
        position,
    });
    let path = proptest::collection::vec((0..6_u8).prop_map(id), 0..6);
    prop_oneof![
        (stream.clone(), proptest::collection::vec(at, 0..3))
            .prop_map(|(stream, from)| Control::Subscribe { stream, from }),
        stream
            .clone()
            .prop_map(|stream| Control::Unsubscribe { stream }),
        stream.clone().prop_map(|stream| Control::Refused {
            stream,
            reason: "so".into()
        }),
        (0..4_u32).prop_map(|epoch| Control::Epoch(SignedDescriptor::unsigned(descriptor(epoch)))),
        path.prop_map(|path| Control::RootPath {
            handle: STREAM.handle(),
            path
        }),
        Just(Control::Heartbeat(Vec::new())),
        (position.clone(), position.clone()).prop_map(|(from, to)| Control::Skipped {
            handle: STREAM.handle(),
            track: Track::Video,
            rendition: 0,
            from,
            to
        }),
        stream.prop_map(|stream| Control::Ended { stream }),
        Just(Control::Hello {
            versions: VERSIONS,
            peer: id(3),
            lanes: 9,
            certificate: Bytes::new(),
        }),
        (0..2_000_u32).prop_map(|millis| Control::Behind {
            handle: STREAM.handle(),
            millis
        }),
        any::<u32>().prop_map(Control::Ping),
        any::<u32>().prop_map(Control::Pong),
        (position.clone(), 0..200_u64).prop_map(|(from, frames)| Control::Want {
            handle: STREAM.handle(),
            frames: vec![FrameRange {
                track: Track::Video,
                rendition: 0,
                from,
                to: Position {
                    sequence: from.sequence + frames,
                    ..from
                },
            }],
        }),
        Just(Control::Bye {
            reason: "enough".into()
        }),
    ]
}

proptest! {
    #[test]
    fn whatever_a_child_says_its_siblings_get_every_frame(
        said in proptest::collection::vec(prop_oneof![
            anything().prop_map(|control| (true, control.encode())),
            (0..4_u32, 0..30_u64).prop_map(|(epoch, n)| (false, frame(epoch, n)[0].message().clone())),
            proptest::collection::vec(any::<u8>(), 0..100).prop_map(|bytes| (false, Bytes::from(bytes))),
        ], 0..30)
    ) {
        let mut desk = Desk::with_peers(4);
        desk.watch_below(3, 2);
        desk.watch_below(4, 2);
        desk.watch_below(2, 1);
        let (&link, _) = desk.links.iter().find(|(_, ends)| ends.0 == 3).expect("linked");
        for (sequence, (is_control, bytes)) in (0..).zip(said.iter().cloned()) {
            let input = if is_control { Input::Control(link, bytes) } else { Input::Media(link, bytes) };
            desk.put(2, input);
            desk.send_frame(sequence);
        }
        let seen: BTreeSet<u64> = desk.seen_by(4).into_iter().collect();
        prop_assert_eq!(seen, (0..said.len() as u64).collect::<BTreeSet<u64>>());
    }
}
