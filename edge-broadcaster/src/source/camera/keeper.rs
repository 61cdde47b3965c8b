//! The thread that keeps a camera going: finds it, opens it, takes its pictures, and begins again whenever that
//! ends. It waits for drivers, so nobody waits for it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use protocol::time::Time;

use super::pictures::{News, Teller};
use super::stage::Away;
use crate::capture::VideoFormat;
use crate::capture::v4l2::{self, Camera, Identity, Opened, Trouble, Wanted};
use crate::clock::Clock;
use crate::config::{CameraConfig, Rotation, VideoConfig};
use crate::encode::Converter;
use crate::repeats::Repeats;
use crate::stop::Stop;

/// Pause before a camera is looked for again. A look takes a few milliseconds, and viewers want to see it within
/// three seconds of being plugged in, of which it needs up to two to wake up.
const PAUSE: Duration = Duration::from_millis(300);
/// The same trouble is said again after this long, so that the end of a log says what is wrong.
const REMIND: Duration = Duration::from_secs(600);

/// A camera that was opened, and who it is.
pub(super) struct Found {
    pub(super) camera: Camera,
    pub(super) opened: Opened,
}

impl Found {
    /// The camera that the configuration asks for, opened.
    pub(super) fn first(config: &CameraConfig, video: &VideoConfig) -> Result<Self, Trouble> {
        Self::again(config, video, None)
    }

    /// The same, if one was used before.
    fn again(
        config: &CameraConfig,
        video: &VideoConfig,
        known: Option<&Identity>,
    ) -> Result<Self, Trouble> {
        let (width, height) = turned(config.rotation, video.width, video.height);
        let wanted = Wanted {
            width,
            height,
            fps: video.fps,
            controls: &config.controls,
        };
        let mut first = None;
        for camera in v4l2::choose(&config.device, known)? {
            match Opened::new(&camera, &wanted) {
                Ok(opened) => return Ok(Self { camera, opened }),
                Err(trouble) => first = first.or(Some(trouble)),
            }
        }
        Err(first.unwrap_or(Trouble::None))
    }
}

/// Width and height of a picture after it was turned, or before: it is the same.
pub(super) const fn turned(rotation: Rotation, width: u32, height: u32) -> (u32, u32) {
    if rotation.swaps() {
        (height, width)
    } else {
        (width, height)
    }
}

/// Keeps one stream's camera going.
pub(super) struct Keeper {
    pub(super) camera: CameraConfig,
    pub(super) video: VideoConfig,
    /// What pictures are brought to.
    pub(super) format: VideoFormat,
    pub(super) clock: Clock,
    pub(super) origin: Time,
    pub(super) to: Teller,
    /// Where it says which camera it has, once it has one.
    pub(super) first: Arc<OnceLock<Identity>>,
}

impl Keeper {
    /// Runs until told to stop. `found` is the outcome of the first search.
    pub(super) fn run(self, mut found: Result<Found, Trouble>, stop: &Stop) -> anyhow::Result<()> {
        let (mut known, mut said) = (None, Said::default());
        loop {
            let ended = match found {
                Ok(found) => {
                    known = Some(found.camera.identity.clone());
                    let _ = self.first.set(found.camera.identity.clone()); // the first stays
                    self.one(&found, stop)
                }
                Err(trouble) => Err(trouble.into()),
            };
            if stop.is_set() {
                return Ok(());
            }
            if let Err(error) = ended {
                self.to.tell(News::Away(away(&error)));
                said.say(self.clock.now(), &error);
            }
            if !stop.sleep_until(self.clock, self.clock.now() + PAUSE) {
                return Ok(());
            }
            found = Found::again(&self.camera, &self.video, known.as_ref());
        }
    }

    /// One camera until its end.
    fn one(&self, found: &Found, stop: &Stop) -> anyhow::Result<()> {
        let from = found.opened.format();
        log::info!(
            "camera {} ({}): {:?} {}x{} at {} frames/s: {}",
            found.camera.path.display(),
            found.camera.identity,
            from.pixels,
            from.width,
            from.height,
            from.fps,
            found.opened.reason()
        );
        self.to.tell(News::Started);
        let (to, clock, mut lost) = (self.to.clone(), self.clock, Repeats::default());
        let take = move |capture, picture| {
            if !to.picture(capture, picture) {
                say_lost(&mut lost, clock.now());
            }
        };
        let converter =
            Converter::start(from, &self.format, self.camera.rotation, self.origin, take)?;
        let mut lost = Repeats::default();
        found.opened.run(clock, stop, |frame| {
            if !converter.push(frame)? {
                say_lost(&mut lost, clock.now());
            }
            Ok(())
        })
    }
}

fn say_lost(lost: &mut Repeats, now: Time) {
    if let Some(count) = lost.note(now) {
        log::warn!("the board is too slow: {count} pictures were lost before the encoder");
    }
}

/// What viewers are told about an error.
fn away(error: &anyhow::Error) -> Away {
    match error.downcast_ref::<Trouble>() {
        Some(Trouble::None | Trouble::NotThere(_) | Trouble::Away(_) | Trouble::Unplugged(_)) => {
            Away::Gone
        }
        Some(Trouble::Busy(..)) => Away::Busy,
        Some(Trouble::Stuck(..)) => Away::Stuck,
        _ => Away::Broken,
    }
}

/// What was said about the camera, so that it is not said three times a second.
#[derive(Default)]
struct Said {
    words: String,
    at: Time,
}

impl Said {
    fn say(&mut self, now: Time, error: &anyhow::Error) {
        let words = format!("{error:#}");
        if self.words == words && now.since(self.at) < REMIND {
            return;
        }
        log::warn!("{words}; it is tried again until it works");
        (self.words, self.at) = (words, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_are_told_what_is_wrong_with_the_camera() {
        let told = |trouble: Trouble| away(&trouble.into());
        assert_eq!(told(Trouble::NotThere("/dev/video0".into())), Away::Gone);
        assert_eq!(told(Trouble::Busy("/dev/video0".into(), None)), Away::Busy);
        assert_eq!(told(Trouble::NoPicture("/dev/video0".into())), Away::Broken);
        assert_eq!(away(&anyhow::anyhow!("jpegdec: no")), Away::Broken);
    }
}
