//! The seam: whatever a stream comes from, it gives the formats of its tracks and then their frames.

use std::time::Duration;

use anyhow::Context;
use protocol::container::TrackFormat;
use protocol::media::{EncodedFrame, Track};
use protocol::time::Time;
use tokio::sync::mpsc;

use crate::capture::v4l2;
use crate::clock::Clock;
use crate::config::{CameraConfig, SourceConfig, StreamConfig};
use crate::feed::{Fed, Feed, Wish};
use crate::rate::{Rate, Seen};
use crate::stop::Stop;
use crate::tally::Tally;

pub(crate) use file::probe;

mod camera;
mod file;
mod test_picture;

/// Time a source has to show its first frame of each track. Guess: a camera that wakes up takes two
/// seconds, a board under load twice that.
const START_LIMIT: Duration = Duration::from_secs(15);

/// Pause between two looks for a camera while there is none. Guess.
const LOOK: Duration = Duration::from_secs(2);

/// What a running source tells.
#[derive(Debug)]
pub enum SourceEvent {
    /// The next frame of a track. Times of one track never decrease; tracks come as they come.
    Frame(Track, EncodedFrame),
    /// The encoder of a track is another one from here on, and this is what it gives: a new epoch.
    Anew(TrackFormat),
    /// The file has been played to its end. Nothing follows.
    Ended,
    /// The source cannot go on. Nothing follows.
    Failed(anyhow::Error),
}

/// A source that runs until dropped.
#[derive(Debug)]
pub struct Running {
    /// The tracks, video first. Media times begin with 0 at the source's start.
    pub tracks: Vec<TrackFormat>,
    /// Frames, and at last the reason why no more come. Never fills memory: see `feed`.
    pub frames: mpsc::Receiver<SourceEvent>,
    threads: Threads,
    /// The bitrate that its encoder is to have; none for what is sent as it is.
    rate: Option<Rate>,
    wish: Wish,
}

impl Running {
    /// Notes that a track's encoder is another one.
    pub fn renew(&mut self, format: TrackFormat) {
        for track in &mut self.tracks {
            if track.track() == format.track() {
                *track = format.clone();
            }
        }
    }

    /// Has the encoder follow what the stream's children can take.
    pub(crate) fn heed(&mut self, now: Time, seen: Seen) {
        let rate = self.rate.as_mut();
        let Some(kbps) = rate.and_then(|rate| rate.look(now, seen)) else {
            return;
        };
        self.wish.set(kbps);
        let Seen {
            children, behind, ..
        } = seen;
        match behind {
            0 => log::info!("nothing waits for any child: video is to have {kbps} kbit/s"),
            _ => log::warn!(
                "media waits for {behind} of {children} children, the uplink is too slow: video is to have {kbps} kbit/s"
            ),
        }
    }

    /// What the pictures are to have now, kbit/s; none if that never changes.
    pub(crate) fn rate(&self) -> Option<u32> {
        self.rate.as_ref().map(Rate::kbps)
    }

    /// Ends the source and waits until its devices are released. Dropping ends it too, without waiting.
    pub async fn stop(mut self) {
        self.threads.stop.set();
        let handles = std::mem::take(&mut self.threads.handles);
        let joined = tokio::task::spawn_blocking(move || {
            handles.into_iter().for_each(|handle| drop(handle.join()));
        });
        let _ = joined.await;
    }
}

/// Starts what a stream's configuration says. Returns when every track has shown what it is.
pub async fn start(config: &StreamConfig, clock: Clock) -> anyhow::Result<Running> {
    start_counted(config, clock, &Tally::default()).await
}

/// The same, and counts there what comes of it.
pub async fn start_counted(
    config: &StreamConfig,
    clock: Clock,
    tally: &Tally,
) -> anyhow::Result<Running> {
    let (feed, mut fed) = Feed::new(clock)?;
    let feed = feed.counted(tally.clone());
    tally.no_camera(); // until one says so
    let wish = feed.wish().clone();
    let launched = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || launch(&config, clock, &feed))
            .await
            .context("starting the source")?
    };
    let (threads, count) =
        launched.with_context(|| format!("starting the stream {:?}", config.name))?;
    let tracks = formats(&mut fed, count)
        .await
        .with_context(|| format!("starting the stream {:?}", config.name))?;
    Ok(Running {
        tracks,
        frames: fed.events,
        threads,
        rate: config.rate(),
        wish,
    })
}

async fn formats(fed: &mut Fed, count: usize) -> anyhow::Result<Vec<TrackFormat>> {
    tokio::time::timeout(START_LIMIT, fed.formats(count))
        .await
        .with_context(|| format!("no frame came within {} s", START_LIMIT.as_secs()))?
}

/// Starts a source's threads, and says how many tracks it has.
fn launch(config: &StreamConfig, clock: Clock, feed: &Feed) -> anyhow::Result<(Threads, usize)> {
    crate::elements::init()?;
    match &config.source {
        SourceConfig::Auto if v4l2::first_camera().is_some() => {
            camera::launch(config, &CameraConfig::default(), clock, feed)
        }
        SourceConfig::Auto => {
            for words in v4l2::forbidden() {
                log::warn!(stream:% = config.name; "{words}");
            }
            log::info!(stream:% = config.name; "no camera to be had: sending the test picture until there is one");
            let (mut threads, tracks) = test_picture::launch(config, clock, feed)?;
            threads.spawn("camera-watch", move |stop| watch(clock, stop))?;
            Ok((threads, tracks))
        }
        SourceConfig::Camera(camera) => camera::launch(config, camera, clock, feed),
        SourceConfig::Test => test_picture::launch(config, clock, feed),
        SourceConfig::File { path, repeat } => file::launch(path, *repeat, clock, feed),
    }
}

/// Ends the test picture when a camera is plugged in: whoever runs the source begins again, with the camera.
fn watch(clock: Clock, stop: &Stop) -> anyhow::Result<()> {
    while stop.sleep_until(clock, clock.now() + LOOK) {
        anyhow::ensure!(v4l2::first_camera().is_none(), "a camera was plugged in");
    }
    Ok(())
}

/// A source's threads. Dropping tells them to end.
#[derive(Debug)]
struct Threads {
    stop: Stop,
    feed: Feed,
    handles: Vec<std::thread::JoinHandle<()>>,
}

impl Threads {
    fn new(feed: &Feed) -> Self {
        Self {
            stop: Stop::default(),
            feed: feed.clone(),
            handles: Vec::new(),
        }
    }

    /// Runs `work` on a thread. The first thread that ends, ends the source, with its outcome.
    fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce(&Stop) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let (stop, feed) = (self.stop.clone(), self.feed.clone());
        let run = move || {
            let last_word = LastWord { stop, feed };
            let outcome = work(&last_word.stop);
            last_word.feed.finish(outcome);
        };
        let thread = std::thread::Builder::new().name(name.into());
        self.handles
            .push(thread.spawn(run).context("starting a thread")?);
        Ok(())
    }
}

/// Ends the source with its thread, even one that panics in somebody else's code.
struct LastWord {
    stop: Stop,
    feed: Feed,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        self.feed
            .finish(Err(anyhow::anyhow!("the source broke down")));
        self.stop.set();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.set();
    }
}
