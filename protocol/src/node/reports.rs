//! What the peer tells about its streams, and what falls due in them.

use super::streams::{ASK_AGAIN, Early};
use super::{Node, Output};
use crate::id::{LinkId, StreamId};
use crate::signal::{FromPeer, Report};
use crate::time::Time;
use crate::wire::Control;

impl Node {
    pub(super) fn note_viewing(&mut self, id: StreamId, report: Report) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.viewing = report;
        }
    }

    pub(super) fn report(&mut self, out: &mut Vec<Output>) {
        let seconds = super::REPORT_EVERY.as_secs();
        let mut messages = Vec::new();
        for stream in self.streams.values_mut() {
            let stats = stream.stats();
            let kbps = |now: u64, before: u64| {
                u32::try_from((now - before) * 8 / 1000 / seconds).unwrap_or(u32::MAX)
            };
            let report = Report {
                depth: stats.depth,
                children: stats.children,
                down_kbps: kbps(stats.bytes_down, stream.reported.0),
                up_kbps: kbps(stats.bytes_up, stream.reported.1),
                bytes_up: stats.bytes_up,
                too_many: std::mem::take(&mut stream.strained),
                slow: stream.slow_children(),
                ..stream.viewing.clone()
            };
            stream.reported = (stats.bytes_down, stats.bytes_up);
            messages.push(FromPeer::Report {
                stream: stream.id,
                report,
            });
        }
        for message in &messages {
            self.tell(message, out);
        }
    }

    /// Signatures that have been in doubt for long enough.
    fn doubt(&mut self, now: Time, out: &mut Vec<Output>) {
        let mut judged = Vec::new();
        for stream in self.streams.values_mut() {
            if let Some(verifier) = &mut stream.verifier
                && verifier.next_wakeup() <= now
            {
                let mut verdicts = Vec::new();
                verifier.tick(now, &mut verdicts);
                judged.push((stream.id, verdicts));
            }
        }
        for (id, verdicts) in judged {
            self.judge(now, id, verdicts, out);
        }
    }

    /// Streams that nobody feeds, though there may be backups, and those whose parent to be brings nothing.
    fn find_parents_alone(&mut self, now: Time, out: &mut Vec<Output>) {
        let alone = self.streams.values().filter(|s| s.tries_alone(now));
        for id in alone.map(|s| s.id).collect::<Vec<_>>() {
            let found = self.take_over(now, id, None, out);
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.tried = now;
                let standing = stream.standing().filter(|_| found);
                standing.iter().for_each(|said| self.tell(said, out));
            }
        }
        let streams = self.streams.values_mut();
        let withholding = streams.filter_map(|s| s.withholds(now).map(|link| (s.id, link)));
        for (id, link) in withholding.collect::<Vec<_>>() {
            let reason = "it was to feed this peer, and brings nothing";
            self.unsubscribe(now, id, link, out);
            self.lose_upstream(now, id, link, reason, out);
        }
    }

    pub(super) fn tend_streams(&mut self, now: Time, out: &mut Vec<Output>) {
        self.find_parents_alone(now, out);
        let mut messages = Vec::new();
        let mut last_words = Vec::new();
        for stream in self.streams.values_mut() {
            if stream.wants_a_parent() && now >= stream.asked + ASK_AGAIN {
                stream.asked = now;
                messages.extend(stream.standing());
            }
            let id = stream.id;
            let over: Vec<LinkId> = stream
                .children
                .iter()
                .filter(|(_, c)| c.until.is_some_and(|u| now >= u))
                .map(|(&l, _)| l)
                .collect();
            for link in over {
                stream.remove_child(link);
                last_words.push((link, id, "the supervisor gave this child another parent"));
            }
            let (late, waiting) = std::mem::take(&mut stream.early_children)
                .into_iter()
                .partition(|e| now >= e.until);
            stream.early_children = waiting;
            let late: Vec<Early> = late;
            last_words.extend(late.iter().map(|e| {
                (
                    e.link,
                    id,
                    "this child was not announced, or this peer is still below it",
                )
            }));
        }
        messages.iter().for_each(|message| self.tell(message, out));
        self.doubt(now, out);
        for (link, stream, reason) in last_words {
            self.say(
                now,
                link,
                &Control::Refused {
                    stream,
                    reason: reason.into(),
                },
                out,
            );
        }
    }
}
