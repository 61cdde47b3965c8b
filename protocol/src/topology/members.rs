//! Members come and go: what each of it moves.

use crate::id::{PeerId, StreamId};
use crate::signal::Component;

use super::{Change, Forest, Op};

impl Forest {
    /// `peer` asks for a place.
    pub fn join(&mut self, stream: StreamId, peer: PeerId, out: &mut Vec<Change>) {
        if !self.may_enter(stream, peer) {
            return;
        }
        let mut op = Op::new(out);
        self.enter(stream, peer);
        self.place(stream, peer, &mut op);
        self.report_idle(stream, peer, &mut op);
        self.feed_the_waiting(&mut op);
    }

    /// `peer` says that `parent` feeds it already. True if that link stands now; else the claim is kept until
    /// the parent comes, or [`Self::expire_claim`].
    pub fn claim(
        &mut self,
        stream: StreamId,
        peer: PeerId,
        parent: PeerId,
        out: &mut Vec<Change>,
    ) -> bool {
        if !self.may_enter(stream, peer) {
            return self.parent(stream, peer) == Some(parent);
        }
        self.enter(stream, peer);
        if !self.contains(stream, parent) {
            self.tree(stream).keep_claim(peer, parent);
            return false;
        }
        let adopted = self.adopt(stream, peer, parent);
        let mut op = Op::new(out);
        if !adopted {
            self.place(stream, peer, &mut op);
        }
        self.report_idle(stream, peer, &mut op);
        adopted
    }

    /// The parent that `peer` claims has not come: it is placed as anybody is.
    pub fn expire_claim(&mut self, stream: StreamId, peer: PeerId, out: &mut Vec<Change>) {
        let Some(tree) = self.trees.get_mut(&stream) else {
            return;
        };
        tree.drop_claim(peer);
        let floats = tree.graph.contains(peer) && tree.graph.parent(peer).is_none();
        if floats && peer != tree.graph.root() {
            self.place(stream, peer, &mut Op::new(out));
        }
    }

    /// `peer` gives its place up; its children get others.
    pub fn leave(&mut self, stream: StreamId, peer: PeerId, out: &mut Vec<Change>) {
        if !self.contains(stream, peer) || self.trees[&stream].graph.root() == peer {
            return;
        }
        let mut op = Op::new(out);
        self.depart(stream, peer, &mut op);
        self.feed_the_waiting(&mut op);
    }

    /// `child` says that its parent is lost to it: it gets another place at once, the same one only if there is
    /// no other. The caller has made the parent suspect.
    pub fn complain(&mut self, stream: StreamId, child: PeerId, out: &mut Vec<Change>) {
        let Some(parent) = self.parent(stream, child) else {
            return;
        };
        let mut op = Op::new(out);
        self.unlink(stream, child);
        self.settle(stream, child);
        let viewer = self.component(parent) == Some(Component::Receiver);
        let needed = viewer || !self.any_sound_place(stream, child);
        if needed && self.can_be_demoted(stream, parent) {
            self.demote(stream, parent, child, &mut op);
        } else {
            self.place_orphan(stream, child, &mut op);
        }
        self.report_idle(stream, parent, &mut op);
        self.feed_the_waiting(&mut op);
    }

    /// `suspect` feeds nobody any more: its place is for others, and it goes to the end.
    pub fn retire(&mut self, stream: StreamId, suspect: PeerId, out: &mut Vec<Change>) {
        let viewer = self.component(suspect) == Some(Component::Receiver);
        if !viewer || !self.contains(stream, suspect) || !self.can_be_demoted(stream, suspect) {
            return;
        }
        let last = self.trees[&stream].last_slot(|at| at != suspect && self.sound(at));
        let mut op = Op::new(out);
        match last {
            Some(last) => self.attach(stream, suspect, last, &mut op),
            None => {
                self.unlink(stream, suspect);
                self.wait(stream, suspect, &mut op);
            }
        }
        self.feed_the_waiting(&mut op);
    }

    /// `child` has lost its parent and there is nobody to take it for now: it waits.
    pub fn park(&mut self, stream: StreamId, child: PeerId, out: &mut Vec<Change>) {
        if self.parent(stream, child).is_some() {
            self.unlink(stream, child);
            self.settle(stream, child);
            self.wait(stream, child, &mut Op::new(out));
        }
    }

    /// Tries once more to place those who wait.
    pub fn retry(&mut self, out: &mut Vec<Change>) {
        self.feed_the_waiting(&mut Op::new(out));
    }

    pub(super) fn may_enter(&self, stream: StreamId, peer: PeerId) -> bool {
        self.trees.contains_key(&stream)
            && self.peers.get(peer).is_some()
            && !self.contains(stream, peer)
    }

    /// Gives `peer` a vertex, and the children that claim it.
    pub(super) fn enter(&mut self, stream: StreamId, peer: PeerId) {
        let vertex = self.vertex(self.trees[&stream].kind, peer);
        let tree = self.tree(stream);
        tree.viewers += u32::from(vertex.component() == Component::Receiver);
        tree.graph.insert(peer, vertex);
        let claimants = tree.take_claims_on(peer);
        self.peers.change(peer, |known| {
            known.streams.insert(stream);
        });
        for child in claimants {
            self.adopt(stream, child, peer);
        }
    }

