//! What the operator has done to streams that run. Everything is make before break: a peer that is moved goes on at
//! its new parent before the old one lets it go.

use crate::id::{PeerId, StreamId};
use crate::signal::{Component, Failure, Refusal, ToPeer, Topology};
use crate::time::Time;
use crate::topology::LinkError;

use super::deadlines::Deadline;
use super::happenings::What;
use super::{Output, StreamManager};

/// Relays are told of a new arrangement so long before the viewers who are to go below them. Guess: a relay has
/// its new parent within a second, and whoever comes before that is refused where it would make a circle.
const RELAYS_FIRST: std::time::Duration = std::time::Duration::from_secs(2);

/// One thing to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// `peer`, with all below it, is to be fed by `parent`.
    Move {
        /// In which stream.
        stream: StreamId,
        /// Who.
        peer: PeerId,
        /// By whom.
        parent: PeerId,
    },
    /// `peer` is to be out of the stream, now. It may come back; see `StreamManager::block` for whoever must not.
    Evict {
        /// Of which stream.
        stream: StreamId,
        /// Who.
        peer: PeerId,
    },
    /// The stream's peers are to be arranged so, from now on.
    Rearrange {
        /// Which.
        stream: StreamId,
        /// How.
        topology: Topology,
    },
    /// The stream is to be over, and not to come back before [`Wish::Allow`].
    End {
        /// Which.
        stream: StreamId,
    },
    /// A stream that was ended may come back.
    Allow {
        /// Which.
        stream: StreamId,
    },
    /// A viewer is to fail, as a test. Only where the stream's broadcaster allows it.
    Fail {
        /// In which stream.
        stream: StreamId,
        /// Who.
        peer: PeerId,
        /// How.
        how: Failure,
    },
}

/// Why a wish is not fulfilled; the words are for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WishError {
    /// It is not there (any more).
    #[error("there is no such stream")]
    NoSuchStream,
    /// It is not there (any more).
    #[error("there is no such peer in this stream")]
    NoSuchPeer,
    /// The topology says no.
    #[error("it cannot be moved there: {0}")]
    Place(LinkError),
    /// Broadcasters are not to be moved, evicted or made to fail.
    #[error("that is the stream's broadcaster: end the stream instead")]
    Broadcaster,
    /// The stream is not for tests.
    #[error(
        "this stream does not allow failures: its broadcaster must have allow_failures = true in its [[stream]]"
    )]
    FailuresForbidden,
    /// Only viewers carry it out.
    #[error("only viewers can be told to fail: end the relay's service instead")]
    NotAViewer,
}

impl StreamManager {
    /// Does what the operator wishes, or says why not.
    pub fn fulfil(
        &mut self,
        now: Time,
        wish: Wish,
        out: &mut Vec<Output>,
    ) -> Result<(), WishError> {
        self.now = now.max(self.now);
        self.happened.clear();
        let done = match wish {
            Wish::Move {
                stream,
                peer,
                parent,
            } => self.reseat(stream, peer, parent),
            Wish::Evict { stream, peer } => self.evict(stream, peer),
            Wish::Rearrange { stream, topology } => self.rearrange(stream, topology),
            Wish::End { stream } => self.end_for_the_operator(stream),
            Wish::Allow { stream } => match self.barred.remove(&stream) {
                Some(_) => Ok(()),
                None => Err(WishError::NoSuchStream),
            },
            Wish::Fail { stream, peer, how } => self.fail(stream, peer, how),
        };
        out.append(&mut self.outbox);
        done
    }

    /// The streams that the operator has ended, and their names.
    pub fn barred(&self) -> impl Iterator<Item = (StreamId, &str)> {
        self.barred.iter().map(|(&id, name)| (id, name.as_str()))
    }

    fn reseat(&mut self, stream: StreamId, peer: PeerId, parent: PeerId) -> Result<(), WishError> {
        self.member(stream, peer)?;
        let mut done = Ok(());
        self.change_forest(|forest, out| done = forest.reseat(stream, peer, parent, out));
        done.map_err(WishError::Place)
    }

