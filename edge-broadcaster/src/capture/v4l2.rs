//! Cameras, through V4L2: which there are, and their pictures.
//!
//! Only single-planar capture: USB cameras and what has a V4L2 driver of that kind. Camera modules whose
//! driver gives several planes are not seen here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use v4l::{Device, Fraction};

use super::Pixels;
use crate::config::{self, Setting};

mod controls;
mod identity;
mod offer;
mod session;
mod trouble;

pub use controls::{Control, Kind, Unfit};
pub use identity::Identity;
use identity::Likeness;
pub(super) use identity::usb_above;
pub use offer::Offer;
pub(crate) use session::{Opened, OwnWanted, Wanted};
pub use trouble::Trouble;

/// Where the kernel says what a video device belongs to.
const SYS: &str = "/sys/class/video4linux";

/// A camera that can capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Camera {
    /// Its device node today.
    pub path: PathBuf,
    /// What it is, whatever its node.
    pub identity: Identity,
    /// What it can give.
    pub offers: Vec<Offer>,
    /// What can be set.
    pub controls: Vec<Control>,
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
        .filter_map(|path| open(path).err())
        .filter(|error| matches!(error, Trouble::Forbidden(_)))
        .map(|error| error.to_string())
        .collect()
}

/// The cameras that the configuration allows, the best first; never an empty list. `known` is the one that was
/// used before: it comes first, and if the configuration named it by its node, it is the only one, whatever node
/// it has now.
pub fn choose(device: &config::Device, known: Option<&Identity>) -> Result<Vec<Camera>, Trouble> {
    match (device, known) {
        // A link such as /dev/v4l/by-id/… names the camera itself: udev moves it along.
        (config::Device::Path(path), Some(_)) if path.is_symlink() => Ok(vec![Camera::look(path)?]),
        (config::Device::Path(path), None) => Ok(vec![Camera::look(path)?]),
        (config::Device::Path(_), Some(known)) => again(cameras(), known)
            .map(|camera| vec![camera])
            .ok_or_else(|| Trouble::Away(known.to_string())),
        (config::Device::Auto, known) => {
            let mut all = cameras();
            all.sort_by_key(|camera| {
                std::cmp::Reverse(known.and_then(|known| camera.identity.likeness(known)))
            });
            match all.is_empty() {
                true => Err(none()),
                false => Ok(all),
            }
        }
    }
}

/// Why there is no camera at all.
fn none() -> Trouble {
    let mut refused = nodes(Path::new("/dev"))
        .into_iter()
        .filter_map(|path| open(&path).err())
        .filter(|error| matches!(error, Trouble::Forbidden(_)));
    refused.next().unwrap_or(Trouble::None)
}

/// The camera that `known` was, among those there are now.
fn again(cameras: Vec<Camera>, known: &Identity) -> Option<Camera> {
    let alike = |camera: Camera| Some((camera.identity.likeness(known)?, camera));
    let mut found: Vec<_> = cameras.into_iter().filter_map(alike).collect();
    found.sort_by_key(|(likeness, _)| std::cmp::Reverse(*likeness));
    // Of several that may be it, none is: showing the wrong room is worse than showing none.
    let doubtful = |found: &[(Likeness, Camera)]| found.len() > 1 && found[0].0 == found[1].0;
    if doubtful(&found) {
        return None;
    }
    found.into_iter().next().map(|(_, camera)| camera)
}

/// Links to a node that stay the same when cameras are replugged, as udev makes them.
pub fn links(node: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/dev/v4l/by-id").into_iter().flatten();
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|link| link.canonicalize().is_ok_and(|target| target == *node))
        .collect()
}

/// Whether a camera has H.264 of its own that comes as near to what is wanted as its pictures do.
pub fn has_own(offers: &[Offer], width: u32, height: u32, fps: u32) -> bool {
    offer::choose_own(offers, width, height, fps).is_some()
}

/// What of these settings a camera cannot have, in words.
pub fn unfit(camera: &Camera, wanted: &BTreeMap<String, Setting>) -> Vec<String> {
    let (_, unfit) = controls::resolve(&camera.controls, wanted);
    unfit.iter().map(ToString::to_string).collect()
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
    pub fn look(path: &Path) -> Result<Self, Trouble> {
        let device = open(path)?;
        let offers = offer::all(&device);
        // H.264 alone is what an encoder's node gives, and the second node of some cameras, whose first has the pictures.
        if offers.iter().all(|offer| offer.pixels == Pixels::H264) {
            return Err(Trouble::NoPicture(path.to_owned()));
        }
        let caps = device.query_caps();
        let (name, bus) = caps.map(|caps| (caps.card, caps.bus)).unwrap_or_default();
        let node = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let node = node.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            path: path.to_owned(),
            identity: Identity::read(Path::new(SYS), &node, name, bus),
            offers,
            controls: controls::all(&device),
        })
    }
}

fn open(path: &Path) -> Result<Device, Trouble> {
    Device::with_path(path).map_err(|error| Trouble::from_io(path, error))
}

/// Frames per second of a frame interval, rounded.
fn rate(interval: Fraction) -> Option<u32> {
    let (seconds, frames) = (interval.numerator, interval.denominator);
    (frames + seconds / 2)
        .checked_div(seconds)
        .filter(|&fps| fps > 0)
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

    fn camera(node: u32, serial: Option<&str>, place: &str) -> Camera {
        Camera {
            path: format!("/dev/video{node}").into(),
            identity: Identity {
                name: "C920".into(),
                model: Some("046d:082d".into()),
                serial: serial.map(Into::into),
                place: place.into(),
            },
            offers: Vec::new(),
            controls: Vec::new(),
        }
    }

    fn found(cameras: &[Camera], known: &Camera) -> Option<PathBuf> {
        again(cameras.to_vec(), &known.identity).map(|camera| camera.path)
    }

    #[test]
    fn a_camera_is_found_again_under_any_number_and_no_other_is_taken_for_it() {
        let known = camera(0, Some("A1"), "1-1");
        let (moved, other) = (camera(4, Some("A1"), "1-2"), camera(0, Some("B2"), "1-1"));
        let four = Some("/dev/video4".into());
        assert_eq!(found(&[other.clone(), moved], &known), four);
        assert_eq!(found(&[other], &known), None);
    }

    #[test]
    fn of_two_cameras_of_one_model_without_a_serial_number_the_port_decides() {
        let known = camera(0, None, "1-1");
        let (here, there) = (camera(3, None, "1-1"), camera(2, None, "1-2"));
        assert_eq!(
            found(&[there.clone(), here.clone()], &known),
            Some(here.path)
        );
        assert_eq!(
            found(std::slice::from_ref(&there), &known),
            Some(there.path.clone())
        );
        let elsewhere = camera(5, None, "1-3");
        assert_eq!(found(&[there, elsewhere], &known), None);
    }

    #[test]
    fn a_rate_is_rounded_and_nonsense_is_none() {
        assert_eq!(rate(Fraction::new(1001, 30_000)), Some(30));
        assert_eq!(rate(Fraction::new(0, 30)), None);
    }
}
