//! VP8 by libvpx, set for live video.

use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;
use protocol::media::Codec;
use protocol::time::Time;
use protocol::webm::{Shape, TrackFormat};

use super::convert::{caps, described};
use super::{Pipeline, announcing};
use crate::capture::{VideoFormat, VideoFrame};
use crate::config::VideoConfig;
use crate::elements;
use crate::feed::TrackFeed;
use crate::repeats::Repeats;

/// Pictures that may wait for the encoder. It needs some 450 ms to start (findings), and what waited
/// then would come in one burst: better to lose it. Two are within the jitter of a loaded board.
const MOST_WAITING: u64 = 2;
/// More threads than this gain nothing at 720p: libvpx splits a picture by rows. Guess.
const MOST_THREADS: usize = 4;

/// Encodes one track's pictures.
#[derive(Debug)]
pub(crate) struct VideoEncoder {
    pipeline: Pipeline,
    format: VideoFormat,
    key_frame_interval: std::time::Duration,
    next_key_frame: Time,
    lost: Repeats,
}

impl VideoEncoder {
    /// Starts the encoder for pictures of `format`, which is I420; frames go to `feed`, timed from `origin`.
    pub(crate) fn start(
        format: &VideoFormat,
        config: &VideoConfig,
        origin: Time,
        feed: TrackFeed,
    ) -> anyhow::Result<Self> {
        let track = track_format(format, config);
        let take = announcing(origin, feed, move |_| track.clone(), |_, _| ());
        let chain = [elements::make("videoconvert")?, vp8enc(format, config)?];
        Ok(Self {
            pipeline: Pipeline::start(&caps(format), &chain, origin, take)?,
            format: *format,
            key_frame_interval: std::time::Duration::from_millis(
                config.key_frame_interval_ms.into(),
            ),
            next_key_frame: Time::ZERO,
            lost: Repeats::default(),
        })
    }

    /// Encodes a picture without gaps between its rows.
    pub(crate) fn push_painted(&mut self, frame: VideoFrame) -> anyhow::Result<()> {
        let buffer = described(&self.format, frame.data)?;
        self.push(frame.capture, buffer)
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

fn vp8enc(format: &VideoFormat, config: &VideoConfig) -> anyhow::Result<gst::Element> {
    let encoder = elements::make("vp8enc")?;
    // The defaults are for files: best quality at any delay, a key frame every 128.
    encoder.set_property("deadline", 1_i64);
    encoder.set_property("cpu-used", 8_i32);
    encoder.set_property("lag-in-frames", 0_i32);
    encoder.set_property_from_str("end-usage", "cbr");
    encoder.set_property("target-bitrate", config.bitrate_kbps as i32 * 1000);
    encoder.set_property("threads", threads());
    // Only if the event that asks for a key frame were lost.
    let frames = 2 * format.fps * config.key_frame_interval_ms / 1000;
    encoder.set_property("keyframe-max-dist", frames.max(1) as i32);
    Ok(encoder)
}

/// Half the cores. libvpx' threads wait for each other by spinning: where something else wants the cores
/// too, two threads on two cores took 24 s for 300 pictures of 720p, and one thread 2.4 s (measured).
fn threads() -> i32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, MOST_THREADS) as i32
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
