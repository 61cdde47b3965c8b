//! Server-sent events: what has changed, to whoever watches. Each watcher looks for itself, at most twice a second,
//! and is told the difference to what it saw last, until the session in which it asked is over.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use protocol::id::{PeerId, StreamId};
use protocol::stream_manager::{MemberView, StreamView};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::looks::{Streams, stream_id};
use super::{Monitor, trial};
use crate::news::Noted;
use crate::operator::routes::complaint;
use crate::operator::sessions::Session;

/// Watchers at once. Guess: some people, with some windows each.
pub(super) const WATCHERS: usize = 16;
/// Figures change as peers report, every two seconds each: a look a second is fresh.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Something happened: a moment for what comes with it, then a look. Guess: the eye does not see it.
const GATHER: Duration = Duration::from_millis(150);
/// Happenings told at once; of more the last ones.
const MOST_HAPPENINGS: usize = 200;
/// A word now and then shows to both ends that the other is there.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What is watched.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watch {
    stream: Option<String>,
}

/// `event: change`
#[derive(Serialize)]
struct Change<'a> {
    stream: &'a StreamView,
    changed: Vec<&'a MemberView>,
    gone: Vec<PeerId>,
}

pub(super) async fn serve(
    State(monitor): State<Monitor>,
    session: Option<Extension<Session>>,
    Query(watch): Query<Watch>,
) -> Response {
    let stream = match watch.stream.as_deref().map(stream_id).transpose() {
        Ok(stream) => stream,
        Err(wrong) => return wrong,
    };
    let Ok(permit) = monitor.watchers.clone().try_acquire_owned() else {
        let words = format!("{WATCHERS} watch already: close a window");
        return complaint(StatusCode::SERVICE_UNAVAILABLE, words);
    };
    let watcher = Watcher {
        news: monitor.news.watch(),
        monitor,
        session: session.map(|Extension(session)| session),
        stream,
        streams: None,
        members: None,
        trial: 0,
        queue: VecDeque::new(),
        _permit: permit,
    };
    let events = unfold(watcher, async |mut watcher| {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Sse::new(events).keep_alive(alive).into_response()
}

struct Watcher {
    monitor: Monitor,
    news: broadcast::Receiver<Noted>,
    /// None for whoever has the token.
    session: Option<Session>,
    stream: Option<StreamId>,
    /// What it was told last.
    streams: Option<Streams>,
    members: Option<BTreeMap<PeerId, MemberView>>,
    trial: u64,
    queue: VecDeque<Event>,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    /// The next event; none when the supervisor ends, or the session does.
    async fn next(&mut self) -> Option<Event> {
        while self.queue.is_empty() {
            let first = self.streams.is_none();
            let happenings = if first {
                Vec::new()
            } else {
                self.wait().await?
            };
            if self.session.as_ref().is_some_and(Session::is_over) {
                return None; // the page comes back, is refused, and asks for the password
            }
            self.look().await?;
            let keep = happenings.len().saturating_sub(MOST_HAPPENINGS);
            for happening in happenings.iter().skip(keep) {
                self.tell("happening", happening);
            }
        }
        self.queue.pop_front()
    }

    /// Waits until something happens, or it is time to look; gives what happened.
    async fn wait(&mut self) -> Option<Vec<Noted>> {
        let mut happenings = Vec::new();
        let end = tokio::time::sleep(LOOK_EVERY);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Some(happenings),
                noted = self.news.recv() => match noted {
                    Ok(noted) if self.concerns(&noted) => {
                        if happenings.is_empty() {
                            let soon = tokio::time::Instant::now() + GATHER;
                            end.as_mut().reset(soon);
                        }
                        happenings.push(noted);
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
            }
        }
    }

    fn concerns(&self, noted: &Noted) -> bool {
        let stream = noted.happening.stream;
        self.stream.is_none() || stream.is_none() || stream == self.stream
    }

    async fn look(&mut self) -> Option<()> {
        let streams = self.monitor.streams().await?;
        if self.streams.as_ref() != Some(&streams) {
            self.tell("streams", &streams);
        }
        self.streams = Some(streams);
        if let Some(stream) = self.stream {
            self.look_at(stream).await?;
            self.look_at_trial(stream);
        }
        Some(())
    }

    async fn look_at(&mut self, stream: StreamId) -> Option<()> {
        let Some(tree) = self.monitor.tree(stream).await? else {
            if self.members.take().is_some() {
                self.tell("over", &serde_json::json!({ "stream": stream }));
            }
            return Some(());
        };
        let Some(before) = self.members.take() else {
            self.tell("tree", &tree);
            self.members = Some(by_peer(tree.members));
            return Some(());
        };
        let now = by_peer(tree.members);
        let changed = now
            .values()
            .filter(|member| before.get(&member.peer) != Some(member));
        let change = Change {
            stream: &tree.stream,
            changed: changed.collect(),
            gone: before
                .keys()
                .filter(|peer| !now.contains_key(peer))
                .copied()
                .collect(),
        };
        self.tell("change", &change);
        self.members = Some(now);
        Some(())
    }

    fn look_at_trial(&mut self, stream: StreamId) {
        if let Some((version, trial)) = self.monitor.trials.newer(stream, self.trial) {
            self.trial = version;
            self.tell("trial", &trial::Shown::from(&trial));
        }
    }

    fn tell(&mut self, name: &str, content: &impl Serialize) {
        // What we serialise has no maps with other keys than strings, which is all that could fail.
        if let Ok(event) = Event::default().event(name).json_data(content) {
            self.queue.push_back(event);
        }
    }
}

fn by_peer(members: Vec<MemberView>) -> BTreeMap<PeerId, MemberView> {
    members
        .into_iter()
        .map(|member| (member.peer, member))
        .collect()
}
