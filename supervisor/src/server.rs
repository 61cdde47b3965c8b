//! What the port answers: pages, `/peer` for signalling, `/health`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use protocol::signal::MAX_TEXT;
use protocol::stream_manager::{Census, SocketId};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::manager::{Event, Inbox};
use crate::{assets, session};

const RECEIVER: &str = "receiver.html";

#[derive(Clone)]
struct Server {
    inbox: Inbox,
    sockets: Arc<AtomicU64>,
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

/// Serves until the service ends.
pub(crate) async fn serve(
    listener: TcpListener,
    inbox: Inbox,
    mut shutdown: daemon::Shutdown,
) -> anyhow::Result<()> {
    let server = Server {
        inbox,
        sockets: Arc::default(),
    };
    let routes = Router::new()
        .route("/", get(receiver))
        .route("/watch/{name}", get(watch))
        .route("/peer", get(peer))
        .route("/health", get(health))
        .fallback(get(file))
        .with_state(server);
    let serving =
        axum::serve(listener, routes).with_graceful_shutdown(async move { shutdown.wait().await });
    serving.await.context("serving")
}

async fn receiver(request: HeaderMap) -> Response {
    assets::page(RECEIVER, &request)
}

/// The page itself reads the stream's name from the address.
async fn watch(Path(_name): Path<String>, request: HeaderMap) -> Response {
    assets::page(RECEIVER, &request)
}

async fn file(uri: Uri, request: HeaderMap) -> Response {
    assets::file(uri.path().trim_start_matches('/'), &request)
}

async fn peer(upgrade: WebSocketUpgrade, State(server): State<Server>) -> Response {
    let id = SocketId(server.sockets.fetch_add(1, Ordering::Relaxed));
    let upgrade = upgrade.max_message_size(MAX_TEXT).max_frame_size(MAX_TEXT);
    upgrade.on_upgrade(move |socket| session::serve(socket, id, server.inbox))
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
