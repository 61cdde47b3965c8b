//! What is to happen when nothing else does.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{PeerId, StreamId};
use crate::time::Time;

use super::SocketId;

/// What a deadline is for; each is set once, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deadline {
    /// The socket has said nothing for too long.
    Silence(SocketId),
    /// The handshake on this socket takes too long, or its outcome may be told.
    Examiner(SocketId),
    /// The peer's certificate is half over.
    Certificate(PeerId),
    /// The peer's socket is closed, and it has not come back.
    Gone(PeerId),
    /// The peer has been suspect long enough.
    Suspect(PeerId),
    /// The peer may be given as many children again as it says that it can feed.
    Limit(PeerId),
    /// The peer was asked whether it is there, and has not answered.
    Unanswered(PeerId),
    /// The relay has fed nobody in the stream for a while.
    Idle(StreamId, PeerId),
    /// The broadcaster has not come back to its stream.
    Ended(StreamId),
    /// The number of viewers has changed.
    Announce(StreamId),
    /// The broadcaster's clock is to be told again.
    Clock(StreamId),
    /// The parent that this peer claims has not come.
    Claim(StreamId, PeerId),
    /// The stream that peers claim to be in has not come.
    Held(StreamId),
    /// The old parent (first) may let the child (second) go: it has had time to settle at its new one.
    Drop(StreamId, PeerId, PeerId),
    /// The member's backup parent is to be thought about.
    Backup(StreamId, PeerId),
    /// The stream's tree may have become deep.
    Balance(StreamId),
    /// The second half of a new arrangement is to be told.
    HeldBack(StreamId),
    /// Credentials of TURN servers that were handed out are half over.
    IceServers,
    /// Those who wait for a place are tried again.
    Retry,
    /// Members are back since the start, and those put out before it are to lose the streams' keys.
    ChangeKeys,
}

/// Deadlines by time, each of which can be moved and taken back.
#[derive(Debug, Clone, Default)]
pub(super) struct Deadlines {
    at: BTreeMap<Deadline, Time>,
    order: BTreeSet<(Time, Deadline)>,
}

impl Deadlines {
    /// Sets a deadline, or moves it.
    pub(super) fn set(&mut self, what: Deadline, at: Time) {
        self.clear(what);
        self.at.insert(what, at);
        self.order.insert((at, what));
    }

    /// Sets a deadline unless it is set already.
    pub(super) fn set_once(&mut self, what: Deadline, at: Time) {
        if !self.is_set(what) {
            self.set(what, at);
        }
    }

    pub(super) fn clear(&mut self, what: Deadline) {
        if let Some(at) = self.at.remove(&what) {
            self.order.remove(&(at, what));
        }
    }

    pub(super) fn is_set(&self, what: Deadline) -> bool {
        self.at.contains_key(&what)
    }

    /// The next one that has passed, which is cleared.
    pub(super) fn due(&mut self, now: Time) -> Option<Deadline> {
        let &(at, what) = self.order.first()?;
        (at <= now).then(|| self.clear(what))?;
        Some(what)
    }

    pub(super) fn next(&self) -> Time {
        self.order.first().map_or(Time::NEVER, |&(at, _)| at)
    }

    pub(super) fn len(&self) -> usize {
        self.at.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_was_moved_passes_once_at_its_new_time() {
        let mut deadlines = Deadlines::default();
        deadlines.set(Deadline::Retry, Time::from_millis(10));
        deadlines.set(Deadline::Retry, Time::from_millis(20));
        assert_eq!(deadlines.due(Time::from_millis(19)), None);
        assert_eq!(deadlines.due(Time::from_millis(20)), Some(Deadline::Retry));
        assert_eq!((deadlines.next(), deadlines.len()), (Time::NEVER, 0));
    }
}
