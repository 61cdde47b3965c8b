//! What `/metrics` of the supervisor shows: asked for when somebody looks, and counted elsewhere.

use daemon::metrics::{Sheet, Tally};
use protocol::signal::Component;
use protocol::stream_manager::{Census, LATENCY_BOUNDS_MS, PeerView, StreamView, Totals};
use tokio::sync::oneshot;

use crate::manager::{Event, Inbox};
use crate::news::{Counts, News};

/// What is looked at.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) inbox: Inbox,
    pub(crate) news: News,
}

/// What the machine knows.
struct Seen {
    census: Census,
    streams: Vec<StreamView>,
    peers: Vec<PeerView>,
}

impl Metrics {
    /// A sheet of how it is now; an empty one when the supervisor is ending.
    pub(crate) async fn sheet(self) -> Sheet {
        let mut sheet = Sheet::default();
        let (ask, answer) = oneshot::channel();
        let look = Event::Look(Box::new(move |machine| {
            let seen = Seen {
                census: machine.census(),
                streams: machine.view_streams(),
                peers: machine.view_peers(),
            };
            let _ = ask.send(seen); // or nobody waits for it any more
        }));
        if self.inbox.send(look).await.is_ok()
            && let Ok(seen) = answer.await
        {
            write(&mut sheet, &seen, &self.news.counts());
        }
        sheet
    }
}

fn write(sheet: &mut Sheet, seen: &Seen, counts: &Counts) {
    let census = seen.census;
    sheet.gauge(
        "ownstream_sockets",
        "Open sockets of peers",
        &[],
        census.sockets as f64,
    );
    sheet.gauge(
        "ownstream_streams",
        "Streams on the air",
        &[],
        census.streams as f64,
    );
    let kinds = [
        (Component::Broadcaster, "broadcaster"),
        (Component::Relay, "relay"),
        (Component::Receiver, "receiver"),
    ];
    for (component, name) in kinds {
        let here = seen.peers.iter().filter(|peer| peer.component == component);
        let help = "Peers that are here, by what they are";
        sheet.gauge(
            "ownstream_peers",
            help,
            &[("component", name)],
            here.count() as f64,
        );
    }
    seen.streams
        .iter()
        .for_each(|stream| of_stream(sheet, stream));
    for (event, count) in &counts.happenings {
        let help = "What happened since the start, by the journal's EVENT";
        sheet.counter("ownstream_events", help, &[("event", event)], *count as f64);
    }
    for (reason, count) in &counts.refusals {
        let help = "Peers refused since the start: authentication and all else, by reason";
        sheet.counter(
            "ownstream_refusals",
            help,
            &[("reason", reason)],
            *count as f64,
        );
    }
}

fn of_stream(sheet: &mut Sheet, stream: &StreamView) {
    let labels = &[("stream", stream.name.as_str())];
    let mut gauge = |name, help, value: f64| sheet.gauge(name, help, labels, value);
    gauge(
        "ownstream_stream_live",
        "Whether its broadcaster is connected",
        f64::from(u8::from(stream.live)),
    );
    gauge(
        "ownstream_viewers",
        "Receivers in the stream",
        stream.viewers.into(),
    );
    gauge(
        "ownstream_relays",
        "Relays in the stream",
        stream.relays.into(),
    );
    gauge(
        "ownstream_tree_depth",
        "Links from the broadcaster to its deepest member",
        stream.depth.into(),
    );

    let totals = &stream.totals;
    let mut counter = |name, help, value: u64| sheet.counter(name, help, labels, value as f64);
    counter(
        "ownstream_joins",
        "Peers that got a part in the stream",
        totals.joins,
    );
    counter("ownstream_leaves", "Peers that gave it up", totals.leaves);
    counter(
        "ownstream_disconnections",
        "Peers that were gone without a word",
        totals.disconnections,
    );
    counter(
        "ownstream_takeovers",
        "Takeovers by peers themselves",
        totals.takeovers,
    );
    counter("ownstream_moves", "Moves by the supervisor", totals.moves);
    counter("ownstream_stalls", "Viewers' stalls", totals.stalls);
    let stalled = totals.stalled_ms as f64 / 1000.0;
    sheet.counter("ownstream_stalled_seconds", "Their length", labels, stalled);

    let sent = [
        ("broadcaster", totals.bytes_by_broadcaster),
        ("relay", totals.bytes_by_relays),
        ("receiver", totals.bytes_by_viewers),
    ];
    for (by, bytes) in sent {
        let labels = &[("stream", stream.name.as_str()), ("by", by)];
        let help = "Media sent in the stream, by whom, as far as it was reported";
        sheet.counter("ownstream_sent_bytes", help, labels, bytes as f64);
    }
    let help = "Capture to picture, as viewers reported it";
    sheet.histogram(
        "ownstream_live_latency_seconds",
        help,
        labels,
        latencies(totals),
    );
}

fn latencies(totals: &Totals) -> Tally {
    let bounds = LATENCY_BOUNDS_MS.iter().map(|&ms| f64::from(ms) / 1000.0);
    let bounds = bounds.chain([f64::INFINITY]);
    let classes = bounds.zip(totals.latency_counts);
    Tally::new(totals.latency_sum_ms as f64 / 1000.0, classes)
}
