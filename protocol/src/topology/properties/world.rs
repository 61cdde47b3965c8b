//! A forest to which anything may happen, and what is known of it from outside.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use crate::id::{PeerId, StreamId};
use crate::signal::{Component, Topology};
use crate::topology::tree::Tree;
use crate::topology::{Change, Forest, Site, Standing, Traits};

const RATES: [u32; 3] = [1000, 700, 2500];

/// Something that happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Arrive {
        relay: bool,
        uplink_kbps: u32,
        relays: bool,
    },
    Join {
        stream: Index,
        peer: Index,
    },
    Leave {
        stream: Index,
        peer: Index,
    },
    Vanish {
        peer: Index,
    },
    /// A peer has lost its parent; whether it had lost another a moment ago.
    Complain {
        stream: Index,
        child: Index,
        again: bool,
    },
    Retire {
        stream: Index,
        peer: Index,
    },
    Stand {
        peer: Index,
        standing: Standing,
    },
    Restart {
        stream: Index,
    },
    Retry,
    Balance {
        stream: Index,
    },
    Reseat {
        stream: Index,
        peer: Index,
        parent: Index,
    },
    Rearrange {
        stream: Index,
        kind: Topology,
    },
    /// A peer can send more, or less, from now on.
    Resize {
        peer: Index,
        uplink_kbps: u32,
    },
    /// The same, found out by the supervisor.
    Limit {
        peer: Index,
        uplink_kbps: u32,
    },
    /// A stream has another rate from now on.
    Rerate {
        stream: Index,
        kbps: u32,
    },
    /// A peer goes on at its backup; whether the supervisor knows that its parent is gone.
    TakeOver {
        stream: Index,
        child: Index,
        is_gone: bool,
    },
    /// The supervisor starts again; who comes back first, and whether some stay away.
    Relearn {
        first: Index,
        absent: bool,
    },
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..120)
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let any_index = any::<Index>;
    let standing = prop_oneof![
        Just(Standing::Open),
        Just(Standing::Suspect),
        Just(Standing::Away)
    ];
    let uplink = || prop_oneof![Just(0), Just(600), Just(1000), 0..12_000u32];
    prop_oneof![
        4 => (any::<bool>(), uplink(), any::<bool>())
            .prop_map(|(relay, uplink_kbps, relays)| Step::Arrive { relay, uplink_kbps, relays: relays || relay }),
        10 => (any_index(), any_index()).prop_map(|(stream, peer)| Step::Join { stream, peer }),
        4 => (any_index(), any_index()).prop_map(|(stream, peer)| Step::Leave { stream, peer }),
        2 => any_index().prop_map(|peer| Step::Vanish { peer }),
        2 => (any_index(), any_index(), any::<bool>())
            .prop_map(|(stream, child, again)| Step::Complain { stream, child, again }),
        2 => (any_index(), any_index()).prop_map(|(stream, peer)| Step::Retire { stream, peer }),
        2 => (any_index(), standing).prop_map(|(peer, standing)| Step::Stand { peer, standing }),
        1 => any_index().prop_map(|stream| Step::Restart { stream }),
        1 => Just(Step::Retry),
        3 => any_index().prop_map(|stream| Step::Balance { stream }),
        2 => (any_index(), any_index(), any_index())
            .prop_map(|(stream, peer, parent)| Step::Reseat { stream, peer, parent }),
        1 => (any_index(), kind()).prop_map(|(stream, kind)| Step::Rearrange { stream, kind }),
        1 => (any_index(), uplink()).prop_map(|(peer, uplink_kbps)| Step::Resize { peer, uplink_kbps }),
        2 => (any_index(), uplink()).prop_map(|(peer, uplink_kbps)| Step::Limit { peer, uplink_kbps }),
        1 => (any_index(), prop::sample::select(&RATES)).prop_map(|(stream, kbps)| Step::Rerate { stream, kbps }),
        4 => (any_index(), any_index(), any::<bool>())
            .prop_map(|(stream, child, is_gone)| Step::TakeOver { stream, child, is_gone }),
        1 => (any_index(), any::<bool>()).prop_map(|(first, absent)| Step::Relearn { first, absent }),
    ]
}

