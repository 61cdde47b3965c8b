//! Secrets that systemd hands to a service alone (`LoadCredential=` in its unit): files in a directory that
//! `CREDENTIALS_DIRECTORY` names, which nobody else can read.

use std::error::Error;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;

use crate::config::ConfigError;

/// Longest credential that is looked at, bytes. A join token has 71; RSA keys in PEM come to 3300.
const MAX_BYTES: u64 = 16 * 1024;

/// The credential of this name. None outside systemd, where the unit hands over none, or where it is empty, which is
/// how a unit says that there may be none.
pub fn credential<T: FromStr<Err: Error>>(name: &str) -> Result<Option<T>, ConfigError> {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
    read(directory.as_deref(), name)
}

fn read<T: FromStr<Err: Error>>(
    directory: Option<&OsStr>,
    name: &str,
) -> Result<Option<T>, ConfigError> {
    let Some(directory) = directory else {
        return Ok(None);
    };
    let path = Path::new(directory).join(name);
    let text = match text(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    };
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|error: T::Err| {
            let message = error.to_string();
            ConfigError::Credential { path, message }
        }),
    }
}

fn text(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;

    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::num::ParseIntError;

    use super::*;

    fn of(text: &str) -> Result<Option<u32>, ConfigError> {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("number"), text).expect("a file");
        read(Some(directory.path().as_os_str()), "number")
    }

    #[test]
    fn a_credential_is_read_without_the_line_end_that_editors_leave() {
        assert_eq!(of("17\n").expect("a number"), Some(17));
    }

    #[test]
    fn an_empty_one_is_none_and_so_is_a_missing_one() {
        assert_eq!(of("\n").expect("none"), None);
        let directory = tempfile::tempdir().expect("a directory");
        let missing = read::<u32>(Some(directory.path().as_os_str()), "number");
        assert_eq!(missing.expect("none"), None);
        assert_eq!(read::<u32>(None, "number").expect("no systemd"), None);
    }

    #[test]
    fn a_wrong_one_is_named_and_not_shown() {
        let error = of("secret").expect_err("no number").to_string();
        let words = "secret"
            .parse::<u32>()
            .map_err(|e: ParseIntError| e.to_string());
        assert!(
            error.ends_with(&format!("/number: {}", words.expect_err("no number"))),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
}
