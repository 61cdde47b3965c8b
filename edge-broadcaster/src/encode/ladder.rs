//! Which encoder a board has that works: tried in order, by really encoding and looking at what comes out.
//!
//! That an element exists says nothing: drivers are there without their hardware, and some give garbage. One that
//! was fine and fails later is followed by the next, in a new epoch of the same stream. While a camera's own H.264 is
//! sent, no encoder is at work; it goes on, in a new epoch too, with the first picture that is to be encoded.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;
use gstreamer as gst;
use protocol::container::TrackFormat;
use protocol::media::Track;
use protocol::time::Time;

use super::own::OwnPicture;
use super::pace::{Pace, Step};
use super::probe::{self, Proof};
use super::rungs::{Coding, Rung};
use super::video::VideoEncoder;
use crate::capture::{VideoFormat, VideoFrame};
use crate::config::VideoConfig;
use crate::elements;
use crate::feed::{Feed, TrackFeed};
use crate::tally::{Lost, Tally};

/// What became of an encoder that was tried.
#[derive(Debug)]
pub struct Tried {
    /// Which.
    pub rung: &'static Rung,
    /// How well it did, or why not.
    pub outcome: Result<Proof, No>,
}

/// Why an encoder is no choice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum No {
    /// The board has no such hardware: each lacks most.
    #[error("it is not there")]
    Absent,
    /// It did not do what it should; how.
    #[error("{0}")]
    Failed(String),
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rung { element, of, .. } = self.rung;
        match &self.outcome {
            Ok(proof) => write!(f, "{element} ({of}): {proof}"),
            Err(reason) => write!(f, "{element} ({of}): no, {reason}"),
        }
    }
}

/// Tries one encoder.
pub fn try_one(rung: &'static Rung, format: &VideoFormat, config: &VideoConfig) -> Tried {
    let outcome = match elements::exists(rung.element) {
        // What software needs can be installed; of hardware there is no element where there is none of it.
        Err(missing) if rung.on_processor => Err(No::Failed(format!("it is not there: {missing}"))),
        Err(_) => Err(No::Absent),
        Ok(()) => {
            probe::probe(rung, format, config).map_err(|error| No::Failed(format!("{error:#}")))
        }
    };
    Tried { rung, outcome }
}

/// An encoder that has to begin anew for another rate does so for this much more, and for all there is to have. Each time is a new
/// epoch, and a cut that viewers see. Guess: two steps of [`crate::rate`].
const MUCH_MORE: (u32, u32) = (3, 2);
/// And for anything below this share of what it has. Guess: what an encoder misses its rate by.
pub(crate) const LESS: (u32, u32) = (9, 10);

/// The encoder of a stream's pictures, and those that may follow it.
pub(crate) struct Ladder {
    format: VideoFormat,
    config: VideoConfig,
    origin: Time,
    feed: Feed,
    /// Those that were not tried yet.
    left: Vec<&'static Rung>,
    /// The one in use, and what it is at work with; none while the camera's own pictures are sent.
    rung: &'static Rung,
    encoder: Option<VideoEncoder>,
    own: Option<OwnTrack>,
    /// The rate it is set to.
    kbps: u32,
    pace: Pace,
}

/// The way of a camera's own pictures.
struct OwnTrack {
    feed: TrackFeed,
    format: TrackFormat,
    /// None was lost since the last key frame.
    whole: bool,
}

impl Ladder {
    /// Starts the first encoder that works, for pictures of `format`, which is I420; frames go to `feed`, timed from
    /// `origin`.
    pub(crate) fn start(
        format: &VideoFormat,
        config: &VideoConfig,
        origin: Time,
        feed: &Feed,
    ) -> anyhow::Result<Self> {
        let mut left = config.in_order();
        left.retain(|rung| !rung.is_camera());
        feed.tally().climbs_anew();
        let rung = first(&mut left, format, config, feed.tally())?;
        let (track, kbps) = (feed.track(Track::Video), config.bitrate_kbps);
        let encoder = VideoEncoder::start(rung, format, format, config, kbps, origin, track)?;
        Ok(Self {
            rung,
            encoder: Some(encoder),
            own: None,
            format: *format,
            config: config.clone(),
            origin,
            kbps,
            feed: feed.clone(),
            left,
            pace: Pace::new(format),
        })
    }

