//! Backup parents: chosen a moment after a peer got its place, and again whenever they would be of no use.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::{PeerId, StreamId};
use crate::signal::{Component, Order, ToPeer};

use super::StreamManager;
use super::deadlines::Deadline;
use super::happenings::What;
use super::members::BALANCED_AFTER;

/// A peer's backup parent is named so long after it got its first place: the first picture goes first. Guess.
const NAMED_AFTER: Duration = Duration::from_millis(250);
/// When nobody could back a peer up, somebody is looked for again after this. Guess.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The broadcaster backs up for so long whoever had nobody. Guess: two places, each of them given up after a second.
const ORPHANED_FOR: Duration = Duration::from_secs(3);

/// So far up it is looked for circles. In a list as long as that every backup is an ancestor, which makes none.
const LOOK_UP: usize = 64;

type Member = (StreamId, PeerId);

/// Who backs whom up.
#[derive(Debug, Default)]
pub(super) struct Backups {
    /// The backup parent of each member that has one.
    of: BTreeMap<Member, PeerId>,
    /// Who counts on a member.
    on: BTreeMap<Member, BTreeSet<PeerId>>,
}

impl Backups {
    fn promised(&self, stream: StreamId, peer: PeerId) -> usize {
        self.on.get(&(stream, peer)).map_or(0, BTreeSet::len)
    }

    fn name(&mut self, stream: StreamId, peer: PeerId, backup: Option<PeerId>) {
        let old = match backup {
            Some(backup) => self.of.insert((stream, peer), backup),
            None => self.of.remove(&(stream, peer)),
        };
        if let Some(old) = old {
            let counting = self.on.entry((stream, old)).or_default();
            counting.remove(&peer);
            if counting.is_empty() {
                self.on.remove(&(stream, old));
            }
        }
        if let Some(backup) = backup {
            self.on.entry((stream, backup)).or_default().insert(peer);
        }
    }

    /// Members that have a backup parent.
    pub(super) fn len(&self) -> usize {
        self.of.len()
    }
}

impl StreamManager {
    /// The backup parent of a member, if it has one.
    pub fn backup(&self, stream: StreamId, peer: PeerId) -> Option<PeerId> {
        self.backups.of.get(&(stream, peer)).copied()
    }

    /// Whether anybody counts on this peer.
    pub(super) fn is_counted_on(&self, stream: StreamId, peer: PeerId) -> bool {
        self.backups.on.contains_key(&(stream, peer))
    }

    /// Whether one of the two backs the other up in any stream.
    pub(super) fn back_each_other_up(&self, one: PeerId, other: PeerId) -> bool {
        let backs = |stream, a, b| self.backup(stream, a) == Some(b);
        self.forest
            .streams_of(one)
            .any(|s| backs(s, one, other) || backs(s, other, one))
    }

    /// A peer has another place (or its `first`): its backup may not do any more, nor it as one.
    pub(super) fn reconsider_backups(&mut self, stream: StreamId, peer: PeerId, first: bool) {
        let wait = if first { NAMED_AFTER } else { Duration::ZERO };
        let at = self.now + wait;
        self.deadlines.set(Deadline::Backup(stream, peer), at);
        let counting = self.backups.on.get(&(stream, peer));
        for &other in counting.into_iter().flatten() {
            self.deadlines.set(Deadline::Backup(stream, other), at);
        }
        self.reconsider_above(stream, peer);
    }

    /// Whoever now stands above a peer has no backup any more that stands at or below it.
    fn reconsider_above(&mut self, stream: StreamId, peer: PeerId) {
        let Some(graph) = self.forest.graph(stream) else {
            return;
        };
        let above = graph.path(peer).skip(1).take(LOOK_UP);
        let circles: Vec<PeerId> = above
            .filter(|&at| {
                let backup = self.backup(stream, at);
                backup.is_some_and(|backup| graph.path(backup).take(LOOK_UP).any(|on| on == peer))
            })
            .collect();
        for at in circles {
            self.deadlines.set(Deadline::Backup(stream, at), self.now);
        }
    }

