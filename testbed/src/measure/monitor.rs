//! What the monitor costs the supervisor: its processor time while nobody watches, and while somebody does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::audience::Audience;
use crate::stage::{Process, Stage, TEST_PICTURE};

/// Those who came in are certified, placed and backed up by then. Guess.
const SETTLED: Duration = Duration::from_secs(10);

/// Shares of one core.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// While nobody watches: the mean of before and after.
    pub alone: f64,
    /// While one page of the monitor is open.
    pub watched: f64,
    /// Events that it was told.
    pub events: usize,
}

/// Lets `viewers` watch a stream below one relay; measures for `length` each before, while and after the stream's events
/// are followed as the page follows them.
pub fn monitor(viewers: u32, length: Duration) -> anyhow::Result<Cost> {
    let stage = Stage::new()?;
    let supervisor = stage.supervisor()?;
    let _relay = stage.relay("relay", 1_000_000)?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let _audience = Audience::new(&stage, viewers)?;
    let token = stage.command(&["operator-token"])?;
    let streams = stage.ask_as_operator(token.trim(), "GET", "/api/streams", "")?;
    let stream = streams["streams"][0]["stream"].as_str();
    let stream = stream.context("there is no stream")?;
    sleep(SETTLED);
    let before = share(&supervisor, length);
    let watcher = Watcher::open(stage.port(), token.trim(), stream)?;
    let watched = share(&supervisor, length);
    let events = watcher.events.load(Ordering::Relaxed);
    anyhow::ensure!(events > 0, "the watcher was told nothing");
    drop(watcher);
    let after = share(&supervisor, length);
    Ok(Cost {
        alone: f64::midpoint(before, after),
        watched,
        events,
    })
}

/// Of one core, in the time to come.
fn share(process: &Process, length: Duration) -> f64 {
    let (began, before) = (Instant::now(), process.cpu_seconds());
    sleep(length);
    (process.cpu_seconds() - before) / began.elapsed().as_secs_f64()
}

/// Follows a stream's events until dropped.
struct Watcher {
    socket: TcpStream,
    events: Arc<AtomicUsize>,
}

impl Watcher {
    fn open(port: u16, token: &str, stream: &str) -> anyhow::Result<Self> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        let request = format!(
            "GET /api/events?stream={stream} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        socket.write_all(request.as_bytes())?;
        let events = Arc::new(AtomicUsize::new(0));
        let (lines, told) = (BufReader::new(socket.try_clone()?).lines(), events.clone());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                told.fetch_add(usize::from(line.starts_with("event:")), Ordering::Relaxed);
            }
        });
        Ok(Self { socket, events })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both); // the other side may have
    }
}
