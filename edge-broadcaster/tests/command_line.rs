//! The program itself, as a person types it.

use std::path::Path;
use std::process::{Command, Output};

fn edge_broadcaster(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_edge-broadcaster"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn configuration(directory: &Path, text: &str) -> String {
    let path = directory.join("broadcaster.toml");
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[test]
fn help_and_version_are_given() {
    let help = said(&edge_broadcaster(&["--help"]).stdout);
    assert!(help.contains("check") && help.contains("dump"), "{help}");
    assert!(help.contains("OWNSTREAM_LOG"), "{help}");
    let version = said(&edge_broadcaster(&["--version"]).stdout);
    assert_eq!(
        version.trim(),
        concat!("edge-broadcaster ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn without_arguments_it_says_how_it_is_called() {
    let output = edge_broadcaster(&[]);
    assert!(!output.status.success());
    assert!(
        said(&output.stderr).contains("Usage: edge-broadcaster"),
        "{}",
        said(&output.stderr)
    );
}

#[test]
fn check_says_what_there_is_and_what_each_stream_would_send() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = configuration(
        directory.path(),
        "[[stream]]\nname = \"a\"\nsource = \"test\"\n\
         [[stream]]\nname = \"b\"\nsource = { kind = \"file\", path = \"/no/such.webm\" }\n",
    );
    let output = edge_broadcaster(&["check", &path]);
    let report = said(&output.stdout);
    // A row for each thing: how it is, what it is called, what was found.
    let row = |name: &str| {
        let found = report
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(name));
        let words: Vec<&str> = found.unwrap_or("").split_whitespace().collect();
        words.join(" ")
    };
    assert!(row("vp8enc").contains("vp8enc software: "), "{report}");
    assert!(
        row("used").starts_with("ok used vp8enc, for 1280x720"),
        "{report}"
    );
    assert_eq!(row("a"), "ok a the test picture", "{report}");
    assert!(
        row("b").starts_with("BAD b opening /no/such.webm"),
        "{report}"
    );
    assert!(
        report.ends_with("NOT READY: 1 of these are BAD.\n"),
        "{report}"
    );
    assert!(!output.status.success());
}

#[test]
fn check_gives_the_same_as_json() {
    let output = edge_broadcaster(&["check", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    let encoder = rows.iter().find(|row| row["name"] == "vp8enc").expect("it");
    assert_eq!(encoder["section"], "ENCODERS");
    // "doubtful" where this machine has much else to do.
    let works = ["good", "doubtful"].map(serde_json::Value::from);
    assert!(works.contains(&encoder["state"]), "{encoder}");
    assert!(output.status.success());
}

#[test]
fn a_wrong_key_is_answered_with_file_line_and_the_keys_there_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = configuration(
        directory.path(),
        "[[stream]]\nname = \"a\"\nsorce = \"test\"\n",
    );
    for arguments in [vec!["check", &path], vec!["dump", &path]] {
        let output = edge_broadcaster(&arguments);
        let error = said(&output.stderr);
        assert!(!output.status.success());
        assert!(
            error.contains(&format!("{path}:3:1: unknown field `sorce`")),
            "{error}"
        );
        assert!(error.contains("`source`"), "{error}");
    }
}

#[test]
fn dump_writes_a_file_for_each_track() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = configuration(
        directory.path(),
        "[[stream]]\nname = \"a\"\nsource = \"test\"\n[stream.video]\nwidth = 320\nheight = 180\n",
    );
    let out = directory.path().join("out");
    let output = edge_broadcaster(&[
        "dump",
        &path,
        "--seconds",
        "1",
        "--out",
        &out.display().to_string(),
    ]);
    assert!(output.status.success(), "{}", said(&output.stderr));
    for name in ["a.video.webm", "a.audio.webm"] {
        let bytes = std::fs::read(out.join(name)).expect(name);
        assert_eq!(bytes[..4], [0x1a, 0x45, 0xdf, 0xa3], "{name}");
    }
}
