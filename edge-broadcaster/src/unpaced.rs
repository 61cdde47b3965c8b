//! The straight line without a clock: pictures and sound as fast as they are encoded, through to sealed chunks. For
//! measurements of what would add up over months; nothing of a service uses it.

use anyhow::Context;
use protocol::id::StreamId;
use protocol::media::Track;
use protocol::security::otdp::Sealer;
use protocol::security::secret::{Seed, StreamKey};
use protocol::time::Time;

use crate::broadcast::Run;
use crate::capture::tone::Tone;
use crate::capture::{Pixels, VideoFormat};
use crate::clock::Clock;
use crate::config::{AudioConfig, VideoConfig};
use crate::elements;
use crate::encode::rungs::Rung;
use crate::encode::{AudioEncoder, VideoEncoder, described};
use crate::feed::{Fed, Feed};
use crate::source::SourceEvent;

/// Small pictures: what is looked for is what stays behind of each, whatever its size.
const FORMAT: VideoFormat = VideoFormat {
    pixels: Pixels::I420,
    width: 96,
    height: 64,
    fps: 30,
    stride: 96,
};

/// One stream at work.
pub struct Unpaced {
    pictures: VideoEncoder,
    sound: AudioEncoder,
    tone: Tone,
    fed: Fed,
    /// Once both tracks have said what they are.
    run: Option<Run>,
    frames: u64,
    chunks: u64,
}

impl Unpaced {
    /// Starts the encoders, both in software.
    pub fn start() -> anyhow::Result<Self> {
        elements::init()?;
        let (feed, fed) = Feed::new(Clock::start())?;
        let rung = Rung::named("vp8enc").context("vp8enc is not known")?;
        let (video, audio) = (VideoConfig::default(), AudioConfig::default());
        let (to_video, to_audio) = (feed.track(Track::Video), feed.track(Track::Audio));
        let (origin, kbps) = (Time::ZERO, video.bitrate_kbps);
        Ok(Self {
            pictures: VideoEncoder::start(rung, &FORMAT, &FORMAT, &video, kbps, origin, to_video)?,
            sound: AudioEncoder::start(&Tone::FORMAT, &audio, origin, to_audio)?,
            tone: Tone::new(origin),
            fed,
            run: None,
            frames: 0,
            chunks: 0,
        })
    }

    /// Encodes the next picture and the sound up to it, and makes chunks of what comes out.
    pub async fn step(&mut self) -> anyhow::Result<()> {
        let capture = Time::from_micros(self.frames * 1_000_000 / u64::from(FORMAT.fps));
        // Something that moves, and has an edge.
        let grey = |at: usize| ((at as u64 + 3 * self.frames) % 200) as u8;
        let data = (0..FORMAT.size().unwrap_or(0)).map(grey).collect();
        while self.tone.next_at() <= capture {
            self.sound.push(self.tone.next_block())?;
        }
        self.pictures.push(capture, described(&FORMAT, data)?)?;
        self.frames += 1;
        loop {
            let event = self.fed.events.recv().await;
            let (track, frame) = match event.context("the encoders are gone")? {
                SourceEvent::Frame(track, frame) => (track, frame),
                SourceEvent::Failed(error) => return Err(error),
                other => anyhow::bail!("{other:?} of a source without an end"),
            };
            let is_it = track == Track::Video && frame.capture == capture;
            // The sound's first packet, which tells its format, comes after some pictures.
            if self.run.is_none() && self.frames > 10 {
                self.run = Some(self.begin().await?);
            }
            if let Some(run) = &mut self.run {
                self.chunks += run.chunks(track, frame).len() as u64;
            }
            if is_it {
                return Ok(());
            }
        }
    }

    async fn begin(&mut self) -> anyhow::Result<Run> {
        let tracks = self.fed.formats(2).await?;
        let key = StreamKey::from_bytes([2; 32]);
        let sealer = Sealer::new(&Seed::from_bytes([1; 32]), 1, key);
        let stream = StreamId::from_bytes([3; 16]);
        Ok(Run::new(stream, 1, 1, sealer, Time::ZERO, &tracks))
    }

    /// Chunks that were made so far.
    pub const fn chunks(&self) -> u64 {
        self.chunks
    }
}
