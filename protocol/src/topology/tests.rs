//! What each placement does, sentence by sentence.

use super::*;
use crate::signal::Component;

const RATE: u32 = 1000;

fn id(n: u16) -> PeerId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn stream(n: u8) -> StreamId {
    StreamId::from_bytes([n; 16])
}

/// One stream, number 0, whose broadcaster is peer 0.
struct Town {
    forest: Forest,
    changes: Vec<Change>,
    /// Of those who come now.
    site: Option<Site>,
}

impl Town {
    fn new(kind: Topology, broadcaster_feeds: u32) -> Self {
        let mut town = Self {
            forest: Forest::default(),
            changes: Vec::new(),
            site: None,
        };
        town.peer(0, Component::Broadcaster, broadcaster_feeds);
        town.forest.add_stream(stream(0), kind, RATE, id(0));
        town
    }

    /// A peer that can feed `feeds` children of one stream.
    fn peer(&mut self, n: u16, component: Component, feeds: u32) {
        let traits = Traits {
            component,
            relays: feeds > 0,
            uplink_kbps: feeds * RATE,
            site: self.site,
        };
        self.forest.add_peer(id(n), traits, &mut self.changes);
    }

    fn viewer(&mut self, n: u16, feeds: u32) {
        self.peer(n, Component::Receiver, feeds);
        self.changes.clear();
        self.forest.join(stream(0), id(n), &mut self.changes);
    }

    fn leaves(&mut self, n: u16) {
        self.changes.clear();
        self.forest.leave(stream(0), id(n), &mut self.changes);
    }

    fn complains(&mut self, n: u16) {
        self.changes.clear();
        let parent = self
            .forest
            .parent(stream(0), id(n))
            .expect("who complains has a parent");
        self.forest
            .set_standing(parent, Standing::Suspect, &mut self.changes);
        self.forest.complain(stream(0), id(n), &mut self.changes);
    }

    fn parent(&self, n: u16) -> Option<u16> {
        self.forest.parent(stream(0), id(n)).map(number)
    }

    fn depth(&self, n: u16) -> Option<usize> {
        self.forest
            .graph(stream(0))
            .and_then(|graph| graph.depth(id(n)))
    }

    /// Who was told to take which parent, in order.
    fn told(&self) -> Vec<(u16, Option<u16>)> {
        let placed = |change: &Change| match *change {
            Change::Placed { peer, parent, .. } => Some((number(peer), parent.map(number))),
            Change::Idle { .. } => None,
        };
        self.changes.iter().filter_map(placed).collect()
    }
}

fn number(peer: PeerId) -> u16 {
    u16::from_be_bytes([peer.as_bytes()[0], peer.as_bytes()[1]])
}

const LIST: Topology = Topology::LinkedList;
const BINARY: Topology = Topology::Tree { arity: 2 };
const RELAY_FIRST: Topology = Topology::RelayFirst;

#[test]
fn a_linked_list_chains_viewers_in_order_of_arrival() {
    let mut town = Town::new(LIST, 100);
    (1..=4).for_each(|n| town.viewer(n, 9));
    assert_eq!(
        [1, 2, 3, 4].map(|n| town.parent(n)),
        [Some(0), Some(1), Some(2), Some(3)]
    );
}

#[test]
fn a_viewer_that_leaves_a_linked_list_moves_only_the_next_one() {
    let mut town = Town::new(LIST, 100);
    (1..=4).for_each(|n| town.viewer(n, 9));
    town.leaves(2);
    assert_eq!(town.told(), [(3, Some(1))]);
    assert_eq!(town.parent(4), Some(3));
}

#[test]
fn a_viewer_that_cannot_relay_stays_the_last_of_a_linked_list() {
    let mut town = Town::new(LIST, 100);
    town.viewer(1, 0);
    town.viewer(2, 9);
    assert_eq!(town.told(), [(2, Some(0)), (1, Some(2))]);
}

