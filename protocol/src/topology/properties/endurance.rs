//! A hundred thousand operations on one forest, for each placement.
//!
//! After each of them those concerned are looked at, and all at times: what short sequences do not reach is a forest that has
//! been through much.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::world::{Step, World, step};
use crate::id::{PeerId, StreamId};
use crate::signal::Topology;

const OPERATIONS: usize = 100_000;
/// All is looked at after so many.
const LOOK: usize = 500;
/// So many peers at most, by turns: a crowd comes, and goes again.
const CROWDS: [usize; 4] = [120, 40, 8, 70];
const TURN: usize = 5_000;
/// Of the steps that arrange a stream otherwise one in so many is taken, and every fourth of those arranges it in another way
/// than the run is about.
const SELDOM: usize = 16;

/// Steps as they come, but that the crowd has its limit, and that the streams are arranged as wished most of the time.
struct Course {
    own: Topology,
    runner: TestRunner,
    drawn: usize,
}

impl Course {
    fn draw<S: Strategy>(&mut self, strategy: S) -> S::Value {
        let tree = strategy.new_tree(&mut self.runner);
        tree.expect("nothing is rejected").current()
    }

    fn next(&mut self, peers: usize) -> Step {
        self.drawn += 1;
        match self.draw(step()) {
            Step::Rearrange { stream, kind } if self.drawn.is_multiple_of(SELDOM) => {
                let other = self.drawn.is_multiple_of(SELDOM * 4);
                let kind = if other { kind } else { self.own };
                Step::Rearrange { stream, kind }
            }
            Step::Rearrange { stream, .. } => Step::Balance { stream },
            Step::Arrive { .. } if peers >= CROWDS[self.drawn / TURN % CROWDS.len()] => {
                let peer = self.draw(any::<Index>());
                Step::Vanish { peer }
            }
            step => step,
        }
    }
}

fn course(own: Topology) -> Course {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    Course {
        own,
        runner: TestRunner::new_with_rng(ProptestConfig::default(), rng),
        drawn: 0,
    }
}

/// Two streams that share their peers' uplinks, arranged so.
fn endures(own: Topology) {
    let mut course = course(own);
    let mut world = World::new(&[own, own]);
    let (mut told, mut longest) = (0, 0);
    for nth in 1..=OPERATIONS {
        let step = course.next(world.peers.len());
        let most = world.most_moved(&step);
        let changes = world.take(&step);
        let moved = world.moved();
        assert!(
            most.is_none_or(|most| moved.len() <= most),
            "{nth}: {step:?} moved {moved:?}: {changes:?}"
        );
        world.check_lightly(&changes, nth);
        if nth.is_multiple_of(LOOK) {
            world.check();
        }
        told += changes.len();
        longest = longest.max(world.peers.len());
    }
    assert!(
        told > OPERATIONS / 2,
        "hardly anything happened: {told} orders"
    );
    assert!(longest > 50, "hardly anybody came: {longest} at most");
}

#[test]
fn a_linked_list_stays_one_through_a_hundred_thousand_operations() {
    endures(Topology::LinkedList);
}

#[test]
fn a_binary_tree_stays_one_through_a_hundred_thousand_operations() {
    endures(Topology::Tree { arity: 2 });
}

#[test]
fn a_tree_of_threes_stays_one_through_a_hundred_thousand_operations() {
    endures(Topology::Tree { arity: 3 });
}

#[test]
fn relays_first_stay_a_tree_through_a_hundred_thousand_operations() {
    endures(Topology::RelayFirst);
}

/// Whatever is wrong is found: a forest that is well, and one of its members that has a parent.
fn some_time_later() -> (World, StreamId, PeerId) {
    let own = Topology::Tree { arity: 2 };
    let (mut course, mut world) = (course(own), World::new(&[own, own]));
    for _ in 0..LOOK {
        let step = course.next(world.peers.len());
        world.take(&step);
    }
    world.check();
    let fed = world.parents().into_iter().find(|((stream, peer), _)| {
        let graph = world.forest.graph(*stream).expect("streams stay");
        graph.children(*peer).count() > 0
    });
    let ((stream, peer), _) = fed.expect("somebody feeds somebody");
    (world, stream, peer)
}

#[test]
#[should_panic(expected = "is neither fed nor waits")]
fn the_check_finds_who_hangs_in_the_air() {
    let (mut world, stream, peer) = some_time_later();
    let tree = world.forest.trees.get_mut(&stream);
    tree.expect("streams stay").graph.unlink(peer);
    world.check();
}

#[test]
#[should_panic(expected = "was told something else")]
fn the_check_finds_who_was_not_told_where_it_is() {
    let (mut world, stream, peer) = some_time_later();
    world.told.insert((stream, peer), None);
    world.check();
}

#[test]
#[should_panic(expected = " at most")]
fn the_check_finds_who_sends_more_than_it_can() {
    let (mut world, _, peer) = some_time_later();
    let traits = world.traits.get_mut(&peer);
    traits.expect("whoever is here has some").uplink_kbps = 0;
    world.check();
}
