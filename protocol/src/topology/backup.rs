//! Who could feed a peer if its parent were lost (docs/protocol.md).

use std::collections::BTreeSet;

use crate::id::{PeerId, StreamId};
use crate::signal::{Component, Topology};

use super::{Change, Forest, Op};

/// How many open slots are looked at. Guess: the best few are as good as the best.
const LOOK_AT: usize = 24;
/// So many peers may count on one free slot: they do not all lose their parents in the same moment. Guess.
pub(super) const PROMISES_PER_SLOT: usize = 4;

/// Whose parent is this near to the broadcaster, the broadcaster counted, is backed up by it as far as its uplink goes, not only as
/// the topology does: of it alone it is certain that it stands below none of them. In a binary tree these are twelve.
const NEAR_ROOT: usize = 3;

/// How good a backup parent is; the least is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fitness {
    /// Somebody on its way to the broadcaster may be dead.
    doubtful: bool,
    /// Ancestors that both have, the broadcaster aside: what dies above both helps neither (none where somebody above waits for
    /// a place). And the levels by which whoever takes over gets deeper, with all below it: near the root the grandparent is
    /// better than a leaf far away.
    cost: usize,
    /// The broadcaster has an encoder to feed as well; relays come first.
    class: u8,
    /// How many count on it already, for each free slot.
    load: usize,
    depth: usize,
    peer: PeerId,
}

impl Forest {
    /// The best backup parent for `peer`: has room, is well, and does not stand below it. `promised` says how many
    /// count on a peer already.
    pub fn backup_for(
        &self,
        stream: StreamId,
        peer: PeerId,
        promised: impl Fn(PeerId) -> usize,
    ) -> Option<PeerId> {
        let tree = self.trees.get(&stream)?;
        let parent = tree.graph.parent(peer)?;
        let way: BTreeSet<PeerId> = tree.graph.path(parent).collect();
        let grandparent = tree.graph.parent(parent);
        let is_tree = matches!(tree.kind, Topology::Tree { .. });
        let near = tree.open_slots().take(LOOK_AT).map(|(_, at)| at);
        let fitness = |at: PeerId| {
            // Where the parent's own parent stands by, the parent's slot is free when it is needed.
            let slots = self.free_slots(stream, at) + usize::from(Some(at) == grandparent);
            let near = is_tree && way.len() <= NEAR_ROOT && at == tree.graph.root();
            let slots = match near {
                true => slots.max(self.spare(stream, at)),
                false => slots,
            };
            let promises = promised(at);
            let fits = at != peer
                && at != parent
                && self.sound(at)
                && tree.levels.contains_key(&at)
                && promises < slots * PROMISES_PER_SLOT
                && !tree.graph.is_below(at, peer);
            if !fits {
                return None;
            }
            let above: Vec<PeerId> = tree.graph.path(at).collect();
            let shared = above.iter().filter(|&&on| way.contains(&on)).count();
            Some(Fitness {
                doubtful: !tree.is_sound_way(at, |on| self.sound(on)),
                cost: shared.saturating_sub(1) + above.len().saturating_sub(way.len()),
                class: self.class(stream, at)?,
                load: promises / slots,
                depth: above.len(),
                peer: at,
            })
        };
        let candidates = near.chain(grandparent).chain([tree.graph.root()]);
        candidates.filter_map(fitness).min().map(|best| best.peer)
    }

    /// Whether `backup` may still stand in for `peer`'s parent.
    pub fn can_back_up(&self, stream: StreamId, peer: PeerId, backup: PeerId) -> bool {
        let Some(tree) = self.trees.get(&stream) else {
            return false;
        };
        let parent = tree.graph.parent(peer);
        parent.is_some_and(|parent| parent != backup)
            && tree.levels.contains_key(&backup)
            && self.sound(backup)
            && (self.can_help_out(stream, backup) || self.is_grandparent(stream, backup, peer))
            && !tree.graph.is_below(backup, peer)
    }

    /// A relay that stands by where viewers have nothing but one relay, if there is one to be had.
    pub fn pull_standby(&mut self, stream: StreamId, out: &mut Vec<Change>) -> Option<PeerId> {
        let tree = self.trees.get(&stream)?;
        if tree.kind != Topology::RelayFirst {
            return None;
        }
        let mut op = Op::new(out);
        op.may_displace = false;
        self.pull_relay(stream, &mut op)
    }

