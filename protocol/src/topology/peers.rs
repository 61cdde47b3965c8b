//! What each peer can still send, over all the streams it is in.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::id::{PeerId, StreamId};
use crate::signal::Component;

use super::few::Few;
use super::site::Site;

/// What placement needs to know of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// What it is.
    pub component: Component,
    /// Whether it feeds anybody at all.
    pub relays: bool,
    /// What it can send over all streams, kbit/s.
    pub uplink_kbps: u32,
    /// Where it is, if that is known: of places as good as each other it gets one there.
    pub site: Option<Site>,
}

/// Whether a peer is to be given children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Yes.
    Open,
    /// Only while there is no other place: a child said that it is dead.
    Suspect,
    /// No: nothing can be said to it now. What it has it keeps.
    Away,
}

/// One peer, over all its streams.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) traits: Traits,
    pub(super) standing: Standing,
    /// It is gone, and only still here as the root of a stream that waits for its return.
    pub(super) departed: bool,
    pub(super) streams: Few<StreamId>,
    used_kbps: u64,
}

impl Peer {
    /// What its uplink has left, kbit/s. Adopted links can use more than there is.
    pub(super) fn left_kbps(&self) -> u64 {
        if self.traits.relays {
            u64::from(self.traits.uplink_kbps).saturating_sub(self.used_kbps)
        } else {
            0
        }
    }

    /// Whether it has more to send than it can.
    pub(super) fn sends_too_much(&self) -> bool {
        let may = if self.traits.relays {
            self.traits.uplink_kbps
        } else {
            0
        };
        self.used_kbps > u64::from(may)
    }

    /// Whether it could feed one child of a stream of this rate, if it fed nobody else.
    pub(super) fn can_feed(&self, kbps: u32) -> bool {
        self.traits.relays && self.traits.uplink_kbps >= kbps
    }
}

/// All peers, and the relays in the order of what they have left.
#[derive(Debug, Clone, Default)]
pub(super) struct Peers {
    table: BTreeMap<PeerId, Peer>,
    relays: BTreeSet<(Reverse<u64>, PeerId)>,
}

impl Peers {
    pub(super) fn get(&self, peer: PeerId) -> Option<&Peer> {
        self.table.get(&peer)
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Adds a peer, or brings what is known of it up to date.
    pub(super) fn insert(&mut self, peer: PeerId, traits: Traits) {
        let fresh = Peer {
            traits,
            standing: Standing::Open,
            departed: false,
            streams: Few::new(),
            used_kbps: 0,
        };
        self.table.entry(peer).or_insert(fresh);
        self.change(peer, |known| {
            known.traits = traits;
            known.departed = false;
            known.standing = Standing::Open;
        });
    }

    pub(super) fn remove(&mut self, peer: PeerId) {
        self.change(peer, |known| known.standing = Standing::Away);
        self.table.remove(&peer);
    }

    /// Changes a peer, and its place among the relays with it.
    pub(super) fn change(&mut self, peer: PeerId, how: impl FnOnce(&mut Peer)) {
        let Some(known) = self.table.get_mut(&peer) else {
            return;
        };
        self.relays.remove(&(Reverse(known.left_kbps()), peer));
        how(known);
        let relay = known.traits.component == Component::Relay && known.can_feed(1);
        if relay && known.standing == Standing::Open {
            self.relays.insert((Reverse(known.left_kbps()), peer));
        }
    }

    /// One child more (or, negative, less) of a stream of this rate.
    pub(super) fn charge(&mut self, peer: PeerId, kbps: i64) {
        self.change(peer, |known| {
            known.used_kbps = known.used_kbps.saturating_add_signed(kbps)
        });
    }

    /// Whether there is any relay to be had.
    pub(super) fn any_relay(&self) -> bool {
        !self.relays.is_empty()
    }

    /// The relay with most left, if that is enough, among those that are not `taken`.
    pub(super) fn relay_with(&self, kbps: u32, taken: impl Fn(PeerId) -> bool) -> Option<PeerId> {
        let enough = self
            .relays
            .iter()
            .take_while(|(left, _)| left.0 >= u64::from(kbps));
        enough.map(|&(_, peer)| peer).find(|&peer| !taken(peer))
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer, u64)> {
        self.table
            .iter()
            .map(|(&id, peer)| (id, peer, peer.used_kbps))
    }
}
