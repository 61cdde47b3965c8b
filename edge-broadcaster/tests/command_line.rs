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
    assert!(report.contains("encoders: VP8 by vp8enc"), "{report}");
    assert!(
        report.contains("stream \"a\": the test picture"),
        "{report}"
    );
    assert!(
        report.contains("stream \"b\": NOT READY: opening /no/such.webm"),
        "{report}"
    );
    assert!(!output.status.success());
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
