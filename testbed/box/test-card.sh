#!/bin/bash
# The card: started in emulation as a Raspberry Pi 3 (QEMU loads the kernel itself, so the board's own boot program is not
# in this), set up by ownstream.txt as a person would, with a camera of the kernel's making; a viewer on this machine plays
# it through a forwarded port. Then the plug is pulled, again and again.
# usage: testbed/box/test-card.sh      PULLS=20 for a soak; three without. Half an hour on an idle machine
set -euo pipefail
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
image=$source_dir/target/image/ownstream-rpi.img
pulls=${PULLS:-3}
[ -e "$image" ] || { echo "FAILED: there is no $image: make image BOARD=rpi" >&2; exit 1; }
work=$(mktemp -d /var/tmp/ownstream-card.XXXXXX)
board='' viewer=''

say() { echo "   $*"; }
die() {
  echo "FAILED: $1" >&2
  tail -n 40 "$work/console" >&2 2>/dev/null || true
  exit 1
}
clean_up() {
  trap - EXIT
  hang_up
  for pid in $viewer $board; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

free_port() { # one that nobody listens on
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
web=$(free_port) ssh=$(free_port)

(cd "$(dirname "$image")" && sha256sum --quiet --ignore-missing --check ownstream-rpi.img.sha256) || die "the image is not what its checksum says"
cp --sparse=always "$image" "$work/card"
truncate -s 4G "$work/card" # a card is larger than what is flashed onto it
fat="$work/card@@4M"
mcopy -i "$fat" ::vmlinuz ::initrd.img ::bcm2837-rpi-3-b.dtb ::cmdline.txt ::ownstream.txt "$work/"

# What a person does: edit the file that every computer shows.
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
sed -i -e "s|^ssh_key =.*|ssh_key = $(cat "$work/key.pub")\r|" -e 's/^picture =.*/picture = 320x180\r/' \
  -e 's/^time_zone =.*/time_zone = Europe\/Berln\r/' "$work/ownstream.txt"
mcopy -o -i "$fat" "$work/ownstream.txt" ::

# QEMU's board resets at once when its watchdog is started, and systemd starts it: its driver stays out.
power_on() {
  qemu-system-aarch64 -M raspi3b -display none -monitor none -no-reboot -serial null -serial "file:$work/console" \
    -kernel "$work/vmlinuz" -initrd "$work/initrd.img" -dtb "$work/bcm2837-rpi-3-b.dtb" \
    -append "$(tr -d '\r\n' <"$work/cmdline.txt") modules-load=vivid vivid.n_devs=1 vivid.node_types=0x1 modprobe.blacklist=bcm2835_wdt \
      systemd.default_timeout_start_sec=900 \
      console=ttyS1,115200" \
    -drive "file=$work/card,if=sd,format=raw,cache=writeback" \
    -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$web-:8080,hostfwd=tcp:127.0.0.1:$ssh-:22" -device usb-net,netdev=net \
    </dev/null >"$work/qemu" 2>&1 &
  board=$!
}
pull_the_plug() {
  hang_up
  kill -KILL "$board"
  wait "$board" 2>/dev/null || true
  board=''
}
hang_up() { ssh -q -o ControlPath="$work/ssh" -O exit root@127.0.0.1 2>/dev/null || true; }
on_board() { # COMMAND…, over one connection: a new one takes the emulated board seconds
  ssh -q -i "$work/key" -p "$ssh" -o StrictHostKeyChecking=no -o UserKnownHostsFile="$work/known" -o BatchMode=yes \
    -o ConnectTimeout=20 -o ControlMaster=auto -o ControlPath="$work/ssh" -o ControlPersist=600 root@127.0.0.1 "$@"
}
await() { # SECONDS WORDS COMMAND…
  local until=$((SECONDS + $1)) words=$2
  shift 2
  until "$@"; do
    [ -z "$board" ] || kill -0 "$board" 2>/dev/null || die "the board has gone: $(cat "$work/qemu")"
    [ $SECONDS -lt $until ] || die "$words"
    sleep 3
  done
}
is_up() { [[ $(on_board systemctl is-system-running 2>/dev/null) =~ ^(running|degraded)$ ]]; }
health() {
  { exec 3<>"/dev/tcp/127.0.0.1/$web"; } 2>/dev/null || return 0
  printf 'GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  timeout 5 cat <&3 || true
  exec 3>&-
}
on_air() { [[ $(health) =~ \"streams\":[1-9] ]]; }
no_failed_unit() {
  local failed
  failed=$(on_board systemctl --failed --no-legend --plain)
  [ -z "$failed" ] || die "failed units: $failed; $(on_board journalctl --boot --priority warning --no-pager | tail -n 20)"
}
plays() { tail -n 1 "$work/viewer" 2>/dev/null | grep -q '"playing":true'; }

# --- The first start.
power_on
await 900 "the board does not come up" is_up
on_board systemctl is-active --quiet multi-user.target || die "multi-user.target is not reached"
no_failed_unit
say "first start: multi-user, no failed unit"
errors=$(on_board cat /boot/firmware/ownstream-errors.txt)
[[ $errors == *'time_zone must be a place, as in Europe/Berlin'* ]] || die "a mistake in ownstream.txt was answered with: $errors"
[ "$(on_board findmnt --noheadings --output OPTIONS / | cut -d, -f1)" = ro ] || die "the root can be written to"
on_board 'df --output=size -m /data | tail -n 1' | awk '$1 < 1500 {exit 1}' || die "the data partition was not grown: $(on_board df -m /data)"
on_board resolvectl mdns 2>/dev/null | grep -q yes || die "nothing answers to ownstream.local"
say "a mistake in ownstream.txt is answered beside it; the root is read-only; the data partition has the card's rest"

await 300 "no stream is on the air" on_air
on_board "journalctl --unit ownstream-broadcaster --output cat --no-pager" | grep -qi 'vivid' || die "the broadcaster did not take the camera"
"$source_dir/target/debug/receiver" --supervisor "ws://127.0.0.1:$web/peer" --interval-ms 2000 >"$work/viewer" 2>"$work/viewer.err" &
viewer=$!
await 300 "a viewer on this machine has no picture" plays
say "the camera plays on this machine, through the forwarded port: $(tail -n 1 "$work/viewer" | grep -o '"latency_ms":[0-9]*')"
kill -INT "$viewer"
wait "$viewer" || true
viewer=''

# --- The plug.
known=$(on_board supervisor peers list | grep -c . || true)
for ((pull = 1; pull <= pulls; pull++)); do
  pull_the_plug
  power_on
  await 900 "the board does not come up after the plug was pulled" is_up
  no_failed_unit
  await 300 "no stream is on the air after the plug was pulled" on_air
  [ "$(on_board supervisor peers list | grep -c . || true)" = "$known" ] || die "the supervisor knows others than before"
  say "plug pulled and put back ($pull of $pulls): everything is on the air again"
done
