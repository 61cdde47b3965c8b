//! The indexes, kept true: after every change of a link, an uplink, or a standing.

use crate::id::{PeerId, StreamId};
use crate::signal::{Component, Topology};

use super::Forest;
use super::graph::Vertex;
use super::peers::Standing;
use super::placement;
use super::tree::Tree;

impl Forest {
    pub(super) fn vertex(&mut self, kind: Topology, peer: PeerId) -> Vertex {
        self.arrivals += 1;
        let component = self.component(peer).unwrap_or(Component::Receiver);
        Vertex::new(
            component,
            placement::most_children(kind, component),
            self.arrivals,
        )
    }

    pub(super) fn tree(&mut self, stream: StreamId) -> &mut Tree {
        self.trees
            .get_mut(&stream)
            .expect("callers have looked the stream up")
    }

    pub(super) fn component(&self, peer: PeerId) -> Option<Component> {
        self.peers.get(peer).map(|known| known.traits.component)
    }

    pub(super) fn is_list(&self, stream: StreamId) -> bool {
        self.trees[&stream].kind == Topology::LinkedList
    }

    pub(super) fn is_suspect(&self, peer: PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|known| known.standing == Standing::Suspect)
    }

    pub(super) fn is_here(&self, peer: PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|known| known.standing != Standing::Away)
    }

    pub(super) fn sound(&self, peer: PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|known| known.standing == Standing::Open)
    }

    pub(super) fn has_room(&self, stream: StreamId, peer: PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|known| self.trees[&stream].has_room(peer, known))
    }

    /// One child more (or, negative, less) for a peer: its slots in all its streams may open or close.
    pub(super) fn charge(&mut self, peer: PeerId, kbps: i64) {
        self.peers.charge(peer, kbps);
        self.refresh_everywhere(peer);
    }

    pub(super) fn refresh_everywhere(&mut self, peer: PeerId) {
        let streams: Vec<_> = self.streams_of(peer).collect();
        for stream in streams {
            self.refresh(stream, peer);
        }
    }

    pub(super) fn refresh(&mut self, stream: StreamId, peer: PeerId) {
        let relays = self.peers.any_relay();
        if let (Some(tree), Some(known)) = (self.trees.get_mut(&stream), self.peers.get(peer)) {
            tree.refresh(peer, known, relays);
        }
    }

    /// Gives `peer`, whose parent has changed, and all below it their levels.
    pub(super) fn settle(&mut self, stream: StreamId, peer: PeerId) {
        let tree = self.tree(stream);
        let level = tree
            .graph
            .parent(peer)
            .and_then(|parent| tree.level_below(parent));
        if level == tree.levels.get(&peer).copied() {
            return self.refresh(stream, peer);
        }
        let flat = tree.kind == Topology::LinkedList;
        for (member, distance) in tree.graph.subtree(peer) {
            match level {
                Some(level) => {
                    let tree = self.tree(stream);
                    tree.set_level(member, if flat { level } else { level + distance });
                    self.refresh(stream, member);
                }
                None => self.tree(stream).forget(member),
            }
        }
    }
}
