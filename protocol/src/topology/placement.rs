//! The rules of the three placements, and the indexes that answer them without a scan.
//!
//! Linked list and binary tree are the paper's (§III.A); relay-first is ours. Nothing here links anybody.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::PeerId;
use crate::signal::{Component, Topology};

use super::graph::Vertex;
use super::peers::Standing;

/// Most children of a relay in one stream, whatever its uplink. Guess: eight times the 64 measured on two cores.
const RELAY_CHILDREN: u32 = 512;
/// Most children of a broadcaster. Guess: it has an encoder to feed as well.
const BROADCASTER_CHILDREN: u32 = 64;
/// Most children of a receiver. Guess: a page is there to play; 50 connections in one page are known to work.
const RECEIVER_CHILDREN: u32 = 8;

/// Most children a peer may have in a stream, whatever its uplink.
pub(super) fn most_children(kind: Topology, component: Component) -> u32 {
    match (kind, component) {
        (Topology::LinkedList, _) => 1,
        (Topology::Tree { arity }, _) => u32::from(arity.max(1)),
        (Topology::RelayFirst, Component::Relay) => RELAY_CHILDREN,
        (Topology::RelayFirst, Component::Broadcaster) => BROADCASTER_CHILDREN,
        (Topology::RelayFirst, Component::Receiver) => RECEIVER_CHILDREN,
    }
}

/// How the open slots of a stream are ordered; the least is taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// A suspect parent is the last choice.
    suspect: bool,
    /// Relay-first: relays, then receivers, then the broadcaster.
    pub(super) class: u8,
    /// Then the nearest to the broadcaster.
    pub(super) level: u32,
    /// Then who came first.
    arrival: u64,
}

impl Rank {
    /// Nobody ranks before it.
    pub(super) const FIRST: Self = Self {
        suspect: false,
        class: BEST,
        level: 0,
        arrival: 0,
    };

    /// Whether nothing but their age tells the two apart.
    pub(super) fn is_as_near(&self, other: &Self) -> bool {
        (self.suspect, self.class, self.level) == (other.suspect, other.class, other.level)
    }
}

/// The class of relays, and of anybody as good as one.
pub(super) const BEST: u8 = 0;

/// How the slots of one vertex rank. `relays` says whether any relay is to be had.
pub(super) fn rank(
    kind: Topology,
    vertex: &Vertex,
    level: u32,
    standing: Standing,
    relays: bool,
) -> Rank {
    let class = match (kind, vertex.component()) {
        (Topology::LinkedList | Topology::Tree { .. }, _) | (_, Component::Relay) => BEST,
        (_, Component::Broadcaster) if !relays => BEST,
        (_, Component::Receiver) => 1,
        // The last resort: a viewer there may have to make room when a relay needs the place.
        (_, Component::Broadcaster) => 2,
    };
    Rank {
        suspect: standing == Standing::Suspect,
        class,
        level,
        arrival: vertex.arrival(),
    }
}

/// Where a peer is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// Below this parent.
    Under(PeerId),
    /// In this peer's place, which goes below the newcomer.
    Instead(PeerId),
}

/// Some members of a stream in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranked {
    ranks: BTreeMap<PeerId, Rank>,
    order: BTreeSet<(Rank, PeerId)>,
}

impl Ranked {
    /// Puts `peer` where `rank` says, or takes it out.
    pub(super) fn set(&mut self, peer: PeerId, rank: Option<Rank>) {
        let old = match rank {
            Some(rank) => self.ranks.insert(peer, rank),
            None => self.ranks.remove(&peer),
        };
        if old == rank {
            return;
        }
        if let Some(old) = old {
            self.order.remove(&(old, peer));
        }
        if let Some(rank) = rank {
            self.order.insert((rank, peer));
        }
    }

    /// From the least on; from the other end, from the greatest.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Rank, PeerId)> + '_ {
        self.order.iter().copied()
    }

    /// Those of the level, and of all that goes before it, of `rank`: who came first leads.
    pub(super) fn level_of(&self, rank: Rank) -> impl Iterator<Item = PeerId> + '_ {
        let first = (Rank { arrival: 0, ..rank }, PeerId::from_bytes([0; 16]));
        let level = self.order.range(first..);
        let level = level.take_while(move |(at, _)| at.is_as_near(&rank));
        level.map(|&(_, peer)| peer)
    }
}
