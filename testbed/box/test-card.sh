#!/bin/bash
# The card: started in emulation as a Raspberry Pi 3 (QEMU loads the kernel itself, so the board's own boot program is not
# in this), set up by ownstream.txt as a person would, with a camera of the kernel's making; a browser on this machine opens
# its page through a forwarded port and plays it. Then the plug is pulled, again and again; and at last the card's file makes
# it a broadcaster for a supervisor on this machine, and a factory reset all-in-one again. During the first start, and the one
# with another role, the plug is pulled as well, at some second. At the end a small card is damaged, on the board.
# usage: testbed/box/test-card.sh      IMAGE: another than target/image/ownstream-rpi.img. PULLS=20 for a soak; three without:
#                                      twelve minutes. FIRST_PULL=23 ROLE_PULL=41: the plug is pulled at that second of these
#                                      starts. Leaves page.png, as the browser showed it, beside the image
set -euo pipefail
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
image=$(realpath -m "${IMAGE:-$source_dir/target/image/ownstream-rpi.img}")
pulls=${PULLS:-3}
[ -e "$image" ] || { echo "FAILED: there is no $image: make image BOARD=rpi" >&2; exit 1; }
work=$(mktemp -d /var/tmp/ownstream-card.XXXXXX)
board='' supervisor=''

