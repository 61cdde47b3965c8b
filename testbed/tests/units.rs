//! The units of systemd, held against systemd's own opinion of them. Starting them for real is
//! `testbed/box/test-services.sh`'s, which runs systemd itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const UNITS: [&str; 3] = ["supervisor", "relay", "broadcaster"];

fn systemd() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd")
}

fn unit(name: &str) -> String {
    let path = systemd().join(format!("ownstream-{name}.service"));
    std::fs::read_to_string(path).expect("the unit")
}

fn analyze(arguments: &[&str]) -> Output {
    Command::new("systemd-analyze")
        .args(arguments)
        .output()
        .expect("systemd-analyze (packages.txt, [test])")
}

fn words(output: &Output) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn systemd_finds_nothing_to_say_about_the_units() {
    for name in UNITS {
        // What it starts is not installed here: any program, and the script where it lies in the source.
        let text: String = unit(name)
            .lines()
            .map(|line| match line.strip_prefix("ExecStart=") {
                Some(_) => "ExecStart=/bin/true\n".to_owned(),
                None => format!("{line}\n"),
            })
            .collect();
        let pause = systemd().join("restart-pause");
        let pause = pause.to_str().expect("a path of letters");
        let text = text.replace(&format!("/usr/lib/ownstream-{name}/restart-pause"), pause);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(format!("ownstream-{name}.service"));
        std::fs::write(&path, text).expect("a file");
        let said = analyze(&["verify", "--man=no", path.to_str().expect("a path")]);
        // It answers 0 to keys it does not know: only silence is well.
        assert!(
            said.status.success() && said.stderr.is_empty(),
            "{name}: {}",
            words(&said)
        );
    }
}

#[test]
fn a_key_that_systemd_does_not_know_would_be_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.service");
    std::fs::write(&path, "[Service]\nExecStart=/bin/true\nRestartSex=1\n").expect("a file");
    let said = analyze(&["verify", "--man=no", path.to_str().expect("a path")]);
    assert!(words(&said).contains("RestartSex"), "{}", words(&said));
}

#[test]
fn the_sandbox_of_each_unit_is_as_tight_as_promised() {
    for name in UNITS {
        let path = systemd().join(format!("ownstream-{name}.service"));
        let path = path.to_str().expect("a path of letters");
        // The limit counts in tenths: 2.0 of 10.
        let said = analyze(&[
            "security",
            "--offline=true",
            "--no-pager",
            "--threshold=20",
            path,
        ]);
        assert!(said.status.success(), "{name}: {}", words(&said));
        assert!(said.stderr.is_empty(), "{name}: {}", words(&said));
    }
}

#[test]
fn a_secret_that_root_alone_may_read_is_handed_over_and_may_be_missing() {
    for (name, secret, file) in [
        ("supervisor", "turn-secret", "turn-secret"),
        ("relay", "join-token", "relay.join-token"),
        ("broadcaster", "join-token", "broadcaster.join-token"),
    ] {
        let lines = format!(
            "\nLoadCredential={secret}:/etc/ownstream/{file}\nSetCredential={secret}:\\n\n"
        );
        assert!(unit(name).contains(&lines), "{name}");
    }
}

#[test]
fn every_unit_closes_the_devices_it_does_not_name() {
    for name in UNITS {
        assert!(unit(name).contains("\nDevicePolicy=closed\n"), "{name}");
    }
    let broadcaster = unit("broadcaster");
    for class in ["video4linux", "media", "alsa", "drm", "dma_heap"] {
        let line = format!("\nDeviceAllow=char-{class} rw\n");
        assert!(broadcaster.contains(&line), "{class}");
    }
}