pub(super) fn kind() -> impl Strategy<Value = Topology> {
    prop_oneof![
        1 => Just(Topology::LinkedList),
        1 => (1..4u8).prop_map(|arity| Topology::Tree { arity }),
        3 => Just(Topology::RelayFirst),
    ]
}

pub(super) fn kinds() -> impl Strategy<Value = Vec<Topology>> {
    prop::collection::vec(kind(), 1..4)
}

fn id(n: u32) -> PeerId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(bytes)
}

pub(super) fn stream(n: usize) -> StreamId {
    StreamId::from_bytes([n as u8; 16])
}

/// The forest, and what is known of it from outside: what peers were told, and who can send how much.
pub(super) struct World {
    pub(super) forest: Forest,
    pub(super) streams: usize,
    pub(super) peers: Vec<PeerId>,
    next: u32,
    pub(super) traits: BTreeMap<PeerId, Traits>,
    pub(super) told: BTreeMap<(StreamId, PeerId), Option<PeerId>>,
    /// What everybody had been told before the last step, of those who were told something in it.
    before: BTreeMap<(StreamId, PeerId), Option<PeerId>>,
    /// Who has more to send than it may, and how much more: only what was there before the supervisor, a peer that took
    /// over, an orphan that goes to the broadcaster, and an uplink or a stream that changed can be the reason. It never becomes
    /// more by itself.
    excess: BTreeMap<Over, u64>,
}

/// What there can be too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Over {
    /// A peer's kbit/s, over all streams.
    Uplink(PeerId),
    /// A peer's children in one stream.
    Children(PeerId, StreamId),
}

impl World {
    pub(super) fn new(kinds: &[Topology]) -> Self {
        let mut world = Self {
            forest: Forest::default(),
            streams: kinds.len(),
            peers: Vec::new(),
            next: 0,
            traits: BTreeMap::new(),
            told: BTreeMap::new(),
            before: BTreeMap::new(),
            excess: BTreeMap::new(),
        };
        for (n, &kind) in kinds.iter().enumerate() {
            let root = world.new_peer(Component::Broadcaster, 3000, true);
            world.forest.add_stream(stream(n), kind, RATES[n], root);
        }
        world
    }

    fn new_peer(&mut self, component: Component, uplink_kbps: u32, relays: bool) -> PeerId {
        let peer = id(self.next);
        self.next += 1;
        let site = Site::of([203, 0, 113, (self.next % 4) as u8].into());
        let traits = Traits {
            component,
            relays,
            uplink_kbps,
            site,
        };
        self.traits.insert(peer, traits);
        let mut out = Vec::new();
        self.forest.add_peer(peer, traits, &mut out);
        self.hear(&out);
        if component != Component::Broadcaster {
            self.peers.push(peer);
        }
        peer
    }

