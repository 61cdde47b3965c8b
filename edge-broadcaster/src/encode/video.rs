//! One encoder of pictures at work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;
use protocol::avc;
use protocol::container::{Shape, TrackFormat};
use protocol::media::Codec;
use protocol::mp4;
use protocol::time::Time;

use super::conduct::{self, Conduct};
use super::convert::caps;
use super::rungs::{Coding, Rung};
use super::{Pipeline, announcing};
use crate::capture::VideoFormat;
use crate::config::VideoConfig;
use crate::elements;
use crate::feed::TrackFeed;
use crate::repeats::Repeats;
use crate::tally::{Lost, Tally};

/// Pictures that may wait for the encoder. It needs some 450 ms to start (measured), and what waited
/// then would come in one burst: better to lose it. Two are within the jitter of a loaded board.
const MOST_WAITING: u64 = 2;

/// Encodes one track's pictures with one encoder.
#[derive(Debug)]
pub(crate) struct VideoEncoder {
    rung: &'static Rung,
    encoder: gst::Element,
    pipeline: Pipeline,
    key_frame_interval: Duration,
    next_key_frame: Time,
    lost: Repeats,
    tally: Tally,
    /// What the last picture took, µs; 0 once it was asked for.
    took: Arc<AtomicU64>,
    /// What is wrong with what came out.
    fault: Arc<Mutex<Option<anyhow::Error>>>,
    /// Players take a longer step in H.264 for a hole, and wait for a key frame.
    longest_step: Option<Duration>,
    last: Option<Time>,
}

impl VideoEncoder {
    /// Starts the encoder for pictures of `given`, which is I420, brought to the size of `format`, with `kbps` kbit/s to begin with;
    /// frames go to `feed`, timed from `origin`.
    pub(crate) fn start(
        rung: &'static Rung,
        given: &VideoFormat,
        format: &VideoFormat,
        config: &VideoConfig,
        kbps: u32,
        origin: Time,
        feed: TrackFeed,
    ) -> anyhow::Result<Self> {
        let mut chain = vec![elements::make("videoconvert")?];
        if (given.width, given.height) != (format.width, format.height) {
            chain.extend(scaling(format)?);
        }
        let begins = VideoConfig {
            bitrate_kbps: kbps,
            ..config.clone()
        };
        let made = rung.make(format, &begins)?;
        let encoder = made[0].clone();
        chain.extend(made);
        let (began, took) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU64::new(0)));
        note_beginnings(&chain[0], &began);
        let (tally, counts) = (feed.tally().clone(), feed.tally().clone());
        let fault = Arc::new(Mutex::new(None));
        let (coding, plain) = (rung.coding, track_format(format, config));
        let of_caps = move |caps: &gst::CapsRef| described(coding, caps, &plain).ok();
        let (mut announce, done, faulty) = (
            announcing(origin, feed, of_caps, move |_, frame| {
                // Parsers call every picture a key frame that refers to no other.
                if coding == Coding::H264 {
                    frame.key &= avc::is_idr(&frame.data);
                }
            }),
            Arc::clone(&took),
            Arc::clone(&fault),
        );
        let mut conduct = Conduct::default();
        let take = move |sample: &gst::Sample| {
            let began = began.lock().unwrap_or_else(PoisonError::into_inner).take();
            let us = began.map_or(0, |at: Instant| at.elapsed().as_micros() as u64);
            done.store(us, Ordering::Relaxed);
            if coding == Coding::H264
                && let Err(error) = conduct.check(sample)
            {
                *faulty.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return;
            }
            let bytes = sample.buffer().map_or(0, gst::BufferRef::size);
            counts.encoded(bytes, Duration::from_micros(us));
            announce(sample);
        };
        let frame_ns = 1_000_000_000 / u64::from(format.fps.max(1));
        let longest_step = Duration::from_millis(mp4::longest_step_ms(frame_ns));
        Ok(Self {
            rung,
            encoder,
            pipeline: Pipeline::start(&caps(given), &chain, origin, take)?,
            key_frame_interval: Duration::from_millis(config.key_frame_interval_ms.into()),
            next_key_frame: Time::ZERO,
            lost: Repeats::default(),
            took,
            fault,
            tally,
            longest_step: (coding == Coding::H264).then_some(longest_step),
            last: None,
        })
    }

    /// How long the picture took that was encoded since this was last asked.
    pub(super) fn took(&self) -> Option<Duration> {
        let us = self.took.swap(0, Ordering::Relaxed);
        (us > 0).then(|| Duration::from_micros(us))
    }

    /// Sets the mean rate from here on, kbit/s. False if it cannot change it.
    pub(super) fn set_rate(&self, kbps: u32) -> bool {
        let set = self.rung.set_rate;
        set.inspect(|set| set(&self.encoder, kbps)).is_some()
    }

    /// Pictures that have not been taken up yet.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u64 {
        self.pipeline.waiting()
    }

    /// Encodes a picture, or loses it if the encoder is behind.
    pub(crate) fn push(&mut self, capture: Time, picture: gst::Buffer) -> anyhow::Result<()> {
        let fault = self
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(fault) = fault {
            return Err(fault);
        }
        if self.pipeline.waiting() >= MOST_WAITING {
            self.tally.lost(Lost::Behind);
            if let Some(count) = self.lost.note(capture) {
                log::warn!("the encoder is too slow: {count} pictures were lost before it");
            }
            return Ok(());
        }
        self.ask_for_key_frame(capture);
        self.pipeline.push(capture, None, picture)
    }

    /// Key frames come by time and not by count: a camera gives fewer frames in the dark.
    fn ask_for_key_frame(&mut self, capture: Time) {
        let step = self.last.replace(capture).map(|last| capture.since(last));
        let hole = step > self.longest_step && self.longest_step.is_some();
        if capture < self.next_key_frame && !hole {
            return;
        }
        let event = gst_video::DownstreamForceKeyUnitEvent::builder()
            .all_headers(true)
            .build();
        self.pipeline.source.send_event(event);
        self.next_key_frame = capture + self.key_frame_interval;
    }
}

