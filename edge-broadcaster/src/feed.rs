//! The bounded queue between a source's threads and whoever sends the stream on.
//!
//! Capture never waits for it. When it is full, a packet of sound is lost, or video up to the next key
//! frame: what follows a lost frame cannot be decoded anyway.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use protocol::container::TrackFormat;
use protocol::media::{EncodedFrame, Track};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::repeats::Repeats;
use crate::source::SourceEvent;
use crate::tally::{Lost, Tally};

/// Frames that may wait: three seconds of 30 frames and 50 packets. Guess: whoever is further behind
/// will not catch up.
const CAPACITY: usize = 240;
/// A stream has at most one track of each kind, and may fail.
const MOST_FORMATS: usize = 3;

/// A source's side of the queue; clones feed the same one.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    clock: Clock,
    events: mpsc::Sender<SourceEvent>,
    formats: mpsc::Sender<anyhow::Result<TrackFormat>>,
    /// A place kept for the last event, so that the end is told even when the queue is full.
    last_word: Arc<Mutex<Option<mpsc::OwnedPermit<SourceEvent>>>>,
    tally: Tally,
    wish: Wish,
    /// Whether somebody has said what the pictures are.
    pictures_said: Arc<AtomicBool>,
}

/// The bitrate that whoever sends the stream on wishes of its encoder: goes the other way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish(Arc<AtomicU32>);

impl Wish {
    /// Wishes so many kbit/s, at least 1.
    pub(crate) fn set(&self, kbps: u32) {
        self.0.store(kbps, Ordering::Relaxed);
    }

    /// What is wished, if something is.
    pub(crate) fn kbps(&self) -> Option<u32> {
        let kbps = self.0.load(Ordering::Relaxed);
        (kbps > 0).then_some(kbps)
    }
}

/// The other side of the queue.
pub(crate) struct Fed {
    pub(crate) events: mpsc::Receiver<SourceEvent>,
    formats: mpsc::Receiver<anyhow::Result<TrackFormat>>,
}

impl Feed {
    pub(crate) fn new(clock: Clock) -> anyhow::Result<(Self, Fed)> {
        let (events, fed_events) = mpsc::channel(CAPACITY);
        let (formats, fed_formats) = mpsc::channel(MOST_FORMATS);
        let permit = events
            .clone()
            .try_reserve_owned()
            .context("a new queue has no room")?;
        let feed = Self {
            clock,
            events,
            formats,
            last_word: Arc::new(Mutex::new(Some(permit))),
            tally: Tally::default(),
            wish: Wish::default(),
            pictures_said: Arc::default(),
        };
        let fed = Fed {
            events: fed_events,
            formats: fed_formats,
        };
        Ok((feed, fed))
    }

    /// The same, counted there.
    pub(crate) fn counted(self, tally: Tally) -> Self {
        Self { tally, ..self }
    }

    /// Where it is counted.
    pub(crate) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What is wished of the encoder.
    pub(crate) const fn wish(&self) -> &Wish {
        &self.wish
    }

    /// Says what a track is, once, before its first frame.
    pub(crate) fn announce(&self, format: TrackFormat) {
        if format.track() == Track::Video {
            self.pictures_said.store(true, Ordering::Relaxed);
        }
        let _ = self.formats.try_send(Ok(format));
    }

    /// Says that nothing more comes. Only the first time counts.
    pub(crate) fn finish(&self, outcome: anyhow::Result<()>) {
        let mut kept = self
            .last_word
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(permit) = kept.take() else { return };
        let event = match outcome {
            Ok(()) => SourceEvent::Ended,
            Err(error) => {
                let _ = self.formats.try_send(Err(anyhow::anyhow!("{error:#}")));
                SourceEvent::Failed(error)
            }
        };
        permit.send(event);
    }

    /// The queue for one track.
    pub(crate) fn track(&self, track: Track) -> TrackFeed {
        TrackFeed {
            feed: self.clone(),
            track,
            skipping: false,
            format: Format::First,
            lost: Repeats::default(),
        }
    }

