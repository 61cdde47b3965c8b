//! Opus by libopus, in packets of 20 ms.

use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;
use protocol::container::{Shape, TrackFormat};
use protocol::media::{Codec, EncodedFrame};
use protocol::time::Time;
use protocol::webm::opus_head;

use super::{Pipeline, announcing};
use crate::capture::{AudioBlock, AudioFormat};
use crate::config::AudioConfig;
use crate::elements;
use crate::feed::TrackFeed;
use crate::repeats::Repeats;

/// Opus' own rate; everything is brought to it.
const RATE_HZ: u32 = 48_000;
/// Encoder's look-ahead in samples where the encoder does not say: libopus' usual 6.5 ms.
const PRE_SKIP: u16 = 312;
/// Of ten: what libopus itself takes for granted on small processors. At 64 kbit/s the difference is not heard. Guess.
const COMPLEXITY: i32 = 5;
/// Length of a whole packet.
const PACKET_US: u64 = 20_000;
/// Blocks that may wait for the encoder: one second of 20 ms. Beyond, the board cannot keep up.
const MOST_WAITING: u64 = 50;

/// Encodes one track's sound.
#[derive(Debug)]
pub(crate) struct AudioEncoder {
    pipeline: Pipeline,
    format: AudioFormat,
    lost: Repeats,
}

impl AudioEncoder {
    /// Starts the encoder; packets go to `feed`, timed from `origin`.
    pub(crate) fn start(
        format: &AudioFormat,
        config: &AudioConfig,
        origin: Time,
        feed: TrackFeed,
    ) -> anyhow::Result<Self> {
        let (channels, kbps) = (format.channels, config.bitrate_kbps);
        let take = announcing(
            origin,
            feed,
            move |caps| Some(track_format(caps, channels, kbps)),
            place,
        );
        let opusenc = elements::make("opusenc")?;
        opusenc.set_property_from_str("frame-size", "20");
        opusenc.set_property("bitrate", kbps as i32 * 1000);
        opusenc.set_property("complexity", COMPLEXITY);
        let chain = [
            elements::make("audioconvert")?,
            elements::make("audioresample")?,
            opusenc,
        ];
        Ok(Self {
            pipeline: Pipeline::start(&caps(format), &chain, origin, take)?,
            format: *format,
            lost: Repeats::default(),
        })
    }

    /// Encodes a block, or loses it if the encoder is behind.
    pub(crate) fn push(&mut self, block: AudioBlock) -> anyhow::Result<()> {
        if self.pipeline.waiting() >= MOST_WAITING {
            if let Some(count) = self.lost.note(block.capture) {
                log::warn!("the encoder is too slow: {count} blocks of sound were lost before it");
            }
            return Ok(());
        }
        let frames = block.samples.len() as u64 / u64::from(self.format.channels.max(1));
        let length =
            gst::ClockTime::from_nseconds(frames * 1_000_000_000 / u64::from(self.format.rate_hz));
        let bytes: Vec<u8> = block.samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        self.pipeline.push(
            block.capture,
            Some(length),
            gst::Buffer::from_mut_slice(bytes),
        )
    }
}

/// Moves a packet to where WebM wants it.
///
/// Opus begins each packet [`PRE_SKIP`] before the sound it stands for, and GStreamer dates packets so.
/// WebM dates them by when the decoder gives them out. The first packet, whose beginning is cut off, is
/// in its place in both; moved so, all the others are 20 ms apart from it.
fn place(length_us: Option<u64>, packet: &mut EncodedFrame) {
    if length_us == Some(PACKET_US) {
        packet.media_us += u64::from(PRE_SKIP) * 1_000_000 / u64::from(RATE_HZ);
    }
}

fn caps(format: &AudioFormat) -> gst::Caps {
    gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", format.rate_hz as i32)
        .field("channels", i32::from(format.channels))
        .build()
}

fn track_format(caps: &gst::CapsRef, channels: u8, kbps: u32) -> TrackFormat {
    TrackFormat {
        codec: Codec::Opus,
        codec_private: stream_headers(caps)
            .into_iter()
            .next()
            .unwrap_or_else(|| opus_head(channels, PRE_SKIP, RATE_HZ)),
        kbps,
        shape: Shape::Audio {
            rate_hz: RATE_HZ,
            channels,
        },
    }
}

/// The codec's header packets, which GStreamer carries in the caps.
pub(crate) fn stream_headers(caps: &gst::CapsRef) -> Vec<Bytes> {
    let Some(headers) = caps
        .structure(0)
        .and_then(|s| s.get::<gst::Array>("streamheader").ok())
    else {
        return Vec::new();
    };
    headers
        .iter()
        .filter_map(|value| value.get::<gst::Buffer>().ok())
        .filter_map(|buffer| Some(Bytes::copy_from_slice(&buffer.map_readable().ok()?)))
        .collect()
}