    /// A peer has no place any more.
    pub(super) fn withdraw_backups(&mut self, stream: StreamId, peer: PeerId) {
        self.deadlines.clear(Deadline::Backup(stream, peer));
        self.let_go_of_backup(stream, peer);
        for other in self.backups.on.remove(&(stream, peer)).unwrap_or_default() {
            self.backups.of.remove(&(stream, other));
            self.deadlines
                .set(Deadline::Backup(stream, other), self.now);
        }
    }

    pub(super) fn is_relay(&self, peer: PeerId) -> bool {
        let known = self.peers.get(&peer);
        known.is_some_and(|known| known.info.component == Component::Relay)
    }

    /// A relay feeds somebody: from now on it is missed if its parent is lost.
    pub(super) fn backs_up_relay(&mut self, stream: StreamId, relay: PeerId) {
        if self.is_relay(relay) && self.backup(stream, relay).is_none() {
            let at = self.now + NAMED_AFTER;
            self.deadlines.set_once(Deadline::Backup(stream, relay), at);
        }
    }

    pub(super) fn let_go_of_backup(&mut self, stream: StreamId, peer: PeerId) {
        let Some(old) = self.backup(stream, peer) else {
            return;
        };
        self.backups.name(stream, peer, None);
        if self.forest.parent(stream, peer) != Some(old) {
            let child = peer;
            self.send(old, ToPeer::DropChild { stream, child });
        }
        // A relay that only stood by for this one.
        if !self.is_counted_on(stream, old) && !self.forest.has_children(stream, old) {
            self.idle(stream, old);
        }
    }

    /// It is time to see who backs a peer up.
    pub(super) fn name_backup(&mut self, stream: StreamId, peer: PeerId) {
        let has_place = self.forest.parent(stream, peer).is_some() && self.is_connected(peer);
        let has_place = has_place && self.config.backups;
        // Nobody would miss what a relay does not get that only stands by.
        let has_place =
            has_place && (!self.is_relay(peer) || self.forest.has_children(stream, peer));
        let old = self.backup(stream, peer);
        let relieved = self.is_over_it(stream, peer);
        let keeps = |old| has_place && !relieved && self.forest.can_back_up(stream, peer, old);
        if old.is_some_and(keeps) {
            return;
        }
        self.let_go_of_backup(stream, peer);
        if !has_place {
            return;
        }
        let backup = self.choose_backup(stream, peer);
        self.backups.name(stream, peer, backup);
        if backup.is_none() {
            self.deadlines
                .set(Deadline::Backup(stream, peer), self.now + LOOK_AGAIN);
        }
        if backup.is_some() || old.is_some() {
            self.tell_backup(stream, peer);
        }
    }

    /// A peer that had nobody to feed it has somebody by now: the broadcaster, which backed it up for that, is for others.
    fn is_over_it(&mut self, stream: StreamId, peer: PeerId) -> bool {
        let now = self.now;
        let known = self.peers.get_mut(&peer);
        let place = known.and_then(|known| known.places.get_mut(&stream));
        let over = place.and_then(|place| {
            let over = |since: &mut crate::time::Time| now >= *since + ORPHANED_FOR;
            place.orphaned.take_if(over)
        });
        over.is_some()
    }

    /// A peer says that nobody feeds it, and it gets a place: that one may be dead as well, or below it. So the broadcaster
    /// backs it up at the same time, of which both are certain; whoever of the two is there first feeds it.
    pub(super) fn back_up_orphan(&mut self, stream: StreamId, peer: PeerId) {
        let promised = |at| self.backups.promised(stream, at);
        let root = self.forest.last_resort(stream, peer, promised);
        let Some(root) = root.filter(|_| self.config.backups) else {
            return;
        };
        let now = self.now;
        let known = self.peers.get_mut(&peer);
        if let Some(place) = known.and_then(|known| known.places.get_mut(&stream)) {
            place.orphaned = Some(now);
        }
        if self.backup(stream, peer) != Some(root) {
            self.let_go_of_backup(stream, peer);
            self.backups.name(stream, peer, Some(root));
        }
        self.tell_backup(stream, peer);
        let at = now + ORPHANED_FOR;
        self.deadlines.set(Deadline::Backup(stream, peer), at);
    }

