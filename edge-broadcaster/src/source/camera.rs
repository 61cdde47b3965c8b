//! A camera and a microphone. Whatever happens to them, the stream goes on: a camera that is away is a slate, a
//! microphone that is away is silence. Only an encoder that fails ends the source.
//!
//! Three threads, none of which waits for another: [`keeper`] has the camera, [`pictures`] shows what there is,
//! and [`sound`] has the microphone.

use std::sync::{Arc, OnceLock};

use protocol::media::Track;

use self::keeper::{Found, Keeper};
use self::pictures::Pictures;
use self::sound::Sound;
use super::Threads;
use crate::capture::alsa;
use crate::capture::timeline::Timeline;
use crate::capture::{Pixels, VideoFormat};
use crate::clock::Clock;
use crate::config::{CameraConfig, StreamConfig};
use crate::encode::{AudioEncoder, Ladder};
use crate::feed::Feed;

mod keeper;
mod own;
mod pictures;
mod sound;
mod stage;

pub(super) fn launch(
    config: &StreamConfig,
    camera: &CameraConfig,
    clock: Clock,
    feed: &Feed,
) -> anyhow::Result<(Threads, usize)> {
    let video = &config.video;
    let own = video.in_order().iter().any(|rung| rung.is_camera());
    let mut found = Found::first(camera, video, own);
    let format = shown(found.as_ref().ok(), camera, config);
    let origin = clock.now();
    let encoder = Ladder::start(&format, video, origin, feed)?;
    let own = own && video.own_before(encoder.rung());
    if found.as_ref().is_ok_and(Found::is_own) && !own {
        drop(found); // closed before it is opened again
        found = Found::first(camera, video, false);
    }
    let mut threads = Threads::new(feed);
    let (teller, news) = pictures::way();
    let shown = Pictures::new(&format, encoder, clock);
    threads.spawn("pictures", move |stop| shown.run(&news, stop))?;
    let known = Arc::new(OnceLock::new());
    let keeper = Keeper {
        camera: camera.clone(),
        video: config.video.clone(),
        format,
        clock,
        origin,
        to: teller,
        first: Arc::clone(&known),
        own,
        tally: feed.tally().clone(),
        wish: feed.wish().clone(),
    };
    if let Ok(found) = &found {
        let _ = known.set(found.camera.identity.clone()); // nobody else has it yet
    }
    threads.spawn("camera", move |stop| keeper.run(found, stop))?;
    if !config.audio.enabled {
        return Ok((threads, 1));
    }
    let track = feed.track(Track::Audio);
    let sound = Sound {
        microphone: camera.microphone.clone(),
        gain_db: config.audio.gain_db,
        camera: known,
        clock,
        encoder: AudioEncoder::start(&alsa::FORMAT, &config.audio, origin, track)?,
        timeline: Timeline::new(origin),
    };
    threads.spawn("microphone", move |stop| sound.run(stop))?;
    Ok((threads, 2))
}

/// What the encoder gets, for as long as the source runs: what the camera was set to, turned, or what is wanted if
/// there is no camera yet.
fn shown(found: Option<&Found>, camera: &CameraConfig, config: &StreamConfig) -> VideoFormat {
    let wanted = &config.video;
    let given = found.map(|found| {
        let format = found.opened.format();
        let (width, height) = keeper::turned(camera.rotation, format.width, format.height);
        (width, height, format.fps)
    });
    let (width, height, fps) = given.unwrap_or((wanted.width, wanted.height, wanted.fps));
    VideoFormat {
        pixels: Pixels::I420,
        width,
        height,
        fps,
        stride: width,
    }
}
