//! After a restart: what peers tell is what is.

use super::*;

// The supervisor goes and comes.

#[test]
fn after_a_restart_nobody_who_is_well_is_moved_whatever_the_order_of_return() {
    let everybody = [BROADCASTER, RELAY, 30, 31];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let mut town = Town::new();
        town.restart();
        for n in order.map(|i: usize| everybody[i]) {
            town.enter(n);
            match n {
                BROADCASTER => town.says(n, register(SHOW, "show")),
                RELAY => town.says(n, join(Some(BROADCASTER))),
                _ => town.says(n, join(Some(RELAY))),
            }
        }
        town.sleep(CLAIM_GRACE * 2);
        assert_eq!(town.placed(), [], "{order:?}");
        assert_eq!(
            [RELAY, 30, 31].map(|n| town.parent(n)),
            [Some(BROADCASTER), Some(RELAY), Some(RELAY)]
        );
    }
}

#[test]
fn after_a_restart_a_viewer_whose_parent_does_not_come_back_is_placed_anew() {
    let mut town = Town::new();
    town.restart();
    town.enter(BROADCASTER);
    town.says(BROADCASTER, register(SHOW, "show"));
    town.enter(30);
    town.says(30, join(Some(RELAY)));
    town.sleep(CLAIM_GRACE - SECOND);
    assert_eq!(town.placed(), []);
    town.sleep(SECOND);
    assert_eq!(town.placed(), [(30, Some(BROADCASTER))]);
}

#[test]
fn after_a_restart_whoever_loses_the_parent_it_claimed_before_that_one_came_is_placed_at_once() {
    let order = Order {
        term: 1,
        sequence: 99,
    };
    let ways: [fn(&mut Town, Order); 3] = [
        |town, _| town.says(30, join(None)),
        |town, order| town.lost(30, RELAY, order),
        |town, order| town.took_over(30, BROADCASTER, RELAY, order),
    ];
    for say in ways {
        let mut town = Town::new();
        town.restart();
        town.enter(BROADCASTER);
        town.says(BROADCASTER, register(SHOW, "show"));
        town.enter(30);
        town.says(30, join(Some(RELAY)));
        assert_eq!(town.parent(30), None);
        say(&mut town, order);
        assert_eq!(town.parent(30), Some(BROADCASTER));
    }
}

#[test]
fn after_a_restart_a_child_may_complain_about_the_parent_it_claimed() {
    let mut town = Town::new();
    town.restart();
    town.enter(BROADCASTER);
    town.says(BROADCASTER, register(SHOW, "show"));
    (RELAY..=11).for_each(|n| town.enter(n));
    town.says(RELAY, join(Some(BROADCASTER)));
    town.enter(30);
    town.says(30, join(Some(RELAY)));
    town.lost(
        30,
        RELAY,
        Order {
            term: 1,
            sequence: 99,
        },
    );
    assert_eq!(town.parent(30), Some(11));
}

#[test]
fn after_a_restart_a_join_of_a_stream_that_never_returns_ends() {
    let mut town = Town::new();
    town.restart();
    town.enter(30);
    town.says(30, join(None));
    assert_eq!(town.placed(), [(30, None)]);
    town.enter(31);
    town.says(31, join(Some(RELAY)));
    assert_eq!(
        town.placed(),
        [(30, None)],
        "who says it is fed is left in peace"
    );
    town.said.clear();
    town.sleep(RELEARNING);
    for n in [30, 31] {
        assert_eq!(town.told(n), [&ToPeer::StreamEnded { stream: SHOW }]);
    }
}

#[test]
fn a_claim_that_would_be_a_burden_is_not_believed_later() {
    let mut town = Town::on_air();
    let poor = PeerInfo {
        relays: false,
        ..info(30)
    };
    town.enter_by(30, poor);
    town.says(30, join(None));
    town.enter(31);
    town.says(31, join(Some(30)));
    assert_eq!(town.parent(31), Some(BROADCASTER));
}
