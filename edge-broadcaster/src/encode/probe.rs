//! Tries an encoder: gives it test pictures, decodes what it makes of them, and looks whether they are the same.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use protocol::time::Time;

use super::convert::{caps, described};
use super::rungs::{Coding, Rung};
use crate::capture::VideoFormat;
use crate::capture::picture::{Painter, read_clock_ms};
use crate::config::VideoConfig;
use crate::elements;

/// Pictures that are encoded. Guess: enough that some depend on others; software needs a fifth of a second for them.
const PICTURES: u64 = 10;
/// Time for all of them. Guess: one that is slower could not be used.
const LIMIT: Duration = Duration::from_secs(5);

/// How well an encoder did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proof {
    /// Pictures per second when it need not wait for them, decoding them again included.
    pub fps: f64,
    /// Seconds of processor time per second of video at the stream's rate, likewise.
    pub cores: f64,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} pictures/s, {:.2} cores", self.fps, self.cores)
    }
}

/// Encodes test pictures, and gives how quickly if each comes out as itself.
pub(super) fn probe(
    rung: &Rung,
    format: &VideoFormat,
    config: &VideoConfig,
) -> anyhow::Result<Proof> {
    let painter = Painter::new(format.width, format.height, format.fps);
    let shown_ms: Vec<u64> = (0..PICTURES).map(|n| 1_000 + n * 40).collect();
    let pictures = shown_ms
        .iter()
        .map(|&ms| painter.paint(Time::from_millis(ms)));
    let pictures: Vec<Vec<u8>> = pictures.collect();
    let line = Line::start(rung, painter.format(), config)?;
    let (began, cpu) = (Instant::now(), processor_time());
    for (picture, ms) in pictures.into_iter().zip(&shown_ms) {
        line.push(painter.format(), picture, *ms)?;
    }
    line.source.end_of_stream().context("it takes no end")?;
    let seen = line.clocks(began)?;
    let (took, cpu) = (began.elapsed(), processor_time().saturating_sub(cpu));
    let right: Vec<u32> = shown_ms.iter().map(|ms| *ms as u32).collect();
    // The processor may have much else to do just now, and be all there is: slow is right, too.
    let enough = match rung.on_processor {
        true => !seen.is_empty() && right.starts_with(&seen),
        false => seen == right,
    };
    anyhow::ensure!(
        enough,
        "of {PICTURES} test pictures {} came out right",
        seen.iter()
            .zip(&right)
            .filter(|(seen, right)| seen == right)
            .count()
    );
    let count = seen.len() as f64;
    Ok(Proof {
        fps: count / took.as_secs_f64().max(1e-6),
        cores: cpu.as_secs_f64() / count * f64::from(format.fps),
    })
}

/// Processor time of this process so far.
fn processor_time() -> Duration {
    let clock = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID);
    clock.map_or(Duration::ZERO, Duration::from)
}

/// `appsrc ! encoder ! decoder ! appsink`, stopped when dropped.
struct Line {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Line {
    fn start(rung: &Rung, format: &VideoFormat, config: &VideoConfig) -> anyhow::Result<Self> {
        let pipeline = gst::Pipeline::new();
        let (source, sink) = (elements::make("appsrc")?, elements::make("appsink")?);
        let filter = elements::make("capsfilter")?;
        let i420 = gst::Caps::builder("video/x-raw").field("format", "I420");
        filter.set_property("caps", i420.build());
        let mut chain = vec![elements::make("videoconvert")?];
        chain.extend(rung.make(format, config)?);
        if rung.coding == Coding::H264 {
            chain.push(elements::make("h264parse")?); // decoders want it as it was
        }
        chain.push(rung.coding.decoder()?);
        chain.push(elements::make("videoconvert")?);
        chain.push(filter);
        let all: Vec<_> = std::iter::once(&source)
            .chain(&chain)
            .chain(std::iter::once(&sink))
            .collect();
        elements::chain(&pipeline, &all)?;
        let source = source
            .downcast::<gst_app::AppSrc>()
            .map_err(|_| anyhow::anyhow!("appsrc is not an AppSrc"))?;
        source.set_caps(Some(&caps(format)));
        source.set_format(gst::Format::Time);
        let sink = sink
            .downcast::<gst_app::AppSink>()
            .map_err(|_| anyhow::anyhow!("appsink is not an AppSink"))?;
        sink.set_sync(false);
        let line = Self {
            pipeline,
            source,
            sink,
        };
        let started = line.pipeline.set_state(gst::State::Playing);
        started
            .map_err(|error| line.error().unwrap_or_else(|| error.into()))
            .context("it does not start")?;
        Ok(line)
    }

    fn push(&self, format: &VideoFormat, picture: Vec<u8>, at_ms: u64) -> anyhow::Result<()> {
        let mut buffer = described(format, picture)?;
        buffer
            .make_mut()
            .set_pts(gst::ClockTime::from_mseconds(at_ms));
        self.source
            .push_buffer(buffer)
            .context("it takes no picture")?;
        Ok(())
    }

    /// The clocks in the pictures that come out, until the end or the limit.
    fn clocks(&self, began: Instant) -> anyhow::Result<Vec<u32>> {
        let mut clocks = Vec::new();
        loop {
            let left = LIMIT.saturating_sub(began.elapsed());
            let left = gst::ClockTime::from_mseconds(left.as_millis() as u64);
            match self.sink.try_pull_sample(left) {
                Some(sample) => clocks.push(clock(&sample)?),
                None if self.sink.is_eos() => return Ok(clocks),
                None => match self.error() {
                    Some(error) => return Err(error),
                    None => return Ok(clocks), // its time is over
                },
            }
        }
    }

    fn error(&self) -> Option<anyhow::Error> {
        elements::error_of(&self.pipeline)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn clock(sample: &gst::Sample) -> anyhow::Result<u32> {
    let info = gst_video::VideoInfo::from_caps(sample.caps().context("no format")?)?;
    let buffer = sample.buffer().context("no picture")?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)?;
    let stride = frame.plane_stride()[0].unsigned_abs() as usize;
    read_clock_ms(frame.plane_data(0)?, stride).context("the picture is too small")
}
