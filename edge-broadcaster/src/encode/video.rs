//! One encoder of pictures at work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;
use protocol::media::Codec;
use protocol::time::Time;
use protocol::webm::{Shape, TrackFormat};

use super::convert::caps;
use super::ladder::Rung;
use super::{Pipeline, announcing};
use crate::capture::VideoFormat;
use crate::config::VideoConfig;
use crate::elements;
use crate::feed::TrackFeed;
use crate::repeats::Repeats;

/// Pictures that may wait for the encoder. It needs some 450 ms to start (findings), and what waited
/// then would come in one burst: better to lose it. Two are within the jitter of a loaded board.
const MOST_WAITING: u64 = 2;

/// Encodes one track's pictures with one encoder.
#[derive(Debug)]
pub(crate) struct VideoEncoder {
    rung: &'static Rung,
    pipeline: Pipeline,
    key_frame_interval: Duration,
    next_key_frame: Time,
    lost: Repeats,
    /// What the last picture took, µs; 0 once it was asked for.
    took: Arc<AtomicU64>,
}

impl VideoEncoder {
    /// Starts the encoder for pictures of `format`, which is I420; frames go to `feed`, timed from `origin`.
    pub(crate) fn start(
        rung: &'static Rung,
        format: &VideoFormat,
        config: &VideoConfig,
        origin: Time,
        feed: TrackFeed,
    ) -> anyhow::Result<Self> {
        let track = track_format(format, config);
        let encoder = rung.make(format, config)?;
        let (began, took) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU64::new(0)));
        note_beginnings(&encoder, &began);
        let (mut announce, done) = (
            announcing(origin, feed, move |_| track.clone(), |_, _| ()),
            Arc::clone(&took),
        );
        let take = move |sample: &gst::Sample| {
            let began = began.lock().unwrap_or_else(PoisonError::into_inner).take();
            let us = began.map_or(0, |at: Instant| at.elapsed().as_micros() as u64);
            done.store(us, Ordering::Relaxed);
            announce(sample);
        };
        let chain = [elements::make("videoconvert")?, encoder];
        Ok(Self {
            rung,
            pipeline: Pipeline::start(&caps(format), &chain, origin, take)?,
            key_frame_interval: Duration::from_millis(config.key_frame_interval_ms.into()),
            next_key_frame: Time::ZERO,
            lost: Repeats::default(),
            took,
        })
    }

    /// How long the picture took that was encoded since this was last asked.
    pub(super) fn took(&self) -> Option<Duration> {
        let us = self.took.swap(0, Ordering::Relaxed);
        (us > 0).then(|| Duration::from_micros(us))
    }

    /// Which it is.
    pub(super) const fn rung(&self) -> &'static Rung {
        self.rung
    }

    /// Encodes a picture, or loses it if the encoder is behind.
    pub(crate) fn push(&mut self, capture: Time, picture: gst::Buffer) -> anyhow::Result<()> {
        if self.pipeline.waiting() >= MOST_WAITING {
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
        if capture < self.next_key_frame {
            return;
        }
        let event = gst_video::DownstreamForceKeyUnitEvent::builder()
            .all_headers(true)
            .build();
        self.pipeline.source.send_event(event);
        self.next_key_frame = capture + self.key_frame_interval;
    }
}

/// Notes when each picture enters an encoder. Those in hardware take several at a time; what is noted then is the
/// newest, and nobody asks.
fn note_beginnings(encoder: &gst::Element, began: &Arc<Mutex<Option<Instant>>>) {
    let began = Arc::clone(began);
    if let Some(pad) = encoder.static_pad("sink") {
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            *began.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            gst::PadProbeReturn::Ok
        });
    }
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
