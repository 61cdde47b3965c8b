//! Streams: registered, announced, over.

use super::*;

// Streams.

#[test]
fn a_registered_stream_is_announced_to_those_who_list() {
    let mut town = Town::new();
    town.enter(30);
    town.says(30, FromPeer::ListStreams);
    assert!(matches!(town.told(30)[2], ToPeer::Streams { streams, .. } if streams.is_empty()));
    town.enter(BROADCASTER);
    town.says(BROADCASTER, register(SHOW, "show"));
    assert!(
        matches!(town.told(30)[3], ToPeer::StreamAnnounced { info } if info.name == "show" && info.live)
    );
}

#[test]
fn a_list_too_long_for_one_message_comes_in_several() {
    let mut town = Town::with(Limits {
        streams_per_broadcaster: 150,
        ..Limits::default()
    });
    town.enter(BROADCASTER);
    (0..120).for_each(|n| {
        town.says(
            BROADCASTER,
            register(StreamId::from_bytes([n; 16]), &format!("{n}")),
        )
    });
    town.enter(30);
    town.said.clear();
    town.says(30, FromPeer::ListStreams);
    let told = town.told(30);
    assert!(matches!(told[0], ToPeer::Streams { streams, more: false } if streams.len() == 100));
    assert!(matches!(told[1], ToPeer::Streams { streams, more: true } if streams.len() == 20));
    assert_eq!(told.len(), 2);
    assert!(
        told.iter()
            .all(|message| message.to_text().len() < crate::signal::MAX_TEXT)
    );
}

#[test]
fn a_broadcaster_that_registers_again_and_again_is_announced_once_a_second() {
    let mut town = Town::new();
    town.enter(30);
    town.says(30, FromPeer::ListStreams);
    town.enter(BROADCASTER);
    town.said.clear();
    for _ in 0..500 {
        town.says(BROADCASTER, register(SHOW, "show"));
    }
    assert_eq!(town.told(30).len(), 1);
    town.sleep(ANNOUNCE_PAUSE);
    assert_eq!(town.told(30).len(), 2);
}

#[test]
fn who_stays_longer_than_the_credentials_of_turn_servers_gets_others_in_time() {
    let mut town = Town::new();
    let ice_lifetime = Some(8 * SECOND);
    let config = Config {
        ice_lifetime,
        ..config(1, Limits::default())
    };
    town.manager = StreamManager::new(config, town.now);
    town.enter(30);
    town.said.clear();
    town.sleep(4 * SECOND);
    assert!(matches!(town.told(30)[..], [ToPeer::IceServers { .. }]));
}

#[test]
fn epochs_grow_and_a_running_one_goes_on() {
    let mut town = Town::new();
    town.enter(BROADCASTER);
    let mut epoch_of = |running_epoch| {
        town.said.clear();
        let FromPeer::RegisterStream(offer) = register(SHOW, "show") else {
            unreachable!()
        };
        town.says(
            BROADCASTER,
            FromPeer::RegisterStream(Registration {
                running_epoch,
                ..offer
            }),
        );
        match town.told(BROADCASTER)[..] {
            [ToPeer::StreamRegistered { epoch, .. }] => *epoch,
            ref other => panic!("{other:?}"),
        }
    };
    let first = epoch_of(None);
    assert_eq!(
        i64::from(first),
        NEW_YEAR_US / 1_000_000 - 1_577_836_800 + 60
    );
    assert_eq!(epoch_of(Some(first)), first);
    assert_eq!(epoch_of(None), first + 1);
    assert_eq!(
        epoch_of(Some(first)),
        first + 2,
        "a later one was issued since"
    );
    assert_eq!(
        epoch_of(Some(u32::MAX)),
        first + 3,
        "nobody issued that one"
    );
}

#[test]
fn a_supervisor_whose_clock_has_gone_back_issues_a_higher_epoch_all_the_same() {
    let issued = 900_000_000;
    let mut town = Town::new();
    let epochs = BTreeMap::from([(SHOW, issued)]);
    town.manager = StreamManager::new(
        Config {
            epochs,
            ..config(2, Limits::default())
        },
        town.now,
    );
    town.enter(BROADCASTER);
    town.says(BROADCASTER, register(SHOW, "show"));
    let next = issued + 1;
    assert!(town.said.contains(&Output::KeepEpoch(SHOW, next)));
    let told = town.told(BROADCASTER);
    assert!(
        matches!(told.last(), Some(ToPeer::StreamRegistered { epoch, .. }) if *epoch == next),
        "{told:?}"
    );
}

