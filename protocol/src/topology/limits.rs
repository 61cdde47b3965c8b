//! Peers that can send less than they said, or were thought to.

use crate::id::{PeerId, StreamId};
use crate::signal::Topology;

use super::graph::Vertex;
use super::placement::Spot;
use super::{Change, Forest, Op};

impl Forest {
    /// What `peer` can send over all streams is another from now on, kbit/s. Children beyond that get other places, those first
    /// who came last, as long as there are any: a slow parent is better than none.
    pub fn limit(&mut self, peer: PeerId, uplink_kbps: u32, out: &mut Vec<Change>) {
        self.with_peers(peer, |peers| {
            peers.change(peer, |known| known.traits.uplink_kbps = uplink_kbps);
        });
        let streams: Vec<StreamId> = self.streams_of(peer).collect();
        for stream in streams {
            while self.sends_too_much(peer) && self.shed(stream, peer, out) {}
        }
        self.feed_the_waiting(&mut Op::new(out));
    }

    /// What `peer` sends over all streams if it has so many children in this one, kbit/s.
    pub fn load_with(&self, peer: PeerId, stream: StreamId, children: u16) -> u32 {
        let of = |at: StreamId| {
            let tree = &self.trees[&at];
            let now = tree
                .graph
                .get(peer)
                .map_or(0, |v| v.children().len() as u64);
            let children = if at == stream { children.into() } else { now };
            children * u64::from(tree.kbps)
        };
        let all: u64 = self.streams_of(peer).map(of).sum();
        u32::try_from(all).unwrap_or(u32::MAX)
    }

    /// `peer` counts as if it had only just come: of those who are as near to the broadcaster the others are chosen before it, to feed
    /// somebody and to fill the places of those who leave.
    pub fn loses_rank(&mut self, peer: PeerId) {
        let streams: Vec<StreamId> = self.streams_of(peer).collect();
        for stream in streams {
            self.arrivals += 1;
            let arrival = self.arrivals;
            let tree = self.tree(stream);
            let old = tree.graph.get(peer).map(Vertex::arrival);
            if old.is_some_and(|old| !tree.waiting.contains(&(old, peer))) {
                tree.graph.set_arrival(peer, arrival);
                self.refresh(stream, peer);
            }
        }
    }

    fn sends_too_much(&self, peer: PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(super::peers::Peer::sends_too_much)
    }

    /// Gives the last child of `peer` another place; false if there is none.
    fn shed(&mut self, stream: StreamId, peer: PeerId, out: &mut Vec<Change>) -> bool {
        let tree = &self.trees[&stream];
        let arrival = |child: &PeerId| tree.graph.get(*child).map(Vertex::arrival);
        let last = tree.graph.children(peer).max_by_key(arrival);
        let Some(child) = last.filter(|_| tree.kind != Topology::LinkedList) else {
            return false; // all of a list hang below it, whatever is done
        };
        let began = out.len();
        let mut op = Op::new(out);
        self.unlink(stream, child);
        self.settle(stream, child); // it may not go below itself
        let found = self.choose(stream, child, &mut op);
        let Some(spot) = found.filter(|spot| match *spot {
            Spot::Under(parent) => self.sound(parent),
            Spot::Instead(_) => true,
        }) else {
            self.adopt(stream, child, peer);
            return false;
        };
        self.take(stream, child, spot, &mut op);
        for change in &mut out[began..] {
            if let Change::Placed {
                peer: moved, left, ..
            } = change
                && *moved == child
            {
                *left = Some(peer);
            }
        }
        self.report_idle(stream, peer, &mut Op::new(out));
        true
    }
}
