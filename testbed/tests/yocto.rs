//! The Yocto layer downloads what Cargo.lock names. Building it is nobody's here; see yocto/README.md.

use std::collections::BTreeSet;
use std::path::Path;

use toml::Table;

fn read(inside: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(inside);
    std::fs::read_to_string(path).expect(inside)
}

#[test]
fn the_recipe_downloads_every_crate_of_cargo_lock_and_no_other() {
    let lock: Table = read("Cargo.lock").parse().expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    let wanted: BTreeSet<String> = packages
        .iter()
        .filter(|package| package.get("source").is_some())
        .map(|package| {
            let word = |key| package[key].as_str().expect("a string");
            format!("{}-{} {}", word("name"), word("version"), word("checksum"))
        })
        .collect();
    let include =
        read("yocto/meta-ownstream/recipes-ownstream/ownstream-edge/ownstream-edge-crates.inc");
    let listed: BTreeSet<String> = include
        .lines()
        .filter_map(|line| line.strip_prefix("SRC_URI["))
        .map(|line| line.replace(".sha256sum] = ", " ").replace('"', ""))
        .collect();
    assert!(
        listed == wanted,
        "Cargo.lock has changed: make yocto-crates"
    );
    let fetched = include
        .lines()
        .filter(|line| line.contains("crate://crates.io/"));
    assert_eq!(fetched.count(), wanted.len());
}
