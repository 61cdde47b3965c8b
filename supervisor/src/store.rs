//! What the supervisor must not forget: secrets, join tokens, invitations, enrolled and blocked peers, streams. One file, `supervisor.redb`.
//!
//! Each operation is one transaction, on the disk before it is answered: a process that is killed has lost
//! nothing it said. Knows no network and no clock. Calls block for as long as the disk takes.

mod blocked;
mod enrolled;
mod invitations;
mod records;
mod secrets;
mod streams;
#[cfg(test)]
mod tests;
mod tokens;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::signal::Component;
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadTransaction, StorageError, WriteTransaction};
use serde::{Deserialize, Serialize};

pub(crate) use blocked::Blocked;
pub(crate) use enrolled::{EnrolError, Enrolled};
pub(crate) use invitations::Invited;
pub(crate) use streams::{Access, Stream};
pub(crate) use tokens::JoinToken;
pub(crate) use tokens::TokenError;

/// The file's name below `state_dir`.
const FILE: &str = "supervisor.redb";
/// How the tables are laid out. A later supervisor that lays them out otherwise counts up.
const FORMAT: u32 = 1;
/// Pages kept in memory. Guess: a thousand enrolled peers are 100 KB; the library's own default is 1 GB.
const CACHE_BYTES: usize = 1 << 20;
/// A command holds the file for as long as its one transaction takes; a service that starts waits this long. Guess.
const IN_USE_LIMIT: Duration = Duration::from_secs(3);
const IN_USE_PAUSE: Duration = Duration::from_millis(50);

/// What a peer can be enrolled as. Receivers are not: they come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Broadcaster,
    Relay,
}

impl From<Role> for Component {
    fn from(role: Role) -> Self {
        match role {
            Role::Broadcaster => Self::Broadcaster,
            Role::Relay => Self::Relay,
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Broadcaster => "broadcaster",
            Self::Relay => "relay",
        })
    }
}

/// Why the store did not do what it should. The answer is a person's, but for [`StoreError::InUse`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The directory or the file cannot be made or opened.
    #[error("cannot open {}", path.display())]
    Unopenable { path: PathBuf, source: io::Error },
    /// Another process has it.
    #[error("{} is in use by another process: a supervisor, or one of its commands", .0.display())]
    InUse(PathBuf),
    /// It is not what a supervisor wrote.
    #[error("{} is damaged, or is no supervisor's store ({cause}): put a copy back, or move it away, which \
        forgets every enrolled peer", path.display())]
    Damaged { path: PathBuf, cause: String },
    /// It is what a later supervisor wrote.
    #[error("{} is of format {found}, which a later supervisor wrote; this one knows {FORMAT}", path.display())]
    Later { path: PathBuf, found: u32 },
    /// Reading or writing failed, or what was read is no record.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl StoreError {
    fn failed(error: impl Into<redb::Error>) -> Self {
        Self::Failed(error.into().to_string())
    }

    /// Whether another user could have done it.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Unopenable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// The open store. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Store {
    database: Arc<Database>,
}

impl Store {
    /// Whether there is one in that directory, as far as this user can see.
    pub(crate) fn is_in(state_dir: &Path) -> bool {
        state_dir.join(FILE).exists()
    }

    /// Opens the store in that directory, and makes both if they are missing.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join(FILE);
        let unopenable = |source| StoreError::Unopenable {
            path: path.clone(),
            source,
        };
        let began = Instant::now();
        let database = loop {
            let file = private_file(state_dir, &path).map_err(unopenable)?;
            match open_file(&path, file) {
                Err(StoreError::InUse(_)) if began.elapsed() < IN_USE_LIMIT => {
                    std::thread::sleep(IN_USE_PAUSE);
                }
                other => break other?,
            }
        };
        let store = Self {
            database: Arc::new(database),
        };
        store.prepare(&path)?;
        Ok(store)
    }

    /// Makes the tables that are missing; refuses those of a later format.
    fn prepare(&self, path: &Path) -> Result<(), StoreError> {
        let damaged = |error: StoreError| StoreError::Damaged {
            path: path.to_owned(),
            cause: error.to_string(),
        };
        let found = self.write(|transaction| {
            records::create_tables(transaction)?;
            secrets::format(transaction, FORMAT)
        });
        match found.map_err(damaged)? {
            FORMAT => Ok(()),
            found => Err(StoreError::Later {
                path: path.to_owned(),
                found,
            }),
        }
    }

    /// One transaction: all of it is on the disk when this returns well, and nothing of it otherwise.
    fn write<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = self.database.begin_write().map_err(StoreError::failed)?;
        let result = work(&transaction)?;
        transaction.commit().map_err(StoreError::failed)?;
        Ok(result)
    }

    fn read(&self) -> Result<ReadTransaction, StoreError> {
        use redb::ReadableDatabase as _;
        self.database.begin_read().map_err(StoreError::failed)
    }
}

fn open_file(path: &Path, file: File) -> Result<Database, StoreError> {
    let damaged = |cause: String| StoreError::Damaged {
        path: path.to_owned(),
        cause,
    };
    let opened = FileBackend::new(file).and_then(|backend| {
        Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
    });
    opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.to_owned()),
        DatabaseError::Storage(StorageError::Io(source)) if !means_damage(&source) => {
            StoreError::Unopenable {
                path: path.to_owned(),
                source,
            }
        }
        other => damaged(other.to_string()),
    })
}

fn means_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

/// Makes a directory that nobody else may look into, if it is missing.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

/// The file, for its owner alone. A command that root runs leaves it to whom the directory belongs: the service.
fn private_file(dir: &Path, path: &Path) -> io::Result<File> {
    private_dir(dir)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let (above, own) = (std::fs::metadata(dir)?, file.metadata()?);
    if own.uid() == 0 && above.uid() != 0 {
        chown(path, Some(above.uid()), Some(above.gid()))?;
    }
    Ok(file)
}
