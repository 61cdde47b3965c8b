#!/bin/bash
# The broadcaster on real device nodes: cross-built for aarch64, in an emulated board with Debian's kernel and drivers. Supervisor
# and viewers are this machine's own. What each viewer was given is recorded, looked at picture by picture, and played in Chromium.
# usage: testbed/box/test-cameras.sh         ends with "N passed, N failed", and fails if one did
set -euo pipefail
cd "$(dirname "$0")/../.."
board=testbed/box/board
work=target/box/cameras
passed=0 failed=0
declare -A pids=()

pass() { passed=$((passed + 1)); echo "ok      $1${2:+: $2}"; }
fail() { failed=$((failed + 1)); echo "FAILED  $1: $2"; }
clean_up() {
  trap - EXIT
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# What goes into the board.
"$board/guest.sh" >/dev/null
CARGO_PROFILE_RELEASE_LTO=off tools/cross.sh arm64 # as `make test-box` builds them: else it would be done twice
rm -rf --one-file-system "$work"
mkdir -p "$work/share/jpg" "$work/share/own"
cp target/cross/arm64/release/edge-broadcaster "$work/share/"
cp "$board/in-guest.sh" "$work/share/run.sh"
cp systemd/70-ownstream-broadcaster.rules "$work/share/"
"$board/cross-rustc.sh" "$board/usbcam.rs" "$work/share/usbcam"
gst-launch-1.0 -q videotestsrc num-buffers=30 pattern=ball ! video/x-raw,width=320,height=240 \
  ! jpegenc ! multifilesink location="$work/share/jpg/%03d.jpg"
gst-launch-1.0 -q videotestsrc num-buffers=30 pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=10/1 \
  ! x264enc tune=zerolatency key-int-max=10 bitrate=300 ! video/x-h264,stream-format=byte-stream,alignment=au \
  ! multifilesink location="$work/share/own/%03d.h264"
gst-launch-1.0 -q audiotestsrc freq=1000 volume=0.5 num-buffers=3000 samplesperbuffer=4800 \
  ! audio/x-raw,rate=48000,channels=1 ! wavenc ! filesink location="$work/share/tone.wav"

# Who the broadcaster meets: a supervisor, and a viewer for each stream, which is there before it.
tools/with-rust cargo build --quiet --workspace --all-targets # with other features than those of `make test` it would be built once more
out=$PWD/$work/out
mkdir -p "$out"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listen = "127.0.0.1:%s"\nstate_dir = "%s/supervisor"\n' "$port" "$PWD/$work" >"$work/supervisor.toml"
token=$(target/debug/supervisor token create --role broadcaster --config "$work/supervisor.toml" 2>/dev/null)
printf 'supervisor = "ws://10.0.2.2:%s/peer"\njoin_token = "%s"\nstate_dir = "/tmp/broadcaster"\n' "$port" "$token" >"$work/share/settings"
date +%s >"$work/share/now"
target/debug/supervisor "$work/supervisor.toml" >"$work/supervisor.log" 2>&1 &
pids[supervisor]=$!
for stream in unplug drops busy usb stall own left right; do
  TMPDIR=$PWD/$work target/debug/receiver --supervisor "ws://127.0.0.1:$port/peer" --stream "$stream" --leaf --record "$out/$stream" >"$out/$stream.lines" 2>"$out/$stream.log" &
  pids[$stream]=$!
done

# Ten minutes on an idle machine; the limit is for one that is not.
if "$board/start.sh" "$work/share" 2400 | tee "$work/console"; then :; fi
grep -q 'devices:' "$work/console" || { echo "FAILED: the board does not start; see $work/console" >&2; exit 1; }
grep -q 'all done' "$work/console" || fail board "it did not come to its end; see $work/console"

for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
wait || true
pids=()

files() { # STREAM TRACK: in the order in which they were begun
  ls -v "$out/$1/$2".* 2>/dev/null || true
}
judge() { # STREAM SHOWN SOUND
  local words file errors
  if words=$(target/debug/examples/judge "$(files "$1" video | paste -sd,)" "$(files "$1" audio | paste -sd,)" "$2" "$3"); then
    pass "$1" "$words"
  else
    fail "$1" "$words"
  fi
  for file in $(files "$1" video) $(files "$1" audio); do
    errors=$(ffprobe -v error -count_packets -show_entries stream=codec_name,nb_read_packets -of csv=print_section=0 "$file" 2>&1)
    if [[ $errors =~ ^(vp8|h264|opus),[1-9][0-9]*$ ]]; then
      pass "$1, ${file##*/}, says ffprobe" "$errors"
    else
      fail "$1, ${file##*/}, says ffprobe" "$errors"
    fi
  done
  # shellcheck disable=SC2046 # no file has a space in its name
  if words=$(node web/tests/plays.js $(files "$1" video) $(files "$1" audio) | paste -sd';'); then
    pass "$1 in Chromium" "$words"
  else
    fail "$1 in Chromium" "$words"
  fi
}
said() { # CASE WORDS
  if grep -q -- "$2" "$work/share/out/$1/log"; then pass "$1 says \"$2\""; else fail "$1" "its log does not say \"$2\""; fi
}
once() { # CASE: one run of the program, which ended well
  if [ "$(grep -c 'ended with 0' "$work/share/out/$1/log")" = 1 ]; then pass "$1 ran through"; else fail "$1" "it ended early"; fi
}
for case in unplug drops busy usb stall own both; do once $case; done
judge unplug picture,slate,picture tone
said unplug 'was unplugged'
judge drops picture silence
said drops 'has lost [0-9]* of [0-9]* pictures'
judge busy slate,picture silence
said busy 'in use by another program'
judge usb picture,slate,picture silence
said usb 'serial number CAM0001'
judge stall picture,slate,picture,... none
said stall 'has shown nothing'
# An epoch for what it sends, one for the slate, and one more.
judge own picture,slate,picture silence
said own 'own H.264 is sent as it is'
judge left picture tone
judge right picture silence

named() { # LINK DEVICE: what is behind the name is that device's
  if grep -qxE -- "camera-$1 $2" "$work/share/out/names"; then
    pass "a camera's name is camera-${1//\\/}"
  else
    fail names "camera-$1 is not $2: $(paste -sd';' "$work/share/out/names")"
  fi
}
named 'CAM0005-0' '[0-9]+-1:1\.0'
named 'platform-vhci_hcd\.0-usb-0:2:1\.0-0' '[0-9]+-2:1\.0'
named 'platform-vivid\.0-0' 'vivid\.0'

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