    /// Takes `peer`'s vertex away, which has no links any more.
    pub(super) fn erase(&mut self, stream: StreamId, peer: PeerId) {
        let tree = self.tree(stream);
        let receiver = tree
            .graph
            .get(peer)
            .is_some_and(|v| v.component() == Component::Receiver);
        tree.viewers -= u32::from(receiver);
        tree.stop_waiting(peer);
        tree.drop_claim(peer);
        tree.forget(peer);
        tree.graph.remove(peer);
        self.note_hunger(stream);
        self.peers.change(peer, |known| {
            known.streams.remove(&stream);
        });
    }

    /// Links a child to the parent that feeds it already.
    pub(super) fn adopt(&mut self, stream: StreamId, child: PeerId, parent: PeerId) -> bool {
        let tree = self.tree(stream);
        let adopted = tree.graph.adopt(child, parent).is_ok();
        if adopted {
            let kbps = i64::from(tree.kbps);
            self.charge(parent, kbps);
            self.settle(stream, child);
        }
        adopted
    }

    /// `peer` leaves, and its children are moved.
    pub(super) fn depart(&mut self, stream: StreamId, peer: PeerId, op: &mut Op) {
        let children: Vec<_> = self.trees[&stream].graph.children(peer).collect();
        let filler = self.trees[&stream].filler(peer);
        let parent = self.unlink(stream, peer);
        for &child in &children {
            self.unlink(stream, child);
        }
        self.erase(stream, peer);
        // The one that fills the gap is the "one more" that may move, unless it was a child.
        op.may_displace &= filler.is_none_or(|filler| children.contains(&filler));
        let heir = match (filler, parent) {
            (Some(filler), Some(parent)) => self.fill(stream, filler, parent, op),
            (None, Some(parent)) if self.is_list(stream) => Some(parent),
            _ => None,
        };
        match heir {
            Some(heir) => {
                let others = children
                    .into_iter()
                    .filter(|&child| child != heir)
                    .collect();
                self.hand_over(stream, others, heir, op);
            }
            None => self.place_all(stream, children, op),
        }
        if let Some(parent) = parent {
            self.report_idle(stream, parent, op);
        }
    }

    /// Moves `filler` below `parent`, into a place that has just become free.
    pub(super) fn fill(
        &mut self,
        stream: StreamId,
        filler: PeerId,
        parent: PeerId,
        op: &mut Op,
    ) -> Option<PeerId> {
        // An orphan that its grandparent backed up may have the place already.
        let free = self.sound(parent) && self.has_room(stream, parent);
        free.then(|| self.attach(stream, filler, parent, op))?;
        Some(filler)
    }

    /// Moves orphans below `heir` as far as it has room, and the others anywhere.
    pub(super) fn hand_over(
        &mut self,
        stream: StreamId,
        orphans: Vec<PeerId>,
        heir: PeerId,
        op: &mut Op,
    ) {
        let mut surplus = Vec::new();
        for orphan in orphans {
            if self.sound(heir) && self.has_room(stream, heir) {
                self.inherit(stream, orphan, heir, op);
            } else {
                surplus.push(orphan);
            }
        }
        self.place_all(stream, surplus, op);
    }

    pub(super) fn place_all(&mut self, stream: StreamId, orphans: Vec<PeerId>, op: &mut Op) {
        // All float before the first is placed: none may go below another one's old place.
        for &orphan in &orphans {
            self.settle(stream, orphan);
        }
        for orphan in orphans {
            self.place_orphan(stream, orphan, op);
        }
    }

    /// Whether a suspect can be sent to the end of the tree without moving anybody who did not complain.
    pub(super) fn can_be_demoted(&self, stream: StreamId, peer: PeerId) -> bool {
        let graph = &self.trees[&stream].graph;
        peer != graph.root()
            && !self.has_children(stream, peer)
            && graph.parent(peer).is_some_and(|parent| self.sound(parent))
    }

    /// Lets `child` have the place of `suspect`, which goes to the end.
    pub(super) fn demote(&mut self, stream: StreamId, suspect: PeerId, child: PeerId, op: &mut Op) {
        let above = self.parent(stream, suspect);
        self.unlink(stream, suspect);
        self.erase(stream, suspect);
        self.place(stream, child, op);
        self.enter(stream, suspect);
        self.place(stream, suspect, op);
        if let Some(Change::Placed { left, .. }) = op.out.last_mut() {
            *left = above;
        }
    }

    pub(super) fn report_idle(&self, stream: StreamId, peer: PeerId, op: &mut Op) {
        let vertex = self.trees[&stream].graph.get(peer);
        if vertex.is_some_and(|v| v.component() == Component::Relay && v.children().is_empty()) {
            op.out.push(Change::Idle {
                stream,
                relay: peer,
            });
        }
    }
}