#[test]
fn a_lost_parent_in_a_linked_list_goes_to_the_end() {
    let mut town = Town::new(LIST, 100);
    (1..=4).for_each(|n| town.viewer(n, 9));
    town.complains(3);
    assert_eq!(town.told(), [(3, Some(1)), (2, Some(4))]);
    assert!(town.changes.contains(&Change::Placed {
        stream: stream(0),
        peer: id(2),
        parent: Some(id(4)),
        left: Some(id(1)),
    }));
}

#[test]
fn a_binary_tree_of_depth_n_holds_2_to_the_n_plus_1_minus_1_peers() {
    let mut town = Town::new(BINARY, 100);
    (1..=62).for_each(|n| town.viewer(n, 9));
    let at = |depth| (0..=62).filter(|&n| town.depth(n) == Some(depth)).count();
    assert_eq!([0, 1, 2, 3, 4, 5].map(at), [1, 2, 4, 8, 16, 32]);
}

#[test]
fn a_binary_tree_stays_complete_when_a_peer_in_its_middle_leaves() {
    let mut town = Town::new(BINARY, 100);
    (1..=30).for_each(|n| town.viewer(n, 9));
    town.leaves(2);
    assert_eq!(
        town.told().len(),
        3,
        "the last one, and the two children it takes over: {:?}",
        town.told()
    );
    let at = |depth| {
        (0..=30)
            .filter(|&n| n != 2 && town.depth(n) == Some(depth))
            .count()
    };
    assert_eq!([0, 1, 2, 3, 4].map(at), [1, 2, 4, 8, 15]);
}

#[test]
fn a_viewer_that_can_relay_is_put_above_one_that_cannot_when_all_is_full() {
    let mut town = Town::new(BINARY, 100);
    town.viewer(1, 0);
    town.viewer(2, 0);
    town.viewer(3, 0);
    assert_eq!(town.told(), [(3, None)], "nothing fits");
    town.viewer(4, 2);
    assert_eq!(town.told(), [(4, Some(0)), (1, Some(4)), (3, Some(4))]);
}

#[test]
fn the_first_viewer_of_a_stream_pulls_a_relay_in_above_itself() {
    let mut town = Town::new(RELAY_FIRST, 2);
    town.peer(50, Component::Relay, 10);
    town.viewer(1, 3);
    assert_eq!(town.told(), [(50, Some(0)), (1, Some(50))]);
}

#[test]
fn viewers_go_below_viewers_only_when_the_relays_are_full() {
    let mut town = Town::new(RELAY_FIRST, 2);
    town.peer(50, Component::Relay, 2);
    town.peer(51, Component::Relay, 1);
    (1..=4).for_each(|n| town.viewer(n, 3));
    assert_eq!(
        [1, 2, 3].map(|n| town.parent(n)),
        [Some(50), Some(50), Some(51)]
    );
    assert_eq!(town.parent(4), Some(1));
}

#[test]
fn without_any_relay_viewers_go_to_the_broadcaster_first() {
    let mut town = Town::new(RELAY_FIRST, 1);
    town.viewer(1, 3);
    town.viewer(2, 3);
    assert_eq!([1, 2].map(|n| town.parent(n)), [Some(0), Some(1)]);
}

#[test]
fn a_viewer_at_the_broadcaster_makes_room_for_a_relay_that_came_later() {
    let mut town = Town::new(RELAY_FIRST, 1);
    town.viewer(1, 0);
    town.peer(50, Component::Relay, 10);
    town.viewer(2, 0);
    assert_eq!(town.told(), [(50, Some(0)), (1, Some(50)), (2, Some(50))]);
}

#[test]
fn a_relay_that_arrives_feeds_those_who_wait() {
    let mut town = Town::new(RELAY_FIRST, 1);
    town.viewer(1, 0);
    town.viewer(2, 0);
    assert_eq!(town.told(), [(2, None)]);
    town.changes.clear();
    town.peer(50, Component::Relay, 10);
    assert_eq!(town.told(), [(50, Some(0)), (1, Some(50)), (2, Some(50))]);
}

