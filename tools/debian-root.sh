#!/bin/bash
# Makes a Debian root below ~/.cache/ownstream-edge, once for the same packages, and prints where it is.
# usage: tools/debian-root.sh NAME ARCH [PACKAGE…]      as root. Nobody writes to it: copy it, or lay an overlay over it
#        VARIANT=extract unpacks packages and sets none up: quick also for another processor, enough to run programs in
#        EARLY=SCRIPT       is run with the root's folder before the packages are set up, behind what is essential
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1 arch=$2
shift 2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ownstream-edge
sources=$(tools/apt-sources.sh)
suite=${SUITE:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
variant=${VARIANT:-minbase}
key=$({ printf '%s\n' "$suite" "$arch" "$variant" "$@" "$sources"; cat ${EARLY:+"$EARLY"} </dev/null; } | sha256sum | cut -c1-12)
root=$cache/$name-$arch-$key
[ ! -d "$root" ] || { echo "$root"; exit 0; }

command -v arch-test >/dev/null || { echo "debian-root: there is no arch-test here: tools/deps.sh box" >&2; exit 1; }
if ! arch-test "$arch" >/dev/null; then # where no systemd did it at the start
  mountpoint --quiet /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  update-binfmts --enable >/dev/null 2>&1 || true
  arch-test "$arch" >/dev/null || {
    echo "debian-root: programs for $arch do not run here: install qemu-user-static and binfmt-support" >&2
    exit 1
  }
fi
echo "Making the Debian root $root, once" >&2
mkdir -p "$cache/debs-$arch"
new=$root.new
rm -rf --one-file-system "$new"
quiet=--quiet
[ ! -t 2 ] || quiet= # somebody watches
mmdebstrap $quiet --variant="$variant" --mode=root --architectures="$arch" \
  --aptopt='APT::Install-Recommends "false"' --aptopt='APT::Keep-Downloaded-Packages "true"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/ownstream-*' \
  --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --skip=cleanup/apt/cache --skip=download/empty \
  --setup-hook="mkdir -p \"\$1/var/cache/apt/archives\"; cp -l $cache/debs-$arch/*.deb \"\$1/var/cache/apt/archives/\" 2>/dev/null || true" \
  ${EARLY:+--essential-hook="$EARLY \"\$1\""} \
  --include="$(IFS=,; echo "$*")" \
  --customize-hook="cp -n \"\$1\"/var/cache/apt/archives/*.deb $cache/debs-$arch/ 2>/dev/null || true; rm -f \"\$1\"/var/cache/apt/archives/*.deb" \
  "$suite" "$new" - <<<"$sources" >&2
mv "$new" "$root"
echo "$root"
