//! Endpoints that do something.

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use protocol::id::{PeerId, StreamId};
use protocol::signal::Topology;
use protocol::stream_manager::{Wish, WishError};
use serde::{Deserialize, Serialize};

use super::looks::stream_id;
use super::{Monitor, ending};
use crate::door::Caller;
use crate::operator::api::{Done, PasswordRequest};
use crate::operator::now_s;
use crate::operator::routes::{Asked, answer, complaint};
use crate::store::Blocked;

/// `POST streams/{stream}/move`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    peer: PeerId,
    parent: PeerId,
}

/// `POST streams/{stream}/evict`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Who {
    peer: PeerId,
}

/// `POST streams/{stream}/end`: typed, so that nobody ends a show by a slip.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Name {
    name: String,
}

/// Answer to `POST peers/{peer}/block`
#[derive(Serialize)]
struct Blocks {
    connected: usize,
}

pub(super) async fn log_in(
    State(monitor): State<Monitor>,
    Extension(caller): Extension<Caller>,
    request: HeaderMap,
    asked: Asked<PasswordRequest>,
) -> Response {
    let Json(PasswordRequest { password }) = match asked {
        Ok(asked) => asked,
        Err(wrong) => return complaint(wrong.status(), wrong.body_text()),
    };
    let (guard, address) = (&monitor.guard, caller.address);
    match guard
        .log_in(address, &request, password, monitor.secure)
        .await
    {
        Ok(cookie) => ([(header::SET_COOKIE, cookie)], done()).into_response(),
        Err(refused) => refused,
    }
}

pub(super) async fn log_out(State(monitor): State<Monitor>, request: HeaderMap) -> Response {
    match monitor.guard.log_out(&request, monitor.secure) {
        Ok(cookie) => ([(header::SET_COOKIE, cookie)], done()).into_response(),
        Err(refused) => refused,
    }
}

pub(super) async fn move_peer(
    State(monitor): State<Monitor>,
    Path(stream): Path<String>,
    asked: Asked<Move>,
) -> Response {
    monitor
        .carry_out(&stream, asked, |stream, Move { peer, parent }| Wish::Move {
            stream,
            peer,
            parent,
        })
        .await
}

pub(super) async fn evict(
    State(monitor): State<Monitor>,
    Path(stream): Path<String>,
    asked: Asked<Who>,
) -> Response {
    let wish = |stream, Who { peer }| Wish::Evict { stream, peer };
    monitor.carry_out(&stream, asked, wish).await
}

pub(super) async fn rearrange(
    State(monitor): State<Monitor>,
    Path(stream): Path<String>,
    asked: Asked<Topology>,
) -> Response {
    let wish = |stream, topology| Wish::Rearrange { stream, topology };
    monitor.carry_out(&stream, asked, wish).await
}

pub(super) async fn end(
    State(monitor): State<Monitor>,
    Path(stream): Path<String>,
    asked: Asked<Name>,
) -> Response {
    if let (Ok(Json(typed)), Ok(stream)) = (&asked, stream_id(&stream))
        && let Err(refused) = monitor.check_name(stream, &typed.name).await
    {
        return refused;
    }
    monitor
        .carry_out(&stream, asked, |stream, _| Wish::End { stream })
        .await
}

pub(super) async fn allow(State(monitor): State<Monitor>, Path(stream): Path<String>) -> Response {
    monitor
        .carry_out(&stream, Ok(Json(())), |stream, ()| Wish::Allow { stream })
        .await
}

pub(super) async fn block(State(monitor): State<Monitor>, Path(peer): Path<String>) -> Response {
    let Ok(peer) = peer.parse::<PeerId>() else {
        let words = format!("{peer:?} is no peer's id: 32 hexadecimal digits");
        return complaint(StatusCode::BAD_REQUEST, words);
    };
    let Some(view) = monitor.look(move |machine| machine.view_peer(peer)).await else {
        return ending();
    };
    let Some((view, key)) = view.and_then(|view| view.key.map(|key| (view, key))) else {
        return complaint(StatusCode::NOT_FOUND, "there is no such peer here".into());
    };
    let blocked = Blocked {
        component: view.component,
        name: view.name,
        software: view.software,
        since_s: now_s(),
    };
    match monitor.office.block(key, blocked).await {
        Ok(None) => ending(),
        done => answer(done.map(|connected| connected.map(|connected| Blocks { connected }))),
    }
}

impl Monitor {
    async fn carry_out<T>(
        &self,
        stream: &str,
        asked: Asked<T>,
        wish: impl FnOnce(StreamId, T) -> Wish,
    ) -> Response {
        let stream = match stream_id(stream) {
            Ok(stream) => stream,
            Err(wrong) => return wrong,
        };
        match asked {
            Err(wrong) => complaint(wrong.status(), wrong.body_text()),
            Ok(Json(asked)) => match self.wish(wish(stream, asked)).await {
                None => ending(),
                Some(Ok(())) => done().into_response(),
                Some(Err(error)) => complaint(status(&error), error.to_string()),
            },
        }
    }

    /// That the stream is called so, or the answer that it is not.
    pub(super) async fn check_name(&self, stream: StreamId, typed: &str) -> Result<(), Response> {
        let view = self.look(move |machine| machine.view_stream(stream)).await;
        match view {
            None => Err(ending()),
            Some(None) => Err(super::looks::no_stream()),
            Some(Some(view)) if view.name == typed.trim() => Ok(()),
            Some(Some(view)) => Err(complaint(
                StatusCode::CONFLICT,
                format!(
                    "to be sure, `name` must be the stream's own: {:?}",
                    view.name
                ),
            )),
        }
    }
}

pub(super) fn status(error: &WishError) -> StatusCode {
    match error {
        WishError::NoSuchStream | WishError::NoSuchPeer => StatusCode::NOT_FOUND,
        WishError::FailuresForbidden => StatusCode::FORBIDDEN,
        _ => StatusCode::CONFLICT,
    }
}

const fn done() -> Json<Done> {
    Json(Done { done: true })
}
