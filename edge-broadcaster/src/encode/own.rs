//! A camera's own H.264: brought into the form that is sent, and not touched otherwise.

use anyhow::Context;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use protocol::avc;
use protocol::container::{Shape, TrackFormat};
use protocol::media::EncodedFrame;
use protocol::time::Time;

use super::conduct::{self, Conduct};
use super::convert::caps;
use super::rungs::Coding;
use super::{Pipeline, encoded};
use crate::capture::{VideoFormat, VideoFrame};
use crate::elements;

/// Pictures that may wait. Nothing here takes long but the first decoding, and they are small: a second of them.
const MOST_WAITING: u64 = 30;
/// Time for the decoder. Guess: one that is slower could not be used.
const LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(5);

/// A picture that the camera encoded.
#[derive(Debug, Clone)]
pub(crate) struct OwnPicture {
    /// What it is part of.
    pub(crate) format: TrackFormat,
    /// It.
    pub(crate) frame: EncodedFrame,
    /// Whether none was lost since the one before.
    pub(crate) follows: bool,
}

/// Takes one camera's own pictures, for as long as it runs.
#[derive(Debug)]
pub(crate) struct Own {
    pipeline: Pipeline,
}

impl Own {
    /// Starts it for a camera that was set to `from`, and to so many kbit/s; `take` gets each picture, or what is wrong with it.
    pub(crate) fn start(
        from: &VideoFormat,
        kbps: u32,
        origin: Time,
        mut take: impl FnMut(anyhow::Result<OwnPicture>) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let filter = elements::make("capsfilter")?;
        let sent = gst::Caps::builder("video/x-h264")
            .field("stream-format", "avc")
            .field("alignment", "au");
        filter.set_property("caps", sent.build());
        let chain = [elements::make("h264parse")?, filter];
        let (from, mut conduct) = (*from, Conduct::default());
        let taken = move |sample: &gst::Sample| {
            let picture = conduct
                .check(sample)
                .and_then(|()| picture(sample, &from, kbps, origin));
            if let Some(picture) = picture.transpose() {
                take(picture);
            }
        };
        let pipeline = Pipeline::start(&caps(&from), &chain, origin, taken)?;
        Ok(Self { pipeline })
    }

    /// Hands a picture on; `follows`: none was lost since the one before. False if it is lost because those before it still
    /// wait; the error may be of an earlier picture.
    pub(crate) fn push(&self, frame: VideoFrame, follows: bool) -> anyhow::Result<bool> {
        if self.pipeline.waiting() >= MOST_WAITING {
            return Ok(false);
        }
        let mut buffer = gst::Buffer::from_mut_slice(frame.data);
        if !follows {
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        self.pipeline.push(frame.capture, None, buffer)?;
        Ok(true)
    }
}

fn picture(
    sample: &gst::Sample,
    from: &VideoFormat,
    kbps: u32,
    origin: Time,
) -> anyhow::Result<Option<OwnPicture>> {
    let (Some(caps), Some(buffer), Some(mut frame)) =
        (sample.caps(), sample.buffer(), encoded(sample, origin))
    else {
        return Ok(None);
    };
    if !avc::is_picture(&frame.data) {
        return Ok(None); // parameter sets that came by themselves
    }
    frame.key &= avc::is_idr(&frame.data);
    let (codec, codec_private) = conduct::described(caps)?;
    Ok(Some(OwnPicture {
        format: TrackFormat {
            codec,
            codec_private,
            kbps,
            shape: Shape::Video {
                width: from.width,
                height: from.height,
                frame_ns: 1_000_000_000 / u64::from(from.fps.max(1)),
            },
        },
        frame,
        follows: !buffer.flags().contains(gst::BufferFlags::DISCONT),
    }))
}

/// Whether a key frame and what follows it are pictures of the size that their camera promised: decodes them. Several, for some
/// decoders keep one back where its profile allows for others between.
pub(crate) fn decodes(pictures: &[OwnPicture]) -> anyhow::Result<()> {
    let format = pictures.first().map(|picture| &picture.format);
    let format = format.context("there is no picture")?;
    let Shape::Video { width, height, .. } = format.shape else {
        anyhow::bail!("it is no picture");
    };
    let record = gst::Buffer::from_slice(format.codec_private.clone());
    let given = gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("codec_data", record);
    let pipeline = gst::Pipeline::new();
    let (source, sink) = (elements::make("appsrc")?, elements::make("appsink")?);
    let (parser, decoder) = (elements::make("h264parse")?, Coding::H264.decoder()?);
    elements::chain(&pipeline, &[&source, &parser, &decoder, &sink])?;
    let source = source
        .downcast::<gst_app::AppSrc>()
        .map_err(|_| anyhow::anyhow!("appsrc is not an AppSrc"))?;
    let sink = sink
        .downcast::<gst_app::AppSink>()
        .map_err(|_| anyhow::anyhow!("appsink is not an AppSink"))?;
    source.set_caps(Some(&given.build()));
    source.set_format(gst::Format::Time);
    sink.set_sync(false);
    let seen = pipeline.set_state(gst::State::Playing).ok().and_then(|_| {
        for picture in pictures {
            let mut buffer = gst::Buffer::from_slice(picture.frame.data.clone());
            let pts = gst::ClockTime::from_useconds(picture.frame.media_us);
            buffer.make_mut().set_pts(pts);
            source.push_buffer(buffer).ok()?;
        }
        source.end_of_stream().ok()?;
        sink.try_pull_sample(LIMIT)
    });
    let _ = pipeline.set_state(gst::State::Null);
    let seen = seen.and_then(|sample| {
        let structure = sample.caps()?.structure(0)?;
        Some((
            structure.get::<i32>("width").ok()?,
            structure.get::<i32>("height").ok()?,
        ))
    });
    match seen {
        None => anyhow::bail!("its pictures do not decode"),
        Some(size) if size == (width as i32, height as i32) => Ok(()),
        Some((w, h)) => anyhow::bail!("its pictures are {w}x{h}, and were to be {width}x{height}"),
    }
}
