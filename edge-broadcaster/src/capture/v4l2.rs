//! Cameras, through V4L2: which there are, and their pictures.
//!
//! Only single-planar capture: USB cameras and what has a V4L2 driver of that kind. Camera modules whose
//! driver gives several planes are not seen here.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use protocol::time::Time;
use v4l::buffer;
use v4l::io::mmap;
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::video::Capture;
use v4l::{Device, FourCC, Fraction};

use super::{VideoFormat, VideoFrame};
use crate::clock::Clock;
use crate::config;
use crate::stop::Stop;

mod offer;

pub use offer::Offer;

/// Buffers in the driver. Four is the crate's default: two in flight, one filling, one being read.
const BUFFERS: u32 = 4;
/// How long to wait for a picture before looking whether to stop.
const GLANCE: Duration = Duration::from_millis(200);
/// A camera that shows nothing for so long is gone or stuck. Guess: webcams wake up in two seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// A time stamp further than this from the clock is not believed: some cameras send nonsense.
const CREDIBLE: Duration = Duration::from_secs(2);

/// "No such device": it was unplugged.
const ENODEV: i32 = 19;
const EBUSY: i32 = 16;

/// A camera that can capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Camera {
    /// Its device node.
    pub path: PathBuf,
    /// What it calls itself.
    pub name: String,
    /// What it can give.
    pub offers: Vec<Offer>,
}

/// All cameras that can capture now, by number.
pub fn cameras() -> Vec<Camera> {
    nodes(Path::new("/dev"))
        .iter()
        .filter_map(|path| Camera::look(path).ok())
        .collect()
}

/// The first camera that can capture.
pub fn first_camera() -> Option<Camera> {
    nodes(Path::new("/dev"))
        .iter()
        .find_map(|path| Camera::look(path).ok())
}

/// Cameras that are there and that this user may not open: what a person can do about each, in words.
pub fn forbidden() -> Vec<String> {
    nodes(Path::new("/dev"))
        .iter()
        .filter_map(|path| Device::with_path(path).err().map(|error| (path, error)))
        .filter(|(_, error)| error.kind() == io::ErrorKind::PermissionDenied)
        .map(|(path, error)| explain(path, &error).to_string())
        .collect()
}

/// The camera that the configuration asks for.
pub fn choose(device: &config::Device) -> anyhow::Result<Camera> {
    match device {
        config::Device::Auto => first_camera().with_context(|| match forbidden().pop() {
            Some(words) => words,
            None => "no camera was found: is one plugged in?".to_owned(),
        }),
        config::Device::Path(path) => Camera::look(path),
    }
}

/// The nodes `video0`, `video1` … of a directory, by number.
fn nodes(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut nodes: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix("video")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    nodes.sort();
    nodes.into_iter().map(|(_, path)| path).collect()
}

impl Camera {
    /// Opens a node and asks what it can give. A camera's second node, for metadata, gives nothing.
    pub fn look(path: &Path) -> anyhow::Result<Self> {
        let device = open(path)?;
        let offers = offer::all(&device);
        anyhow::ensure!(
            !offers.is_empty(),
            "{} gives no picture that can be encoded (YUYV, NV12, YU12 or MJPEG on one plane)",
            path.display()
        );
        let name = device
            .query_caps()
            .map(|caps| caps.card)
            .unwrap_or_default();
        Ok(Self {
            path: path.to_owned(),
            name,
            offers,
        })
    }
}

fn open(path: &Path) -> anyhow::Result<Device> {
    Device::with_path(path).map_err(|error| explain(path, &error))
}

/// What a person can do about an error of a camera.
fn explain(path: &Path, error: &io::Error) -> anyhow::Error {
    let path = path.display();
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::NotFound, _) => anyhow::anyhow!("there is no camera {path}"),
        (io::ErrorKind::PermissionDenied, _) => {
            anyhow::anyhow!(
                "the camera {path} may not be opened: add the user to the group video \
                 (sudo usermod -aG video $USER), and log in again"
            )
        }
        (_, Some(EBUSY)) => anyhow::anyhow!("the camera {path} is in use by another program"),
        (_, Some(ENODEV)) => anyhow::anyhow!("the camera {path} was unplugged"),
        _ => anyhow::anyhow!("the camera {path} fails: {error}"),
    }
}

/// A camera set to a format.
pub(crate) struct Opened {
    path: PathBuf,
    device: Device,
    format: VideoFormat,
}

impl Opened {
    /// Opens a camera and sets it to what comes nearest to the size and rate.
    pub(crate) fn new(camera: &Camera, width: u32, height: u32, fps: u32) -> anyhow::Result<Self> {
        let path = &camera.path;
        let offer = offer::choose(&camera.offers, width, height, fps)
            .with_context(|| format!("the camera {} offers nothing", path.display()))?;
        let device = open(path)?;
        let format = set(&device, offer, fps).map_err(|error| explain(path, &error))?;
        Ok(Self {
            path: path.clone(),
            device,
            format,
        })
    }

    /// What the camera was set to: its driver has the last word.
    pub(crate) const fn format(&self) -> &VideoFormat {
        &self.format
    }

