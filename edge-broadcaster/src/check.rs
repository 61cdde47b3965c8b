//! `edge-broadcaster check`: what this machine could capture and encode, and whether the configured
//! streams would start. Changes nothing, and needs no supervisor.

use std::fmt::Write as _;

use crate::capture::alsa::{self, Chosen};
use crate::capture::v4l2::{self, Camera, Identity};
use crate::capture::{Pixels, VideoFormat};
use crate::config::{Config, SourceConfig, StreamConfig, VideoConfig};
use crate::encode::ladder;
use crate::{elements, encode, source};

mod machine;
mod table;

pub use table::{Report, Row, State};

/// Looks at this machine, and at the streams of the configuration if there is one. Takes some seconds: encoders are
/// tried, and microphones listened to.
pub fn report(config: Option<&Config>) -> anyhow::Result<Report> {
    elements::init()?;
    let mut report = Report::default();
    cameras(&mut report);
    microphones(&mut report);
    let streams = config.map_or(&[][..], |config| &config.streams);
    let video = streams
        .first()
        .map_or_else(VideoConfig::default, |s| s.video.clone());
    encoders(&mut report, &video);
    machine::clock(&mut report);
    machine::buffers(&mut report);
    if let Some(config) = config {
        machine::supervisor(&mut report, &config.supervisor);
    }
    for stream in streams {
        match describe(stream) {
            Ok(words) => report.add("STREAMS", State::Good, &stream.name, words),
            Err(error) => report.add("STREAMS", State::Bad, &stream.name, format!("{error:#}")),
        }
    }
    Ok(report)
}

fn cameras(report: &mut Report) {
    let cameras = v4l2::cameras();
    for camera in &cameras {
        let mut words = camera.identity.to_string();
        for link in v4l2::links(&camera.path) {
            let _ = write!(words, "\nas {}", link.display());
        }
        let _ = write!(words, "\n{}", offers(camera));
        for control in &camera.controls {
            let value = control.value.map_or_else(|| "?".into(), |v| v.to_string());
            let _ = write!(words, "\n{} = {value}: {}", control.name, control.kind);
        }
        report.add("CAMERAS", State::Good, camera.path.display(), words);
    }
    let forbidden = v4l2::forbidden();
    for words in &forbidden {
        report.add("CAMERAS", State::Doubtful, "refused", words);
    }
    if cameras.is_empty() && forbidden.is_empty() {
        report.add("CAMERAS", State::Told, "none", "is one plugged in?");
    }
}

/// Sizes and rates by layout, the largest first.
fn offers(camera: &Camera) -> String {
    let mut lines = Vec::new();
    for pixels in Pixels::ALL {
        let mut of: Vec<_> = camera
            .offers
            .iter()
            .filter(|o| o.pixels == pixels)
            .collect();
        of.sort_by_key(|offer| std::cmp::Reverse((offer.width * offer.height, offer.fps)));
        let sizes: Vec<_> = of
            .iter()
            .map(|offer| format!("{}x{} at {}", offer.width, offer.height, offer.fps))
            .collect();
        if !sizes.is_empty() {
            lines.push(format!("{pixels:?}: {}", sizes.join(", ")));
        }
    }
    lines.join("\n")
}

fn microphones(report: &mut Report) {
    let microphones = alsa::microphones();
    for microphone in &microphones {
        let (state, level) = match alsa::level_db(&microphone.device) {
            Ok(Some(db)) => (State::Good, format!("{db:.0} dB below the loudest")),
            Ok(None) => (State::Doubtful, "it gives only zeros: is it muted?".into()),
            Err(error) => (State::Doubtful, format!("{error:#}")),
        };
        let words = format!("{}\n{level}", microphone.name);
        report.add("MICROPHONES", state, &microphone.device, words);
    }
    if microphones.is_empty() {
        report.add(
            "MICROPHONES",
            State::Told,
            "none",
            "streams of cameras are silent",
        );
    }
}

