//! A pre-encoded WebM file.

use std::path::Path;

use super::Threads;
use crate::clock::Clock;
use crate::feed::Feed;

pub(super) fn launch(
    _path: &Path,
    _repeat: bool,
    _clock: Clock,
    _feed: &Feed,
) -> anyhow::Result<(Threads, usize)> {
    anyhow::bail!("files cannot be played yet")
}
