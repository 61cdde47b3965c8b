//! Peers that are slower than they say, as they and their parents report: a page cannot know its uplink, and no peer what
//! others on the same line do.
//!
//! Whoever has media waiting for most of its children has one less. Whoever is behind while its siblings are not feeds nobody,
//! for it would pass its delay on. Both for a while: then what it says of its uplink holds again.

use std::time::Duration;

use crate::id::{PeerId, StreamId};
use crate::signal::{Component, Report};
use crate::time::Time;

use super::StreamManager;
use super::deadlines::Deadline;
use super::happenings::What;

/// How long a limit holds: twice as long each time, for a line that is slow stays so. Guesses: a download that is over after a
/// minute, and a line that is tried four times an hour.
const HOLDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(900));

/// Children were too many if they were twice within this time: once is a page that was busy, or a line that was. Guess: those
/// that leave for it are replaced after ten seconds.
const TWICE: Duration = Duration::from_secs(60);

/// Who gets less than this share of what its siblings get is slow; who gets more only lags, and stays no further behind. Guess:
/// two reports look at different seconds of a stream whose rate varies.
const SHARE_PERCENT: u64 = 85;

/// What a peer was seen to be able to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Over all streams, kbit/s, as long as that is less than it says.
    pub(super) kbps: Option<u32>,
    /// How long the next one holds.
    holds: Duration,
    /// When it had too many children last.
    strained: Option<Time>,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            kbps: None,
            holds: HOLDS.0,
            strained: None,
        }
    }
}

impl StreamManager {
    /// A member has reported, and had reported this `before`.
    pub(super) fn look_for_slow_ones(
        &mut self,
        peer: PeerId,
        stream: StreamId,
        before: Option<&Report>,
        now: &Report,
    ) {
        if self.forest.is_strict() {
            return;
        }
        if now.too_many > 0 {
            self.strained(peer, stream, now.too_many);
        }
        for child in self.slow_children(peer, stream, before, now) {
            self.limit(child, stream, 0);
        }
    }

    /// A peer could not feed so many. A broadcaster encodes less then.
    fn strained(&mut self, peer: PeerId, stream: StreamId, children: u16) {
        let now = self.now;
        let known = self.peers.get_mut(&peer);
        let Some(known) = known.filter(|k| k.info.component != Component::Broadcaster) else {
            return;
        };
        let last = known.limit.strained.replace(now);
        if last.is_some_and(|last| now.since(last) < TWICE) {
            let kbps = self.forest.load_with(peer, stream, children - 1);
            self.limit(peer, stream, kbps);
        }
    }

    /// Those who were behind both times, and get less than their siblings.
    fn slow_children(
        &self,
        parent: PeerId,
        stream: StreamId,
        before: Option<&Report>,
        now: &Report,
    ) -> Vec<PeerId> {
        let each = now.up_kbps / u32::from(now.children.max(1));
        let gets = |child: PeerId| {
            let known = self.peers.get(&child);
            let report = known.and_then(|known| known.places.get(&stream)?.report.as_ref());
            report.map_or(u32::MAX, |report| report.down_kbps)
        };
        let is_little = |child| u64::from(gets(child)) * 100 < u64::from(each) * SHARE_PERCENT;
        let again = |child| before.is_some_and(|before| before.slow.contains(&child));
        let named = now.slow.iter().copied();
        named
            .filter(|&child| self.forest.parent(stream, child) == Some(parent))
            .filter(|&child| again(child) && is_little(child))
            .collect()
    }

    /// `peer` can send no more than this for now. A relay that is behind is still a relay: those below it judge it.
    fn limit(&mut self, peer: PeerId, stream: StreamId, kbps: u32) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let is_relay = known.info.component == Component::Relay;
        let least = known.limit.kbps.unwrap_or(known.info.uplink_kbps);
        if kbps >= least || (is_relay && kbps == 0) {
            return;
        }
        let until = self.now + known.limit.holds;
        known.limit.kbps = Some(kbps);
        known.limit.holds = (known.limit.holds * 2).min(HOLDS.1);
        self.deadlines.set(Deadline::Limit(peer), until);
        self.note(Some(peer), Some(stream), What::Limited { kbps });
        self.change_forest(|forest, out| {
            forest.limit(peer, kbps, out);
            forest.loses_rank(peer);
        });
        let streams: Vec<StreamId> = self.forest.streams_of(peer).collect();
        for stream in streams {
            self.reconsider_backups(stream, peer, false);
        }
    }

    /// What the peer says holds again.
    pub(super) fn lift_limit(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        known.limit.kbps = None;
        let kbps = known.info.uplink_kbps;
        self.change_forest(|forest, out| forest.limit(peer, kbps, out));
    }
}
