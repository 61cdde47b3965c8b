//! Takes a WebM file apart, by GStreamer's demuxer, into packets in the order of the file.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use protocol::container::TrackFormat;
use protocol::media::{Codec, Track};

use super::format::{Unplayable, codec_of, format_of};
use crate::elements;

/// Packets that may wait between the demuxer and its reader; then the demuxer waits.
const WAITING: usize = 64;
/// Time to wait for the next packet of a file. Guess: a sleeping disk wakes up in ten seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// One frame of the file.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) track: Track,
    pub(super) key: bool,
    /// Its time in the file, microseconds.
    pub(super) at_us: u64,
    /// How long it lasts, if the file says.
    pub(super) length_us: Option<u64>,
    pub(super) data: Bytes,
}

/// What the demuxer gives, in the order of the file.
#[derive(Debug)]
pub(super) enum Item {
    /// A track, before its first packet. Its rate is not known yet.
    Track(TrackFormat),
    Packet(Packet),
    /// The file holds more video or audio tracks than are sent.
    Surplus(Track),
    Unplayable(Unplayable),
    /// The end, or why the file cannot be read on.
    End(Result<(), String>),
}

/// A file being read.
#[derive(Debug)]
pub(super) struct Demuxer {
    pipeline: gst::Pipeline,
    items: Option<Receiver<Item>>,
}

impl Demuxer {
    /// Opens a file and begins to read.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let pipeline = gst::Pipeline::new();
        let source = elements::make("filesrc")?;
        source.set_property("location", path);
        let demuxer = elements::make("matroskademux")?;
        elements::exists("appsink")?;
        elements::chain(&pipeline, &[&source, &demuxer])?;
        let (sender, items) = sync_channel(WAITING);
        report_end(&pipeline, sender.clone());
        let weak = pipeline.downgrade();
        demuxer.connect_pad_added(move |_, pad| {
            if let Some(pipeline) = weak.upgrade() {
                take_track(&pipeline, pad, &sender);
            }
        });
        let opened = Self {
            pipeline,
            items: Some(items),
        };
        // A failure here is reported in full on the bus, hence as an Item.
        let _ = opened.pipeline.set_state(gst::State::Playing);
        Ok(opened)
    }

    /// The next item. After the end, more ends.
    pub(super) fn next(&self) -> anyhow::Result<Item> {
        let items = self.items.as_ref().context("the file is closed")?;
        match items.recv_timeout(PATIENCE) {
            Ok(item) => Ok(item),
            Err(RecvTimeoutError::Disconnected) => Ok(Item::End(Ok(()))),
            Err(RecvTimeoutError::Timeout) => anyhow::bail!(
                "the file gave nothing for {} s: is its disk there?",
                PATIENCE.as_secs()
            ),
        }
    }

    /// The length that the file states.
    pub(super) fn length_us(&self) -> Option<u64> {
        let length = self.pipeline.query_duration::<gst::ClockTime>()?;
        Some(length.useconds()).filter(|&us| us > 0)
    }
}

impl Drop for Demuxer {
    fn drop(&mut self) {
        // First the receiver: a demuxer that waits for room would never see the change of state.
        self.items = None;
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Sends the file's end, or its error, after its packets: both come from the demuxer's own thread.
fn report_end(pipeline: &gst::Pipeline, sender: SyncSender<Item>) {
    let Some(bus) = pipeline.bus() else { return };
    bus.set_sync_handler(move |_, message| {
        let end = match message.view() {
            gst::MessageView::Eos(_) => Ok(()),
            gst::MessageView::Error(error) => Err(error.error().to_string()),
            _ => return gst::BusSyncReply::Drop,
        };
        let _ = sender.send(Item::End(end));
        gst::BusSyncReply::Drop
    });
}

fn take_track(pipeline: &gst::Pipeline, pad: &gst::Pad, sender: &SyncSender<Item>) {
    let Some(caps) = pad.current_caps().or_else(|| pad.allowed_caps()) else {
        return;
    };
    let item = match codec_of(&caps) {
        Ok(None) => return, // subtitles and the like
        Err(unplayable) => Item::Unplayable(unplayable),
        Ok(Some(codec)) => {
            let name = sink_name(codec.track());
            if pipeline.by_name(name).is_none() {
                if let Err(error) = link(pipeline, pad, name, codec, sender.clone()) {
                    let _ = sender.send(Item::End(Err(format!("{error:#}"))));
                }
                return;
            }
            Item::Surplus(codec.track())
        }
    };
    let _ = sender.send(item);
}

const fn sink_name(track: Track) -> &'static str {
    match track {
        Track::Video => "video",
        Track::Audio => "audio",
    }
}

fn link(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    name: &str,
    codec: Codec,
    sender: SyncSender<Item>,
) -> anyhow::Result<()> {
    let sink = gst_app::AppSink::builder()
        .name(name)
        .sync(false)
        // Without queues the demuxer's one thread fills both sinks: neither may wait for the other.
        .async_(false)
        .build();
    let mut track = Unpacked {
        codec,
        headers: Vec::new(),
        announced: false,
        sender,
    };
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                track.take(&sample).ok_or(gst::FlowError::Eos)?;
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    pipeline.add(&sink)?;
    sink.sync_state_with_parent()?;
    let target = sink.static_pad("sink").context("an appsink has no pad")?;
    pad.link(&target)?;
    Ok(())
}

/// One track on its way from GStreamer to the reader.
struct Unpacked {
    codec: Codec,
    headers: Vec<Bytes>,
    announced: bool,
    sender: SyncSender<Item>,
}

impl Unpacked {
    /// Passes a sample on. `None` when nobody reads any more.
    fn take(&mut self, sample: &gst::SampleRef) -> Option<()> {
        let buffer = sample.buffer()?;
        let data = Bytes::copy_from_slice(&buffer.map_readable().ok()?);
        if self.is_header(buffer, &data) {
            self.headers.push(data);
            return Some(());
        }
        // A damaged file may have frames without a time: they cannot be played.
        let Some(at) = buffer.pts() else {
            return Some(());
        };
        if !self.announced {
            let format = format_of(self.codec, sample.caps()?, &self.headers);
            self.sender.send(Item::Track(format)).ok()?;
            self.announced = true;
        }
        let track = self.codec.track();
        let packet = Packet {
            track,
            key: track == Track::Audio || !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            at_us: at.useconds(),
            length_us: buffer.duration().map(gst::ClockTime::useconds),
            data,
        };
        self.sender.send(Item::Packet(packet)).ok()
    }

    /// Vorbis' headers have an odd first byte, its frames an even one; Opus' begin with their name.
    fn is_header(&self, buffer: &gst::BufferRef, data: &[u8]) -> bool {
        match self.codec {
            Codec::Vorbis => data.first().is_some_and(|first| first & 1 == 1),
            Codec::Opus => data.starts_with(b"OpusHead") || data.starts_with(b"OpusTags"),
            _ => buffer.flags().contains(gst::BufferFlags::HEADER),
        }
    }
}
