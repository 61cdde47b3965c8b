//! Endpoints that only look.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use protocol::id::StreamId;
use protocol::stream_manager::{MemberView, Moment, PeerView, StreamView};
use serde::Serialize;

use super::{Monitor, ending};
use crate::operator::routes::complaint;

/// `GET session`
#[derive(Serialize)]
pub(super) struct Session {
    operator: bool,
    version: &'static str,
}

/// `GET streams`
#[derive(Serialize, PartialEq)]
pub(super) struct Streams {
    pub(super) streams: Vec<StreamView>,
    pub(super) ended: Vec<Ended>,
}

/// A stream that the operator has ended.
#[derive(Serialize, PartialEq)]
pub(super) struct Ended {
    stream: StreamId,
    name: String,
}

/// `GET streams/{stream}/tree`
#[derive(Serialize)]
pub(super) struct Tree {
    pub(super) stream: StreamView,
    pub(super) members: Vec<MemberView>,
}

/// `GET streams/{stream}/history`
#[derive(Serialize)]
struct History {
    moments: Vec<Moment>,
}

/// `GET peers`
#[derive(Serialize)]
struct Peers {
    peers: Vec<PeerView>,
}

pub(super) async fn session(State(monitor): State<Monitor>, request: HeaderMap) -> Response {
    let session = Session {
        operator: monitor.guard.knows(&request),
        version: env!("CARGO_PKG_VERSION"),
    };
    Json(session).into_response()
}

pub(super) async fn streams(State(monitor): State<Monitor>) -> Response {
    answer(monitor.streams().await)
}

pub(super) async fn tree(State(monitor): State<Monitor>, Path(stream): Path<String>) -> Response {
    let stream = match stream_id(&stream) {
        Ok(stream) => stream,
        Err(wrong) => return wrong,
    };
    match monitor.tree(stream).await {
        None => ending(),
        Some(None) => no_stream(),
        Some(Some(tree)) => Json(tree).into_response(),
    }
}

pub(super) async fn history(
    State(monitor): State<Monitor>,
    Path(stream): Path<String>,
) -> Response {
    let stream = match stream_id(&stream) {
        Ok(stream) => stream,
        Err(wrong) => return wrong,
    };
    let seen = monitor.look(move |machine| machine.view_history(stream));
    match seen.await {
        None => ending(),
        Some(None) => no_stream(),
        Some(Some(moments)) => Json(History { moments }).into_response(),
    }
}

pub(super) async fn peers(State(monitor): State<Monitor>) -> Response {
    let peers = monitor.look(|machine| machine.view_peers()).await;
    answer(peers.map(|peers| Peers { peers }))
}

impl Monitor {
    pub(super) async fn streams(&self) -> Option<Streams> {
        self.look(|machine| Streams {
            streams: machine.view_streams(),
            ended: machine
                .barred()
                .map(|(stream, name)| Ended {
                    stream,
                    name: name.to_owned(),
                })
                .collect(),
        })
        .await
    }

    pub(super) async fn tree(&self, id: StreamId) -> Option<Option<Tree>> {
        self.look(move |machine| {
            Some(Tree {
                stream: machine.view_stream(id)?,
                members: machine.view_members(id)?,
            })
        })
        .await
    }
}

fn answer<T: Serialize>(seen: Option<T>) -> Response {
    seen.map_or_else(ending, |seen| Json(seen).into_response())
}

#[allow(
    clippy::result_large_err,
    reason = "it is the answer, and goes no further"
)]
pub(super) fn stream_id(text: &str) -> Result<StreamId, Response> {
    let wrong = |_| {
        complaint(
            StatusCode::BAD_REQUEST,
            format!("{text:?} is no stream's id: 32 hexadecimal digits"),
        )
    };
    text.parse().map_err(wrong)
}

pub(super) fn no_stream() -> Response {
    complaint(StatusCode::NOT_FOUND, "there is no such stream".into())
}
