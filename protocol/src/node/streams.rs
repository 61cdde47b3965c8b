//! The peer's part in each stream: who feeds it, what it keeps, whom it feeds.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::StreamStats;
use super::lag::Lag;
use crate::chunk::Chunk;
use crate::forwarder::Mailbox;
use crate::id::{LinkId, PeerId, StreamHandle, StreamId};
use crate::media::Track;
use crate::repair::Repair;
use crate::security::grant::SignedDescriptor;
use crate::security::otdp::verifier::Verifier;
use crate::security::secret::StreamKey;
use crate::signal::{FromPeer, MAX_SLOW, Neighbour, Order, Registration, Report};
use crate::time::{ClockMap, Time};
use crate::window::Window;
use crate::wire::TrackPosition;

/// A peer that waits for a parent asks again this often: the supervisor may have forgotten it.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A peer that nobody feeds, and to whom the supervisor says nothing, tries its backups this often: one that refused may have found
/// its own parent by then. As long as who refused is not asked.
pub(super) const TRY_ALONE: Duration = super::backups::REFUSED_FOR;

/// Who is to feed us and brings nothing is given up after this. Guess: it may be new itself, and its own connection take three
/// seconds; below the time that the parent before goes on.
pub(super) const WITHHELD: Duration = Duration::from_secs(4);

/// Chunks that may overtake their epoch's descriptor, which comes on the other channel, or their key. Guess: two
/// seconds.
const MAX_EARLY: usize = 512;

/// Why we have a part in a stream.
#[derive(Debug)]
pub(super) enum Role {
    Published(Registration),
    Watched,
    Relayed,
}

/// A parent, or one to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Upstream {
    pub(super) peer: PeerId,
    pub(super) link: LinkId,
}

#[derive(Debug)]
pub(super) struct Child {
    pub(super) peer: PeerId,
    pub(super) mailbox: Mailbox,
    /// The supervisor moved it; it is fed no longer than this.
    pub(super) until: Option<Time>,
    /// There was a moment when nothing waited for it.
    pub(super) has_caught_up: bool,
    /// When it was last told, or it was considered, how much waits for it.
    pub(super) told_behind: Time,
}

/// A subscription nobody has announced yet.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) link: LinkId,
    pub(super) from: Vec<TrackPosition>,
    pub(super) until: Time,
}

/// A backup that is asked for the next frame, because the parent brings none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    pub(super) link: LinkId,
    pub(super) asked: Time,
    /// Until it is asked again.
    pub(super) pause: Duration,
}

/// Our part in one stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) role: Role,
    pub(super) descriptor: Option<SignedDescriptor>,
    /// Checks what comes; none where nothing is sealed, and none for what is our own.
    pub(super) verifier: Option<Verifier>,
    /// The last keys given, by number.
    pub(super) keys: Vec<(u8, StreamKey)>,
    /// The supervisor took our stream, and its key is yet to come or to be opened: the epoch, and the grant.
    pub(super) registered: Option<(u32, Bytes)>,
    pub(super) invitation: Option<String>,
    pub(super) clock: Option<ClockMap>,
    pub(super) window: Window,
    pub(super) repair: Repair,
    /// When something new of each track came last.
    pub(super) fed: BTreeMap<(Track, u8), Time>,
    /// The backup that was asked whether it has more than the parent brings.
    pub(super) probe: Option<Probe>,
    /// How far behind the parent says it is.
    pub(super) lag: Lag,
    /// Chunks that cannot be checked yet, and who brought them.
    pub(super) early: VecDeque<(LinkId, Chunk)>,
    pub(super) parent: Option<Upstream>,
    /// The parent to be: takes over with the first thing it sends (make before break).
    pub(super) next: Option<Upstream>,
    /// When that was asked for the stream; never, as long as the link is not ready.
    pub(super) next_asked: Time,
    /// The parent before: what still comes of it is taken until the new one has brought media.
    pub(super) leaving: Option<Upstream>,
    /// The parent has brought no media yet.
    pub(super) is_unproven: bool,
    pub(super) order: Order,
    /// Who is to feed us if the parent is lost, best first; links to them are kept.
    pub(super) backups: Vec<Upstream>,
    pub(super) backups_order: Order,
    /// Those who were named before, and until when they may stand in all the same: links to the new ones take time.
    pub(super) relieved: Vec<(Upstream, Time)>,
    /// Links over which we were refused, and until when it is not tried there again.
    pub(super) refusals: BTreeMap<LinkId, Time>,
    /// Since when the parent is silent, if that was found out.
    pub(super) doubt: Option<Time>,
    /// The parent of which the supervisor was told that it is silent, and the order under which it was the parent.
    pub(super) complained: Option<(Upstream, Order)>,
    /// When it was last tried in vain to take over.
    pub(super) tried: Time,
    pub(super) asked: Time,
    pub(super) path: Vec<PeerId>,
    pub(super) children: BTreeMap<LinkId, Child>,
    pub(super) expected: BTreeMap<PeerId, Neighbour>,
    /// Those who were expected a moment ago, and until when they are fed all the same if they ask.
    pub(super) dismissed: BTreeMap<PeerId, Time>,
    pub(super) early_children: Vec<Early>,
    /// The most children there were since the last report while most were behind.
    pub(super) strained: u16,
    pub(super) viewing: Report,
    /// The round trip that the viewer was told last.
    pub(super) round_trip: Duration,
    /// What comes of an earlier epoch is a recording.
    pub(super) least_epoch: u32,
    pub(super) bytes_down: u64,
    pub(super) bytes_up: u64,
    pub(super) chunks_up: u64,
    pub(super) repairs: u64,
    pub(super) takeovers: u64,
    pub(super) skips_of_the_gone: u64,
    pub(super) reported: (u64, u64),
}