    /// The queue for pictures whose encoder was replaced, and gives no more: their format comes before the next key frame.
    pub(crate) fn pictures_anew(&self) -> TrackFeed {
        let track = Track::Video;
        if !self.pictures_said.load(Ordering::Relaxed) {
            return self.track(track); // the one before never gave any
        }
        TrackFeed {
            skipping: true,
            format: Format::Anew(None),
            ..self.track(track)
        }
    }

    /// The queue for a track whose encoder began again, with what players are told already: it goes on with a key frame.
    pub(crate) fn track_on(&self, track: Track) -> TrackFeed {
        TrackFeed {
            skipping: true,
            format: Format::Said,
            ..self.track(track)
        }
    }
}

impl Fed {
    /// Waits until `count` tracks have said what they are; video first.
    pub(crate) async fn formats(&mut self, count: usize) -> anyhow::Result<Vec<TrackFormat>> {
        let mut formats = Vec::with_capacity(count);
        while formats.len() < count {
            let next = self.formats.recv().await;
            formats.push(next.context("the source ended before its first frame")??);
        }
        formats.sort_by_key(TrackFormat::track);
        Ok(formats)
    }
}

/// One track's way into the queue.
#[derive(Debug)]
pub(crate) struct TrackFeed {
    feed: Feed,
    track: Track,
    /// Video was lost, and no key frame has come since.
    skipping: bool,
    format: Format,
    lost: Repeats,
}

/// What is still to be said of a track's format.
#[derive(Debug)]
enum Format {
    /// It is the first one.
    First,
    /// The encoder is a new one, and this its format, once it is known.
    Anew(Option<TrackFormat>),
    /// Nothing.
    Said,
}

impl TrackFeed {
    /// Where it is counted.
    pub(crate) const fn tally(&self) -> &Tally {
        &self.feed.tally
    }

    /// Says what the track is.
    pub(crate) fn announce(&mut self, format: TrackFormat) {
        match &mut self.format {
            Format::First => self.feed.announce(format),
            Format::Anew(anew) => *anew = Some(format),
            Format::Said => {}
        }
    }

    /// Says that the encoder is a new one, if it is and that was not said. False if there is no room to say it.
    fn say_anew(&mut self) -> bool {
        let Format::Anew(Some(format)) = &self.format else {
            return true;
        };
        let said = self.feed.events.try_send(SourceEvent::Anew(format.clone()));
        if said.is_ok() {
            self.format = Format::Said;
        }
        said.is_ok()
    }

