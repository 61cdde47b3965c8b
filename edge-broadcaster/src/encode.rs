//! Raw pictures and sound in, [`EncodedFrame`]s out, by the best of GStreamer's encoders that works here.
//!
//! One pipeline per track: neither waits for the other. Frames carry their capture times through the
//! encoder, so what comes out says when it was seen, however late it comes.

use anyhow::Context;
use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use protocol::container::TrackFormat;
use protocol::media::EncodedFrame;
use protocol::time::Time;

use crate::feed::TrackFeed;

mod audio;
mod conduct;
mod convert;
pub mod ladder;
mod own;
mod pace;
mod probe;
pub mod rungs;
mod trial;
mod video;

pub(crate) use audio::{AudioEncoder, stream_headers};
pub(crate) use convert::{Converter, described};
pub(crate) use ladder::Ladder;
pub(crate) use own::{Own, OwnPicture, decodes};
pub use probe::Proof;
pub(crate) use trial::{Measured, Trial};
pub(crate) use video::VideoEncoder;

/// The elements that encoding needs.
pub const ELEMENTS: [&str; 12] = [
    "appsrc",
    "appsink",
    "capsfilter",
    "videoconvert",
    "videoscale",
    "videoflip",
    "jpegdec",
    "vp8dec",
    "vp8enc",
    "audioconvert",
    "audioresample",
    "opusenc",
];

/// A pipeline from an appsrc to an appsink that is stopped when dropped.
#[derive(Debug)]
struct Pipeline {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    /// The capture time that is zero on the stream's time line.
    origin: Time,
}

impl Pipeline {
    /// Starts `appsrc ! elements ! appsink`; `take` is called for whatever comes out.
    fn start(
        input: &gst::Caps,
        elements: &[gst::Element],
        origin: Time,
        take: impl FnMut(&gst::Sample) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let pipeline = gst::Pipeline::new();
        let source = crate::elements::make("appsrc")?;
        let sink = crate::elements::make("appsink")?;
        let mut all = vec![&source];
        all.extend(elements);
        all.push(&sink);
        crate::elements::chain(&pipeline, &all)?;
        let source = source
            .downcast::<gst_app::AppSrc>()
            .map_err(|_| anyhow::anyhow!("appsrc is not an AppSrc"))?;
        source.set_caps(Some(input));
        source.set_format(gst::Format::Time);
        source.set_is_live(true);
        let sink = sink
            .downcast::<gst_app::AppSink>()
            .map_err(|_| anyhow::anyhow!("appsink is not an AppSink"))?;
        sink.set_sync(false);
        sink.set_callbacks(on_sample(take));
        let started = Self {
            pipeline,
            source,
            origin,
        };
        started
            .pipeline
            .set_state(gst::State::Playing)
            .context("starting the encoder")?;
        Ok(started)
    }

    /// Hands a raw frame to the encoder. Its error is the encoder's, perhaps of an earlier frame.
    fn push(
        &self,
        capture: Time,
        duration: Option<gst::ClockTime>,
        data: gst::Buffer,
    ) -> anyhow::Result<()> {
        if let Some(error) = crate::elements::error_of(&self.pipeline) {
            return Err(error.context("encoding"));
        }
        let mut buffer = data;
        let stamped = buffer.make_mut();
        let media_us = capture.as_micros().saturating_sub(self.origin.as_micros());
        stamped.set_pts(gst::ClockTime::from_useconds(media_us));
        stamped.set_duration(duration);
        self.source
            .push_buffer(buffer)
            .context("the encoder has stopped")?;
        Ok(())
    }

    /// Raw frames that the encoder has not taken yet.
    fn waiting(&self) -> u64 {
        self.source.current_level_buffers()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn on_sample(mut take: impl FnMut(&gst::Sample) + Send + 'static) -> gst_app::AppSinkCallbacks {
    gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            take(&sink.pull_sample().map_err(|_| gst::FlowError::Eos)?);
            Ok(gst::FlowSuccess::Ok)
        })
        .build()
}

/// The frame in a sample; none for headers alone. A key frame of H.264 is marked as one too, for the parameter sets in it.
fn encoded(sample: &gst::SampleRef, origin: Time) -> Option<EncodedFrame> {
    let buffer = sample.buffer()?;
    let pts = buffer.pts()?;
    // x264enc counts from a thousand hours on, and says so in the segment.
    let segment = sample
        .segment()
        .and_then(|s| s.downcast_ref::<gst::ClockTime>());
    let pts = segment.and_then(|s| s.to_running_time(pts)).unwrap_or(pts);
    let media = sample.caps()?.structure(0)?;
    let alone = !media.has_name("video/x-h264");
    if alone && buffer.flags().contains(gst::BufferFlags::HEADER) {
        return None;
    }
    let data = buffer.map_readable().ok()?;
    Some(EncodedFrame {
        key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        capture: origin + pts.into(),
        media_us: pts.useconds(),
        data: Bytes::copy_from_slice(&data),
    })
}

/// Passes frames to the queue, and says what the track is before the first; none pass while `format` does not know.
/// `place` may move a frame on the stream's time line; it is told the frame's length in microseconds if the encoder says.
fn announcing(
    origin: Time,
    mut feed: TrackFeed,
    format: impl Fn(&gst::CapsRef) -> Option<TrackFormat> + Send + 'static,
    place: impl Fn(Option<u64>, &mut EncodedFrame) + Send + 'static,
) -> impl FnMut(&gst::Sample) + Send + 'static {
    let mut announced = false;
    move |sample| {
        let (Some(caps), Some(mut frame)) = (sample.caps(), encoded(sample, origin)) else {
            return;
        };
        if !announced {
            let Some(format) = format(caps) else { return };
            feed.announce(format);
            announced = true;
        }
        let length = sample.buffer().and_then(|buffer| buffer.duration());
        place(length.map(gst::ClockTime::useconds), &mut frame);
        feed.send(frame);
    }
}

#[cfg(test)]
mod tests;
