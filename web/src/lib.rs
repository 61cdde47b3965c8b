//! The browser's peer: `protocol`'s machines behind one class for the page's JavaScript.
//!
//! The page says what happened, and gets back a list of orders to carry out, in order; it decides nothing. Chunks
//! go from the node to the player in here, so that only what is appended or sent crosses to JavaScript. No clock
//! and no source of randomness: the page gives both.

mod orders;
mod stats;

use bytes::Bytes;
use js_sys::Array;
use protocol::id::{LinkId, PeerId, StreamId};
use protocol::media::Track;
use protocol::node::{self, Config, Event, MOST_LANES, Node, Security};
use protocol::playback::{self, Element};
use protocol::security::boxes::KeyTask;
use protocol::security::local::EllipticKey;
use protocol::security::secret::{HandshakeSeed, Seed};
use protocol::security::suite::PublicKey;
use protocol::signal::Component;
use protocol::time::{ClockMap, Time};
use protocol::viewer::Viewer;
use wasm_bindgen::prelude::*;
use zeroize::Zeroizing;

use orders::Orders;

/// How often the player's figures go into the peer's report. Guess: the report itself goes every two seconds.
const REPORT_EVERY_MS: u64 = 1_000;

/// A viewer in a page: its peer, and its player while it watches a stream.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Peer {
    node: Node,
    /// Our elliptic key, if the browser holds none for us.
    key: Option<EllipticKey>,
    viewer: Option<Viewer>,
    own_clock: Option<ClockMap>,
    report_at: Time,
}

/// Milliseconds of `performance.now()`, as the machines take time.
fn time(now_ms: f64) -> Time {
    Time::from_micros((now_ms * 1000.0) as u64)
}

/// Seconds of media time, as the machines take it.
fn micros(seconds: f64) -> u64 {
    (seconds * 1_000_000.0) as u64
}

fn link(text: &str) -> Result<LinkId, JsError> {
    u64::from_str_radix(text, 16)
        .map(LinkId)
        .map_err(|e| JsError::new(&format!("{text:?} is no link: {e}")))
}

fn stream(text: &str) -> Result<StreamId, JsError> {
    Ok(text.parse::<StreamId>()?)
}

#[wasm_bindgen]
impl Peer {
    /// A peer named by 16 random bytes, which makes link names out of 8 more; shows the DTLS certificate with this
    /// SHA-256 `fingerprint`; can send `uplink_kbps`, and does so if `relays`. `public_key`: of the elliptic key that
    /// the browser holds, 32 bytes; if there is none, a key of our own is made out of 32 random bytes more.
    #[wasm_bindgen(constructor)]
    pub fn new(
        now_ms: f64,
        random: &[u8],
        fingerprint: &str,
        public_key: &[u8],
        uplink_kbps: u32,
        relays: bool,
        software: String,
    ) -> Result<Self, JsError> {
        let (name, rest) = random
            .split_first_chunk::<16>()
            .ok_or_else(|| JsError::new("56 random bytes, please"))?;
        let (seed, rest) = rest
            .split_first_chunk::<8>()
            .ok_or_else(|| JsError::new("56 random bytes, please"))?;
        let secret = rest
            .first_chunk::<32>()
            .ok_or_else(|| JsError::new("56 random bytes, please"))?;
        let (key, public) = match <[u8; 32]>::try_from(public_key) {
            Ok(held) => (None, PublicKey::Elliptic(held)),
            Err(_) => {
                let key = EllipticKey::new(Seed::from_bytes(*secret));
                let public = key.public_key();
                (Some(key), public)
            }
        };
        let config = Config {
            peer: PeerId::from_bytes(*name),
            component: Component::Receiver,
            fingerprint: fingerprint.parse()?,
            uplink_kbps,
            relays,
            software,
            name: None,
            lanes: MOST_LANES,
            seed: u64::from_be_bytes(*seed),
            security: Some(Security {
                keys: vec![public],
                signing_key: None,
                token: None,
                // The page's own origin is what it trusts: over https that is proven, over http nothing is.
                pin: None,
                threshold: 1.0,
            }),
        };
        let node = Node::new(config, time(now_ms));
        Ok(Self {
            node,
            key,
            viewer: None,
            own_clock: None,
            report_at: Time::ZERO,
        })
    }

    /// The socket to the supervisor is open. `random`: 32 random bytes, for this handshake alone.
    #[wasm_bindgen(js_name = supervisorUp, unchecked_return_type = "Order[]")]
    pub fn supervisor_up(&mut self, now_ms: f64, random: &[u8]) -> Result<Array, JsError> {
        let random = random
            .try_into()
            .map_err(|_| JsError::new("32 random bytes, please"))?;
        let seed = HandshakeSeed::from_bytes(random);
        Ok(self.peer(now_ms, node::Input::SupervisorUp(seed)))
    }

