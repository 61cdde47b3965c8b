//! Whatever happens, in whatever order: the trees stay trees.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::signal::Component;

const RATES: [u32; 3] = [1000, 700, 2500];

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    Arrive {
        relay: bool,
        uplink_kbps: u32,
        relays: bool,
    },
    Join {
        stream: Index,
        peer: Index,
    },
    Leave {
        stream: Index,
        peer: Index,
    },
    Vanish {
        peer: Index,
    },
    Complain {
        stream: Index,
        child: Index,
    },
    Retire {
        stream: Index,
        peer: Index,
    },
    Stand {
        peer: Index,
        standing: Standing,
    },
    Restart {
        stream: Index,
    },
    Retry,
    Balance {
        stream: Index,
    },
    Reseat {
        stream: Index,
        peer: Index,
        parent: Index,
    },
    Rearrange {
        stream: Index,
        kind: Topology,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any_index = any::<Index>;
    let standing = prop_oneof![
        Just(Standing::Open),
        Just(Standing::Suspect),
        Just(Standing::Away)
    ];
    let uplink = prop_oneof![Just(0), Just(600), Just(1000), 0..12_000u32];
    let step = prop_oneof![
        4 => (any::<bool>(), uplink, any::<bool>())
            .prop_map(|(relay, uplink_kbps, relays)| Step::Arrive { relay, uplink_kbps, relays: relays || relay }),
        10 => (any_index(), any_index()).prop_map(|(stream, peer)| Step::Join { stream, peer }),
        4 => (any_index(), any_index()).prop_map(|(stream, peer)| Step::Leave { stream, peer }),
        2 => any_index().prop_map(|peer| Step::Vanish { peer }),
        2 => (any_index(), any_index()).prop_map(|(stream, child)| Step::Complain { stream, child }),
        2 => (any_index(), any_index()).prop_map(|(stream, peer)| Step::Retire { stream, peer }),
        2 => (any_index(), standing).prop_map(|(peer, standing)| Step::Stand { peer, standing }),
        1 => any_index().prop_map(|stream| Step::Restart { stream }),
        1 => Just(Step::Retry),
        3 => any_index().prop_map(|stream| Step::Balance { stream }),
        2 => (any_index(), any_index(), any_index())
            .prop_map(|(stream, peer, parent)| Step::Reseat { stream, peer, parent }),
        1 => (any_index(), kind()).prop_map(|(stream, kind)| Step::Rearrange { stream, kind }),
    ];
    prop::collection::vec(step, 1..120)
}

fn kind() -> impl Strategy<Value = Topology> {
    prop_oneof![
        1 => Just(Topology::LinkedList),
        1 => (1..4u8).prop_map(|arity| Topology::Tree { arity }),
        3 => Just(Topology::RelayFirst),
    ]
}

fn kinds() -> impl Strategy<Value = Vec<Topology>> {
    prop::collection::vec(kind(), 1..4)
}

fn id(n: u32) -> PeerId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn stream(n: usize) -> StreamId {
    StreamId::from_bytes([n as u8; 16])
}

/// The forest, and what is known of it from outside: what peers were told, and who can send how much.
struct World {
    forest: Forest,
    streams: usize,
    peers: Vec<PeerId>,
    next: u32,
    uplink: BTreeMap<PeerId, u32>,
    told: BTreeMap<(StreamId, PeerId), Option<PeerId>>,
}

impl World {
    fn new(kinds: &[Topology]) -> Self {
        let mut world = Self {
            forest: Forest::default(),
            streams: kinds.len(),
            peers: Vec::new(),
            next: 0,
            uplink: BTreeMap::new(),
            told: BTreeMap::new(),
        };
        for (n, &kind) in kinds.iter().enumerate() {
            let root = world.new_peer(Component::Broadcaster, 3000, true);
            world.forest.add_stream(stream(n), kind, RATES[n], root);
        }
        world
    }

    fn new_peer(&mut self, component: Component, uplink_kbps: u32, relays: bool) -> PeerId {
        let peer = id(self.next);
        self.next += 1;
        self.uplink
            .insert(peer, if relays { uplink_kbps } else { 0 });
        let mut out = Vec::new();
        self.forest.add_peer(
            peer,
            Traits {
                component,
                relays,
                uplink_kbps,
                site: Site::of(std::net::IpAddr::from([203, 0, 113, (self.next % 4) as u8])),
            },
            &mut out,
        );
        self.hear(&out);
        if component != Component::Broadcaster {
            self.peers.push(peer);
        }
        peer
    }

