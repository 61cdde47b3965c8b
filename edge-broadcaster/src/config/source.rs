//! Where a stream comes from, as the configuration file says it.

use std::collections::BTreeMap;
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
    Camera(CameraConfig),
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

/// A camera, its microphone, and how it is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CameraConfig {
    /// Which camera.
    #[serde(deserialize_with = "device")]
    pub device: Device,
    /// Which microphone.
    #[serde(deserialize_with = "microphone")]
    pub microphone: Microphone,
    /// What its controls are set to, by the names that `check` lists; the others are left as they are.
    pub controls: BTreeMap<String, Setting>,
    /// How far the picture is turned, clockwise.
    pub rotation: Rotation,
}

/// What a camera's control is set to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "a control is set to a number, true, false, or the name of a choice"
)]
pub enum Setting {
    /// On or off.
    Switch(bool),
    /// A number, or a choice by its number.
    Number(i64),
    /// A choice by its name.
    Words(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(on) => write!(f, "{on}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Words(words) => write!(f, "{words:?}"),
        }
    }
}

/// How far a picture is turned, clockwise, in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "i64")]
pub enum Rotation {
    /// Not at all.
    #[default]
    None,
    /// 90.
    Right,
    /// 180: the camera hangs upside down.
    Half,
    /// 270.
    Left,
}

impl Rotation {
    /// Whether width and height change places.
    pub const fn swaps(self) -> bool {
        matches!(self, Self::Right | Self::Left)
    }
}

impl TryFrom<i64> for Rotation {
    type Error = String;

    fn try_from(degrees: i64) -> Result<Self, String> {
        match degrees {
            0 => Ok(Self::None),
            90 => Ok(Self::Right),
            180 => Ok(Self::Half),
            270 => Ok(Self::Left),
            other => Err(format!(
                "rotation is {other}, but must be 0, 90, 180 or 270"
            )),
        }
    }
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
    Camera(CameraConfig),
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
            Table::Camera(camera) => Self::Camera(camera),
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
            "camera" => Ok(SourceConfig::Camera(CameraConfig::default())),
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