#[test]
fn the_uplink_of_a_relay_is_shared_by_all_streams() {
    let mut town = Town::new(RELAY_FIRST, 4);
    town.forest
        .add_stream(stream(1), RELAY_FIRST, 2 * RATE, id(0));
    town.peer(50, Component::Relay, 3);
    town.viewer(1, 0);
    town.viewer(2, 0);
    town.forest.join(stream(1), id(1), &mut town.changes);
    assert_eq!(
        town.forest.parent(stream(1), id(1)),
        Some(id(0)),
        "the relay has 1000 kbit/s left of 3000"
    );
    town.leaves(2);
    town.forest.leave(stream(1), id(1), &mut town.changes);
    town.forest.join(stream(1), id(1), &mut town.changes);
    assert_eq!(town.forest.parent(stream(1), id(1)), Some(id(50)));
}

#[test]
fn a_relay_whose_last_child_leaves_is_reported_idle() {
    let mut town = Town::new(RELAY_FIRST, 2);
    town.peer(50, Component::Relay, 10);
    town.viewer(1, 0);
    town.viewer(2, 0);
    town.leaves(1);
    assert_eq!(town.changes, []);
    town.leaves(2);
    assert_eq!(
        town.changes,
        [Change::Idle {
            stream: stream(0),
            relay: id(50)
        }]
    );
}

#[test]
fn children_of_a_relay_that_is_gone_move_to_another_relay() {
    let mut town = Town::new(RELAY_FIRST, 2);
    town.peer(50, Component::Relay, 10);
    town.viewer(1, 0);
    town.viewer(2, 0);
    town.peer(51, Component::Relay, 9);
    town.changes.clear();
    town.forest.remove_peer(id(50), &mut town.changes);
    assert_eq!(town.told(), [(51, Some(0)), (1, Some(51)), (2, Some(51))]);
}

#[test]
fn a_suspect_relay_is_chosen_only_when_there_is_no_other_place() {
    let mut town = Town::new(RELAY_FIRST, 2);
    town.peer(50, Component::Relay, 10);
    town.viewer(1, 0);
    town.complains(1);
    assert_eq!(town.told(), [(1, Some(0))], "the broadcaster has room");
    town.viewer(2, 0);
    assert_eq!(
        town.told(),
        [(2, Some(50))],
        "the broadcaster is full, the suspect is better than nothing"
    );
}

#[test]
fn nobody_is_placed_at_a_peer_that_cannot_be_told() {
    let mut town = Town::new(LIST, 100);
    town.viewer(1, 9);
    town.forest
        .set_standing(id(1), Standing::Away, &mut town.changes);
    town.viewer(2, 9);
    assert_eq!(town.told(), [(2, None)]);
    town.changes.clear();
    town.forest
        .set_standing(id(1), Standing::Open, &mut town.changes);
    assert_eq!(town.told(), [(2, Some(1))]);
}

#[test]
fn a_claimed_parent_is_taken_at_its_word_when_it_comes() {
    let mut town = Town::new(RELAY_FIRST, 2);
    town.peer(50, Component::Relay, 10);
    town.peer(1, Component::Receiver, 0);
    town.changes.clear();
    assert!(
        !town
            .forest
            .claim(stream(0), id(1), id(50), &mut town.changes)
    );
    assert!(
        town.forest
            .claim(stream(0), id(50), id(0), &mut town.changes)
    );
    assert_eq!([1, 50].map(|n| town.parent(n)), [Some(50), Some(0)]);
    assert_eq!(town.told(), [], "nobody who is well is moved");
}

