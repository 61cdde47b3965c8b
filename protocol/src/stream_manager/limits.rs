//! Peers that are slower than they say, as they and their parents report: a page cannot know its uplink, and no peer what
//! others on the same line do.
//!
//! Whoever has media waiting for most of its children is given as many as it was seen to feed. Whoever is behind while its
//! siblings are not feeds nobody, for it would pass its delay on. Both for a while: then what it says holds again.

use std::time::Duration;

use crate::id::{PeerId, StreamId};
use crate::signal::{Component, Report};

use super::StreamManager;
use super::deadlines::Deadline;
use super::happenings::What;

/// How long a limit holds: twice as long each time, for a line that is slow stays so. Guesses: a download that is over after a
/// minute, and a line that is tried four times an hour.
const HOLDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(900));

/// What a peer was seen to be able to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Over all streams, kbit/s, as long as that is less than it says.
    pub(super) kbps: Option<u32>,
    /// How long the next one holds.
    holds: Duration,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            kbps: None,
            holds: HOLDS.0,
        }
    }
}

/// Media waits for most of the children.
const fn is_overloaded(report: &Report) -> bool {
    report.behind > 0 && report.behind as u32 * 2 > report.children as u32
}

impl StreamManager {
    /// A member has reported, and had reported this `before`: what was so both times is no burst.
    pub(super) fn look_for_slow_ones(&mut self, peer: PeerId, stream: StreamId, before: &Report) {
        if self.forest.is_strict() {
            return;
        }
        let known = self.peers.get(&peer);
        let report = known.and_then(|known| known.places.get(&stream)?.report.as_ref());
        // A broadcaster encodes less where its uplink is slow: it has no place, only a stream.
        let slow_children = match report {
            Some(now) if is_overloaded(now) && is_overloaded(before) => {
                let sent = known.into_iter().flat_map(|known| known.places.values());
                let sent = sent.filter_map(|place| place.report.as_ref());
                let kbps = sent.fold(0, |sum: u32, r| sum.saturating_add(r.up_kbps));
                return self.limit(peer, stream, kbps);
            }
            Some(now) => now.slow.clone(),
            None => self.slow_at_the_root(peer, stream),
        };
        let again = |child: &PeerId| before.slow.contains(child);
        for child in slow_children.into_iter().filter(again) {
            if self.forest.parent(stream, child) == Some(peer) {
                self.limit(child, stream, 0);
            }
        }
    }

    fn slow_at_the_root(&self, peer: PeerId, stream: StreamId) -> Vec<PeerId> {
        let known = self.streams.get(&stream);
        let known = known.filter(|known| known.broadcaster == peer);
        let report = known.and_then(|known| known.report.as_ref());
        report.map_or(Vec::new(), |report| report.slow.clone())
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
