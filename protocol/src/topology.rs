//! Who is fed by whom, in every stream: the paper's linked list and binary tree (§III.A), and relay-first.
//!
//! A [`Forest`] holds one tree for each stream; the trees share the peers' uplinks. Joining and leaving cost
//! O(log n), and the size of a subtree only when its depth changes. What is to be told to peers comes out as
//! [`Change`]s, in the order in which to tell it. There is no clock and no socket here: who is suspect and for
//! how long, and what a peer is told, is `stream_manager`'s.
//!
//! After every operation: one parent each, no cycle, everybody reachable or waiting, and nobody over what he
//! can send (but for links that existed before the supervisor did). A join moves at most one peer, a leave at
//! most its children and one more.

mod graph;
mod peers;
mod placement;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

pub use graph::{Graph, LinkError, Vertex};
pub use peers::{Standing, Traits};

use crate::id::{PeerId, StreamId};
use crate::signal::{Component, Topology};
use peers::Peers;
use placement::Spot;
use tree::Tree;

/// How many of those who wait for a place are tried after each change. Guess: the first few fit or nobody does.
const TRY_WAITING: usize = 4;

/// What came of an operation, to be told to the peers concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `peer` is to be fed by `parent`; without one it waits.
    Placed {
        /// In which stream.
        stream: StreamId,
        /// Who.
        peer: PeerId,
        /// Its parent from now on.
        parent: Option<PeerId>,
        /// The parent it had, if that one is still there to be told.
        left: Option<PeerId>,
    },
    /// A relay feeds nobody any more: it can leave soon.
    Idle {
        /// In which stream.
        stream: StreamId,
        /// Who.
        relay: PeerId,
    },
}

/// One operation: what came of it so far, and how many more peers it may move aside.
struct Op<'a> {
    out: &'a mut Vec<Change>,
    may_displace: bool,
}

impl<'a> Op<'a> {
    fn new(out: &'a mut Vec<Change>) -> Self {
        Self {
            out,
            may_displace: true,
        }
    }
}

/// The trees of all streams.
#[derive(Debug, Clone, Default)]
pub struct Forest {
    peers: Peers,
    trees: BTreeMap<StreamId, Tree>,
    /// Streams in which somebody waits for a place.
    hungry: BTreeSet<StreamId>,
    arrivals: u64,
}

/// What there is to ask.
impl Forest {
    /// The graph of a stream.
    pub fn graph(&self, stream: StreamId) -> Option<&Graph> {
        self.trees.get(&stream).map(|tree| &tree.graph)
    }

    /// Whether `peer` is in the stream, with a place or waiting.
    pub fn contains(&self, stream: StreamId, peer: PeerId) -> bool {
        self.graph(stream).is_some_and(|graph| graph.contains(peer))
    }

    /// Who feeds `peer` in the stream.
    pub fn parent(&self, stream: StreamId, peer: PeerId) -> Option<PeerId> {
        self.graph(stream)?.parent(peer)
    }

    /// Whether `peer` feeds anybody in the stream.
    pub fn has_children(&self, stream: StreamId, peer: PeerId) -> bool {
        self.graph(stream)
            .and_then(|graph| graph.get(peer))
            .is_some_and(|v| !v.children().is_empty())
    }

    /// Whether `peer` could be given one more child in the stream now.
    pub fn can_take(&self, stream: StreamId, peer: PeerId) -> bool {
        self.contains(stream, peer) && self.is_here(peer) && self.has_room(stream, peer)
    }

    /// Whether one of the two feeds the other in any stream.
    pub fn are_linked(&self, one: PeerId, other: PeerId) -> bool {
        let feeds = |s, a, b| self.parent(s, b) == Some(a);
        self.streams_of(one)
            .any(|s| feeds(s, one, other) || feeds(s, other, one))
    }

