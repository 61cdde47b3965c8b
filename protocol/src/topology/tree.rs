//! One stream's graph, with the indexes that placement asks.
//!
//! The indexes hold only *attached* vertices, those that the broadcaster reaches: so nobody can ever be placed
//! below himself.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::PeerId;
use crate::signal::{Component, Topology};

use super::graph::Graph;
use super::peers::{Peer, Standing};
use super::placement::{self, Rank, Ranked, Spot};
use super::site::Site;
use super::slots::Slots;

/// How many open slots are looked at for one that is not below a suspect. Guess: suspects are few.
const LOOK_AT: usize = 16;

#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) kind: Topology,
    pub(super) kbps: u32,
    pub(super) graph: Graph,
    /// How far below the broadcaster each attached vertex ranks. In a linked list all rank alike, so that a
    /// peer that leaves in its middle does not cost a walk to its end.
    pub(super) levels: BTreeMap<PeerId, u32>,
    /// Who has room for another child.
    open: Slots,
    /// Trees: who can take the place of a peer that leaves: deepest, without children.
    fillers: Ranked,
    /// Relay-first: receivers, who make room for a relay.
    yielding: Ranked,
    /// All who have a place, the deepest last; none in a linked list.
    deep: BTreeSet<(u32, PeerId)>,
    /// Who has more children than it may, because they took over there.
    crowded: BTreeSet<PeerId>,
    /// Who can feed nobody, and goes below somebody who can when all is full.
    dead_ends: Ranked,
    /// Who has no place, in order of arrival.
    pub(super) waiting: BTreeSet<(u64, PeerId)>,
    /// Parents that are not here yet, and who says to be fed by them.
    claims: BTreeSet<(PeerId, PeerId)>,
    /// The same, the other way round.
    claimed: BTreeMap<PeerId, PeerId>,
    /// Receivers.
    pub(super) viewers: u32,
}

impl Tree {
    pub(super) fn new(kind: Topology, kbps: u32, graph: Graph) -> Self {
        Self {
            kind,
            kbps: kbps.max(1),
            levels: BTreeMap::from([(graph.root(), 0)]),
            graph,
            open: Slots::default(),
            fillers: Ranked::default(),
            yielding: Ranked::default(),
            deep: BTreeSet::new(),
            crowded: BTreeSet::new(),
            dead_ends: Ranked::default(),
            waiting: BTreeSet::new(),
            claims: BTreeSet::new(),
            claimed: BTreeMap::new(),
            viewers: 0,
        }
    }

    /// The level a child of `parent` has.
    pub(super) fn level_below(&self, parent: PeerId) -> Option<u32> {
        let level = *self.levels.get(&parent)?;
        Some(if self.kind == Topology::LinkedList {
            0
        } else {
            level + 1
        })
    }

    /// Whether `peer` could be given one more child now.
    pub(super) fn has_room(&self, id: PeerId, peer: &Peer) -> bool {
        let allowed = self
            .graph
            .get(id)
            .is_none_or(super::graph::Vertex::takes_another);
        allowed && peer.left_kbps() >= u64::from(self.kbps)
    }

    /// Brings the indexes up to date with what is known of one vertex.
    pub(super) fn refresh(&mut self, id: PeerId, peer: &Peer, relays: bool) {
        let rank = self.rank(id, peer, relays);
        let here = peer.standing != Standing::Away;
        let room = here && self.has_room(id, peer);
        let member = id != self.graph.root();
        let receiver = peer.traits.component == Component::Receiver;
        let leaf = self.graph.get(id).is_some_and(|v| v.children().is_empty());
        let can_feed = peer.can_feed(self.kbps);
        let by_level = matches!(self.kind, Topology::Tree { .. });
        let fills = by_level && leaf && room && peer.standing == Standing::Open;

        let crowded = self.graph.get(id).is_some_and(|v| {
            v.children().len() > v.most_children() as usize && self.kind != Topology::LinkedList
        });
        match crowded && rank.is_some() {
            true => self.crowded.insert(id),
            false => self.crowded.remove(&id),
        };
        self.open.set(id, rank.filter(|_| room), peer.traits.site);
        self.fillers.set(id, rank.filter(|_| member && fills));
        self.yielding.set(
            id,
            rank.filter(|_| member && receiver && self.kind == Topology::RelayFirst),
        );
        self.dead_ends.set(id, rank.filter(|_| member && !can_feed));
    }