impl Stream {
    pub(super) fn new(id: StreamId, role: Role, now: Time) -> Self {
        Self {
            id,
            role,
            descriptor: None,
            verifier: None,
            keys: Vec::new(),
            registered: None,
            invitation: None,
            clock: None,
            window: Window::default(),
            repair: Repair::default(),
            fed: BTreeMap::new(),
            probe: None,
            lag: Lag::default(),
            early: VecDeque::new(),
            parent: None,
            next: None,
            next_asked: Time::NEVER,
            leaving: None,
            is_unproven: false,
            order: Order::default(),
            backups: Vec::new(),
            backups_order: Order::default(),
            relieved: Vec::new(),
            refusals: BTreeMap::new(),
            doubt: None,
            complained: None,
            tried: Time::ZERO,
            asked: now,
            path: Vec::new(),
            children: BTreeMap::new(),
            expected: BTreeMap::new(),
            dismissed: BTreeMap::new(),
            early_children: Vec::new(),
            strained: 0,
            viewing: Report::default(),
            round_trip: Duration::ZERO,
            least_epoch: 0,
            bytes_down: 0,
            bytes_up: 0,
            chunks_up: 0,
            repairs: 0,
            takeovers: 0,
            skips_of_the_gone: 0,
            reported: (0, 0),
        }
    }

    pub(super) fn handle(&self) -> StreamHandle {
        self.id.handle()
    }

    /// Holds a chunk until its epoch's descriptor and its key are here.
    pub(super) fn hold(&mut self, link: LinkId, chunk: Chunk) {
        if self.early.len() >= MAX_EARLY {
            self.early.pop_front();
        }
        self.early.push_back((link, chunk));
    }

    pub(super) const fn is_ours(&self) -> bool {
        matches!(self.role, Role::Published(_))
    }

    pub(super) fn epoch(&self) -> Option<u32> {
        self.descriptor.as_ref().map(|d| d.descriptor.epoch)
    }

    /// The number of the key that our own chunks are sealed with.
    pub(super) fn running_key(&self) -> Option<u8> {
        self.keys.last().map(|&(id, _)| id)
    }

    pub(super) fn is_fed_by(&self, link: LinkId) -> bool {
        self.upstreams().any(|u| u.link == link)
    }

    pub(super) fn feeds(&self, link: LinkId) -> bool {
        self.children.contains_key(&link)
    }

    /// For how many children media waits.
    pub(super) fn behind(&self) -> usize {
        self.children.values().filter(|c| c.is_behind()).count()
    }

    /// Those who are behind while most are not.
    pub(super) fn slow_children(&self) -> Vec<PeerId> {
        if self.are_most_behind() {
            return Vec::new();
        }
        let behind = self.children.values().filter(|c| c.is_behind());
        behind.map(|child| child.peer).take(MAX_SLOW).collect()
    }

    /// There are too many children, for most are behind.
    pub(super) fn is_strained(&mut self) {
        let children = u16::try_from(self.children.len()).unwrap_or(u16::MAX);
        self.strained = self.strained.max(children);
    }

    /// Whether most children are behind: then it is this peer that is slow.
    pub(super) fn are_most_behind(&self) -> bool {
        self.behind() * 2 > self.children.len()
    }

