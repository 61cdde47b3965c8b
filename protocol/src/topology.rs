//! Who is fed by whom, in every stream: the paper's linked list and binary tree (§III.A), and relay-first.
//!
//! A [`Forest`] holds one tree for each stream; the trees share the peers' uplinks. Joining and leaving cost
//! O(log n), and the size of a subtree only when its depth changes. What is to be told to peers comes out as
//! [`Change`]s, in the order in which to tell it. There is no clock and no socket here: who is suspect and for
//! how long, and what a peer is told, is `stream_manager`'s.
//!
//! After every operation: one parent each, no cycle, everybody reachable or waiting, and nobody over what he
//! can send (but for links that existed before the supervisor did). A join moves at most one peer, a leave at
//! most its children and one more.

mod backup;
mod balance;
mod choice;
mod few;
mod graph;
mod indexes;
mod limits;
mod members;
mod peers;
mod placement;
#[cfg(test)]
mod properties;
mod refuge;
mod reshaping;
mod site;
mod slots;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

pub use graph::{Graph, LinkError, Vertex};
pub use peers::{Standing, Traits};
pub use site::Site;

use crate::id::{PeerId, StreamId};
use crate::signal::Topology;
use peers::Peers;
use tree::Tree;

/// What came of an operation, to be told to the peers concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `peer` is to be fed by `parent`; without one it waits.
    Placed {
        /// In which stream.
        stream: StreamId,
        /// Who.
        peer: PeerId,
        /// Its parent from now on.
        parent: Option<PeerId>,
        /// The parent it had, if that one is still there to be told.
        left: Option<PeerId>,
    },
    /// A relay feeds nobody any more: it can leave soon.
    Idle {
        /// In which stream.
        stream: StreamId,
        /// Who.
        relay: PeerId,
    },
}

/// One operation: what came of it so far, and how many more peers it may move aside.
struct Op<'a> {
    out: &'a mut Vec<Change>,
    may_displace: bool,
}

impl<'a> Op<'a> {
    fn new(out: &'a mut Vec<Change>) -> Self {
        Self {
            out,
            may_displace: true,
        }
    }
}

/// The trees of all streams.
#[derive(Debug, Clone, Default)]
pub struct Forest {
    peers: Peers,
    trees: BTreeMap<StreamId, Tree>,
    /// Streams in which somebody waits for a place.
    hungry: BTreeSet<StreamId>,
    arrivals: u64,
    /// Nobody has more children than the topology gives it, whatever happens.
    is_strict: bool,
}

/// What there is to ask.
impl Forest {
    /// Whether it is [`Self::strict`].
    pub const fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// The graph of a stream.
    pub fn graph(&self, stream: StreamId) -> Option<&Graph> {
        self.trees.get(&stream).map(|tree| &tree.graph)
    }

    /// Whether `peer` is in the stream, with a place or waiting.
    pub fn contains(&self, stream: StreamId, peer: PeerId) -> bool {
        self.graph(stream).is_some_and(|graph| graph.contains(peer))
    }

    /// Who feeds `peer` in the stream.
    pub fn parent(&self, stream: StreamId, peer: PeerId) -> Option<PeerId> {
        self.graph(stream)?.parent(peer)
    }

    /// Whether `peer` feeds anybody in the stream.
    pub fn has_children(&self, stream: StreamId, peer: PeerId) -> bool {
        self.graph(stream)
            .and_then(|graph| graph.get(peer))
            .is_some_and(|v| !v.children().is_empty())
    }

    /// Whether `peer` could be given one more child in the stream now.
    pub fn can_take(&self, stream: StreamId, peer: PeerId) -> bool {
        self.contains(stream, peer) && self.is_here(peer) && self.has_room(stream, peer)
    }

    /// Whether one of the two feeds the other in any stream.
    pub fn are_linked(&self, one: PeerId, other: PeerId) -> bool {
        let feeds = |s, a, b| self.parent(s, b) == Some(a);
        self.streams_of(one)
            .any(|s| feeds(s, one, other) || feeds(s, other, one))
    }

    /// The streams that `peer` is in.
    pub fn streams_of(&self, peer: PeerId) -> impl Iterator<Item = StreamId> + '_ {
        self.peers
            .get(peer)
            .into_iter()
            .flat_map(|known| known.streams.as_slice().iter().copied())
    }

    /// Receivers in the stream.
    pub fn viewers(&self, stream: StreamId) -> u32 {
        self.trees.get(&stream).map_or(0, |tree| tree.viewers)
    }

    /// Streams in which somebody waits for a place.
    pub const fn hungry(&self) -> &BTreeSet<StreamId> {
        &self.hungry
    }

    /// Peers known, and places taken over all streams.
    pub fn size(&self) -> (usize, usize) {
        (
            self.peers.len(),
            self.trees.values().map(|tree| tree.graph.len()).sum(),
        )
    }
}

/// Peers and streams come and go.
impl Forest {
    /// One in which the broadcaster takes no orphans beyond the children that the topology gives it: the paper's trees, to
    /// compare with.
    pub fn strict() -> Self {
        Self {
            is_strict: true,
            ..Self::default()
        }
    }