    fn rank(&self, id: PeerId, peer: &Peer, relays: bool) -> Option<Rank> {
        let level = *self.levels.get(&id)?;
        let vertex = self.graph.get(id)?;
        Some(placement::rank(
            self.kind,
            vertex,
            level,
            peer.standing,
            relays,
        ))
    }

    #[cfg(test)]
    pub(super) fn is_open(&self, id: PeerId) -> bool {
        self.open.contains(id)
    }

    /// Takes a vertex out of every index.
    pub(super) fn forget(&mut self, id: PeerId) {
        if let Some(level) = self.levels.remove(&id) {
            self.deep.remove(&(level, id));
        }
        self.crowded.remove(&id);
        self.open.set(id, None, None);
        for index in [&mut self.fillers, &mut self.yielding, &mut self.dead_ends] {
            index.set(id, None);
        }
    }

    /// `id` stands this far below the broadcaster from now on.
    pub(super) fn set_level(&mut self, id: PeerId, level: u32) {
        if let Some(old) = self.levels.insert(id, level) {
            self.deep.remove(&(old, id));
        }
        if self.kind != Topology::LinkedList {
            self.deep.insert((level, id));
        }
    }

    /// Whether a peer has more children than it may, for they took over there: one that makes room leaves none.
    fn is_crowded(&self, at: PeerId) -> bool {
        let most = |v: &super::graph::Vertex| v.children().len() > v.most_children() as usize;
        self.graph.get(at).is_some_and(most)
    }

    /// Somebody who has more children than it may.
    pub(super) fn crowded(&self) -> Option<PeerId> {
        self.crowded.first().copied()
    }

    /// Who is furthest from the broadcaster, and how far.
    pub(super) fn deepest(&self) -> Option<(u32, PeerId)> {
        self.deep.last().copied()
    }

    /// `peer` waits no more.
    pub(super) fn stop_waiting(&mut self, peer: PeerId) {
        if let Some(vertex) = self.graph.get(peer) {
            self.waiting.remove(&(vertex.arrival(), peer));
        }
    }

    /// Remembers that `child` says to be fed by `parent`, who is not here yet.
    pub(super) fn keep_claim(&mut self, child: PeerId, parent: PeerId) {
        self.drop_claim(child);
        self.claims.insert((parent, child));
        self.claimed.insert(child, parent);
    }

    /// Forgets what `child` said.
    pub(super) fn drop_claim(&mut self, child: PeerId) {
        if let Some(parent) = self.claimed.remove(&child) {
            self.claims.remove(&(parent, child));
        }
    }

    /// Takes over what another tree was told of parents that are not here yet.
    pub(super) fn take_claims_of(&mut self, other: &mut Self) {
        self.claims = std::mem::take(&mut other.claims);
        self.claimed = std::mem::take(&mut other.claimed);
    }

    /// Who says to be fed by `parent`; asked once, when the parent comes.
    pub(super) fn take_claims_on(&mut self, parent: PeerId) -> Vec<PeerId> {
        let least = PeerId::from_bytes([0; 16]);
        let claims = self
            .claims
            .range((parent, least)..)
            .take_while(|&&(on, _)| on == parent);
        let children: Vec<_> = claims.map(|&(_, child)| child).collect();
        for &child in &children {
            self.drop_claim(child);
        }
        children
    }

