//! One WebSocket: texts in, texts out, pings; understands none of them.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use protocol::signal::MAX_TEXT;
use protocol::stream_manager::SocketId;
use tokio::sync::{mpsc, oneshot};

use crate::manager::{Event, Farewell, Inbox, Outlet, SOCKET_QUEUE};

/// Keeps routers between from forgetting the connection. Guess: the shortest timeouts are 30 s.
const PING_EVERY: Duration = Duration::from_secs(5);
/// A socket that is closed has this long to take the words that say why. Guess.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// Serves one socket until either side closes it.
pub(crate) async fn serve(socket: WebSocket, id: SocketId, address: IpAddr, inbox: Inbox) {
    let (sink, stream) = socket.split();
    let (texts, queue) = mpsc::channel(SOCKET_QUEUE);
    let (farewell, told) = oneshot::channel();
    let opened = Event::Opened(id, Outlet { texts, farewell }, address);
    if inbox.send(opened).await.is_err() {
        return; // the supervisor ends
    }
    let mut writer = std::pin::pin!(write(sink, queue, told));
    let garbage = tokio::select! {
        () = &mut writer => None,
        garbage = read(stream, id, &inbox) => garbage,
    };
    if let Some(words) = garbage {
        let _ = inbox.send(Event::Garbage(id, words)).await; // or the supervisor ends
        writer.await; // it is told to say goodbye
    }
    let _ = inbox.send(Event::Closed(id)).await; // or the supervisor ends
}

/// Reads until the socket closes, which is none, or until something came that must not.
async fn read(mut stream: SplitStream<WebSocket>, id: SocketId, inbox: &Inbox) -> Option<String> {
    while let Some(message) = stream.next().await {
        match message {
            Ok(Message::Text(text)) => inbox
                .send(Event::Text(id, text.as_str().to_owned()))
                .await
                .ok()?,
            Ok(Message::Binary(_)) => return Some("only texts are spoken here".into()),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(Message::Close(_)) => return None,
            Err(error) => return too_long(&error),
        }
    }
    None
}

fn too_long(error: &axum::Error) -> Option<String> {
    // Everything else is a connection that broke.
    let words = error.to_string();
    words
        .contains("too long")
        .then(|| format!("a message of more than {MAX_TEXT} bytes"))
}

/// Writes until the socket breaks, or is to be closed.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<String>,
    mut told: oneshot::Receiver<Farewell>,
) {
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.reset(); // the first one later, not at once
    let farewell = loop {
        let message = tokio::select! {
            farewell = &mut told => break farewell,
            Some(text) = queue.recv() => Message::Text(text.into()),
            _ = ping.tick() => Message::Ping(bytes()),
        };
        tokio::select! {
            farewell = &mut told => break farewell,
            sent = sink.send(message) => if sent.is_err() { return },
        }
    };
    if let Ok(farewell) = farewell {
        let _ = tokio::time::timeout(FAREWELL_LIMIT, say(sink, queue, farewell)).await;
    }
}

fn bytes() -> axum::body::Bytes {
    axum::body::Bytes::new()
}

/// What was queued, the last words, and the closing frame.
async fn say(
    mut sink: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<String>,
    farewell: Farewell,
) -> Result<(), axum::Error> {
    while let Ok(text) = queue.try_recv() {
        sink.feed(Message::Text(text.into())).await?;
    }
    let (code, reason) = match farewell {
        Farewell::Refused(text) => {
            sink.feed(Message::Text(text.into())).await?;
            (close_code::POLICY, "refused")
        }
        Farewell::Going => (close_code::AWAY, "the supervisor ends"),
    };
    sink.send(Message::Close(Some(CloseFrame {
        code,
        reason: reason.into(),
    })))
    .await?;
    sink.close().await
}