    fn hear(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::Placed {
                stream,
                peer,
                parent,
                ..
            } = *change
            {
                self.told.insert((stream, peer), parent);
            }
        }
    }

    /// Takes a step; returns what came of it.
    fn take(&mut self, step: &Step) -> Vec<Change> {
        let mut out = Vec::new();
        let any_stream = |index: &Index| stream(index.index(self.streams));
        let any_peer = |index: &Index| {
            (!self.peers.is_empty()).then(|| self.peers[index.index(self.peers.len())])
        };
        match step {
            Step::Arrive {
                relay,
                uplink_kbps,
                relays,
            } => {
                let component = if *relay {
                    Component::Relay
                } else {
                    Component::Receiver
                };
                self.new_peer(component, *uplink_kbps, *relays);
            }
            Step::Join { stream, peer } => {
                let (stream, peer) = (any_stream(stream), any_peer(peer));
                peer.into_iter()
                    .for_each(|peer| self.forest.join(stream, peer, &mut out));
            }
            Step::Leave { stream, peer } => {
                let (stream, peer) = (any_stream(stream), any_peer(peer));
                peer.into_iter()
                    .for_each(|peer| self.forest.leave(stream, peer, &mut out));
            }
            Step::Vanish { peer } => {
                if let Some(peer) = any_peer(peer) {
                    self.peers.retain(|&other| other != peer);
                    self.forest.remove_peer(peer, &mut out);
                }
            }
            Step::Complain { stream, child } => {
                let (stream, child) = (any_stream(stream), any_peer(child));
                if let Some(parent) = child.and_then(|child| self.forest.parent(stream, child)) {
                    self.forest
                        .set_standing(parent, Standing::Suspect, &mut out);
                    child
                        .into_iter()
                        .for_each(|child| self.forest.complain(stream, child, &mut out));
                }
            }
            Step::Retire { stream, peer } => {
                let stream = any_stream(stream);
                if let Some(peer) = any_peer(peer) {
                    self.forest.set_standing(peer, Standing::Suspect, &mut out);
                    self.forest.retire(stream, peer, &mut out);
                }
            }
            Step::Stand { peer, standing } => {
                any_peer(peer)
                    .into_iter()
                    .for_each(|peer| self.forest.set_standing(peer, *standing, &mut out));
            }
            Step::Restart { stream } => {
                let stream = any_stream(stream);
                let old = self.forest.graph(stream).expect("streams stay").root();
                self.forest.remove_peer(old, &mut out);
                let new = self.new_peer(Component::Broadcaster, 3000, true);
                self.forest.replace_root(stream, new, &mut out);
            }
            Step::Retry => self.forest.retry(&mut out),
            Step::Balance { stream } => {
                let stream = any_stream(stream);
                let most = 64 * self.peers.len();
                let moves = (0..=most).take_while(|_| self.forest.balance(stream, &mut out));
                assert!(moves.count() <= most, "it never comes to rest");
            }
            Step::Reseat {
                stream,
                peer,
                parent,
            } => {
                let stream = any_stream(stream);
                if let (Some(peer), Some(parent)) = (any_peer(peer), any_peer(parent)) {
                    let before = self.forest.parent(stream, peer);
                    let done = self.forest.reseat(stream, peer, parent, &mut out);
                    let after = self.forest.parent(stream, peer);
                    assert_eq!(after, if done.is_ok() { Some(parent) } else { before });
                }
            }
            Step::Rearrange { stream, kind } => {
                let stream = any_stream(stream);
                self.forest.rearrange(stream, *kind, &mut out);
                assert_eq!(self.forest.kind(stream), Some(*kind));
            }
        }
        self.hear(&out);
        out
    }

    fn check(&self) {
        for n in 0..self.streams {
            self.check_tree(stream(n));
            self.check_indexes(stream(n));
        }
        self.check_uplinks();
    }

    /// One parent each, no cycle; who is not reachable waits, or stands below somebody who waits; everybody was
    /// told the truth.
    fn check_tree(&self, stream: StreamId) {
        let tree = &self.forest.trees[&stream];
        let graph = &tree.graph;
        let waiting: BTreeSet<_> = tree.waiting.iter().map(|&(_, peer)| peer).collect();
        assert_eq!(!waiting.is_empty(), self.forest.hungry.contains(&stream));
        for (peer, vertex) in graph.iter() {
            let mut top = peer;
            for step in graph.path(peer).take(graph.len() + 1).enumerate() {
                assert!(step.0 < graph.len(), "{peer} stands in a circle");
                top = step.1;
            }
            assert!(
                top == graph.root() || waiting.contains(&top),
                "{peer} is neither fed nor waits"
            );
            assert_eq!(
                waiting.contains(&peer),
                vertex.parent().is_none() && peer != graph.root()
            );
            assert!(
                vertex
                    .children()
                    .iter()
                    .all(|&child| graph.parent(child) == Some(peer))
            );
            assert!(
                vertex.children().len() <= vertex.most_children() as usize,
                "{peer} has too many children"
            );
            if peer != graph.root() {
                assert_eq!(
                    self.told[&(stream, peer)],
                    vertex.parent(),
                    "{peer} was told something else"
                );
            }
        }
        let viewers = graph
            .iter()
            .filter(|(_, v)| v.component() == Component::Receiver)
            .count();
        assert_eq!(self.forest.viewers(stream) as usize, viewers);
    }

    /// Nobody sends more, over all streams, than he can; the sums kept are the sums.
    fn check_uplinks(&self) {
        for (peer, known, used) in self.forest.peers.iter() {
            let sum: u64 = known
                .streams
                .as_slice()
                .iter()
                .map(|stream| self.load(*stream, peer))
                .sum();
            assert_eq!(sum, used, "{peer}");
            assert!(
                used <= u64::from(self.uplink[&peer]),
                "{peer} sends {used} kbit/s of {}",
                self.uplink[&peer]
            );
        }
    }

    fn load(&self, stream: StreamId, peer: PeerId) -> u64 {
        let tree = &self.forest.trees[&stream];
        tree.graph.children(peer).count() as u64 * u64::from(tree.kbps)
    }

    /// The indexes say what a scan would say.
    fn check_indexes(&self, stream: StreamId) {
        let tree = &self.forest.trees[&stream];
        for (peer, _) in tree.graph.iter() {
            let depth = tree.graph.depth(peer);
            let level = tree.levels.get(&peer).map(|&level| level as usize);
            let flat = depth.map(|depth| {
                if tree.kind == Topology::LinkedList {
                    0
                } else {
                    depth
                }
            });
            assert_eq!(level, flat, "{peer}");
            let known = self.forest.peers.get(peer).expect("members are known");
            let open =
                depth.is_some() && known.standing != Standing::Away && tree.has_room(peer, known);
            assert_eq!(tree.is_open(peer), open, "{peer}");
        }
        assert_eq!(
            tree.levels.len(),
            tree.graph
                .iter()
                .filter(|(p, _)| tree.graph.depth(*p).is_some())
                .count()
        );
    }

    fn parents(&self) -> BTreeMap<(StreamId, PeerId), PeerId> {
        let trees = (0..self.streams).map(stream);
        trees
            .flat_map(|s| {
                self.forest.trees[&s]
                    .graph
                    .iter()
                    .filter_map(move |(p, v)| Some(((s, p), v.parent()?)))
            })
            .collect()
    }
}