    /// Everybody with room for a child, the best first.
    pub(super) fn open_slots(&self) -> impl Iterator<Item = (Rank, PeerId)> + '_ {
        self.open.iter()
    }

    /// The worst open slot of those that will do.
    pub(super) fn last_slot(&self, fits: impl Fn(PeerId) -> bool) -> Option<PeerId> {
        let mut far = self.open.iter().rev().take(LOOK_AT);
        far.find(|&(_, at)| fits(at)).map(|(_, at)| at)
    }

    /// The best open slot, and its rank; one whose whole way to the broadcaster is sound if there is one near (who stands
    /// below somebody dead may be fed by another, below the very peer that looks), and of those that are as near to the
    /// broadcaster one at this site.
    pub(super) fn slot(
        &self,
        site: Option<Site>,
        sound: impl Fn(PeerId) -> bool,
    ) -> Option<(Rank, PeerId)> {
        let sound = |&(_, at): &(Rank, PeerId)| {
            self.kind == Topology::LinkedList || self.is_sound_way(at, &sound)
        };
        let Some(best) = self.open.iter().take(LOOK_AT).find(sound) else {
            return self.open.iter().next();
        };
        let here = site.and_then(|site| {
            let at_site = self.open.at(site).take(LOOK_AT);
            let mut as_near = at_site.filter(|(rank, _)| rank.is_as_near(&best.0));
            as_near.find(sound)
        });
        here.or(Some(best))
    }

    /// Whether one of the best slots has a way to the broadcaster that is sound.
    pub(super) fn has_sound_slot(&self, sound: impl Fn(PeerId) -> bool) -> bool {
        let mut near = self.open.iter().take(LOOK_AT);
        near.any(|(_, at)| self.is_sound_way(at, &sound))
    }

    /// Whether all are sound from `at` up to the broadcaster, who is not asked: whatever it is, all depend on it.
    pub(super) fn is_sound_way(&self, at: PeerId, sound: impl Fn(PeerId) -> bool) -> bool {
        let root = self.graph.root();
        self.graph.path(at).all(|on| on == root || sound(on))
    }

    /// Whether one of the best slots is at somebody who does not stand below `child`.
    pub(super) fn has_slot_beside(&self, child: PeerId) -> bool {
        let beside = |at| at != child && !self.graph.is_below(at, child);
        self.open.iter().take(LOOK_AT).any(|(_, at)| beside(at))
    }

    /// The best place for a relay: a slot at the broadcaster or at a relay, or, if it is `able` to hold that one
    /// as well, the place of a receiver there.
    pub(super) fn relay_spot(&self, able: bool, sound: impl Fn(PeerId) -> bool) -> Option<Spot> {
        let root = self.graph.root();
        if self.open.contains(root) && sound(root) {
            return Some(Spot::Under(root));
        }
        let at_relay = self
            .open
            .iter()
            .find(|&(rank, at)| self.is_relay(at) && rank.class == placement::BEST);
        let at_relay = at_relay.filter(|&(_, at)| sound(at));
        let receiver = self
            .yielding
            .iter()
            .take(LOOK_AT)
            .find(|&(_, at)| able && self.can_yield(at, &sound));
        match (at_relay, receiver) {
            (Some((slot, parent)), Some((place, _))) if slot.level < place.level => {
                Some(Spot::Under(parent))
            }
            (_, Some((_, receiver))) => Some(Spot::Instead(receiver)),
            (Some((_, parent)), None) => Some(Spot::Under(parent)),
            (None, None) => None,
        }
    }

    fn can_yield(&self, receiver: PeerId, sound: impl Fn(PeerId) -> bool) -> bool {
        let parent = self
            .graph
            .parent(receiver)
            .filter(|&at| !self.is_crowded(at));
        parent.is_some_and(|at| sound(at) && (at == self.graph.root() || self.is_relay(at)))
    }

    fn is_relay(&self, at: PeerId) -> bool {
        self.graph
            .get(at)
            .is_some_and(|v| v.component() == Component::Relay)
    }

    /// Who can feed nobody, and so should stand below somebody who can.
    pub(super) fn dead_end(&self, sound: impl Fn(PeerId) -> bool) -> Option<PeerId> {
        let mut near = self.dead_ends.iter().take(LOOK_AT);
        let fits = |parent| sound(parent) && !self.is_crowded(parent);
        let found = near.find(|&(_, at)| self.graph.parent(at).is_some_and(fits));
        found.map(|(_, at)| at)
    }

    /// Who can take the place of `leaver`: of the deepest level who has been here longest. Whoever has stayed so long
    /// stays on most likely, and the nearer the root, the more hang below.
    pub(super) fn filler(&self, leaver: PeerId) -> Option<PeerId> {
        let level = *self.levels.get(&leaver)?;
        let (rank, _) = self.fillers.iter().rev().find(|&(_, at)| at != leaver)?;
        if rank.level <= level {
            return None; // and no look through all of the level
        }
        let mut deepest = self.fillers.level_of(rank);
        deepest.find(|&at| at != leaver)
    }
}
