//! The steps of setting up a link, carried between its two ends.

use crate::id::PeerId;
use crate::signal::{LinkDescription, ToPeer};

use super::StreamManager;
use super::deadlines::Deadline;
use super::happenings::What;

impl StreamManager {
    /// Passes a step on to the other end, with the sender's name on it; or says why not.
    pub(super) fn pass_on(
        &mut self,
        sender: PeerId,
        step: LinkDescription,
        wrap: impl FnOnce(LinkDescription) -> ToPeer,
    ) {
        let LinkDescription {
            peer: other,
            link,
            body,
        } = step;
        let message = wrap(LinkDescription {
            peer: sender,
            link,
            body,
        });
        let why_not = match () {
            () if !self.are_neighbours(sender, other) => "you have no business with that peer",
            () if !self.is_connected(other) => "that peer is not connected",
            () => {
                if matches!(message, ToPeer::LinkRefused(_)) {
                    self.note(Some(sender), None, What::LinkRefused { to: other });
                }
                return self.send(other, message);
            }
        };
        // A refusal is never refused: the two would go on for ever.
        if !matches!(message, ToPeer::LinkRefused(_)) {
            let body = why_not.to_owned();
            self.send(
                sender,
                ToPeer::LinkRefused(LinkDescription {
                    peer: other,
                    link,
                    body,
                }),
            );
        }
    }

    /// Whether one feeds the other, or did until a moment ago, or is to if need be.
    pub(super) fn are_neighbours(&self, one: PeerId, other: PeerId) -> bool {
        let parting = |a, b| {
            self.forest
                .streams_of(a)
                .any(|s| self.deadlines.is_set(Deadline::Drop(s, a, b)))
        };
        self.forest.are_linked(one, other)
            || self.back_each_other_up(one, other)
            || parting(one, other)
            || parting(other, one)
    }
}
