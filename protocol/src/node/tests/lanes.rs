//! Further connections of a link that loses packets.

use super::*;
use crate::node::lanes::MOST_LANES;

/// Peer 3 watches the broadcaster over a connection that loses every third chunk, and has seen this many frames.
fn over_a_bad_connection(frames: u64) -> Desk {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(3, 1);
    desk.lossy.extend(desk.links.keys().copied());
    desk.send_frames(0..frames);
    desk
}

#[test]
fn a_connection_that_loses_frames_gets_a_second_over_which_they_are_had() {
    let mut desk = over_a_bad_connection(30);
    assert!(desk.nodes[&3].link_count() > 1);
    assert_eq!(desk.nodes[&3].link_count(), desk.nodes[&1].link_count());
    desk.wait(Duration::from_millis(500));
    let mut seen = desk.seen_by(3);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
    assert_eq!(desk.parent_of(3), Some(id(1)));
    assert!(desk.said_by(3, |m| matches!(m, FromPeer::ParentLost { .. })) == 0);
}

#[test]
fn there_are_no_more_lanes_than_allowed_and_none_where_nothing_is_lost() {
    let mut desk = over_a_bad_connection(1);
    desk.lossy.clear();
    desk.send_frames(1..200);
    assert_eq!(desk.nodes[&3].link_count(), 1);
    // All that there are lose.
    for frame in 200..800 {
        desk.lossy.extend(desk.links.keys().copied());
        desk.send_frames(frame..frame + 1);
    }
    assert_eq!(desk.nodes[&3].link_count(), usize::from(MOST_LANES));
}

#[test]
fn who_is_to_have_two_connections_at_most_has_two() {
    let mut desk = over_a_bad_connection(1);
    desk.nodes.get_mut(&3).expect("it is there").config.lanes = 2;
    for frame in 1..300 {
        desk.lossy.extend(desk.links.keys().copied());
        desk.send_frames(frame..frame + 1);
    }
    assert_eq!(desk.nodes[&3].link_count(), 2);
}

#[test]
fn lanes_are_closed_when_nothing_was_late_for_a_minute() {
    let mut desk = over_a_bad_connection(60);
    desk.lossy.clear();
    desk.send_frames(60..120);
    assert!(desk.nodes[&3].link_count() > 1);
    desk.wait(Duration::from_secs(61));
    assert_eq!(desk.nodes[&3].link_count(), 1);
    assert_eq!(desk.nodes[&1].link_count(), 1);
    desk.send_frames(120..130);
    assert!(desk.seen_by(3).contains(&129));
}

#[test]
fn a_link_whose_lanes_are_closed_may_have_as_much_under_way_as_before() {
    let mut desk = over_a_bad_connection(1);
    let first = *desk.lossy.first().expect("the first connection");
    let alone = desk.nodes[&1].water(first);
    desk.send_frames(1..60);
    desk.lossy.clear();
    assert!(desk.nodes[&1].water(first) < alone);
    desk.wait(Duration::from_secs(65));
    assert_eq!(desk.nodes[&1].link_count(), 1);
    assert_eq!(desk.nodes[&1].water(first), alone);
}

#[test]
fn a_link_that_the_parent_made_gets_lanes_as_well() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(3, 1);
    desk.watch_below(4, 3); // by a link that 4 makes
    desk.send_frames(0..3);
    desk.place(4, 1);
    desk.send_frames(3..6);
    desk.place(3, 4);
    desk.send_frames(6..9);
    let ends = |ends: &(u8, u8)| [(3, 4), (4, 3)].contains(ends);
    let between = |desk: &Desk| desk.links.values().filter(|both| ends(both)).count();
    assert_eq!((desk.parent_of(3), between(&desk)), (Some(id(4)), 1));
    let only = desk.links.iter().find(|(_, both)| ends(both));
    let only = *only.expect("one").0;
    desk.lossy.insert(only);
    desk.send_frames(9..60);
    assert!(between(&desk) > 1);
    let seen: BTreeSet<u64> = desk.seen_by(3).into_iter().collect();
    assert_eq!(seen.range(9..50).count(), 41);
}

#[test]
fn what_a_way_loses_is_remembered_while_its_lanes_are_not_needed() {
    let mut desk = over_a_bad_connection(60);
    desk.watch_below(2, 1);
    let lanes = desk.nodes[&1].link_count() - 1; // that to 2 is another
    assert!(lanes > 1);
    // 1 stays a backup: its first connection stays, and the lanes go.
    desk.name_backup(3, 1);
    desk.place(3, 2);
    desk.send_frames(60..150);
    assert_eq!(desk.nodes[&3].link_count(), 2);
    desk.place(3, 1);
    desk.send_frames(150..152);
    assert!(desk.nodes[&3].link_count() > lanes);
}

