//! Backup parents: who takes over where, and when.

use super::*;

/// Viewer 3 below relay 2, with viewer 4, who is at the broadcaster, as its backup.
fn with_a_backup() -> Desk {
    let mut desk = Desk::with_peers(5);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 1);
    desk.watch_below(5, 1);
    (0..3).for_each(|n| desk.send_frame(n));
    desk.name_backup(3, 4);
    desk
}

#[test]
fn who_has_a_backup_takes_over_when_its_parent_falls_silent_and_misses_nothing() {
    let mut desk = with_a_backup();
    desk.frozen.insert(2);
    (3..6).for_each(|n| desk.send_frame(n));
    desk.wait(PARENT_DOUBTFUL + Duration::from_millis(50));
    desk.send_frame(6);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(
        desk.seen_by(3),
        [0, 0, 1, 2, 3, 4, 5, 6],
        "the key frame has two parts"
    );
    let told = |said: &FromPeer| matches!(said, FromPeer::TookOver { parent, lost, .. } if (*parent, *lost) == (id(4), id(2)));
    assert!(desk.said.iter().any(|(n, said)| *n == 3 && told(said)));
    let complained = |said: &FromPeer| matches!(said, FromPeer::ParentLost { .. });
    assert!(!desk.said.iter().any(|(_, said)| complained(said)));
}

#[test]
fn who_is_late_itself_gives_a_silent_parent_longer() {
    let mut desk = with_a_backup();
    desk.wait(Duration::from_secs(1));
    desk.frozen.insert(2);
    let busy = PARENT_DOUBTFUL + Duration::from_millis(100);
    for pause in [busy, Duration::from_millis(40), Duration::from_millis(40)] {
        desk.now += pause;
        desk.put(3, Input::Tick);
    }
    assert_eq!(desk.parent_of(3), Some(id(2)), "it may wait to be read");
    (0..10).for_each(|_| {
        desk.now += Duration::from_millis(10);
        [3, 4].into_iter().for_each(|n| desk.put(n, Input::Tick));
    });
    assert_eq!(desk.parent_of(3), Some(id(4)), "but not for ever");
}

#[test]
fn who_has_a_backup_takes_over_in_the_moment_its_parent_leaves() {
    let mut desk = with_a_backup();
    desk.put(2, Input::SupervisorText(release().to_text()));
    desk.send_frame(3);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
}

#[test]
fn a_backup_that_was_just_relieved_still_feeds_who_took_over_before_it_heard_of_that() {
    let mut desk = with_a_backup();
    let relieve = ToPeer::DropChild {
        stream: STREAM,
        child: id(3),
    };
    desk.tell(4, relieve);
    desk.put(2, Input::SupervisorText(release().to_text()));
    desk.send_frame(3);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
    // But not for ever: there is no place for it here.
    desk.wait(Duration::from_secs(6));
    desk.send_frame(4);
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
}

#[test]
fn a_backup_of_before_stands_in_until_the_connection_to_the_new_one_is_there() {
    let mut desk = with_a_backup();
    desk.frozen.insert(5);
    desk.name_backup(3, 5);
    desk.tell(
        4,
        ToPeer::DropChild {
            stream: STREAM,
            child: id(3),
        },
    );
    desk.put(2, Input::SupervisorText(release().to_text()));
    desk.send_frame(3);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
}

#[test]
fn two_backups_below_the_subscriber_are_not_asked_in_turn_for_ever() {
    let mut desk = Desk::with_peers(6);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 3);
    desk.watch_below(5, 3);
    (0..3).for_each(|n| desk.send_frame(n));
    // By the time they are named they stand below it.
    desk.name_backup(3, 4);
    desk.name_backup(3, 5);
    desk.put(2, Input::SupervisorText(release().to_text()));
    assert_eq!(desk.parent_of(3), None);
    let lost = |said: &FromPeer| matches!(said, FromPeer::ParentLost { .. });
    let told = |desk: &Desk| desk.said.iter().filter(|(n, s)| *n == 3 && lost(s)).count();
    assert_eq!(told(&desk), 1);
    desk.wait(Duration::from_millis(900));
    assert_eq!(told(&desk), 1);
}