    pub(super) fn stats(&self) -> StreamStats {
        StreamStats {
            parent: self.parent.map(|p| p.peer),
            depth: u16::try_from(self.path.len().saturating_sub(1)).unwrap_or(u16::MAX),
            children: u16::try_from(self.children.len()).unwrap_or(u16::MAX),
            behind: u16::try_from(self.behind()).unwrap_or(u16::MAX),
            bytes_down: self.bytes_down,
            bytes_up: self.bytes_up,
            window_bytes: self.window.bytes(),
            skips: self.skips_of_the_gone
                + self
                    .children
                    .values()
                    .map(|c| c.mailbox.skips())
                    .sum::<u64>(),
            chunks_up: self.chunks_up,
            repairs: self.repairs,
            takeovers: self.takeovers,
        }
    }

    /// What a supervisor has to be told that may know nothing.
    pub(super) fn standing(&self) -> Option<FromPeer> {
        match &self.role {
            Role::Published(registration) => Some(FromPeer::RegisterStream(Registration {
                running_epoch: self.epoch(),
                running_key: self.running_key(),
                ..registration.clone()
            })),
            Role::Watched | Role::Relayed => Some(FromPeer::Join {
                stream: self.id,
                parent: self.parent.map(|p| p.peer),
                invitation: self.invitation.clone(),
            }),
        }
    }

    /// Whether it is passed on for nobody, and comes from nobody.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.role, Role::Relayed)
            && self.parent.is_none()
            && self.next.is_none()
            && self.children.is_empty()
            && self.early_children.is_empty()
    }

    /// Children that were announced and never came are announced again if they still are to come.
    pub(super) fn expect_only_those_here(&mut self) {
        let here: Vec<PeerId> = self.children.values().map(|child| child.peer).collect();
        self.expected.retain(|peer, _| here.contains(peer));
    }

    /// Who may feed us if the parent does not, best first: those who are named, then those who were a moment ago.
    pub(super) fn stand_ins(&self) -> impl Iterator<Item = Upstream> + '_ {
        let relieved = self.relieved.iter().map(|(backup, _)| *backup);
        self.backups.iter().copied().chain(relieved)
    }

    /// When backups are tried without anybody's word.
    fn try_alone_at(&self) -> Time {
        match self.wants_a_parent() && self.stand_ins().next().is_some() {
            true => self.tried + TRY_ALONE,
            false => Time::NEVER,
        }
    }

    /// Whether it is time for that.
    pub(super) fn tries_alone(&self, now: Time) -> bool {
        now >= self.try_alone_at()
    }

    /// When the parent to be is given up, if it brings nothing.
    fn withheld_at(&self) -> Time {
        match self.next {
            Some(_) if self.next_asked != Time::NEVER => self.next_asked + WITHHELD,
            _ => Time::NEVER,
        }
    }

    /// The parent to be, if it is to be given up. Where the parent that there is brings nothing new either, the source pauses.
    pub(super) fn withholds(&mut self, now: Time) -> Option<LinkId> {
        if now < self.withheld_at() {
            return None;
        }
        let asked = std::mem::replace(&mut self.next_asked, now);
        let goes_on = self.fed.values().any(|&at| at > asked);
        let next = self.next.filter(|_| goes_on || self.parent.is_none());
        next.map(|next| next.link)
    }

    pub(super) fn wants_a_parent(&self) -> bool {
        !self.is_ours() && self.parent.is_none() && self.next.is_none()
    }

    pub(super) fn next_wakeup(&self) -> Time {
        let ask = if self.wants_a_parent() {
            self.asked + ASK_AGAIN
        } else {
            Time::NEVER
        };
        let drops = self.children.values().filter_map(|c| c.until);
        let early = self.early_children.iter().map(|e| e.until);
        let doubts = self.verifier.as_ref().map(Verifier::next_wakeup);
        let early = early.chain(doubts);
        let own = [
            ask,
            self.mend_at(),
            self.probe_at(),
            self.try_alone_at(),
            self.withheld_at(),
        ];
        drops.chain(early).chain(own).min().unwrap_or(Time::NEVER)
    }

    pub(super) fn remove_child(&mut self, link: LinkId) -> bool {
        let Some(child) = self.children.remove(&link) else {
            return false;
        };
        self.skips_of_the_gone += child.mailbox.skips();
        true
    }

    pub(super) fn detail(&self, link: LinkId) -> Option<Upstream> {
        self.upstreams().find(|u| u.link == link)
    }

    fn upstreams(&self) -> impl Iterator<Item = Upstream> {
        [self.parent, self.next, self.leaving].into_iter().flatten()
    }
}
