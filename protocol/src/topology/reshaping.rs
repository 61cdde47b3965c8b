//! What an operator does to a tree that stands: puts one peer elsewhere, or arranges all anew.

use crate::id::{PeerId, StreamId};
use crate::signal::{Component, Topology};

use super::graph::LinkError;
use super::placement::most_children;
use super::tree::Tree;
use super::{Change, Forest, Op};

impl Forest {
    /// How the stream's peers are arranged.
    pub fn kind(&self, stream: StreamId) -> Option<Topology> {
        self.trees.get(&stream).map(|tree| tree.kind)
    }

    /// Puts `peer`, with all below it, below `parent`, if that one has room.
    pub fn reseat(
        &mut self,
        stream: StreamId,
        peer: PeerId,
        parent: PeerId,
        out: &mut Vec<Change>,
    ) -> Result<(), LinkError> {
        let graph = self.graph(stream).ok_or(LinkError::Unknown(peer))?;
        if !graph.contains(peer) {
            return Err(LinkError::Unknown(peer));
        }
        if graph.depth(parent).is_none() || !self.is_here(parent) {
            return Err(LinkError::Unknown(parent));
        }
        if graph.root() == peer {
            return Err(LinkError::Root);
        }
        if graph.is_below(parent, peer) {
            return Err(LinkError::Cycle);
        }
        if graph.parent(peer) == Some(parent) {
            return Ok(());
        }
        if !self.has_room(stream, parent) {
            return Err(LinkError::Full);
        }
        self.attach(stream, peer, parent, &mut Op::new(out));
        Ok(())
    }

    /// Arranges the stream's peers anew, as if they had come one after another, those nearest to the broadcaster
    /// first (relay-first: the relays before them). So nobody is put below a peer that stood below it, unless that
    /// is a relay. Who keeps its parent is not told.
    pub fn rearrange(&mut self, stream: StreamId, kind: Topology, out: &mut Vec<Change>) {
        let Some(tree) = self.trees.get(&stream) else {
            return;
        };
        let root = tree.graph.root();
        let mut order: Vec<PeerId> = tree
            .graph
            .subtree(root)
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        let lost = tree
            .graph
            .iter()
            .filter(|(id, _)| tree.graph.depth(*id).is_none());
        order.extend(lost.map(|(id, _)| id));
        order.retain(|&id| id != root);
        if kind == Topology::RelayFirst {
            order.sort_by_key(|&id| self.component(id) != Some(Component::Relay)); // stable
        }
        let before: Vec<_> = order.iter().map(|&id| self.unlink(stream, id)).collect();
        self.plant_anew(stream, kind);

        let mut told = Vec::new();
        let mut op = Op::new(&mut told);
        for &peer in &order {
            self.place(stream, peer, &mut op);
        }
        for (&peer, &left) in order.iter().zip(&before) {
            let parent = self.parent(stream, peer);
            if parent.is_none() || parent != left {
                out.push(Change::Placed {
                    stream,
                    peer,
                    parent,
                    left: left.filter(|_| parent.is_some()),
                });
            }
            self.report_idle(stream, peer, &mut Op::new(out));
        }
        // Relays that were not in the tree and are now.
        let fresh = told.into_iter().filter(
            |change| matches!(change, Change::Placed { peer, .. } if !order.contains(peer)),
        );
        out.extend(fresh);
        self.feed_the_waiting(&mut Op::new(out));
    }

    /// A tree of that kind with the same members, none of whom has a link.
    fn plant_anew(&mut self, stream: StreamId, kind: Topology) {
        let components: Vec<_> = self.trees[&stream]
            .graph
            .iter()
            .map(|(id, vertex)| (id, vertex.component()))
            .collect();
        let tree = self.tree(stream);
        for (id, component) in components {
            tree.graph
                .allow_children(id, most_children(kind, component));
        }
        let mut fresh = Tree::new(kind, tree.kbps, tree.graph.clone());
        fresh.viewers = tree.viewers;
        fresh.take_claims_of(tree);
        let root = fresh.graph.root();
        *tree = fresh;
        self.note_hunger(stream);
        self.refresh(stream, root);
    }
}
