//! A camera and a microphone. A missing microphone is silence, unless no sound is wanted at all.

use std::time::Duration;

use protocol::media::Track;
use protocol::time::Time;

use super::Threads;
use crate::capture::alsa::{self, Chosen};
use crate::capture::timeline::Timeline;
use crate::capture::v4l2::{self, Camera};
use crate::clock::Clock;
use crate::config::StreamConfig;
use crate::encode::{AudioEncoder, VideoEncoder};
use crate::feed::Feed;
use crate::stop::Stop;

/// Pause before a microphone that failed is tried again. Guess.
const PAUSE: Duration = Duration::from_secs(5);
/// Silence is made in steps of a packet.
const STEP: Duration = Duration::from_millis(20);

pub(super) fn launch(
    config: &StreamConfig,
    camera: &Camera,
    microphone: Chosen,
    clock: Clock,
    feed: &Feed,
) -> anyhow::Result<(Threads, usize)> {
    let video = &config.video;
    let opened = v4l2::Opened::new(camera, video.width, video.height, video.fps)?;
    let format = *opened.format();
    log::info!(
        "camera {} ({}): {:?} {}x{} at {} frames/s; microphone: {}",
        camera.path.display(),
        camera.name,
        format.pixels,
        format.width,
        format.height,
        format.fps,
        describe(&microphone)
    );
    let origin = clock.now();
    let mut pictures = VideoEncoder::start(&format, video, origin, feed.track(Track::Video))?;
    let mut threads = Threads::new(feed);
    threads.spawn("camera", move |stop| {
        opened.run(clock, stop, |frame| pictures.push(frame))
    })?;
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