    /// The browser holds an RSA key as well, with this public half (DER): it is shown from the next handshake on.
    #[wasm_bindgen(js_name = addRsaKey)]
    pub fn add_rsa_key(&mut self, der: Vec<u8>) {
        self.node.add_key(PublicKey::Rsa(der));
    }

    /// The answer to an order to use a key; none if it cannot be done.
    #[wasm_bindgen(js_name = taskDone, unchecked_return_type = "Order[]")]
    pub fn task_done(&mut self, now_ms: f64, task: f64, answer: Option<Vec<u8>>) -> Array {
        // A share that agrees on zero with everybody's key (RFC 7748 §6.1); not every browser refuses it.
        let answer = answer.filter(|bytes| bytes.iter().any(|&byte| byte != 0));
        let input = node::Input::TaskDone(task as u64, answer.map(Zeroizing::new));
        self.peer(now_ms, input)
    }

    /// It is closed.
    #[wasm_bindgen(js_name = supervisorDown, unchecked_return_type = "Order[]")]
    pub fn supervisor_down(&mut self, now_ms: f64) -> Array {
        self.peer(now_ms, node::Input::SupervisorDown)
    }

    /// A text came over it.
    #[wasm_bindgen(js_name = supervisorText, unchecked_return_type = "Order[]")]
    pub fn supervisor_text(&mut self, now_ms: f64, text: String) -> Array {
        self.peer(now_ms, node::Input::SupervisorText(text))
    }

    /// The connection's own offer or answer.
    #[wasm_bindgen(js_name = localDescription, unchecked_return_type = "Order[]")]
    pub fn local_description(
        &mut self,
        now_ms: f64,
        of: &str,
        sdp: String,
    ) -> Result<Array, JsError> {
        Ok(self.peer(now_ms, node::Input::LocalDescription(link(of)?, sdp)))
    }

    /// One of its own candidates, as JSON.
    #[wasm_bindgen(js_name = localCandidate, unchecked_return_type = "Order[]")]
    pub fn local_candidate(
        &mut self,
        now_ms: f64,
        of: &str,
        candidate: String,
    ) -> Result<Array, JsError> {
        Ok(self.peer(now_ms, node::Input::LocalCandidate(link(of)?, candidate)))
    }

    /// Both its channels are open.
    #[wasm_bindgen(js_name = linkOpen, unchecked_return_type = "Order[]")]
    pub fn link_open(&mut self, now_ms: f64, of: &str) -> Result<Array, JsError> {
        Ok(self.peer(now_ms, node::Input::LinkOpen(link(of)?)))
    }

    /// A message came over its control channel.
    #[wasm_bindgen(unchecked_return_type = "Order[]")]
    pub fn control(&mut self, now_ms: f64, of: &str, message: Vec<u8>) -> Result<Array, JsError> {
        Ok(self.peer(
            now_ms,
            node::Input::Control(link(of)?, Bytes::from(message)),
        ))
    }

    /// A message came over its media channel.
    #[wasm_bindgen(unchecked_return_type = "Order[]")]
    pub fn media(&mut self, now_ms: f64, of: &str, message: Vec<u8>) -> Result<Array, JsError> {
        Ok(self.peer(now_ms, node::Input::Media(link(of)?, Bytes::from(message))))
    }

    /// Its media channel has this many bytes yet to deliver.
    #[wasm_bindgen(unchecked_return_type = "Order[]")]
    pub fn backlog(&mut self, now_ms: f64, of: &str, bytes: u32) -> Result<Array, JsError> {
        Ok(self.peer(now_ms, node::Input::Backlog(link(of)?, bytes as usize)))
    }

    /// It is gone.
    #[wasm_bindgen(js_name = linkClosed, unchecked_return_type = "Order[]")]
    pub fn link_closed(&mut self, now_ms: f64, of: &str, reason: String) -> Result<Array, JsError> {
        Ok(self.peer(now_ms, node::Input::LinkClosed(link(of)?, reason)))
    }

    /// The page wants the list of streams, and its changes.
    #[wasm_bindgen(js_name = listStreams, unchecked_return_type = "Order[]")]
    pub fn list_streams(&mut self, now_ms: f64) -> Array {
        self.peer(now_ms, node::Input::ListStreams)
    }

    /// The viewer wants to watch; with an invitation, if it has one.
    #[wasm_bindgen(unchecked_return_type = "Order[]")]
    pub fn watch(
        &mut self,
        now_ms: f64,
        id: &str,
        invitation: Option<String>,
    ) -> Result<Array, JsError> {
        let (id, now) = (stream(id)?, time(now_ms));
        let mut orders = Orders::new();
        self.leave(now, &mut orders);
        let mut viewer = Viewer::new(id, now);
        if let Some(map) = self.own_clock {
            viewer.news(now, &Event::Clock(map), &mut Vec::new());
        }
        self.viewer = Some(viewer);
        self.step(now, node::Input::Watch(id, invitation), &mut orders);
        Ok(orders.done())
    }