    /// Queues a frame, or loses it if there is no room.
    pub(crate) fn send(&mut self, frame: EncodedFrame) {
        self.skipping &= !frame.key || !self.say_anew();
        if !self.skipping {
            let event = SourceEvent::Frame(self.track, frame);
            match self.feed.events.try_send(event) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => return,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    self.skipping = self.track == Track::Video
                }
            }
        }
        if self.track == Track::Video {
            self.feed.tally.lost(Lost::Unsent);
        }
        if let Some(count) = self.lost.note(self.feed.clock.now()) {
            log::warn!(track:? = self.track; "sending is too slow: {count} encoded frames were lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use protocol::time::Time;

    fn frame(key: bool, media_us: u64) -> EncodedFrame {
        EncodedFrame {
            key,
            capture: Time::ZERO,
            media_us,
            data: Bytes::new(),
        }
    }

    fn drain(fed: &mut Fed) -> Vec<u64> {
        std::iter::from_fn(|| match fed.events.try_recv() {
            Ok(SourceEvent::Frame(_, frame)) => Some(frame.media_us),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn video_that_finds_no_room_is_lost_up_to_the_next_key_frame() {
        let (feed, mut fed) = Feed::new(Clock::start()).expect("a feed");
        let mut video = feed.track(Track::Video);
        (0..CAPACITY as u64).for_each(|n| video.send(frame(n == 0, n)));
        assert_eq!(drain(&mut fed).len(), CAPACITY - 1);
        for (key, at) in [(false, 1), (true, 2), (false, 3)] {
            video.send(frame(key, at));
        }
        assert_eq!(drain(&mut fed), [2, 3]);
    }

    fn format() -> TrackFormat {
        TrackFormat {
            codec: protocol::media::Codec::Vp8,
            codec_private: Bytes::new(),
            kbps: 1,
            shape: protocol::container::Shape::Video {
                width: 320,
                height: 180,
                frame_ns: 1,
            },
        }
    }

    #[test]
    fn a_new_encoder_is_announced_before_its_first_key_frame_even_if_there_was_no_room_for_it() {
        let (feed, mut fed) = Feed::new(Clock::start()).expect("a feed");
        let mut audio = feed.track(Track::Audio);
        (0..2 * CAPACITY as u64).for_each(|n| audio.send(frame(true, n)));
        feed.track(Track::Video).announce(format());
        let mut video = feed.pictures_anew();
        video.announce(format());
        video.send(frame(true, 1)); // no room
        drain(&mut fed);
        video.send(frame(false, 2)); // of a group that began without being announced
        video.send(frame(true, 3));
        video.send(frame(false, 4));
        let first = fed.events.try_recv().expect("something");
        assert!(matches!(first, SourceEvent::Anew(_)), "{first:?}");
        assert_eq!(drain(&mut fed), [3, 4]);
    }

    #[tokio::test]
    async fn one_that_comes_after_none_that_gave_anything_is_the_first() {
        let (feed, mut fed) = Feed::new(Clock::start()).expect("a feed");
        drop(feed.track(Track::Video));
        let mut video = feed.pictures_anew();
        video.announce(format());
        video.send(frame(true, 1));
        assert_eq!(fed.formats(1).await.expect("a track").len(), 1);
        assert_eq!(drain(&mut fed), [1]);
    }

    #[tokio::test]
    async fn an_encoder_that_begins_again_goes_on_with_a_key_frame_and_announces_nothing() {
        let (feed, mut fed) = Feed::new(Clock::start()).expect("a feed");
        feed.track(Track::Video).announce(format());
        let mut video = feed.track_on(Track::Video);
        video.announce(format());
        for (key, at) in [(false, 1), (true, 2), (false, 3)] {
            video.send(frame(key, at));
        }
        assert_eq!(drain(&mut fed), [2, 3]);
        feed.track(Track::Audio).announce(TrackFormat {
            codec: protocol::media::Codec::Opus,
            ..format()
        });
        let tracks = fed.formats(2).await.expect("two tracks");
        assert_eq!(tracks[1].track(), Track::Audio);
    }

    #[test]
    fn sound_that_finds_no_room_costs_only_itself() {
        let (feed, mut fed) = Feed::new(Clock::start()).expect("a feed");
        let mut audio = feed.track(Track::Audio);
        (0..2 * CAPACITY as u64).for_each(|n| audio.send(frame(true, n)));
        drain(&mut fed);
        audio.send(frame(true, 7));
        assert_eq!(drain(&mut fed), [7]);
    }

    #[tokio::test]
    async fn the_end_is_told_even_when_the_queue_is_full_and_only_once() {
        let (feed, mut fed) = Feed::new(Clock::start()).expect("a feed");
        let mut audio = feed.track(Track::Audio);
        (0..2 * CAPACITY as u64).for_each(|n| audio.send(frame(true, n)));
        feed.finish(Err(anyhow::anyhow!("the camera is gone")));
        feed.finish(Ok(()));
        let mut last = None;
        while let Ok(event) = fed.events.try_recv() {
            last = Some(event);
        }
        let Some(SourceEvent::Failed(error)) = last else {
            panic!("not the failure: {last:?}")
        };
        assert_eq!(error.to_string(), "the camera is gone");
        assert_eq!(
            fed.formats(1).await.expect_err("failed").to_string(),
            "the camera is gone"
        );
    }
}
