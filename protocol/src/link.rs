//! One edge of the topology: a connection to one neighbour (paper §III.B.5), and whether it lives.
//!
//! A tab that closes is silent, and ICE notices after five seconds and more: so both ends say something at
//! least every so often, and whoever hears nothing for too long takes the link for dead. Knows nothing of
//! WebRTC, nor of why the edge exists.

use std::collections::VecDeque;
use std::time::Duration;

use crate::forwarder::Flow;
use crate::id::{Fingerprint, PeerId, StreamHandle};
use crate::signal::{Component, Neighbour};
use crate::time::Time;

/// A parent that has said nothing for this long says that it is there (design §5).
pub const BEAT_DOWN: Duration = Duration::from_millis(50);
/// A child says so this often: its parent only clears up after it, and 64 children beating every 50 ms would
/// cost a relay more than the media. Guess.
pub const BEAT_UP: Duration = Duration::from_millis(500);
/// A parent silent for this long is dead. Guess: ten beats; a busy two-core board pauses for 200 ms.
pub const PARENT_SILENT: Duration = Duration::from_millis(500);
/// A parent silent for this long is doubtful: whoever has a backup parent takes over there a moment later. Guess: more than
/// three beats; what a false alarm costs is one subscription.
pub const PARENT_DOUBTFUL: Duration = Duration::from_millis(170);
/// Both ends of a link that stands by say so this often. Guess: a backup that died silently is known to have before
/// the parent does, more often than not.
pub const BEAT_STANDBY: Duration = Duration::from_millis(250);
/// A neighbour heard within this is well: two such beats, and some.
pub const WELL: Duration = Duration::from_millis(700);
/// A child silent for this long is gone. Guess: six beats.
pub const CHILD_SILENT: Duration = Duration::from_secs(3);
/// A connection that takes longer to set up is given up. Guess: ICE over a bad mobile link takes five.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(8);
/// A link without a stream is closed after this. Guess: a move to and fro within it needs no new connection.
pub const IDLE_LIMIT: Duration = Duration::from_secs(2);

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Offer and answer are on their way, or the connection is being set up.
    Connecting,
    /// The channels are open; the other end's hello is not here yet.
    Open,
    /// Both ends have said hello.
    Ready,
}

/// What the neighbour is for us, over all streams on the link: decides who must beat how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Use {
    /// It feeds us, or is about to.
    pub parent: bool,
    /// We feed it.
    pub child: bool,
    /// It may feed us, or we it, if a parent is lost.
    pub standby: bool,
}

/// One link.
#[derive(Debug)]
pub struct Link {
    /// Who is at the other end.
    pub peer: PeerId,
    /// What it is said to be.
    pub component: Component,
    /// The DTLS certificate it must show.
    pub fingerprint: Fingerprint,
    /// When its certificate ends, seconds since 1970; never where nobody is certified.
    pub certified_until_s: u64,
    /// Whether the offer is ours.
    pub ours: bool,
    /// How far it has come.
    pub phase: Phase,
    /// What its transport still has.
    pub flow: Flow,
    /// The streams that we asked the other end for lately, whether they still come or not.
    asked: VecDeque<StreamHandle>,
    since: Time,
    heard: Time,
    said: Time,
    used: Time,
    grace: Time,
}

/// What a link's clock says is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// Say that we are there.
    Beat,
    /// It is dead, or was never used: close it. The reason in words.
    Close(&'static str),
}

/// Streams remembered as asked for over one link. Guess: all that one peer watches, and as many again.
const MOST_ASKED: usize = 128;

impl Link {
    /// We ask the other end for this stream.
    pub fn ask_for(&mut self, stream: StreamHandle) {
        self.asked.retain(|&known| known != stream);
        self.asked.push_back(stream);
        if self.asked.len() > MOST_ASKED {
            self.asked.pop_front();
        }
    }

    /// Whether chunks of this stream may come: we asked for it, or did a moment ago.
    pub fn may_bring(&self, stream: StreamHandle) -> bool {
        self.asked.contains(&stream)
    }

    /// A link to `peer` whose set-up begins now.
    pub fn new(now: Time, neighbour: &Neighbour, ours: bool) -> Self {
        let phase = Phase::Connecting;
        let flow = Flow::default();
        Self {
            peer: neighbour.peer,
            component: neighbour.component,
            fingerprint: neighbour.fingerprint,
            certified_until_s: u64::MAX,
            ours,
            phase,
            flow,
            asked: VecDeque::new(),
            since: now,
            heard: now,
            said: now,
            used: now,
            grace: now,
        }
    }

    /// The channels opened.
    pub const fn opened(&mut self, now: Time) {
        self.phase = Phase::Open;
        self.heard = now;
    }

    /// A message came.
    pub const fn heard(&mut self, now: Time) {
        self.heard = now;
    }

