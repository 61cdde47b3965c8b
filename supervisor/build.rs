//! An optimised build embeds the pages as they are when it is compiled: a page that is new must compile it again.
//! (A debug build reads them while it runs.)

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if !Path::new("../web/pkg/web_bg.wasm").exists() {
        println!("cargo::rerun-if-changed=../web/pkg/web_bg.wasm"); // is not there: asked for anew each time
        println!(
            "cargo::warning=the pages are not built yet, so there will be none: run `make web`, then build again"
        );
    }
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    let parts = [
        "../web/receiver.html",
        "../web/monitor.html",
        "../web/app",
        "../web/vendor",
        "../web/pkg",
    ];
    if parts.iter().all(|part| Path::new(part).exists()) {
        parts
            .iter()
            .for_each(|part| println!("cargo::rerun-if-changed={part}"));
    } else {
        println!("cargo::rerun-if-changed=../web");
    }
}
