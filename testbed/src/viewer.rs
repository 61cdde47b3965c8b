//! The headless receiver: the browser's machines, natively, on a model of a media element.

use std::time::{Duration, Instant};

use peer::{Clock, Handle, Snapshot};
use protocol::id::StreamId;
use protocol::node::{Event, Input};
use protocol::playback::screen::Screen;
use protocol::playback::{self, Stats};
use protocol::signal::{Failure, StreamInfo};
use protocol::time::Time;
use protocol::viewer::Viewer;
use tokio::sync::mpsc;

use crate::delays::Delays;

/// How often the figures go into the node's reports.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A headless receiver.
pub struct Receiver {
    node: Handle,
    news: mpsc::Receiver<Event>,
    clock: Clock,
    wanted: String,
    hold: Option<Duration>,
    first_picture: Option<Instant>,
    viewer: Option<Viewer>,
    screen: Screen,
    /// It was told to fail, as a test, and does nothing any more.
    failed: bool,
    /// False before the stream is found, and when it has ended or was refused.
    watching: bool,
    /// The stream that was refused: asked for again when it is listed anew.
    refused: Option<StreamId>,
    ended: bool,
    first_chunk: Option<Time>,
    delays_after: Duration,
    delays: Delays,
}

/// How a receiver fares.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The stream, once it was found.
    pub stream: Option<StreamId>,
    /// The player's.
    pub player: Option<Stats>,
    /// The node's.
    pub node: Snapshot,
    /// It was told to fail, as a test.
    pub failed: bool,
    /// The stream is over.
    pub ended: bool,
    /// When the first picture was there.
    pub first_picture: Option<Instant>,
    /// How late chunks came, where the broadcaster is on the same machine.
    pub delays: Delays,
}

impl Receiver {
    /// A receiver that watches the stream called `wanted`, or the first there is if that is empty.
    pub fn new(node: Handle, news: mpsc::Receiver<Event>, clock: Clock, wanted: String) -> Self {
        let screen = Screen::new();
        Self {
            node,
            news,
            clock,
            wanted,
            hold: None,
            first_picture: None,
            viewer: None,
            screen,
            failed: false,
            watching: false,
            refused: None,
            ended: false,
            first_chunk: None,
            delays_after: Duration::ZERO,
            delays: Delays::default(),
        }
    }

    /// Keeps just so much ahead, whatever happens; by the player's own rules if none.
    pub fn holding(mut self, hold: Option<Duration>) -> Self {
        self.hold = hold;
        self
    }

    /// Counts how late chunks come from so long after the first one on.
    pub fn counting_delays_after(mut self, after: Duration) -> Self {
        self.delays_after = after;
        self
    }

    /// Watches until told to stop, and says every `interval` how it goes.
    pub async fn run(mut self, interval: Duration, mut tell: impl FnMut(Figures)) {
        self.node.put(Input::ListStreams).await;
        let mut report = tokio::time::interval(REPORT_EVERY.min(interval));
        let mut said = tokio::time::Instant::now();
        loop {
            let look = tokio::time::sleep(playback::LOOK_EVERY);
            tokio::select! {
                event = self.news.recv(), if !self.failed => match event {
                    Some(event) => self.take(event).await,
                    None => return,
                },
                () = look => if !self.failed { self.look() },
                _ = report.tick() => {
                    if !self.failed {
                        self.report().await;
                    }
                    if said.elapsed() >= interval {
                        said = tokio::time::Instant::now();
                        tell(self.figures().await);
                    }
                }
            }
        }
    }

    async fn take(&mut self, event: Event) {
        match &event {
            Event::Streams(streams) => self.watch_if_listed(streams).await,
            // The viewer plays out what it has, and keeps its figures until there is a new one.
            Event::Ended(_) => (self.watching, self.ended) = (false, true),
            Event::ToldToFail(how) => self.fail(*how).await,
            Event::StreamRefused(stream, ..) => {
                (self.watching, self.refused) = (false, Some(*stream));
            }
            // Its clock is the broadcaster's where both run on one machine.
            Event::Chunk(_, chunk) => {
                let (now, capture) = (self.clock.now(), chunk.header().capture);
                // What the parent held when this one came is not late.
                if capture > *self.first_chunk.get_or_insert(now) + self.delays_after {
                    self.delays.note(now.since(capture));
                }
            }
            _ => {}
        }
        self.log(&event);
        let mut out = Vec::new();
        if let Some(viewer) = &mut self.viewer {
            viewer.news(self.clock.now(), &event, &mut out);
        }
        self.carry_out(out);
        if !self.failed {
            self.look();
        }
    }

