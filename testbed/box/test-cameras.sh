#!/bin/bash
# The broadcaster on real device nodes: cross-built for aarch64, in an emulated board with Debian's kernel and drivers.
# usage: testbed/box/test-cameras.sh         ends with "N passed, N failed", and fails if one did
set -euo pipefail
cd "$(dirname "$0")/../.."
board=testbed/box/board
work=target/box/cameras
passed=0 failed=0

pass() { passed=$((passed + 1)); echo "ok      $1${2:+: $2}"; }
fail() { failed=$((failed + 1)); echo "FAILED  $1: $2"; }

# What goes into the board.
"$board/guest.sh" >/dev/null
CARGO_PROFILE_RELEASE_LTO=off tools/cross.sh arm64 edge-broadcaster # as for the other tests of test-box
rm -rf --one-file-system "$work"
mkdir -p "$work/share/jpg" "$work/share/own"
cp target/cross/arm64/release/edge-broadcaster "$work/share/"
cp "$board/in-guest.sh" "$work/share/run.sh"
"$board/cross-rustc.sh" "$board/usbcam.rs" "$work/share/usbcam"
gst-launch-1.0 -q videotestsrc num-buffers=30 pattern=ball ! video/x-raw,width=320,height=240 \
  ! jpegenc ! multifilesink location="$work/share/jpg/%03d.jpg"
gst-launch-1.0 -q videotestsrc num-buffers=30 pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=10/1 \
  ! x264enc tune=zerolatency key-int-max=10 bitrate=300 ! video/x-h264,stream-format=byte-stream,alignment=au \
  ! multifilesink location="$work/share/own/%03d.h264"
gst-launch-1.0 -q audiotestsrc freq=1000 volume=0.5 num-buffers=3000 samplesperbuffer=4800 \
  ! audio/x-raw,rate=48000,channels=1 ! wavenc ! filesink location="$work/share/tone.wav"

# Ten minutes on an idle machine; the limit is for one that is not.
if "$board/start.sh" "$work/share" 2400 | tee "$work/console"; then :; fi
grep -q 'all done' "$work/console" || fail board "it did not come to its end; see $work/console"

tools/with-rust cargo build --quiet --package edge-broadcaster --example judge
out=$work/share/out
judge() { # CASE SHOWN SOUND
  local words
  local videos # of each epoch: the first has no number
  videos=$(ls "$out/$1/$1.video".{webm,mp4} 2>/dev/null; ls -v "$out/$1/$1.video".[0-9]* 2>/dev/null) || true
  videos=$(paste -sd, <<<"$videos")
  if words=$(target/debug/examples/judge "$videos" "$out/$1/$1.audio.webm" "$2" "$3"); then
    pass "$1" "$words"
  else
    fail "$1" "$words"
  fi
}
said() { # CASE WORDS
  if grep -q -- "$2" "$out/$1/log"; then pass "$1 says \"$2\""; else fail "$1" "its log does not say \"$2\""; fi
}
once() { # CASE: one run of the program, which ended well
  if [ "$(grep -c 'ended with 0' "$out/$1/log")" = 1 ]; then pass "$1 ran through"; else fail "$1" "it ended early"; fi
}
for case in unplug drops busy usb stall own; do once $case; done
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

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