    /// The streams that `peer` is in.
    pub fn streams_of(&self, peer: PeerId) -> impl Iterator<Item = StreamId> + '_ {
        self.peers
            .get(peer)
            .into_iter()
            .flat_map(|known| known.streams.iter().copied())
    }

    /// Receivers in the stream.
    pub fn viewers(&self, stream: StreamId) -> u32 {
        self.trees.get(&stream).map_or(0, |tree| tree.viewers)
    }

    /// Streams in which somebody waits for a place.
    pub const fn hungry(&self) -> &BTreeSet<StreamId> {
        &self.hungry
    }

    /// Peers known, and places taken over all streams.
    pub fn size(&self) -> (usize, usize) {
        (
            self.peers.len(),
            self.trees.values().map(|tree| tree.graph.len()).sum(),
        )
    }
}

/// Peers and streams come and go.
impl Forest {
    /// A peer is here, or what is known of it has changed.
    pub fn add_peer(&mut self, peer: PeerId, traits: Traits, out: &mut Vec<Change>) {
        self.with_peers(peer, |peers| peers.insert(peer, traits));
        self.feed_the_waiting(&mut Op::new(out));
    }

    /// A peer is suspect, out of reach, or well again.
    pub fn set_standing(&mut self, peer: PeerId, standing: Standing, out: &mut Vec<Change>) {
        if self
            .peers
            .get(peer)
            .is_none_or(|known| known.standing == standing)
        {
            return;
        }
        self.with_peers(peer, |peers| {
            peers.change(peer, |known| known.standing = standing)
        });
        if standing == Standing::Open {
            self.feed_the_waiting(&mut Op::new(out));
        }
    }

    /// A peer is gone from everywhere. As the broadcaster of a stream it keeps its place until the stream ends
    /// or another takes it.
    pub fn remove_peer(&mut self, peer: PeerId, out: &mut Vec<Change>) {
        self.with_peers(peer, |peers| {
            peers.change(peer, |known| {
                (known.standing, known.departed) = (Standing::Away, true)
            });
        });
        let streams: Vec<_> = self.streams_of(peer).collect();
        for stream in streams {
            if self.trees[&stream].graph.root() != peer {
                self.leave(stream, peer, out);
            }
        }
        self.forget_departed(peer);
    }

    /// A stream begins, with its broadcaster at the root.
    pub fn add_stream(&mut self, stream: StreamId, kind: Topology, kbps: u32, root: PeerId) {
        let vertex = self.vertex(kind, root);
        self.trees
            .insert(stream, Tree::new(kind, kbps, Graph::new(root, vertex)));
        self.peers.change(root, |known| {
            known.streams.insert(stream);
        });
        self.refresh(stream, root);
    }

    /// A stream's rate is another from now on.
    pub fn set_rate(&mut self, stream: StreamId, kbps: u32) {
        let kbps = kbps.max(1);
        let Some(tree) = self.trees.get_mut(&stream) else {
            return;
        };
        let difference = i64::from(kbps) - i64::from(tree.kbps);
        if difference == 0 {
            return;
        }
        tree.kbps = kbps;
        let feeding: Vec<_> = tree
            .graph
            .iter()
            .map(|(id, v)| (id, v.children().len() as i64))
            .collect();
        for (peer, children) in feeding {
            self.charge(peer, difference * children);
        }
    }

    /// The broadcaster is another peer now: it takes the old one's place and its children.
    pub fn replace_root(&mut self, stream: StreamId, new: PeerId, out: &mut Vec<Change>) {
        let Some(tree) = self.trees.get(&stream) else {
            return;
        };
        let old = tree.graph.root();
        if old == new || tree.graph.contains(new) {
            return;
        }
        let mut op = Op::new(out);
        self.enter(stream, new);
        let children: Vec<_> = self.trees[&stream].graph.children(old).collect();
        for &child in &children {
            self.unlink(stream, child);
        }
        let tree = self.trees.get_mut(&stream).expect("looked up above");
        tree.graph.set_root(new);
        tree.levels.insert(new, 0);
        self.refresh(stream, new);
        self.erase(stream, old);
        self.hand_over(stream, children, new, &mut op);
        self.forget_departed(old);
        self.feed_the_waiting(&mut op);
    }

