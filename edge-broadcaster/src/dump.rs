//! `edge-broadcaster dump`: a stream's tracks written to files, as a viewer would be sent them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use protocol::container::{TrackFormat, Writer};
use protocol::media::Track;

use crate::clock::Clock;
use crate::config::StreamConfig;
use crate::source::{self, SourceEvent};

/// One track being written.
struct Dump {
    track: Track,
    path: PathBuf,
    file: File,
    writer: Writer,
}

impl Dump {
    /// `run` counts the encoders that a track has had.
    fn create(
        directory: &Path,
        stream: &str,
        run: usize,
        format: TrackFormat,
    ) -> anyhow::Result<Self> {
        let track = format.track();
        let kind = match track {
            Track::Video => "video",
            Track::Audio => "audio",
        };
        let stream = stream.replace('/', "_");
        let ends = format.codec.container().extension();
        let path = directory.join(match run {
            0 => format!("{stream}.{kind}.{ends}"),
            again => format!("{stream}.{kind}.{}.{ends}", again + 1),
        });
        let mut file =
            File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        let writer = Writer::new(format);
        file.write_all(&writer.init())?;
        Ok(Self {
            track,
            path,
            file,
            writer,
        })
    }
}

/// Runs a stream until `seconds` of media have come, or its end, and writes each track to a file in
/// `directory`, and to another one when its encoder is replaced. Gives the files.
pub async fn dump(
    config: &StreamConfig,
    clock: Clock,
    seconds: u32,
    directory: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("creating {}", directory.display()))?;
    let mut running = source::start(config, clock).await?;
    let mut dumps = std::mem::take(&mut running.tracks)
        .into_iter()
        .map(|format| Dump::create(directory, &config.name, 0, format))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let end_us = u64::from(seconds) * 1_000_000;
    while let Some(event) = running.frames.recv().await {
        match event {
            SourceEvent::Frame(_, frame) if frame.media_us >= end_us => break,
            SourceEvent::Frame(track, frame) => {
                if let Some(dump) = dumps.iter_mut().rfind(|dump| dump.track == track) {
                    dump.file.write_all(&dump.writer.write(&frame).container)?;
                }
            }
            SourceEvent::Anew(format) => {
                let run = dumps.iter().filter(|d| d.track == format.track()).count();
                dumps.push(Dump::create(directory, &config.name, run, format)?);
            }
            SourceEvent::Ended => break,
            SourceEvent::Failed(error) => return Err(error),
        }
    }
    running.stop().await;
    Ok(dumps.into_iter().map(|dump| dump.path).collect())
}
