//! Neighbours that mean no good, or make no sense.

use super::*;

#[test]
fn who_was_not_announced_gets_nothing() {
    let mut desk = Desk::with_peers(3);
    desk.put(3, Input::Watch(STREAM, None));
    let order = Order {
        term: 1,
        sequence: 1,
    };
    desk.tell(
        3,
        ToPeer::Placement {
            stream: STREAM,
            order,
            parent: Some(neighbour(1)),
        },
    );
    desk.send_frame(0);
    assert_eq!(desk.seen_by(3), [0; 0]);
    assert_eq!(desk.nodes[&1].link_count(), 0);
    assert!(
        desk.said
            .iter()
            .any(|(n, m)| *n == 3 && matches!(m, FromPeer::ParentLost { .. }))
    );
}

#[test]
fn an_answer_that_shows_another_certificate_is_refused() {
    let mut desk = Desk::with_peers(3);
    desk.put(3, Input::Watch(STREAM, None));
    desk.tell(
        1,
        ToPeer::ExpectChild {
            stream: STREAM,
            child: neighbour(3),
        },
    );
    let impostor = Neighbour {
        fingerprint: fingerprint(9),
        ..neighbour(1)
    };
    let order = Order {
        term: 1,
        sequence: 1,
    };
    desk.tell(
        3,
        ToPeer::Placement {
            stream: STREAM,
            order,
            parent: Some(impostor),
        },
    );
    desk.send_frame(0);
    assert_eq!(desk.seen_by(3), [0; 0]);
    assert_eq!(desk.nodes[&3].link_count(), 0);
}

#[test]
fn garbage_costs_the_sender_its_link_and_its_siblings_nothing() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(3, 1);
    desk.watch_below(4, 1);
    let (&link, _) = desk
        .links
        .iter()
        .find(|(_, ends)| ends.0 == 3)
        .expect("linked");
    desk.put(1, Input::Control(link, Bytes::from_static(b"\x01garbage")));
    desk.send_frame(0);
    assert!(desk.closed.contains(&(1, link)));
    assert_eq!(desk.seen_by(4), [0, 0]);
    assert_eq!(desk.seen_by(3), [0; 0]);
}

/// Peer 3 says this over and over to its parent, peer 1; whether its sibling gets the next frame all the same.
fn is_expelled_for(said: &Control, times: usize) -> bool {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(3, 1);
    desk.watch_below(4, 1);
    let (&link, _) = desk
        .links
        .iter()
        .find(|(_, ends)| ends.0 == 3)
        .expect("linked");
    for _ in 0..times {
        desk.put(1, Input::Control(link, said.encode()));
    }
    desk.send_frame(0);
    assert_eq!(desk.seen_by(4), [0, 0]);
    desk.closed.contains(&(1, link))
}

#[test]
fn who_says_the_same_thousands_of_times_loses_its_link_and_who_was_only_queued_up_keeps_it() {
    assert!(!is_expelled_for(&Control::Ping(1), 1_000));
    assert!(is_expelled_for(&Control::Ping(1), 3_000));
}

#[test]
fn who_subscribes_over_and_over_to_be_sent_the_window_each_time_loses_its_link() {
    let again = Control::Subscribe {
        stream: STREAM,
        from: Vec::new(),
    };
    assert!(!is_expelled_for(&again, 5));
    assert!(is_expelled_for(&again, 100));
}

#[test]
fn a_parent_that_sends_what_nobody_asked_for_loses_its_child() {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(3, 1);
    let (&link, _) = desk.links.iter().next().expect("linked");
    let header = Header {
        handle: StreamId::from_bytes([9; 16]).handle(),
        ..*frame(1, 0)[0].header()
    };
    let spliced = cut(header, b"of another stream").pop().expect("one part");
    desk.put(3, Input::Media(link, spliced.message().clone()));
    assert!(desk.closed.contains(&(3, link)));
    assert_eq!(desk.nodes[&3].link_count(), 0);
}

/// Peer 3 offers peer 1 a link of this name, and peer 1 expects it.
pub(super) fn offer(desk: &mut Desk, link: LinkId) {
    desk.tell(
        1,
        ToPeer::ExpectChild {
            stream: STREAM,
            child: neighbour(3),
        },
    );
    desk.links.insert(link, (3, 1));
    desk.tell(
        1,
        ToPeer::LinkOffer(LinkDescription {
            peer: id(3),
            link,
            body: sdp(3),
        }),
    );
}

#[test]
fn a_message_before_its_hello_closes_the_link() {
    let mut desk = Desk::with_peers(3);
    let link = LinkId(5);
    offer(&mut desk, link);
    desk.put(1, Input::LinkOpen(link));
    desk.put(
        1,
        Input::Control(link, Control::Unsubscribe { stream: STREAM }.encode()),
    );
    assert!(desk.closed.contains(&(1, link)));
}

