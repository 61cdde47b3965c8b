//! The straight line from encoded frames to the tree: container, chunks, and the node that forwards them.
//!
//! One task a stream. Whatever happens to the source, the stream goes on: a source that starts again is a
//! new epoch of the same stream, and its viewers stay.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use daemon::{Shutdown, Watchdog};
use log::{info, warn};
use peer::Handle;
use protocol::chunk::{Header, Position};
use protocol::container::{TrackFormat, Writer};
use protocol::id::StreamId;
use protocol::media::{Descriptor, EncodedFrame, Track, TrackInfo};
use protocol::node::Input;
use protocol::security::grant::SignedDescriptor;
use protocol::security::otdp::Sealer;
use protocol::security::secret::{Seed, StreamKey};
use protocol::signal::{Registration, StreamTrack};
use protocol::time::Time;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::clock::Clock;
use crate::config::{SourceConfig, StreamConfig};
use crate::rate::{self, Seen};
use crate::source::{self, Running, SourceEvent};
use crate::tally::Tally;

/// First pause before a source that failed is started again, and the longest one. Guess: a camera that is
/// plugged in again wants no long wait, a broken one no busy loop.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A new key is used this long after it is here: the members are given it before us, and all have it by then.
/// Guess: two round trips over a bad mobile link.
const KEY_SETTLES: Duration = Duration::from_secs(1);

/// What was sent last is given this long to arrive before the stream is said to be over: then everybody forgets it.
/// Less than players hold: a page that has run dry before it hears of the end does not play when the stream comes back
/// (seen in Chromium; why is not known). Guess: a way down a tree of some levels.
const LAST_MEDIA: Duration = Duration::from_millis(200);
/// Frames that are kept for an epoch that is to begin. Guess: the longest group there may be, with its sound; one that is longer
/// begins late.
const MOST_KEPT: usize = 1_500;

/// What the supervisor says about one stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Begin under this epoch, with the authority's grant for it.
    Epoch(u32, Bytes),
    /// Seal with this key, which has this number.
    Key(u8, StreamKey),
    /// It will not have the stream; why, in words.
    Refused(String),
    /// It ended the stream.
    Ended,
}

/// One stream of this broadcaster.
pub struct Broadcast {
    /// Its name for good.
    pub stream: StreamId,
    /// What to capture and how.
    pub config: StreamConfig,
    /// The clock of its capture times.
    pub clock: Clock,
    /// The peer that feeds its children.
    pub node: Handle,
    /// What the supervisor says about it.
    pub verdicts: mpsc::Receiver<Verdict>,
    /// What its chunks are signed with.
    pub signing: Seed,
    /// What they are sealed with, and the key's number; none before the supervisor gave one.
    pub key: Option<(u8, StreamKey)>,
    /// What its encoding comes to.
    pub tally: Tally,
    /// Fed with every frame.
    pub watchdog: Watchdog,
}

/// Why a run of the source ended.
enum End {
    /// The film is at its end: the stream is over.
    Over,
    /// Its encoder is another one: it runs on, in a new epoch.
    Renewed,
    /// The source failed, and is to be started again.
    Again(anyhow::Error),
    /// The supervisor will not have the stream for now: it is asked again. The other streams go on.
    OffAir(anyhow::Error),
}

impl Broadcast {
    /// Sends the stream until it is over or `shutdown` comes. An error at the first start is the caller's; a later one is
    /// logged, and the source is started again. So it is when the supervisor refuses or ends the stream, which an operator
    /// may take back at any time.
    pub async fn run(mut self, mut shutdown: Shutdown) -> anyhow::Result<()> {
        tokio::select! {
            biased; // what ends with the service is no failure
            () = shutdown.wait() => Ok(()),
            result = self.send() => result,
        }
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        let mut began = self.clock.now();
        let start = source::start_counted(&self.config, self.clock, &self.tally);
        let mut source = fed(&mut self.watchdog, start).await?;
        let mut pause = PAUSES.0;
        loop {
            let outcome = self.epoch(&mut source, began).await?;
            if self.clock.now().since(began) > PAUSES.1 {
                pause = PAUSES.0; // it had come back for good
            }
            match outcome {
                End::Over => {
                    fed(&mut self.watchdog, tokio::time::sleep(LAST_MEDIA)).await;
                    info!("the stream {:?} is over", self.config.name);
                    self.node.put(Input::EndStream(self.stream)).await;
                    return Ok(());
                }
                End::Renewed => continue,
                End::Again(error) => {
                    warn!("the stream {:?} starts again: {error:#}", self.config.name)
                }
                End::OffAir(error) => warn!("{error:#}; asking again in {} s", pause.as_secs()),
            }
            fed(&mut self.watchdog, source.stop()).await;
            (began, source) = self.restart(&mut pause).await;
        }
    }