    /// A peer is here, or what is known of it has changed.
    pub fn add_peer(&mut self, peer: PeerId, traits: Traits, out: &mut Vec<Change>) {
        self.with_peers(peer, |peers| peers.insert(peer, traits));
        self.feed_the_waiting(&mut Op::new(out));
    }

    /// A peer is suspect, out of reach, or well again.
    pub fn set_standing(&mut self, peer: PeerId, standing: Standing, out: &mut Vec<Change>) {
        if self
            .peers
            .get(peer)
            .is_none_or(|known| known.standing == standing)
        {
            return;
        }
        self.with_peers(peer, |peers| {
            peers.change(peer, |known| known.standing = standing)
        });
        if standing == Standing::Open {
            self.feed_the_waiting(&mut Op::new(out));
        }
    }

    /// A peer is gone from everywhere. As the broadcaster of a stream it keeps its place until the stream ends
    /// or another takes it.
    pub fn remove_peer(&mut self, peer: PeerId, out: &mut Vec<Change>) {
        self.with_peers(peer, |peers| {
            peers.change(peer, |known| {
                (known.standing, known.departed) = (Standing::Away, true)
            });
        });
        let streams: Vec<_> = self.streams_of(peer).collect();
        for stream in streams {
            if self.trees[&stream].graph.root() != peer {
                self.leave(stream, peer, out);
            }
        }
        self.forget_departed(peer);
    }

    /// A stream begins, with its broadcaster at the root.
    pub fn add_stream(&mut self, stream: StreamId, kind: Topology, kbps: u32, root: PeerId) {
        let vertex = self.vertex(kind, root);
        self.trees
            .insert(stream, Tree::new(kind, kbps, Graph::new(root, vertex)));
        self.peers.change(root, |known| {
            known.streams.insert(stream);
        });
        self.refresh(stream, root);
    }

    /// A stream's rate is another from now on.
    pub fn set_rate(&mut self, stream: StreamId, kbps: u32) {
        let kbps = kbps.max(1);
        let Some(tree) = self.trees.get_mut(&stream) else {
            return;
        };
        let difference = i64::from(kbps) - i64::from(tree.kbps);
        if difference == 0 {
            return;
        }
        tree.kbps = kbps;
        let feeding: Vec<_> = tree
            .graph
            .iter()
            .map(|(id, v)| (id, v.children().len() as i64))
            .collect();
        for (peer, children) in feeding {
            self.charge(peer, difference * children);
        }
    }

    /// The broadcaster is another peer now: it takes the old one's place and its children.
    pub fn replace_root(&mut self, stream: StreamId, new: PeerId, out: &mut Vec<Change>) {
        let Some(tree) = self.trees.get(&stream) else {
            return;
        };
        let old = tree.graph.root();
        if old == new || tree.graph.contains(new) {
            return;
        }
        let mut op = Op::new(out);
        self.enter(stream, new);
        let children: Vec<_> = self.trees[&stream].graph.children(old).collect();
        for &child in &children {
            self.unlink(stream, child);
        }
        let tree = self.trees.get_mut(&stream).expect("looked up above");
        tree.graph.set_root(new);
        tree.levels.insert(new, 0);
        self.refresh(stream, new);
        self.erase(stream, old);
        self.hand_over(stream, children, new, &mut op);
        self.forget_departed(old);
        self.feed_the_waiting(&mut op);
    }

    /// A stream is gone for good; returns who was in it, the broadcaster included.
    pub fn end_stream(&mut self, stream: StreamId, out: &mut Vec<Change>) -> Vec<PeerId> {
        let Some(tree) = self.trees.remove(&stream) else {
            return Vec::new();
        };
        self.hungry.remove(&stream);
        let kbps = i64::from(tree.kbps);
        let members: Vec<_> = tree
            .graph
            .iter()
            .map(|(id, v)| (id, v.children().len() as i64))
            .collect();
        for &(member, children) in &members {
            self.peers.change(member, |known| {
                known.streams.remove(&stream);
            });
            self.charge(member, -kbps * children);
            self.forget_departed(member);
        }
        self.feed_the_waiting(&mut Op::new(out));
        members.into_iter().map(|(member, _)| member).collect()
    }

    /// Runs a change of one peer, and brings the indexes of its streams (and, when the first relay comes or
    /// the last one goes, of all broadcasters) up to date.
    fn with_peers(&mut self, peer: PeerId, change: impl FnOnce(&mut Peers)) {
        let relays = self.peers.any_relay();
        change(&mut self.peers);
        self.refresh_everywhere(peer);
        if relays != self.peers.any_relay() {
            let roots: Vec<_> = self
                .trees
                .iter()
                .map(|(&stream, tree)| (stream, tree.graph.root()))
                .collect();
            for (stream, root) in roots {
                self.refresh(stream, root);
            }
        }
    }

    fn forget_departed(&mut self, peer: PeerId) {
        if self
            .peers
            .get(peer)
            .is_some_and(|known| known.departed && known.streams.as_slice().is_empty())
        {
            self.peers.remove(peer);
        }
    }
}