say() { echo "   $*"; }
die() {
  echo "FAILED: $1" >&2
  tail -n 40 "$work/console" 2>/dev/null | tr -d '\r' >&2 || true
  exit 1
}
clean_up() {
  trap - EXIT
  hang_up
  for pid in $board $supervisor; do kill -KILL "$pid" 2>/dev/null || true; done
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

# QEMU's board resets at once when its watchdog is started, and systemd starts it: its driver stays out. So does one that at some
# starts takes QEMU's network adapter for another, over which nothing comes.
power_on() {
  qemu-system-aarch64 -M raspi3b -display none -monitor none -no-reboot -serial null -serial "file:$work/console" \
    -kernel "$work/vmlinuz" -initrd "$work/initrd.img" -dtb "$work/bcm2837-rpi-3-b.dtb" \
    -append "$(tr -d '\r\n' <"$work/cmdline.txt") modules-load=vivid vivid.n_devs=1 vivid.node_types=0x1 modprobe.blacklist=bcm2835_wdt,cdc_subset \
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
# A second of a start, before most boards are up [guess: QEMU on two cores takes a minute and more].
some_second() { echo $((10 + RANDOM % 50)); }
start_cut_short() { # SECOND NAME: the same one again by NAME=SECOND
  power_on
  sleep "$1"
  kill -0 "$board" 2>/dev/null || die "the board has gone: $(cat "$work/qemu")"
  pull_the_plug
  say "plug pulled at second $1 of this start (the same again: $2=$1)"
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
health() { # PORT
  { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 0
  printf 'GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  timeout 5 cat <&3 || true
  exec 3>&-
}
on_air() { [[ $(health "$1") =~ \"streams\":[1-9] ]]; }
no_failed_unit() {
  local failed
  failed=$(on_board systemctl --failed --no-legend --plain)
  [ -z "$failed" ] || die "failed units: $failed; $(on_board journalctl --boot --priority warning --no-pager | tail -n 20)"
}
plays() { # PORT WHEN: a browser shows ten seconds of it
  (cd "$source_dir/web" && node tests/watches.js "http://127.0.0.1:$1/" 300 10 "$work/page.png") >"$work/page" 2>&1 ||
    die "a browser on this machine shows no moving picture $2: $(cat "$work/page")"
  say "$2 a browser on this machine plays the camera: $(tail -n 1 "$work/page")"
}

# --- The first start, after one that came to nothing.
start_cut_short "${FIRST_PULL:-$(some_second)}" FIRST_PULL
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

await 300 "no stream is on the air" on_air "$web"
on_board "journalctl --unit ownstream-broadcaster --output cat --no-pager" | grep -qi 'vivid' || die "the broadcaster did not take the camera"
# It is soldered on, so to say: without a serial number, named by where it is.
[[ $(on_board readlink --canonicalize /dev/ownstream/camera-platform-vivid.0-0) == /dev/video* ]] ||
  die "the camera's name leads nowhere: $(on_board ls /dev/ownstream /dev/v4l/by-path 2>&1)"
plays "$web" "through the forwarded port"
cp "$work/page.png" "$(dirname "$image")/page.png"

# --- The plug.
known=$(on_board supervisor peers list | grep -c . || true)
for ((pull = 1; pull <= pulls; pull++)); do
  pull_the_plug
  power_on
  await 900 "the board does not come up after the plug was pulled" is_up
  no_failed_unit
  await 300 "no stream is on the air after the plug was pulled" on_air "$web"
  [ "$(on_board supervisor peers list | grep -c . || true)" = "$known" ] || die "the supervisor knows others than before"
  say "plug pulled and put back ($pull of $pulls): everything is on the air again"
  [ "$pull" -lt "$pulls" ] || plays "$web" "after that"
done

# --- Another role: a broadcaster, for a supervisor elsewhere.
pull_the_plug
port=$(free_port)
printf 'listen = "127.0.0.1:%s"\nstate_dir = "%s/supervisor"\n' "$port" "$work" >"$work/supervisor.toml"
token=$("$source_dir/target/debug/supervisor" token create --role broadcaster --config "$work/supervisor.toml" 2>/dev/null)
"$source_dir/target/debug/supervisor" "$work/supervisor.toml" >"$work/supervisor.log" 2>&1 &
supervisor=$!
mcopy -n -i "$fat" ::ownstream.txt "$work/left.txt"
sed -e 's/^role =.*/role = broadcaster\r/' -e "s|^supervisor =.*|supervisor = ws://10.0.2.2:$port/peer\r|" -e "s/^join_token =.*/join_token = $token\r/" \
  -e 's/^time_zone =.*/time_zone = Europe\/Berlin\r/' "$work/left.txt" >"$work/ownstream.txt"
mcopy -o -i "$fat" "$work/ownstream.txt" ::
start_cut_short "${ROLE_PULL:-$(some_second)}" ROLE_PULL
power_on
await 900 "the board does not come up as a broadcaster" is_up
no_failed_unit
await 300 "no stream is on the air at the supervisor elsewhere: $(tail -n 5 "$work/supervisor.log")" on_air "$port"
for service in supervisor relay; do
  ! on_board systemctl is-active --quiet "ownstream-$service" || die "a broadcaster runs a $service"
done
on_board cat /boot/firmware/ownstream.txt >"$work/left.txt"
! grep -q "$token" "$work/left.txt" || die "the token is still on the card: $(cat "$work/left.txt")"
! on_board test -e /boot/firmware/ownstream-errors.txt || die "what was right is called wrong: $(on_board cat /boot/firmware/ownstream-errors.txt)"
plays "$port" "from a supervisor on this machine"

# --- A factory reset, and everything at once again.
on_board touch /var/lib/of-before
pull_the_plug
sed -e 's/^role =.*/role = all-in-one\r/' "$work/left.txt" >"$work/ownstream.txt"
mcopy -o -i "$fat" "$work/ownstream.txt" ::
mcopy -i "$fat" "$source_dir/image/ownstream-reset.txt" ::
rm -f "$work/known" # the board's keys are to be new
power_on
await 900 "the board does not come up after a factory reset" is_up
no_failed_unit
await 300 "no stream is on the air after a factory reset" on_air "$web"
! on_board test -e /var/lib/of-before || die "something is left of before the reset"
! on_board test -e /boot/firmware/ownstream-reset.txt || die "the next start would be a reset as well"
say "a factory reset leaves nothing of before, and everything is on the air"

# --- A data partition that is damaged, in use, lost: another card, a small one, with the programs of this one.
truncate -s 26M "$work/small"
printf 'label: dos\nstart=1MiB, size=8MiB, type=c\nstart=9MiB, size=16MiB, type=83\n' | sfdisk --quiet "$work/small"
mkdir "$work/kept"
echo "of before" >"$work/kept/kept"
truncate -s 8M "$work/small.fat"
truncate -s 16M "$work/small.data"
mkfs.vfat "$work/small.fat" >/dev/null
mke2fs -q -t ext4 -d "$work/kept" "$work/small.data"
dd if="$work/small.fat" of="$work/small" bs=1M seek=1 conv=notrunc,sparse status=none
dd if="$work/small.data" of="$work/small" bs=1M seek=9 conv=notrunc,sparse status=none
gzip --stdout "$work/small" | on_board 'gzip --decompress >/tmp/small'
on_board bash -s <<'BOARD' >"$work/small.log" 2>&1 || die "on a small card: $(cat "$work/small.log")"
set -eu
card=$(losetup --partscan --find --show /tmp/small)
udevadm settle
data() { /usr/lib/ownstream/data "${card}p2" "${card}p1"; }
kept() { mount "${card}p2" /mnt; local text; text=$(cat /mnt/kept 2>/dev/null || true); umount /mnt; [ "$text" = "of before" ]; }
told() { mount -o ro "${card}p1" /mnt; cat /mnt/ownstream-errors.txt 2>/dev/null || true; umount /mnt; }
wrong() { echo "WRONG: $1; it was told: $(told)"; exit 1; }

dd if=/dev/zero of="${card}p2" bs=1K count=8 conv=fsync status=none # its beginning; there are copies
data
kept || wrong "what could be repaired was given up"
[ -z "$(told)" ] || wrong "what was repaired is told of"

mount "${card}p2" /mnt # whatever else e2fsck is stopped by
! data || wrong "what cannot be checked is used"
umount /mnt
kept || wrong "what could not be checked was given up"
[[ $(told) == 'The data partition cannot be used: '* ]] || wrong "why it could not be used is not told"

dd if=/dev/zero of="${card}p2" bs=1M count=16 conv=fsync status=none
data
! kept || wrong "all of it is zeros, and yet there"
[[ $(told) == 'The data partition was unreadable and was made anew: '* ]] || wrong "that all is lost is not told"
losetup --detach "$card"
BOARD
say "a damaged data partition is repaired, one that cannot be checked is left alone, one that is lost is made anew; the card says so"
