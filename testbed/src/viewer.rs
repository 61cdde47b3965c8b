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
use crate::recorder::Recorder;

/// How often the figures go into the node's reports.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A headless receiver.
pub struct Receiver {
    node: Handle,
    news: mpsc::Receiver<Event>,
    clock: Clock,
    wanted: String,
    /// The viewer's own, and those beside it.
    players: Vec<Player>,
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
    pub player: Played,
    /// Those of the players beside it.
    pub beside: Vec<Played>,
    /// The node's.
    pub node: Snapshot,
    /// It was told to fail, as a test.
    pub failed: bool,
    /// The stream is over.
    pub ended: bool,
    /// How late chunks came, where the broadcaster is on the same machine.
    pub delays: Delays,
}

/// How a player fares.
#[derive(Debug, Clone, Copy, Default)]
pub struct Played {
    /// Its figures, all zero before the stream was found.
    pub stats: Stats,
    /// When the first picture was there.
    pub first_picture: Option<Instant>,
}

/// A player, and its model of a media element.
#[derive(Default)]
struct Player {
    /// What it keeps ahead, whatever happens; by its own rules if none.
    hold: Option<Duration>,
    viewer: Option<Viewer>,
    screen: Screen,
    first_picture: Option<Instant>,
    /// It says what it does: the viewer's own, not one beside it.
    says: bool,
    recorder: Option<Recorder>,
}

impl Receiver {
    /// A receiver that watches the stream called `wanted`, or the first there is if that is empty.
    pub fn new(node: Handle, news: mpsc::Receiver<Event>, clock: Clock, wanted: String) -> Self {
        Self {
            node,
            news,
            clock,
            wanted,
            players: vec![Player {
                says: true,
                ..Player::default()
            }],
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
        self.players[0].hold = hold;
        self
    }

    /// Has the same chunks played by so many players more, each of which keeps just so much ahead. They are only looked at:
    /// what the viewer reports, and what it says when it stalls, is of the first.
    pub fn beside(mut self, holds: &[Duration]) -> Self {
        self.players.extend(holds.iter().map(|&hold| Player {
            hold: Some(hold),
            ..Player::default()
        }));
        self
    }

    /// Counts how late chunks come from so long after the first one on.
    pub fn counting_delays_after(mut self, after: Duration) -> Self {
        self.delays_after = after;
        self
    }

    /// Has what the element is given written down.
    pub fn recorded(mut self, recorder: Option<Recorder>) -> Self {
        self.players[0].recorder = recorder;
        self
    }

    /// Watches until told to stop, and says every `interval` how it goes.
    ///
    /// # Errors
    ///
    /// What is to be recorded cannot be written.
    pub async fn run(
        mut self,
        interval: Duration,
        mut tell: impl FnMut(Figures),
    ) -> anyhow::Result<()> {
        self.node.put(Input::ListStreams).await;
        let mut report = tokio::time::interval(REPORT_EVERY.min(interval));
        let mut said = tokio::time::Instant::now();
        loop {
            let look = tokio::time::sleep(playback::LOOK_EVERY);
            tokio::select! {
                event = self.news.recv(), if !self.failed => match event {
                    Some(event) => self.take(event).await?,
                    None => return Ok(()),
                },
                () = look => if !self.failed { self.look()? },
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

    async fn take(&mut self, event: Event) -> anyhow::Result<()> {
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
        let now = self.clock.now();
        for player in &mut self.players {
            player.news(now, &event)?;
        }
        if self.failed {
            return Ok(());
        }
        self.look()
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
        for player in &mut self.players {
            player.watch(stream, now);
        }
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

    /// Shows the players their elements.
    fn look(&mut self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let mut players = self.players.iter_mut();
        players.try_for_each(|player| player.look(now))
    }

    async fn report(&self) {
        if let Some(viewer) = &self.players[0].viewer {
            let report = viewer.report(self.clock.now());
            self.node.put(Input::Viewing(viewer.stream(), report)).await;
        }
    }

    async fn figures(&self) -> Figures {
        let now = self.clock.now();
        Figures {
            stream: self.players[0].viewer.as_ref().map(Viewer::stream),
            player: self.players[0].played(now),
            beside: self.players[1..].iter().map(|p| p.played(now)).collect(),
            node: match self.failed {
                true => Snapshot::default(), // nobody answers
                false => self.node.snapshot().await.unwrap_or_default(),
            },
            failed: self.failed,
            ended: self.ended,
            delays: self.delays.clone(),
        }
    }
}

impl Player {
    fn watch(&mut self, stream: StreamId, now: Time) {
        self.viewer = Some(match self.hold {
            Some(hold) => Viewer::holding(stream, now, hold),
            None => Viewer::new(stream, now),
        });
        self.screen = Screen::new();
    }

    fn news(&mut self, now: Time, event: &Event) -> anyhow::Result<()> {
        let mut out = Vec::new();
        if let Some(viewer) = &mut self.viewer {
            viewer.news(now, event, &mut out);
        }
        self.carry_out(now, out)
    }

    fn look(&mut self, now: Time) -> anyhow::Result<()> {
        let mut out = Vec::new();
        if let Some(viewer) = &mut self.viewer {
            let element = playback::Input::Element(self.screen.look(now));
            viewer.handle(now, element, &mut out);
        }
        self.carry_out(now, out)?;
        let started = |viewer: &Viewer| viewer.stats(now).started;
        if self.first_picture.is_none() && self.viewer.as_ref().is_some_and(started) {
            self.first_picture = Some(Instant::now());
        }
        Ok(())
    }

    fn carry_out(&mut self, now: Time, mut out: Vec<playback::Output>) -> anyhow::Result<()> {
        while !out.is_empty() {
            if self.says {
                out.iter().for_each(|output| self.log(now, output));
            }
            if let Some(recorder) = &mut self.recorder {
                out.iter().try_for_each(|output| recorder.note(output))?;
            }
            let told: Vec<_> = out
                .drain(..)
                .filter_map(|output| self.screen.carry_out(now, &output))
                .collect();
            let Some(viewer) = &mut self.viewer else {
                break;
            };
            told.into_iter()
                .for_each(|input| viewer.handle(now, input, &mut out));
        }
        Ok(())
    }

    /// Why the picture stood still may be found out by this.
    fn log(&self, now: Time, output: &playback::Output) {
        if let (playback::Output::Event(event), Some(viewer)) = (output, &self.viewer) {
            let ms = now.as_micros() / 1000;
            eprintln!("{ms} ms: {event:?}, holding {:?}", viewer.stats(now).hold);
        }
    }

    fn played(&self, now: Time) -> Played {
        Played {
            stats: self
                .viewer
                .as_ref()
                .map_or_else(Stats::default, |v| v.stats(now)),
            first_picture: self.first_picture,
        }
    }
}
