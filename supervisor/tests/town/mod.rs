//! A supervisor as a process, and peers on real WebSockets.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use protocol::id::{Fingerprint, PeerId, StreamId};
use protocol::media::{Codec, Track};
use protocol::security::auth::{Acceptance, Candidate, CandidateConfig, CandidateOutput, Input};
use protocol::security::local::EllipticKey;
use protocol::security::otdp::signer;
use protocol::security::secret::{HandshakeSeed, Seed};
use protocol::security::token::JoinToken;
use protocol::signal::{
    Access, Component, FromPeer, PeerInfo, Refusal, Registration, StreamTrack, ToPeer, VERSIONS,
};
use protocol::time::Time;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
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
    pub(crate) log: Log,
    pub(crate) home: Home,
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // A task of its own may panic while the program goes on.
        assert!(std::thread::panicking() || self.log.count("panicked at") == 0);
    }
}

/// Where a supervisor keeps what it has; removed when dropped.
#[derive(Clone)]
pub(crate) struct Home(Arc<TempDir>);

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        Self(Arc::new(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("supervisor.toml")
    }

    /// Writes a configuration.
    pub(crate) fn write(&self, config: &str) {
        let all = format!("state_dir = {:?}\n{config}", self.state());
        std::fs::write(self.config(), all).expect("a configuration for the test");
    }

    /// The program with these arguments, on its own.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
        command
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// One of its commands, to its end.
    pub(crate) async fn command(&self, line: &str) -> Said {
        let config = self.config();
        let mut arguments: Vec<&str> = line.split(' ').collect();
        arguments.extend(["--config", config.to_str().expect("UTF-8")]);
        let output = patiently(self.program(&arguments).output())
            .await
            .expect("it starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Said {
            well: output.status.success(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) well: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        assert!(self.well, "{self:?}");
        serde_json::from_str(&self.out).expect("JSON")
    }
}

/// What a program has logged until now.
#[derive(Clone)]
pub(crate) struct Log(watch::Receiver<Vec<String>>);

impl Log {
    fn follow(process: &mut Child) -> Self {
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let (sender, receiver) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("{line}"); // the log of a test that fails is shown
                sender.send_modify(|all| all.push(line));
            }
        });
        Self(receiver)
    }

    /// What stands behind these words in the first line that has them; waits for it.
    pub(crate) async fn after(&self, words: &str) -> String {
        let mut lines = self.0.clone();
        let found = |all: &Vec<String>| all.iter().any(|line| line.contains(words));
        let lines = patiently(lines.wait_for(found)).await;
        let lines = lines.unwrap_or_else(|_| panic!("it ended and never said {words:?}"));
        let line = lines.iter().find_map(|line| line.split_once(words));
        line.expect("just found").1.trim().to_owned()
    }

    pub(crate) fn count(&self, words: &str) -> usize {
        let lines = self.0.borrow();
        lines.iter().filter(|line| line.contains(words)).count()
    }
}

/// Writes a configuration and starts the program with it.
pub(crate) fn start(config: &str) -> (Child, Home) {
    let home = Home::new();
    home.write(config);
    (launch(&home), home)
}