    async fn restart(&mut self, pause: &mut Duration) -> (Time, Running) {
        loop {
            let next = (*pause * 2).min(PAUSES.1);
            let wait = tokio::time::sleep(std::mem::replace(pause, next));
            let (config, clock, tally) = (&self.config, self.clock, &self.tally);
            let start = async move {
                wait.await;
                let began = clock.now();
                (began, source::start_counted(config, clock, tally).await)
            };
            // Waiting for a camera is not being stuck.
            let (began, started) = fed(&mut self.watchdog, start).await;
            match started {
                Ok(source) => return (began, source),
                Err(error) => warn!("{error:#}; trying again in {} s", pause.as_secs()),
            }
        }
    }

    /// One run of the source: asks for an epoch, then sends.
    async fn epoch(&mut self, source: &mut Running, mut began: Time) -> anyhow::Result<End> {
        self.forget_old_verdicts();
        self.node
            .put(Input::Publish(self.registration(source)))
            .await;
        let mut newest = Newest::of(&source.tracks);
        let (epoch, grant) = match self.wait_for_epoch(source, &mut newest).await? {
            Ok(begun) => begun,
            Err(end) => return Ok(end),
        };
        if self.plays_once() {
            // Nobody could watch what it has played by now, and it will not come round.
            began = self.clock.now();
            let start = source::start_counted(&self.config, self.clock, &self.tally);
            match fed(&mut self.watchdog, start).await {
                Ok(anew) => {
                    newest.frames.clear();
                    let old = std::mem::replace(source, anew);
                    fed(&mut self.watchdog, old.stop()).await;
                }
                Err(error) => return Ok(End::Again(error)),
            }
        }
        let mut run = self.begin(epoch, began, source)?;
        let mut next_key = None;
        let mut look = tokio::time::interval(rate::LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let pauses = self.may_pause();
        info!(stream:% = self.stream, epoch; "sending {:?}: {}", self.config.name, run.describe());
        self.node
            .put(Input::StartEpoch(self.signed(&run, grant)))
            .await;
        for (track, frame) in newest.frames {
            self.send_frame(&mut run, track, frame).await;
        }
        loop {
            tokio::select! {
                event = source.frames.recv() => match event {
                    Some(SourceEvent::Frame(track, frame)) => self.send_frame(&mut run, track, frame).await,
                    Some(SourceEvent::Anew(format)) => {
                        source.renew(format);
                        return Ok(End::Renewed);
                    }
                    Some(SourceEvent::Ended) => return Ok(End::Over),
                    Some(SourceEvent::Failed(error)) => return Ok(End::Again(error)),
                    None => return Ok(End::Again(anyhow::anyhow!("the source stopped without a word"))),
                },
                verdict = self.verdicts.recv() => match verdict {
                    // A supervisor that lost its memory may ask for a higher number while we run.
                    Some(Verdict::Epoch(newer, grant)) if newer > run.descriptor.epoch => {
                        run = self.begin(newer, began, source)?;
                        self.node.put(Input::StartEpoch(self.signed(&run, grant))).await;
                    }
                    Some(Verdict::Epoch(..)) => {}
                    Some(Verdict::Key(id, key)) => {
                        next_key = (Some(id) != self.key.as_ref().map(|(id, _)| *id))
                            .then(|| tokio::time::Instant::now() + KEY_SETTLES);
                        self.key = Some((id, key));
                    }
                    Some(Verdict::Refused(words)) => return Ok(End::OffAir(self.refused(&words))),
                    Some(Verdict::Ended) => return Ok(End::OffAir(self.ended())),
                    None => anyhow::bail!("the peer's task has ended"),
                },
                () = self.watchdog.due(), if pauses => self.watchdog.feed(),
                _ = look.tick() => {
                    self.heed_children(source).await;
                    run.heed(source.rate());
                }
                () = sleep_until(next_key) => {
                    next_key = None;
                    if let Some((id, key)) = self.key.clone() {
                        run.sealer.set_key(id, key);
                    }
                }
            }
        }
    }

    /// Whether no frame for a while is as it should be: a film may stand still, a camera that does is to be started again.
    const fn may_pause(&self) -> bool {
        matches!(self.config.source, SourceConfig::File { .. })
    }

    const fn plays_once(&self) -> bool {
        matches!(self.config.source, SourceConfig::File { repeat: false, .. })
    }

    /// Has the encoder follow what the children can take.
    async fn heed_children(&self, source: &mut Running) {
        let snapshot = self.node.snapshot().await.unwrap_or_default();
        let stats = snapshot.streams.get(&self.stream).copied();
        let stats = stats.unwrap_or_default();
        let seen = Seen {
            children: stats.children,
            behind: stats.behind,
            sent: stats.bytes_up,
        };
        source.heed(self.clock.now(), seen);
    }

    fn begin(&self, epoch: u32, began: Time, source: &Running) -> anyhow::Result<Run> {
        let (key_id, key) = self
            .key
            .clone()
            .context("the supervisor gave no stream key")?;
        let sealer = Sealer::new(&self.signing, key_id, key);
        self.tally.begins(epoch);
        let tracks = &source.tracks;
        let mut run = Run::new(self.stream, epoch, key_id, sealer, began, tracks);
        run.heed(source.rate());
        Ok(run)
    }

    fn signed(&self, run: &Run, grant: Bytes) -> SignedDescriptor {
        SignedDescriptor::new(&self.signing, run.descriptor.clone(), grant)
    }

    async fn send_frame(&mut self, run: &mut Run, track: Track, frame: EncodedFrame) {
        self.watchdog.feed();
        for chunk in run.chunks(track, frame) {
            self.node.put(Input::Own(chunk)).await;
        }
    }

    /// Waits for the supervisor, and meanwhile throws away what the source makes, for nobody can watch it: all but the
    /// newest, with which the epoch begins.
    async fn wait_for_epoch(
        &mut self,
        source: &mut Running,
        newest: &mut Newest,
    ) -> anyhow::Result<Result<(u32, Bytes), End>> {
        let pauses = self.may_pause();
        loop {
            tokio::select! {
                () = self.watchdog.due(), if pauses => self.watchdog.feed(),
                verdict = self.verdicts.recv() => match verdict.context("the peer's task has ended")? {
                    Verdict::Epoch(epoch, grant) => return Ok(Ok((epoch, grant))),
                    Verdict::Key(id, key) => self.key = Some((id, key)),
                    Verdict::Refused(words) => return Ok(Err(End::OffAir(self.refused(&words)))),
                    // What is left of the time before.
                    Verdict::Ended => {}
                },
                Some(event) = source.frames.recv() => {
                    self.watchdog.feed();
                    match event {
                        SourceEvent::Frame(track, frame) => newest.keep(track, frame),
                        SourceEvent::Anew(format) => {
                            source.renew(format);
                            return Ok(Err(End::Renewed)); // what was registered is no longer so
                        }
                        SourceEvent::Failed(error) => return Ok(Err(End::Again(error))),
                        // It begins anew when it can be watched.
                        SourceEvent::Ended if self.plays_once() => {}
                        // A film nobody could watch is not over.
                        SourceEvent::Ended => {
                            let error = anyhow::anyhow!("the film ended before the supervisor was there");
                            return Ok(Err(End::Again(error)));
                        }
                    }
                }
            }
        }
    }

    /// What the supervisor said before it is asked anew says nothing of its answer; keys hold.
    fn forget_old_verdicts(&mut self) {
        while let Ok(verdict) = self.verdicts.try_recv() {
            if let Verdict::Key(id, key) = verdict {
                self.key = Some((id, key));
            }
        }
    }

    fn refused(&self, words: &str) -> anyhow::Error {
        let name = &self.config.name;
        anyhow::anyhow!("the supervisor refuses the stream {name:?}: {words}")
    }

    fn ended(&self) -> anyhow::Error {
        let name = &self.config.name;
        anyhow::anyhow!("the supervisor has ended the stream {name:?}")
    }

    fn registration(&self, source: &Running) -> Registration {
        let tracks = source
            .tracks
            .iter()
            .map(|t| StreamTrack {
                track: t.track(),
                codec: t.codec,
            })
            .collect();
        Registration {
            stream: self.stream,
            name: self.config.name.clone(),
            tracks,
            kbps: source.tracks.iter().map(|t| t.kbps).sum(),
            running_epoch: None,
            topology: self.config.topology,
            access: self.config.access,
            running_key: None,
            allow_failures: self.config.allow_failures,
        }
    }
}

/// What a source has given since its last key frame: a new epoch begins with that, and not up to a group later.
struct Newest {
    has_video: bool,
    frames: Vec<(Track, EncodedFrame)>,
}

impl Newest {
    fn of(tracks: &[TrackFormat]) -> Self {
        Self {
            has_video: tracks.iter().any(|t| t.track() == Track::Video),
            frames: Vec::new(),
        }
    }

