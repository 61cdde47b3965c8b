//! Configuration files: TOML, read once at the start, named on the command line and nowhere else.
//!
//! A mistake is answered with the file, the line, the column and what is allowed there. Merging
//! with environment or command line is absent on purpose: what the file says is what runs.

#[doc(hidden)]
pub mod trial;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a configuration cannot be used. The answer is always a person's: correct it, start again.
///
/// [`crate::run`] ends with exit status 78 (`EX_CONFIG`) for these, and the units tell systemd
/// not to try again after it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The command line is not the path of one file.
    #[error("usage: {program} CONFIG.toml")]
    Usage { program: String },
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    /// A credential that systemd handed over is not what it should be. Says nothing of what it is.
    #[error("{}: {message}", path.display())]
    Credential { path: PathBuf, message: String },
    /// The file is not TOML, or not what this service understands.
    #[error("{}:{line}:{column}: {message}{excerpt}", path.display())]
    Wrong {
        path: PathBuf,
        line: usize,
        column: usize,
        message: String,
        /// The line itself with a mark below the place, or nothing when it has no place.
        excerpt: String,
    },
}

/// Loads the one configuration file that the command line names.
pub fn from_args<T: DeserializeOwned>() -> anyhow::Result<T> {
    load(path_in(std::env::args_os())?)
}

/// Reads and checks a configuration file. Types should carry `#[serde(deny_unknown_fields)]`.
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>) -> anyhow::Result<T> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    Ok(parse(path, &text)?)
}

fn path_in(args: impl IntoIterator<Item = OsString>) -> Result<PathBuf, ConfigError> {
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_default();
    match (args.next(), args.next()) {
        (Some(path), None) => Ok(path.into()),
        _ => Err(ConfigError::Usage {
            program: Path::new(&program)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        }),
    }
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let (line, column, shown) = place(text, start);
        let excerpt = match error.span() {
            Some(_) => format!("\n  {shown}\n  {:>column$}", "^"),
            None => String::new(),
        };
        ConfigError::Wrong {
            path: path.to_owned(),
            line,
            column,
            message: error.message().to_owned(),
            excerpt,
        }
    })
}

/// The line and column (from 1, in characters) of a byte offset, and the line's text.
fn place(text: &str, offset: usize) -> (usize, usize, &str) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    (
        line,
        column,
        text[line_start..].lines().next().unwrap_or(""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        listen: std::net::SocketAddr,
        #[serde(default)]
        uplink_kbps: Option<u32>,
    }

    fn error_of(text: &str) -> String {
        parse::<Sample>(Path::new("sample.toml"), text)
            .expect_err("the sample is wrong")
            .to_string()
    }

    #[test]
    fn right_file_is_read() {
        let sample: Sample = parse(Path::new("s"), "listen = \"0.0.0.0:80\"\n").expect("is right");
        assert_eq!(sample.uplink_kbps, None);
        assert_eq!(sample.listen.port(), 80);
    }

    #[test]
    fn unknown_key_names_place_and_what_is_allowed() {
        let error = error_of("listen = \"0.0.0.0:80\"\n  lisen = 1\n");
        assert!(
            error.starts_with("sample.toml:2:3: unknown field `lisen`"),
            "{error}"
        );
        assert!(error.contains("`uplink_kbps`"), "{error}");
        assert!(error.ends_with("\n    lisen = 1\n    ^"), "{error}");
    }

    #[test]
    fn wrong_type_points_at_the_value() {
        let error = error_of("listen = \"0.0.0.0:80\"\nuplink_kbps = \"fast\"\n");
        assert!(
            error.starts_with("sample.toml:2:15: invalid type: string"),
            "{error}"
        );
    }

    #[test]
    fn broken_toml_points_at_the_line() {
        let error = error_of("listen = \"0.0.0.0:80\nuplink_kbps = 3\n");
        assert!(error.starts_with("sample.toml:1:"), "{error}");
    }

    #[test]
    fn missing_key_is_named() {
        let error = error_of("uplink_kbps = 3\n");
        assert!(error.contains("missing field `listen`"), "{error}");
    }

    #[test]
    fn column_counts_characters_not_bytes() {
        assert_eq!(place("# ä\nname = 'ö' x", 15), (2, 10, "name = 'ö' x"));
    }

    #[test]
    fn missing_file_is_named_with_the_cause() {
        let error = load::<Sample>("/nowhere/supervisor.toml").expect_err("there is no such file");
        let chain = format!("{error:#}");
        assert!(
            chain.contains("/nowhere/supervisor.toml: No such file"),
            "{chain}"
        );
    }

    #[test]
    fn command_line_is_one_path() {
        let args = |list: &[&str]| path_in(list.iter().map(OsString::from));
        assert_eq!(
            args(&["/bin/relay", "r.toml"]).expect("one path"),
            Path::new("r.toml")
        );
        let error = args(&["/bin/relay"]).expect_err("no path");
        assert_eq!(error.to_string(), "usage: relay CONFIG.toml");
        assert!(args(&["relay", "a", "b"]).is_err());
    }
}