    /// A message was sent.
    pub const fn said(&mut self, now: Time) {
        self.said = now;
    }

    /// This peer itself slept until now: what the neighbour said meanwhile may still wait to be read, so it
    /// is not taken for silent yet.
    pub fn overslept(&mut self, now: Time) {
        self.grace = now;
    }

    /// What is due at `now`.
    pub fn due(&mut self, now: Time, used: Use) -> Due {
        if used.parent || used.child || used.standby {
            self.used = now;
        }
        if self.phase != Phase::Ready {
            let late = now >= self.since + CONNECT_LIMIT;
            return if late {
                Due::Close("the connection could not be set up")
            } else {
                Due::Nothing
            };
        }
        if now >= self.silent_at(used) {
            return Due::Close("nothing was heard for too long");
        }
        if now >= self.used + IDLE_LIMIT {
            return Due::Close("no stream needs it any more");
        }
        if now >= self.said + beat(used) {
            Due::Beat
        } else {
            Due::Nothing
        }
    }

    /// When [`Self::due`] may have something new to say.
    pub fn next_wakeup(&self, used: Use) -> Time {
        if self.phase != Phase::Ready {
            return self.since + CONNECT_LIMIT;
        }
        let idle = if used.parent || used.child || used.standby {
            Time::NEVER
        } else {
            self.used + IDLE_LIMIT
        };
        self.silent_at(used).min(self.said + beat(used)).min(idle)
    }

    /// When a parent that goes on being silent is doubtful.
    pub fn doubtful_at(&self) -> Time {
        (self.heard + PARENT_DOUBTFUL).max(self.grace + PARENT_DOUBTFUL / 2)
    }

    /// Until when the neighbour is well if nothing more is heard of it.
    pub fn well_until(&self) -> Time {
        (self.heard + WELL).max(self.grace + WELL / 2)
    }

    /// Whether the neighbour was heard lately.
    pub fn is_well(&self, now: Time) -> bool {
        now < self.well_until()
    }

    fn silent_at(&self, used: Use) -> Time {
        let limit = if used.parent {
            PARENT_SILENT
        } else {
            CHILD_SILENT
        };
        (self.heard + limit).max(self.grace + limit / 2)
    }
}

const fn beat(used: Use) -> Duration {
    match used {
        Use { child: true, .. } => BEAT_DOWN,
        Use { standby: true, .. } => BEAT_STANDBY,
        _ => BEAT_UP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: Use = Use {
        parent: true,
        child: false,
        standby: false,
    };
    const CHILD: Use = Use {
        parent: false,
        child: true,
        standby: false,
    };

    fn ready() -> Link {
        let neighbour = Neighbour {
            peer: PeerId::from_bytes([1; 16]),
            component: Component::Relay,
            fingerprint: Fingerprint::from_bytes([2; 32]),
        };
        let mut link = Link::new(Time::ZERO, &neighbour, true);
        link.opened(Time::ZERO);
        link.phase = Phase::Ready;
        link
    }

    #[test]
    fn a_parent_silent_for_half_a_second_is_dead_and_a_child_only_after_three() {
        let mut link = ready();
        link.said(Time::from_millis(499));
        assert_eq!(link.due(Time::from_millis(499), PARENT), Due::Nothing);
        assert!(matches!(
            link.due(Time::from_millis(500), PARENT),
            Due::Close(_)
        ));
        link.said(Time::from_millis(2_999));
        assert_eq!(link.due(Time::from_millis(2_999), CHILD), Due::Nothing);
        assert!(matches!(
            link.due(Time::from_millis(3_000), CHILD),
            Due::Close(_)
        ));
    }

    #[test]
    fn who_feeds_beats_when_nothing_else_was_said_for_50_ms() {
        let mut link = ready();
        assert_eq!(link.due(Time::from_millis(49), CHILD), Due::Nothing);
        assert_eq!(link.due(Time::from_millis(50), CHILD), Due::Beat);
        link.said(Time::from_millis(50));
        assert_eq!(link.next_wakeup(CHILD), Time::from_millis(100));
    }

    #[test]
    fn a_peer_that_slept_itself_gives_its_parent_time_to_be_heard() {
        let mut link = ready();
        let late = Time::from_millis(2_000);
        link.overslept(late);
        link.said(late);
        assert_eq!(link.due(late, PARENT), Due::Nothing);
        assert!(matches!(
            link.due(late + PARENT_SILENT / 2, PARENT),
            Due::Close(_)
        ));
    }

    #[test]
    fn a_link_no_stream_needs_is_closed() {
        let mut link = ready();
        link.due(Time::from_millis(100), CHILD);
        link.heard(Time::from_millis(2_000));
        assert!(matches!(
            link.due(Time::from_millis(2_100), Use::default()),
            Due::Close(_)
        ));
    }
}
