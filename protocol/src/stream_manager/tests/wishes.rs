//! What the operator sees and has done.

use super::*;
use crate::signal::{Failure, Report, StreamInfo};

impl Town {
    fn wishes(&mut self, wish: Wish) -> Result<(), WishError> {
        self.said.clear();
        self.manager.fulfil(self.now, wish, &mut self.said)
    }

    pub(super) fn reports(&mut self, n: u8, report: Report) {
        let stream = SHOW;
        self.says(n, FromPeer::Report { stream, report });
    }

    pub(super) fn happened(&self) -> Vec<(Option<u8>, What)> {
        let happened = self.manager.happened().iter();
        let number = |peer: PeerId| peer.as_bytes()[0];
        happened.map(|h| (h.peer.map(number), h.what)).collect()
    }

    fn member(&self, n: u8) -> MemberView {
        let members = self.manager.view_members(SHOW).expect("it is on");
        let found = members.into_iter().find(|member| member.peer == id(n));
        found.expect("it is in the stream")
    }
}

fn allowing_failures() -> Town {
    let mut town = Town::new();
    town.enter(BROADCASTER);
    let FromPeer::RegisterStream(offer) = register(SHOW, "show") else {
        unreachable!("that is what it makes")
    };
    let allow_failures = true;
    town.says(
        BROADCASTER,
        FromPeer::RegisterStream(Registration {
            allow_failures,
            ..offer
        }),
    );
    town
}

const REARRANGED: Wish = Wish::Rearrange {
    stream: SHOW,
    topology: Topology::LinkedList,
};

#[test]
fn a_peer_is_moved_and_its_old_parent_keeps_it_until_it_has_settled() {
    let mut town = Town::on_air();
    for n in 30..34 {
        town.watch(n);
    }
    let wish = Wish::Move {
        stream: SHOW,
        peer: id(32),
        parent: id(30),
    };
    assert_eq!(town.wishes(wish), Ok(()));
    assert_eq!(town.placed(), [(32, Some(30))]);
    let (from, to) = (id(BROADCASTER), id(30));
    assert_eq!(town.happened(), [(Some(32), What::Moved { from, to })]);
    let dropped = |town: &Town| {
        let mut told = town.told(BROADCASTER).into_iter();
        told.any(|m| matches!(m, ToPeer::DropChild { child, .. } if *child == id(32)))
    };
    assert!(!dropped(&town));
    town.sleep(SETTLING);
    assert!(dropped(&town));
}

#[test]
fn nobody_is_moved_below_himself_or_to_where_nobody_is() {
    let mut town = Town::on_air();
    town.watch(30);
    town.watch(31);
    let moved = |peer, parent| Wish::Move {
        stream: SHOW,
        peer: id(peer),
        parent: id(parent),
    };
    assert_eq!(town.wishes(moved(31, 30)), Ok(()));
    let refused = [
        (moved(30, 31), "a peer cannot be fed by somebody it feeds"),
        (moved(30, 99), "is not in this stream"),
        (moved(99, 30), "no such peer"),
        (moved(BROADCASTER, 30), "the stream's broadcaster"),
    ];
    for (wish, words) in refused {
        let error = town.wishes(wish).expect_err("impossible").to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(town.placed(), []);
    }
}

#[test]
fn whoever_is_evicted_is_told_and_its_children_are_fed_by_others() {
    let mut town = Town::on_air();
    town.watch(30);
    town.watch(31);
    let peer = id(30);
    let stream = SHOW;
    let parent = id(30);
    let below = Wish::Move {
        stream,
        peer: id(31),
        parent,
    };
    town.wishes(below).expect("there is room");
    town.wishes(Wish::Evict { stream, peer })
        .expect("it is there");
    assert_eq!(town.parent(31), Some(BROADCASTER));
    assert!(matches!(
        town.told(30)[..],
        [ToPeer::StreamRefused { words, .. }] if words.contains("operator")
    ));
    assert_eq!(town.manager.view_stream(SHOW).expect("on").totals.leaves, 1);
}

#[test]
fn a_tree_becomes_a_list_in_the_order_that_it_stood_in() {
    let mut town = Town::on_air();
    for n in 30..35 {
        town.watch(n);
    }
    town.wishes(REARRANGED).expect("it is on");
    let parents: Vec<_> = (30..35).map(|n| town.parent(n)).collect();
    assert_eq!(parents, [BROADCASTER, 30, 31, 32, 33].map(Some));
    // Whoever keeps its parent is not bothered.
    let told: Vec<u8> = town.placed().into_iter().map(|(n, _)| n).collect();
    assert_eq!(told, [31, 32, 33, 34]);
}