#[test]
fn a_claim_whose_parent_never_comes_ends_in_a_place_like_any_other() {
    let mut town = Town::new(RELAY_FIRST, 2);
    town.peer(1, Component::Receiver, 0);
    town.forest
        .claim(stream(0), id(1), id(50), &mut town.changes);
    town.forest
        .expire_claim(stream(0), id(1), &mut town.changes);
    assert_eq!(town.told(), [(1, Some(0))]);
}

#[test]
fn claims_that_run_in_a_circle_are_not_believed() {
    let mut town = Town::new(RELAY_FIRST, 2);
    town.peer(1, Component::Receiver, 3);
    town.peer(2, Component::Receiver, 3);
    town.forest
        .claim(stream(0), id(1), id(2), &mut town.changes);
    assert!(
        !town
            .forest
            .claim(stream(0), id(2), id(1), &mut town.changes)
    );
    assert_eq!([1, 2].map(|n| town.parent(n)), [Some(2), Some(0)]);
}

#[test]
fn a_broadcaster_that_comes_back_under_another_name_takes_its_children_over() {
    let mut town = Town::new(BINARY, 100);
    (1..=6).for_each(|n| town.viewer(n, 9));
    town.changes.clear();
    town.forest.remove_peer(id(0), &mut town.changes);
    town.forest.park(stream(0), id(2), &mut town.changes);
    town.peer(99, Component::Broadcaster, 100);
    town.changes.clear();
    town.forest
        .replace_root(stream(0), id(99), &mut town.changes);
    assert_eq!(town.told(), [(1, Some(99)), (2, Some(99))]);
    assert_eq!(town.depth(6), Some(2));
    assert_eq!(town.forest.size(), (7, 7), "nothing is left of the old one");
}

#[test]
fn a_suspect_that_feeds_nobody_goes_to_the_end_and_one_that_still_does_stays() {
    let mut town = Town::new(BINARY, 100);
    (1..=6).for_each(|n| town.viewer(n, 9));
    let suspect = |town: &mut Town, n| {
        town.forest
            .set_standing(id(n), Standing::Suspect, &mut town.changes);
        town.changes.clear();
        town.forest.retire(stream(0), id(n), &mut town.changes);
    };
    suspect(&mut town, 1);
    assert_eq!(town.told(), [], "it feeds two");
    let forest = &mut town.forest;
    forest.set_standing(id(1), Standing::Open, &mut town.changes);
    suspect(&mut town, 3);
    let [(3, Some(last))] = town.told()[..] else {
        panic!("{:?}", town.told());
    };
    assert_ne!(last, 1, "its place is for others");
    assert_eq!(town.depth(3), Some(3), "below the last of the tree");
}

/// Levels below the broadcaster of the deepest of so many viewers.
fn depth(town: &Town, viewers: u16) -> usize {
    let graph = town.forest.graph(stream(0)).expect("streams stay");
    (1..=viewers)
        .map(|n| graph.path(id(n)).count() - 1)
        .max()
        .unwrap_or(0)
}

#[test]
fn a_tree_that_failures_have_made_deep_is_made_shallow_again_one_peer_at_a_time() {
    let mut town = Town::new(Topology::Tree { arity: 2 }, 2);
    (1..=62).for_each(|n| town.viewer(n, 3));
    assert_eq!(depth(&town, 62), 5, "62 fill five levels");
    // Those near the root fall silent one after the other, as far as one of their children can tell, and are well again.
    for silent in [1, 2, 3, 5] {
        let graph = town.forest.graph(stream(0)).expect("streams stay");
        let first = graph.children(id(silent)).next().map(number);
        town.complains(first.expect("nobody gave its place up"));
        let forest = &mut town.forest;
        forest.set_standing(id(silent), Standing::Open, &mut town.changes);
    }
    assert!(depth(&town, 62) > 8, "depth {}", depth(&town, 62));
    let mut moves = 0;
    loop {
        town.changes.clear();
        if !town.forest.balance(stream(0), &mut town.changes) {
            break;
        }
        let moved = |change: &&Change| matches!(change, Change::Placed { left: Some(_), .. });
        assert_eq!(town.changes.iter().filter(moved).count(), 1);
        moves += 1;
    }
    assert!(depth(&town, 62) <= 6, "depth {}", depth(&town, 62));
    assert!(moves <= 15, "{moves} moves");
}

