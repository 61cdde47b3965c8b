//! The configuration file: which streams to send, from what, and how good.
//!
//! A [`Config`] can only be made by parsing, so one that exists is a valid one. Merging with the
//! command line is absent on purpose.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use protocol::id::Fingerprint;
use protocol::security::suite::Suite;
use protocol::security::token::JoinToken;
use serde::Deserialize;

use crate::encode::rungs::{Coding, Rung};
use crate::rate::Rate;

mod encoders;
mod limits;
mod source;

pub use encoders::Encoders;
pub use source::{CameraConfig, Device, Microphone, Rotation, Setting, SourceConfig};

/// What one broadcaster process does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The supervisor's address for peers, `ws://` or `wss://`.
    #[serde(default = "default_supervisor", deserialize_with = "limits::websocket")]
    pub supervisor: String,
    /// The one certificate the supervisor may show on `wss://`: its SHA-256 fingerprint, as the supervisor prints it.
    pub supervisor_certificate: Option<Fingerprint>,
    /// The suites it can do.
    #[serde(default = "default_suites", deserialize_with = "peer::limits::suites")]
    pub suites: Vec<Suite>,
    /// Length of its RSA key, where it needs one and has none yet.
    #[serde(
        default = "default_rsa_bits",
        deserialize_with = "peer::limits::rsa_bits"
    )]
    pub rsa_bits: u32,
    /// Lets it in the first time: what `supervisor token create --role broadcaster` prints.
    #[serde(default, deserialize_with = "limits::join_token")]
    pub join_token: Option<JoinToken>,
    /// Where identities and stream ids are kept.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// Where Prometheus finds figures.
    #[serde(default = "default_metrics")]
    pub metrics: daemon::metrics::Address,
    /// The one UDP port for all children; 0 lets the system choose.
    #[serde(default)]
    pub udp_port: u16,
    /// The one address of this machine that it listens on and offers; all of them if it is missing.
    pub udp_address: Option<IpAddr>,
    /// What may be sent in all, kbit/s: decides the number of children.
    #[serde(
        default = "default_uplink_kbps",
        deserialize_with = "peer::limits::uplink_kbps"
    )]
    pub uplink_kbps: u32,
    /// Whether children may reach it over the loopback interface: only for peers on this machine.
    #[serde(default)]
    pub loopback: bool,
    /// The streams, at least one.
    #[serde(rename = "stream", deserialize_with = "streams")]
    pub streams: Vec<StreamConfig>,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// The name viewers see; unique per supervisor.
    #[serde(deserialize_with = "peer::limits::name")]
    pub name: String,
    /// Where picture and sound come from.
    #[serde(default)]
    pub source: SourceConfig,
    /// Who may watch: "public", or "invited" (those who have a link from `supervisor invite`).
    #[serde(default)]
    pub access: protocol::signal::Access,
    /// Whether the operator may have its viewers fail, as a test: never for a show that matters.
    #[serde(default)]
    pub allow_failures: bool,
    /// How its peers are arranged; the supervisor's default if left out.
    pub topology: Option<protocol::signal::Topology>,
    /// How the picture is encoded. A file is sent as it is, whatever this says.
    #[serde(default)]
    pub video: VideoConfig,
    /// How the sound is encoded. A file is sent as it is, whatever this says.
    #[serde(default)]
    pub audio: AudioConfig,
}

/// How a captured picture is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VideoConfig {
    /// Pixels, even. A camera may have only something near it, and that is taken.
    #[serde(deserialize_with = "limits::width")]
    pub width: u32,
    /// Pixels, even.
    #[serde(deserialize_with = "limits::height")]
    pub height: u32,
    /// Frames per second; a camera may give fewer in the dark.
    #[serde(deserialize_with = "limits::fps")]
    pub fps: u32,
    /// Mean rate, kbit/s.
    #[serde(deserialize_with = "limits::video_kbps")]
    pub bitrate_kbps: u32,
    /// Where the uplink carries less, no less than this, kbit/s; as much as `bitrate_kbps` or more: it never changes.
    #[serde(deserialize_with = "limits::video_kbps")]
    pub min_bitrate_kbps: u32,
    /// Time from key frame to key frame, milliseconds: bounds the cost of joining and of repair.
    #[serde(deserialize_with = "limits::key_frame_interval_ms")]
    pub key_frame_interval_ms: u32,
    /// The encoders that may be used, the best first.
    pub encoders: Encoders,
    /// "vp8" or "h264": encoders of it are tried before all others. Without it, as `encoders` says.
    pub prefer: Option<Coding>,
}

