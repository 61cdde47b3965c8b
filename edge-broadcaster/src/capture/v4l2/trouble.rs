//! What can be wrong with a camera, and what a person can do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// "No such device": it was unplugged.
pub(super) const ENODEV: i32 = 19;
const EBUSY: i32 = 16;
/// What a driver answers whose device was unplugged while it was being asked, and a node without a driver.
const ENXIO: i32 = 6;

/// Why a camera gives no picture. Every one may pass, so the caller's answer is to try again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// No camera at all is there.
    #[error("no camera was found: is one plugged in?")]
    None,
    /// The one that is asked for is not there.
    #[error("there is no camera {}", .0.display())]
    NotThere(PathBuf),
    /// The one that was used before is not there any more.
    #[error("the camera {0} is not plugged in")]
    Away(String),
    /// It was there until now.
    #[error("the camera {} was unplugged", .0.display())]
    Unplugged(PathBuf),
    /// Somebody else uses it.
    #[error("the camera {} is in use by another program{}", .0.display(), of(.1))]
    Busy(PathBuf, Option<String>),
    /// This user may not open it.
    #[error(
        "the camera {} may not be opened: add the user to the group video (sudo usermod -aG video $USER), and \
         log in again", .0.display()
    )]
    Forbidden(PathBuf),
    /// It is there, does not fail, and gives nothing.
    #[error("the camera {} has shown nothing for {} s", .0.display(), .1.as_secs())]
    Stuck(PathBuf, Duration),
    /// It is a video device, and not one that can be used.
    #[error("{} gives no picture that can be encoded (YUYV, NV12, YU12 or MJPEG on one plane)", .0.display())]
    NoPicture(PathBuf),
    /// Something else, in its driver's words.
    #[error("the camera {} fails: {}", .0.display(), .1)]
    Fails(PathBuf, io::Error),
}

fn of(who: &Option<String>) -> String {
    who.as_ref()
        .map_or(String::new(), |who| format!(" ({who})"))
}

impl Trouble {
    /// What an error of a camera's driver means.
    pub(super) fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::NotFound, _) => Self::NotThere(path),
            (io::ErrorKind::PermissionDenied, _) => Self::Forbidden(path),
            (_, Some(EBUSY)) => {
                let who = holder(Path::new("/proc"), &path);
                Self::Busy(path, who)
            }
            (_, Some(ENODEV | ENXIO)) => Self::Unplugged(path),
            _ => Self::Fails(path, error),
        }
    }
}

/// A program other than this one that has the file open, if we may see it: its name and process.
fn holder(processes: &Path, file: &Path) -> Option<String> {
    let file = file.canonicalize().ok()?;
    let own = std::process::id();
    std::fs::read_dir(processes)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let process: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((process, entry.path())).filter(|(process, _)| *process != own)
        })
        .find(|(_, path)| has_open(path, &file))
        .map(|(process, path)| {
            let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            format!("{}, process {process}", name.trim())
        })
}

fn has_open(process: &Path, file: &Path) -> bool {
    let open = std::fs::read_dir(process.join("fd"));
    open.into_iter()
        .flatten()
        .flatten()
        .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_a_person_can_do() {
        let said = |code| {
            let error = io::Error::from_raw_os_error(code);
            Trouble::from_io(Path::new("/dev/video250"), error).to_string()
        };
        assert!(said(EBUSY).ends_with("is in use by another program"));
        assert!(said(ENODEV).ends_with("was unplugged"));
        assert!(said(13).contains("sudo usermod -aG video"));
        assert!(said(5).contains("fails: "));
    }

    #[test]
    fn the_program_that_has_the_camera_is_named() {
        let processes = tempfile::tempdir().expect("a directory");
        let camera = processes.path().join("video0");
        std::fs::write(&camera, "").expect("a file");
        let open = processes.path().join("77/fd");
        std::fs::create_dir_all(&open).expect("a directory");
        std::fs::write(processes.path().join("77/comm"), "cheese\n").expect("a file");
        assert_eq!(holder(processes.path(), &camera), None);
        let camera = camera.canonicalize().expect("it is there");
        std::os::unix::fs::symlink(&camera, open.join("5")).expect("a link");
        let who = holder(processes.path(), &camera);
        assert_eq!(who.as_deref(), Some("cheese, process 77"));
    }
}