    fn keep(&mut self, track: Track, frame: EncodedFrame) {
        let begins = frame.key && (track == Track::Video || !self.has_video);
        if begins || self.frames.len() >= MOST_KEPT {
            self.frames.clear();
        }
        if begins || !self.frames.is_empty() {
            self.frames.push((track, frame));
        }
    }
}

/// Does something that may take its time, and tells the watchdog meanwhile that the task lives.
async fn fed<T>(watchdog: &mut Watchdog, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = watchdog.due() => watchdog.feed(),
        }
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// One epoch's writers and counters.
pub(crate) struct Run {
    descriptor: Descriptor,
    sealer: Sealer,
    writers: Vec<(Track, Writer, u64)>,
    /// Where the source's own time line begins on the stream's.
    origin_us: u64,
    /// Nothing is sent until decoding can start.
    started: bool,
}

impl Run {
    /// Begins an epoch of these tracks, whose source began at that time.
    pub(crate) fn new(
        stream: StreamId,
        epoch: u32,
        key_id: u8,
        sealer: Sealer,
        began: Time,
        formats: &[TrackFormat],
    ) -> Self {
        let writers: Vec<_> = formats
            .iter()
            .map(|format| (format.track(), Writer::new(format.clone()), 0))
            .collect();
        let tracks = formats.iter().zip(&writers);
        let tracks = tracks.map(|(format, (track, writer, _))| TrackInfo {
            track: *track,
            rendition: 0,
            codec: format.codec,
            kbps: format.kbps,
            init: writer.init(),
        });
        // When the source began, on the kernel's monotonic clock: it goes on when this service starts again,
        // and so does the stream's time line.
        let origin_us = began.as_micros();
        let descriptor = Descriptor {
            stream,
            epoch,
            key_id,
            media_origin_us: origin_us,
            tracks: tracks.collect(),
        };
        let pictures = formats.iter().find(|f| f.track() == Track::Video);
        let kbps = pictures.map(|format| format.kbps).filter(|kbps| *kbps > 0);
        let mut run = Self {
            descriptor,
            sealer,
            writers,
            origin_us,
            started: false,
        };
        run.heed(kbps); // a film has no other than its own
        run
    }

