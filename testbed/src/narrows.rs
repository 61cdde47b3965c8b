//! A slow uplink for one real program: its media goes through a bottleneck of our own, where datagrams leave one after
//! the other at a rate that can be changed, and are lost when too many wait, as at a home router.
//!
//! It stands in the way by way of signalling: the program's candidates are told to its children with the bottleneck's
//! port, and it is told none of theirs, so that there is no other way between them. What goes to the program is not held up.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use protocol::signal::{FromPeer, ToPeer};
use serde_json::Value;
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::tap::{Tap, Towards};

/// What waits before the bottleneck, as time: more is lost. Guess: less than home routers keep.
const QUEUE: Duration = Duration::from_millis(500);
/// Datagrams that may be on their way to the bottleneck; lost beyond it by time, not by this.
const CAPACITY: usize = 8_192;
/// Larger than any datagram of ours.
const LARGEST: usize = 2_048;

/// The bottleneck, and the man in the middle of signalling that leads there. Ends when dropped.
#[derive(Debug)]
pub struct Narrows {
    tap: Tap,
    line: Arc<Line>,
    runtime: Option<Runtime>,
}

impl Narrows {
    /// Between a program and the supervisor at `url`, and between the program and its children; carries `kbps`.
    pub fn start(url: &str, kbps: u32) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let outside = Arc::new(runtime.block_on(UdpSocket::bind("127.0.0.1:0"))?);
        let port = outside.local_addr()?.port();
        let (inside, program) = watch::channel(None);
        let line = Arc::new(Line::new(kbps));
        runtime.spawn(carry(outside, program, Arc::clone(&line)));
        let tap = Tap::start(url, move |towards, text| match towards {
            Towards::Supervisor => outward(text, port, &inside),
            Towards::Peer => inward(text),
        })?;
        Ok(Self {
            tap,
            line,
            runtime: Some(runtime),
        })
    }

    /// Where the program finds the supervisor.
    pub fn url(&self) -> String {
        self.tap.url()
    }

    /// Carries so much from here on, kbit/s.
    pub fn carries(&self, kbps: u32) {
        self.line.kbps.store(kbps.max(1), Ordering::Relaxed);
    }

    /// Datagrams that were lost, for too many waited.
    pub fn lost(&self) -> u64 {
        self.line.lost.load(Ordering::Relaxed)
    }

    /// Bytes that went through.
    pub fn carried(&self) -> u64 {
        self.line.carried.load(Ordering::Relaxed)
    }
}

impl Drop for Narrows {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// The program's candidate on this machine, with the bottleneck's port; no other.
fn outward(
    text: &str,
    port: u16,
    inside: &watch::Sender<Option<SocketAddr>>,
) -> Vec<(Towards, String)> {
    let pass = |text: String| vec![(Towards::Supervisor, text)];
    let Ok(FromPeer::LinkCandidate(mut told)) = FromPeer::parse(text) else {
        return pass(text.to_owned());
    };
    let Some((body, address)) = led_to(&told.body, port) else {
        return Vec::new();
    };
    inside.send_replace(Some(address));
    told.body = body;
    pass(FromPeer::LinkCandidate(told).to_text())
}

/// A candidate with another port, and the address that it had; none for another address than loopback's.
fn led_to(body: &str, port: u16) -> Option<(String, SocketAddr)> {
    let mut json: Value = serde_json::from_str(body).ok()?;
    let line = json["candidate"].as_str()?.to_owned();
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let (ip, own) = (words.get(4)?.parse().ok()?, words.get(5)?.parse().ok()?);
    let address = SocketAddr::new(ip, own);
    words[5] = port.to_string();
    json["candidate"] = Value::String(words.join(" "));
    (ip == std::net::Ipv4Addr::LOCALHOST).then(|| (json.to_string(), address))
}

/// All but candidates: the children's own checks come through the bottleneck.
fn inward(text: &str) -> Vec<(Towards, String)> {
    match ToPeer::parse(text) {
        Ok(ToPeer::LinkCandidate(_)) => Vec::new(),
        _ => vec![(Towards::Peer, text.to_owned())],
    }
}

/// What the bottleneck carries and has carried.
#[derive(Debug)]
struct Line {
    kbps: AtomicU32,
    lost: AtomicU64,
    carried: AtomicU64,
}

impl Line {
    fn new(kbps: u32) -> Self {
        Self {
            kbps: AtomicU32::new(kbps.max(1)),
            lost: AtomicU64::new(0),
            carried: AtomicU64::new(0),
        }
    }

