//! What has just happened, for people: the journal and the monitor are told from here.
//!
//! Kept for one step alone: whoever wants to know asks after each [`super::StreamManager::handle`]; nobody has to.

use serde::Serialize;

use super::StreamManager;
use crate::id::{PeerId, StreamId};
use crate::signal::Failure;

/// Something that happened to a peer, to a stream, or to both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Happening {
    /// Whom it happened to.
    pub peer: Option<PeerId>,
    /// In which stream.
    pub stream: Option<StreamId>,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum What {
    /// A peer was let in.
    Came,
    /// A peer is gone from everywhere: it left, or was silent or away for too long.
    Went,
    /// A peer has a part in a stream from now on.
    Joined,
    /// It gave that part up.
    Left,
    /// It is gone without having given it up: the paper's disconnection.
    Lost,
    /// It is to be fed by another parent.
    Moved {
        /// Who fed it.
        from: PeerId,
        /// Who is to feed it.
        to: PeerId,
    },
    /// It goes on at its backup parent, by itself.
    TookOver {
        /// Who fed it.
        from: PeerId,
        /// Who feeds it.
        to: PeerId,
    },
    /// Its parent was lost to it, and it asks for another.
    ParentLost {
        /// Who.
        parent: PeerId,
    },
    /// It cannot feed those it was given, or not take what it is given: it has fewer children for a while, or none.
    Limited {
        /// What it is thought to be able to send, kbit/s.
        kbps: u32,
    },
    /// Its picture stood still.
    Stalled {
        /// How often since it was last heard of.
        times: u32,
    },
    /// A stream is on the air.
    OnAir,
    /// Its broadcaster is away.
    BroadcasterAway,
    /// It is gone for good.
    Ended,
    /// A peer says that its parent passed on something forged.
    Accused {
        /// Who is accused.
        parent: PeerId,
    },
    /// It asked for a stream that it was not invited to, or not any more.
    Uninvited,
    /// The invitation that it came by was taken back, and it is out of the stream.
    InvitationRevoked,
    /// It would not be linked to another peer: that one shows another certificate than the supervisor named, or came unexpected.
    LinkRefused {
        /// Who.
        to: PeerId,
    },
    /// The operator has put it out of the stream.
    Evicted,
    /// The stream's peers are arranged anew.
    Rearranged,
    /// It was told to fail, as a test.
    ToldToFail {
        /// How.
        how: Failure,
    },
}

impl What {
    /// Its name, as the journal's EVENT has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Came => "came",
            Self::Went => "went",
            Self::Joined => "joined",
            Self::Left => "left",
            Self::Lost => "lost",
            Self::Moved { .. } => "moved",
            Self::TookOver { .. } => "took-over",
            Self::ParentLost { .. } => "parent-lost",
            Self::Limited { .. } => "limited",
            Self::Stalled { .. } => "stalled",
            Self::OnAir => "on-air",
            Self::BroadcasterAway => "broadcaster-away",
            Self::Ended => "ended",
            Self::Accused { .. } => "accused",
            Self::Uninvited => "uninvited",
            Self::InvitationRevoked => "invitation-revoked",
            Self::LinkRefused { .. } => "link-refused",
            Self::Evicted => "evicted",
            Self::Rearranged => "rearranged",
            Self::ToldToFail { .. } => "told-to-fail",
        }
    }
}

impl StreamManager {
    /// What happened in the last step, in order.
    pub fn happened(&self) -> &[Happening] {
        &self.happened
    }

    pub(super) fn note(&mut self, peer: Option<PeerId>, stream: Option<StreamId>, what: What) {
        self.happened.push(Happening { peer, stream, what });
        if let Some(known) = stream.and_then(|stream| self.streams.get_mut(&stream)) {
            known.totals.count(what);
        }
    }
}