    /// Where it is counted.
    pub(crate) const fn tally(&self) -> &Tally {
        self.feed.tally()
    }

    /// Which encoder it is that works, or would if the camera's own pictures were not sent.
    pub(crate) const fn rung(&self) -> &'static Rung {
        self.rung
    }

    /// Encodes a picture, or loses it if the encoder is behind. The error is that of the last encoder.
    pub(crate) fn push(&mut self, capture: Time, picture: gst::Buffer) -> anyhow::Result<()> {
        if self.own.take().is_some() {
            log::info!("{} goes on, in a new epoch", self.rung.element);
            self.feed.tally().at_work(self.rung);
            self.kbps = self.wished();
            self.start_encoder(self.pace.step(), self.feed.pictures_anew())?;
        }
        if self.rung.on_processor && !self.paced(capture)? {
            self.feed.tally().lost(Lost::Paced);
            return Ok(());
        }
        self.follow()?;
        let Some(encoder) = &mut self.encoder else {
            anyhow::bail!("there is no encoder");
        };
        match encoder.push(capture, picture) {
            Ok(()) => Ok(()),
            Err(error) => self.replace(&error),
        }
    }

    /// Whether one of the camera's own pictures can be passed on: decoding can begin with it, or it follows what was.
    pub(crate) fn takes(&self, picture: &OwnPicture) -> bool {
        let follows = |own: &OwnTrack| own.whole && own.format == picture.format;
        picture.frame.key || self.own.as_ref().is_some_and(follows)
    }

    /// Passes on what the camera has encoded itself, from the next key frame on, in a new epoch.
    pub(crate) fn pass(&mut self, picture: OwnPicture) {
        let OwnPicture { format, frame, .. } = picture;
        if frame.key && self.own.as_ref().is_none_or(|own| own.format != format) {
            // Ended first: nothing of it comes after what is sent from here on.
            (self.encoder, self.own) = (None, None);
            let mut feed = self.feed.pictures_anew();
            feed.announce(format.clone());
            self.own = Some(OwnTrack {
                feed,
                format,
                whole: true,
            });
            self.feed.tally().at_work(Rung::camera());
        }
        match &mut self.own {
            Some(own) if own.whole || frame.key => {
                own.whole = true;
                let tally = self.feed.tally();
                tally.encoded(frame.data.len(), Duration::ZERO);
                own.feed.send(frame);
            }
            _ => self.feed.tally().lost(Lost::Behind),
        }
    }

    /// One of the camera's own pictures was left out: what follows is not to be shown before the next key frame.
    pub(crate) fn left_out(&mut self) {
        if let Some(own) = &mut self.own {
            own.whole = false;
        }
    }

    /// Encodes a picture without gaps between its rows.
    pub(crate) fn push_painted(&mut self, frame: VideoFrame) -> anyhow::Result<()> {
        let buffer = super::convert::described(&self.format, frame.data)?;
        self.push(frame.capture, buffer)
    }

    /// Sets the rate that is wished. The error is that of the last encoder.
    fn follow(&mut self) -> anyhow::Result<()> {
        let (wished, most) = (self.wished(), self.config.bitrate_kbps);
        if wished == self.kbps {
            return Ok(());
        }
        let set = |encoder: &VideoEncoder| encoder.set_rate(wished);
        if self.encoder.as_ref().is_some_and(set) {
            self.kbps = wished;
            return Ok(());
        }
        // It would change the parameter sets, which players were given with the epoch.
        let less = wished < self.kbps * LESS.0 / LESS.1;
        if less || wished >= most || wished >= self.kbps * MUCH_MORE.0 / MUCH_MORE.1 {
            let element = self.rung.element;
            log::info!(
                "{element} begins anew with {wished} kbit/s, in a new epoch: it cannot change its rate while it works"
            );
            self.begin_anew(self.pace.step())?;
        }
        Ok(())
    }

    fn wished(&self) -> u32 {
        let most = self.config.bitrate_kbps;
        self.feed.wish().kbps().unwrap_or(most)
    }

    /// Whether the board has time for the picture seen at `now`. The error is that of the last encoder.
    fn paced(&mut self, now: Time) -> anyhow::Result<bool> {
        let before = self.pace.step();
        let took = self.encoder.as_ref().and_then(VideoEncoder::took);
        if let Some(step) = took.and_then(|took| self.pace.encoded(now, took)) {
            let Step {
                width,
                height,
                one_in,
            } = step;
            let fps = self.format.fps / one_in;
            match self.pace.is_all() {
                true => log::info!(
                    "the board has time for all again: {width}x{height} at {fps} frames/s"
                ),
                false => log::warn!(
                    "the board has no time for all of this stream: {width}x{height} at {fps} frames/s for now"
                ),
            }
            if (width, height) != (before.width, before.height) {
                self.begin_anew(step)?;
            }
        }
        Ok(self.pace.picture())
    }

    /// Goes on by the same encoder, with pictures of this size and at the rate that is wished. The one before ends with what it had
    /// not finished.
    fn begin_anew(&mut self, step: Step) -> anyhow::Result<()> {
        self.kbps = self.wished();
        self.encoder = None; // nothing of it comes after what is sent from here on
        let track = match self.rung.coding {
            // A key frame of VP8 says its size, and all players follow; the size in the container is the largest.
            Coding::Vp8 => self.feed.track_on(Track::Video),
            // H.264 has it in the parameter sets, which players were given with the epoch, and its rate may be there too.
            Coding::H264 => self.feed.pictures_anew(),
        };
        self.start_encoder(step, track)
    }

    /// Starts the encoder in use, for pictures of this size.
    fn start_encoder(&mut self, step: Step, track: TrackFeed) -> anyhow::Result<()> {
        let rung = self.rung;
        let format = VideoFormat {
            width: step.width,
            height: step.height,
            ..self.format
        };
        let (config, kbps, origin) = (&self.config, self.kbps, self.origin);
        match VideoEncoder::start(rung, &self.format, &format, config, kbps, origin, track) {
            Ok(encoder) => self.encoder = Some(encoder),
            Err(error) => self.replace(&error)?,
        }
        Ok(())
    }

    /// Goes on with the next encoder that works.
    fn replace(&mut self, error: &anyhow::Error) -> anyhow::Result<()> {
        let failed = self.rung.element;
        log::warn!("the encoder {failed} fails: {error:#}");
        let tally = self.feed.tally();
        tally.failed(self.rung, error);
        let began = Instant::now();
        let rung = first(&mut self.left, &self.format, &self.config, tally)
            .with_context(|| format!("the encoder {failed} failed, and was the last: {error:#}"))?;
        self.encoder = None;
        let track = self.feed.pictures_anew();
        let (format, config, origin) = (&self.format, &self.config, self.origin);
        let encoder = VideoEncoder::start(rung, format, format, config, self.kbps, origin, track)?;
        (self.rung, self.encoder) = (rung, Some(encoder));
        self.pace = Pace::new(&self.format);
        let ms = began.elapsed().as_millis();
        log::warn!("{} goes on in its place, after {ms} ms", rung.element);
        Ok(())
    }
}

/// Takes encoders off the list up to the first that works.
fn first(
    left: &mut Vec<&'static Rung>,
    format: &VideoFormat,
    config: &VideoConfig,
    tally: &Tally,
) -> anyhow::Result<&'static Rung> {
    let (mut reasons, mut absent) = (Vec::new(), Vec::new());
    while !left.is_empty() {
        let tried = try_one(left.remove(0), format, config);
        tally.tried(&tried);
        if matches!(tried.outcome, Err(No::Absent)) {
            absent.push(tried.rung.element);
            continue;
        }
        say_absent(&mut absent);
        log::info!("encoder {tried}");
        if tried.outcome.is_ok() {
            return Ok(tried.rung);
        }
        reasons.push(tried.to_string());
    }
    say_absent(&mut absent);
    anyhow::bail!(
        "no encoder works: {}. {}",
        reasons.join("; "),
        elements::Missing {
            element: "vp8enc".into()
        }
    )
}

/// All of them in one line.
fn say_absent(absent: &mut Vec<&str>) {
    if !absent.is_empty() {
        log::info!("encoders that this board has not: {}", absent.join(", "));
        absent.clear();
    }
}
