//! Where orphans go when those who are near them die as well: to the broadcaster, beyond what the topology gives it.
//!
//! The tree here is what peers were told, and they take time to do it: in the half second after several deaths next to
//! the broadcaster most free places are below the dead, or below the very peer that looks for one. Of the broadcaster
//! alone it is certain that it is fed, and that it stands below nobody.

use crate::id::{PeerId, StreamId};
use crate::signal::Topology;

use super::backup::PROMISES_PER_SLOT;
use super::{Change, Forest, Op};

impl Forest {
    /// `child` has lost one parent after the other, or was sent to peers that stand below it: the broadcaster feeds it, as
    /// far as its uplink goes; else it is as if it complained. [`Self::balance`] puts somebody between later.
    pub fn rescue(&mut self, stream: StreamId, child: PeerId, out: &mut Vec<Change>) {
        match self.refuge(stream) {
            Some(root) if self.parent(stream, child).is_some_and(|at| at != root) => {
                let mut op = Op::new(out);
                let left = self.unlink(stream, child);
                self.take_refuge(stream, child, root, &mut op);
                if let Some(left) = left {
                    self.report_idle(stream, left, &mut op);
                }
                self.feed_the_waiting(&mut op);
            }
            _ => self.complain(stream, child, out),
        }
    }

    /// An orphan gets a place; where each of those that are near stands below somebody who may be dead, at the broadcaster.
    pub(super) fn place_orphan(&mut self, stream: StreamId, orphan: PeerId, op: &mut Op) {
        let refuge = self.refuge(stream);
        match refuge.filter(|_| !self.trees[&stream].has_sound_slot(|at| self.sound(at))) {
            Some(root) => self.take_refuge(stream, orphan, root, op),
            None => self.place(stream, orphan, op),
        }
    }

    /// The broadcaster, where it can stand by for `peer` whatever the topology says; `promised` says how many count on it.
    pub fn last_resort(
        &self,
        stream: StreamId,
        peer: PeerId,
        promised: impl Fn(PeerId) -> usize,
    ) -> Option<PeerId> {
        let root = self.refuge(stream)?;
        let may = self.sound(root) && self.parent(stream, peer).is_some_and(|at| at != root);
        (may && promised(root) < self.spare(stream, root) * PROMISES_PER_SLOT).then_some(root)
    }

    /// The broadcaster, if it can feed one more, be it one more than the topology gives it.
    fn refuge(&self, stream: StreamId) -> Option<PeerId> {
        let tree = self.trees.get(&stream)?;
        let root = tree.graph.root();
        let may = tree.kind != Topology::LinkedList && !self.is_strict;
        (may && self.is_here(root) && self.can_help_out(stream, root)).then_some(root)
    }

    fn take_refuge(&mut self, stream: StreamId, orphan: PeerId, root: PeerId, op: &mut Op) {
        let linked = self.tree(stream).graph.adopt(orphan, root).is_ok();
        self.linked(stream, orphan, root, linked, op);
    }
}
