//! Peers that are slower than they say.

use super::*;
use crate::signal::Report;
use crate::stream_manager::happenings::What;

fn strained(too_many: u16) -> Report {
    Report {
        too_many,
        ..Report::default()
    }
}

fn gets_little() -> Report {
    Report {
        down_kbps: 600,
        ..Report::default()
    }
}

/// Of a peer with two children, who get three Mbit/s between them.
fn slow(child: u8) -> Report {
    Report {
        children: 2,
        up_kbps: 3_000,
        slow: vec![id(child)],
        ..Report::default()
    }
}

/// 32 and 33 below 30, and room below 31; some time later.
fn two_below_30() -> Town {
    let mut town = Town::in_pairs();
    town.manager.config.backups = false;
    (30..=33).for_each(|n| town.watch(n));
    assert_eq!([32, 33].map(|n| town.parent(n)), [Some(30); 2]);
    town.said.clear();
    town
}

#[test]
fn a_viewer_that_cannot_feed_its_children_has_one_less_for_a_minute() {
    let mut town = two_below_30();
    town.reports(30, strained(2));
    assert_eq!(town.placed(), [], "it may have been busy");
    town.sleep(10 * SECOND);
    town.said.clear();
    town.reports(30, strained(2));
    assert_eq!(town.placed(), [(33, Some(31))]);
    let limited = (Some(30), What::Limited { kbps: 1_000 });
    assert!(town.happened().contains(&limited));
    town.sleep(SETTLING);
    let child = id(33);
    let drop = ToPeer::DropChild {
        stream: SHOW,
        child,
    };
    assert!(town.told(30).contains(&&drop));
    (34..=35).for_each(|n| town.watch(n));
    assert_eq!([34, 35].map(|n| town.parent(n)), [Some(31), Some(32)]);
    town.sleep(60 * SECOND);
    town.watch(36);
    assert_eq!(town.parent(36), Some(30));
}

#[test]
fn a_viewer_whose_children_wait_once_in_a_while_keeps_them() {
    let mut town = two_below_30();
    for _ in 0..3 {
        town.reports(30, strained(2));
        town.sleep(61 * SECOND);
    }
    assert_eq!([32, 33].map(|n| town.parent(n)), [Some(30); 2]);
}

#[test]
fn who_comes_back_by_another_socket_is_as_slow_as_before() {
    let mut town = two_below_30();
    (0..2).for_each(|_| town.reports(30, strained(2)));
    town.hangs_up(30);
    town.enter_by(30, info(30));
    town.watch(34);
    town.watch(35);
    assert_eq!([34, 35].map(|n| town.parent(n)), [Some(31), Some(32)]);
}

#[test]
fn a_child_that_is_behind_while_its_sibling_is_not_feeds_nobody_any_more() {
    let mut town = two_below_30();
    town.watch(34);
    town.watch(35);
    town.watch(36);
    assert_eq!(
        [34, 35, 36].map(|n| town.parent(n)),
        [Some(31), Some(31), Some(32)]
    );
    town.said.clear();
    let enough = Report {
        down_kbps: 1_400,
        ..Report::default()
    };
    town.reports(32, enough);
    (0..2).for_each(|_| town.reports(30, slow(32)));
    assert_eq!(town.placed(), [], "it lags, and gets as much as the other");
    town.reports(30, slow(33));
    town.reports(32, gets_little());
    town.reports(30, slow(32));
    assert_eq!(town.placed(), [], "each only once");
    town.reports(30, slow(32));
    assert_eq!(town.placed(), [(36, Some(33))]);
    assert_eq!(town.parent(32), Some(30), "it stays where it is");
}

#[test]
fn nobody_makes_a_leaf_of_somebody_it_does_not_feed() {
    let mut town = two_below_30();
    (34..=36).for_each(|n| town.watch(n));
    town.said.clear();
    town.reports(32, gets_little());
    (0..3).for_each(|_| town.reports(31, slow(32)));
    assert_eq!((town.placed(), town.parent(36)), (vec![], Some(32)));
}

#[test]
fn children_of_the_broadcaster_that_are_slow_feed_nobody_either() {
    let mut town = two_below_30();
    town.reports(30, gets_little());
    (0..2).for_each(|_| town.reports(BROADCASTER, slow(30)));
    assert_eq!(town.placed().len(), 2);
    assert_eq!([32, 33].map(|n| town.parent(n)), [Some(31); 2]);
}