    /// A stream is gone for good; returns who was in it, the broadcaster included.
    pub fn end_stream(&mut self, stream: StreamId, out: &mut Vec<Change>) -> Vec<PeerId> {
        let Some(tree) = self.trees.remove(&stream) else {
            return Vec::new();
        };
        self.hungry.remove(&stream);
        let kbps = i64::from(tree.kbps);
        let members: Vec<_> = tree
            .graph
            .iter()
            .map(|(id, v)| (id, v.children().len() as i64))
            .collect();
        for &(member, children) in &members {
            self.peers.change(member, |known| {
                known.streams.remove(&stream);
            });
            self.charge(member, -kbps * children);
            self.forget_departed(member);
        }
        self.feed_the_waiting(&mut Op::new(out));
        members.into_iter().map(|(member, _)| member).collect()
    }

    /// Runs a change of one peer, and brings the indexes of its streams (and, when the first relay comes or
    /// the last one goes, of all broadcasters) up to date.
    fn with_peers(&mut self, peer: PeerId, change: impl FnOnce(&mut Peers)) {
        let relays = self.peers.any_relay();
        change(&mut self.peers);
        self.refresh_everywhere(peer);
        if relays != self.peers.any_relay() {
            let roots: Vec<_> = self
                .trees
                .iter()
                .map(|(&stream, tree)| (stream, tree.graph.root()))
                .collect();
            for (stream, root) in roots {
                self.refresh(stream, root);
            }
        }
    }

    fn forget_departed(&mut self, peer: PeerId) {
        if self
            .peers
            .get(peer)
            .is_some_and(|known| known.departed && known.streams.is_empty())
        {
            self.peers.remove(peer);
        }
    }
}

/// Members come and go.
impl Forest {
    /// `peer` asks for a place.
    pub fn join(&mut self, stream: StreamId, peer: PeerId, out: &mut Vec<Change>) {
        if !self.may_enter(stream, peer) {
            return;
        }
        let mut op = Op::new(out);
        self.enter(stream, peer);
        self.place(stream, peer, &mut op);
        self.report_idle(stream, peer, &mut op);
        self.feed_the_waiting(&mut op);
    }

    /// `peer` says that `parent` feeds it already. True if that link stands now; else the claim is kept until
    /// the parent comes, or [`Self::expire_claim`].
    pub fn claim(
        &mut self,
        stream: StreamId,
        peer: PeerId,
        parent: PeerId,
        out: &mut Vec<Change>,
    ) -> bool {
        if !self.may_enter(stream, peer) {
            return self.parent(stream, peer) == Some(parent);
        }
        self.enter(stream, peer);
        if !self.contains(stream, parent) {
            self.tree(stream).keep_claim(peer, parent);
            return false;
        }
        let adopted = self.adopt(stream, peer, parent);
        let mut op = Op::new(out);
        if !adopted {
            self.place(stream, peer, &mut op);
        }
        self.report_idle(stream, peer, &mut op);
        adopted
    }

    /// The parent that `peer` claims has not come: it is placed as anybody is.
    pub fn expire_claim(&mut self, stream: StreamId, peer: PeerId, out: &mut Vec<Change>) {
        let Some(tree) = self.trees.get_mut(&stream) else {
            return;
        };
        tree.drop_claim(peer);
        let floats = tree.graph.contains(peer) && tree.graph.parent(peer).is_none();
        if floats && peer != tree.graph.root() {
            self.place(stream, peer, &mut Op::new(out));
        }
    }

    /// `peer` gives its place up; its children get others.
    pub fn leave(&mut self, stream: StreamId, peer: PeerId, out: &mut Vec<Change>) {
        if !self.contains(stream, peer) || self.trees[&stream].graph.root() == peer {
            return;
        }
        let mut op = Op::new(out);
        self.depart(stream, peer, &mut op);
        self.feed_the_waiting(&mut op);
    }

