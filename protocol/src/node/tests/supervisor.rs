//! What the supervisor says, and when it is away.

use super::*;

#[test]
fn after_the_supervisor_came_back_it_is_told_how_things_stand() {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(3, 1);
    desk.send_frame(0);
    desk.put(3, Input::SupervisorDown);
    desk.put(1, Input::SupervisorDown);
    desk.send_frame(1);
    assert_eq!(desk.seen_by(3), [0, 0, 1], "the stream goes on without it");
    desk.said.clear();
    desk.take_in(3);
    desk.take_in(1);
    assert!(desk.said.contains(&(
        3,
        FromPeer::Join {
            stream: STREAM,
            parent: Some(id(1)),
            invitation: None,
        }
    )));
    let again = Registration {
        running_epoch: Some(1),
        ..registration()
    };
    assert!(desk.said.contains(&(1, FromPeer::RegisterStream(again))));
}

#[test]
fn a_viewer_fails_when_told_to_if_the_stream_allows_it_and_nobody_else_does() {
    let list = |allow_failures| ToPeer::Streams {
        streams: vec![StreamInfo {
            stream: STREAM,
            name: "show".into(),
            tracks: vec![],
            kbps: 1000,
            access: Access::Public,
            live: true,
            viewers: 1,
            allow_failures,
        }],
        more: false,
    };
    let fails = |desk: &mut Desk, n| {
        let (stream, how) = (STREAM, Failure::Freeze);
        desk.events.clear();
        desk.tell(n, ToPeer::Fail { stream, how });
        let mut events = desk.events.iter();
        events.any(|(who, event)| *who == n && matches!(event, Event::ToldToFail(Failure::Freeze)))
    };
    let mut desk = Desk::with_peers(4);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    assert!(!fails(&mut desk, 3), "it knows of no permission");
    for n in 1..=4 {
        desk.tell(n, list(false));
    }
    assert!(!fails(&mut desk, 3), "the stream does not allow it");
    for n in 1..=4 {
        desk.tell(n, list(true));
    }
    assert!(fails(&mut desk, 3));
    for n in [1, 2] {
        assert!(!fails(&mut desk, n), "{n} is no viewer");
    }
    assert!(!fails(&mut desk, 4), "it does not watch that stream");
}

#[test]
fn a_relay_that_feeds_nobody_when_the_supervisor_comes_back_leaves_the_stream() {
    let mut desk = Desk::with_peers(3);
    desk.watch_below(2, 1);
    desk.watch_below(3, 2);
    desk.send_frame(0);
    desk.put(2, Input::SupervisorDown);
    for gone in [1, 3] {
        let links: Vec<LinkId> = desk.nodes[&2]
            .links
            .iter()
            .filter(|(_, link)| link.peer == id(gone))
            .map(|(&link, _)| link)
            .collect();
        for link in links {
            desk.put(2, Input::LinkClosed(link, "gone".into()));
        }
    }
    assert_eq!(desk.nodes[&2].streams().count(), 1);
    desk.take_in(2);
    assert_eq!(desk.nodes[&2].streams().count(), 0);
}

#[test]
fn a_supervisor_of_another_version_is_hung_up_on_with_words() {
    let mut desk = Desk::with_peers(1);
    desk.put(1, Input::SupervisorDown);
    desk.put(1, Input::SupervisorUp(HandshakeSeed::from_bytes([0; 32])));
    let versions = VersionRange { min: 8, max: 9 };
    desk.tell(
        1,
        ToPeer::CollectPeerInfoRequest {
            versions,
            software: "later".into(),
            suites: vec![],
        },
    );
    let words = &desk.hung_up.first().expect("hung up").1;
    assert!(words.contains("versions 8 to 9"), "{words}");
}

#[test]
fn a_supervisor_that_talks_nonsense_is_hung_up_on() {
    let mut desk = Desk::with_peers(1);
    desk.put(1, Input::SupervisorText("{}".into()));
    assert_eq!(desk.hung_up.len(), 1);
}
