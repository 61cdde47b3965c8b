//! What happens, told on: to the journal, with its fields; to whoever watches; and into the counters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use log::{Level, debug, log};
use protocol::signal::Refusal;
use protocol::stream_manager::{Happening, What};
use serde::Serialize;
use tokio::sync::broadcast;

use crate::operator::now_s;

/// Happenings that a watcher may leave unread. Guess: a crowd of a thousand that comes at once.
const UNREAD: usize = 2048;

/// A happening, and when it was.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Noted {
    /// Seconds since 1970.
    pub(crate) at_s: u64,
    #[serde(flatten)]
    pub(crate) happening: Happening,
}

/// Where happenings go. Clones are the same place.
#[derive(Clone)]
pub(crate) struct News {
    watchers: broadcast::Sender<Noted>,
    counts: Arc<Mutex<Counts>>,
}

/// How often what happened, since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) happenings: BTreeMap<&'static str, u64>,
    pub(crate) refusals: BTreeMap<String, u64>,
}

impl News {
    pub(crate) fn new() -> Self {
        Self {
            watchers: broadcast::Sender::new(UNREAD),
            counts: Arc::default(),
        }
    }

    /// Everything from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Noted> {
        self.watchers.subscribe()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.with_counts(|counts| counts.clone())
    }

    pub(crate) fn count_refusal(&self, refusal: Refusal) {
        let name = serde_json::to_value(refusal).unwrap_or_default();
        let name = name.as_str().unwrap_or("other").to_owned();
        self.with_counts(|counts| *counts.refusals.entry(name).or_default() += 1);
    }

    /// `called`: its stream's name.
    pub(crate) fn tell(&self, happening: &Happening, called: Option<&str>) {
        log_it(happening, called);
        self.with_counts(|counts| {
            *counts.happenings.entry(happening.what.name()).or_default() += 1
        });
        if self.watchers.receiver_count() > 0 {
            let noted = Noted {
                at_s: now_s(),
                happening: happening.clone(),
            };
            let _ = self.watchers.send(noted); // the last watcher may just have gone
        }
    }

    fn with_counts<T>(&self, work: impl FnOnce(&mut Counts) -> T) -> T {
        // Numbers are whole whatever panicked between.
        work(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One line, whose fields `journalctl PEER=… STREAM=… EVENT=…` finds.
fn log_it(happening: &Happening, called: Option<&str>) {
    let what = happening.what;
    let (level, words) = words(what);
    let event = what.name();
    let other = other(what)
        .map(|peer| format!(" {peer}"))
        .unwrap_or_default();
    let called = called.map(|name| format!(": {name}")).unwrap_or_default();
    match (happening.peer, happening.stream) {
        (Some(peer), Some(stream)) => {
            log!(level, peer:%, stream:%, event; "{words}{other}{called}");
        }
        (Some(peer), None) if other.is_empty() => debug!(peer:%, event; "{words}"),
        (Some(peer), None) => log!(level, peer:%, event; "{words}{other}"),
        (None, Some(stream)) => log!(level, stream:%, event; "{words}{called}"),
        (None, None) => log!(level, event; "{words}"),
    }
}

/// The other peer in it.
const fn other(what: What) -> Option<protocol::id::PeerId> {
    match what {
        What::Moved { to, .. } | What::TookOver { to, .. } | What::LinkRefused { to } => Some(to),
        What::ParentLost { parent } | What::Accused { parent } => Some(parent),
        _ => None,
    }
}

const fn words(what: What) -> (Level, &'static str) {
    use Level::{Info, Warn};
    match what {
        What::Came => (Info, "a peer was let in"),
        What::Went => (Info, "a peer is gone"),
        What::Joined => (Info, "joined the stream"),
        What::Left => (Info, "left the stream"),
        What::Lost => (Info, "gone from the stream without a word"),
        What::Moved { .. } => (Level::Debug, "moved below"),
        What::TookOver { .. } => (Info, "took over by itself, fed by"),
        What::ParentLost { .. } => (Info, "lost its parent"),
        What::Limited { .. } => (
            Info,
            "is given fewer children: it is too slow for those it had",
        ),
        What::Stalled { .. } => (Info, "its picture stood still"),
        What::OnAir => (Info, "the stream is on the air"),
        What::BroadcasterAway => (Warn, "the stream's broadcaster is away"),
        What::Ended => (Info, "the stream has ended"),
        What::Accused { .. } => (Warn, "was sent something forged by"),
        What::Uninvited => (Info, "refused: not invited to the stream"),
        What::InvitationRevoked => (Info, "put out: its invitation was taken back"),
        What::LinkRefused { .. } => (Warn, "will not be linked to"),
        What::Evicted => (Info, "put out of the stream by the operator"),
        What::Rearranged => (Info, "the stream's peers are arranged anew"),
        What::ToldToFail { .. } => (Info, "told to fail, as a test"),
        _ => (Info, "something happened"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_watches_is_counted_all_the_same() {
        let news = News::new();
        let joined = Happening {
            peer: None,
            stream: None,
            what: What::Joined,
        };
        news.tell(&joined, None);
        let mut watch = news.watch();
        news.tell(&joined, None);
        assert_eq!(watch.try_recv().expect("one").happening, joined);
        assert!(watch.try_recv().is_err());
        assert_eq!(news.counts().happenings["joined"], 2);
        news.count_refusal(Refusal::NotInvited);
        assert_eq!(news.counts().refusals["not-invited"], 1);
    }
}
