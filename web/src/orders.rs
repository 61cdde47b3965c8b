//! What the machines want done, as plain JavaScript objects: `{ do: "append", track: "video", bytes }`.

use bytes::Bytes;
use js_sys::{Array, Object, Reflect, Uint8Array};
use protocol::id::LinkId;
use protocol::media::{Codec, Track};
use protocol::node::{self, Event};
use protocol::playback;
use protocol::security::boxes::KeyTask;
use protocol::signal::{Failure, IceServer, StreamInfo};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
export type Track = "video" | "audio";
export interface StreamTrack { track: Track; codec: string; mime: string }
export interface Stream { stream: string; name: string; live: boolean; viewers: number; kbps: number; tracks: StreamTrack[] }

/** To be carried out by the page, in order. */
export type Order =
  | { do: "signal"; text: string }
  | { do: "hangUp"; reason: string }
  | { do: "connect"; link: string }
  | { do: "accept"; link: string; offer: string }
  | { do: "setAnswer"; link: string; answer: string }
  | { do: "addCandidate"; link: string; candidate: string }
  | { do: "sendControl"; link: string; bytes: Uint8Array<ArrayBuffer> }
  | { do: "sendMedia"; link: string; bytes: Uint8Array<ArrayBuffer> }
  | { do: "askBacklog"; link: string; high: number; low: number }
  | { do: "close"; link: string }
  | {
      do: "useKey"; task: number; how: "agree" | "open" | "seal";
      bytes: Uint8Array<ArrayBuffer>; label: string; to: Uint8Array<ArrayBuffer>;
    }
  | { do: "iceServers"; servers: RTCIceServer[] }
  | { do: "open"; tracks: StreamTrack[] }
  | { do: "append"; track: Track; bytes: Uint8Array<ArrayBuffer> }
  | { do: "abort"; track: Track }
  | { do: "remove"; track: Track; end: number }
  | { do: "seek"; to: number }
  | { do: "rate"; rate: number }
  | { do: "play" }
  | { do: "end" }
  | { do: "tell"; news: News };

/** For the page to show. */
export type News =
  | { of: "accepted" }
  | { of: "refused"; why: string; words: string }
  | { of: "streams"; streams: Stream[] }
  | { of: "streamRefused"; stream: string; why: string; words: string }
  | { of: "parent"; stream: string; parent: string | null }
  | { of: "epoch"; stream: string; epoch: number }
  | { of: "ended"; stream: string }
  | { of: "toldToFail"; how: "leave" | "kill" | "freeze" }
  | { of: "linkLost"; peer: string; reason: string }
  | { of: "started" | "stalled" | "resumed" | "rebuilt" | "finished" | "gaveUp" }
  | { of: "jumped"; seconds: number };
"#;

/// A list of orders in the making.
pub(crate) struct Orders {
    list: Array,
    /// The bytes that crossed to JavaScript last: a chunk crosses once, however many children it goes to.
    crossed: Option<(Bytes, Uint8Array)>,
}

/// A plain object in the making.
pub(crate) struct Plain(Object);

impl Plain {
    pub(crate) fn new() -> Self {
        Self(Object::new())
    }

    pub(crate) fn with(self, key: &str, value: impl Into<JsValue>) -> Self {
        Reflect::set(&self.0, &JsValue::from_str(key), &value.into())
            .expect("plain objects take any property");
        self
    }
}

impl From<Plain> for JsValue {
    fn from(plain: Plain) -> Self {
        plain.0.into()
    }
}

fn order(what: &str) -> Plain {
    Plain::new().with("do", what)
}

fn of_link(what: &str, link: LinkId) -> Plain {
    order(what).with("link", link.to_string())
}

fn of_track(what: &str, track: Track) -> Plain {
    order(what).with("track", track_name(track))
}