    fn hear(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::Placed {
                stream,
                peer,
                parent,
                ..
            } = *change
            {
                self.is_told(stream, peer, parent);
            }
        }
    }

    fn is_told(&mut self, stream: StreamId, peer: PeerId, parent: Option<PeerId>) {
        let old = self.told.insert((stream, peer), parent);
        self.before
            .entry((stream, peer))
            .or_insert_with(|| old.flatten());
    }

    /// Whoever is gone was told nothing, when it comes back.
    fn is_gone(&mut self, peer: PeerId) {
        self.peers.retain(|&other| other != peer);
        self.told.retain(|at, _| at.1 != peer);
    }

    /// Who had a parent before the last step and another, or none, after it; whoever left the stream aside.
    pub(super) fn moved(&self) -> Vec<(StreamId, PeerId)> {
        let is_moved = |&(&at, &old): &(&(StreamId, PeerId), &Option<PeerId>)| {
            old.is_some() && self.forest.contains(at.0, at.1) && self.told[&at] != old
        };
        self.before
            .iter()
            .filter(is_moved)
            .map(|(&at, _)| at)
            .collect()
    }

    /// Takes a step; returns what came of it.
    pub(super) fn take(&mut self, step: &Step) -> Vec<Change> {
        let mut out = Vec::new();
        self.before.clear();
        let any_stream = |index: &Index| stream(index.index(self.streams));
        let any_peer = |index: &Index| {
            (!self.peers.is_empty()).then(|| self.peers[index.index(self.peers.len())])
        };
        match step {
            Step::Arrive {
                relay,
                uplink_kbps,
                relays,
            } => {
                let component = if *relay {
                    Component::Relay
                } else {
                    Component::Receiver
                };
                self.new_peer(component, *uplink_kbps, *relays);
            }
            Step::Resize { peer, uplink_kbps } => {
                if let Some(peer) = any_peer(peer) {
                    let traits = self
                        .traits
                        .get_mut(&peer)
                        .expect("whoever is here has some");
                    traits.uplink_kbps = *uplink_kbps;
                    self.forest.add_peer(peer, *traits, &mut out);
                    self.permit(peer);
                }
            }
            Step::Limit { peer, uplink_kbps } => {
                if let Some(peer) = any_peer(peer) {
                    self.traits
                        .entry(peer)
                        .and_modify(|t| t.uplink_kbps = *uplink_kbps);
                    self.permit(peer);
                    self.forest.limit(peer, *uplink_kbps, &mut out);
                    self.forest.loses_rank(peer);
                }
            }
            Step::Rerate { stream, kbps } => {
                let stream = any_stream(stream);
                self.forest.set_rate(stream, *kbps);
                self.excess = self.over();
            }
            Step::TakeOver {
                stream,
                child,
                is_gone,
            } => {
                let stream = any_stream(stream);
                if let Some(child) = any_peer(child) {
                    out = self.take_over(stream, child, *is_gone);
                }
            }
            Step::Relearn { first, absent } => out = self.relearn(first, *absent),
            Step::Join { stream, peer } => {
                let (stream, peer) = (any_stream(stream), any_peer(peer));
                peer.into_iter()
                    .for_each(|peer| self.forest.join(stream, peer, &mut out));
            }
            Step::Leave { stream, peer } => {
                let (stream, peer) = (any_stream(stream), any_peer(peer));
                if let Some(peer) = peer {
                    self.forest.leave(stream, peer, &mut out);
                    self.told.remove(&(stream, peer));
                }
            }
            Step::Vanish { peer } => {
                if let Some(peer) = any_peer(peer) {
                    self.is_gone(peer);
                    self.forest.remove_peer(peer, &mut out);
                }
            }
            Step::Complain {
                stream,
                child,
                again,
            } => {
                let (stream, child) = (any_stream(stream), any_peer(child));
                if let Some(parent) = child.and_then(|child| self.forest.parent(stream, child)) {
                    self.forest
                        .set_standing(parent, Standing::Suspect, &mut out);
                    child.into_iter().for_each(|child| match again {
                        true => self.forest.rescue(stream, child, &mut out),
                        false => self.forest.complain(stream, child, &mut out),
                    });
                }
            }
            Step::Retire { stream, peer } => {
                let stream = any_stream(stream);
                if let Some(peer) = any_peer(peer) {
                    self.forest.set_standing(peer, Standing::Suspect, &mut out);
                    self.forest.retire(stream, peer, &mut out);
                }
            }
            Step::Stand { peer, standing } => {
                any_peer(peer)
                    .into_iter()
                    .for_each(|peer| self.forest.set_standing(peer, *standing, &mut out));
            }
            Step::Restart { stream } => {
                let stream = any_stream(stream);
                let old = self.forest.graph(stream).expect("streams stay").root();
                self.forest.remove_peer(old, &mut out);
                let new = self.new_peer(Component::Broadcaster, 3000, true);
                self.forest.replace_root(stream, new, &mut out);
            }
            Step::Retry => self.forest.retry(&mut out),
            Step::Balance { stream } => {
                let stream = any_stream(stream);
                let most = 64 * self.peers.len();
                let moves = (0..=most).take_while(|_| self.forest.balance(stream, &mut out));
                assert!(moves.count() <= most, "it never comes to rest");
            }
            Step::Reseat {
                stream,
                peer,
                parent,
            } => {
                let stream = any_stream(stream);
                if let (Some(peer), Some(parent)) = (any_peer(peer), any_peer(parent)) {
                    let before = self.forest.parent(stream, peer);
                    let done = self.forest.reseat(stream, peer, parent, &mut out);
                    let after = self.forest.parent(stream, peer);
                    assert_eq!(after, if done.is_ok() { Some(parent) } else { before });
                }
            }
            Step::Rearrange { stream, kind } => {
                let stream = any_stream(stream);
                self.forest.rearrange(stream, *kind, &mut out);
                assert_eq!(self.forest.kind(stream), Some(*kind));
            }
        }
        if matches!(
            step,
            Step::Complain { .. }
                | Step::Leave { .. }
                | Step::Vanish { .. }
                | Step::TakeOver { .. }
                | Step::Restart { .. }
        ) {
            self.permit_orphans_at_the_root();
        }
        self.hear(&out);
        out
    }

    /// Orphans may go to the broadcaster though it has all the children that the topology gives it; not beyond its uplink.
    fn permit_orphans_at_the_root(&mut self) {
        for n in 0..self.streams {
            let stream = stream(n);
            if self.forest.kind(stream) == Some(Topology::LinkedList) {
                continue;
            }
            let root = self.forest.graph(stream).expect("streams stay").root();
            let too_many = self.too_many(root, stream);
            self.excess.insert(Over::Children(root, stream), too_many);
        }
    }

    /// How many peers a step may give another parent: a join one, a leave the children of who leaves and one more.
    pub(super) fn most_moved(&self, step: &Step) -> Option<usize> {
        let graphs = |s| self.forest.graph(s);
        let of_leave = |s, p| graphs(s).map_or(0, |graph| graph.children(p).count()) + 1;
        let any_peer = |index: &Index| self.peers[index.index(self.peers.len())];
        match step {
            Step::Arrive { .. } | Step::Join { .. } => Some(1),
            _ if self.peers.is_empty() => None,
            Step::Leave { stream: s, peer } => {
                Some(of_leave(stream(s.index(self.streams)), any_peer(peer)))
            }
            Step::Vanish { peer } => {
                let peer = any_peer(peer);
                let streams = self.forest.streams_of(peer);
                Some(streams.map(|stream| of_leave(stream, peer)).sum::<usize>())
            }
            _ => None,
        }
    }

    /// As the supervisor does when a peer says that its backup feeds it.
    fn take_over(&mut self, stream: StreamId, child: PeerId, is_gone: bool) -> Vec<Change> {
        let mut out = Vec::new();
        let lost = self.forest.parent(stream, child);
        let backup = self.forest.backup_for(stream, child, |_| 0);
        let (Some(lost), Some(backup)) = (lost, backup) else {
            return out;
        };
        let had = self
            .forest
            .graph(stream)
            .map(|graph| graph.children(backup).count());
        let stands = self.forest.stand_in(stream, child, backup);
        if stands {
            self.is_told(stream, child, Some(backup));
            let has = self
                .forest
                .graph(stream)
                .map(|graph| graph.children(backup).count());
            assert_eq!(has, had.map(|had| had + 1));
            self.permit(backup);
        }
        let is_root = self.forest.graph(stream).map(|graph| graph.root()) == Some(lost);
        let is_broadcaster = self.traits[&lost].component == Component::Broadcaster;
        if is_gone && !is_root && !is_broadcaster {
            self.is_gone(lost);
            self.forest.remove_peer(lost, &mut out);
        } else {
            self.forest.set_standing(lost, Standing::Suspect, &mut out);
            match stands {
                true => self.forest.retire(stream, lost, &mut out),
                false => self.forest.complain(stream, child, &mut out),
            }
        }
        out
    }

    /// Everybody says who feeds him, in whatever order; who says that nobody does is placed. Each eighth may stay away.
    fn relearn(&mut self, first: &Index, absent: bool) -> Vec<Change> {
        let (mut out, old) = (Vec::new(), std::mem::take(&mut self.forest));
        for n in 0..self.streams {
            let tree = &old.trees[&stream(n)];
            let root = tree.graph.root();
            self.forest.add_peer(root, self.traits[&root], &mut out);
            self.forest
                .add_stream(stream(n), tree.kind, tree.kbps, root);
        }
        let mut back = self.peers.clone();
        if !back.is_empty() {
            back.rotate_left(first.index(self.peers.len()));
        }
        let (mut nth, mut asking) = (0, 0);
        back.retain(|_| {
            nth += 1;
            !absent || nth % 8 != 0
        });
        for &peer in &back {
            self.forest.add_peer(peer, self.traits[&peer], &mut out);
            for stream in old.streams_of(peer) {
                match old.parent(stream, peer) {
                    Some(parent) => drop(self.forest.claim(stream, peer, parent, &mut out)),
                    None => {
                        asking += 1;
                        self.forest.join(stream, peer, &mut out);
                    }
                }
            }
        }
        for &peer in &back {
            for stream in old.streams_of(peer) {
                self.forest.expire_claim(stream, peer, &mut out);
            }
        }
        let told = out.iter().any(|c| matches!(c, Change::Placed { .. }));
        assert!(
            absent || asking > 0 || !told,
            "somebody who is well is moved: {out:?}"
        );
        // Who asks for a place may have got one that another one's child says it has.
        if asking > 0 {
            self.excess = self.over();
        }
        for peer in self.peers.clone() {
            if !back.contains(&peer) {
                self.is_gone(peer);
            }
        }
        out
    }

    /// What a peer has too much of may be as it is now.
    fn permit(&mut self, peer: PeerId) {
        for n in 0..self.streams {
            let too_many = self.too_many(peer, stream(n));
            self.excess
                .insert(Over::Children(peer, stream(n)), too_many);
        }
        let too_much = self.too_much(peer);
        self.excess.insert(Over::Uplink(peer), too_much);
    }

    fn too_many(&self, peer: PeerId, stream: StreamId) -> u64 {
        let vertex = self.forest.graph(stream).and_then(|graph| graph.get(peer));
        vertex.map_or(0, |v| {
            (v.children().len() as u64).saturating_sub(v.most_children().into())
        })
    }

    fn too_much(&self, peer: PeerId) -> u64 {
        let traits = &self.traits[&peer];
        let may = if traits.relays { traits.uplink_kbps } else { 0 };
        let streams = (0..self.streams).map(stream);
        let sends: u64 = streams.map(|stream| self.load(stream, peer)).sum();
        sends.saturating_sub(may.into())
    }

    /// Whoever has too much, all of them.
    fn over(&self) -> BTreeMap<Over, u64> {
        let peers = self.forest.peers.iter().map(|(peer, ..)| peer);
        let over = peers.flat_map(|peer| {
            let streams = (0..self.streams).map(stream);
            let children = streams.map(move |s| (Over::Children(peer, s), self.too_many(peer, s)));
            children.chain([(Over::Uplink(peer), self.too_much(peer))])
        });
        over.filter(|&(_, much)| much > 0).collect()
    }

    fn allows(&self, what: Over, much: u64) {
        let allowed = self.excess.get(&what).copied().unwrap_or(0);
        assert!(much <= allowed, "{what:?} is {much}, of {allowed} at most");
    }

    /// Looks at everything.
    pub(super) fn check(&mut self) {
        for n in 0..self.streams {
            self.check_tree(stream(n));
            self.check_indexes(stream(n));
        }
        self.check_uplinks();
        let over = self.over();
        over.iter()
            .for_each(|(&what, &much)| self.allows(what, much));
        self.excess = over;
    }

    /// Looks at those who were told something by the last step, at their parents, and at one more: for long runs.
    pub(super) fn check_lightly(&self, changes: &[Change], nth: usize) {
        for change in changes {
            if let &Change::Placed { stream, peer, .. } = change
                && self.forest.contains(stream, peer)
            {
                self.check_place(stream, peer);
            }
        }
        if !self.peers.is_empty() {
            let peer = self.peers[nth % self.peers.len()];
            self.forest.streams_of(peer).for_each(|stream| {
                self.check_place(stream, peer);
                self.check_backup(stream, peer);
            });
        }
    }

    fn check_place(&self, stream: StreamId, peer: PeerId) {
        let tree = &self.forest.trees[&stream];
        let graph = &tree.graph;
        let parent = graph.parent(peer);
        assert_eq!(
            self.told[&(stream, peer)],
            parent,
            "{peer} was told something else"
        );
        let way: Vec<_> = graph.path(peer).take(graph.len() + 1).collect();
        assert!(way.len() <= graph.len(), "{peer} stands in a circle");
        let top = way[way.len() - 1];
        let arrival = graph.get(top).map_or(0, |vertex| vertex.arrival());
        let waits = tree.waiting.contains(&(arrival, top));
        assert!(
            top == graph.root() || waits,
            "{peer} is neither fed nor waits"
        );
        for at in parent.into_iter().chain([peer]) {
            self.allows(Over::Children(at, stream), self.too_many(at, stream));
            self.allows(Over::Uplink(at), self.too_much(at));
        }
        self.check_vertex(tree, peer);
    }

    /// Whoever is chosen to stand by is well, is there, and is neither the peer, nor its parent, nor below it.
    fn check_backup(&self, stream: StreamId, peer: PeerId) {
        let graph = &self.forest.trees[&stream].graph;
        let Some(backup) = self.forest.backup_for(stream, peer, |_| 0) else {
            return;
        };
        assert!(
            backup != peer && graph.parent(peer) != Some(backup),
            "{peer}: {backup}"
        );
        assert!(
            !graph.is_below(backup, peer),
            "{backup} stands below {peer}"
        );
        assert!(
            graph.depth(backup).is_some(),
            "{backup} has nothing to give"
        );
        let known = self.forest.peers.get(backup).expect("members are known");
        assert_eq!(known.standing, Standing::Open, "{backup}");
        assert!(
            self.forest.can_back_up(stream, peer, backup),
            "{backup} is left at once"
        );
    }

    /// One parent each, no cycle; who is not reachable waits, or stands below somebody who waits; everybody was
    /// told the truth.
    fn check_tree(&self, stream: StreamId) {
        let tree = &self.forest.trees[&stream];
        let graph = &tree.graph;
        let waiting: BTreeSet<_> = tree.waiting.iter().map(|&(_, peer)| peer).collect();
        assert_eq!(!waiting.is_empty(), self.forest.hungry.contains(&stream));
        for (peer, vertex) in graph.iter() {
            let mut top = peer;
            for step in graph.path(peer).take(graph.len() + 1).enumerate() {
                assert!(step.0 < graph.len(), "{peer} stands in a circle");
                top = step.1;
            }
            assert!(
                top == graph.root() || waiting.contains(&top),
                "{peer} is neither fed nor waits"
            );
            assert_eq!(
                waiting.contains(&peer),
                vertex.parent().is_none() && peer != graph.root()
            );
            assert!(
                vertex
                    .children()
                    .iter()
                    .all(|&child| graph.parent(child) == Some(peer))
            );
            if peer != graph.root() {
                assert_eq!(
                    self.told[&(stream, peer)],
                    vertex.parent(),
                    "{peer} was told something else"
                );
            }
        }
        let viewers = graph
            .iter()
            .filter(|(_, v)| v.component() == Component::Receiver)
            .count();
        assert_eq!(self.forest.viewers(stream) as usize, viewers);
    }

    /// The sums kept are the sums.
    fn check_uplinks(&self) {
        for (peer, known, used) in self.forest.peers.iter() {
            let streams = known.streams.as_slice().iter();
            let sum: u64 = streams.map(|stream| self.load(*stream, peer)).sum();
            assert_eq!(sum, used, "{peer}");
        }
    }

    fn load(&self, stream: StreamId, peer: PeerId) -> u64 {
        let tree = &self.forest.trees[&stream];
        tree.graph.children(peer).count() as u64 * u64::from(tree.kbps)
    }

    /// The indexes say what a scan would say.
    fn check_indexes(&self, stream: StreamId) {
        let tree = &self.forest.trees[&stream];
        for (peer, _) in tree.graph.iter() {
            self.check_vertex(tree, peer);
        }
        assert_eq!(
            tree.levels.len(),
            tree.graph
                .iter()
                .filter(|(p, _)| tree.graph.depth(*p).is_some())
                .count()
        );
    }

    fn check_vertex(&self, tree: &Tree, peer: PeerId) {
        let depth = tree.graph.depth(peer);
        let level = tree.levels.get(&peer).map(|&level| level as usize);
        let flat = depth.map(|depth| match tree.kind {
            Topology::LinkedList => 0,
            _ => depth,
        });
        assert_eq!(level, flat, "{peer}");
        let known = self.forest.peers.get(peer).expect("members are known");
        let is_here = depth.is_some() && known.standing != Standing::Away;
        let open = is_here && tree.has_room(peer, known);
        assert_eq!(tree.is_open(peer), open, "{peer}");
    }

    pub(super) fn parents(&self) -> BTreeMap<(StreamId, PeerId), PeerId> {
        let trees = (0..self.streams).map(stream);
        trees
            .flat_map(|s| {
                self.forest.trees[&s]
                    .graph
                    .iter()
                    .filter_map(move |(p, v)| Some(((s, p), v.parent()?)))
            })
            .collect()
    }
}