#[test]
fn media_before_a_hello_closes_the_link() {
    let mut desk = Desk::with_peers(3);
    offer(&mut desk, LinkId(5));
    desk.put(1, Input::LinkOpen(LinkId(5)));
    let chunk = frame(1, 0)[0].message().clone();
    desk.put(1, Input::Media(LinkId(5), chunk));
    assert!(desk.closed.contains(&(1, LinkId(5))));
}

#[test]
fn a_neighbour_that_makes_one_link_after_the_other_has_a_few() {
    let mut desk = Desk::with_peers(3);
    for n in 5..100 {
        desk.now += Duration::from_millis(1);
        offer(&mut desk, LinkId(n));
    }
    let few = u64::from(MOST_LANES) + 1;
    assert_eq!(desk.nodes[&1].link_count() as u64, few);
    assert!(!desk.closed.contains(&(1, LinkId(99))));
    assert!(desk.closed.contains(&(1, LinkId(99 - few))));
}

#[test]
fn a_way_to_the_root_through_oneself_is_no_way() {
    let mut desk = Desk::with_peers(4);
    desk.watch_below(3, 1);
    desk.watch_below(4, 3);
    desk.send_frame(0);
    desk.place(3, 4); // a supervisor that errs
    desk.send_frame(1);
    assert_eq!(desk.parent_of(3), Some(id(1)));
    assert_eq!(desk.seen_by(4), [0, 0, 1]);
}

/// Anything a neighbour might say once it is in, made sense of or not.
fn anything() -> impl Strategy<Value = Control> {
    let position = (0..3_u32, 0..20_u64).prop_map(|(epoch, sequence)| Position { epoch, sequence });
    let stream = prop_oneof![
        Just(STREAM),
        any::<[u8; 16]>().prop_map(StreamId::from_bytes)
    ];
    let at = position.clone().prop_map(|position| TrackPosition {
        track: Track::Video,
        rendition: 0,
        position,
    });
    let path = proptest::collection::vec((0..6_u8).prop_map(id), 0..6);
    prop_oneof![
        (stream.clone(), proptest::collection::vec(at, 0..3))
            .prop_map(|(stream, from)| Control::Subscribe { stream, from }),
        stream
            .clone()
            .prop_map(|stream| Control::Unsubscribe { stream }),
        stream.clone().prop_map(|stream| Control::Refused {
            stream,
            reason: "so".into()
        }),
        (0..4_u32).prop_map(|epoch| Control::Epoch(SignedDescriptor::unsigned(descriptor(epoch)))),
        path.prop_map(|path| Control::RootPath {
            handle: STREAM.handle(),
            path
        }),
        Just(Control::Heartbeat(Vec::new())),
        (position.clone(), position.clone()).prop_map(|(from, to)| Control::Skipped {
            handle: STREAM.handle(),
            track: Track::Video,
            rendition: 0,
            from,
            to
        }),
        stream.prop_map(|stream| Control::Ended { stream }),
        Just(Control::Hello {
            versions: VERSIONS,
            peer: id(3),
            lanes: 9,
            certificate: Bytes::new(),
        }),
        (0..2_000_u32).prop_map(|millis| Control::Behind {
            handle: STREAM.handle(),
            millis
        }),
        any::<u64>().prop_map(|of| Control::Lane { of }),
        any::<u32>().prop_map(Control::Ping),
        any::<u32>().prop_map(Control::Pong),
        (position.clone(), 0..200_u64).prop_map(|(from, frames)| Control::Want {
            handle: STREAM.handle(),
            frames: vec![FrameRange {
                track: Track::Video,
                rendition: 0,
                from,
                to: Position {
                    sequence: from.sequence + frames,
                    ..from
                },
            }],
        }),
        Just(Control::Bye {
            reason: "enough".into()
        }),
    ]
}

proptest! {
    #[test]
    fn whatever_a_child_says_its_siblings_get_every_frame(
        said in proptest::collection::vec(prop_oneof![
            anything().prop_map(|control| (true, control.encode())),
            (0..4_u32, 0..30_u64).prop_map(|(epoch, n)| (false, frame(epoch, n)[0].message().clone())),
            proptest::collection::vec(any::<u8>(), 0..100).prop_map(|bytes| (false, Bytes::from(bytes))),
        ], 0..30)
    ) {
        let mut desk = Desk::with_peers(4);
        desk.watch_below(3, 2);
        desk.watch_below(4, 2);
        desk.watch_below(2, 1);
        let (&link, _) = desk.links.iter().find(|(_, ends)| ends.0 == 3).expect("linked");
        for (sequence, (is_control, bytes)) in (0..).zip(said.iter().cloned()) {
            let input = if is_control { Input::Control(link, bytes) } else { Input::Media(link, bytes) };
            desk.put(2, input);
            desk.send_frame(sequence);
        }
        let seen: BTreeSet<u64> = desk.seen_by(4).into_iter().collect();
        prop_assert_eq!(seen, (0..said.len() as u64).collect::<BTreeSet<u64>>());
    }
}