#[test]
fn a_stream_belongs_to_whoever_registered_it() {
    let mut town = Town::on_air();
    town.enter(2);
    let refused = |town: &mut Town, message| {
        town.said.clear();
        town.says(2, message);
        match town.told(2)[..] {
            [ToPeer::StreamRefused { refusal, .. }] => *refusal,
            ref other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        refused(&mut town, register(SHOW, "mine")),
        Refusal::StreamTaken
    );
    assert_eq!(
        refused(&mut town, register(StreamId::from_bytes([8; 16]), "show")),
        Refusal::StreamTaken
    );
    assert_eq!(
        refused(&mut town, register(StreamId::from_bytes([8; 16]), " ")),
        Refusal::NotAllowed
    );
    assert_eq!(
        refused(&mut town, FromPeer::EndStream { stream: SHOW }),
        Refusal::NotAllowed
    );
}

#[test]
fn a_receiver_offers_no_streams_and_a_broadcaster_does_not_watch() {
    let mut town = Town::on_air();
    town.enter(30);
    town.says(30, register(StreamId::from_bytes([8; 16]), "mine"));
    town.says(BROADCASTER, join(None));
    for n in [30, BROADCASTER] {
        let last = *town.told(n).last().expect("it was answered");
        assert!(
            matches!(
                last,
                ToPeer::StreamRefused {
                    refusal: Refusal::NotAllowed,
                    ..
                }
            ),
            "{last:?}"
        );
    }
}

#[test]
fn viewers_are_counted_and_announced_at_most_once_a_second() {
    let mut town = Town::on_air();
    town.enter(29);
    town.says(29, FromPeer::ListStreams);
    town.watch(30);
    town.watch(31);
    assert_eq!(town.told(29).len(), 0, "not at once");
    town.sleep(SECOND);
    assert!(matches!(town.told(29)[..], [ToPeer::StreamAnnounced { info }] if info.viewers == 2));
}

#[test]
fn the_broadcasters_clock_reaches_members_and_later_ones_after_their_placement() {
    let mut town = Town::on_air();
    town.watch(30);
    town.said.clear();
    let clock = ClockMap {
        offset_us: 5,
        uncertainty_us: 1,
    };
    town.says(
        BROADCASTER,
        FromPeer::StreamClock {
            stream: SHOW,
            clock,
        },
    );
    assert_eq!(
        town.told(30),
        [&ToPeer::StreamClock {
            stream: SHOW,
            clock
        }]
    );
    town.watch(31);
    assert!(matches!(
        town.told(31)[..],
        [ToPeer::Placement { .. }, ToPeer::StreamClock { .. }]
    ));
}

#[test]
fn an_ended_stream_is_over_for_members_and_listeners() {
    let mut town = Town::on_air();
    town.enter(RELAY);
    town.watch(30);
    town.enter(31);
    town.says(31, FromPeer::ListStreams);
    town.said.clear();
    town.says(BROADCASTER, FromPeer::EndStream { stream: SHOW });
    for n in [RELAY, 30, 31] {
        assert_eq!(town.told(n), [&ToPeer::StreamEnded { stream: SHOW }]);
    }
    assert_eq!(
        (town.manager.census().streams, town.manager.census().places),
        (0, 0)
    );
}

// The broadcaster goes and comes.

#[test]
fn a_broadcaster_that_restarts_is_given_its_children_back_under_its_new_name() {
    let mut town = Town::on_air();
    town.watch(30);
    town.watch(31);
    let order = town.order_of(31);
    town.hangs_up(BROADCASTER);
    town.lost(31, BROADCASTER, order);
    assert_eq!(town.placed(), [(31, None)], "there is nobody to go to");
    town.sleep(AWAY_GRACE * 2);
    assert_eq!(
        town.parent(30),
        Some(BROADCASTER),
        "who did not complain keeps its place"
    );
    town.said.clear();
    town.enter_by(
        2,
        PeerInfo {
            fingerprint: info(BROADCASTER).fingerprint,
            ..info(2)
        },
    );
    town.says(2, register(SHOW, "show"));
    assert_eq!(town.placed(), [(30, Some(2)), (31, Some(2))]);
}

#[test]
fn a_broadcaster_that_only_lost_its_socket_disturbs_nobody() {
    let mut town = Town::on_air();
    town.watch(30);
    town.hangs_up(BROADCASTER);
    town.enter_by(3, info(BROADCASTER));
    town.says(3, register(SHOW, "show"));
    assert_eq!(town.placed(), []);
    assert!(matches!(
        town.told(3)[..],
        [.., ToPeer::StreamRegistered { .. }]
    ));
}

#[test]
fn a_stream_whose_broadcaster_stays_away_for_a_minute_is_over() {
    let mut town = Town::on_air();
    town.watch(30);
    town.says(30, FromPeer::ListStreams);
    town.hangs_up(BROADCASTER);
    assert!(matches!(town.told(30)[..], [ToPeer::StreamAnnounced { info }] if !info.live));
    town.sleep(STREAM_GRACE);
    assert_eq!(
        town.told(30).last(),
        Some(&&ToPeer::StreamEnded { stream: SHOW })
    );
    town.hangs_up(30);
    town.sleep(AWAY_GRACE);
    assert_eq!(town.manager.census(), Census::default());
}

#[test]
fn a_stream_that_never_was_is_refused() {
    let mut town = Town::new();
    town.enter(30);
    town.says(30, join(None));
    assert!(matches!(
        town.told(30).last(),
        Some(ToPeer::StreamRefused {
            refusal: Refusal::NoSuchStream,
            ..
        })
    ));
}
