//! A town of peers on one supervisor: what each is told, sentence by sentence.

use std::net::IpAddr;

use proptest::prelude::*;

mod backups;
mod door;
mod limits;
mod places;
mod relearning;
mod storms;
mod streams;
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
