//! The protocol's machines by the dozen, under virtual time.

use std::time::Duration;

use protocol::signal::Topology;
use testbed::sim::{Failure, Plan, run};

fn plan() -> Plan {
    Plan {
        viewers: 40,
        length: Duration::from_secs(20),
        ..Plan::default()
    }
}

#[test]
fn two_runs_from_one_seed_deliver_the_same_chunks_to_the_same_viewers_at_the_same_times() {
    let plan = Plan {
        failures_per_s: 2.0,
        ..plan()
    };
    assert_eq!(run(&plan), run(&plan));
    assert_ne!(run(&plan).trace, run(&Plan { seed: 2, ..plan }).trace);
}

#[test]
fn a_stream_nobody_leaves_never_stalls_in_any_topology() {
    for topology in [Topology::Tree { arity: 2 }, Topology::RelayFirst] {
        let outcome = run(&Plan { topology, ..plan() });
        assert_eq!(
            (outcome.lives, outcome.stalls, outcome.playing),
            (40, 0, 40),
            "{topology:?}: {outcome:?}"
        );
    }
}

#[test]
fn a_linked_list_of_ten_plays_to_its_end() {
    let outcome = run(&Plan {
        viewers: 10,
        topology: Topology::LinkedList,
        ..plan()
    });
    assert_eq!((outcome.stalls, outcome.playing), (0, 10), "{outcome:?}");
    assert!(outcome.deepest >= 10);
}

#[test]
fn whatever_fails_the_others_play_on_some_day() {
    for failure in [Failure::Leave, Failure::Silence] {
        let outcome = run(&Plan {
            topology: Topology::Tree { arity: 2 },
            failures_per_s: 1.0,
            failure,
            length: Duration::from_secs(30),
            ..plan()
        });
        // Whoever lost its parent in the last second may still wait for another.
        assert!(
            outcome.playing + 10 >= outcome.alive,
            "{failure:?}: {outcome:?}"
        );
        assert!(outcome.lives > 40, "the failed came back: {outcome:?}");
    }
}
