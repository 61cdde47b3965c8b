//! The test picture and the test tone, paced by the clock and encoded like a camera's.

use std::time::Duration;

use protocol::media::Track;
use protocol::time::Time;

use super::Threads;
use crate::capture::VideoFrame;
use crate::capture::picture::Painter;
use crate::capture::tone::Tone;
use crate::clock::Clock;
use crate::config::StreamConfig;
use crate::encode::{AudioEncoder, Ladder};
use crate::feed::Feed;
use crate::stop::Stop;

/// A tone further behind than this is not caught up with: the process was asleep.
const ASLEEP: Duration = Duration::from_secs(1);

pub(super) fn launch(
    config: &StreamConfig,
    clock: Clock,
    feed: &Feed,
) -> anyhow::Result<(Threads, usize)> {
    let origin = clock.now();
    let video = &config.video;
    let painter = Painter::new(video.width, video.height, video.fps);
    let pictures = Ladder::start(painter.format(), video, origin, feed)?;
    let mut threads = Threads::new(feed);
    threads.spawn("test-picture", move |stop| {
        paint(&painter, pictures, origin, clock, stop)
    })?;
    if !config.audio.enabled {
        return Ok((threads, 1));
    }
    let track = feed.track(Track::Audio);
    let sound = AudioEncoder::start(&Tone::FORMAT, &config.audio, origin, track)?;
    threads.spawn("test-tone", move |stop| hum(sound, origin, clock, stop))?;
    Ok((threads, 2))
}

fn paint(
    painter: &Painter,
    mut encoder: Ladder,
    origin: Time,
    clock: Clock,
    stop: &Stop,
) -> anyhow::Result<()> {
    let fps = u64::from(painter.format().fps);
    let mut tick = 0;
    loop {
        let capture = Time::from_micros(origin.as_micros() + tick * 1_000_000 / fps);
        if !stop.sleep_until(clock, capture) {
            return Ok(());
        }
        encoder.push_painted(VideoFrame {
            capture,
            data: painter.paint(capture),
        })?;
        // A camera shows what is, not what was: ticks that passed meanwhile are left out.
        let passed = clock.now().since(origin).as_micros() as u64 * fps / 1_000_000;
        tick = passed.max(tick) + 1;
    }
}

fn hum(mut encoder: AudioEncoder, origin: Time, clock: Clock, stop: &Stop) -> anyhow::Result<()> {
    let mut tone = Tone::new(origin);
    while stop.sleep_until(clock, tone.next_at()) {
        let now = clock.now();
        if now.since(tone.next_at()) > ASLEEP {
            tone.skip_to(now);
        }
        encoder.push(tone.next_block())?;
    }
    Ok(())
}
