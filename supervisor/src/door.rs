//! Where connections come in: how many there may be, how long they may take to say what they want, and who is at
//! the other end. What they are answered is the routes'.
//!
//! Everybody is counted, loopback too. A connection too many is refused before anything is read from it.

mod crowd;
mod forwarded;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use log::{Level, debug, warn};
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;
use tower_service::Service as _;

use crate::refusals::Refusals;
use crate::tls::Current;
use crowd::Full;
pub(crate) use crowd::{Crowd, Seat};

/// What a client may take to agree on keys, and to say what it wants; an idle connection is closed after it as
/// well. Guess: ten round trips over a bad mobile link.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a request's head. Guess: ours are below 1 KB; browsers add cookies of other programs on the host.
const HEAD_BYTES: usize = 32 * 1024;
/// A client that acknowledges nothing for so long is gone, or reads on purpose too slowly. Guess.
const UNREAD_LIMIT: Duration = Duration::from_secs(30);
/// What requests in hand may take when the supervisor ends. Guess: below the service's own grace of 3 s.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// The system has no room for another connection: a moment until one has gone. Guess.
const BREATH: Duration = Duration::from_millis(100);

/// Who asks, as handlers see it.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) address: IpAddr,
    place: Place,
}

#[derive(Clone)]
enum Place {
    /// The connection is the caller's own, and counted.
    Own(Seat),
    /// The connection is a proxy's: each socket is counted by itself.
    Proxied(Seat, Crowd),
}

impl Caller {
    /// A seat that a socket keeps when its connection has become one; none when there are too many of that address.
    pub(crate) fn seat(&self) -> Option<Seat> {
        match &self.place {
            Place::Own(seat) => Some(seat.clone()),
            Place::Proxied(seat, crowd) => crowd.behind(self.address, seat),
        }
    }
}

/// One listener, and what it does with those who come.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    /// The certificate of the moment, or none for plain http.
    pub(crate) tls: Option<Current>,
    pub(crate) crowd: Crowd,
    pub(crate) proxies: Vec<IpAddr>,
    pub(crate) routes: Router,
}

impl Door {
    /// Lets in until the service ends.
    pub(crate) async fn keep(self, mut shutdown: daemon::Shutdown) -> anyhow::Result<()> {
        let mut visits = JoinSet::new();
        let mut refusals = Refusals::of("refused", Level::Warn);
        loop {
            tokio::select! {
                () = shutdown.wait() => break,
                () = refusals.due() => refusals.say(),
                Some(_) = visits.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => match self.admit(&stream, from) {
                        Ok(visit) => drop(visits.spawn(visit.receive(stream, self.tls.clone(), shutdown.clone()))),
                        Err(full) => {
                            refusals.note(&full.to_string());
                            refuse(&stream, self.tls.is_some());
                        }
                    },
                    Err(error) => pause_after(&error).await,
                },
            }
        }
        drop(self.listener);
        drain(visits).await;
        Ok(())
    }

    fn admit(&self, stream: &TcpStream, from: SocketAddr) -> Result<Visit, Full> {
        let address = from.ip().to_canonical();
        let place = match self.proxies.contains(&address) {
            true => Place::Proxied(self.crowd.enter_proxied()?, self.crowd.clone()),
            false => Place::Own(self.crowd.enter(address)?),
        };
        settle(stream);
        Ok(Visit {
            caller: Caller { address, place },
            routes: self.routes.clone(),
        })
    }
}

/// One connection that was let in.
struct Visit {
    caller: Caller,
    routes: Router,
}

impl Visit {
    async fn receive(
        self,
        stream: TcpStream,
        tls: Option<Current>,
        mut shutdown: daemon::Shutdown,
    ) {
        let Some(current) = tls else {
            return self.attend(stream, shutdown).await;
        };
        let agreed = tokio::select! {
            () = shutdown.wait() => return,
            agreed = tokio::time::timeout(HEAD_LIMIT, current.acceptor().accept(stream)) => agreed,
        };
        match agreed {
            Ok(Ok(stream)) => self.attend(stream, shutdown).await,
            Ok(Err(error)) => debug!(address:% = self.caller.address; "no TLS: {error}"),
            Err(_) => debug!(address:% = self.caller.address; "no TLS: silent"),
        }
    }

    async fn attend(self, stream: impl Stream, shutdown: daemon::Shutdown) {
        let Self { caller, routes } = self;
        attend(stream, shutdown, routes, move |request| {
            let mut caller = caller.clone();
            if let Place::Proxied(..) = caller.place {
                caller.address = forwarded::address(request.headers()).unwrap_or(caller.address);
            }
            request.extensions_mut().insert(caller);
        })
        .await;
    }
}

/// Serves a Unix socket, to which only this user and root have access.
pub(crate) async fn keep_unix(
    listener: UnixListener,
    routes: Router,
    mut shutdown: daemon::Shutdown,
) -> anyhow::Result<()> {
    let mut visits = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.wait() => break,
            Some(_) = visits.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    visits.spawn(attend(stream, shutdown.clone(), routes.clone(), |_| {}));
                }
                Err(error) => pause_after(&error).await,
            },
        }
    }
    drain(visits).await;
    Ok(())
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Answers a connection's requests until it closes or becomes a WebSocket.
async fn attend(
    stream: impl Stream,
    mut shutdown: daemon::Shutdown,
    routes: Router,
    introduce: impl Fn(&mut Request<Incoming>),
) {
    let service = service_fn(|mut request: Request<Incoming>| {
        introduce(&mut request);
        answer(routes.clone(), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shutdown.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!("a connection ended: {error}"); // the other side's doing
    }
}

async fn answer(mut routes: Router, request: Request<Incoming>) -> Result<Response, Infallible> {
    routes.call(request.map(Body::new)).await
}

/// What is set once for each connection; that it cannot be set ends nothing.
fn settle(stream: &TcpStream) {
    let patience = u32::try_from(UNREAD_LIMIT.as_millis()).unwrap_or(u32::MAX);
    let set = stream
        .set_nodelay(true)
        .and_then(|()| setsockopt(stream, TcpUserTimeout, &patience).map_err(Into::into));
    if let Err(error) = set {
        debug!("a socket's options: {error}");
    }
}

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 46\r\n\r\nThere are too many connections. Try later on.\n";

/// Says that there is no room, as far as the system takes it at once, and closes.
fn refuse(stream: &TcpStream, tls: bool) {
    if !tls {
        let _ = stream.try_write(FULL); // a courtesy
    }
}

async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    ) {
        return; // it has thought better of it
    }
    warn!("cannot take another connection: {error}");
    tokio::time::sleep(BREATH).await;
}

/// Waits for the requests in hand. WebSockets are none: the manager closes them.
async fn drain(mut visits: JoinSet<()>) {
    let all = async { while visits.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_LIMIT, all).await.is_err() {
        debug!("{} requests in hand are dropped", visits.len());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_refusal_states_its_length() {
        let text = String::from_utf8_lossy(super::FULL);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{}",
            body.len()
        );
    }
}
