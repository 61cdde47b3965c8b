//! The WebSocket to the supervisor: kept open for good, reopened when it falls, with growing and jittered
//! pauses so that a thousand peers do not all come back in the same instant.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use log::{info, warn};
use protocol::id::Fingerprint;
use protocol::signal::{MAX_TEXT, READ_BUFFER};
use rand::RngExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

use crate::tls;

/// First pause before another attempt. Guess.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause. Guess: a viewer waits no longer than this for a supervisor that is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Only a conversation that goes on for so long after the supervisor took us in makes the next pause a short one again:
/// one that cannot read what we say next, being older than we are, would be asked six times a second (measured). Guess.
const HOLDS: Duration = Duration::from_secs(10);
/// An attempt that takes longer is given up. Guess.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a supervisor that we leave may take to say goodbye, too. Guess: two round trips over a bad mobile link.
const GOODBYE: Duration = Duration::from_secs(1);
/// Texts that may wait between this task and the node. Guess: a join is ten of them.
const QUEUE: usize = 256;

/// What comes from the supervisor's side.
#[derive(Debug)]
pub enum FromSupervisor {
    /// The socket is open.
    Up,
    /// A text came.
    Text(String),
    /// The socket is closed; another attempt follows by itself.
    Down,
}

/// What goes to it.
#[derive(Debug)]
pub enum ToSupervisor {
    /// Send a text.
    Text(String),
    /// It took this peer in: if that lasts, the next pause is a short one again.
    Settled,
    /// Close the socket, and open it anew.
    HangUp,
}

/// The node's end of the socket.
#[derive(Debug)]
pub struct Signalling {
    /// What comes.
    pub incoming: mpsc::Receiver<FromSupervisor>,
    /// What goes. Bounded: a supervisor that does not read is one that is gone.
    pub outgoing: mpsc::Sender<ToSupervisor>,
}

/// Where the supervisor is.
#[derive(Debug, Clone)]
pub struct Supervisor {
    /// Its address for peers, `ws://host:port/peer` or `wss://…`.
    pub url: String,
    /// The one certificate that it may show on `wss://`, by its SHA-256 fingerprint. None: any that this machine's
    /// authorities vouch for.
    pub certificate: Option<Fingerprint>,
}

impl Signalling {
    /// Ends the conversation. Returns when all that was said before has gone out and the socket is closed; with a
    /// supervisor that takes its time, that takes time.
    pub async fn end(mut self) {
        drop(self.outgoing);
        while self.incoming.recv().await.is_some() {}
    }
}

impl Supervisor {
    /// A supervisor whose certificate, if it has one, everybody can check.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            certificate: None,
        }
    }
}

