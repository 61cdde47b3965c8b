//! A camera and a microphone. Whatever happens to them, the stream goes on: a camera that is away is a slate, a
//! microphone that is away is silence. Only an encoder that fails ends the source.
//!
//! Three threads, none of which waits for another: [`keeper`] has the camera, [`pictures`] shows what there is,
//! and the microphone's.

use std::time::Duration;

use protocol::media::Track;
use protocol::time::Time;

use self::keeper::{Found, Keeper};
use self::pictures::Pictures;
use super::Threads;
use crate::capture::alsa::{self, Chosen};
use crate::capture::timeline::Timeline;
use crate::capture::{Pixels, VideoFormat};
use crate::clock::Clock;
use crate::config::{Device, StreamConfig, VideoConfig};
use crate::encode::{AudioEncoder, VideoEncoder};
use crate::feed::Feed;
use crate::stop::Stop;

mod keeper;
mod pictures;
mod stage;

/// Pause before a microphone that failed is tried again. Guess.
const PAUSE: Duration = Duration::from_secs(2);
/// Silence is made in steps of a packet.
const STEP: Duration = Duration::from_millis(20);

pub(super) fn launch(
    config: &StreamConfig,
    device: &Device,
    microphone: Chosen,
    clock: Clock,
    feed: &Feed,
) -> anyhow::Result<(Threads, usize)> {
    let found = Found::first(device, &config.video);
    let format = shown(found.as_ref().ok(), &config.video);
    log::info!(
        "pictures of {}x{} at {} frames/s; microphone: {}",
        format.width,
        format.height,
        format.fps,
        describe(&microphone)
    );
    let origin = clock.now();
    let encoder = VideoEncoder::start(&format, &config.video, origin, feed.track(Track::Video))?;
    let mut threads = Threads::new(feed);
    let (teller, news) = pictures::way();
    let shown = Pictures::new(&format, encoder, clock);
    threads.spawn("pictures", move |stop| shown.run(&news, stop))?;
    let keeper = Keeper {
        device: device.clone(),
        video: config.video.clone(),
        format,
        clock,
        origin,
        to: teller,
    };
    threads.spawn("camera", move |stop| keeper.run(found, stop))?;
    if !config.audio.enabled {
        return Ok((threads, 1));
    }
    let track = feed.track(Track::Audio);
    let sound = AudioEncoder::start(&alsa::FORMAT, &config.audio, origin, track)?;
    let sound = Sound {
        clock,
        encoder: sound,
        timeline: Timeline::new(origin),
    };
    threads.spawn("microphone", move |stop| sound.run(&microphone, stop))?;
    Ok((threads, 2))
}

/// What the encoder gets, for as long as the source runs: what the camera was set to, or what is wanted of it if
/// there is none yet.
fn shown(found: Option<&Found>, wanted: &VideoConfig) -> VideoFormat {
    let (width, height, fps) = found.map_or((wanted.width, wanted.height, wanted.fps), |found| {
        let format = found.opened.format();
        (format.width, format.height, format.fps)
    });
    VideoFormat {
        pixels: Pixels::I420,
        width,
        height,
        fps,
        stride: width,
    }
}

fn describe(microphone: &Chosen) -> &str {
    match microphone {
        Chosen::Silence => "none",
        Chosen::Device(name) => name,
    }
}

/// The sound track: of a microphone while there is one, else silence.
struct Sound {
    clock: Clock,
    encoder: AudioEncoder,
    timeline: Timeline,
}

impl Sound {
    fn run(mut self, microphone: &Chosen, stop: &Stop) -> anyhow::Result<()> {
        while !stop.is_set() {
            match microphone {
                Chosen::Silence => self.silence(Time::NEVER, stop)?,
                Chosen::Device(name) => self.listen(name, stop)?,
            }
        }
        Ok(())
    }

    /// Takes a microphone's sound until it fails, and then silence for a while: the picture goes on.
    fn listen(&mut self, name: &str, stop: &Stop) -> anyhow::Result<()> {
        let heard = alsa::Opened::new(name).and_then(|opened| {
            let (encoder, timeline) = (&mut self.encoder, &mut self.timeline);
            opened.run(self.clock, stop, |heard, samples| {
                let mut blocks = timeline.add(heard, samples).into_iter();
                blocks.try_for_each(|block| encoder.push(block))
            })
        });
        if let Err(error) = heard {
            log::warn!("{error:#}; silence until it comes back");
            self.silence(self.clock.now() + PAUSE, stop)?;
        }
        Ok(())
    }

    fn silence(&mut self, until: Time, stop: &Stop) -> anyhow::Result<()> {
        while self.clock.now() < until
            && stop.sleep_until(self.clock, self.timeline.next_at() + STEP)
        {
            let mut blocks = Vec::new();
            self.timeline.fill_until(self.clock.now(), &mut blocks);
            for block in blocks {
                self.encoder.push(block)?;
            }
        }
        Ok(())
    }
}
