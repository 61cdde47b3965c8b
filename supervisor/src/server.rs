//! What the port answers: pages, `/peer` for signalling, `/health`, and the operator's `/api`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use log::info;
use protocol::signal::{MAX_TEXT, READ_BUFFER};
use protocol::stream_manager::{Census, SocketId};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::config::door::Origin;
use crate::door::Caller;
use crate::manager::{Event, Inbox};
use crate::{assets, headers, session};

const RECEIVER: &str = "receiver.html";
const MONITOR: &str = "monitor.html";

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Server {
    inbox: Inbox,
    sockets: Arc<AtomicU64>,
    origins: Arc<[Origin]>,
}

/// Listens, or says in words why not.
pub(crate) async fn listen(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| {
        let words = match error.kind() {
            AddrInUse => format!(
                "port {} is in use: another program listens on {address}",
                address.port()
            ),
            AddrNotAvailable => format!("this machine has no address {}", address.ip()),
            PermissionDenied => format!(
                "port {} needs rights this user lacks; ports from 1024 do not",
                address.port()
            ),
            _ => format!("cannot listen on {address}"),
        };
        anyhow::Error::from(error).context(words)
    })
}

impl Server {
    /// Pages of these origins may open sockets, besides our own.
    pub(crate) fn new(inbox: Inbox, origins: Vec<Origin>) -> Self {
        Self {
            inbox,
            sockets: Arc::default(),
            origins: origins.into(),
        }
    }

    /// Everything that is answered over TCP.
    pub(crate) fn routes(self, operator: Router, only_tls: bool) -> Router {
        Router::new()
            .route("/", get(receiver))
            .route("/watch/{name}", get(watch))
            .route("/monitor", get(monitor))
            .route("/peer", get(peer))
            .route("/health", get(health))
            .fallback(get(file))
            .with_state(self)
            .merge(operator)
            .layer(map_response_with_state(only_tls, guarded))
    }

    /// Whether a page of the origin that a browser states may open a socket. Services have none, and state none.
    fn welcomes(&self, request: &HeaderMap) -> bool {
        let Some(stated) = request.get(header::ORIGIN) else {
            return true;
        };
        let Some(origin) = stated.to_str().ok().and_then(Origin::parse) else {
            return false;
        };
        let host = request
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        host.is_some_and(|host| origin.is_at(host)) || self.origins.contains(&origin)
    }
}

async fn guarded(State(only_tls): State<bool>, mut response: Response) -> Response {
    headers::add(response.headers_mut(), only_tls);
    response
}

async fn receiver(request: HeaderMap) -> Response {
    assets::page(RECEIVER, &request)
}

/// The page itself reads the stream's name from the address.
async fn watch(Path(_name): Path<String>, request: HeaderMap) -> Response {
    assets::page(RECEIVER, &request)
}

/// Everybody may have the page; what it shows is the operator's.
async fn monitor(request: HeaderMap) -> Response {
    assets::page(MONITOR, &request)
}

async fn file(uri: Uri, request: HeaderMap) -> Response {
    assets::file(uri.path().trim_start_matches('/'), &request)
}

const FOREIGN: &str = "a page of another site may not open a socket here; if it is yours, name it in the \
    supervisor's allowed_origins, or have the proxy before it pass the Host header on\n";

async fn peer(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    request: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let address = caller.address;
    if !server.welcomes(&request) {
        info!(address:%, origin:? = request.get(header::ORIGIN); "refused: a page of another site");
        return (StatusCode::FORBIDDEN, FOREIGN).into_response();
    }
    let Some(seat) = caller.seat() else {
        info!(address:%; "refused: too many sockets behind a proxy");
        return (StatusCode::SERVICE_UNAVAILABLE, "too many sockets\n").into_response();
    };
    let id = SocketId(server.sockets.fetch_add(1, Ordering::Relaxed));
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .max_message_size(MAX_TEXT)
        .max_frame_size(MAX_TEXT);
    upgrade.on_upgrade(async move |socket| {
        session::serve(socket, id, address, server.inbox).await;
        drop(seat);
    })
}

async fn health(State(server): State<Server>) -> Response {
    let (ask, answer) = oneshot::channel();
    let asked = server.inbox.send(Event::Census(ask)).await.is_ok();
    match answer.await {
        Ok(census) if asked => axum::Json(report(census)).into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the supervisor is ending").into_response(),
    }
}

fn report(census: Census) -> serde_json::Value {
    serde_json::json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "sockets": census.sockets,
        "peers": census.peers,
        "streams": census.streams,
        "places": census.places,
        "deadlines": census.deadlines,
    })
}
