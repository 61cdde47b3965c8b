//! A few peers on a desk: the test is their supervisor, and what one sends the other gets at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::{Config, Event, Input, MOST_LANES, Node, Output};
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

mod backups;
mod lanes;
mod neighbours;
mod supervisor;

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
    /// Links that lose every third chunk.
    lossy: BTreeSet<LinkId>,
    /// Links over which nothing comes at all, for now.
    mute: BTreeSet<LinkId>,
    sent: u64,
    /// The other end will have no link.
    refuses_offers: bool,
    refused_offers: u32,
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
                lanes: MOST_LANES,
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
        if !self.busy {
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        self.busy = true;
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
            Output::Control(link, _) | Output::Media(link, _) if self.mute.contains(&link) => {}
            Output::Control(link, bytes) => {
                self.put(self.other_end(n, link), Input::Control(link, bytes))
            }
            Output::Media(link, _) if self.dead.contains(&link) => {}
            Output::Media(link, bytes) => {
                self.sent += 1;
                if self.lossy.contains(&link) && self.sent.is_multiple_of(3) {
                    return;
                }
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
            FromPeer::LinkOffer(d) if self.refuses_offers => {
                self.refused_offers += 1;
                self.links.insert(d.link, (n, other(&d)));
                self.tell(n, ToPeer::LinkRefused(d));
            }
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

    /// Sends frames as a camera does.
    fn send_frames(&mut self, sequences: std::ops::Range<u64>) {
        for sequence in sequences {
            self.send_frame(sequence);
            self.wait(Duration::from_millis(30));
        }
    }

    /// How often a peer has told the supervisor something like this.
    fn said_by(&self, n: u8, like: impl Fn(&FromPeer) -> bool) -> usize {
        let said = self.said.iter();
        said.filter(|(who, what)| *who == n && like(what)).count()
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

    /// The same, but what peers say in one moment is heard after all have spoken.
    fn wait_side_by_side(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(10);
            let ticks = self.nodes.keys().map(|&n| (n, Input::Tick));
            self.queue.extend(ticks);
            self.deliver();
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
    desk.wait(Duration::from_secs(2));
    let (slow, _) = desk.links[&link];
    let named = |m: &FromPeer| matches!(m, FromPeer::Report { report, .. } if report.too_many == 0 && report.slow == [id(slow)]);
    assert!(desk.said_by(1, named) > 0, "the other one is not behind");
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