fn launch(home: &Home) -> Child {
    let config = home.config();
    home.program(&[config.to_str().expect("UTF-8")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the supervisor starts")
}

impl Supervisor {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// On a port of the system's choice, which it tells.
    pub(crate) async fn start_with(more: &str) -> Self {
        let home = Home::new();
        let own = "listen = \"127.0.0.1:0\"\nmetrics = \"off\"";
        home.write(&format!("{own}\n{more}"));
        Self::start_in(home).await
    }

    /// As that home's configuration says.
    pub(crate) async fn start_in(home: Home) -> Self {
        let mut process = launch(&home);
        let log = Log::follow(&mut process);
        let place = log.after("serving pages and peers on ").await;
        let (_, address) = place.split_once("://").expect("a scheme");
        Self {
            process,
            address: address.parse().expect("an address"),
            log,
            home,
        }
    }

    /// SIGKILL, and what it leaves behind.
    pub(crate) async fn die(mut self) -> Home {
        self.process.kill().await.expect("it runs");
        self.home.clone()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().expect("it runs");
        let sent = std::process::Command::new("kill")
            .args([format!("-{name}"), pid.to_string()])
            .status();
        assert!(sent.expect("kill is there").success());
    }

    pub(crate) async fn connect(&self) -> Socket {
        let (socket, _) = patiently(connect_async(format!("ws://{}/peer", self.address)))
            .await
            .expect("accepted");
        Socket(socket)
    }

    /// A peer that is in.
    pub(crate) async fn peer(&self, n: u16, component: Component) -> Socket {
        let token = match component {
            Component::Receiver => None,
            Component::Relay => Some(self.token("relay").await),
            Component::Broadcaster => Some(self.token("broadcaster").await),
        };
        let candidate = candidate(n, component, token.as_ref());
        let mut socket = self.connect().await;
        socket
            .proves(candidate, &private_key(n))
            .await
            .expect("it is let in");
        socket
    }

    /// A join token, as an operator makes one.
    pub(crate) async fn token(&self, role: &str) -> JoinToken {
        let made = self
            .home
            .command(&format!("token create --role {role}"))
            .await;
        assert!(made.well, "{made:?}");
        made.out.trim().parse().expect("a join token")
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

    /// A connection, and nothing said on it.
    pub(crate) async fn visit(&self) -> TcpStream {
        patiently(TcpStream::connect(self.address))
            .await
            .expect("it listens")
    }

    /// Head and body of an answer over plain HTTP.
    pub(crate) async fn get(&self, path: &str) -> (String, String) {
        self.ask("GET", path, "").await
    }

    /// The same, with more lines in the head, each with its end.
    pub(crate) async fn ask(&self, method: &str, path: &str, more: &str) -> (String, String) {
        ask(self.visit().await, method, path, more, "").await
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

/// Asks on a fresh connection, and reads until it closes.
pub(crate) async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    more: &str,
    body: &str,
) -> (String, String) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
         Content-Length: {}\r\n{more}\r\n{body}",
        body.len()
    );
    let mut answer = Vec::new();
    patiently(async {
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

/// One peer's WebSocket.
pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn says(&mut self, message: &FromPeer) {
        self.sends(Message::text(message.to_text())).await;
    }

    pub(crate) async fn sends(&mut self, message: Message) {
        self.0.send(message).await.expect("the supervisor reads");
    }

    /// The next message; none when the socket is closed. Streams' keys are passed over.
    pub(crate) async fn next(&mut self) -> Option<ToPeer> {
        loop {
            let message =
                ToPeer::parse(&self.next_text().await?).expect("a message of the protocol");
            if !matches!(message, ToPeer::StreamKey { .. }) {
                return Some(message);
            }
        }
    }

    /// The next message as it came; none when the socket is closed.
    pub(crate) async fn next_text(&mut self) -> Option<String> {
        loop {
            match patiently(self.0.next()).await? {
                Ok(Message::Text(text)) => return Some(text.as_str().to_owned()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Goes through the handshake; gives what it is let in with, or why it is not.
    pub(crate) async fn proves(
        &mut self,
        candidate: CandidateConfig,
        key: &EllipticKey,
    ) -> Result<Acceptance, (Refusal, String)> {
        let now = Time::ZERO; // deadlines are the supervisor's to watch here
        let mut candidate = Candidate::new(candidate, now, HandshakeSeed::from_bytes([9; 32]));
        let mut steps = Vec::new();
        loop {
            for step in std::mem::take(&mut steps) {
                match step {
                    CandidateOutput::Say(text) => self.sends(Message::text(text)).await,
                    CandidateOutput::Task(task) => {
                        let answer = key.answer(&task);
                        let answer = answer.as_ref().map(|bytes| bytes.as_slice());
                        candidate.handle(now, Input::TaskDone(answer), &mut steps);
                    }
                    CandidateOutput::Accepted(acceptance) => return Ok(*acceptance),
                    CandidateOutput::Refused(refusal, words) => return Err((refusal, words)),
                    CandidateOutput::HangUp(words) => panic!("{words}"),
                }
            }
            if steps.is_empty() {
                let text = self.next_text().await.expect("the socket is open");
                candidate.handle(now, Input::Text(&text), &mut steps);
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

/// Peer n's private key.
pub(crate) fn private_key(n: u16) -> EllipticKey {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&n.to_be_bytes());
    EllipticKey::new(Seed::from_bytes(seed))
}

/// What peer n goes into the handshake with.
pub(crate) fn candidate(
    n: u16,
    component: Component,
    token: Option<&JoinToken>,
) -> CandidateConfig {
    CandidateConfig {
        info: info(n, component),
        keys: vec![private_key(n).public_key()],
        token: token.map(|token| token.secret.clone()),
        pin: token.map(|token| token.authority),
        newest_term: 0,
    }
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
        signing_key: (component == Component::Broadcaster)
            .then(|| signer(&Seed::from_bytes([8; 32]))),
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
        access: Access::Public,
        running_key: None,
        allow_failures: false,
    }
}

pub(crate) const JOIN: FromPeer = FromPeer::Join {
    stream: STREAM,
    parent: None,
    invitation: None,
};