const fn track_name(track: Track) -> &'static str {
    match track {
        Track::Video => "video",
        Track::Audio => "audio",
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

impl Orders {
    pub(crate) fn new() -> Self {
        Self {
            list: Array::new(),
            crossed: None,
        }
    }

    pub(crate) fn done(self) -> Array {
        self.list
    }

    fn push(&self, plain: Plain) {
        self.list.push(&plain.into());
    }

    fn cross(&mut self, bytes: &Bytes) -> Uint8Array {
        match &self.crossed {
            Some((before, there))
                if before.as_ptr() == bytes.as_ptr() && before.len() == bytes.len() =>
            {
                there.clone()
            }
            _ => {
                let there = Uint8Array::from(&bytes[..]);
                self.crossed = Some((bytes.clone(), there.clone()));
                there
            }
        }
    }

    pub(crate) fn of_node(&mut self, output: node::Output) {
        use node::Output as O;
        let plain = match output {
            O::Signal(text) => order("signal").with("text", text),
            O::HangUp(reason) => order("hangUp").with("reason", reason),
            O::Connect(link) => of_link("connect", link),
            O::Accept(link, offer) => of_link("accept", link).with("offer", offer),
            O::SetAnswer(link, answer) => of_link("setAnswer", link).with("answer", answer),
            O::AddCandidate(link, candidate) => {
                of_link("addCandidate", link).with("candidate", candidate)
            }
            O::Control(link, bytes) => {
                of_link("sendControl", link).with("bytes", self.cross(&bytes))
            }
            O::Media(link, bytes) => of_link("sendMedia", link).with("bytes", self.cross(&bytes)),
            O::AskBacklog(link, water) => of_link("askBacklog", link)
                .with("high", water as u32)
                .with("low", (water / 2) as u32),
            O::Close(link) => of_link("close", link),
            O::IceServers(servers, _) => order("iceServers").with("servers", ice_servers(&servers)),
            O::Event(event) => return self.of_event(&event),
            O::KeyTask(number, task) => key_task(number, &task),
        };
        self.push(plain);
    }

    pub(crate) fn of_player(&mut self, output: playback::Output) {
        use playback::Output as O;
        let plain = match output {
            O::Open(tracks) => order("open").with("tracks", track_list(tracks)),
            O::Append { track, bytes, .. } => {
                of_track("append", track).with("bytes", self.cross(&bytes))
            }
            O::Abort(track) => of_track("abort", track),
            O::Remove { track, up_to_us } => {
                of_track("remove", track).with("end", seconds(up_to_us))
            }
            O::Seek(media_us) => order("seek").with("to", seconds(media_us)),
            O::Rate(rate) => order("rate").with("rate", rate),
            O::Play => order("play"),
            O::End => order("end"),
            O::Event(event) => order("tell").with("news", player_news(event)),
        };
        self.push(plain);
    }

    pub(crate) fn of_event(&self, event: &Event) {
        if let Some(news) = node_news(event) {
            self.push(order("tell").with("news", news));
        }
    }
}

/// What takes a key that the browser holds.
fn key_task(number: u64, task: &KeyTask) -> Plain {
    let (how, bytes, label, to): (_, &[u8], _, &[u8]) = match task {
        KeyTask::Agree { theirs } => ("agree", theirs, "", &[]),
        KeyTask::RsaOpen { ciphertext, label } => ("open", ciphertext, *label, &[]),
        KeyTask::RsaSeal {
            to,
            plaintext,
            label,
        } => ("seal", plaintext, *label, to),
    };
    order("useKey")
        .with("task", number as f64)
        .with("how", how)
        .with("bytes", Uint8Array::from(bytes))
        .with("label", label)
        .with("to", Uint8Array::from(to))
}

fn news(of: &str) -> Plain {
    Plain::new().with("of", of)
}

fn player_news(event: playback::Event) -> Plain {
    use playback::Event as E;
    match event {
        E::Started => news("started"),
        E::Stalled => news("stalled"),
        E::Resumed => news("resumed"),
        E::Jumped(micros) => news("jumped").with("seconds", seconds(micros)),
        E::Rebuilt => news("rebuilt"),
        E::Finished => news("finished"),
        E::GaveUp => news("gaveUp"),
    }
}

/// News of the node that the page shows; chunks and clocks are the player's alone.
fn node_news(event: &Event) -> Option<Plain> {
    let plain = match event {
        Event::Accepted => news("accepted"),
        Event::Refused(why, words) => refusal(news("refused"), why, words),
        Event::Streams(streams) => news("streams").with(
            "streams",
            streams
                .iter()
                .map(|s| JsValue::from(stream(s)))
                .collect::<Array>(),
        ),
        Event::StreamRefused(id, why, words) => refusal(
            news("streamRefused").with("stream", id.to_string()),
            why,
            words,
        ),
        Event::Epoch(descriptor) => news("epoch")
            .with("stream", descriptor.stream.to_string())
            .with("epoch", descriptor.epoch),
        Event::Parent(id, parent) => {
            let parent = parent.map_or(JsValue::NULL, |p| p.to_string().into());
            news("parent")
                .with("stream", id.to_string())
                .with("parent", parent)
        }
        Event::Ended(id) => news("ended").with("stream", id.to_string()),
        Event::ToldToFail(how) => news("toldToFail").with(
            "how",
            match how {
                Failure::Leave => "leave",
                Failure::Kill => "kill",
                Failure::Freeze => "freeze",
            },
        ),
        Event::LinkLost(peer, reason) => news("linkLost")
            .with("peer", peer.to_string())
            .with("reason", reason.as_str()),
        Event::Registered(..)
        | Event::Authority(_)
        | Event::StreamKey(..)
        | Event::Chunk(..)
        | Event::Skipped(..)
        | Event::Clock(_)
        | Event::FedBy(..)
        | Event::RoundTrip(..)
        | Event::StreamClock(..) => return None,
    };
    Some(plain)
}

fn refusal(plain: Plain, why: &protocol::signal::Refusal, words: &str) -> Plain {
    plain.with("why", format!("{why:?}")).with("words", words)
}

fn stream(info: &StreamInfo) -> Plain {
    Plain::new()
        .with("stream", info.stream.to_string())
        .with("name", info.name.as_str())
        .with("live", info.live)
        .with("viewers", info.viewers)
        .with("kbps", info.kbps)
        .with(
            "tracks",
            track_list(info.tracks.iter().map(|t| (t.track, t.codec))),
        )
}

fn track_list(tracks: impl IntoIterator<Item = (Track, Codec)>) -> Array {
    let plain = |(track, codec): (Track, Codec)| {
        let plain = Plain::new()
            .with("track", track_name(track))
            .with("mime", codec.mime());
        JsValue::from(plain.with("codec", codec.name()))
    };
    tracks.into_iter().map(plain).collect()
}

fn ice_servers(servers: &[IceServer]) -> Array {
    let plain = |server: &IceServer| {
        let urls: Array = server
            .urls
            .iter()
            .map(|url| JsValue::from_str(url))
            .collect();
        let mut plain = Plain::new().with("urls", urls);
        if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
            plain = plain
                .with("username", username.as_str())
                .with("credential", credential.as_str());
        }
        JsValue::from(plain)
    };
    servers.iter().map(plain).collect()
}
