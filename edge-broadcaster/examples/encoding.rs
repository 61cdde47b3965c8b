//! What capturing and encoding cost, measured from inside. Used by `measure encoder`; prints JSON.
//!
//! usage: encoding live WIDTH HEIGHT SECONDS       the test picture at 30 a second, through to sealed chunks
//!        encoding pictures WIDTH HEIGHT SECONDS   the same pictures, raw, at the same rate, on standard output
//!        encoding unpaced FRAMES                  small pictures as fast as can be; what memory is in use meanwhile

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use edge_broadcaster::capture::picture::Painter;
use edge_broadcaster::clock::Clock;
use edge_broadcaster::config::Config;
use edge_broadcaster::source::{self, SourceEvent};
use edge_broadcaster::unpaced::Unpaced;
use protocol::chunk::{Header, Position};
use protocol::container::Writer;
use protocol::id::StreamHandle;
use protocol::media::EncodedFrame;
use protocol::security::otdp::Sealer;
use protocol::security::secret::{Seed, StreamKey};
use protocol::time::Time;
use serde_json::json;

const FPS: u64 = 30;
/// Pictures after which memory is looked at for the first time: by then all that is kept for good is there.
const WARM: u64 = 10_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match measure(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("encoding: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn measure(words: &[String]) -> anyhow::Result<()> {
    let number = |at: usize| -> anyhow::Result<u64> {
        let word = words.get(at).context("see the top of the source")?;
        word.parse()
            .with_context(|| format!("{word:?} is no number"))
    };
    match words.first().map(String::as_str) {
        Some("live") => live(number(1)?, number(2)?, number(3)?).await,
        Some("pictures") => pictures(number(1)? as u32, number(2)? as u32, number(3)?),
        Some("unpaced") => unpaced(number(1)?).await,
        _ => anyhow::bail!("live, pictures or unpaced; see the top of the source"),
    }
}

/// Processor time of this process so far, seconds.
fn cpu_s() -> f64 {
    let clock = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID);
    clock.map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

async fn live(width: u64, height: u64, seconds: u64) -> anyhow::Result<()> {
    let text = format!(
        "[[stream]]\nname = \"measured\"\nsource = \"test\"\n[stream.video]\nwidth = {width}\nheight = {height}\n\
         fps = {FPS}\nencoders = [\"vp8enc\"]\n[stream.audio]\nenabled = false\n"
    );
    let path = std::env::temp_dir().join(format!("ownstream-encoding-{}.toml", std::process::id()));
    std::fs::write(&path, text)?;
    let config = Config::load(&path);
    std::fs::remove_file(&path)?;
    let (config, clock) = (config?.streams.remove(0), Clock::start());
    let mut running = source::start(&config, clock).await?;
    let mut writer = Writer::new(running.tracks[0].clone());
    let mut sealer = Sealer::new(
        &Seed::from_bytes([1; 32]),
        1,
        StreamKey::from_bytes([2; 32]),
    );
    let (mut ages, mut began) = (Vec::new(), None);
    // What the trial of the encoder and the first picture cost is no part of it.
    while ages.len() < (seconds * FPS) as usize {
        match running.frames.recv().await {
            Some(SourceEvent::Frame(track, frame)) => {
                began.get_or_insert_with(cpu_s);
                let header = header(ages.len() as u64, track, &frame);
                sealer.seal(header, &writer.write(&frame).container);
                ages.push(clock.now().since(frame.capture));
            }
            other => anyhow::bail!("{other:?}"),
        }
    }
    let cpu = cpu_s() - began.unwrap_or_default();
    let frames = ages.len();
    running.stop().await;
    ages.sort_unstable();
    let at = |percent: usize| ages[(frames - 1) * percent / 100].as_secs_f64() * 1_000.0;
    let (p50_ms, p99_ms) = (at(50), at(99));
    let before = cpu_s();
    let painter = Painter::new(width as u32, height as u32, FPS as u32);
    for n in 0..frames as u64 {
        std::hint::black_box(painter.paint(Time::from_micros(n * 1_000_000 / FPS)));
    }
    let paint = cpu_s() - before;
    let line = json!({
        "frames": frames, "cpu_s": cpu, "paint_s": paint, "p50_ms": p50_ms, "p99_ms": p99_ms, "resident_kib": resident_kib(),
    });
    println!("{line}");
    Ok(())
}

fn header(sequence: u64, track: protocol::media::Track, frame: &EncodedFrame) -> Header {
    Header {
        random_access: frame.key,
        track,
        rendition: 0,
        key_id: 1,
        handle: StreamHandle(1),
        position: Position { epoch: 1, sequence },
        part: 0,
        parts: 1,
        capture: frame.capture,
        media_us: frame.media_us,
    }
}

fn pictures(width: u32, height: u32, seconds: u64) -> anyhow::Result<()> {
    let painter = Painter::new(width, height, FPS as u32);
    let (clock, mut out) = (Clock::start(), std::io::stdout().lock());
    let origin = clock.now();
    for n in 0..seconds * FPS {
        let capture = origin + Duration::from_micros(n * 1_000_000 / FPS);
        clock.sleep_until(capture);
        out.write_all(&painter.paint(capture))?;
    }
    Ok(())
}

async fn unpaced(frames: u64) -> anyhow::Result<()> {
    let mut line = Unpaced::start()?;
    let mut warm = None;
    for n in 0..frames {
        line.step().await?;
        if n + 1 == WARM.min(frames) {
            warm = Some(resident_kib());
        }
    }
    let line = json!({
        "frames": frames, "chunks": line.chunks(), "warm_kib": warm, "resident_kib": resident_kib(),
    });
    println!("{line}");
    Ok(())
}
