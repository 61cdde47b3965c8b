//! Places in the tree: given, lost, given anew.

use super::*;

// Places.

#[test]
fn a_viewer_gets_a_relay_above_it_which_gets_its_own_place_first() {
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.watch(30);
    assert_eq!(
        town.placed(),
        [(RELAY, Some(BROADCASTER)), (30, Some(RELAY))]
    );
}

#[test]
fn a_relay_leaves_ten_seconds_after_its_last_child() {
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.watch(30);
    town.said.clear();
    town.says(30, FromPeer::Leave { stream: SHOW });
    assert_eq!(
        town.told(RELAY),
        [&ToPeer::DropChild {
            stream: SHOW,
            child: id(30)
        }]
    );
    town.sleep(IDLE_GRACE - SECOND);
    assert!(town.manager.forest().contains(SHOW, id(RELAY)));
    town.sleep(SECOND);
    assert!(matches!(
        town.told(RELAY).last(),
        Some(ToPeer::Release { .. })
    ));
    assert_eq!(
        town.told(BROADCASTER),
        [&ToPeer::DropChild {
            stream: SHOW,
            child: id(RELAY)
        }]
    );
}

#[test]
fn a_relay_that_gets_a_child_in_time_stays() {
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.watch(30);
    town.says(30, FromPeer::Leave { stream: SHOW });
    town.sleep(SECOND * 5);
    town.says(30, join(None));
    town.sleep(IDLE_GRACE);
    assert_eq!(
        (town.parent(30), town.parent(RELAY)),
        (Some(RELAY), Some(BROADCASTER))
    );
}

#[test]
fn a_peer_whose_socket_closed_keeps_its_place_for_a_moment() {
    let mut town = Town::on_air();
    town.watch(30);
    town.hangs_up(30);
    town.sleep(AWAY_GRACE - SECOND);
    assert_eq!(town.parent(30), Some(BROADCASTER));
    town.enter_by(40, info(30));
    town.sleep(AWAY_GRACE);
    assert_eq!(town.parent(30), Some(BROADCASTER), "it is back");
    town.hangs_up(40);
    town.sleep(AWAY_GRACE);
    assert!(!town.manager.forest().contains(SHOW, id(30)));
    assert_eq!(
        town.told(BROADCASTER).last(),
        Some(&&ToPeer::DropChild {
            stream: SHOW,
            child: id(30)
        })
    );
}

#[test]
fn nobody_is_placed_below_a_peer_whose_socket_is_closed() {
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.watch(30);
    town.hangs_up(RELAY);
    town.watch(31);
    assert_eq!(town.placed(), [(31, Some(BROADCASTER))]);
}

#[test]
fn a_child_that_lost_a_living_parent_gets_another_and_the_parent_is_avoided() {
    let mut town = Town::on_air();
    (RELAY..=11).for_each(|n| town.enter(n));
    town.watch(30);
    let (order, relay) = (town.order_of(30), town.parent(30).expect("it has a place"));
    let other = 21 - relay;
    town.lost(30, relay, order);
    assert_eq!(
        town.placed(),
        [(other, Some(BROADCASTER)), (30, Some(other))]
    );
    assert!(town.told(relay).contains(&&ToPeer::DropChild {
        stream: SHOW,
        child: id(30)
    }));
}

#[test]
fn children_of_a_peer_that_is_really_gone_are_placed_as_soon_as_one_complains() {
    let mut town = Town::on_air();
    (RELAY..=11).for_each(|n| town.enter(n));
    town.watch(30);
    let (order, relay) = (town.order_of(30), town.parent(30).expect("it has a place"));
    town.watch(31);
    town.hangs_up(relay);
    assert_eq!(town.placed(), [], "it may be back in a moment");
    town.lost(30, relay, order);
    let other = 21 - relay;
    assert_eq!(
        town.placed(),
        [
            (other, Some(BROADCASTER)),
            (30, Some(other)),
            (31, Some(other))
        ]
    );
}

#[test]
fn a_complaint_about_an_earlier_parent_is_stale() {
    let mut town = Town::on_air();
    (RELAY..=11).for_each(|n| town.enter(n));
    town.watch(30);
    let (order, relay) = (town.order_of(30), town.parent(30).expect("it has a place"));
    town.lost(30, relay, order);
    town.lost(30, relay, order);
    assert_eq!(town.placed(), []);
}

#[test]
fn a_child_that_was_moved_is_dropped_by_its_old_parent_only_after_a_while() {
    let mut town = Town::in_pairs();
    town.manager.config.backups = false;
    (30..=33).for_each(|n| town.watch(n));
    town.said.clear();
    town.says(31, FromPeer::Leave { stream: SHOW });
    assert_eq!(
        town.placed(),
        [(32, Some(BROADCASTER))],
        "who has been here longest fills the gap"
    );
    let drop = ToPeer::DropChild {
        stream: SHOW,
        child: id(32),
    };
    assert!(!town.told(30).contains(&&drop));
    town.sleep(SETTLING);
    assert!(town.told(30).contains(&&drop));
}

