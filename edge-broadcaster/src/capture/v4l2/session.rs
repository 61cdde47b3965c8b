//! One camera from being opened to its end.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use protocol::time::Time;
use v4l::buffer;
use v4l::io::mmap;
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::video::Capture;
use v4l::{Device, FourCC};

use super::trouble::ENODEV;
use super::{Camera, Offer, Trouble, controls, offer, open, rate};
use crate::capture::{VideoFormat, VideoFrame};
use crate::clock::Clock;
use crate::config::Setting;
use crate::repeats::Repeats;
use crate::stop::Stop;

/// Buffers in the driver. Four is the crate's default: two in flight, one filling, one being read.
const BUFFERS: u32 = 4;
/// No driver gives more buffers than this (the kernel's VIDEO_MAX_FRAME).
const MOST_BUFFERS: usize = 32;
/// How long to wait for a picture before looking whether to stop.
const GLANCE: Duration = Duration::from_millis(200);
/// A camera that shows nothing for so long is closed and opened again. Guess: webcams wake up in two seconds,
/// and one that hung in between comes back sooner for it.
const PATIENCE: Duration = Duration::from_secs(3);
/// A time stamp further than this from the clock is not believed: some cameras send nonsense.
const CREDIBLE: Duration = Duration::from_secs(2);

/// A camera set to a format.
pub(crate) struct Opened {
    path: PathBuf,
    device: Device,
    format: VideoFormat,
    reason: String,
}

/// What a camera is to give.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Pixels, as the camera sees them: before it is rotated.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
    /// Frames per second.
    pub(crate) fps: u32,
    /// What its controls are to be set to.
    pub(crate) controls: &'a BTreeMap<String, Setting>,
    /// Whether its own H.264 is wanted where it has it, and how that is to be.
    pub(crate) own: Option<OwnWanted>,
}

/// How a camera's own H.264 is to be, as far as it takes such wishes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnWanted {
    /// Mean bitrate.
    pub(crate) kbps: u32,
    /// From key frame to key frame, milliseconds.
    pub(crate) key_frame_interval_ms: u32,
}

impl OwnWanted {
    /// Names of controls, as the kernel's drivers of encoders have them, and what they are set to.
    fn controls(self, fps: u32) -> [(&'static str, i64); 4] {
        let group = i64::from(fps) * i64::from(self.key_frame_interval_ms) / 1000;
        [
            (BITRATE, i64::from(self.kbps) * 1000),
            ("h264_i_frame_period", group),
            ("video_gop_size", group),
            ("repeat_sequence_header", 1),
        ]
    }
}

/// The control of a camera's own bitrate, bit/s.
const BITRATE: &str = "video_bitrate";

impl Opened {
    /// Opens a camera and sets it to what comes nearest to what is wanted. Controls that cannot be set are said, and
    /// left.
    pub(crate) fn new(camera: &Camera, wanted: &Wanted<'_>) -> Result<Self, Trouble> {
        let path = &camera.path;
        let (width, height, fps) = (wanted.width, wanted.height, wanted.fps);
        let own = wanted.own.and_then(|own| {
            let (offer, reason) = offer::choose_own(&camera.offers, width, height, fps)?;
            Some((offer, reason, own))
        });
        let device = open(path)?;
        if let Some((offer, _, own)) = &own {
            controls::set_nearest(&device, &own.controls(offer.fps.min(fps)));
        }
        let own = own.map(|(offer, reason, _)| (offer, reason));
        let (offer, reason) = own
            .or_else(|| offer::choose(&camera.offers, width, height, fps))
            .ok_or_else(|| Trouble::NoPicture(path.clone()))?;
        let format = set(&device, offer, fps).map_err(|error| Trouble::from_io(path, error))?;
        for unfit in controls::set(&device, wanted.controls) {
            log::warn!("{}: {unfit}", path.display());
        }
        Ok(Self {
            path: path.clone(),
            device,
            format,
            reason,
        })
    }

    /// Why it was set to that, in words.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// What the camera was set to: its driver has the last word.
    pub(crate) const fn format(&self) -> &VideoFormat {
        &self.format
    }

