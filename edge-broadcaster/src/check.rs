//! `edge-broadcaster check`: what this machine could capture and encode, and whether the configured
//! streams would start. Needs no supervisor.

use std::fmt::Write as _;

use crate::capture::alsa::{self, Chosen};
use crate::capture::v4l2::{self, Camera};
use crate::config::{Config, SourceConfig, StreamConfig};
use crate::{elements, encode, source};

/// What there is, and whether it is enough.
#[derive(Debug)]
pub struct Report {
    /// For people, line by line.
    pub text: String,
    /// Everything that is needed is there.
    pub ready: bool,
}

impl Report {
    fn line(&mut self, line: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn outcome(&mut self, what: &str, outcome: anyhow::Result<String>) {
        match outcome {
            Ok(words) => self.line(format_args!("{what}: {words}")),
            Err(error) => {
                self.ready = false;
                self.line(format_args!("{what}: NOT READY: {error:#}"));
            }
        }
    }
}

/// Looks at this machine, and at the streams of the configuration if there is one.
pub fn report(config: Option<&Config>) -> anyhow::Result<Report> {
    elements::init()?;
    let mut report = Report {
        text: String::new(),
        ready: true,
    };
    report_devices(&mut report);
    report.outcome("encoders", encoders());
    for stream in config.into_iter().flat_map(|config| &config.streams) {
        report.outcome(&format!("stream {:?}", stream.name), describe(stream));
    }
    Ok(report)
}

fn report_devices(report: &mut Report) {
    let cameras = v4l2::cameras();
    for camera in &cameras {
        report.line(format_args!("camera: {}", describe_camera(camera)));
        for control in &camera.controls {
            let value = control.value.map_or_else(|| "?".into(), |v| v.to_string());
            let (name, kind) = (&control.name, &control.kind);
            report.line(format_args!("    {name} = {value}: {kind}"));
        }
    }
    let forbidden = v4l2::forbidden();
    for words in &forbidden {
        report.line(format_args!("camera: {words}"));
    }
    if cameras.is_empty() && forbidden.is_empty() {
        report.line("camera: none found");
    }
    let microphones = alsa::microphones();
    for microphone in &microphones {
        report.line(format_args!(
            "microphone: {} ({})",
            microphone.device, microphone.name
        ));
    }
    if microphones.is_empty() {
        report.line("microphone: none found");
    }
}

fn describe_camera(camera: &Camera) -> String {
    let largest = camera
        .offers
        .iter()
        .max_by_key(|offer| offer.width * offer.height);
    let size = largest.map_or(String::new(), |offer| {
        format!(", up to {}x{}", offer.width, offer.height)
    });
    format!("{} ({}{size})", camera.path.display(), camera.identity)
}

fn encoders() -> anyhow::Result<String> {
    for element in encode::ELEMENTS {
        elements::exists(element)?;
    }
    Ok("VP8 by vp8enc, Opus by opusenc, both in software".into())
}

fn describe(stream: &StreamConfig) -> anyhow::Result<String> {
    match &stream.source {
        SourceConfig::Test => Ok("the test picture".into()),
        SourceConfig::Auto => Ok(match v4l2::first_camera() {
            Some(camera) => describe_camera(&camera),
            None => "the test picture, because there is no camera to be had".into(),
        }),
        SourceConfig::Camera(config) => {
            let camera = v4l2::choose(&config.device, None)?.swap_remove(0);
            let sound = match alsa::choose(&config.microphone, Some(&camera.identity)) {
                Chosen::Silence => "silent".into(),
                Chosen::Device(name) => format!("sound of {name}"),
            };
            Ok(format!("{}, {sound}", describe_camera(&camera)))
        }
        SourceConfig::File { path, repeat } => {
            let probe = source::probe(path)?;
            let tracks: Vec<String> = probe
                .tracks
                .iter()
                .map(|track| format!("{:?} at {} kbit/s", track.codec, track.kbps))
                .collect();
            let after = if *repeat {
                "then from the beginning"
            } else {
                "then the end"
            };
            let mut text = format!("{}: {}, {after}", path.display(), tracks.join(" and "));
            for warning in &probe.warnings {
                let _ = write!(text, "\n  warning: {warning}");
            }
            Ok(text)
        }
    }
}