/// Connects to the supervisor and stays connected until the returned end is dropped.
pub fn connect(supervisor: Supervisor) -> Signalling {
    let (to_node, incoming) = mpsc::channel(QUEUE);
    let (outgoing, from_node) = mpsc::channel(QUEUE);
    tokio::spawn(
        Task {
            supervisor,
            to_node,
            from_node,
            pause: FIRST_PAUSE,
            failures: 0,
            short: 0,
            settled: None,
        }
        .run(),
    );
    Signalling { incoming, outgoing }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Task {
    supervisor: Supervisor,
    to_node: mpsc::Sender<FromSupervisor>,
    from_node: mpsc::Receiver<ToSupervisor>,
    pause: Duration,
    failures: u32,
    /// Conversations in a row that ended soon after the supervisor had taken us in.
    short: u32,
    /// When it took us in, in this conversation.
    settled: Option<Instant>,
}

/// Why a conversation ended.
enum End {
    /// The node is gone: so are we.
    NodeGone,
    /// The socket is closed.
    Closed,
}

impl Task {
    async fn run(mut self) {
        while !self.to_node.is_closed() {
            match self.attempt().await {
                Ok(socket) => {
                    if matches!(self.converse(socket).await, End::NodeGone) {
                        return;
                    }
                    let settled = self.settled.take().map(|at| at.elapsed());
                    self.closed(settled);
                }
                Err(error) => self.tell_failure(&error),
            }
            if !self.rest().await {
                return;
            }
        }
    }

    /// Waits until the next attempt is due; false if the node is gone. What it says meanwhile is stale.
    async fn rest(&mut self) -> bool {
        let pause = tokio::time::sleep(self.next_pause());
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return true,
                order = self.from_node.recv() => if order.is_none() {
                    return false;
                },
            }
        }
    }

    async fn attempt(&self) -> Result<Socket, Error> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(MAX_TEXT))
            .max_frame_size(Some(MAX_TEXT));
        let url = self.supervisor.url.as_str();
        let connector = if url.starts_with("wss:") {
            // Anew each time: the machine's authorities may have changed.
            let tls = tls::client(self.supervisor.certificate)
                .map_err(|error| Error::Io(std::io::Error::other(error)))?;
            Connector::Rustls(tls)
        } else {
            Connector::Plain
        };
        let attempt = connect_async_tls_with_config(url, Some(config), true, Some(connector));
        let late = || Error::Io(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let (socket, _response) = tokio::time::timeout(CONNECT_LIMIT, attempt)
            .await
            .map_err(|_| late())??;
        Ok(socket)
    }

    /// The first failure is said, and then every tenth: a supervisor may be away for days.
    fn tell_failure(&mut self, error: &Error) {
        if self.failures.is_multiple_of(10) {
            warn!(
                "the supervisor at {} is not there ({error}); trying again",
                self.supervisor.url
            );
        }
        self.failures += 1;
    }

    /// The socket was closed, so long after the supervisor had taken us in if it had.
    fn closed(&mut self, settled: Option<Duration>) {
        let short = settled.filter(|&settled| settled < HOLDS);
        match short {
            Some(after) if self.short.is_multiple_of(10) => warn!(
                "the supervisor took this peer in and closed the connection {} ms later; trying again, less and \
                 less often. One that is older than this program may not know what it was told",
                after.as_millis()
            ),
            None if self.failures == 0 => {
                warn!("the connection to the supervisor is lost; streams go on, connecting again");
            }
            _ => {}
        }
        if settled.is_some() {
            match short {
                Some(_) => self.short += 1,
                None => (self.pause, self.short) = (FIRST_PAUSE, 0),
            }
        }
        self.failures += 1;
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause.mul_f64(rand::rng().random_range(0.5..1.0));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        pause
    }

    async fn converse(&mut self, mut socket: Socket) -> End {
        // Only one that takes us in counts: one that refuses us is asked less and less often, and quietly.
        if self.failures == 0 {
            info!("connected to the supervisor at {}", self.supervisor.url);
        }
        // What was meant for the socket before is stale.
        while self.from_node.try_recv().is_ok() {}
        if self.to_node.send(FromSupervisor::Up).await.is_err() {
            return End::NodeGone;
        }
        let end = self.carry(&mut socket).await;
        let _ = socket.close(None).await; // it may be closed already
        if matches!(end, End::NodeGone) {
            // A socket closed on what it has not read is reset, and what it sent last may be lost with it.
            let read_on = async { while let Some(Ok(_)) = socket.next().await {} };
            let _ = tokio::time::timeout(GOODBYE, read_on).await; // we have said what we had to
        }
        match end {
            End::Closed if self.to_node.send(FromSupervisor::Down).await.is_ok() => End::Closed,
            _ => End::NodeGone,
        }
    }

    async fn carry(&mut self, socket: &mut Socket) -> End {
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if self.to_node.send(FromSupervisor::Text(text.as_str().to_owned())).await.is_err() {
                            return End::NodeGone;
                        }
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Binary(_) | Message::Close(_)) | Err(_)) | None => return End::Closed,
                },
                order = self.from_node.recv() => match order {
                    Some(ToSupervisor::Text(text)) => {
                        if socket.send(Message::text(text)).await.is_err() {
                            return End::Closed;
                        }
                    }
                    Some(ToSupervisor::Settled) => (self.settled, self.failures) = (Some(Instant::now()), 0),
                    Some(ToSupervisor::HangUp) => return End::Closed,
                    None => return End::NodeGone,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Task {
        Task {
            supervisor: Supervisor::at(""),
            to_node: mpsc::channel(1).0,
            from_node: mpsc::channel(1).1,
            pause: FIRST_PAUSE,
            failures: 0,
            short: 0,
            settled: None,
        }
    }

    #[test]
    fn a_supervisor_that_hangs_up_on_whom_it_took_in_is_asked_less_and_less_often() {
        let mut task = task();
        for _ in 0..10 {
            task.closed(Some(Duration::from_millis(3)));
            task.next_pause();
        }
        assert_eq!(task.pause, LONGEST_PAUSE);
        task.closed(Some(HOLDS));
        assert!(task.next_pause() < FIRST_PAUSE);
    }

    #[test]
    fn pauses_grow_to_their_bound_and_no_two_peers_wait_equally_long() {
        let mut task = task();
        let pauses: Vec<Duration> = (0..40).map(|_| task.next_pause()).collect();
        assert!(pauses[0] < FIRST_PAUSE);
        assert!(pauses.iter().all(|&pause| pause < LONGEST_PAUSE));
        assert!(pauses[10..].iter().all(|&pause| pause >= LONGEST_PAUSE / 2));
        let mut last = pauses[10..].to_vec();
        last.sort_unstable();
        last.dedup();
        assert!(last.len() > 20, "{last:?}");
    }
}
