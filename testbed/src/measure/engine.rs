//! What the topology engine takes: the tree of a large stream filled, churned and looked at, with nothing else around it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use protocol::id::{PeerId, StreamId};
use protocol::signal::{Component, Topology};
use protocol::topology::{Change, Forest, Site, Traits};
use rand::{RngExt as _, SeedableRng as _};

const STREAM: StreamId = StreamId::from_bytes([1; 16]);
const KBPS: u32 = 1_000;
const BROADCASTER: PeerId = PeerId::from_bytes([0xFF; 16]);
/// Operations that are timed one by one in the full tree.
const TIMED: usize = 10_000;

/// What it took.
#[derive(Debug, Clone)]
pub struct Engine {
    /// All joins, one after the other.
    pub filled: Duration,
    /// Each join in the full tree, shortest first.
    pub joins: Vec<Duration>,
    /// Each leave in the full tree, shortest first.
    pub leaves: Vec<Duration>,
    /// The most peers that one leave gave another parent, beyond the children of the one that left.
    pub moved_beyond_children: usize,
    /// Memory that each peer takes, bytes.
    pub bytes_per_peer: u64,
}

fn id(n: u32) -> PeerId {
    let mut bytes = [0; 16];
    // Spread over the whole range, as random ids are: in a row they would leave the maps' nodes half empty.
    bytes[..4].copy_from_slice(&n.wrapping_mul(0x9E37_79B1).to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn traits(component: Component, children: u32) -> Traits {
    Traits {
        component,
        relays: true,
        uplink_kbps: children * KBPS,
        // As if all came from one household: the index of sites is paid for.
        site: Site::of(std::net::Ipv4Addr::new(203, 0, 113, 7).into()),
    }
}

fn stage(topology: Topology, children: u32) -> Forest {
    let mut forest = Forest::default();
    let broadcaster = traits(Component::Broadcaster, children);
    forest.add_peer(BROADCASTER, broadcaster, &mut Vec::new());
    forest.add_stream(STREAM, topology, KBPS, BROADCASTER);
    forest
}

/// A binary tree of so many viewers, of whom each can feed two to six.
pub fn engine(viewers: u32, seed: u64) -> anyhow::Result<Engine> {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut out = Vec::new();
    let before = resident()?;
    let mut forest = stage(Topology::Tree { arity: 2 }, 2);
    let mut enter = |forest: &mut Forest, n, children| {
        forest.add_peer(id(n), traits(Component::Receiver, children), &mut out);
        let begin = Instant::now();
        forest.join(STREAM, id(n), &mut out);
        out.clear();
        begin.elapsed()
    };
    let filled = (0..viewers).map(|n| enter(&mut forest, n, random.random_range(2..=6)));
    let filled = filled.sum();
    let bytes_per_peer = (resident()? - before) / u64::from(viewers);

    let (mut joins, mut leaves, mut moved_beyond_children) = (Vec::new(), Vec::new(), 0);
    for n in viewers..viewers + TIMED as u32 {
        let gone = id(random.random_range(0..n));
        let children = forest
            .graph(STREAM)
            .map(|graph| graph.children(gone).count());
        let mut changes = Vec::new();
        let begin = Instant::now();
        forest.leave(STREAM, gone, &mut changes);
        leaves.push(begin.elapsed());
        forest.remove_peer(gone, &mut changes);
        let moved = changes
            .iter()
            .filter(|change| matches!(change, Change::Placed { .. }));
        moved_beyond_children =
            moved_beyond_children.max(moved.count().saturating_sub(children.unwrap_or(0)));
        joins.push(enter(&mut forest, n, 4));
    }
    joins.sort_unstable();
    leaves.sort_unstable();
    Ok(Engine {
        filled,
        joins,
        leaves,
        moved_beyond_children,
        bytes_per_peer,
    })
}

/// Viewers that can feed two each, below three relays of thirty: their mean depth, and the least there can be.
pub fn depth(viewers: u32) -> anyhow::Result<(f64, f64)> {
    const RELAYS: u32 = 3;
    const CHILDREN: u32 = 30;
    let (mut forest, mut out) = (stage(Topology::RelayFirst, RELAYS), Vec::new());
    for n in 0..RELAYS {
        let relay = traits(Component::Relay, CHILDREN);
        forest.add_peer(id(u32::MAX - n), relay, &mut out);
    }
    for n in 0..viewers {
        forest.add_peer(id(n), traits(Component::Receiver, 2), &mut out);
        forest.join(STREAM, id(n), &mut out);
    }
    let graph = forest.graph(STREAM).context("the stream is there")?;
    let depths = (0..viewers).map(|n| graph.depth(id(n)).context("somebody has no place"));
    let sum: usize = depths.sum::<anyhow::Result<usize>>()?;
    let (mut best, mut left, mut level, mut room) = (0, viewers, 2, RELAYS * CHILDREN);
    while left > 0 {
        let here = left.min(room);
        (best, left, level, room) = (best + here * level, left - here, level + 1, here * 2);
    }
    let mean = |sum: f64| sum / f64::from(viewers);
    Ok((mean(sum as f64), mean(f64::from(best))))
}

/// This process's memory, bytes.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no VmRSS")?.parse::<u64>()? * 1024)
}
