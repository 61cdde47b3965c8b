//! What a peer did: as one number for comparing, as counts, and in words.

use std::fmt::{self, Write as _};

use protocol::chunk::Chunk;
use protocol::node::{Event, Node, Output};
use protocol::playback::{self, Event as Seen};
use protocol::time::Time;
use protocol::viewer::Viewer;
use protocol::wire::Control;

/// A number for all that was done, in its order, byte by byte: FNV-1a, 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account(u64);

const FNV_BASIS: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01B3;

impl Account {
    /// Of somebody who has done nothing.
    pub(super) const fn new() -> Self {
        Self(FNV_BASIS)
    }

    /// The number.
    pub(super) const fn sum(&self) -> u64 {
        self.0
    }

    const fn add(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(FNV_PRIME);
        // Eight bytes at a time: their upper ones would reach only the upper ones of the sum.
        self.0 ^= self.0 >> 32;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        words
            .iter()
            .for_each(|word| self.add(u64::from_le_bytes(*word)));
        rest.iter().for_each(|&byte| self.add(byte.into()));
    }

    /// What a node did in one step, and when it wants to be called again.
    pub(super) fn node(&mut self, did: &[Output], next: Time) {
        for output in did {
            match output {
                Output::Signal(text) => self.bytes(text.as_bytes()),
                Output::Control(link, bytes) => {
                    self.add(link.0);
                    self.bytes(bytes);
                }
                Output::Media(link, bytes) => {
                    self.add(!link.0);
                    self.bytes(bytes);
                }
                Output::Event(Event::Chunk(_, chunk)) => self.bytes(chunk.message()),
                other => self.words(other),
            }
        }
        self.add(next.as_micros());
    }

    /// What a player did in one step, and when it wants to be called again.
    pub(super) fn player(&mut self, did: &[playback::Output], next: Time) {
        for output in did {
            match output {
                playback::Output::Append {
                    track,
                    bytes,
                    media_us,
                } => {
                    self.words(track);
                    self.bytes(bytes);
                    self.add(media_us.start);
                    self.add(media_us.end);
                }
                other => self.words(other),
            }
        }
        self.add(next.as_micros());
    }

    /// Its figures.
    pub(super) fn figures(&mut self, now: Time, node: &Node, viewer: Option<&Viewer>) {
        self.bytes(figures(now, node, viewer).as_bytes());
    }

    /// What derived `Debug` makes of it. Byte by byte: how it is cut into pieces is the compiler's affair, and there may be two.
    fn words(&mut self, of: &impl fmt::Debug) {
        // Nothing to fail: numbers are added up.
        let _ = write!(self, "{of:?}");
    }
}

impl fmt::Write for Account {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.add(byte.into()));
        Ok(())
    }
}

/// How often peers did what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lives.
    pub scripts: u64,
    /// Things they were told.
    pub steps: u64,
    /// Chunks sent.
    pub chunks: u64,
    /// Connections begun.
    pub connections: u64,
    /// Connections closed.
    pub closed: u64,
    /// Streams asked of a neighbour.
    pub subscriptions: u64,
    /// Streams refused to one.
    pub refusals: u64,
    /// Takeovers at a backup parent.
    pub takeovers: u64,
    /// Parents lost without one.
    pub complaints: u64,
    /// Questions for single frames.
    pub wants: u64,
    /// Children told that they fall behind.
    pub lags: u64,
    /// Children that skipped to a random access point.
    pub skips: u64,
    /// Stalls.
    pub stalls: u64,
    /// Holes jumped.
    pub jumps: u64,
    /// Changes of speed.
    pub rates: u64,
    /// Buffers reset.
    pub aborts: u64,
}

impl Tally {
    pub(super) fn node(&mut self, did: &Output) {
        match did {
            Output::Media(..) => self.chunks += 1,
            Output::Connect(_) | Output::Accept(..) => self.connections += 1,
            Output::Close(_) => self.closed += 1,
            Output::Signal(text) if text.starts_with(r#"{"type":"TOOK_OVER""#) => {
                self.takeovers += 1;
            }
            Output::Signal(text) if text.starts_with(r#"{"type":"PARENT_LOST""#) => {
                self.complaints += 1;
            }
            Output::Control(_, bytes) => match Control::decode(bytes) {
                Ok(Control::Subscribe { .. }) => self.subscriptions += 1,
                Ok(Control::Refused { .. }) => self.refusals += 1,
                Ok(Control::Want { .. }) => self.wants += 1,
                Ok(Control::Behind { .. }) => self.lags += 1,
                Ok(Control::Skipped { .. }) => self.skips += 1,
                _ => {}
            },
            _ => {}
        }
    }

    pub(super) const fn player(&mut self, did: &playback::Output) {
        match did {
            playback::Output::Event(Seen::Stalled) => self.stalls += 1,
            playback::Output::Event(Seen::Jumped(_)) => self.jumps += 1,
            playback::Output::Rate(_) => self.rates += 1,
            playback::Output::Abort(_) => self.aborts += 1,
            _ => {}
        }
    }

    /// Names and counts.
    pub const fn counts(&self) -> [(&'static str, u64); 16] {
        [
            ("scripts", self.scripts),
            ("steps", self.steps),
            ("chunks", self.chunks),
            ("connections", self.connections),
            ("closed", self.closed),
            ("subscriptions", self.subscriptions),
            ("refusals", self.refusals),
            ("takeovers", self.takeovers),
            ("complaints", self.complaints),
            ("wants", self.wants),
            ("lags", self.lags),
            ("skips", self.skips),
            ("stalls", self.stalls),
            ("jumps", self.jumps),
            ("rates", self.rates),
            ("aborts", self.aborts),
        ]
    }
}

pub(super) fn list(words: impl Iterator<Item = String>, next: Time) -> String {
    let next = match next {
        Time::NEVER => "sleeps".to_owned(),
        next => format!("wakes at {next}"),
    };
    words.chain([next]).collect::<Vec<_>>().join("; ")
}

pub(super) fn of_node(did: &Output) -> String {
    match did {
        Output::Control(link, bytes) => format!("Control({link}, {:?})", Control::decode(bytes)),
        Output::Media(link, bytes) => format!("Media({link}, {:?})", Chunk::decode(bytes.clone())),
        other => format!("{other:?}"),
    }
}

pub(super) fn of_player(did: &playback::Output) -> String {
    match did {
        playback::Output::Append {
            track,
            bytes,
            media_us,
        } => format!("Append({track:?}, {} bytes, {media_us:?})", bytes.len()),
        other => format!("{other:?}"),
    }
}

pub(super) fn figures(now: Time, node: &Node, viewer: Option<&Viewer>) -> String {
    let streams: Vec<_> = node.streams().map(|stream| node.stats(&stream)).collect();
    let watching = viewer.map(|viewer| viewer.stats(now));
    format!("{} links; {streams:?}; {watching:?}", node.link_count())
}
