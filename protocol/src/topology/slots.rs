//! Who has room for another child: the best first, over all and at each site.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::PeerId;

use super::placement::Rank;
use super::site::Site;

#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    entries: BTreeMap<PeerId, (Rank, Option<Site>)>,
    order: BTreeSet<(Rank, PeerId)>,
    sites: BTreeSet<(Site, Rank, PeerId)>,
}

impl Slots {
    /// Puts `peer`, who is at `site`, where `rank` says, or takes it out.
    pub(super) fn set(&mut self, peer: PeerId, rank: Option<Rank>, site: Option<Site>) {
        let new = rank.map(|rank| (rank, site));
        let old = match new {
            Some(new) => self.entries.insert(peer, new),
            None => self.entries.remove(&peer),
        };
        if old == new {
            return;
        }
        if let Some((rank, site)) = old {
            self.order.remove(&(rank, peer));
            site.map(|site| self.sites.remove(&(site, rank, peer)));
        }
        if let Some((rank, site)) = new {
            self.order.insert((rank, peer));
            site.map(|site| self.sites.insert((site, rank, peer)));
        }
    }

    /// From the best on; from the other end, from the worst.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Rank, PeerId)> + '_ {
        self.order.iter().copied()
    }

    /// Those at one site, from the best on.
    pub(super) fn at(&self, site: Site) -> impl Iterator<Item = (Rank, PeerId)> + '_ {
        let first = (site, Rank::FIRST, PeerId::from_bytes([0; 16]));
        let here = self.sites.range(first..);
        let here = here.take_while(move |entry| entry.0 == site);
        here.map(|&(_, rank, peer)| (rank, peer))
    }

    pub(super) fn contains(&self, peer: PeerId) -> bool {
        self.entries.contains_key(&peer)
    }
}
