//! Whatever happens, in whatever order: the trees stay trees.

mod endurance;
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::id::{PeerId, StreamId};
use world::{World, kinds, steps, stream};

/// Those who had a parent and have another now; who had none was not moved, nor who left.
fn moved(before: &BTreeMap<(StreamId, PeerId), PeerId>, world: &World) -> Vec<(StreamId, PeerId)> {
    let after = world.parents();
    let other = |(at, parent): &(&(StreamId, PeerId), &PeerId)| {
        world.forest.contains(at.0, at.1) && after.get(at) != Some(parent)
    };
    before.iter().filter(other).map(|(&at, _)| at).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn after_any_sequence_of_events_every_stream_is_one_tree_within_everybodys_uplink(
        kinds in kinds(),
        steps in steps(),
    ) {
        let mut world = World::new(&kinds);
        for step in &steps {
            world.take(step);
            world.check();
        }
    }

    #[test]
    fn a_join_moves_at_most_one_peer_and_a_leave_at_most_its_children_and_one_more(
        kinds in kinds(),
        steps in steps(),
    ) {
        let mut world = World::new(&kinds);
        for step in &steps {
            let before = world.parents();
            let most = world.most_moved(step);
            let out = world.take(step);
            let moved = moved(&before, &world);
            prop_assert!(most.is_none_or(|most| moved.len() <= most), "{step:?} moved {moved:?}: {out:?}");
        }
    }

    #[test]
    fn everybody_leaves_and_nothing_is_left(kinds in kinds(), steps in steps()) {
        let mut world = World::new(&kinds);
        steps.iter().for_each(|step| drop(world.take(step)));
        let mut out = Vec::new();
        for peer in std::mem::take(&mut world.peers) {
            world.forest.remove_peer(peer, &mut out);
        }
        prop_assert_eq!(world.forest.size(), (world.streams, world.streams));
        for n in 0..world.streams {
            let root = world.forest.graph(stream(n)).expect("streams stay").root();
            world.forest.end_stream(stream(n), &mut out);
            world.forest.remove_peer(root, &mut out);
        }
        prop_assert_eq!(world.forest.size(), (0, 0));
        prop_assert!(world.forest.hungry.is_empty());
    }
}
