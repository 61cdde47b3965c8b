#!/bin/bash
# Makes the Debian packages of the three services from what is built, into target/deb.
# usage: tools/deb.sh ARCH               after `make build`, or for another ARCH than this machine's `make cross`
#        PROFILE=dev tools/deb.sh ARCH   from the quick build for tests, this machine's ARCH only
set -euo pipefail
cd "$(dirname "$0")/.."
arch=${1:?usage: tools/deb.sh ARCH}
version=3.8.0
PATH=$PWD/target/tools/bin:$PATH

if [ "$(cargo-deb --version 2>/dev/null)" != "cargo-deb $version" ]; then
  echo "Building cargo-deb $version into target/tools, once"
  # A tool that runs for a second: what counts is how soon it is there.
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    tools/with-rust cargo install cargo-deb --version "$version" --locked --quiet --root target/tools --target-dir target/tools/build
  rm -rf --one-file-system target/tools/build
fi

options=(--no-build --profile "${PROFILE:-release}" --output target/deb/)
[ "${PROFILE:-release}" = release ] || options+=(--fast) # compressed less
if [ "$arch" != "$(dpkg --print-architecture)" ]; then
  case $arch in
    arm64) target=aarch64-unknown-linux-gnu ;;
    armhf) target=armv7-unknown-linux-gnueabihf ;;
    *) echo "deb: ARCH=$arch is neither this machine's, nor arm64, nor armhf" >&2; exit 2 ;;
  esac
  export CARGO_TARGET_DIR=$PWD/target/cross/$arch
  ln -sfn . "$CARGO_TARGET_DIR/$target" # where cargo would have put them
  options+=(--target "$target" --no-strip) # `make cross` has done it
else
  options+=(--strip)
fi

# Debian's own form of a change log, of the newest commit's date; the whole one is CHANGELOG.md.
changelog() { # PACKAGE
  cat <<TEXT
$1 ($(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)-1) stable; urgency=medium

  * What changed for those who use it stands in CHANGELOG.md of the source.

 -- OwnStream Edge <ownstream-edge@users.noreply.github.com>  $(date --utc --rfc-email --date "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}")
TEXT
}

mkdir -p target/deb
rm -f target/deb/ownstream-*_"$arch".deb # of another version: whoever takes all that lie here would take both
for crate in supervisor edge-relay edge-broadcaster; do
  changelog "ownstream-${crate#edge-}" >target/deb/changelog
  tools/with-rust cargo-deb --package "$crate" "${options[@]}"
done
rm target/deb/changelog