    fn evict(&mut self, stream: StreamId, peer: PeerId) -> Result<(), WishError> {
        let component = self.member(stream, peer)?;
        self.note(Some(peer), Some(stream), What::Evicted);
        self.withdraw(peer, stream);
        if component == Component::Relay {
            let order = self.next_order();
            self.send(peer, ToPeer::Release { stream, order });
        } else {
            let words = "the operator has put you out of this stream";
            self.refuse_stream(peer, stream, Refusal::NotAllowed, words);
        }
        Ok(())
    }

    fn rearrange(&mut self, stream: StreamId, topology: Topology) -> Result<(), WishError> {
        if !self.streams.contains_key(&stream) {
            return Err(WishError::NoSuchStream);
        }
        self.tell_held_back(stream); // of an arrangement that was not told in full yet
        let mut changes = Vec::new();
        self.forest.rearrange(stream, topology, &mut changes);
        self.note(None, Some(stream), What::Rearranged);
        let (first, later): (Vec<_>, Vec<_>) = match topology {
            Topology::RelayFirst => changes.into_iter().partition(|change| {
                matches!(change, crate::topology::Change::Placed { peer, .. } if self.is_relay(*peer))
            }),
            _ => (changes, Vec::new()),
        };
        let wait = !first.is_empty() && !later.is_empty();
        self.carry_out(first);
        match wait {
            true => {
                self.held_back.insert(stream, later);
                let at = self.now + RELAYS_FIRST;
                self.deadlines.set(Deadline::HeldBack(stream), at);
            }
            false => self.carry_out(later),
        }
        Ok(())
    }

    /// The second half of a new arrangement; of those alone who still are to stand where it says.
    pub(super) fn tell_held_back(&mut self, stream: StreamId) {
        self.deadlines.clear(Deadline::HeldBack(stream));
        let changes = self.held_back.remove(&stream).unwrap_or_default();
        let still = changes.into_iter().filter(|change| match *change {
            crate::topology::Change::Placed { peer, parent, .. } => {
                self.forest.contains(stream, peer) && self.forest.parent(stream, peer) == parent
            }
            crate::topology::Change::Idle { .. } => true,
        });
        let still = still.collect();
        self.carry_out(still);
    }

    fn end_for_the_operator(&mut self, stream: StreamId) -> Result<(), WishError> {
        let known = self.streams.get(&stream).ok_or(WishError::NoSuchStream)?;
        let (broadcaster, name) = (known.broadcaster, known.info.name.clone());
        self.barred.insert(stream, name);
        self.end_stream(stream);
        self.refuse_stream(broadcaster, stream, Refusal::NotAllowed, super::BARRED);
        Ok(())
    }

    fn fail(&mut self, stream: StreamId, peer: PeerId, how: Failure) -> Result<(), WishError> {
        let component = self.member(stream, peer)?;
        let allowed = self
            .streams
            .get(&stream)
            .is_some_and(|known| known.info.allow_failures);
        if !allowed {
            return Err(WishError::FailuresForbidden);
        }
        if component != Component::Receiver {
            return Err(WishError::NotAViewer);
        }
        self.note(Some(peer), Some(stream), What::ToldToFail { how });
        self.send(peer, ToPeer::Fail { stream, how });
        Ok(())
    }

    /// What a member is that is not the broadcaster.
    fn member(&self, stream: StreamId, peer: PeerId) -> Result<Component, WishError> {
        let known = self.streams.get(&stream).ok_or(WishError::NoSuchStream)?;
        if known.broadcaster == peer {
            return Err(WishError::Broadcaster);
        }
        let here = self
            .peers
            .get(&peer)
            .filter(|_| self.forest.contains(stream, peer));
        here.map(|here| here.info.component)
            .ok_or(WishError::NoSuchPeer)
    }
}