#[test]
fn an_old_parent_that_stands_by_for_a_child_by_now_does_not_drop_it() {
    let mut town = Town::in_pairs();
    (30..=33).for_each(|n| town.watch(n));
    town.says(31, FromPeer::Leave { stream: SHOW });
    town.said.clear();
    town.sleep(SETTLING * 2);
    assert_eq!((town.parent(32), town.backup(32)), (Some(1), Some(30)));
    let drop = ToPeer::DropChild {
        stream: SHOW,
        child: id(32),
    };
    assert!(!town.told(30).contains(&&drop));
}

#[test]
fn whoever_loses_one_parent_after_the_other_is_fed_by_the_broadcaster_and_backed_up_by_it_before() {
    let mut town = Town::in_pairs();
    (30..=44).for_each(|n| town.watch(n));
    town.sleep(SECOND);
    let first = town.parent(44).expect("placed");
    let order = town.order_of(44);
    town.said.clear();
    town.lost(44, first, order);
    let second = town.parent(44).expect("there are places");
    assert_ne!(second, BROADCASTER);
    assert_eq!(town.backup(44), Some(BROADCASTER));
    let told = town.told(44);
    let mut named = told.iter().filter_map(|message| match message {
        ToPeer::Backups { backups, .. } => Some(backups.iter().map(|at| at.peer).collect()),
        _ => None,
    });
    assert_eq!(named.next_back(), Some(vec![id(BROADCASTER)]));

    let order = town.order_of(44);
    town.lost(44, second, order);
    assert_eq!(town.parent(44), Some(BROADCASTER), "its third child");

    // Somebody goes between when that is over.
    town.sleep(SECOND * 10);
    let graph = town.manager.forest().graph(SHOW).expect("on the air");
    assert_eq!(graph.children(id(BROADCASTER)).count(), 2);
}

#[test]
fn a_backup_that_refuses_is_one_no_more_though_its_peer_has_another_place_by_then() {
    let mut town = Town::in_pairs();
    (30..=44).for_each(|n| town.watch(n));
    town.sleep(SECOND);
    let (order, backup) = (town.order_of(44), town.backup(44).expect("named"));
    assert_ne!(backup, BROADCASTER);
    town.lost(44, backup, order);
    assert_eq!(town.backup(44), Some(BROADCASTER));
    town.sleep(SECOND * 10);
    assert_ne!(town.backup(44), Some(BROADCASTER), "it is for others");
    assert!(town.backup(44).is_some());
}

#[test]
fn who_finds_no_place_waits_and_gets_one_when_there_is_room() {
    let mut town = Town::on_air();
    let poor = |n| PeerInfo {
        relays: false,
        ..info(n)
    };
    for n in 30..50 {
        town.enter_by(n, poor(n));
        town.says(n, join(None));
    }
    town.said.clear();
    town.enter_by(50, poor(50));
    town.says(50, join(None));
    assert_eq!(town.placed(), [(50, None)]);
    town.said.clear();
    town.says(30, FromPeer::Leave { stream: SHOW });
    assert_eq!(town.placed(), [(50, Some(BROADCASTER))]);
}

// Links.

#[test]
fn an_offer_reaches_the_parent_with_the_childs_name_on_it() {
    let mut town = Town::on_air();
    town.watch(30);
    town.says(30, offer(BROADCASTER));
    let expected = LinkDescription {
        peer: id(30),
        link: LinkId(1),
        body: "sdp".into(),
    };
    assert_eq!(
        town.told(BROADCASTER).last(),
        Some(&&ToPeer::LinkOffer(expected))
    );
}

#[test]
fn an_offer_to_somebody_elses_parent_is_refused() {
    let mut town = Town::on_air();
    town.enter(30);
    town.said.clear();
    town.says(30, offer(BROADCASTER));
    assert!(
        matches!(town.told(30)[..], [ToPeer::LinkRefused(refused)] if refused.peer == id(BROADCASTER))
    );
    assert!(town.told(BROADCASTER).is_empty());
}

#[test]
fn an_offer_to_a_parent_that_is_not_connected_is_refused() {
    let mut town = Town::on_air();
    town.watch(30);
    town.hangs_up(BROADCASTER);
    town.says(30, offer(BROADCASTER));
    assert!(matches!(town.told(30)[..], [.., ToPeer::LinkRefused(_)]));
}

#[test]
fn a_refusal_that_cannot_be_delivered_is_not_refused_in_turn() {
    let mut town = Town::on_air();
    town.enter(30);
    town.said.clear();
    let refusal = LinkDescription {
        peer: id(99),
        link: LinkId(1),
        body: "no".into(),
    };
    town.says(30, FromPeer::LinkRefused(refusal));
    assert_eq!(town.said, []);
}

// Nothing stays behind.

#[test]
fn a_thousand_joins_and_leaves_leave_the_tables_as_they_were() {
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.sleep(SECOND * 2);
    let before = town.manager.census();
    for n in 0..1000_u32 {
        let socket = 30 + (n % 50) as u8;
        town.enter(socket);
        town.says(socket, join(None));
        if n % 2 == 0 {
            town.says(socket, FromPeer::Leave { stream: SHOW });
        }
        town.hangs_up(socket);
        town.sleep(AWAY_GRACE);
    }
    town.sleep(IDLE_GRACE + SECOND);
    assert_eq!(town.manager.census(), before);
}
