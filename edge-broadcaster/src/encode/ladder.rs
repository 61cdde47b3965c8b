//! Which encoder a board has that works: tried in order, by really encoding and looking at what comes out.
//!
//! That an element exists says nothing: drivers are there without their hardware, and some give garbage. One that
//! was fine and fails later is followed by the next, in a new epoch of the same stream.

use std::fmt;
use std::time::Instant;

use anyhow::Context;
use gst::prelude::*;
use gstreamer as gst;
use protocol::media::Track;
use protocol::time::Time;

use super::pace::Pace;
use super::probe::{self, Proof};
use super::video::VideoEncoder;
use crate::capture::{VideoFormat, VideoFrame};
use crate::config::VideoConfig;
use crate::elements;
use crate::feed::Feed;

/// An encoder that may be there.
#[derive(Debug)]
pub struct Rung {
    /// GStreamer's element.
    pub element: &'static str,
    /// Whose it is.
    pub of: &'static str,
    /// It costs the processor's time, so the board may be too slow for it.
    pub(super) on_processor: bool,
    /// Sets it for live video.
    set: fn(&gst::Element, &VideoFormat, &VideoConfig),
}

/// All that are known, the best first: hardware costs the processor nothing. (Names from the kernel's stateful codec
/// drivers by way of GStreamer's v4l2 plug-in, and from the makers' plug-ins. None of the hardware was at hand.)
pub const RUNGS: [Rung; 5] = [
    Rung {
        element: "v4l2vp8enc",
        of: "hardware, by its V4L2 driver",
        on_processor: false,
        set: v4l2,
    },
    Rung {
        element: "mppvp8enc",
        of: "Rockchip's hardware",
        on_processor: false,
        set: mpp,
    },
    Rung {
        element: "vpuenc_vp8",
        of: "NXP's hardware",
        on_processor: false,
        set: vpu,
    },
    Rung {
        element: "vavp8enc",
        of: "hardware, by VA-API",
        on_processor: false,
        set: va,
    },
    Rung {
        element: "vp8enc",
        of: "software",
        on_processor: true,
        set: software,
    },
];

/// More threads than this gain nothing at 720p: libvpx splits a picture by rows. Guess.
const MOST_THREADS: usize = 4;

impl Rung {
    /// The encoder called so, if it is a known one.
    pub fn named(element: &str) -> Option<&'static Self> {
        RUNGS.iter().find(|rung| rung.element == element)
    }

    /// Makes the element, set for live video.
    pub(super) fn make(
        &self,
        format: &VideoFormat,
        config: &VideoConfig,
    ) -> Result<gst::Element, elements::Missing> {
        let element = elements::make(self.element)?;
        (self.set)(&element, format, config);
        Ok(element)
    }
}

/// What became of an encoder that was tried.
#[derive(Debug)]
pub struct Tried {
    /// Which.
    pub rung: &'static Rung,
    /// How well it did, or why not.
    pub outcome: Result<Proof, String>,
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
        Err(_) => Err("it is not there".to_owned()),
        Ok(()) => probe::probe(rung, format, config).map_err(|error| format!("{error:#}")),
    };
    Tried { rung, outcome }
}

