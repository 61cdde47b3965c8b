//! A pre-encoded WebM file, sent as it is, paced by its own time stamps.
//!
//! Nothing is encoded here: what a file's key frames are, is what joining costs, so a file with few of
//! them is warned of.

use std::path::Path;

use super::Threads;
use crate::clock::Clock;
use crate::feed::Feed;

mod demux;
mod format;
mod play;
mod probe;
mod schedule;

pub(crate) use probe::probe;

pub(super) fn launch(
    path: &Path,
    repeat: bool,
    clock: Clock,
    feed: &Feed,
) -> anyhow::Result<(Threads, usize)> {
    let probed = probe(path)?;
    for warning in &probed.warnings {
        log::warn!("{}: {warning}", path.display());
    }
    let count = probed.tracks.len();
    let mut player = play::Player::new(path, repeat, probed, clock, feed);
    let mut threads = Threads::new(feed);
    threads.spawn("file", move |stop| player.run(stop))?;
    Ok((threads, count))
}
