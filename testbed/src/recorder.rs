//! Writes down what a viewer's media element is given: each track to a file, and to another one wherever an init segment
//! begins anew, as it does with another encoder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use protocol::media::{Codec, Track};
use protocol::playback::Output;

/// One viewer's recording.
#[derive(Debug)]
pub struct Recorder {
    folder: PathBuf,
    codecs: BTreeMap<Track, Codec>,
    tracks: BTreeMap<Track, Recording>,
}

/// The file that a track goes into now.
#[derive(Debug)]
struct Recording {
    /// Files so far, this one included.
    count: u32,
    file: File,
    path: PathBuf,
}

impl Recorder {
    /// A recorder whose files are to lie in this folder, which is made if there is none.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn create(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("creating {}", folder.display()))?;
        Ok(Self {
            folder: folder.into(),
            codecs: BTreeMap::new(),
            tracks: BTreeMap::new(),
        })
    }

    /// Takes part in what the element is asked to do.
    ///
    /// # Errors
    ///
    /// A file cannot be made or written.
    pub fn note(&mut self, output: &Output) -> anyhow::Result<()> {
        match output {
            Output::Open(tracks) => self.codecs = tracks.iter().copied().collect(),
            Output::Append {
                track,
                bytes,
                media_us,
            } => {
                if media_us.is_empty() {
                    self.begin(*track)?;
                }
                if let Some(Recording { file, path, .. }) = self.tracks.get_mut(track) {
                    file.write_all(bytes)
                        .with_context(|| format!("writing {}", path.display()))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, track: Track) -> anyhow::Result<()> {
        let codec = self.codecs.get(&track).context("a track without a codec")?;
        let count = self.tracks.get(&track).map_or(0, |track| track.count) + 1;
        let kind = match track {
            Track::Video => "video",
            Track::Audio => "audio",
        };
        let ends = codec.container().extension();
        let path = self.folder.join(format!("{kind}.{count}.{ends}"));
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        self.tracks.insert(track, Recording { count, file, path });
        Ok(())
    }
}
