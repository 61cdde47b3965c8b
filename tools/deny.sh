#!/bin/bash
# Holds the dependencies against deny.toml: licences, bans, sources, and known vulnerabilities.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
PATH=$PWD/target/tools/bin:$PATH

if ! cargo-deny --version >/dev/null 2>&1; then
  echo "Building cargo-deny $version into target/tools, once"
  # A tool that runs for a second: what counts is how soon it is there.
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    tools/with-rust cargo install cargo-deny --version "$version" --locked --root target/tools --target-dir target/tools/build
  rm -rf --one-file-system target/tools/build
fi

deny=(tools/with-rust cargo-deny --workspace --all-features)
"${deny[@]}" check --hide-inclusion-graph bans licenses sources
tools/with-rust cargo-deny --manifest-path protocol/fuzz/Cargo.toml --config protocol/fuzz/deny.toml \
  check --hide-inclusion-graph licenses sources
if timeout 120 "${deny[@]}" fetch db 2>/dev/null; then
  "${deny[@]}" check advisories
else
  echo "advisories: the database of known vulnerabilities cannot be reached from here, so not checked"
fi