    /// Sets the bitrate of its own H.264, kbit/s. False if it takes no such wish.
    pub(crate) fn set_own_rate(&self, kbps: u32) -> bool {
        controls::set_nearest(&self.device, &[(BITRATE, i64::from(kbps) * 1000)]) > 0
    }

    /// Takes pictures until told to stop, or the camera fails, or `take` does, which is also told whether the picture
    /// follows the one before: whether none was lost in between.
    pub(crate) fn run(
        &self,
        clock: Clock,
        stop: &Stop,
        mut take: impl FnMut(VideoFrame, bool) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let failed = |error: io::Error| Trouble::from_io(&self.path, error);
        let mut stream = Buffers::new(&self.device).map_err(failed)?;
        let (mut seen, mut losses) = (clock.now(), Losses::default());
        let mut damaged = false;
        while !stop.is_set() {
            match stream.next(self.format.size()).map_err(failed)? {
                Next::Picture(picture) => {
                    seen = clock.now();
                    let follows = losses.count(seen, picture.number, &self.path) && !damaged;
                    damaged = false;
                    let picture = VideoFrame {
                        capture: believed(picture.stamp, clock),
                        data: picture.data,
                    };
                    take(picture, follows)?;
                }
                Next::Damaged(number) => {
                    losses.damaged(clock.now(), number, &self.path);
                    damaged = true;
                }
                Next::Nothing if clock.now().since(seen) >= PATIENCE => {
                    return Err(Trouble::Stuck(self.path.clone(), PATIENCE).into());
                }
                Next::Nothing => {}
            }
        }
        Ok(())
    }
}

fn set(device: &Device, offer: &Offer, fps: u32) -> io::Result<VideoFormat> {
    // `new` leaves stride and size at 0, so that the driver fills in its own.
    let wanted = v4l::Format::new(offer.width, offer.height, FourCC::new(&offer.fourcc()));
    let got = device.set_format(&wanted)?;
    let pixels = offer::pixels_of(got.fourcc.repr)
        .ok_or_else(|| io::Error::other(format!("it insists on the format {}", got.fourcc)))?;
    let params = v4l::video::capture::Parameters::with_fps(fps.min(offer.fps).max(1));
    let interval = device
        .set_params(&params)
        .map_or(params.interval, |got| got.interval);
    Ok(VideoFormat {
        pixels,
        width: got.width & !1,
        height: got.height & !1,
        fps: rate(interval).unwrap_or(fps),
        stride: got.stride,
    })
}

/// A driver's time stamp on the clock, if it can be; now, if not.
fn believed(stamp: Option<Duration>, clock: Clock) -> Time {
    let now = clock.now();
    match stamp.map(|stamp| clock.at_monotonic(stamp)) {
        Some(at) if at <= now && now.since(at) < CREDIBLE => at,
        _ => now,
    }
}

/// Pictures that the camera, the bus or the driver lost, seen by the holes in the driver's numbering.
#[derive(Debug, Default)]
struct Losses {
    last: Option<u32>,
    lost: u64,
    of: u64,
    log: Repeats,
}

impl Losses {
    /// Counts a picture. False if some are missing before it.
    fn count(&mut self, now: Time, number: u32, path: &std::path::Path) -> bool {
        let step = self.last.map_or(1, |last| number.wrapping_sub(last));
        self.last = Some(number);
        // A driver that does not number, or begins anew, loses nothing by it.
        let missing = if (1..=1_000).contains(&step) {
            step - 1
        } else {
            0
        };
        self.of += u64::from(missing) + 1;
        if missing > 0 {
            self.lost += u64::from(missing);
            self.say(now, path);
        }
        missing == 0
    }

    fn damaged(&mut self, now: Time, number: u32, path: &std::path::Path) {
        self.count(now, number, path);
        self.lost += 1;
        self.say(now, path);
    }