#[test]
fn a_backup_of_long_ago_does_not_stand_in() {
    let mut desk = with_a_backup();
    desk.frozen.insert(5);
    desk.name_backup(3, 5);
    desk.wait(Duration::from_secs(4));
    desk.put(2, Input::SupervisorText(release().to_text()));
    desk.send_frame(3);
    assert_ne!(desk.parent_of(3), Some(id(4)));
}

/// Viewer 3 of [`with_a_backup`] is on its way to viewer 5, which stands still.
fn on_the_way_to_somebody_frozen() -> Desk {
    let mut desk = with_a_backup();
    desk.frozen.insert(5);
    desk.place(3, 5);
    desk
}

#[test]
fn a_backup_helps_out_while_the_connection_to_the_next_parent_is_set_up() {
    let mut desk = on_the_way_to_somebody_frozen();
    desk.put(2, Input::SupervisorText(release().to_text()));
    desk.send_frame(3);
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    // It has named another parent, and that still holds.
    let told = |said: &FromPeer| matches!(said, FromPeer::TookOver { .. });
    assert!(!desk.said.iter().any(|(_, said)| told(said)));
}

#[test]
fn a_backup_that_is_connected_while_nobody_feeds_helps_out_at_once() {
    let mut desk = Desk::with_peers(5);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 1);
    desk.watch_below(5, 1);
    (0..3).for_each(|n| desk.send_frame(n));
    desk.frozen.insert(5);
    desk.place(3, 5);
    desk.put(2, Input::SupervisorText(release().to_text()));
    assert_eq!(desk.parent_of(3), None);
    desk.name_backup(3, 4);
    desk.send_frame(3);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
}

#[test]
fn who_is_still_below_the_subscriber_feeds_it_as_soon_as_it_is_below_somebody_else() {
    let mut desk = Desk::with_peers(5);
    desk.watch_below(2, 1);
    desk.watch_below(5, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 3);
    (0..3).for_each(|n| desk.send_frame(n));
    // Viewer 4 is to take the place of somebody above viewer 3, and is on its way: to viewer 5, which stands still.
    desk.frozen.insert(5);
    desk.place(4, 5);
    desk.place(3, 4);
    assert_eq!(desk.parent_of(3), Some(id(2)));
    desk.place(4, 1);
    desk.send_frame(3);
    assert_eq!(desk.parent_of(4), Some(id(1)));
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
    let refused = |said: &FromPeer| matches!(said, FromPeer::ParentLost { .. });
    assert!(!desk.said.iter().any(|(_, said)| refused(said)));
}

#[test]
fn a_backup_helps_out_as_well_when_the_parent_falls_silent_meanwhile() {
    let mut desk = on_the_way_to_somebody_frozen();
    desk.frozen.insert(2);
    (3..6).for_each(|n| desk.send_frame(n));
    desk.wait(PARENT_DOUBTFUL + Duration::from_millis(50));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_next_parent_that_does_not_answer_is_reported_while_the_backup_feeds() {
    let mut desk = on_the_way_to_somebody_frozen();
    desk.put(2, Input::SupervisorText(release().to_text()));
    desk.wait(ANSWER_LIMIT + Duration::from_millis(50));
    let lost =
        |said: &FromPeer| matches!(said, FromPeer::ParentLost { parent, .. } if *parent == id(5));
    assert!(desk.said.iter().any(|(n, said)| *n == 3 && lost(said)));
    desk.send_frame(3);
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
    assert_eq!(desk.parent_of(3), Some(id(4)));
}

#[test]
fn a_next_parent_that_does_not_answer_is_reported_sooner_where_nobody_feeds() {
    let mut desk = Desk::with_peers(5);
    desk.watch_below(2, 1);
    desk.frozen.insert(5);
    desk.watch_below(3, 5);
    let lost =
        |said: &FromPeer| matches!(said, FromPeer::ParentLost { parent, .. } if *parent == id(5));
    desk.wait(ANSWER_LIMIT_STARVING - Duration::from_millis(50));
    assert!(!desk.said.iter().any(|(_, said)| lost(said)));
    desk.wait(Duration::from_millis(100));
    assert!(desk.said.iter().any(|(n, said)| *n == 3 && lost(said)));
}

#[test]
fn a_parent_that_was_only_silent_for_a_moment_is_left_and_what_it_still_sends_is_taken() {
    let mut desk = with_a_backup();
    desk.frozen.extend([2, 4]);
    desk.send_frame(3);
    desk.wait(PARENT_DOUBTFUL + Duration::from_millis(50));
    // The backup is as silent as the parent was; that one is back.
    desk.frozen.remove(&2);
    desk.send_frame(4);
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 4]);
    desk.wait(PARENT_SILENT);
    assert_eq!(desk.parent_of(3), Some(id(2)));
}

