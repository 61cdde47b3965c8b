//! Who feeds whom in one stream. The only place where a child is linked to a parent or unlinked.
//!
//! Holds the shape and nothing else: whether a link is a good idea is `placement`'s to say, what it costs a
//! peer's uplink is `peers`' to count.

use std::collections::BTreeMap;

use crate::id::PeerId;
use crate::signal::Component;

use super::few::Few;

/// A peer's place in one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    component: Component,
    most_children: u32,
    arrival: u64,
    parent: Option<PeerId>,
    children: Few<PeerId>,
}

impl Vertex {
    /// A vertex with no link yet. `arrival` orders peers by when they came.
    pub const fn new(component: Component, most_children: u32, arrival: u64) -> Self {
        Self {
            component,
            most_children,
            arrival,
            parent: None,
            children: Few::new(),
        }
    }

    /// What the peer is.
    pub const fn component(&self) -> Component {
        self.component
    }

    /// When it came, as a number.
    pub const fn arrival(&self) -> u64 {
        self.arrival
    }

    /// Who feeds it.
    pub const fn parent(&self) -> Option<PeerId> {
        self.parent
    }

    /// Whom it feeds.
    pub const fn children(&self) -> &[PeerId] {
        self.children.as_slice()
    }

    /// Most children the placement allows it, whatever its uplink.
    pub const fn most_children(&self) -> u32 {
        self.most_children
    }

    /// Whether the placement allows it one more child.
    pub fn takes_another(&self) -> bool {
        (self.children().len() as u64) < u64::from(self.most_children)
    }
}

/// Why two peers cannot be linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// One of them has no vertex here.
    #[error("{0} is not in this stream")]
    Unknown(PeerId),
    /// The parent stands below the child.
    #[error("a peer cannot be fed by somebody it feeds")]
    Cycle,
    /// The parent has all the children it may have.
    #[error("the parent has no room for another child")]
    Full,
    /// The child is the stream's broadcaster.
    #[error("a broadcaster has no parent")]
    Root,
}

/// The vertices of one stream and the links between them.
#[derive(Debug, Clone)]
pub struct Graph {
    root: PeerId,
    vertices: BTreeMap<PeerId, Vertex>,
}

impl Graph {
    /// A stream that only its broadcaster is in.
    pub fn new(root: PeerId, vertex: Vertex) -> Self {
        Self {
            root,
            vertices: BTreeMap::from([(root, vertex)]),
        }
    }

    /// The broadcaster.
    pub const fn root(&self) -> PeerId {
        self.root
    }

    /// Makes `peer`, which must have no parent, the broadcaster.
    pub fn set_root(&mut self, peer: PeerId) {
        debug_assert!(self.parent(peer).is_none());
        self.root = peer;
    }

    /// `peer` counts as having come then.
    pub fn set_arrival(&mut self, peer: PeerId, arrival: u64) {
        if let Some(vertex) = self.vertices.get_mut(&peer) {
            vertex.arrival = arrival;
        }
    }

    /// The vertex of `peer`.
    pub fn get(&self, peer: PeerId) -> Option<&Vertex> {
        self.vertices.get(&peer)
    }

    /// Whether `peer` has a vertex, linked or not.
    pub fn contains(&self, peer: PeerId) -> bool {
        self.vertices.contains_key(&peer)
    }

    /// Who feeds `peer`.
    pub fn parent(&self, peer: PeerId) -> Option<PeerId> {
        self.get(peer)?.parent
    }