    /// How long it is busy with so many bytes; IP and UDP have 28 of their own.
    fn busy(&self, bytes: usize) -> Duration {
        let bits = (bytes as u64 + 28) * 8_000;
        Duration::from_micros(bits / u64::from(self.kbps.load(Ordering::Relaxed)))
    }
}

type Waiting = (SocketAddr, Vec<u8>);

/// A child's way in, each by a socket of its own, by which the program tells them apart; and the one way out for all.
async fn carry(
    outside: Arc<UdpSocket>,
    program: watch::Receiver<Option<SocketAddr>>,
    line: Arc<Line>,
) -> anyhow::Result<()> {
    let (wait, waiting) = mpsc::channel(CAPACITY);
    tokio::spawn(leave(Arc::clone(&outside), waiting, line));
    let mut children: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
    let mut buffer = [0; LARGEST];
    loop {
        // Errors are news of single addresses that are gone.
        let Ok((length, child)) = outside.recv_from(&mut buffer).await else {
            continue;
        };
        let Some(to) = *program.borrow() else {
            continue;
        };
        let own = match children.entry(child) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let own = Arc::new(UdpSocket::bind("127.0.0.1:0").await.context("a socket")?);
                tokio::spawn(enter(Arc::clone(&own), child, wait.clone()));
                new.insert(own)
            }
        };
        let _ = own.send_to(&buffer[..length], to).await; // it may have ended
    }
}

/// What the program sends to one child.
async fn enter(own: Arc<UdpSocket>, child: SocketAddr, wait: mpsc::Sender<Waiting>) {
    let mut buffer = [0; LARGEST];
    loop {
        let Ok((length, _)) = own.recv_from(&mut buffer).await else {
            continue;
        };
        if wait.is_closed() {
            return;
        }
        let _ = wait.try_send((child, buffer[..length].to_vec())); // lost
    }
}

/// One after the other, each when the one before is out.
async fn leave(outside: Arc<UdpSocket>, mut waiting: mpsc::Receiver<Waiting>, line: Arc<Line>) {
    let mut queue: VecDeque<(Instant, SocketAddr, Vec<u8>)> = VecDeque::new();
    let mut free_at = Instant::now();
    loop {
        let out = async {
            match queue.front() {
                Some((at, ..)) => tokio::time::sleep_until(*at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = out => {
                let Some((_, child, datagram)) = queue.pop_front() else { continue };
                line.carried.fetch_add(datagram.len() as u64, Ordering::Relaxed);
                let _ = outside.send_to(&datagram, child).await; // who is gone hears nothing
            }
            next = waiting.recv() => {
                let Some((child, datagram)) = next else { return };
                let now = Instant::now();
                if free_at > now + QUEUE {
                    line.lost.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                free_at = free_at.max(now) + line.busy(datagram.len());
                queue.push_back((free_at, child, datagram));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_led_to_the_bottleneck_and_none_goes_past_it() {
        let told = |address: &str| {
            let line = format!("candidate:1 1 udp 2130706431 {address} 5000 typ host");
            serde_json::json!({ "candidate": line, "sdpMid": "0" }).to_string()
        };
        let (body, address) = led_to(&told("127.0.0.1"), 7).expect("loopback's");
        assert_eq!(address, SocketAddr::from(([127, 0, 0, 1], 5000)));
        assert!(
            body.contains("2130706431 127.0.0.1 7 typ host") && body.contains("sdpMid"),
            "{body}"
        );
        assert_eq!(led_to(&told("192.0.2.1"), 7), None);
        assert_eq!(led_to(&told("::1"), 7), None);
        assert_eq!(led_to("null", 7), None);
    }
}
