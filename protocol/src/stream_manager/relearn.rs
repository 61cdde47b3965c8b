//! After a restart: members of streams whose broadcasters, or parents, are not back yet.

use crate::id::{PeerId, StreamId};
use crate::signal::{Refusal, ToPeer};

use super::deadlines::Deadline;
use super::peers::Place;
use super::{RELEARNING, StreamManager};

/// What a peer said when it wanted to join a stream that is not back yet.
#[derive(Debug)]
pub(super) struct HeldJoin {
    claim: Option<PeerId>,
    invitation: Option<String>,
}

impl StreamManager {
    /// A join of a stream that is not here. Soon after a start it may come yet; a peer that says it has a parent
    /// is left in peace until then.
    pub(super) fn hold(
        &mut self,
        peer: PeerId,
        stream: StreamId,
        claim: Option<PeerId>,
        invitation: Option<&str>,
    ) {
        let until = self.started + RELEARNING;
        if self.now >= until {
            return self.refuse_stream(
                peer,
                stream,
                Refusal::NoSuchStream,
                "there is no such stream",
            );
        }
        let join = HeldJoin {
            claim,
            invitation: invitation.map(str::to_owned),
        };
        self.held.entry(stream).or_default().insert(peer, join);
        self.deadlines.set_once(Deadline::Held(stream), until);
        let (order, now) = (self.next_order(), self.now);
        if let Some(known) = self.peers.get_mut(&peer) {
            let place = known
                .places
                .entry(stream)
                .or_insert_with(|| Place::new(now));
            place.order = claim.is_none().then_some(order);
        }
        if claim.is_none() {
            self.send(
                peer,
                ToPeer::Placement {
                    stream,
                    order,
                    parent: None,
                },
            );
        }
    }

    /// The stream is here: so are those who said they are in it.
    pub(super) fn release_held(&mut self, stream: StreamId) {
        self.deadlines.clear(Deadline::Held(stream));
        for (peer, join) in self.held.remove(&stream).unwrap_or_default() {
            self.join(peer, stream, join.claim, join.invitation.as_deref());
        }
    }

    pub(super) fn forget_held(&mut self, peer: PeerId, stream: StreamId) {
        let Some(held) = self.held.get_mut(&stream) else {
            return;
        };
        held.remove(&peer);
        if held.is_empty() {
            self.held.remove(&stream);
            self.deadlines.clear(Deadline::Held(stream));
        }
    }

    /// The stream has not come back.
    pub(super) fn stream_stayed_away(&mut self, stream: StreamId) {
        for (peer, _) in self.held.remove(&stream).unwrap_or_default() {
            self.forget_place(peer, stream);
            self.send(peer, ToPeer::StreamEnded { stream });
        }
    }

    /// Whether the parent that the peer claims has not come back yet.
    pub(super) fn floats(&self, stream: StreamId, peer: PeerId) -> bool {
        let waits = self.deadlines.is_set(Deadline::Claim(stream, peer));
        waits && self.forest.parent(stream, peer).is_none()
    }

    /// The parent a peer claims has not come back, or is none of its any more: the peer gets another.
    pub(super) fn claim_failed(&mut self, stream: StreamId, peer: PeerId) {
        self.change_forest(|forest, out| forest.expire_claim(stream, peer, out));
    }
}