/// Brings pictures to a size of the same proportions, but for what rounding leaves.
fn scaling(to: &VideoFormat) -> anyhow::Result<[gst::Element; 2]> {
    let scale = elements::make("videoscale")?;
    scale.set_property("add-borders", false);
    let filter = elements::make("capsfilter")?;
    let caps = gst::Caps::builder("video/x-raw")
        .field("width", to.width as i32)
        .field("height", to.height as i32)
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1));
    filter.set_property("caps", caps.build());
    Ok([scale, filter])
}

/// Notes when each picture comes to the first element of those that scale and encode it. Encoders in hardware take several
/// at a time; what is noted then is the newest, and nobody asks.
fn note_beginnings(first: &gst::Element, began: &Arc<Mutex<Option<Instant>>>) {
    let began = Arc::clone(began);
    if let Some(pad) = first.static_pad("sink") {
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            *began.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            gst::PadProbeReturn::Ok
        });
    }
}

/// The track, once the encoder has said what it makes.
fn described(
    coding: Coding,
    caps: &gst::CapsRef,
    plain: &TrackFormat,
) -> anyhow::Result<TrackFormat> {
    let plain = plain.clone();
    if coding == Coding::Vp8 {
        return Ok(plain);
    }
    let (codec, codec_private) = conduct::described(caps)?;
    Ok(TrackFormat {
        codec,
        codec_private,
        ..plain
    })
}

fn track_format(format: &VideoFormat, config: &VideoConfig) -> TrackFormat {
    TrackFormat {
        codec: Codec::Vp8,
        codec_private: Bytes::new(),
        kbps: config.bitrate_kbps,
        shape: Shape::Video {
            width: format.width,
            height: format.height,
            frame_ns: 1_000_000_000 / u64::from(format.fps.max(1)),
        },
    }
}
