//! Trees that have grown deep are made shallow again, one peer at a time.
//!
//! Whoever loses its parent takes over where it can, with all below it, and the nearest free place for it may be far from
//! the root: so failures make trees deeper, near the root most of all.

use crate::id::{PeerId, StreamId};
use crate::signal::{Component, Topology};

use super::{Change, Forest, Op};

/// A tree that is deeper by so many levels than it would be below the best free slot is worth a move. With less of it
/// peers would be moved for ever, each of which costs a connection.
const WORTH: u32 = 2;

impl Forest {
    /// Moves one peer, with all below it, to the best free slot, if the tree is the shallower for it; or the last of the
    /// tree to where too many children are, some of whom it takes. False if there is nothing to be done.
    pub fn balance(&mut self, stream: StreamId, out: &mut Vec<Change>) -> bool {
        if self.relieve(stream, out) {
            return true;
        }
        let Some((peer, parent)) = self.worth_moving(stream) else {
            return false;
        };
        self.attach(stream, peer, parent, &mut Op::new(out));
        true
    }

    /// Somebody has more children than it may, for they took over there: the last of the tree goes between.
    fn relieve(&mut self, stream: StreamId, out: &mut Vec<Change>) -> bool {
        let Some(tree) = self.trees.get(&stream) else {
            return false;
        };
        let Some(crowded) = tree.crowded() else {
            return false;
        };
        let Some(filler) = tree.filler(crowded) else {
            return false;
        };
        let children: Vec<PeerId> = tree.graph.children(crowded).collect();
        let most = tree
            .graph
            .get(crowded)
            .map_or(0, |v| v.most_children() as usize);
        let takes = self.free_slots(stream, filler);
        let surplus = (children.len() + 1).saturating_sub(most).min(takes);
        // One that is among them already, or that takes but one, helps nothing.
        if children.contains(&filler) || surplus < 2 {
            return false;
        }
        let mut op = Op::new(out);
        let left = self.unlink(stream, filler);
        if !self.adopt(stream, filler, crowded) {
            return false;
        }
        op.out.push(Change::Placed {
            stream,
            peer: filler,
            parent: Some(crowded),
            left,
        });
        // Those who came last: they took over, and know best how that is done.
        for &child in children.iter().rev().take(surplus) {
            self.attach(stream, child, filler, &mut op);
        }
        true
    }

    /// Of the way to the deepest member the lower half goes to the free slot: then both are as deep.
    fn worth_moving(&self, stream: StreamId) -> Option<(PeerId, PeerId)> {
        let tree = self.trees.get(&stream)?;
        if tree.kind == Topology::LinkedList {
            return None;
        }
        let (depth, deepest) = tree.deepest()?;
        let (rank, slot) = tree.slot(None, |at| self.sound(at))?;
        let level = rank.level + 1;
        if depth < level + WORTH || !self.sound(slot) {
            return None;
        }
        let half = level + (depth - level).div_ceil(2);
        let mut way = tree.graph.path(deepest);
        let peer = way.find(|at| tree.levels.get(at) == Some(&half))?;
        let parent = tree.graph.parent(peer)?;
        let is_relay = tree.graph.get(peer)?.component() == Component::Relay;
        let worse = self.class(stream, slot) > self.class(stream, parent);
        let fits = !is_relay && !worse && !tree.graph.is_below(slot, peer);
        fits.then_some((peer, slot))
    }
}