    fn choose_backup(&mut self, stream: StreamId, peer: PeerId) -> Option<PeerId> {
        let find = |manager: &Self| {
            let promised = |at| manager.backups.promised(stream, at);
            manager.forest.backup_for(stream, peer, promised)
        };
        let found = find(self);
        if found.is_some_and(|at| self.is_relay(at)) {
            return found;
        }
        let mut pulled = None;
        self.change_forest(|forest, out| pulled = forest.pull_standby(stream, out));
        if pulled.is_some() { find(self) } else { found }
    }

    /// Tells a peer who backs it up, and that one that it may come. Said again when the peer was away.
    pub(super) fn tell_backup(&mut self, stream: StreamId, peer: PeerId) {
        let backup = self.backup(stream, peer);
        let backup = backup.and_then(|backup| self.neighbour(backup));
        let (Some(child), order) = (self.neighbour(peer), self.next_order()) else {
            return;
        };
        if let Some(backup) = backup {
            self.send(backup.peer, ToPeer::ExpectChild { stream, child });
        }
        let backups = backup.into_iter().collect();
        self.send(
            peer,
            ToPeer::Backups {
                stream,
                order,
                backups,
            },
        );
    }

    /// A peer has no connection to its backup: it gets another one.
    pub(super) fn backup_lost(&mut self, peer: PeerId, stream: StreamId, backup: PeerId) {
        if self.backup(stream, peer) != Some(backup) {
            return;
        }
        let known = self.streams.get(&stream);
        let broadcasts = known.is_some_and(|known| known.broadcaster == backup);
        if broadcasts {
            self.let_go_of_backup(stream, peer); // one that is suspect is let go of anyhow
        } else if self.is_connected(backup) {
            self.suspect(backup);
        }
        self.deadlines.set(Deadline::Backup(stream, peer), self.now);
    }

    /// A peer has taken over itself: its parent was lost, and `parent` feeds it.
    pub(super) fn took_over(
        &mut self,
        peer: PeerId,
        stream: StreamId,
        parent: PeerId,
        lost: PeerId,
        order: Order,
    ) {
        let place = self
            .peers
            .get(&peer)
            .and_then(|known| known.places.get(&stream));
        let stale = place.is_none_or(|place| place.order.is_some_and(|newest| order < newest));
        if !stale && self.floats(stream, peer) {
            return self.claim_failed(stream, peer); // the one that it stands at was told by nobody
        }
        // The supervisor may have seen the parent go before the peer's word came: then it has another place.
        if stale || self.forest.parent(stream, peer) != Some(lost) {
            return;
        }
        let (from, to) = (lost, parent);
        self.note(Some(peer), Some(stream), What::TookOver { from, to });
        let stands = self.forest.stand_in(stream, peer, parent);
        let at = self.now + BALANCED_AFTER;
        self.deadlines.set_once(Deadline::Balance(stream), at);
        if stands {
            if let Some(child) = self.neighbour(peer) {
                self.deadlines.clear(Deadline::Drop(stream, parent, peer));
                self.send(parent, ToPeer::ExpectChild { stream, child });
            }
            self.reconsider_backups(stream, peer, false);
        }
        // As for anybody who lost its parent; only that this one is fed meanwhile.
        let broadcasts = self
            .streams
            .get(&stream)
            .is_some_and(|known| known.broadcaster == lost);
        if self.is_connected(lost) {
            let child = peer;
            self.send(lost, ToPeer::DropChild { stream, child });
            self.suspect(lost);
            let again = self.has_trouble_again(peer, stream);
            self.change_forest(|forest, out| match (stands, again) {
                (true, _) => forest.retire(stream, lost, out),
                (_, true) => forest.rescue(stream, peer, out),
                _ => forest.complain(stream, peer, out),
            });
        } else if !broadcasts {
            self.gone(lost);
        }
    }
}
