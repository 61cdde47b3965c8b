//! What `receiver --record` writes down plays.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use testbed::stage::{Signal, Stage};

const STREAMS: &str = r#"
[[stream]]
name = "test"
source = { kind = "test" }
video = { width = 320, height = 180, fps = 25 }
"#;
/// One picture of it, I420.
const PICTURE: u64 = 320 * 180 * 3 / 2;

/// The pictures in a file, by another program's decoder.
fn pictures(file: &Path) -> anyhow::Result<u64> {
    let raw = file.with_extension("raw");
    let [file, raw_path] = [file, &raw].map(|path| format!("location={}", path.display()));
    let line = [
        "filesrc",
        &file,
        "!",
        "matroskademux",
        "!",
        "vp8dec",
        "!",
        "filesink",
        &raw_path,
    ];
    let decoded = Command::new("gst-launch-1.0")
        .arg("-q")
        .args(line)
        .output()?;
    let words = String::from_utf8_lossy(&decoded.stderr);
    ensure!(decoded.status.success(), "it is not decoded: {words}");
    Ok(std::fs::metadata(raw)?.len() / PICTURE)
}

#[test]
fn what_a_viewer_was_given_is_a_film_of_all_it_played() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let _broadcaster = stage.broadcaster(STREAMS)?;
    let folder = stage.folder().join("recorded");
    let path = folder.to_str().context("a folder with a name")?;
    let mut viewer = stage.receiver("viewer", &["--record", path])?;
    viewer.wait_for_line("it plays", |line| line["playing"] == true)?;
    let position = |line: &serde_json::Value| line["position_ms"].as_u64().unwrap_or(0);
    let began = position(&viewer.last_line());
    viewer.wait_for_line("it has played for two seconds", |line| {
        position(line) >= began + 2_000
    })?;
    viewer.signal(Signal::Interrupt)?;
    ensure!(viewer.wait_for_end()?, "{}", viewer.log());
    let line = viewer.last_line();
    let seen = pictures(&folder.join("video.1.webm"))?;
    assert!(seen >= 2 * 25, "{seen} pictures; {line}");
    assert!(std::fs::metadata(folder.join("audio.1.webm"))?.len() > 1_000);
    Ok(())
}

#[test]
fn who_cannot_write_it_down_says_why() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let mut viewer = stage.receiver("viewer", &["--record", "/proc/nowhere"])?;
    ensure!(!viewer.wait_for_end()?, "it ended well");
    assert!(
        viewer.log().contains("creating /proc/nowhere"),
        "{}",
        viewer.log()
    );
    Ok(())
}
