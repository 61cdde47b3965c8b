//! What joins a peer's node to its player, the same in the browser and without one: news of the one stream that
//! is watched goes to the player, the player's figures go into the peer's reports.

use crate::id::StreamId;
use crate::node;
use crate::playback::{Input, Output, Playback, Stats};
use crate::signal::{Component, Report};
use crate::time::{ClockMap, Time};

/// A viewer of one stream.
#[derive(Debug)]
pub struct Viewer {
    stream: StreamId,
    playback: Playback,
    own: Option<ClockMap>,
    broadcaster: Option<ClockMap>,
}

impl Viewer {
    /// A viewer of `stream` that has seen nothing yet.
    pub fn new(stream: StreamId, now: Time) -> Self {
        Self {
            stream,
            playback: Playback::new(now),
            own: None,
            broadcaster: None,
        }
    }

    /// The same with a player that keeps just so much ahead, whatever happens.
    pub fn holding(stream: StreamId, now: Time, hold: core::time::Duration) -> Self {
        Self {
            playback: Playback::holding(now, hold),
            ..Self::new(stream, now)
        }
    }

    /// The stream.
    pub const fn stream(&self) -> StreamId {
        self.stream
    }

    /// Takes news from the node; what is not of this viewer's stream is passed over.
    pub fn news(&mut self, now: Time, event: &node::Event, out: &mut Vec<Output>) {
        let input = match event {
            node::Event::Epoch(descriptor) if descriptor.stream == self.stream => {
                Input::Epoch(descriptor.clone())
            }
            node::Event::Chunk(stream, chunk) if *stream == self.stream => {
                Input::Chunk(chunk.clone())
            }
            node::Event::Skipped(stream, gap) if *stream == self.stream && gap.name.1 == 0 => {
                Input::Skipped {
                    track: gap.name.0,
                    to: gap.to,
                }
            }
            node::Event::Ended(stream) if *stream == self.stream => Input::Ended,
            node::Event::RoundTrip(stream, time) if *stream == self.stream => {
                Input::RoundTrip(*time)
            }
            node::Event::FedBy(stream, component) if *stream == self.stream => {
                Input::FedByViewer(*component == Component::Receiver)
            }
            node::Event::Clock(map) => {
                self.own = Some(*map);
                self.clock()
            }
            node::Event::StreamClock(stream, map) if *stream == self.stream => {
                self.broadcaster = Some(*map);
                self.clock()
            }
            _ => return,
        };
        self.playback.handle(now, input, out);
    }

    const fn clock(&self) -> Input {
        Input::Clock {
            own: self.own,
            broadcaster: self.broadcaster,
        }
    }

    /// Takes what the media element, or time, says.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        self.playback.handle(now, input, out);
    }

    /// When the player wants to be called at the latest.
    pub fn next_wakeup(&self) -> Time {
        self.playback.next_wakeup()
    }

    /// The player's figures.
    pub fn stats(&self, now: Time) -> Stats {
        self.playback.stats(now)
    }

    /// The same, as the supervisor is told them: to be put into the node as `Input::Viewing`.
    pub fn report(&self, now: Time) -> Report {
        let stats = self.playback.stats(now);
        let millis = |d: core::time::Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX);
        Report {
            latency_ms: stats.latency.map(millis),
            hold_ms: Some(millis(stats.hold)),
            stalls: stats.stalls,
            stalled_ms: u64::from(millis(stats.stalled)),
            ..Report::default()
        }
    }
}