#[test]
fn a_frame_that_was_lost_on_the_way_is_had_from_the_backup() {
    let mut desk = with_a_backup();
    desk.frozen.insert(3);
    desk.send_frame(3);
    desk.frozen.remove(&3);
    desk.send_frame(4);
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 4]);
    desk.wait(Duration::from_millis(50));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 4, 3]);
    assert_eq!(desk.parent_of(3), Some(id(2)), "its parent is well");
}

#[test]
fn who_is_moved_below_a_newcomer_gets_from_further_up_what_that_one_never_held() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    (0..6).for_each(|n| desk.send_frame(n));
    desk.frozen.insert(3);
    (6..12).for_each(|n| desk.send_frame(n));
    desk.watch_below(4, 2);
    assert_eq!(desk.seen_by(4), [10, 10, 11], "the key frame has two parts");
    desk.frozen.remove(&3);
    desk.place(3, 4);
    desk.wait(Duration::from_millis(50));
    let seen: BTreeSet<u64> = desk.seen_by(3).into_iter().collect();
    assert_eq!(seen, (0..12).collect());
}

#[test]
fn a_parent_that_is_there_and_keeps_everything_back_is_left_for_a_backup_that_has_more() {
    let mut desk = with_a_backup();
    // It goes on speaking, and nothing reaches it any more.
    let (&from_above, _) = desk
        .links
        .iter()
        .find(|(_, ends)| **ends == (2, 1))
        .expect("linked");
    desk.dead.insert(from_above);
    for n in 3..15 {
        desk.send_frame(n);
        desk.wait(Duration::from_millis(40));
    }
    assert_eq!(desk.parent_of(3), Some(id(4)));
    let seen: BTreeSet<u64> = desk.seen_by(3).into_iter().collect();
    assert_eq!(seen, (0..15).collect());
}

#[test]
fn a_backup_that_falls_silent_is_given_up_and_another_one_asked_for() {
    let mut desk = with_a_backup();
    desk.frozen.insert(4);
    desk.wait(WELL + Duration::from_millis(100));
    let lost = FromPeer::BackupLost {
        stream: STREAM,
        backup: id(4),
    };
    assert!(desk.said.contains(&(3, lost)));
    assert_eq!(desk.parent_of(3), Some(id(2)));
}

#[test]
fn a_source_that_pauses_moves_nobody_who_has_a_backup() {
    let mut desk = with_a_backup();
    desk.wait(PARENT_SILENT * 4);
    assert_eq!(desk.parent_of(3), Some(id(2)));
    let moved = |said: &FromPeer| {
        matches!(
            said,
            FromPeer::TookOver { .. } | FromPeer::ParentLost { .. } | FromPeer::BackupLost { .. }
        )
    };
    assert!(!desk.said.iter().any(|(_, said)| moved(said)));
}

/// Viewers 3 and 4 below 2, each the other's backup; 2 has stood still for so long.
fn each_others_backup(stands_still: Duration) -> Desk {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 2);
    desk.send_frame(0);
    desk.name_backup(3, 4);
    desk.name_backup(4, 3);
    desk.frozen.insert(2);
    desk.wait_side_by_side(stands_still);
    desk
}