    /// `child` is fed by `parent`, its backup, since its parent was lost: whether that may stand. It may if it costs
    /// no depth and `parent` has room, or if there is no other place.
    pub fn stand_in(&mut self, stream: StreamId, child: PeerId, parent: PeerId) -> bool {
        let Some(lost) = self.parent(stream, child) else {
            return false;
        };
        let level = |at: PeerId| self.trees.get(&stream)?.levels.get(&at).copied();
        let as_deep = match (level(parent), level(lost)) {
            (Some(new), Some(old)) => new <= old,
            (new, _) => new.is_some(),
        };
        let as_good = self.trees.get(&stream).map(|tree| tree.kind) != Some(Topology::RelayFirst)
            || self.class(stream, parent) <= self.class(stream, lost);
        let root = self.trees.get(&stream).map(|tree| tree.graph.root());
        let room = self.can_take(stream, parent)
            || self.is_grandparent(stream, parent, child)
            || (root == Some(parent) && self.can_help_out(stream, parent));
        // Who is fed keeps that where the alternative is to wait: after deaths one above the other there may be no place.
        let may = as_deep && as_good && room || !self.has_place_for(stream, child);
        let stands = may && self.adopt(stream, child, parent);
        if stands {
            self.uncharge(stream, lost);
        }
        stands
    }

    /// Whom to burden first; where viewers stand below the broadcaster by design, it is one like any other.
    pub(super) fn class(&self, stream: StreamId, at: PeerId) -> Option<u8> {
        let by_design = self.trees.get(&stream)?.kind != Topology::RelayFirst;
        Some(match self.graph(stream)?.get(at)?.component() {
            _ if by_design => 0,
            Component::Relay => 0,
            Component::Receiver => 1,
            Component::Broadcaster => 2,
        })
    }

    /// Whether a peer has uplink for one child more, be it one more than the topology gives it: it is for a moment, and to name
    /// another backup costs a connection.
    pub(super) fn can_help_out(&self, stream: StreamId, at: PeerId) -> bool {
        let (Some(tree), Some(known)) = (self.trees.get(&stream), self.peers.get(at)) else {
            return false;
        };
        let feeds_anybody = tree.graph.get(at).is_some_and(|v| v.most_children() > 0);
        feeds_anybody && known.left_kbps() >= u64::from(tree.kbps)
    }

    /// Children that the broadcaster could feed beyond those that it feeds, by its uplink.
    pub(super) fn spare(&self, stream: StreamId, root: PeerId) -> usize {
        let (Some(tree), Some(known)) = (self.trees.get(&stream), self.peers.get(root)) else {
            return 0;
        };
        usize::try_from(known.left_kbps() / u64::from(tree.kbps)).unwrap_or(usize::MAX)
    }

    /// Whether anybody has a place for `child` who does not stand below it.
    fn has_place_for(&self, stream: StreamId, child: PeerId) -> bool {
        let tree = self.trees.get(&stream);
        tree.is_some_and(|tree| tree.has_slot_beside(child))
    }

    fn is_grandparent(&self, stream: StreamId, at: PeerId, peer: PeerId) -> bool {
        let parent = self.parent(stream, peer);
        parent.and_then(|parent| self.parent(stream, parent)) == Some(at)
    }

    fn uncharge(&mut self, stream: StreamId, parent: PeerId) {
        let kbps = i64::from(self.trees[&stream].kbps);
        self.charge(parent, -kbps);
    }

    /// Children that `peer` could be given in the stream now.
    pub(super) fn free_slots(&self, stream: StreamId, peer: PeerId) -> usize {
        let (Some(tree), Some(known)) = (self.trees.get(&stream), self.peers.get(peer)) else {
            return 0;
        };
        if !tree.has_room(peer, known) {
            return 0;
        }
        let by_uplink = known.left_kbps() / u64::from(tree.kbps);
        let by_kind = tree.graph.get(peer).map_or(0, |vertex| {
            u64::from(vertex.most_children()).saturating_sub(vertex.children().len() as u64)
        });
        usize::try_from(by_uplink.min(by_kind)).unwrap_or(usize::MAX)
    }
}