/// Tries every encoder that the configuration names.
fn encoders(report: &mut Report, video: &VideoConfig) {
    let format = VideoFormat {
        pixels: Pixels::I420,
        width: video.width,
        height: video.height,
        fps: video.fps,
        stride: video.width,
    };
    let mut chosen = None;
    for rung in video.in_order() {
        if rung.is_camera() {
            report.add(
                "ENCODERS",
                State::Told,
                rung.element,
                own(&v4l2::cameras(), video),
            );
            continue;
        }
        let tried = ladder::try_one(rung, &format, video);
        let (state, words) = match tried.outcome {
            Ok(proof) if proof.fps < f64::from(video.fps) => (
                State::Doubtful,
                format!("{proof}: too slow for {}", video.fps),
            ),
            Ok(proof) => (State::Good, proof.to_string()),
            Err(reason) => (State::Told, reason.to_string()),
        };
        if state != State::Told {
            chosen = chosen.or(Some(rung));
        }
        report.add(
            "ENCODERS",
            state,
            rung.element,
            format!("{}: {words}", rung.of),
        );
    }
    let size = format!("{}x{} at {} frames/s", video.width, video.height, video.fps);
    match chosen {
        Some(rung) => {
            let own = match video.own_before(rung) {
                true => ", where a camera's own H.264 is not",
                false => "",
            };
            let words = format!("{}, for {size}{own}", rung.element);
            report.add("ENCODERS", State::Good, "used", words);
        }
        None => report.add(
            "ENCODERS",
            State::Bad,
            "used",
            "none works: install gstreamer1.0-plugins-good",
        ),
    }
    let missing = encode::ELEMENTS
        .into_iter()
        .filter_map(|e| elements::exists(e).err());
    for missing in missing {
        report.add(
            "ENCODERS",
            State::Bad,
            &missing.element,
            missing.to_string(),
        );
    }
}

/// Which cameras have H.264 of their own that a stream could be made of.
fn own(cameras: &[Camera], video: &VideoConfig) -> String {
    let have =
        |camera: &&Camera| v4l2::has_own(&camera.offers, video.width, video.height, video.fps);
    let have: Vec<_> = cameras.iter().filter(have).collect();
    let paths: Vec<_> = have.iter().map(|c| c.path.display().to_string()).collect();
    match paths.is_empty() {
        true => "a camera's own H.264: none here has it in this size and rate".to_owned(),
        false => format!(
            "{}: has H.264 of its own, which is looked at when its stream begins",
            paths.join(", ")
        ),
    }
}

fn describe(stream: &StreamConfig) -> anyhow::Result<String> {
    match &stream.source {
        SourceConfig::Test => Ok("the test picture".into()),
        SourceConfig::Auto => Ok(match v4l2::first_camera() {
            Some(camera) => named(&camera),
            None => "the test picture, until there is a camera".into(),
        }),
        SourceConfig::Camera(config) => {
            let camera = v4l2::choose(&config.device, None)?.swap_remove(0);
            let unfit = v4l2::unfit(&camera, &config.controls);
            anyhow::ensure!(unfit.is_empty(), "{}", unfit.join("; "));
            let sound = sound(config, &camera.identity);
            Ok(format!("{}\n{sound}", named(&camera)))
        }
        SourceConfig::File { path, repeat } => film(path, *repeat),
    }
}

fn named(camera: &Camera) -> String {
    format!("{} ({})", camera.path.display(), camera.identity)
}

fn sound(config: &crate::config::CameraConfig, camera: &Identity) -> String {
    match alsa::choose(&config.microphone, Some(camera)) {
        Chosen::Silence => "silent".into(),
        Chosen::Device(name) => format!("sound of {name}"),
    }
}

fn film(path: &std::path::Path, repeat: bool) -> anyhow::Result<String> {
    let probe = source::probe(path)?;
    let tracks: Vec<String> = probe
        .tracks
        .iter()
        .map(|track| format!("{} at {} kbit/s", track.codec.name(), track.kbps))
        .collect();
    let after = if repeat {
        "then from the beginning"
    } else {
        "then the end"
    };
    let mut text = format!("{}: {}, {after}", path.display(), tracks.join(" and "));
    for warning in &probe.warnings {
        let _ = write!(text, "\nwarning: {warning}");
    }
    Ok(text)
}