#[test]
fn of_places_as_good_as_each_other_a_viewer_gets_one_at_its_own_site() {
    let mut town = Town::new(BINARY, 2);
    let sites = [1, 2].map(|n| Site::of(std::net::Ipv4Addr::new(203, 0, 113, n).into()));
    for (n, site) in [(1, sites[0]), (2, sites[1]), (3, sites[1]), (4, sites[1])] {
        town.site = site;
        town.viewer(n, 2);
    }
    // 3 and 4 are at the site of 2, who came later than 1.
    assert_eq!(
        [1, 2, 3, 4].map(|n| town.parent(n)),
        [Some(0), Some(0), Some(2), Some(2)]
    );
    // Nobody goes deeper for a neighbour's sake.
    town.viewer(5, 2);
    assert_eq!((town.parent(5), town.depth(5)), (Some(1), Some(2)));
}

#[test]
fn who_has_been_here_longest_takes_the_place_of_one_that_leaves() {
    let mut town = Town::new(BINARY, 2);
    (1..=6).for_each(|n| town.viewer(n, 2));
    town.leaves(1);
    // Of the deepest level, 3 to 6, and not the last to come.
    assert_eq!(town.parent(3), Some(0));
}

#[test]
fn whoever_waits_for_a_place_or_stands_below_somebody_who_does_backs_nobody_up() {
    let mut town = Town::new(Topology::Tree { arity: 1 }, 1);
    (1..=4).for_each(|n| town.viewer(n, 2));
    assert_eq!(town.depth(4), Some(4));
    town.forest.park(stream(0), id(1), &mut town.changes);
    // The grandparents of 3 and 4 have nothing to give; the broadcaster has, and room for one.
    for n in [3, 4] {
        let backup = town.forest.backup_for(stream(0), id(n), |_| 0);
        assert_eq!(backup, Some(id(0)), "of {n}");
    }
}

#[test]
fn where_more_children_are_than_may_be_none_of_them_makes_room() {
    let mut town = Town::new(BINARY, 100);
    for (n, feeds) in [(1, 2), (2, 0), (3, 0), (4, 0)] {
        town.viewer(n, feeds);
    }
    assert!(town.forest.stand_in(stream(0), id(3), id(0)));
    town.viewer(5, 0);
    assert_eq!(
        [2, 3, 4, 5].map(|n| town.parent(n)),
        [Some(0), Some(0), Some(1), Some(1)]
    );
    // All is full, and it goes above somebody who feeds nobody: not below the broadcaster, who has three already.
    town.viewer(6, 2);
    assert_eq!((town.parent(6), town.parent(4)), (Some(1), Some(6)));
}

#[test]
fn an_orphan_goes_to_the_broadcaster_where_every_other_place_is_below_somebody_doubtful() {
    let mut town = Town::new(BINARY, 4);
    (1..=6).for_each(|n| town.viewer(n, 2));
    let parents = |town: &Town| [3, 4, 5, 6].map(|n| town.parent(n));
    assert_eq!(parents(&town), [Some(1), Some(1), Some(2), Some(2)]);
    for doubtful in [1, 2] {
        let mut out = Vec::new();
        let standing = Standing::Away;
        town.forest.set_standing(id(doubtful), standing, &mut out);
    }
    town.complains(3);
    assert_eq!(town.parent(3), Some(0), "its third child");
    // Now there are places below that one, and nobody needs more of the broadcaster.
    town.complains(4);
    town.complains(5);
    let graph = town.forest.graph(stream(0)).expect("it was added");
    assert!([4, 5].into_iter().all(|n| graph.is_below(id(n), id(3))));
}

