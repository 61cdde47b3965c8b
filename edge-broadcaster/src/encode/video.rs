//! One encoder of pictures at work.

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
    key_frame_interval: std::time::Duration,
    next_key_frame: Time,
    lost: Repeats,
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
        let take = announcing(origin, feed, move |_| track.clone(), |_, _| ());
        let chain = [elements::make("videoconvert")?, rung.make(format, config)?];
        Ok(Self {
            rung,
            pipeline: Pipeline::start(&caps(format), &chain, origin, take)?,
            key_frame_interval: std::time::Duration::from_millis(
                config.key_frame_interval_ms.into(),
            ),
            next_key_frame: Time::ZERO,
            lost: Repeats::default(),
        })
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
