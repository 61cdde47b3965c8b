//! A supervisor as a process, and peers on real WebSockets.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use protocol::id::{Fingerprint, PeerId, StreamId};
use protocol::media::{Codec, Track};
use protocol::signal::{
    Component, FromPeer, PeerInfo, Registration, StreamTrack, ToPeer, VERSIONS,
};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Nothing is slower than this unless it is broken; nothing is asserted about it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must come.
pub(crate) async fn patiently<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it must come")
}

/// A running supervisor; killed when dropped.
pub(crate) struct Supervisor {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    dir: PathBuf,
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Writes a configuration and starts the program with it.
pub(crate) fn start(config: &str) -> (Child, PathBuf) {
    static DIRS: AtomicU32 = AtomicU32::new(0);
    let number = DIRS.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("supervisor-test-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory for the test");
    let path = dir.join("supervisor.toml");
    std::fs::write(&path, config).expect("a configuration for the test");
    let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
    command
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    (command.spawn().expect("the supervisor starts"), dir)
}

impl Supervisor {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// On a port of the system's choice, which it tells.
    pub(crate) async fn start_with(more: &str) -> Self {
        let (mut process, dir) = start(&format!("listen = \"127.0.0.1:0\"\n{more}"));
        let mut log = BufReader::new(process.stderr.take().expect("piped")).lines();
        let address = patiently(async {
            loop {
                let line = log
                    .next_line()
                    .await
                    .expect("readable")
                    .expect("it says where it listens");
                if let Some((_, address)) = line.split_once("http://") {
                    break address.trim().parse().expect("an address");
                }
            }
        });
        let address = address.await;
        // The log of a test that fails is shown.
        tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                eprintln!("{line}");
            }
        });
        Self {
            process,
            address,
            dir,
        }
    }

    pub(crate) async fn connect(&self) -> Socket {
        let (socket, _) = patiently(connect_async(format!("ws://{}/peer", self.address)))
            .await
            .expect("accepted");
        Socket(socket)
    }

    /// A peer that is in.
    pub(crate) async fn peer(&self, n: u16, component: Component) -> Socket {
        let mut socket = self.connect().await;
        assert!(matches!(
            socket.hears().await,
            ToPeer::CollectPeerInfoRequest { .. }
        ));
        socket
            .says(&FromPeer::CollectPeerInfoResponse(info(n, component)))
            .await;
        assert!(matches!(socket.hears().await, ToPeer::PeerAccepted { .. }));
        socket
    }

    /// A broadcaster on the air.
    pub(crate) async fn broadcaster(&self, n: u16) -> Socket {
        let mut broadcaster = self.peer(n, Component::Broadcaster).await;
        broadcaster.says(&FromPeer::RegisterStream(offer())).await;
        assert!(matches!(
            broadcaster.hears().await,
            ToPeer::StreamRegistered { .. }
        ));
        broadcaster
    }

    /// Head and body of an answer over plain HTTP.
    pub(crate) async fn get(&self, path: &str) -> (String, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        patiently(async {
            let mut stream = TcpStream::connect(self.address).await.expect("it listens");
            stream
                .write_all(request.as_bytes())
                .await
                .expect("it reads");
            stream.read_to_end(&mut answer).await.expect("it answers");
        })
        .await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        (head.to_owned(), body.to_owned())
    }

    pub(crate) async fn health(&self) -> Value {
        serde_json::from_str(&self.get("/health").await.1).expect("JSON")
    }

    /// Open files of the process.
    pub(crate) fn open_files(&self) -> usize {
        let pid = self.process.id().expect("it runs");
        std::fs::read_dir(format!("/proc/{pid}/fd"))
            .expect("it runs")
            .count()
    }
}

/// One peer's WebSocket.
pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn says(&mut self, message: &FromPeer) {
        self.sends(Message::text(message.to_text())).await;
    }

    pub(crate) async fn sends(&mut self, message: Message) {
        self.0.send(message).await.expect("the supervisor reads");
    }

    /// The next message; none when the socket is closed.
    pub(crate) async fn next(&mut self) -> Option<ToPeer> {
        loop {
            match patiently(self.0.next()).await? {
                Ok(Message::Text(text)) => {
                    return Some(ToPeer::parse(&text).expect("a message of the protocol"));
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn hears(&mut self) -> ToPeer {
        self.next().await.expect("the socket is open")
    }

    /// Says that it is here, and reads all it was told until that is answered.
    pub(crate) async fn is_alive(&mut self) {
        self.says(&FromPeer::TimeRequest { sent_us: 0 }).await;
        loop {
            match self.hears().await {
                ToPeer::TimeResponse { .. } => break,
                ToPeer::PeerRefused { words, .. } => panic!("refused: {words}"),
                _ => {}
            }
        }
    }

    /// Says nothing any more, and waits for the socket to close; returns what was heard last.
    pub(crate) async fn hears_to_the_end(&mut self) -> Option<ToPeer> {
        let mut last = None;
        while let Some(message) = self.next().await {
            last = Some(message);
        }
        last
    }

    pub(crate) async fn hangs_up(mut self) {
        let _ = self.0.close(None).await;
        while let Some(Ok(_)) = patiently(self.0.next()).await {}
    }
}

pub(crate) const STREAM: StreamId = StreamId::from_bytes([7; 16]);

pub(crate) fn id(n: u16) -> PeerId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(bytes)
}

pub(crate) fn info(n: u16, component: Component) -> PeerInfo {
    PeerInfo {
        versions: VERSIONS,
        peer: id(n),
        component,
        fingerprint: Fingerprint::from_bytes([n as u8; 32]),
        uplink_kbps: 20_000,
        relays: true,
        software: "test".into(),
        name: None,
        public_key: None,
        suites: vec![],
        signing_key: None,
    }
}

pub(crate) fn offer() -> Registration {
    Registration {
        stream: STREAM,
        name: "garden".into(),
        tracks: vec![StreamTrack {
            track: Track::Video,
            codec: Codec::Vp8,
        }],
        kbps: 1000,
        running_epoch: None,
        topology: None,
    }
}

pub(crate) const JOIN: FromPeer = FromPeer::Join {
    stream: STREAM,
    parent: None,
};
