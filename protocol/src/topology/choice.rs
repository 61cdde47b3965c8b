//! How a place is found for one peer, and taken.

use std::ops::Bound;

use crate::id::{PeerId, StreamId};
use crate::signal::{Component, Topology};

use super::graph::Vertex;
use super::placement::{self, Spot};
use super::{Change, Forest, Op};

/// How many of those who wait for a place are tried after each change. Guess: the first few fit or nobody does.
const TRY_WAITING: usize = 4;

impl Forest {
    pub(super) fn place(&mut self, stream: StreamId, peer: PeerId, op: &mut Op) {
        match self.choose(stream, peer, op) {
            Some(spot) => self.take(stream, peer, spot, op),
            None => self.wait(stream, peer, op),
        }
    }

    pub(super) fn choose(&mut self, stream: StreamId, peer: PeerId, op: &mut Op) -> Option<Spot> {
        let tree = &self.trees[&stream];
        if tree.kind == Topology::RelayFirst && self.component(peer) == Some(Component::Relay) {
            let able = op.may_displace && self.has_room(stream, peer);
            let sound = tree.relay_spot(able, |at| self.sound(at));
            return sound.or_else(|| tree.relay_spot(able, |at| self.is_here(at)));
        }
        let site = self.peers.get(peer).and_then(|known| known.traits.site);
        let slot = tree.slot(site, |at| self.sound(at));
        match slot {
            Some((rank, parent)) if rank.class == placement::BEST && !self.is_suspect(parent) => {
                Some(Spot::Under(parent))
            }
            Some((_, parent)) => Some(Spot::Under(self.pull_relay(stream, op).unwrap_or(parent))),
            None => self
                .pull_relay(stream, op)
                .map(Spot::Under)
                .or_else(|| self.above_a_dead_end(stream, peer, op)),
        }
    }

    /// Brings a relay into the stream that is not in it yet, if there is one with room for a child.
    pub(super) fn pull_relay(&mut self, stream: StreamId, op: &mut Op) -> Option<PeerId> {
        let tree = &self.trees[&stream];
        if tree.kind != Topology::RelayFirst {
            return None;
        }
        let relay = self
            .peers
            .relay_with(tree.kbps, |at| tree.graph.contains(at))?;
        // In a receiver's place, with that receiver below it, it must hold one more.
        let two = u64::from(tree.kbps) * 2;
        let able = op.may_displace
            && self
                .peers
                .get(relay)
                .is_some_and(|known| known.left_kbps() >= two);
        let spot = tree.relay_spot(able, |at| self.sound(at))?;
        self.enter(stream, relay);
        self.take(stream, relay, spot, op);
        self.has_room(stream, relay).then_some(relay)
    }

    pub(super) fn above_a_dead_end(&self, stream: StreamId, peer: PeerId, op: &Op) -> Option<Spot> {
        let tree = &self.trees[&stream];
        let able = self
            .peers
            .get(peer)
            .is_some_and(|known| tree.has_room(peer, known) && known.can_feed(tree.kbps));
        let dead_end = tree
            .dead_end(|at| self.sound(at))
            .filter(|_| op.may_displace && able)?;
        Some(Spot::Instead(dead_end))
    }

    pub(super) fn any_sound_place(&self, stream: StreamId, child: PeerId) -> bool {
        let tree = &self.trees[&stream];
        let mut relays = tree.kind == Topology::RelayFirst;
        relays &= self.component(child) != Some(Component::Relay);
        tree.slot(None, |at| self.sound(at))
            .is_some_and(|(_, at)| self.sound(at))
            || (relays
                && self
                    .peers
                    .relay_with(tree.kbps, |at| tree.graph.contains(at))
                    .is_some())
    }

    pub(super) fn take(&mut self, stream: StreamId, peer: PeerId, spot: Spot, op: &mut Op) {
        match spot {
            Spot::Under(parent) => self.attach(stream, peer, parent, op),
            Spot::Instead(other) => {
                op.may_displace = false;
                let parent = self
                    .unlink(stream, other)
                    .expect("who makes room has a place");
                self.attach(stream, peer, parent, op);
                self.move_below(stream, other, peer, Some(parent), op);
            }
        }
    }

