//! What a peer keeps between two runs: its DTLS identity, in a file only its owner reads.

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use protocol::security::secret::Seed;
use zeroize::Zeroizing;

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}: {source}", path.display())]
pub struct KeystoreError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Reads a text that was [`save`]d; none if there is none yet.
pub fn load(path: &Path) -> Result<Option<String>, KeystoreError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeystoreError {
            what: "reading",
            path: path.into(),
            source,
        }),
    }
}

/// What is kept at `path`, which says what it is in the words of an error.
pub fn parsed<T: FromStr<Err: Error + Send + Sync + 'static>>(
    path: &Path,
    what: &'static str,
) -> Result<Option<T>, KeystoreError> {
    let Some(text) = load(path)? else {
        return Ok(None);
    };
    let parsed = text.trim().parse().map_err(|error| KeystoreError {
        what,
        path: path.into(),
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    });
    parsed.map(Some)
}

/// The 32 secret bytes that are kept at `path`; made of `fresh` ones, and kept, if there are none yet.
pub fn seed(path: &Path, fresh: Seed) -> Result<Seed, KeystoreError> {
    let Some(text) = load(path)?.map(Zeroizing::new) else {
        save(path, &Zeroizing::new(hex::encode(fresh.as_bytes())))?;
        return Ok(fresh);
    };
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut *bytes).map_err(|error| KeystoreError {
        what: "this is no key; remove it to get a new one, which has to be enrolled anew:",
        path: path.into(),
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    })?;
    Ok(Seed::from_bytes(*bytes))
}

/// Writes a text with mode 0600, whole or not at all: the plug may be pulled at any moment.
pub fn save(path: &Path, text: &str) -> Result<(), KeystoreError> {
    let failed = |what| {
        move |source| KeystoreError {
            what,
            path: path.into(),
            source,
        }
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("making the directory of"))?;
    }
    let temporary = path.with_extension("new");
    // The mode is for files that are made: one that was left over would keep its own, and its readers.
    remove(&temporary).map_err(failed("removing the leftover beside"))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&temporary).map_err(failed("writing"))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed("writing"))?;
    fs::rename(&temporary, path).map_err(failed("writing"))?;
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = fs::File::open(folder.unwrap_or_else(|| Path::new(".")));
    // Without this the new name may be gone after a power cut, and with it a key that is enrolled by then.
    folder
        .and_then(|folder| folder.sync_all())
        .map_err(failed("writing"))
}

/// Removes a file that may be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_reads_back_and_nobody_else_may_read_it() {
        let folder = std::env::temp_dir().join(format!("keystore-{}", std::process::id()));
        let path = folder.join("deep/dtls.pem");
        assert_eq!(load(&path).expect("no file is no error"), None);
        save(&path, "secret").expect("written");
        assert_eq!(load(&path).expect("read").as_deref(), Some("secret"));
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = parsed::<u32>(&path, "this is no number:").expect_err("nor is it");
        assert!(
            error.to_string().starts_with("this is no number: "),
            "{error}"
        );
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_was_left_over_opens_the_key_to_nobody() {
        let folder = std::env::temp_dir().join(format!("keystore-left-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("made");
        let (path, left) = (folder.join("dtls.pem"), folder.join("dtls.new"));
        fs::write(&left, "half a secret, and more of it").expect("written");
        fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).expect("its owner may");
        save(&path, "secret").expect("written");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(load(&path).expect("read").as_deref(), Some("secret"));
        assert!(!left.exists());
        fs::remove_dir_all(folder).expect("removed");
    }
}
