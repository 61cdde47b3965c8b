//! `cross.toml` says to `cross` what `make cross` does by itself. Only the latter runs in our tests (`cross` wants
//! containers), so the two must not part.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What `cross.toml` holds about one target.
fn target(triple: &str) -> Table {
    let text = std::fs::read_to_string(source().join("cross.toml")).expect("cross.toml");
    let whole: Table = text.parse().expect("TOML");
    whole["target"][triple].as_table().expect("a table").clone()
}

fn strings(value: &Value) -> Vec<String> {
    let list = value.as_array().expect("a list");
    list.iter()
        .map(|item| item.as_str().expect("a string").to_owned())
        .collect()
}

/// The packages and the variables that `make cross` uses.
fn told(arch: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let output = Command::new(source().join("tools/cross.sh"))
        .args(["--told", arch])
        .output()
        .expect("tools/cross.sh");
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .map(str::to_owned)
        .partition(|line| !line.contains('='))
}

#[test]
fn cross_toml_installs_the_packages_that_make_cross_installs() {
    for (triple, arch) in TARGETS {
        let steps = strings(&target(triple)["pre-build"]);
        let install = steps.last().expect("a step");
        let named: BTreeSet<String> = install
            .split_whitespace()
            .skip_while(|word| *word != "--no-install-recommends")
            .skip(1)
            .map(|word| word.replace("$CROSS_DEB_ARCH", arch))
            .collect();
        assert_eq!(named, told(arch).0, "{triple}");
        assert!(!named.is_empty());
    }
}

#[test]
fn cross_toml_tells_the_build_what_make_cross_tells_it() {
    for (triple, arch) in TARGETS {
        let variables = strings(&target(triple)["env"]["passthrough"]);
        let variables: BTreeSet<String> = variables.into_iter().collect();
        assert_eq!(variables, told(arch).1, "{triple}");
        assert_eq!(target(triple)["image"].as_str(), Some("debian:bookworm"));
    }
}

const TARGETS: [(&str, &str); 2] = [
    ("aarch64-unknown-linux-gnu", "arm64"),
    ("armv7-unknown-linux-gnueabihf", "armhf"),
];