    pub(super) fn attach(&mut self, stream: StreamId, peer: PeerId, parent: PeerId, op: &mut Op) {
        let left = self.parent(stream, peer);
        self.move_below(stream, peer, parent, left, op);
        if let Some(left) = left {
            self.report_idle(stream, left, op);
        }
    }

    pub(super) fn move_below(
        &mut self,
        stream: StreamId,
        peer: PeerId,
        parent: PeerId,
        left: Option<PeerId>,
        op: &mut Op,
    ) {
        self.unlink(stream, peer);
        let linked = self.tree(stream).graph.link(peer, parent).is_ok();
        self.linked(stream, peer, parent, linked, op);
        if let Some(Change::Placed { left: told, .. }) = op.out.last_mut().filter(|_| linked) {
            *told = left;
        }
    }

    /// Moves an orphan below `heir`, who stands where its old parent stood, or above.
    pub(super) fn inherit(&mut self, stream: StreamId, orphan: PeerId, heir: PeerId, op: &mut Op) {
        let linked = self.tree(stream).graph.inherit(orphan, heir).is_ok();
        self.linked(stream, orphan, heir, linked, op);
    }

    /// What follows from a new link; if there is none after all, the peer waits.
    pub(super) fn linked(
        &mut self,
        stream: StreamId,
        peer: PeerId,
        parent: PeerId,
        linked: bool,
        op: &mut Op,
    ) {
        debug_assert!(
            linked,
            "{peer} was to be placed below {parent}, who cannot take it"
        );
        if !linked {
            return self.wait(stream, peer, op);
        }
        let tree = self.tree(stream);
        let kbps = i64::from(tree.kbps);
        tree.stop_waiting(peer);
        self.note_hunger(stream);
        self.charge(parent, kbps);
        self.settle(stream, peer);
        op.out.push(Change::Placed {
            stream,
            peer,
            parent: Some(parent),
            left: None,
        });
    }

    pub(super) fn unlink(&mut self, stream: StreamId, child: PeerId) -> Option<PeerId> {
        let tree = self.tree(stream);
        let kbps = i64::from(tree.kbps);
        let parent = tree.graph.unlink(child)?;
        self.charge(parent, -kbps);
        Some(parent)
    }

    pub(super) fn wait(&mut self, stream: StreamId, peer: PeerId, op: &mut Op) {
        self.settle(stream, peer);
        let tree = self.tree(stream);
        let arrival = tree.graph.get(peer).map_or(0, Vertex::arrival);
        if tree.waiting.insert((arrival, peer)) {
            self.hungry.insert(stream);
            op.out.push(Change::Placed {
                stream,
                peer,
                parent: None,
                left: None,
            });
        }
    }

    /// Places those for whom there is room now, in order of arrival.
    pub(super) fn feed_the_waiting(&mut self, op: &mut Op) {
        let hungry: Vec<_> = self.hungry.iter().copied().collect();
        for stream in hungry {
            if self.is_here(self.trees[&stream].graph.root()) {
                self.feed_the_waiting_of(stream, op);
            }
        }
    }

    pub(super) fn feed_the_waiting_of(&mut self, stream: StreamId, op: &mut Op) {
        let mut in_vain = 0;
        let mut next = self.trees[&stream].waiting.first().copied();
        while let Some(at) = next.filter(|_| in_vain < TRY_WAITING) {
            match self.choose(stream, at.1, op) {
                Some(spot) => self.take(stream, at.1, spot, op),
                None => in_vain += 1,
            }
            next = self.trees[&stream]
                .waiting
                .range((Bound::Excluded(at), Bound::Unbounded))
                .next()
                .copied();
        }
    }

    pub(super) fn note_hunger(&mut self, stream: StreamId) {
        if self.trees[&stream].waiting.is_empty() {
            self.hungry.remove(&stream);
        }
    }
}