/// Those who had a parent and have another now; who had none was not moved, nor who left.
fn moved(before: &BTreeMap<(StreamId, PeerId), PeerId>, world: &World) -> Vec<(StreamId, PeerId)> {
    let after = world.parents();
    let other = |(at, parent): &(&(StreamId, PeerId), &PeerId)| {
        world.forest.contains(at.0, at.1) && after.get(at) != Some(parent)
    };
    before.iter().filter(other).map(|(&at, _)| at).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn after_any_sequence_of_events_every_stream_is_one_tree_within_everybodys_uplink(
        kinds in kinds(),
        steps in steps(),
    ) {
        let mut world = World::new(&kinds);
        for step in &steps {
            world.take(step);
            world.check();
        }
    }

    #[test]
    fn a_join_moves_at_most_one_peer_and_a_leave_at_most_its_children_and_one_more(
        kinds in kinds(),
        steps in steps(),
    ) {
        let mut world = World::new(&kinds);
        for step in &steps {
            let before = world.parents();
            let children = |s, p| world.forest.graph(s).map_or(0, |graph| graph.children(p).count());
            let most = match step {
                Step::Join { .. } | Step::Arrive { .. } => Some(1),
                Step::Leave { stream: s, peer } if !world.peers.is_empty() => {
                    let at = (stream(s.index(world.streams)), world.peers[peer.index(world.peers.len())]);
                    Some(children(at.0, at.1) + 1)
                }
                _ => None,
            };
            let out = world.take(step);
            let moved = moved(&before, &world);
            prop_assert!(most.is_none_or(|most| moved.len() <= most), "{step:?} moved {moved:?}: {out:?}");
        }
    }

    #[test]
    fn everybody_leaves_and_nothing_is_left(kinds in kinds(), steps in steps()) {
        let mut world = World::new(&kinds);
        steps.iter().for_each(|step| drop(world.take(step)));
        let mut out = Vec::new();
        for peer in std::mem::take(&mut world.peers) {
            world.forest.remove_peer(peer, &mut out);
        }
        prop_assert_eq!(world.forest.size(), (world.streams, world.streams));
        for n in 0..world.streams {
            let root = world.forest.graph(stream(n)).expect("streams stay").root();
            world.forest.end_stream(stream(n), &mut out);
            world.forest.remove_peer(root, &mut out);
        }
        prop_assert_eq!(world.forest.size(), (0, 0));
        prop_assert!(world.forest.hungry.is_empty());
    }
}
