//! Brings whatever a camera gives into the one layout and size that a stream's encoder takes.
//!
//! Apart from the encoder, so that a camera may come back with another mode, or be another camera, while the
//! encoder and its epoch go on. A picture of other proportions keeps them, between black bars.

use anyhow::Context;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;
use protocol::time::Time;

use super::Pipeline;
use crate::capture::{Pixels, VideoFormat, VideoFrame};
use crate::config::Rotation;
use crate::elements;

/// Pictures that may wait. Two are within the jitter of a loaded board; more would only grow old.
const MOST_WAITING: u64 = 2;

/// Converts one camera's pictures, for as long as it runs.
#[derive(Debug)]
pub(crate) struct Converter {
    pipeline: Pipeline,
    format: VideoFormat,
}

impl Converter {
    /// Starts the conversion from `from`, turned, to `to`, which is I420; `take` gets each picture and its capture time.
    pub(crate) fn start(
        from: &VideoFormat,
        to: &VideoFormat,
        rotation: Rotation,
        origin: Time,
        mut take: impl FnMut(Time, gst::Buffer) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let mut chain = Vec::new();
        if from.pixels == Pixels::Mjpeg {
            chain.push(jpegdec()?);
        }
        chain.push(elements::make("videoconvert")?);
        if rotation != Rotation::None {
            chain.push(turned(rotation)?);
        }
        chain.push(elements::make("videoscale")?);
        let filter = elements::make("capsfilter")?;
        filter.set_property("caps", wanted(to));
        chain.push(filter);
        let taken = move |sample: &gst::Sample| {
            let buffer = sample.buffer_owned();
            if let Some((pts, buffer)) = buffer.and_then(|b| Some((b.pts()?, b))) {
                take(origin + pts.into(), buffer);
            }
        };
        Ok(Self {
            pipeline: Pipeline::start(&caps(from), &chain, origin, taken)?,
            format: *from,
        })
    }

    /// Converts a picture. False if it is lost because those before it still wait; the error may be of an
    /// earlier picture.
    pub(crate) fn push(&self, frame: VideoFrame) -> anyhow::Result<bool> {
        if self.pipeline.waiting() >= MOST_WAITING {
            return Ok(false);
        }
        let buffer = described(&self.format, frame.data)?;
        self.pipeline.push(frame.capture, None, buffer)?;
        Ok(true)
    }

    /// Pictures that have not been taken up yet.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u64 {
        self.pipeline.waiting()
    }
}

fn turned(rotation: Rotation) -> anyhow::Result<gst::Element> {
    let flip = elements::make("videoflip")?;
    flip.set_property_from_str(
        "video-direction",
        match rotation {
            Rotation::None => "identity",
            Rotation::Right => "90r",
            Rotation::Half => "180",
            Rotation::Left => "90l",
        },
    );
    Ok(flip)
}

fn jpegdec() -> anyhow::Result<gst::Element> {
    let decoder = elements::make("jpegdec")?;
    // A damaged picture costs itself, however many there are: a camera that gives nothing else is found out
    // by what does not come.
    if decoder.has_property("max-errors") {
        decoder.set_property("max-errors", -1_i32);
    }
    Ok(decoder)
}

/// A buffer that says where its rows and planes are; what is compressed has none.
pub(crate) fn described(format: &VideoFormat, data: Vec<u8>) -> anyhow::Result<gst::Buffer> {
    let mut buffer = gst::Buffer::from_mut_slice(data);
    let Some(layout) = gst_format(format.pixels) else {
        return Ok(buffer);
    };
    let (offsets, strides) = format.planes();
    gst_video::VideoMeta::add_full(
        buffer.make_mut(),
        gst_video::VideoFrameFlags::empty(),
        layout,
        format.width,
        format.height,
        &offsets,
        &strides,
    )
    .context("describing a picture to GStreamer")?;
    Ok(buffer)
}

/// How GStreamer calls pictures of a format.
pub(super) fn caps(format: &VideoFormat) -> gst::Caps {
    let builder = match (format.pixels, gst_format(format.pixels)) {
        (_, Some(pixels)) => gst::Caps::builder("video/x-raw").field("format", pixels.to_str()),
        (Pixels::H264, _) => gst::Caps::builder("video/x-h264")
            .field("stream-format", "byte-stream")
            .field("alignment", "au"),
        _ => gst::Caps::builder("image/jpeg"),
    };
    builder
        .field("width", format.width as i32)
        .field("height", format.height as i32)
        .field("framerate", gst::Fraction::new(format.fps as i32, 1))
        .build()
}

/// Square pixels: else a picture of other proportions would be stretched and declared to be narrow.
fn wanted(to: &VideoFormat) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", to.width as i32)
        .field("height", to.height as i32)
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build()
}

const fn gst_format(pixels: Pixels) -> Option<gst_video::VideoFormat> {
    match pixels {
        Pixels::I420 => Some(gst_video::VideoFormat::I420),
        Pixels::Nv12 => Some(gst_video::VideoFormat::Nv12),
        Pixels::Yuyv => Some(gst_video::VideoFormat::Yuy2),
        Pixels::Mjpeg | Pixels::H264 => None,
    }
}
