//! A camera and a microphone.

use std::path::Path;

use super::Threads;
use crate::capture::alsa::Chosen;
use crate::clock::Clock;
use crate::config::StreamConfig;
use crate::feed::Feed;

pub(super) fn launch(
    _config: &StreamConfig,
    _camera: &Path,
    _microphone: Chosen,
    _clock: Clock,
    _feed: &Feed,
) -> anyhow::Result<(Threads, usize)> {
    anyhow::bail!("cameras cannot be captured yet")
}
