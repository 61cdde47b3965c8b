//! Backup parents, and viewers that do not answer.

use super::*;

#[test]
fn a_viewer_is_named_a_backup_that_is_neither_its_parent_nor_below_it() {
    let town = Town::with_viewers();
    for n in 20..24 {
        let (parent, backup) = (town.parent(n), town.backup(n));
        assert!(backup.is_some() && backup != parent, "{n}: {backup:?}");
        let backup = id(backup.expect("named"));
        let graph = town.manager.forest().graph(SHOW).expect("on the air");
        assert!(!graph.is_below(backup, id(n)));
    }
    let named = |m: &&ToPeer| matches!(m, ToPeer::Backups { backups, .. } if backups.len() == 1);
    assert!(town.told(23).iter().any(named));
}

#[test]
fn a_second_relay_stands_by_for_those_at_the_first_and_stays_as_long_as_it_is_needed() {
    let mut town = Town::with_viewers();
    let other = |n| if n == RELAY { RELAY + 1 } else { RELAY };
    let parent = town.parent(23).expect("placed");
    assert_eq!(town.backup(23), Some(other(parent)));
    town.sleep(IDLE_GRACE * 3);
    assert_eq!(town.backup(23), Some(other(parent)));
    (20..24).for_each(|n| town.says(n, FromPeer::Leave { stream: SHOW }));
    town.sleep(IDLE_GRACE * 2);
    assert_eq!(town.manager.census().backups, 0);
    assert_eq!(town.manager.census().places, 1, "the broadcaster alone");
}

#[test]
fn a_backup_whose_places_are_taken_meanwhile_is_kept_as_long_as_it_has_uplink() {
    let mut town = Town::in_pairs();
    (20..24).for_each(|n| town.watch(n));
    town.sleep(SECOND);
    let before: Vec<_> = (20..24).map(|n| town.backup(n)).collect();
    (24..40).for_each(|n| town.watch(n));
    town.sleep(SECOND);
    let graph = town.manager.forest().graph(SHOW).expect("on the air");
    for (n, backup) in (20..24).zip(before) {
        let at = id(backup.expect("named"));
        // Nobody has to change for another reason.
        assert!(graph.parent(id(n)) != Some(at) && !graph.is_below(at, id(n)));
        assert_eq!(town.backup(n), backup, "{n}");
    }
}

#[test]
fn links_to_a_backup_are_carried() {
    let mut town = Town::with_viewers();
    let backup = town.backup(23).expect("named");
    town.said.clear();
    town.says(23, offer(backup));
    assert!(matches!(town.told(backup)[..], [ToPeer::LinkOffer(_)]));
}

#[test]
fn a_backup_that_is_lost_is_replaced() {
    let mut town = Town::with_viewers();
    let backup = town.backup(23).expect("named");
    town.says(
        23,
        FromPeer::BackupLost {
            stream: SHOW,
            backup: id(backup),
        },
    );
    town.input(Input::Tick);
    assert_ne!(town.backup(23), Some(backup));
}

#[test]
fn who_took_over_stays_where_it_is_if_that_costs_no_depth() {
    let mut town = Town::with_viewers();
    let (_, backup, _) = town.is_taken_over();
    assert_eq!(town.parent(23), Some(backup));
    assert_eq!(town.placed(), [], "nobody is moved");
    town.sleep(SECOND);
    assert_ne!(town.backup(23), Some(backup));
}

#[test]
fn a_takeover_from_a_parent_that_was_left_already_is_stale() {
    let mut town = Town::with_viewers();
    let (parent, backup, order) = town.is_taken_over();
    town.took_over(23, parent, parent, order);
    assert_eq!(town.parent(23), Some(backup));
}

/// A binary tree of six viewers: the first parent of two that has a parent other than the broadcaster's.
fn a_parent_of_two(town: &Town) -> (u8, [u8; 2]) {
    let children = |of| (20..26).filter(move |&n| town.parent(n) == Some(of));
    let parent = (20..26).find(|&n| children(n).count() == 2);
    let parent = parent.expect("six fill two levels");
    let mut two = children(parent);
    (parent, [two.next(), two.next()].map(|n| n.expect("two")))
}

fn six_in_pairs() -> Town {
    let mut town = Town::in_pairs();
    (20..26).for_each(|n| town.watch(n));
    town.sleep(SECOND);
    town
}

#[test]
fn a_viewer_that_is_lost_to_a_child_and_does_not_answer_loses_its_place_and_its_other_child_is_moved()
 {
    let mut town = six_in_pairs();
    let (parent, [one, other]) = a_parent_of_two(&town);
    town.mute = Some(parent);
    let newest = Order {
        term: u64::MAX,
        sequence: 0,
    };
    town.lost(one, parent, newest);
    assert_eq!(town.parent(other), Some(parent), "it has not complained");
    town.now += ANSWER_LIMIT;
    town.input(Input::Tick);
    assert!(!town.manager.forest().contains(SHOW, id(parent)));
    for n in (20..26).filter(|&n| n != parent) {
        let above = town.parent(n);
        assert!(above.is_some() && above != Some(parent), "{n}: {above:?}");
    }
    // It wakes up before it would be gone.
    town.mute = None;
    town.said.clear();
    town.says(parent, FromPeer::TimeRequest { sent_us: 0 });
    assert_eq!(town.placed(), [(parent, town.parent(parent))]);
    assert!(town.parent(parent).is_some());
}

#[test]
fn a_viewer_that_is_lost_to_one_child_and_answers_keeps_its_place_and_the_other() {
    let mut town = six_in_pairs();
    let (parent, [one, other]) = a_parent_of_two(&town);
    let above = town.parent(parent);
    let newest = Order {
        term: u64::MAX,
        sequence: 0,
    };
    town.lost(one, parent, newest);
    town.sleep(SECOND);
    assert_eq!(town.parent(other), Some(parent));
    assert_eq!(town.parent(parent), above);
}
