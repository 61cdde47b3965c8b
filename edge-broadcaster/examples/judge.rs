//! Looks at what a viewer was given, picture by picture and packet by packet, and says whether it is what was expected.
//! Used by `make test-box` on what `receiver --record` wrote down of the emulated board's streams.
//!
//! usage: judge video.1.webm[,video.2.mp4…] audio.1.webm[,audio.2.webm…] SHOWN tone|silence|none
//!
//! Several files of a track follow each other. SHOWN is the order of what is seen, as in `picture,slate,picture`, or its
//! beginning: `picture,slate,...`. A run of fewer than three pictures does not count.

use std::process::ExitCode;

use anyhow::{Context, ensure};
use edge_broadcaster::capture::slate::GROUND;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

/// Runs shorter than this are the moment of change: a last picture that was on its way.
const SHORT: usize = 3;
/// The pitch that the test plays into the microphone, Hz.
const PITCH: f64 = 1_000.0;
/// Sound that holds the tone has it as this share of its energy. Pure is 1; the rest is Opus, and where it begins.
const PURE: f64 = 0.8;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match judge(&arguments) {
        Ok(words) => {
            println!("{words}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn judge(arguments: &[String]) -> anyhow::Result<String> {
    let [video, audio, shown, sound] = arguments else {
        anyhow::bail!(
            "usage: judge VIDEO.webm[,VIDEO.mp4…] AUDIO.webm[,…] picture,slate,… tone|silence|none"
        );
    };
    gst::init()?;
    let mut pictures = Vec::new();
    for path in video.split(',') {
        pictures.extend(self::pictures(path)?);
    }
    let times: Vec<u64> = pictures.iter().map(|(ms, _)| *ms).collect();
    ensure!(!times.is_empty(), "not one picture");
    ensure!(
        times.is_sorted_by(|a, b| a < b),
        "pictures are out of order: {times:?}"
    );
    let runs = runs(&pictures);
    let order: Vec<&str> = runs.iter().map(|run| run.kind).collect();
    let said: Vec<String> = runs.iter().map(ToString::to_string).collect();
    let said = said.join(", ");
    let order = order.join(",");
    let order = match order.strip_prefix("slate,") {
        Some(rest) if shown.starts_with("picture") => rest.to_owned(), // it was slow to start
        _ => order,
    };
    let right = match shown.strip_suffix(",...") {
        Some(beginning) => order.starts_with(beginning),
        None => order == *shown,
    };
    ensure!(right, "seen were {said}; expected {shown}");
    let sound = match sound.as_str() {
        "none" => "no sound asked for".to_owned(),
        expected => heard(audio, expected)?,
    };
    Ok(format!(
        "{said}; longest without a picture {} ms; {sound}",
        longest(&times)
    ))
}

/// Pictures of one kind that follow each other.
struct Run {
    kind: &'static str,
    count: usize,
    from_ms: u64,
    to_ms: u64,
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            kind,
            count,
            from_ms,
            to_ms,
        } = self;
        write!(f, "{count} x {kind} from {from_ms} to {to_ms} ms")
    }
}

