#!/bin/bash
# Builds the services for another processor, into target/cross/ARCH/release: on Debian 12, whose rustc-web is the compiler,
# without containers.
# usage: tools/cross.sh ARCH [PROGRAM…]      ARCH: arm64, armhf. PROGRAM: all three services if none is named
#        tools/cross.sh --told ARCH          prints the packages and the variables that a build gets
#
# The compiler and the board's libraries live in a Debian root of their own below ~/.cache/ownstream-edge, made the
# first time: half a gigabyte of packages. It is made by root, or with sudo; the build is done as whoever calls.
set -euo pipefail
cd "$(dirname "$0")/.."
only_tell=
[ "${1-}" != --told ] || { only_tell=yes; shift; }
arch=${1:?usage: tools/cross.sh arm64|armhf [PROGRAM…]}
shift
programs=("$@")
[ $# -gt 0 ] || programs=(supervisor edge-relay edge-broadcaster)

case $arch in
  arm64) gnu=aarch64-linux-gnu target=aarch64-unknown-linux-gnu ;;
  armhf) gnu=arm-linux-gnueabihf target=armv7-unknown-linux-gnueabihf ;;
  *) echo "cross: ARCH=$arch is neither arm64 nor armhf" >&2; exit 2 ;;
esac
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)

packages() { # PURPOSE…
  tools/packages.sh "$@" | sed "s/\$ARCH/$arch/; s/\$GNU/$gnu/"
}
# What a build for this target is told. cross.toml says the same, which a test sees to.
variables() {
  local upper=${target^^} lower=${target//-/_}
  cat <<ENV
CARGO_TARGET_${upper//-/_}_LINKER=$gnu-gcc
PKG_CONFIG_ALLOW_CROSS=1
PKG_CONFIG_LIBDIR=/usr/lib/$gnu/pkgconfig:/usr/share/pkgconfig
BINDGEN_EXTRA_CLANG_ARGS_$lower=--target=$gnu
ENV
}
[ -z "$only_tell" ] || { packages cross; variables; exit; }

wanted=$(packages cross cross-rust)
sources=$(tools/apt-sources.sh)
suite=${SUITE:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
root=${XDG_CACHE_HOME:-$HOME/.cache}/ownstream-edge/cross-$arch
made_of=$(printf '%s\n' "$suite" "$wanted" "$sources" | sha256sum)

make_root() {
  echo "Making the build root for $arch in $root, once" >&2
  mkdir -p "$(dirname "$root")"
  "${as_root[@]}" rm -rf --one-file-system "$root"
  "${as_root[@]}" mmdebstrap --quiet --variant=apt --mode=root --architectures="$(dpkg --print-architecture),$arch" \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include="$(tr '\n' ',' <<<"$wanted")" "$suite" "$root" - <<<"$sources"
  "${as_root[@]}" mkdir -p "$root/src" "$root/cargo"
  "${as_root[@]}" tee "$root/made-of" <<<"$made_of" >/dev/null
}

# A mount namespace of its own: the binds are gone with it, whatever happens.
in_root() { # COMMAND…
  local settings=(PATH=/usr/bin:/bin HOME=/tmp CARGO_HOME=/cargo CARGO_INCREMENTAL=0 CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}")
  mapfile -t -O "${#settings[@]}" settings < <(variables; env | grep -E '^CARGO_(PROFILE|BUILD)_' || true)
  "${as_root[@]}" unshare --mount bash -euc '
    root=$1 source=$2 cargo=$3 user=$4; shift 4
    mount --bind "$source" "$root/src"
    mount --bind "$cargo" "$root/cargo"
    mount -t proc proc "$root/proc"
    mount --bind /dev "$root/dev"
    exec chroot --userspec="$user" "$root" env --chdir=/src --ignore-environment "$@"
  ' cross "$root" "$PWD" "${CARGO_HOME:-$HOME/.cargo}" "$(id -u):$(id -g)" "${settings[@]}" "$@"
}

[ "$(cat "$root/made-of" 2>/dev/null)" = "$made_of" ] || make_root
tools/with-rust cargo fetch --locked --quiet # the root has no network of its own to speak of

out=target/cross/$arch/release
mkdir -p "$out"
# One build for all: what the programs share is compiled once.
selected=()
for program in "${programs[@]}"; do
  selected+=(--package "$program" --bin "$program")
done
in_root cargo build --release --locked --offline --target "$target" --target-dir target/cross/build "${selected[@]}"
for program in "${programs[@]}"; do
  in_root "$gnu-strip" -o "$out/$program" "target/cross/build/$target/release/$program"
done
echo "Built for $arch: ${programs[*]/#/$out/}"