impl StreamConfig {
    /// The bitrate of its video, which follows what the children can take; none for what is sent as it is.
    pub(crate) fn rate(&self) -> Option<Rate> {
        let is_encoded = !matches!(self.source, SourceConfig::File { .. });
        let sound = self.audio.enabled.then_some(self.audio.bitrate_kbps);
        let VideoConfig {
            min_bitrate_kbps: least,
            bitrate_kbps: most,
            ..
        } = self.video;
        is_encoded.then(|| Rate::new(least, most, sound))
    }
}

impl VideoConfig {
    /// The encoders to try, one after the other.
    pub(crate) fn in_order(&self) -> Vec<&'static Rung> {
        self.encoders.in_order(self.prefer)
    }

    /// Whether a camera's own H.264 may be sent, and comes before this encoder.
    pub(crate) fn own_before(&self, rung: &Rung) -> bool {
        let order = self.in_order();
        let place = |of: &Rung| order.iter().position(|one| one.element == of.element);
        place(Rung::camera()).is_some_and(|own| place(rung).is_none_or(|rung| own < rung))
    }
}

impl Default for VideoConfig {
    /// 720p30 at the rate that played in all browsers tried, and down to a fourth of it (guess: below it is
    /// no picture of that size); a key frame each second.
    fn default() -> Self {
        Self {
            width: 1280,
            height: 720,
            fps: 30,
            bitrate_kbps: 1000,
            min_bitrate_kbps: 250,
            key_frame_interval_ms: 1000,
            encoders: Encoders::default(),
            prefer: None,
        }
    }
}

/// How captured sound is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AudioConfig {
    /// Whether there is a sound track. Without one viewers get 50 packets a second fewer.
    pub enabled: bool,
    /// Mean rate, kbit/s.
    #[serde(deserialize_with = "limits::audio_kbps")]
    pub bitrate_kbps: u32,
    /// How much louder a microphone is made, decibels; negative is quieter.
    #[serde(deserialize_with = "limits::gain_db")]
    pub gain_db: i8,
}

impl Default for AudioConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            bitrate_kbps: 64,
            gain_db: 0,
        }
    }
}

impl Config {
    /// Reads and checks the file. Errors name file, line, column and what is allowed there.
    pub fn load(path: impl AsRef<Path>) -> anyhow::Result<Self> {
        daemon::config::load(path)
    }
}

const fn default_metrics() -> daemon::metrics::Address {
    daemon::metrics::Address::loopback(9463)
}

fn default_supervisor() -> String {
    "ws://127.0.0.1:8080/peer".into()
}

/// What every browser can do, and costs a twentieth of RSA.
fn default_suites() -> Vec<Suite> {
    vec![Suite::Elliptic]
}

/// The paper's (§III.B.2).
const fn default_rsa_bits() -> u32 {
    2048
}

/// systemd's StateDirectory of the unit.
fn default_state_dir() -> PathBuf {
    "/var/lib/edge-broadcaster".into()
}

/// Guess: a home's upload of 10 Mbit/s.
const fn default_uplink_kbps() -> u32 {
    10_000
}

fn streams<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<StreamConfig>, D::Error> {
    let streams = Vec::<StreamConfig>::deserialize(from)?;
    let mut names = BTreeSet::new();
    if let Some(twice) = streams.iter().find(|s| !names.insert(&s.name)) {
        return Err(serde::de::Error::custom(format!(
            "two streams are named {:?}, but names must differ",
            twice.name
        )));
    }
    if streams.is_empty() {
        return Err(serde::de::Error::custom(
            "at least one [[stream]] must be given",
        ));
    }
    Ok(streams)
}

#[cfg(test)]
mod tests;