#[test]
fn of_two_who_take_over_below_each_other_one_stays_above() {
    let desk = each_others_backup(PARENT_SILENT * 2);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(desk.parent_of(4), None);
    assert_eq!(
        desk.said_by(3, |m| matches!(m, FromPeer::ParentLost { .. })),
        0
    );
    assert!(desk.said_by(4, |m| matches!(m, FromPeer::ParentLost { .. })) > 0);
}

#[test]
fn a_parent_that_only_paused_goes_on_feeding_two_who_asked_each_other_meanwhile() {
    let mut desk = each_others_backup(PARENT_DOUBTFUL + Duration::from_millis(60));
    let took_over = |n| desk.nodes[&n].stats(&STREAM).map(|s| s.takeovers);
    assert_eq!([3, 4].map(took_over), [Some(1); 2]);
    desk.frozen.clear();
    desk.send_frames(1..40);
    for n in [3, 4] {
        let seen: BTreeSet<u64> = desk.seen_by(n).into_iter().collect();
        assert_eq!(seen, (0..40).collect(), "{n}");
    }
}

#[test]
fn who_nobody_feeds_goes_to_a_backup_that_could_not_feed_it_before_without_the_supervisors_word() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 3);
    desk.send_frames(0..3);
    desk.name_backup(3, 4);
    desk.put(2, Input::SupervisorText(release().to_text()));
    assert_eq!(desk.parent_of(3), None, "it feeds 4 itself");
    desk.place(4, 1);
    desk.send_frame(3);
    desk.wait(Duration::from_millis(1_100));
    assert_eq!(desk.parent_of(3), Some(id(4)));
    assert_eq!(desk.seen_by(3), [0, 0, 1, 2, 3]);
    let told = |m: &FromPeer| matches!(m, FromPeer::Join { parent: Some(p), .. } if *p == id(4));
    assert_eq!(desk.said_by(3, told), 1);
}

/// Viewer 3 is fed by 2, and is to be fed by 5, which nobody feeds.
fn on_the_way_to_somebody_who_has_nothing() -> Desk {
    let mut desk = Desk::with_peers(5);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 1);
    desk.frozen.insert(4);
    desk.watch_below(5, 4);
    desk.place(3, 5);
    desk
}

fn has_lost_5(said: &FromPeer) -> bool {
    matches!(said, FromPeer::ParentLost { parent, .. } if *parent == id(5))
}

#[test]
fn who_was_to_feed_a_peer_and_brings_nothing_is_given_up() {
    let mut desk = on_the_way_to_somebody_who_has_nothing();
    desk.send_frames(0..150);
    assert_eq!(desk.said_by(3, has_lost_5), 1);
    assert_eq!(desk.parent_of(3), Some(id(2)));
    assert!(desk.seen_by(3).contains(&149));
}

#[test]
fn who_was_to_feed_a_peer_has_time_while_the_source_pauses() {
    let mut desk = on_the_way_to_somebody_who_has_nothing();
    desk.wait(Duration::from_millis(5_000));
    assert_eq!(desk.said_by(3, has_lost_5), 0);
}

#[test]
fn who_is_moved_away_and_back_while_the_source_pauses_is_fed_where_it_was() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.watch_below(4, 1);
    desk.send_frame(0);
    desk.place(3, 4);
    assert_eq!(desk.parent_of(3), Some(id(4)));
    desk.place(3, 2);
    assert_eq!(desk.parent_of(3), Some(id(2)));
    desk.send_frames(1..10);
    let seen: BTreeSet<u64> = desk.seen_by(3).into_iter().collect();
    assert_eq!(seen, (0..10).collect());
    let fed_by_4 = desk.nodes[&4].stats(&STREAM).map(|s| s.children);
    assert_eq!(fed_by_4, Some(0));
    desk.put(2, Input::SupervisorText(release().to_text()));
    assert_eq!(desk.parent_of(3), None);
}