#[test]
fn a_parent_that_is_heard_over_a_lane_is_not_silent() {
    let mut desk = over_a_bad_connection(60);
    let first = desk.links.keys().find(|link| desk.lossy.contains(link));
    let first = *first.expect("the first connection");
    desk.mute.insert(first); // in time-out
    desk.send_frames(60..120);
    let seen = desk.seen_by(3);
    // What follows the last ones would show that they lack.
    assert!((60..115).all(|frame| seen.contains(&frame)));
    assert_eq!(desk.parent_of(3), Some(id(1)));
    assert_eq!(
        desk.said_by(3, |m| matches!(m, FromPeer::ParentLost { .. })),
        0
    );
    // Epochs are told over the first one: it may not be out of order for ever.
    desk.wait(Duration::from_secs(10));
    assert!(!desk.nodes[&3].links.contains_key(&first));
}

#[test]
fn with_their_link_the_lanes_are_gone() {
    let mut desk = over_a_bad_connection(60);
    let first = *desk.lossy.first().expect("the first connection");
    desk.put(3, Input::LinkClosed(first, "closed".into()));
    assert_eq!(desk.nodes[&3].link_count(), 0);
}

#[test]
fn a_lane_that_the_other_end_does_not_take_is_not_offered_again_at_once() {
    let mut desk = over_a_bad_connection(10);
    desk.refuses_offers = true;
    desk.send_frames(10..110);
    assert_eq!(desk.refused_offers, 1, "in three seconds");
    assert_eq!(desk.nodes[&3].link_count(), 1);
}

#[test]
fn a_link_is_no_lane_of_itself() {
    let mut desk = Desk::with_peers(3);
    let link = LinkId(77);
    neighbours::offer(&mut desk, link);
    let hello = Control::Hello {
        versions: VERSIONS,
        peer: id(3),
        lanes: 1,
        certificate: Bytes::new(),
    };
    let ready = [
        Input::LinkOpen(link),
        Input::Control(link, hello.encode()),
        Input::Control(link, Control::Lane { of: link.0 }.encode()),
    ];
    ready.into_iter().for_each(|input| desk.put(1, input));
    assert!(desk.closed.contains(&(1, link)));
}

#[test]
fn a_link_in_use_is_no_lane() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(3, 1);
    let link = *desk.links.keys().next().expect("a link");
    let lane = Control::Lane { of: link.0 }.encode();
    desk.put(1, Input::Control(link, lane));
    assert!(desk.closed.contains(&(1, link)));
}

/// Two lanes or more that lose nothing any more, and what asks for the last frame.
fn over_lanes() -> (Desk, Vec<LinkId>, Control) {
    let mut desk = over_a_bad_connection(60);
    desk.lossy.clear();
    desk.send_frames(60..120);
    let lanes: Vec<LinkId> = desk.links.keys().copied().collect();
    assert!(lanes.len() > 1);
    let from = Position {
        epoch: 1,
        sequence: 119,
    };
    let frames = vec![FrameRange {
        track: Track::Video,
        rendition: 0,
        from,
        to: from.next(),
    }];
    let handle = STREAM.handle();
    (desk, lanes, Control::Want { handle, frames })
}

#[test]
fn what_is_asked_for_over_a_lane_that_takes_no_more_comes_over_another() {
    let (mut desk, lanes, want) = over_lanes();
    for full in lanes {
        desk.put(1, Input::Backlog(full, usize::MAX));
        let before = desk.sent;
        desk.put(1, Input::Control(full, want.encode()));
        assert_eq!(desk.sent, before + 1);
        desk.put(1, Input::Backlog(full, 0));
    }
}

#[test]
fn what_is_asked_for_while_no_lane_takes_more_comes_once_as_soon_as_one_does() {
    let (mut desk, lanes, want) = over_lanes();
    for &full in &lanes {
        desk.put(1, Input::Backlog(full, usize::MAX));
    }
    let before = desk.sent;
    for &lane in &lanes {
        desk.put(1, Input::Control(lane, want.encode()));
    }
    assert_eq!(desk.sent, before);
    desk.put(1, Input::Backlog(lanes[0], 0));
    assert_eq!(desk.sent, before + 1);
}
