//! Short runs in which much goes wrong, each another one by its seed: for whoever compares what peers do in one build with what
//! they do in another.

use std::time::Duration;

use protocol::signal::Topology;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Failure, Plan};
use crate::victims::Distribution;

/// One run in so many is sealed: checking a signature in a browser costs as much as a hundred other steps.
const SEALED_EVERY: u64 = 50;

/// The scenario of this seed: a handful of viewers who come, die, freeze and hang, on networks near and far, with uplinks that are
/// slow, chunks that come late, an encoder that starts again and a supervisor that goes away.
pub fn scenario(seed: u64) -> Plan {
    let mut random = StdRng::seed_from_u64(seed);
    let mut one_of = |choices: u32| random.random_range(0..choices);
    let is_relay_first = one_of(2) == 0;
    let topology = match one_of(4) {
        _ if is_relay_first => Topology::RelayFirst,
        0 => Topology::LinkedList,
        1 => Topology::Tree { arity: 3 },
        _ => Topology::Tree { arity: 2 },
    };
    let millis = |ms: u32| Duration::from_millis(ms.into());
    Plan {
        viewers: 3 + one_of(5),
        relays: u32::from(is_relay_first) * one_of(3),
        topology,
        backups: one_of(8) > 0,
        relay_kbps: 2_000 + one_of(4_000),
        viewer_kbps: one_of(5_000),
        slow_every: [0, 0, 2, 3][one_of(4) as usize],
        slow_kbps: 200 + one_of(1_000),
        length: millis(3_500 + one_of(2_000)),
        calm: millis(1_000 + one_of(500)),
        failures_per_s: f64::from(one_of(5)) / 2.0,
        failure: [Failure::Leave, Failure::Kill, Failure::Freeze][one_of(3) as usize],
        hangs_per_s: f64::from(one_of(3)) / 2.0,
        loss: [0.0, 0.0, 0.005, 0.02][one_of(4) as usize],
        supervisor_away: (one_of(4) == 0)
            .then(|| (millis(800 + one_of(1_500)), millis(300 + one_of(1_500)))),
        encoder_restarts: (one_of(6) == 0).then(|| millis(1_500 + one_of(1_500))),
        victims: [Distribution::Uniform, Distribution::Beta][one_of(2) as usize],
        sealed: seed.is_multiple_of(SEALED_EVERY),
        real_uplinks: false,
        hold: (one_of(8) == 0).then(|| millis(200 + one_of(800))),
        latency_ms: [(0, 4), (5, 40), (30, 120)][one_of(3) as usize],
        seed,
        threads: None,
    }
}