    /// `child` says that its parent is lost to it: it gets another place at once, the same one only if there is
    /// no other. The caller has made the parent suspect.
    pub fn complain(&mut self, stream: StreamId, child: PeerId, out: &mut Vec<Change>) {
        let Some(parent) = self.parent(stream, child) else {
            return;
        };
        let mut op = Op::new(out);
        self.unlink(stream, child);
        self.settle(stream, child);
        if !self.any_sound_place(stream, child) && self.can_be_demoted(stream, parent) {
            self.demote(stream, parent, child, &mut op);
        } else {
            self.place(stream, child, &mut op);
        }
        self.report_idle(stream, parent, &mut op);
        self.feed_the_waiting(&mut op);
    }

    /// `child` has lost its parent and there is nobody to take it for now: it waits.
    pub fn park(&mut self, stream: StreamId, child: PeerId, out: &mut Vec<Change>) {
        if self.parent(stream, child).is_some() {
            self.unlink(stream, child);
            self.settle(stream, child);
            self.wait(stream, child, &mut Op::new(out));
        }
    }

    /// Tries once more to place those who wait.
    pub fn retry(&mut self, out: &mut Vec<Change>) {
        self.feed_the_waiting(&mut Op::new(out));
    }

    fn may_enter(&self, stream: StreamId, peer: PeerId) -> bool {
        self.trees.contains_key(&stream)
            && self.peers.get(peer).is_some()
            && !self.contains(stream, peer)
    }

    /// Gives `peer` a vertex, and the children that claim it.
    fn enter(&mut self, stream: StreamId, peer: PeerId) {
        let vertex = self.vertex(self.trees[&stream].kind, peer);
        let tree = self.tree(stream);
        tree.viewers += u32::from(vertex.component() == Component::Receiver);
        tree.graph.insert(peer, vertex);
        let claimants = tree.take_claims_on(peer);
        self.peers.change(peer, |known| {
            known.streams.insert(stream);
        });
        for child in claimants {
            self.adopt(stream, child, peer);
        }
    }

    /// Takes `peer`'s vertex away, which has no links any more.
    fn erase(&mut self, stream: StreamId, peer: PeerId) {
        let tree = self.tree(stream);
        let receiver = tree
            .graph
            .get(peer)
            .is_some_and(|v| v.component() == Component::Receiver);
        tree.viewers -= u32::from(receiver);
        tree.stop_waiting(peer);
        tree.drop_claim(peer);
        tree.forget(peer);
        tree.graph.remove(peer);
        self.note_hunger(stream);
        self.peers.change(peer, |known| {
            known.streams.remove(&stream);
        });
    }

    /// Links a child to the parent that feeds it already.
    fn adopt(&mut self, stream: StreamId, child: PeerId, parent: PeerId) -> bool {
        let tree = self.tree(stream);
        let adopted = tree.graph.adopt(child, parent).is_ok();
        if adopted {
            let kbps = i64::from(tree.kbps);
            self.charge(parent, kbps);
            self.settle(stream, child);
        }
        adopted
    }

    /// `peer` leaves, and its children are moved.
    fn depart(&mut self, stream: StreamId, peer: PeerId, op: &mut Op) {
        let children: Vec<_> = self.trees[&stream].graph.children(peer).collect();
        let filler = self.trees[&stream].filler(peer);
        let parent = self.unlink(stream, peer);
        for &child in &children {
            self.unlink(stream, child);
        }
        self.erase(stream, peer);
        let heir = match (filler, parent) {
            (Some(filler), Some(parent)) => self.fill(stream, filler, parent, op),
            (None, Some(parent)) if self.is_list(stream) => Some(parent),
            _ => None,
        };
        match heir {
            Some(heir) => {
                let others = children
                    .into_iter()
                    .filter(|&child| child != heir)
                    .collect();
                self.hand_over(stream, others, heir, op);
            }
            None => self.place_all(stream, children, op),
        }
        if let Some(parent) = parent {
            self.report_idle(stream, parent, op);
        }
    }