#[test]
fn relays_are_told_of_a_new_arrangement_before_the_viewers_below_them() {
    let mut town = Town::on_air();
    for n in 30..33 {
        town.watch(n);
    }
    town.wishes(REARRANGED).expect("it is on");
    town.enter(RELAY);
    let topology = Topology::RelayFirst;
    let stream = SHOW;
    town.wishes(Wish::Rearrange { stream, topology })
        .expect("on");
    let told_at_once: Vec<u8> = town.placed().iter().map(|&(n, _)| n).collect();
    assert_eq!(told_at_once, [RELAY]);
    town.sleep(3 * SECOND);
    for n in 30..33 {
        assert_eq!(town.parent(n), Some(RELAY));
    }
}

#[test]
fn a_stream_that_the_operator_ended_stays_off_until_he_allows_it() {
    let mut town = Town::on_air();
    town.watch(30);
    let stream = SHOW;
    town.wishes(Wish::End { stream }).expect("it is on");
    assert!(matches!(town.told(30)[..], [ToPeer::StreamEnded { .. }]));
    assert!(matches!(
        town.told(BROADCASTER)[..],
        [ToPeer::StreamRefused { .. }]
    ));
    assert_eq!(town.manager.barred().collect::<Vec<_>>(), [(SHOW, "show")]);
    town.said.clear();
    town.says(BROADCASTER, register(SHOW, "show"));
    assert!(matches!(
        town.told(BROADCASTER)[..],
        [ToPeer::StreamRefused { words, .. }] if words.contains("operator")
    ));
    town.wishes(Wish::Allow { stream }).expect("it was ended");
    town.says(BROADCASTER, register(SHOW, "show"));
    assert!(town.manager.view_stream(SHOW).is_some());
}

#[test]
fn nobody_is_told_to_fail_in_a_stream_that_does_not_allow_it() {
    let fail = |n| Wish::Fail {
        stream: SHOW,
        peer: id(n),
        how: Failure::Kill,
    };
    let mut town = Town::on_air();
    town.watch(30);
    assert_eq!(town.wishes(fail(30)), Err(WishError::FailuresForbidden));
    assert!(town.told(30).is_empty());

    let mut town = allowing_failures();
    town.enter(RELAY);
    town.watch(30);
    assert_eq!(town.wishes(fail(RELAY)), Err(WishError::NotAViewer));
    assert_eq!(town.wishes(fail(30)), Ok(()));
    let (stream, how) = (SHOW, Failure::Kill);
    assert_eq!(town.told(30), [&ToPeer::Fail { stream, how }]);
    assert_eq!(town.happened(), [(Some(30), What::ToldToFail { how })]);
}

#[test]
fn whoever_lists_streams_hears_which_allow_failures() {
    let mut town = allowing_failures();
    town.enter(30);
    town.says(30, FromPeer::ListStreams);
    let lists = |message: &&ToPeer| {
        matches!(message, ToPeer::Streams { streams, .. }
        if matches!(streams[..], [StreamInfo { allow_failures: true, .. }]))
    };
    assert!(town.told(30).iter().any(lists));
}

#[test]
fn a_member_is_seen_with_its_place_and_its_figures() {
    let mut town = Town::on_air();
    town.watch(30);
    let report = Report {
        depth: 1,
        stalls: 2,
        stalled_ms: 700,
        latency_ms: Some(412),
        ..Report::default()
    };
    town.reports(30, report.clone());
    assert_eq!(town.happened(), [(Some(30), What::Stalled { times: 2 })]);
    let member = town.member(30);
    assert_eq!(member.parent, Some(id(BROADCASTER)));
    assert_eq!((member.state, member.report), (State::Well, Some(report)));
    let totals = town.manager.view_stream(SHOW).expect("on").totals;
    assert_eq!(
        (totals.joins, totals.stalls, totals.stalled_ms),
        (1, 2, 700)
    );
}

#[test]
fn a_member_whose_socket_is_closed_is_seen_to_be_away_at_once_and_then_lost() {
    let mut town = Town::on_air();
    town.watch(30);
    town.hangs_up(30);
    assert_eq!(town.member(30).state, State::Away);
    town.now += AWAY_GRACE;
    town.input(Input::Tick);
    let lost = [(Some(30), What::Lost), (Some(30), What::Went)];
    assert_eq!(town.happened(), lost);
    let totals = town.manager.view_stream(SHOW).expect("on").totals;
    assert_eq!((totals.disconnections, totals.leaves), (1, 0));
}

#[test]
fn whoever_leaves_is_not_counted_as_disconnected() {
    let mut town = Town::on_air();
    town.watch(30);
    town.says(30, FromPeer::Leave { stream: SHOW });
    assert_eq!(town.happened(), [(Some(30), What::Left)]);
    town.hangs_up(30);
    town.now += AWAY_GRACE;
    town.input(Input::Tick);
    let totals = town.manager.view_stream(SHOW).expect("on").totals;
    assert_eq!((totals.disconnections, totals.leaves), (0, 1));
}