    fn say(&mut self, now: Time, path: &std::path::Path) {
        if self.log.note(now).is_some() {
            log::warn!(
                "the camera {} has lost {} of {} pictures",
                path.display(),
                self.lost,
                self.of
            );
        }
    }
}

/// What a glance at the driver brought.
enum Next {
    Picture(Picture),
    /// A picture came that cannot be used; its number.
    Damaged(u32),
    Nothing,
}

struct Picture {
    /// The driver's count.
    number: u32,
    stamp: Option<Duration>,
    data: Vec<u8>,
}

/// The driver's buffers. Wraps the crate's stream, whose `next` never recovers from its own time-out and
/// whose drop panics when the camera misbehaves.
struct Buffers<'a> {
    /// There until dropped.
    stream: Option<mmap::Stream<'a>>,
}

impl<'a> Buffers<'a> {
    /// Gives the driver its buffers and starts it.
    fn new(device: &'a Device) -> io::Result<Self> {
        let stream = mmap::Stream::with_buffers(device, buffer::Type::VideoCapture, BUFFERS)?;
        let mut started = Self {
            stream: Some(stream),
        };
        if let Some(stream) = &mut started.stream {
            // Not number 0: `next` begins by giving back the buffer that it gave out before, and that is 0 at first.
            for index in 1..MOST_BUFFERS {
                if CaptureStream::queue(stream, index).is_err() {
                    break; // there are no more
                }
            }
            stream.start()?;
        }
        Ok(started)
    }

    /// The next whole picture, or nothing after a glance.
    fn next(&mut self, whole: Option<usize>) -> io::Result<Next> {
        let Some(stream) = &mut self.stream else {
            return Ok(Next::Nothing);
        };
        let glance = i32::try_from(GLANCE.as_millis()).unwrap_or(i32::MAX);
        if stream.handle().poll(nix::libc::POLLIN, glance)? == 0 {
            return Ok(Next::Nothing);
        }
        let (bytes, about) = CaptureStream::next(stream)?;
        // The mapping is larger than the picture in it, and a picture that was cut short is of no use.
        let used = bytes.get(..about.bytesused as usize).unwrap_or(bytes);
        let damaged = about.flags.contains(buffer::Flags::ERROR) || used.is_empty();
        if damaged || whole.is_some_and(|whole| used.len() < whole) {
            return Ok(Next::Damaged(about.sequence));
        }
        let monotonic =
            about.flags & buffer::Flags::TIMESTAMP_MASK == buffer::Flags::TIMESTAMP_MONOTONIC;
        Ok(Next::Picture(Picture {
            number: about.sequence,
            stamp: monotonic.then(|| Duration::from(about.timestamp)),
            data: used.to_vec(),
        }))
    }
}

impl Drop for Buffers<'_> {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        if let Err(error) = stream.stop()
            && error.raw_os_error() != Some(ENODEV)
        {
            log::warn!("a camera does not stop: {error}");
            // Dropping the stream would panic. Its mapping is lost, once per misbehaving camera.
            std::mem::forget(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_stamp_that_cannot_be_is_replaced_by_now() {
        let clock = Clock::start();
        let now = clock.now();
        let near = Duration::from_micros(now.as_micros()) - Duration::from_millis(30);
        assert_eq!(
            now.since(believed(Some(near), clock)),
            Duration::from_millis(30)
        );
        for wrong in [Duration::ZERO, near + Duration::from_secs(3600)] {
            assert!(believed(Some(wrong), clock) >= now);
        }
        assert!(believed(None, clock) >= now);
    }

    #[test]
    fn holes_in_the_numbering_are_pictures_lost_and_a_new_numbering_is_none() {
        let mut losses = Losses::default();
        for number in [0, 1, 3, 4, 7, 0, 1] {
            losses.count(Time::ZERO, number, Path::new("/dev/video0"));
        }
        assert_eq!((losses.lost, losses.of), (3, 10));
        losses.damaged(Time::ZERO, 2, Path::new("/dev/video0"));
        assert_eq!((losses.lost, losses.of), (4, 11));
    }

    #[test]
    fn a_driver_that_does_not_number_loses_nothing() {
        let mut losses = Losses::default();
        for _ in 0..5 {
            losses.count(Time::ZERO, 0, Path::new("/dev/video0"));
        }
        assert_eq!((losses.lost, losses.of), (0, 5));
    }
}