fn runs(pictures: &[(u64, &'static str)]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for part in pictures
        .chunk_by(|a, b| a.1 == b.1)
        .filter(|part| part.len() >= SHORT)
    {
        let (from_ms, to_ms) = (part[0].0, part[part.len() - 1].0);
        match runs.last_mut().filter(|run| run.kind == part[0].1) {
            Some(run) => (run.count, run.to_ms) = (run.count + part.len(), to_ms),
            None => runs.push(Run {
                kind: part[0].1,
                count: part.len(),
                from_ms,
                to_ms,
            }),
        }
    }
    runs
}

fn longest(times: &[u64]) -> u64 {
    times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or(0)
}

/// When each picture is shown, in ms, and what it is.
fn pictures(path: &str) -> anyhow::Result<Vec<(u64, &'static str)>> {
    let decoder = match path.ends_with(".mp4") {
        true => "qtdemux ! h264parse ! openh264dec",
        false => "matroskademux ! vp8dec",
    };
    let line = format!(
        "filesrc location={path} ! {decoder} ! videoconvert ! video/x-raw,format=I420 ! appsink name=out sync=false"
    );
    each(&line, |sample| {
        let info = gst_video::VideoInfo::from_caps(sample.caps().context("no format")?)?;
        let buffer = sample.buffer().context("no picture")?;
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)?;
        let luma = frame.plane_data(0)?;
        let ground = luma.iter().filter(|luma| luma.abs_diff(GROUND) < 6).count();
        let kind = if ground > luma.len() / 2 {
            "slate"
        } else {
            "picture"
        };
        Ok((buffer.pts().context("no time")?.mseconds(), kind))
    })
}

/// When each packet of sound is heard, in ms.
fn packets(path: &str) -> anyhow::Result<Vec<u64>> {
    let line = format!("filesrc location={path} ! matroskademux ! appsink name=out sync=false");
    each(&line, |sample| {
        let pts = sample.buffer().and_then(|buffer| buffer.pts());
        Ok(pts.context("no time")?.mseconds())
    })
}

/// How much of each piece of sound is the tone; none of silence.
fn shares(path: &str) -> anyhow::Result<Vec<Option<f64>>> {
    let line = format!(
        "filesrc location={path} ! matroskademux ! opusdec ! audioconvert \
         ! audio/x-raw,format=S16LE,channels=1,rate=48000 ! appsink name=out sync=false"
    );
    each(&line, |sample| {
        let buffer = sample.buffer().context("no sound")?;
        let bytes = buffer.map_readable()?;
        let samples = bytes
            .chunks_exact(2)
            .map(|two| f64::from(i16::from_le_bytes([two[0], two[1]])));
        Ok(tone_share(&samples.collect::<Vec<_>>()))
    })
}

/// What is heard.
fn heard(paths: &str, expected: &str) -> anyhow::Result<String> {
    let (mut times, mut parts) = (Vec::new(), Vec::new());
    for path in paths.split(',') {
        times.extend(packets(path)?);
        parts.extend(shares(path)?);
    }
    ensure!(!times.is_empty(), "not one packet of sound");
    ensure!(times.is_sorted(), "sound is out of order: {times:?}");
    let gaps = times
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > 21)
        .count();
    let pure = parts
        .iter()
        .filter(|share| share.is_some_and(|share| share > PURE))
        .count();
    let said = format!(
        "{} packets of sound, {gaps} gaps, the tone in {pure} of {}",
        times.len(),
        parts.len()
    );
    let right = match expected {
        "tone" => pure * 2 > parts.len(),
        _ => pure == 0,
    };
    // Gaps are said and not judged: an emulated processor does not always keep up with its microphone.
    ensure!(right, "{said}; expected {expected}");
    Ok(said)
}

/// The share of the energy that lies at the tone's pitch; none for silence.
fn tone_share(samples: &[f64]) -> Option<f64> {
    let energy: f64 = samples.iter().map(|s| s * s).sum();
    let count = samples.len() as f64;
    if energy < count * 100.0 {
        return None;
    }
    let turn = std::f64::consts::TAU * PITCH / 48_000.0;
    let parts = samples.iter().enumerate().map(|(n, s)| {
        let angle = turn * n as f64;
        (s * angle.cos(), s * angle.sin())
    });
    let (re, im) = parts.fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    Some((re * re + im * im) * 2.0 / (count * energy))
}

/// Runs a pipeline to its end and looks at what its sink, named `out`, gets.
fn each<T>(line: &str, look: impl Fn(&gst::Sample) -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
    let pipeline = gst::parse::launch(line)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| anyhow::anyhow!("not a pipeline: {line}"))?;
    let sink = pipeline
        .by_name("out")
        .and_then(|sink| sink.downcast::<gst_app::AppSink>().ok());
    let sink = sink.context("no sink")?;
    pipeline.set_state(gst::State::Playing)?;
    let mut all = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        all.push(look(&sample)?);
    }
    pipeline.set_state(gst::State::Null)?;
    Ok(all)
}
