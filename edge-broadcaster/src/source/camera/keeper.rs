//! The thread that keeps a camera going: finds it, opens it, takes its pictures, and begins again whenever that
//! ends. It waits for drivers, so nobody waits for it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use protocol::time::Time;

use super::own::{NotOwn, OwnUse};
use super::pictures::{News, Teller};
use super::stage::Away;
use crate::capture::v4l2::{self, Camera, Identity, Opened, OwnWanted, Trouble, Wanted};
use crate::capture::{Pixels, VideoFormat};
use crate::clock::Clock;
use crate::config::{CameraConfig, Rotation, VideoConfig};
use crate::encode::Converter;
use crate::encode::ladder::{No, Tried};
use crate::encode::rungs::Rung;
use crate::feed::Wish;
use crate::repeats::Repeats;
use crate::stop::Stop;
use crate::tally::Tally;

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
    /// Its own H.264 is taken where it has it, if `own`.
    pub(super) fn first(
        config: &CameraConfig,
        video: &VideoConfig,
        own: bool,
    ) -> Result<Self, Trouble> {
        Self::again(config, video, None, |_| own)
    }

    /// Whether it gives its own H.264.
    pub(super) fn is_own(&self) -> bool {
        self.opened.format().pixels == Pixels::H264
    }

    /// The same camera, if one was used before. `own` says of which its own H.264 is taken.
    fn again(
        config: &CameraConfig,
        video: &VideoConfig,
        known: Option<&Identity>,
        own: impl Fn(&Identity) -> bool,
    ) -> Result<Self, Trouble> {
        let (width, height) = turned(config.rotation, video.width, video.height);
        let mut first = None;
        for camera in v4l2::choose(&config.device, known)? {
            // It cannot be turned.
            let own = config.rotation == Rotation::None && own(&camera.identity);
            let wanted = Wanted {
                width,
                height,
                fps: video.fps,
                controls: &config.controls,
                own: own.then_some(OwnWanted {
                    kbps: video.bitrate_kbps,
                    key_frame_interval_ms: video.key_frame_interval_ms,
                }),
            };
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
    /// Whether a camera's own H.264 is taken where it can be.
    pub(super) own: bool,
    /// Where that is counted, and what bitrate is wished.
    pub(super) tally: Tally,
    pub(super) wish: Wish,
}

impl Keeper {
    /// Runs until told to stop. `found` is the outcome of the first search.
    pub(super) fn run(self, mut found: Result<Found, Trouble>, stop: &Stop) -> anyhow::Result<()> {
        let (mut known, mut said) = (None, Said::default());
        let mut own = OwnUse::default();
        loop {
            let ended = match found {
                Ok(found) => {
                    let identity = found.camera.identity.clone();
                    let _ = self.first.set(identity.clone()); // the first stays
                    known = Some(identity.clone());
                    match found.is_own() {
                        true => self.its_own(&found, own.of(identity), stop),
                        false => self.one(&found, stop),
                    }
                }
                Err(trouble) => Err(trouble.into()),
            };
            if stop.is_set() {
                return Ok(());
            }
            let mut pause = PAUSE;
            match ended.map_err(anyhow::Error::downcast::<NotOwn>) {
                Err(Ok(NotOwn(why))) => {
                    let rung = Rung::camera();
                    log::warn!("{} ({}): no, {why}", rung.element, rung.of);
                    match own.was_sent() {
                        true => self.tally.failed(rung, &anyhow::anyhow!("{why}")),
                        false => self.tally.tried(&Tried {
                            rung,
                            outcome: Err(No::Failed(why)),
                        }),
                    }
                    own.refuse();
                    pause = Duration::ZERO; // it is there, and gives pictures too
                }
                Err(Err(error)) => {
                    self.to.tell(News::Away(away(&error)));
                    said.say(self.clock.now(), &error);
                }
                Ok(()) => {}
            }
            if !stop.sleep_until(self.clock, self.clock.now() + pause) {
                return Ok(());
            }
            found = Found::again(&self.camera, &self.video, known.as_ref(), |identity| {
                self.own && !own.is_refused(identity)
            });
        }
    }

    /// One camera until its end.
    fn one(&self, found: &Found, stop: &Stop) -> anyhow::Result<()> {
        let from = found.opened.format();
        say_which(found);
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
        found.opened.run(clock, stop, |frame, _| {
            self.to.heard(clock.now());
            if !converter.push(frame)? {
                say_lost(&mut lost, clock.now());
            }
            Ok(())
        })
    }
}

pub(super) fn say_which(found: &Found) {
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
}

pub(super) fn say_lost(lost: &mut Repeats, now: Time) {
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
