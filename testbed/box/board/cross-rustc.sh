#!/bin/bash
# Compiles one Rust file that needs the standard library alone, for the emulated board, in the root of tools/cross.sh.
# usage: testbed/box/board/cross-rustc.sh SOURCE.rs PROGRAM
set -euo pipefail
root=${XDG_CACHE_HOME:-$HOME/.cache}/ownstream-edge/cross-arm64
[ -x "$root/usr/bin/rustc" ] || { echo "cross-rustc: there is no $root; run tools/cross.sh arm64 first" >&2; exit 1; }
work=$(mktemp -d "$root/tmp/XXXXXX")
trap 'rm -rf "$work"' EXIT
cp "$1" "$work/source.rs"
chroot "$root" env -i --chdir="/tmp/${work##*/}" PATH=/usr/bin:/bin rustc --edition 2024 -O \
  --target aarch64-unknown-linux-gnu -C linker=aarch64-linux-gnu-gcc -o program source.rs
install "$work/program" "$2"
