//! Members of streams: they join, leave, lose their parents; and are told of every change of place.

use std::time::Duration;

use crate::id::{PeerId, StreamId};
use crate::signal::{Component, Order, Refusal, Report, ToPeer};
use crate::topology::Change;

use super::deadlines::Deadline;
use super::happenings::What;
use super::peers::Place;
use super::{CLAIM_GRACE, IDLE_GRACE, RELEARNING, SETTLING, StreamManager};

/// A tree is looked at this long after somebody was moved, and once more as long as that helps. Guess: whoever was moved has
/// its new parent by then, and one move in two seconds costs little: each means a new connection, and new backups.
pub(super) const BALANCED_AFTER: Duration = Duration::from_secs(2);

/// Whoever loses two parents within this is in more trouble than one death makes. Guess: a connection to the second took half of it.
const TROUBLE: Duration = Duration::from_secs(1);

impl StreamManager {
    pub(super) fn join(
        &mut self,
        peer: PeerId,
        stream: StreamId,
        claim: Option<PeerId>,
        invitation: Option<&str>,
    ) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        if known.info.component == Component::Broadcaster {
            return self.refuse_stream(
                peer,
                stream,
                Refusal::NotAllowed,
                "a broadcaster does not watch",
            );
        }
        if known.places.len() >= self.config.limits.places_per_peer
            && !known.places.contains_key(&stream)
        {
            return self.refuse_stream(
                peer,
                stream,
                Refusal::TooMany,
                "too many streams for one peer",
            );
        }
        if !self.streams.contains_key(&stream) {
            return self.hold(peer, stream, claim, invitation);
        }
        // A relay is enrolled, and brings nobody in whom the stream is not for.
        let checked = match known.info.component {
            Component::Receiver => self.check_invitation(stream, invitation),
            _ => Ok(None),
        };
        let invitation = match checked {
            Ok(invitation) => invitation,
            Err(words) => return self.turn_away(peer, stream, claim, &words),
        };
        self.give_key(peer, stream);
        let now = self.now;
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let place = known
            .places
            .entry(stream)
            .or_insert_with(|| Place::new(now));
        place.invitation = invitation.or(place.invitation);
        if self.forest.contains(stream, peer) {
            return self.join_again(peer, stream, claim);
        }
        self.note(Some(peer), Some(stream), What::Joined);
        match claim.filter(|&parent| self.is_believable(stream, parent)) {
            Some(parent) => self.adopt(peer, stream, parent),
            None => self.change_forest(|forest, out| forest.join(stream, peer, out)),
        }
        self.note_viewers(stream);
    }

    /// The stream is not for this viewer. Where it says that somebody feeds it, as after a restart, that one lets it go.
    fn turn_away(&mut self, peer: PeerId, stream: StreamId, claim: Option<PeerId>, words: &str) {
        self.note(Some(peer), Some(stream), What::Uninvited);
        if let Some(parent) = claim {
            let child = peer;
            self.send(parent, ToPeer::DropChild { stream, child });
        }
        self.refuse_stream(peer, stream, Refusal::NotInvited, words);
    }

    /// After a start everybody says where he is, and is believed. Later a claim is granted if it is no burden.
    fn is_believable(&self, stream: StreamId, parent: PeerId) -> bool {
        self.now < self.started + RELEARNING || self.forest.can_take(stream, parent)
    }

    /// The peer says that `parent` feeds it: that is left as it is, or waits for the parent to come.
    fn adopt(&mut self, peer: PeerId, stream: StreamId, parent: PeerId) {
        let mut adopted = false;
        self.change_forest(|forest, out| adopted = forest.claim(stream, peer, parent, out));
        if !adopted {
            self.deadlines
                .set(Deadline::Claim(stream, peer), self.now + CLAIM_GRACE);
        } else if let Some(child) = self
            .neighbour(peer)
            .filter(|_| self.now >= self.started + RELEARNING)
        {
            // The parent may have been told to drop it in the meantime.
            self.deadlines.clear(Deadline::Drop(stream, parent, peer));
            self.send(parent, ToPeer::ExpectChild { stream, child });
        }
        if adopted {
            self.reconsider_backups(stream, peer, false);
        }
        self.send_clock(peer, stream);
    }

    /// A member asks once more: its socket was away, or it knows of no parent. It is told its place again,
    /// unless that is where it says it is.
    fn join_again(&mut self, peer: PeerId, stream: StreamId, claim: Option<PeerId>) {
        let parent = self.forest.parent(stream, peer);
        let floats = self.floats(stream, peer);
        if floats && claim.is_none() {
            self.claim_failed(stream, peer);
        } else if claim.is_none() || (parent != claim && !floats) {
            self.tell_place(stream, peer, parent, None);
        }
        if self.backup(stream, peer).is_some() {
            self.tell_backup(stream, peer);
        }
    }

    pub(super) fn leave(&mut self, peer: PeerId, stream: StreamId) {
        if self.forest.contains(stream, peer) {
            self.note(Some(peer), Some(stream), What::Left);
        }
        self.withdraw(peer, stream);
    }

    /// A member is out of the stream.
    pub(super) fn withdraw(&mut self, peer: PeerId, stream: StreamId) {
        self.dismiss(peer, stream);
        self.forget_place(peer, stream);
        self.change_forest(|forest, out| forest.leave(stream, peer, out));
        self.note_viewers(stream);
    }

    /// A peer's parent is told that it will not be back, and what was planned for it is dropped.
    pub(super) fn dismiss(&mut self, peer: PeerId, stream: StreamId) {
        if let Some(parent) = self.forest.parent(stream, peer) {
            self.send(
                parent,
                ToPeer::DropChild {
                    stream,
                    child: peer,
                },
            );
        }
        self.deadlines.clear(Deadline::Claim(stream, peer));
        self.deadlines.clear(Deadline::Idle(stream, peer));
        self.withdraw_backups(stream, peer);
        self.forget_held(peer, stream);
    }

    pub(super) fn forget_place(&mut self, peer: PeerId, stream: StreamId) {
        self.deadlines.clear(Deadline::Claim(stream, peer));
        self.deadlines.clear(Deadline::Idle(stream, peer));
        if let Some(known) = self.peers.get_mut(&peer) {
            known.places.remove(&stream);
        }
    }

    /// A child has lost its parent. It gets another one at once; the old one is avoided for a while, and, if its
    /// socket is closed as well, gone for everybody.
    pub(super) fn parent_lost(
        &mut self,
        peer: PeerId,
        stream: StreamId,
        parent: PeerId,
        order: Order,
    ) {
        let Some(place) = self
            .peers
            .get(&peer)
            .and_then(|known| known.places.get(&stream))
        else {
            return;
        };
        let stale = place.order.is_some_and(|newest| order < newest);
        if !stale && self.floats(stream, peer) {
            return self.claim_failed(stream, peer);
        }
        if stale || self.forest.parent(stream, peer) != Some(parent) {
            // Its backup refused, while it was given another place already.
            if self.backup(stream, peer) == Some(parent) {
                self.back_up_orphan(stream, peer);
            }
            return;
        }
        self.note(Some(peer), Some(stream), What::ParentLost { parent });
        let broadcasts = self
            .streams
            .get(&stream)
            .is_some_and(|known| known.broadcaster == parent);
        match self.is_connected(parent) {
            // Its stream waits for it; so do its children.
            false if broadcasts => self.change_forest(|forest, out| forest.park(stream, peer, out)),
            false => self.gone(parent),
            true => {
                self.send(
                    parent,
                    ToPeer::DropChild {
                        stream,
                        child: peer,
                    },
                );
                self.suspect(parent);
                let again = self.has_trouble_again(peer, stream);
                self.change_forest(|forest, out| match again {
                    true => forest.rescue(stream, peer, out),
                    false => forest.complain(stream, peer, out),
                });
            }
        }
        self.back_up_orphan(stream, peer);
    }

    /// A member has trouble with its parent: whether it had some a moment ago.
    pub(super) fn has_trouble_again(&mut self, peer: PeerId, stream: StreamId) -> bool {
        let now = self.now;
        let known = self.peers.get_mut(&peer);
        let place = known.and_then(|known| known.places.get_mut(&stream));
        let before = place.and_then(|place| place.trouble.replace(now));
        before.is_some_and(|before| now.since(before) < TROUBLE)
    }

    pub(super) fn report(&mut self, peer: PeerId, stream: StreamId, report: Report) {
        let (viewers, at) = (self.forest.viewers(stream), (self.now, self.wall_us()));
        let (Some(known), Some(here)) = (self.streams.get_mut(&stream), self.peers.get_mut(&peer))
        else {
            return;
        };
        let kept = match here.places.get_mut(&stream) {
            Some(place) => &mut place.report,
            None if known.broadcaster == peer => &mut known.report,
            None => return,
        };
        known.history.pass(at, viewers, &known.totals);
        let component = here.info.component;
        known.history.take(component, kept.as_ref(), &report);
        let times = known.totals.take(component, kept.as_ref(), &report);
        let is_slow = report.too_many > 0 || !report.slow.is_empty();
        let now = is_slow.then(|| report.clone());
        let before = kept.replace(report);
        if times > 0 {
            self.note(Some(peer), Some(stream), What::Stalled { times });
        }
        if let Some(now) = now {
            self.look_for_slow_ones(peer, stream, before.as_ref(), &now);
        }
    }

    /// Tells the peers concerned what has changed.
    pub(super) fn carry_out(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Placed {
                    stream,
                    peer,
                    parent,
                    left,
                } => self.tell_place(stream, peer, parent, left),
                Change::Idle { stream, relay } => self.idle(stream, relay),
            }
        }
    }

    /// A relay feeds nobody any more: it leaves soon.
    pub(super) fn idle(&mut self, stream: StreamId, relay: PeerId) {
        self.deadlines
            .set(Deadline::Idle(stream, relay), self.now + IDLE_GRACE);
        if self.is_relay(relay) && !self.forest.has_children(stream, relay) {
            self.let_go_of_backup(stream, relay);
        }
    }

    fn tell_place(
        &mut self,
        stream: StreamId,
        peer: PeerId,
        parent: Option<PeerId>,
        left: Option<PeerId>,
    ) {
        let Some(child) = self.neighbour(peer) else {
            return;
        };
        let parent = parent.and_then(|parent| self.neighbour(parent));
        let (order, now) = (self.next_order(), self.now);
        // A relay does not join: it is placed, and has a part in the stream from then on.
        let (mut newcomer, mut first) = (false, false);
        if let Some(known) = self.peers.get_mut(&peer) {
            newcomer = !known.places.contains_key(&stream);
            let place = known
                .places
                .entry(stream)
                .or_insert_with(|| Place::new(now));
            first = place.order.replace(order).is_none();
        }
        match (left, parent) {
            (Some(from), Some(to)) => {
                let to = to.peer;
                self.note(Some(peer), Some(stream), What::Moved { from, to });
            }
            _ if newcomer => self.note(Some(peer), Some(stream), What::Joined),
            _ => {}
        }
        self.deadlines.clear(Deadline::Claim(stream, peer));
        self.reconsider_backups(stream, peer, first);
        let at = self.now + BALANCED_AFTER;
        self.deadlines.set_once(Deadline::Balance(stream), at);
        // The parent first: the child's offer must find it ready.
        if let Some(parent) = parent {
            self.deadlines
                .clear(Deadline::Drop(stream, parent.peer, peer));
            self.send(parent.peer, ToPeer::ExpectChild { stream, child });
            self.backs_up_relay(stream, parent.peer);
        }
        self.send(
            peer,
            ToPeer::Placement {
                stream,
                order,
                parent,
            },
        );
        // Behind its place: a relay knows the stream only from then on.
        if newcomer {
            self.give_key(peer, stream);
        }
        self.send_clock(peer, stream);
        if let Some(left) = left {
            self.deadlines
                .set(Deadline::Drop(stream, left, peer), self.now + SETTLING);
        }
    }

    fn send_clock(&mut self, peer: PeerId, stream: StreamId) {
        if let Some(clock) = self.streams.get(&stream).and_then(|known| known.clock) {
            self.send(peer, ToPeer::StreamClock { stream, clock });
        }
    }

    /// A child has had time to settle at its new parent: the old one lets it go, unless it stands by for it by now.
    pub(super) fn drop_moved(&mut self, stream: StreamId, old: PeerId, child: PeerId) {
        let stands_by = self.backup(stream, child) == Some(old);
        if self.forest.parent(stream, child) != Some(old) && !stands_by {
            self.send(old, ToPeer::DropChild { stream, child });
        }
    }

    /// A relay that still feeds nobody leaves the stream.
    pub(super) fn release_idle(&mut self, stream: StreamId, relay: PeerId) {
        let needed = self.forest.has_children(stream, relay) || self.is_counted_on(stream, relay);
        if needed || !self.is_relay(relay) || !self.forest.contains(stream, relay) {
            return;
        }
        self.leave(relay, stream);
        let order = self.next_order();
        self.send(relay, ToPeer::Release { stream, order });
    }
}
