#!/bin/bash
# The broadcaster for arm64 boards, run here by user-mode emulation: it encodes, sends over data channels, and is watched.
# It runs in an unpacked Debian of the board's, with its GStreamer; the supervisor and the viewer are this machine's own.
set -euo pipefail
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
built=$source_dir/target/cross/arm64/release
work=$(mktemp -d /var/tmp/ownstream-arm64.XXXXXX)
declare -A pids=()

say() { echo "   $*"; }
die() {
  echo "FAILED: $1" >&2
  tail -n 15 "$work"/*.log >&2 2>/dev/null || true
  exit 1
}
clean_up() {
  trap - EXIT
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM
[ "$(id -u)" -eq 0 ] || { echo "FAILED: this test makes a root for another processor: it wants root" >&2; exit 1; }
[ -e "$built/edge-broadcaster" ] || die "nothing is built for arm64: make cross ARCH=arm64"
mapfile -t packages < <("$source_dir/tools/packages.sh" run)
root=$(VARIANT=extract "$source_dir/tools/debian-root.sh" board arm64 "${packages[@]}")

# In a mount namespace of its own; what it writes goes to $work.
on_board() { # PROGRAM ARGUMENTS…
  exec unshare --mount bash -euc '
    root=$1 built=$2 work=$3; shift 3
    mkdir -p "$root"/{mnt,proc,dev,tmp} # unpacked packages alone make none
    mount -t tmpfs none "$root/mnt"
    mkdir "$root/mnt/bin" "$root/mnt/trial"
    mount --bind "$built" "$root/mnt/bin"
    mount --bind "$work" "$root/mnt/trial"
    mount -t proc proc "$root/proc"
    mount --bind /dev "$root/dev"
    program=$1; shift
    exec env --ignore-environment HOME=/mnt/trial GST_REGISTRY=/mnt/trial/gstreamer.bin \
      /usr/sbin/chroot "$root" "/mnt/bin/$program" "$@"
  ' board "$root" "$built" "$work" "$@"
}
await() { # SECONDS WORDS COMMAND…
  local until=$((SECONDS + $1)) words=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $until ] || die "$words"
    sleep 0.5
  done
}
file "$built/edge-broadcaster" | grep -q 'ARM aarch64' || die "what was built is not for arm64"

# --- Encode.
cat >"$work/broadcaster.toml" <<TOML
supervisor = "ws://127.0.0.1:@PORT@/peer"
state_dir = "/mnt/trial/broadcaster"
loopback = true
@TOKEN@
[[stream]]
name = "arm"
source = "test"
[stream.video]
width = 320
height = 180
fps = 10
TOML
sed '/^@/d; s/@PORT@/1/' "$work/broadcaster.toml" >"$work/dump.toml"
mkdir "$work/out"
(on_board edge-broadcaster dump /mnt/trial/dump.toml --seconds 3 --out /mnt/trial/out) >"$work/dump.log" 2>&1 || die "it does not encode"
for track in "$work"/out/*; do
  [ "$(stat --format=%s "$track")" -gt 1000 ] || die "$track is empty"
done
say "encodes: $(cd "$work/out" && stat --format='%n %s bytes' ./* | tr '\n' ' ')"

# --- Data channel and watching.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listen = "127.0.0.1:%s"\nstate_dir = "%s/supervisor"\n' "$port" "$work" >"$work/supervisor.toml"
token() { # ROLE
  "$source_dir/target/debug/supervisor" token create --role "$1" --config "$work/supervisor.toml" 2>/dev/null
}
sed -i "s/@PORT@/$port/; s/^@TOKEN@/join_token = \"$(token broadcaster)\"/" "$work/broadcaster.toml"
"$source_dir/target/debug/supervisor" "$work/supervisor.toml" >"$work/supervisor.log" 2>&1 &
pids[supervisor]=$!
on_board edge-broadcaster /mnt/trial/broadcaster.toml >"$work/broadcaster.log" 2>&1 &
pids[broadcaster]=$!
await 120 "the broadcaster sends nothing" grep -q 'sending "arm"' "$work/broadcaster.log"
"$source_dir/target/debug/receiver" --supervisor "ws://127.0.0.1:$port/peer" --leaf >"$work/viewer.log" 2>&1 &
pids[viewer]=$!
plays() { tail -n 1 "$work/viewer.log" | grep -q '"playing":true'; }
await 120 "a viewer has no picture" plays
say "sends over data channels to a viewer, whose picture is $(tail -n 1 "$work/viewer.log" | grep -o '"latency_ms":[0-9]*' | cut -d: -f2) ms old"