#[test]
fn a_strict_tree_gives_no_orphan_more_than_its_topology_does() {
    let mut town = Town::new(BINARY, 4);
    town.forest.is_strict = true;
    (1..=6).for_each(|n| town.viewer(n, 2));
    let mut out = Vec::new();
    town.forest.rescue(stream(0), id(3), &mut out);
    assert_ne!(town.parent(3), Some(0));
}

#[test]
fn the_broadcaster_backs_up_those_who_are_near_as_far_as_its_uplink_goes() {
    let backups = |feeds| {
        let mut town = Town::new(BINARY, feeds);
        (1..=14).for_each(|n| town.viewer(n, 2));
        let at = (1..=14).map(|n| town.forest.backup_for(stream(0), id(n), |_| 0));
        at.filter(|&at| at == Some(id(0))).count()
    };
    // Two of them are its own children; and those at the third level have nearer ones.
    assert!(backups(3) > backups(2), "{} {}", backups(3), backups(2));
}

#[test]
fn a_takeover_stands_where_the_alternative_is_to_wait() {
    let mut town = Town::new(BINARY, 1);
    for (n, feeds) in [(1, 1), (2, 1), (3, 1)] {
        town.viewer(n, feeds);
    }
    // The broadcaster has its one child already, and is not the parent's parent; but the only place left is below whoever asks.
    assert_eq!(town.parent(3), Some(2));
    assert!(town.forest.stand_in(stream(0), id(3), id(0)));
    assert_eq!(town.parent(3), Some(0));

    // One more, and there is a place.
    town.viewer(4, 2);
    town.viewer(5, 0);
    assert!(!town.forest.stand_in(stream(0), id(5), id(0)));
}

#[test]
fn who_turns_out_to_be_slow_keeps_the_children_that_came_first_as_far_as_it_can_feed_them() {
    let mut town = Town::new(BINARY, 2);
    (1..=4).for_each(|n| town.viewer(n, 2));
    assert_eq!([3, 4].map(|n| town.parent(n)), [Some(1), Some(1)]);
    town.changes.clear();
    town.forest.limit(id(1), RATE, &mut town.changes);
    let moved = Change::Placed {
        stream: stream(0),
        peer: id(4),
        parent: Some(id(2)),
        left: Some(id(1)),
    };
    assert_eq!(town.changes, [moved]);
    // With more to send it is a place again.
    town.forest.limit(id(1), 2 * RATE, &mut town.changes);
    town.viewer(5, 2);
    assert_eq!(town.parent(5), Some(1));
}

#[test]
fn a_slow_parent_is_better_than_none() {
    let mut town = Town::new(BINARY, 2);
    (1..=2).for_each(|n| town.viewer(n, 1));
    (3..=4).for_each(|n| town.viewer(n, 0));
    let before = [3, 4].map(|n| town.parent(n));
    town.changes.clear();
    town.forest.limit(id(1), 0, &mut town.changes);
    assert_eq!(
        (town.told(), [3, 4].map(|n| town.parent(n))),
        (vec![], before)
    );
}

#[test]
fn nobody_is_moved_below_itself_when_its_parent_turns_out_to_be_slow() {
    let mut town = Town::new(BINARY, 1);
    (1..=4).for_each(|n| town.viewer(n, 1));
    town.changes.clear();
    // 2 hangs below 1, and the only free place is at 4, below it.
    town.forest.limit(id(1), 0, &mut town.changes);
    assert_eq!((town.told(), town.parent(2)), (vec![], Some(1)));
}

#[test]
fn who_lost_its_rank_is_chosen_after_those_that_came_later() {
    let mut town = Town::new(BINARY, 2);
    (1..=2).for_each(|n| town.viewer(n, 2));
    town.forest.loses_rank(id(1));
    town.viewer(3, 2);
    assert_eq!(town.parent(3), Some(2));
}
