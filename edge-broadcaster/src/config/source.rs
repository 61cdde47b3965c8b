//! Where a stream comes from, as the configuration file says it.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// Where picture and sound come from: a table with `kind`, or the kind alone as text where the rest
/// can be left to its defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SourceConfig {
    /// The first camera and microphone if there is a camera, else the test picture.
    #[default]
    Auto,
    /// A V4L2 camera and an ALSA microphone.
    Camera {
        /// Which camera.
        device: Device,
        /// Which microphone.
        microphone: Microphone,
    },
    /// A moving picture with a clock in it, and a tone.
    Test,
    /// A WebM file, sent as it is.
    File {
        /// The file; a relative path is taken from the working directory.
        path: PathBuf,
        /// Begin again at the end.
        repeat: bool,
    },
}

/// Which camera.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Device {
    /// The first that can capture.
    #[default]
    Auto,
    /// This one: `/dev/video0`, or better `/dev/v4l/by-id/…`, which stays when cameras are replugged.
    Path(PathBuf),
}

/// Which microphone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Microphone {
    /// The first that can capture; silence if there is none.
    #[default]
    Auto,
    /// Silence.
    None,
    /// An ALSA device, as in `hw:1,0` or `plughw:CARD=C920`.
    Alsa(String),
}

/// The table form. Derived, so that unknown keys are named with those that exist.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Table {
    Auto {},
    Camera {
        #[serde(default, deserialize_with = "device")]
        device: Device,
        #[serde(default, deserialize_with = "microphone")]
        microphone: Microphone,
    },
    Test {},
    File {
        path: PathBuf,
        #[serde(default = "yes", rename = "loop")]
        repeat: bool,
    },
}

impl From<Table> for SourceConfig {
    fn from(table: Table) -> Self {
        match table {
            Table::Auto {} => Self::Auto,
            Table::Camera { device, microphone } => Self::Camera { device, microphone },
            Table::Test {} => Self::Test,
            Table::File { path, repeat } => Self::File { path, repeat },
        }
    }
}

impl<'de> Deserialize<'de> for SourceConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TableOrKind)
    }
}

struct TableOrKind;

impl<'de> Visitor<'de> for TableOrKind {
    type Value = SourceConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            r#""auto", "camera", "test", or a table such as { kind = "file", path = "film.webm" }"#,
        )
    }

    fn visit_str<E: Error>(self, kind: &str) -> Result<SourceConfig, E> {
        match kind {
            "auto" => Ok(SourceConfig::Auto),
            "camera" => Ok(SourceConfig::Camera {
                device: Device::Auto,
                microphone: Microphone::Auto,
            }),
            "test" => Ok(SourceConfig::Test),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SourceConfig, A::Error> {
        Table::deserialize(MapAccessDeserializer::new(map)).map(SourceConfig::from)
    }
}

fn device<'de, D: Deserializer<'de>>(from: D) -> Result<Device, D::Error> {
    match String::deserialize(from)?.as_str() {
        "auto" => Ok(Device::Auto),
        path if path.starts_with('/') => Ok(Device::Path(path.into())),
        other => Err(D::Error::custom(format!(
            "device is {other:?}, but must be \"auto\" or a path such as \"/dev/video0\""
        ))),
    }
}

fn microphone<'de, D: Deserializer<'de>>(from: D) -> Result<Microphone, D::Error> {
    match String::deserialize(from)?.as_str() {
        "auto" => Ok(Microphone::Auto),
        "none" => Ok(Microphone::None),
        "" => Err(D::Error::custom(
            "microphone is empty, but must be \"auto\", \"none\" or an ALSA device such as \"hw:1,0\"",
        )),
        other => Ok(Microphone::Alsa(other.into())),
    }
}

const fn yes() -> bool {
    true
}