/// The encoder of a stream's pictures, and those that may follow it.
pub(crate) struct Ladder {
    format: VideoFormat,
    config: VideoConfig,
    origin: Time,
    feed: Feed,
    /// Those that were not tried yet.
    left: Vec<&'static Rung>,
    encoder: VideoEncoder,
    pace: Pace,
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
        let mut left = config.encoders.in_order();
        let rung = first(&mut left, format, config)?;
        let track = feed.track(Track::Video);
        Ok(Self {
            encoder: VideoEncoder::start(rung, format, config, origin, track)?,
            format: *format,
            config: config.clone(),
            origin,
            feed: feed.clone(),
            left,
            pace: Pace::new(format.fps),
        })
    }

    /// Encodes a picture, or loses it if the encoder is behind. The error is that of the last encoder.
    pub(crate) fn push(&mut self, capture: Time, picture: gst::Buffer) -> anyhow::Result<()> {
        if self.encoder.rung().on_processor && !self.paced(capture) {
            return Ok(());
        }
        match self.encoder.push(capture, picture) {
            Ok(()) => Ok(()),
            Err(error) => self.replace(&error),
        }
    }

    /// Encodes a picture without gaps between its rows.
    pub(crate) fn push_painted(&mut self, frame: VideoFrame) -> anyhow::Result<()> {
        let buffer = super::convert::described(&self.format, frame.data)?;
        self.push(frame.capture, buffer)
    }

    /// Whether the board has time for the picture seen at `now`.
    fn paced(&mut self, now: Time) -> bool {
        let took = self.encoder.took();
        if let Some(one_in) = took.and_then(|took| self.pace.encoded(now, took)) {
            let fps = self.format.fps / one_in;
            match one_in {
                1 => log::info!("the board has time for all pictures again"),
                _ => log::warn!(
                    "the board is too slow for this stream: {fps} frames/s are sent for now"
                ),
            }
        }
        self.pace.picture()
    }

    /// Goes on with the next encoder that works.
    fn replace(&mut self, error: &anyhow::Error) -> anyhow::Result<()> {
        let failed = self.encoder.rung().element;
        log::warn!("the encoder {failed} fails: {error:#}");
        let began = Instant::now();
        let rung = first(&mut self.left, &self.format, &self.config)
            .with_context(|| format!("the encoder {failed} failed, and was the last: {error:#}"))?;
        let track = self.feed.track_anew(Track::Video);
        self.encoder = VideoEncoder::start(rung, &self.format, &self.config, self.origin, track)?;
        self.pace = Pace::new(self.format.fps);
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
) -> anyhow::Result<&'static Rung> {
    let mut reasons = Vec::new();
    while !left.is_empty() {
        let tried = try_one(left.remove(0), format, config);
        if tried.outcome.is_ok() {
            log::info!("encoder {tried}");
            return Ok(tried.rung);
        }
        log::info!("encoder {tried}");
        reasons.push(tried.to_string());
    }
    anyhow::bail!(
        "no encoder works: {}. {}",
        reasons.join("; "),
        elements::Missing {
            element: "vp8enc".into()
        }
    )
}

fn software(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    // The defaults are for files: best quality at any delay, a key frame every 128.
    encoder.set_property("deadline", 1_i64);
    encoder.set_property("cpu-used", 8_i32);
    encoder.set_property("lag-in-frames", 0_i32);
    encoder.set_property_from_str("end-usage", "cbr");
    encoder.set_property("target-bitrate", config.bitrate_kbps as i32 * 1000);
    encoder.set_property("threads", threads());
    // Only if the event that asks for a key frame were lost.
    encoder.set_property("keyframe-max-dist", key_frame_distance(format, config));
}

fn v4l2(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    let distance = key_frame_distance(format, config);
    let controls = gst::Structure::builder("controls")
        .field("video_bitrate", config.bitrate_kbps as i32 * 1000)
        .field("video_bitrate_mode", 1_i32) // constant
        .field("video_gop_size", distance)
        .build();
    if encoder.has_property("extra-controls") {
        encoder.set_property("extra-controls", controls);
    }
}

fn mpp(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    let distance = key_frame_distance(format, config);
    set_where_it_is(encoder, "bps", &(config.bitrate_kbps * 1000).to_string());
    set_where_it_is(encoder, "rc-mode", "cbr");
    set_where_it_is(encoder, "gop", &distance.to_string());
}

fn vpu(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    let distance = key_frame_distance(format, config);
    set_where_it_is(encoder, "bitrate", &config.bitrate_kbps.to_string());
    set_where_it_is(encoder, "gop-size", &distance.to_string());
}

fn va(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    let distance = key_frame_distance(format, config);
    set_where_it_is(encoder, "bitrate", &config.bitrate_kbps.to_string());
    set_where_it_is(encoder, "rate-control", "cbr");
    set_where_it_is(encoder, "keyframe-period", &distance.to_string());
}

/// Makers change their properties from version to version; one without a property is left at its default.
fn set_where_it_is(encoder: &gst::Element, property: &str, value: &str) {
    if encoder.has_property(property) {
        encoder.set_property_from_str(property, value);
    }
}

/// Twice what is asked for by events, in frames.
fn key_frame_distance(format: &VideoFormat, config: &VideoConfig) -> i32 {
    (2 * format.fps * config.key_frame_interval_ms / 1000).max(1) as i32
}

/// Half the cores. libvpx' threads wait for each other by spinning: where something else wants the cores
/// too, two threads on two cores took 24 s for 300 pictures of 720p, and one thread 2.4 s (measured).
fn threads() -> i32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, MOST_THREADS) as i32
}