    /// Whom `peer` feeds.
    pub fn children(&self, peer: PeerId) -> impl Iterator<Item = PeerId> + '_ {
        self.get(peer)
            .into_iter()
            .flat_map(|vertex| vertex.children().iter().copied())
    }

    /// All vertices.
    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &Vertex)> + '_ {
        self.vertices.iter().map(|(&peer, vertex)| (peer, vertex))
    }

    /// How many vertices there are.
    pub fn len(&self) -> usize {
        self.vertices.len()
    }

    /// Whether there is none, which cannot be: the broadcaster always has one.
    pub fn is_empty(&self) -> bool {
        self.vertices.is_empty()
    }

    /// Adds a vertex without a link; one that is there already stays as it is.
    pub fn insert(&mut self, peer: PeerId, vertex: Vertex) {
        self.vertices.entry(peer).or_insert(vertex);
    }

    /// Links `child` below `parent`, away from the parent it had, which is returned.
    pub fn link(&mut self, child: PeerId, parent: PeerId) -> Result<Option<PeerId>, LinkError> {
        if !self
            .get(parent)
            .ok_or(LinkError::Unknown(parent))?
            .takes_another()
        {
            return Err(LinkError::Full);
        }
        self.adopt(child, parent)
    }

    /// Links an orphan below `heir`, who does not stand below it: that is known of whoever stood above its old
    /// parent, or takes that one's place, and looking for a circle would cost a walk to the broadcaster.
    pub fn inherit(&mut self, orphan: PeerId, heir: PeerId) -> Result<(), LinkError> {
        debug_assert!(!self.is_below(heir, orphan) && self.parent(orphan).is_none());
        match (self.get(heir), self.contains(orphan)) {
            (None, _) => Err(LinkError::Unknown(heir)),
            (_, false) => Err(LinkError::Unknown(orphan)),
            (Some(vertex), _) if !vertex.takes_another() => Err(LinkError::Full),
            _ => {
                self.join(orphan, heir);
                Ok(())
            }
        }
    }

    /// Links as [`Self::link`] does, even beyond what the parent may have: the link exists already.
    pub fn adopt(&mut self, child: PeerId, parent: PeerId) -> Result<Option<PeerId>, LinkError> {
        match () {
            () if !self.contains(child) => Err(LinkError::Unknown(child)),
            () if !self.contains(parent) => Err(LinkError::Unknown(parent)),
            () if child == self.root => Err(LinkError::Root),
            () if self.has_children(child) && self.is_below(parent, child) => Err(LinkError::Cycle),
            () if child == parent => Err(LinkError::Cycle),
            () => {
                let old = self.unlink(child);
                self.join(child, parent);
                Ok(old)
            }
        }
    }

    /// Takes `child` from its parent, which is returned. What is below the child stays below it.
    pub fn unlink(&mut self, child: PeerId) -> Option<PeerId> {
        let parent = self.vertices.get_mut(&child)?.parent.take()?;
        self.vertex(parent).children.remove(&child);
        Some(parent)
    }

    /// Most children `peer` may have from now on; those it has stay.
    pub(super) fn allow_children(&mut self, peer: PeerId, most: u32) {
        if let Some(vertex) = self.vertices.get_mut(&peer) {
            vertex.most_children = most;
        }
    }

    /// Links between the broadcaster and whoever is furthest from it.
    pub fn height(&self) -> u32 {
        let far = self.subtree(self.root);
        far.last().map_or(0, |&(_, distance)| distance)
    }

    /// Removes a vertex that has no link any more.
    pub fn remove(&mut self, peer: PeerId) {
        debug_assert!(
            self.get(peer)
                .is_none_or(|v| v.parent.is_none() && v.children().is_empty())
        );
        self.vertices.remove(&peer);
    }

    /// Whether `peer` stands somewhere below `ancestor`, or is it.
    pub fn is_below(&self, peer: PeerId, ancestor: PeerId) -> bool {
        self.path(peer).any(|on_the_way| on_the_way == ancestor)
    }

    /// `peer`, its parent, and so on up.
    pub fn path(&self, peer: PeerId) -> impl Iterator<Item = PeerId> + '_ {
        std::iter::successors(Some(peer), |&at| self.parent(at))
    }

    /// Links between the broadcaster and `peer`; none if there is no way.
    pub fn depth(&self, peer: PeerId) -> Option<usize> {
        let way: Vec<_> = self.path(peer).collect();
        (way.last() == Some(&self.root)).then(|| way.len() - 1)
    }

    /// `peer` and everybody below it, parents before children, each with its distance from `peer`.
    pub fn subtree(&self, peer: PeerId) -> Vec<(PeerId, u32)> {
        let mut found = vec![(peer, 0)];
        let mut next = 0;
        while let Some(&(at, distance)) = found.get(next) {
            found.extend(self.children(at).map(|child| (child, distance + 1)));
            next += 1;
        }
        found
    }

    fn join(&mut self, child: PeerId, parent: PeerId) {
        self.vertex(child).parent = Some(parent);
        self.vertex(parent).children.insert(child);
    }

    fn has_children(&self, peer: PeerId) -> bool {
        self.get(peer)
            .is_some_and(|vertex| !vertex.children().is_empty())
    }

    fn vertex(&mut self, peer: PeerId) -> &mut Vertex {
        self.vertices
            .get_mut(&peer)
            .expect("both ends of a link have vertices")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> PeerId {
        PeerId::from_bytes([n; 16])
    }

    fn chain_of(n: u8) -> Graph {
        let vertex = |n| Vertex::new(Component::Receiver, 1, n);
        let mut graph = Graph::new(id(0), vertex(0));
        for i in 1..n {
            graph.insert(id(i), vertex(u64::from(i)));
            graph.link(id(i), id(i - 1)).expect("room for one");
        }
        graph
    }

    #[test]
    fn a_peer_cannot_be_fed_by_somebody_it_feeds() {
        let mut graph = chain_of(4);
        assert_eq!(graph.adopt(id(1), id(3)), Err(LinkError::Cycle));
        assert_eq!(graph.adopt(id(3), id(3)), Err(LinkError::Cycle));
        assert_eq!(graph.depth(id(3)), Some(3));
    }

    #[test]
    fn a_full_parent_refuses_a_child_but_an_existing_link_is_adopted() {
        let mut graph = chain_of(3);
        graph.insert(id(9), Vertex::new(Component::Receiver, 1, 9));
        assert_eq!(graph.link(id(9), id(0)), Err(LinkError::Full));
        assert_eq!(graph.adopt(id(9), id(0)), Ok(None));
    }

    #[test]
    fn what_stands_below_an_unlinked_peer_stays_below_it() {
        let mut graph = chain_of(4);
        assert_eq!(graph.unlink(id(1)), Some(id(0)));
        assert_eq!(graph.depth(id(3)), None);
        assert_eq!(graph.subtree(id(1)), [(id(1), 0), (id(2), 1), (id(3), 2)]);
    }
}