    /// Takes pictures until told to stop, or the camera fails.
    pub(crate) fn run(
        &self,
        clock: Clock,
        stop: &Stop,
        mut take: impl FnMut(VideoFrame) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let failed = |error: io::Error| explain(&self.path, &error);
        let mut stream = Buffers::new(&self.device).map_err(failed)?;
        let mut seen = clock.now();
        while !stop.is_set() {
            match stream.next(self.format.size()).map_err(failed)? {
                Some(picture) => {
                    seen = clock.now();
                    take(VideoFrame {
                        capture: believed(picture.stamp, clock),
                        data: picture.data,
                    })?;
                }
                None => anyhow::ensure!(
                    clock.now().since(seen) < PATIENCE,
                    "the camera {} has shown nothing for {} s",
                    self.path.display(),
                    PATIENCE.as_secs()
                ),
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

/// Frames per second of a frame interval, rounded.
fn rate(interval: Fraction) -> Option<u32> {
    let (seconds, frames) = (interval.numerator, interval.denominator);
    (frames + seconds / 2)
        .checked_div(seconds)
        .filter(|&fps| fps > 0)
}

/// A driver's time stamp on the clock, if it can be; now, if not.
fn believed(stamp: Option<Duration>, clock: Clock) -> Time {
    let now = clock.now();
    match stamp.map(|stamp| clock.at_monotonic(stamp)) {
        Some(at) if at <= now && now.since(at) < CREDIBLE => at,
        _ => now,
    }
}

struct Picture {
    stamp: Option<Duration>,
    data: Vec<u8>,
}

/// The driver's buffers. Wraps the crate's stream, whose `next` never recovers from its own time-out and
/// whose drop panics when the camera misbehaves.
struct Buffers<'a> {
    /// There until dropped.
    stream: Option<mmap::Stream<'a>>,
    started: bool,
}

impl<'a> Buffers<'a> {
    fn new(device: &'a Device) -> io::Result<Self> {
        let mut stream = mmap::Stream::with_buffers(device, buffer::Type::VideoCapture, BUFFERS)?;
        stream.set_timeout(PATIENCE); // the first picture's only: the others are waited for below
        Ok(Self {
            stream: Some(stream),
            started: false,
        })
    }

    /// The next whole picture, or nothing after a glance.
    fn next(&mut self, whole: Option<usize>) -> io::Result<Option<Picture>> {
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        let glance = i32::try_from(GLANCE.as_millis()).unwrap_or(i32::MAX);
        if self.started && stream.handle().poll(nix::libc::POLLIN, glance)? == 0 {
            return Ok(None);
        }
        self.started = true;
        let (bytes, about) = match CaptureStream::next(stream) {
            Ok(next) => next,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        // The mapping is larger than the picture in it, and a picture that was cut short is of no use.
        let used = bytes.get(..about.bytesused as usize).unwrap_or(bytes);
        let damaged = about.flags.contains(buffer::Flags::ERROR) || used.is_empty();
        if damaged || whole.is_some_and(|whole| used.len() < whole) {
            log::debug!("a picture came damaged: {} bytes", used.len());
            return Ok(None);
        }
        let monotonic =
            about.flags & buffer::Flags::TIMESTAMP_MASK == buffer::Flags::TIMESTAMP_MONOTONIC;
        Ok(Some(Picture {
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
    use super::*;

    #[test]
    fn nodes_are_found_by_number_and_others_are_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["video10", "video2", "video", "videocodec", "media0"] {
            std::fs::write(directory.path().join(name), "").expect("a file");
        }
        let names: Vec<_> = nodes(directory.path())
            .iter()
            .map(|path| path.file_name().map(|n| n.to_string_lossy().into_owned()))
            .collect();
        assert_eq!(names, [Some("video2".into()), Some("video10".into())]);
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_cameras() {
        assert_eq!(nodes(Path::new("/no/such/place")), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_camera_that_is_not_there_is_said_to_be_so() {
        let error = Camera::look(Path::new("/dev/video250")).expect_err("no such camera");
        assert_eq!(error.to_string(), "there is no camera /dev/video250");
    }

    #[test]
    fn a_file_that_is_no_camera_is_refused_and_does_not_panic() {
        let error = Camera::look(Path::new("/dev/null")).expect_err("not a camera");
        assert!(
            error.to_string().starts_with("/dev/null gives no picture"),
            "{error}"
        );
    }

    #[test]
    fn an_error_says_what_a_person_can_do() {
        let said = |code| {
            explain(
                Path::new("/dev/video0"),
                &io::Error::from_raw_os_error(code),
            )
            .to_string()
        };
        assert!(said(EBUSY).ends_with("is in use by another program"));
        assert!(said(ENODEV).ends_with("was unplugged"));
        assert!(said(13).contains("sudo usermod -aG video"));
    }

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
    fn a_rate_is_rounded_and_nonsense_is_none() {
        assert_eq!(rate(Fraction::new(1001, 30_000)), Some(30));
        assert_eq!(rate(Fraction::new(0, 30)), None);
    }
}