    /// Moves `filler` below `parent`, into a place that has just become free.
    fn fill(
        &mut self,
        stream: StreamId,
        filler: PeerId,
        parent: PeerId,
        op: &mut Op,
    ) -> Option<PeerId> {
        self.sound(parent)
            .then(|| self.attach(stream, filler, parent, op))?;
        Some(filler)
    }

    /// Moves orphans below `heir` as far as it has room, and the others anywhere.
    fn hand_over(&mut self, stream: StreamId, orphans: Vec<PeerId>, heir: PeerId, op: &mut Op) {
        let mut surplus = Vec::new();
        for orphan in orphans {
            if self.sound(heir) && self.has_room(stream, heir) {
                self.attach(stream, orphan, heir, op);
            } else {
                surplus.push(orphan);
            }
        }
        self.place_all(stream, surplus, op);
    }

    fn place_all(&mut self, stream: StreamId, orphans: Vec<PeerId>, op: &mut Op) {
        // All float before the first is placed: none may go below another one's old place.
        for &orphan in &orphans {
            self.settle(stream, orphan);
        }
        for orphan in orphans {
            self.place(stream, orphan, op);
        }
    }

    /// Whether a suspect can be sent to the end of the tree without moving anybody who did not complain.
    fn can_be_demoted(&self, stream: StreamId, peer: PeerId) -> bool {
        let graph = &self.trees[&stream].graph;
        peer != graph.root()
            && !self.has_children(stream, peer)
            && graph.parent(peer).is_some_and(|parent| self.sound(parent))
    }

    /// Lets `child` have the place of `suspect`, which goes to the end.
    fn demote(&mut self, stream: StreamId, suspect: PeerId, child: PeerId, op: &mut Op) {
        let above = self.parent(stream, suspect);
        self.unlink(stream, suspect);
        self.erase(stream, suspect);
        self.place(stream, child, op);
        self.enter(stream, suspect);
        self.place(stream, suspect, op);
        if let Some(Change::Placed { left, .. }) = op.out.last_mut() {
            *left = above;
        }
    }

    fn report_idle(&self, stream: StreamId, peer: PeerId, op: &mut Op) {
        let vertex = self.trees[&stream].graph.get(peer);
        if vertex.is_some_and(|v| v.component() == Component::Relay && v.children().is_empty()) {
            op.out.push(Change::Idle {
                stream,
                relay: peer,
            });
        }
    }
}

/// How a place is found.
impl Forest {
    fn place(&mut self, stream: StreamId, peer: PeerId, op: &mut Op) {
        match self.choose(stream, peer, op) {
            Some(spot) => self.take(stream, peer, spot, op),
            None => self.wait(stream, peer, op),
        }
    }

    fn choose(&mut self, stream: StreamId, peer: PeerId, op: &mut Op) -> Option<Spot> {
        let tree = &self.trees[&stream];
        if tree.kind == Topology::RelayFirst && self.component(peer) == Some(Component::Relay) {
            let able = op.may_displace && self.has_room(stream, peer);
            let sound = tree.relay_spot(able, |at| self.sound(at));
            return sound.or_else(|| tree.relay_spot(able, |at| self.is_here(at)));
        }
        let slot = tree.slot(|at| self.is_suspect(at));
        match slot {
            Some((rank, parent)) if rank.class == placement::BEST && !self.is_suspect(parent) => {
                Some(Spot::Under(parent))
            }
            Some((_, parent)) => Some(Spot::Under(self.pull_relay(stream, op).unwrap_or(parent))),
            None => self
                .pull_relay(stream, op)
                .map(Spot::Under)
                .or_else(|| self.above_a_dead_end(stream, peer, op)),
        }
    }

