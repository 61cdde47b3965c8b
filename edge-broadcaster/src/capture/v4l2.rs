//! Cameras, through V4L2.

use std::path::PathBuf;

use crate::config::Device;

/// A camera that can capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Camera {
    /// Its device node.
    pub path: PathBuf,
}

/// The first camera that can capture.
pub fn first_camera() -> Option<Camera> {
    None
}

/// The device node to open.
pub fn choose(device: &Device) -> anyhow::Result<PathBuf> {
    match device {
        Device::Auto => anyhow::bail!("no camera was found"),
        Device::Path(path) => Ok(path.clone()),
    }
}
