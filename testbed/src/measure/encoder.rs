//! What the broadcaster's way from picture to chunk costs, beside GStreamer alone doing the same: `fdsrc ! vp8enc !
//! webmmux`, set as the broadcaster sets it, on the same pictures at the same pace.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde_json::Value;

/// What one size cost, per second of video.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Processor seconds of ours, without what painting the test picture takes.
    pub ours: f64,
    /// Of painting.
    pub painting: f64,
    /// Of GStreamer alone.
    pub plain: f64,
    /// From capture to sealed chunk, milliseconds: half of the pictures, and all but one in a hundred.
    pub p50_ms: f64,
    /// See above.
    pub p99_ms: f64,
}

/// Measures one size for so many seconds of video at 30 pictures a second: ours, then GStreamer alone.
pub fn compare(width: u32, height: u32, seconds: u64) -> anyhow::Result<Cost> {
    let ours = inside(&[
        "live".into(),
        width.to_string(),
        height.to_string(),
        seconds.to_string(),
    ])?;
    let number = |name: &str| {
        ours[name]
            .as_f64()
            .with_context(|| format!("encoding says no {name}"))
    };
    let (cpu, painting) = (number("cpu_s")?, number("paint_s")?);
    let length = seconds as f64;
    Ok(Cost {
        ours: (cpu - painting) / length,
        painting: painting / length,
        plain: plain(width, height, seconds)? / length,
        p50_ms: number("p50_ms")?,
        p99_ms: number("p99_ms")?,
    })
}

/// Memory after ten thousand pictures, and after all of them, KiB.
pub fn memory(frames: u64) -> anyhow::Result<(u64, u64)> {
    let seen = inside(&["unpaced".into(), frames.to_string()])?;
    let kib = |name: &str| {
        seen[name]
            .as_u64()
            .with_context(|| format!("encoding says no {name}"))
    };
    Ok((kib("warm_kib")?, kib("resident_kib")?))
}

fn program() -> anyhow::Result<Command> {
    let program = crate::stage::programs()?.join("examples/encoding");
    ensure!(
        program.exists(),
        "{} is not built (cargo build -p edge-broadcaster --example encoding)",
        program.display()
    );
    Ok(Command::new(program))
}

fn inside(words: &[String]) -> anyhow::Result<Value> {
    let ended = program()?.args(words).stderr(Stdio::inherit()).output()?;
    ensure!(ended.status.success(), "encoding {words:?} failed");
    serde_json::from_slice(&ended.stdout).context("what encoding printed")
}

/// Processor seconds of GStreamer's own program for so much video.
fn plain(width: u32, height: u32, seconds: u64) -> anyhow::Result<f64> {
    let words = [
        "pictures".into(),
        width.to_string(),
        height.to_string(),
        seconds.to_string(),
    ];
    let mut painter = program()?.args(words).stdout(Stdio::piped()).spawn()?;
    let pictures = painter.stdout.take().context("a pipe")?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from) / 2;
    // As edge-broadcaster/src/encode/rungs.rs sets it.
    let line = format!(
        "fdsrc ! rawvideoparse format=i420 width={width} height={height} framerate=30/1 \
         ! vp8enc deadline=1 cpu-used=8 lag-in-frames=0 end-usage=cbr target-bitrate=1000000 keyframe-max-dist=30 \
         threads={} ! webmmux streamable=true ! filesink location=/dev/null",
        threads.clamp(1, 4)
    );
    let before = of_children()?;
    let ended = Command::new("gst-launch-1.0")
        .arg("-q")
        .args(line.split_whitespace())
        .stdin(Stdio::from(pictures))
        .status()
        .context("gst-launch-1.0 (Debian's gstreamer1.0-tools)")?;
    // The painter is not waited for yet, so it is not in it.
    let cpu = of_children()? - before;
    painter.wait()?;
    ensure!(ended.success(), "gst-launch-1.0 {line}");
    Ok(cpu)
}

/// Processor seconds of all children that were waited for.
fn of_children() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(us as f64 / 1e6)
}