    /// What the supervisor asks for where the stream allows it. Its figures stay what they are.
    async fn fail(&mut self, how: Failure) {
        eprintln!("told to fail: {how:?}");
        self.failed = true;
        self.node.fail(how).await;
    }

    async fn watch_if_listed(&mut self, streams: &[StreamInfo]) {
        if self.watching {
            return;
        }
        if !streams.iter().any(|s| Some(s.stream) == self.refused) {
            self.refused = None;
        }
        let found = streams.iter().find(|s| {
            (self.wanted.is_empty() || s.name == self.wanted) && Some(s.stream) != self.refused
        });
        let Some(stream) = found.map(|found| found.stream) else {
            return;
        };
        let now = self.clock.now();
        self.viewer = Some(match self.hold {
            Some(hold) => Viewer::holding(stream, now, hold),
            None => Viewer::new(stream, now),
        });
        self.screen = Screen::new();
        (self.watching, self.ended) = (true, false);
        self.node.put(Input::Watch(stream, None)).await;
    }

    /// Why the picture stood still may be found out by this.
    fn log(&self, event: &Event) {
        let ms = self.clock.now().as_micros() / 1000;
        match event {
            Event::Parent(_, parent) => eprintln!("{ms} ms: fed by {parent:?}"),
            Event::Epoch(d) => {
                let codecs: Vec<_> = d.tracks.iter().map(|track| track.codec.name()).collect();
                eprintln!("{ms} ms: epoch {}: {}", d.epoch, codecs.join(", "));
            }
            Event::LinkLost(peer, why) => eprintln!("{ms} ms: lost {peer}: {why}"),
            Event::RoundTrip(_, time) => eprintln!("{ms} ms: there and back in {time:?}"),
            Event::Refused(_, words) | Event::StreamRefused(_, _, words) => {
                eprintln!("{ms} ms: refused: {words}")
            }
            _ => {}
        }
    }

    /// And what its player made of that.
    fn log_player(&self, output: &playback::Output) {
        let now = self.clock.now();
        if let (playback::Output::Event(event), Some(viewer)) = (output, &self.viewer) {
            let ms = now.as_micros() / 1000;
            eprintln!("{ms} ms: {event:?}, holding {:?}", viewer.stats(now).hold);
        }
    }

    /// Shows the player its element.
    fn look(&mut self) {
        let now = self.clock.now();
        let mut out = Vec::new();
        if let Some(viewer) = &mut self.viewer {
            viewer.handle(
                now,
                playback::Input::Element(self.screen.look(now)),
                &mut out,
            );
        }
        self.carry_out(out);
        let started = |viewer: &Viewer| viewer.stats(now).started;
        if self.first_picture.is_none() && self.viewer.as_ref().is_some_and(started) {
            self.first_picture = Some(Instant::now());
        }
    }

    fn carry_out(&mut self, mut out: Vec<playback::Output>) {
        let now = self.clock.now();
        while !out.is_empty() {
            out.iter().for_each(|output| self.log_player(output));
            let told: Vec<_> = out
                .drain(..)
                .filter_map(|output| self.screen.carry_out(now, &output))
                .collect();
            let Some(viewer) = &mut self.viewer else {
                return;
            };
            told.into_iter()
                .for_each(|input| viewer.handle(now, input, &mut out));
        }
    }

    async fn report(&self) {
        if let Some(viewer) = &self.viewer {
            let report = viewer.report(self.clock.now());
            self.node.put(Input::Viewing(viewer.stream(), report)).await;
        }
    }

    async fn figures(&self) -> Figures {
        Figures {
            stream: self.viewer.as_ref().map(Viewer::stream),
            player: self.viewer.as_ref().map(|v| v.stats(self.clock.now())),
            node: match self.failed {
                true => Snapshot::default(), // nobody answers
                false => self.node.snapshot().await.unwrap_or_default(),
            },
            failed: self.failed,
            ended: self.ended,
            first_picture: self.first_picture,
            delays: self.delays.clone(),
        }
    }
}