    /// Brings a relay into the stream that is not in it yet, if there is one with room for a child.
    fn pull_relay(&mut self, stream: StreamId, op: &mut Op) -> Option<PeerId> {
        let tree = &self.trees[&stream];
        if tree.kind != Topology::RelayFirst {
            return None;
        }
        let relay = self
            .peers
            .relay_with(tree.kbps, |at| tree.graph.contains(at))?;
        // In a receiver's place, with that receiver below it, it must hold one more.
        let two = u64::from(tree.kbps) * 2;
        let able = op.may_displace
            && self
                .peers
                .get(relay)
                .is_some_and(|known| known.left_kbps() >= two);
        let spot = tree.relay_spot(able, |at| self.sound(at))?;
        self.enter(stream, relay);
        self.take(stream, relay, spot, op);
        self.has_room(stream, relay).then_some(relay)
    }

    fn above_a_dead_end(&self, stream: StreamId, peer: PeerId, op: &Op) -> Option<Spot> {
        let tree = &self.trees[&stream];
        let able = self
            .peers
            .get(peer)
            .is_some_and(|known| tree.has_room(peer, known) && known.can_feed(tree.kbps));
        let dead_end = tree
            .dead_end(|at| self.sound(at))
            .filter(|_| op.may_displace && able)?;
        Some(Spot::Instead(dead_end))
    }

    fn any_sound_place(&self, stream: StreamId, child: PeerId) -> bool {
        let tree = &self.trees[&stream];
        let mut relays = tree.kind == Topology::RelayFirst;
        relays &= self.component(child) != Some(Component::Relay);
        tree.slot(|at| self.is_suspect(at))
            .is_some_and(|(_, at)| self.sound(at))
            || (relays
                && self
                    .peers
                    .relay_with(tree.kbps, |at| tree.graph.contains(at))
                    .is_some())
    }

    fn take(&mut self, stream: StreamId, peer: PeerId, spot: Spot, op: &mut Op) {
        match spot {
            Spot::Under(parent) => self.attach(stream, peer, parent, op),
            Spot::Instead(other) => {
                op.may_displace = false;
                let parent = self
                    .unlink(stream, other)
                    .expect("who makes room has a place");
                self.attach(stream, peer, parent, op);
                self.move_below(stream, other, peer, Some(parent), op);
            }
        }
    }

    fn attach(&mut self, stream: StreamId, peer: PeerId, parent: PeerId, op: &mut Op) {
        let left = self.parent(stream, peer);
        self.move_below(stream, peer, parent, left, op);
        if let Some(left) = left {
            self.report_idle(stream, left, op);
        }
    }

    fn move_below(
        &mut self,
        stream: StreamId,
        peer: PeerId,
        parent: PeerId,
        left: Option<PeerId>,
        op: &mut Op,
    ) {
        self.unlink(stream, peer);
        let tree = self.tree(stream);
        if tree.graph.link(peer, parent).is_err() {
            debug_assert!(
                false,
                "{peer} was to be placed below {parent}, who cannot take it"
            );
            return self.wait(stream, peer, op);
        }
        let kbps = i64::from(tree.kbps);
        tree.stop_waiting(peer);
        self.note_hunger(stream);
        self.charge(parent, kbps);
        self.settle(stream, peer);
        op.out.push(Change::Placed {
            stream,
            peer,
            parent: Some(parent),
            left,
        });
    }

    fn unlink(&mut self, stream: StreamId, child: PeerId) -> Option<PeerId> {
        let tree = self.tree(stream);
        let kbps = i64::from(tree.kbps);
        let parent = tree.graph.unlink(child)?;
        self.charge(parent, -kbps);
        Some(parent)
    }

    fn wait(&mut self, stream: StreamId, peer: PeerId, op: &mut Op) {
        self.settle(stream, peer);
        let tree = self.tree(stream);
        let arrival = tree.graph.get(peer).map_or(0, Vertex::arrival);
        if tree.waiting.insert((arrival, peer)) {
            self.hungry.insert(stream);
            op.out.push(Change::Placed {
                stream,
                peer,
                parent: None,
                left: None,
            });
        }
    }