    /// Sends frames in parts as short as this rate of the pictures asks for, kbit/s.
    fn heed(&mut self, rate: Option<u32>) {
        if let Some(kbps) = rate {
            self.sealer.set_longest_part(rate::longest_part(kbps));
        }
    }

    fn describe(&self) -> String {
        let tracks = self.descriptor.tracks.iter();
        tracks
            .map(|t| format!("{} at {} kbit/s", t.codec.name(), t.kbps))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn has_video(&self) -> bool {
        self.writers
            .iter()
            .any(|(track, ..)| *track == Track::Video)
    }

    /// What is sent of a frame; nothing before decoding can start.
    pub(crate) fn chunks(
        &mut self,
        track: Track,
        frame: EncodedFrame,
    ) -> Vec<protocol::chunk::Chunk> {
        self.started |= frame.key && (track == Track::Video || !self.has_video());
        let Some((_, writer, sequence)) = self.writers.iter_mut().find(|(t, ..)| *t == track)
        else {
            return Vec::new();
        };
        if !self.started {
            return Vec::new();
        }
        let media_us = self.origin_us.saturating_add(frame.media_us);
        let frame = EncodedFrame { media_us, ..frame };
        let written = writer.write(&frame);
        let position = Position {
            epoch: self.descriptor.epoch,
            sequence: *sequence,
        };
        *sequence += 1;
        let header = Header {
            random_access: written.random_access,
            track,
            rendition: 0,
            key_id: 0, // the sealer's to set
            handle: self.descriptor.stream.handle(),
            position,
            part: 0,
            parts: 1,
            capture: frame.capture,
            media_us,
        };
        let chunks = self.sealer.seal(header, &written.container);
        if chunks.is_empty() {
            warn!(
                "a frame of {} bytes is too large to send and is left out",
                written.container.len()
            );
        }
        chunks
    }
}