    /// The viewer wants no more.
    #[wasm_bindgen(unchecked_return_type = "Order[]")]
    pub fn unwatch(&mut self, now_ms: f64) -> Array {
        let mut orders = Orders::new();
        self.leave(time(now_ms), &mut orders);
        orders.done()
    }

    /// Time has passed.
    #[wasm_bindgen(unchecked_return_type = "Order[]")]
    pub fn tick(&mut self, now_ms: f64) -> Array {
        let now = time(now_ms);
        let mut orders = Orders::new();
        self.report_viewing(now, &mut orders);
        self.step(now, node::Input::Tick, &mut orders);
        self.play(now, playback::Input::Tick, &mut orders);
        orders.done()
    }

    /// A look at the media element: seconds of media time at the play head, whether it is wanted to play, and where
    /// the hole ends that the play head is in or right before, if it is.
    #[wasm_bindgen(unchecked_return_type = "Order[]")]
    pub fn element(
        &mut self,
        now_ms: f64,
        position_s: f64,
        wants_to_play: bool,
        hole_ends_s: Option<f64>,
    ) -> Array {
        let element = Element {
            position_us: micros(position_s),
            wants_to_play,
            // Rounded up: right at its start a buffered stretch may not be found.
            hole_ends_us: hole_ends_s.map(|end| micros(end) + 1),
        };
        self.player(now_ms, playback::Input::Element(element))
    }

    /// The media source asked for is open and has its buffers.
    #[wasm_bindgen(js_name = sourceOpen, unchecked_return_type = "Order[]")]
    pub fn source_open(&mut self, now_ms: f64) -> Array {
        self.player(now_ms, playback::Input::SourceOpen)
    }

    /// It has failed for good.
    #[wasm_bindgen(js_name = sourceFailed, unchecked_return_type = "Order[]")]
    pub fn source_failed(&mut self, now_ms: f64) -> Array {
        self.player(now_ms, playback::Input::SourceFailed)
    }

    /// One of its buffers is full.
    #[wasm_bindgen(js_name = quotaExceeded, unchecked_return_type = "Order[]")]
    pub fn quota_exceeded(&mut self, now_ms: f64, track: &str) -> Array {
        let track = if track == "video" {
            Track::Video
        } else {
            Track::Audio
        };
        self.player(now_ms, playback::Input::QuotaExceeded(track))
    }

    /// Figures, as they are now.
    #[wasm_bindgen(unchecked_return_type = "Stats")]
    pub fn stats(&self, now_ms: f64) -> JsValue {
        stats::object(&self.node, self.viewer.as_ref(), time(now_ms))
    }

    fn peer(&mut self, now_ms: f64, input: node::Input) -> Array {
        let mut orders = Orders::new();
        self.step(time(now_ms), input, &mut orders);
        orders.done()
    }

    fn player(&mut self, now_ms: f64, input: playback::Input) -> Array {
        let mut orders = Orders::new();
        self.play(time(now_ms), input, &mut orders);
        orders.done()
    }

    /// One step of the node; what it has for the player goes there after all that is to be sent.
    fn step(&mut self, now: Time, input: node::Input, orders: &mut Orders) {
        let mut out = Vec::new();
        self.node.handle(now, input, &mut out);
        let mut news = Vec::new();
        for output in out {
            match output {
                node::Output::Event(event) => news.push(event),
                node::Output::KeyTask(number, task @ KeyTask::Agree { .. })
                    if self.key.is_some() =>
                {
                    let answer = self.key.as_ref().and_then(|key| key.answer(&task));
                    self.step(now, node::Input::TaskDone(number, answer), orders);
                }
                other => orders.of_node(other),
            }
        }
        for event in news {
            self.news(now, &event, orders);
        }
    }

    fn news(&mut self, now: Time, event: &Event, orders: &mut Orders) {
        if let Event::Clock(map) = event {
            self.own_clock = Some(*map);
        }
        if let Some(viewer) = &mut self.viewer {
            let mut out = Vec::new();
            viewer.news(now, event, &mut out);
            out.into_iter().for_each(|output| orders.of_player(output));
        }
        orders.of_event(event);
    }

    fn play(&mut self, now: Time, input: playback::Input, orders: &mut Orders) {
        let Some(viewer) = &mut self.viewer else {
            return;
        };
        let mut out = Vec::new();
        viewer.handle(now, input, &mut out);
        out.into_iter().for_each(|output| orders.of_player(output));
    }

    fn leave(&mut self, now: Time, orders: &mut Orders) {
        if let Some(viewer) = self.viewer.take() {
            self.step(now, node::Input::Unwatch(viewer.stream()), orders);
        }
    }

    fn report_viewing(&mut self, now: Time, orders: &mut Orders) {
        let Some(viewer) = &self.viewer else { return };
        if now >= self.report_at {
            self.report_at = now + core::time::Duration::from_millis(REPORT_EVERY_MS);
            let (stream, report) = (viewer.stream(), viewer.report(now));
            self.step(now, node::Input::Viewing(stream, report), orders);
        }
    }
}