    /// Places those for whom there is room now, in order of arrival.
    fn feed_the_waiting(&mut self, op: &mut Op) {
        let hungry: Vec<_> = self.hungry.iter().copied().collect();
        for stream in hungry {
            if self.is_here(self.trees[&stream].graph.root()) {
                self.feed_the_waiting_of(stream, op);
            }
        }
    }

    fn feed_the_waiting_of(&mut self, stream: StreamId, op: &mut Op) {
        let mut in_vain = 0;
        let mut next = self.trees[&stream].waiting.first().copied();
        while let Some(at) = next.filter(|_| in_vain < TRY_WAITING) {
            match self.choose(stream, at.1, op) {
                Some(spot) => self.take(stream, at.1, spot, op),
                None => in_vain += 1,
            }
            next = self.trees[&stream]
                .waiting
                .range((Bound::Excluded(at), Bound::Unbounded))
                .next()
                .copied();
        }
    }

    fn note_hunger(&mut self, stream: StreamId) {
        if self.trees[&stream].waiting.is_empty() {
            self.hungry.remove(&stream);
        }
    }
}

/// The indexes, kept true.
impl Forest {
    fn vertex(&mut self, kind: Topology, peer: PeerId) -> Vertex {
        self.arrivals += 1;
        let component = self.component(peer).unwrap_or(Component::Receiver);
        Vertex::new(
            component,
            placement::most_children(kind, component),
            self.arrivals,
        )
    }

    fn tree(&mut self, stream: StreamId) -> &mut Tree {
        self.trees
            .get_mut(&stream)
            .expect("callers have looked the stream up")
    }

    fn component(&self, peer: PeerId) -> Option<Component> {
        self.peers.get(peer).map(|known| known.traits.component)
    }

    fn is_list(&self, stream: StreamId) -> bool {
        self.trees[&stream].kind == Topology::LinkedList
    }

    fn is_suspect(&self, peer: PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|known| known.standing == Standing::Suspect)
    }

    fn is_here(&self, peer: PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|known| known.standing != Standing::Away)
    }

    fn sound(&self, peer: PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|known| known.standing == Standing::Open)
    }

    fn has_room(&self, stream: StreamId, peer: PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|known| self.trees[&stream].has_room(peer, known))
    }

    /// One child more (or, negative, less) for a peer: its slots in all its streams may open or close.
    fn charge(&mut self, peer: PeerId, kbps: i64) {
        self.peers.charge(peer, kbps);
        self.refresh_everywhere(peer);
    }

    fn refresh_everywhere(&mut self, peer: PeerId) {
        let streams: Vec<_> = self.streams_of(peer).collect();
        for stream in streams {
            self.refresh(stream, peer);
        }
    }

    fn refresh(&mut self, stream: StreamId, peer: PeerId) {
        let relays = self.peers.any_relay();
        if let (Some(tree), Some(known)) = (self.trees.get_mut(&stream), self.peers.get(peer)) {
            tree.refresh(peer, known, relays);
        }
    }

    /// Gives `peer`, whose parent has changed, and all below it their levels.
    fn settle(&mut self, stream: StreamId, peer: PeerId) {
        let tree = self.tree(stream);
        let level = tree
            .graph
            .parent(peer)
            .and_then(|parent| tree.level_below(parent));
        if level == tree.levels.get(&peer).copied() {
            return self.refresh(stream, peer);
        }
        let flat = tree.kind == Topology::LinkedList;
        for (member, distance) in tree.graph.subtree(peer) {
            match level {
                Some(level) => {
                    let tree = self.tree(stream);
                    tree.levels
                        .insert(member, if flat { level } else { level + distance });
                    self.refresh(stream, member);
                }
                None => self.tree(stream).forget(member),
            }
        }
    }
}
