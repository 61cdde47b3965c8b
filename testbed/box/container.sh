# Sourced by tests: a machine with a systemd of its own, in a container. Needs root, and no network of its own.
#
#   machine LAYER…      lays an overlay over Debian and these folders, and boots it
#   inside COMMAND…     runs something in it
#   machine_off         ends it in good order; its files stay readable below $machine/root until the test ends
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
[ "$(id -u)" -eq 0 ] || { echo "This test makes machines: it wants root." >&2; exit 1; }
machine=$(mktemp -d /var/tmp/ownstream-box.XXXXXX)
nspawn='' leader=''

die() { # WORDS
  echo "FAILED: $1" >&2
  exit 1
}

clean_up() {
  trap - EXIT
  [ -z "$nspawn" ] || { kill -KILL ${leader:+"$leader"} "$nspawn" 2>/dev/null; wait "$nspawn" 2>/dev/null; } || true
  for folder in "$machine"/root "$machine"/*/root; do
    ! mountpoint --quiet "$folder" || umount --recursive "$folder"
  done
  rm -rf --one-file-system "$machine"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

debian() { # a Debian with nothing of ours in it
  "$source_dir/tools/debian-root.sh" clean "$(dpkg --print-architecture)" \
    systemd-sysv dbus iproute2 procps ca-certificates
}

# Both overlays are on disk, as the card is: that nothing is written is counted there.
lay() { # FOLDER LAYER…: an overlay at FOLDER/root, the last layer on top
  local folder=$1 lower='' layer
  shift
  for layer in "$@"; do lower=$layer${lower:+:$lower}; done
  mkdir -p "$folder"/{root,upper,work}
  mount -t overlay overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
}

machine() { # LAYER…
  lay "$machine" "$@"
  boot
}

boot() {
  systemd-nspawn --quiet --directory="$machine/root" --register=no --keep-unit --private-network --link-journal=no \
    --console=passive --bind-ro="$source_dir/target:/mnt" --boot systemd.show_status=false </dev/null >"$machine/console" 2>&1 &
  nspawn=$!
  await 60 "systemd does not come up" booted
  # Peers offer each other the addresses of interfaces, and ask all of a network for names. This one leads nowhere.
  inside ip link add lan type veth peer name nowhere
  inside ip address add 192.0.2.1/24 dev lan
  inside ip link set lan up
  inside ip link set nowhere up
  inside ip route add default dev lan
}

booted() {
  leader=$(pgrep --parent "$nspawn" | head -1) && [ -n "$leader" ] &&
    [[ $(inside systemctl is-system-running 2>/dev/null) =~ ^(running|degraded)$ ]]
}

inside() { # COMMAND…
  nsenter --target "$leader" --all -- env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb "$@"
}

await() { # SECONDS WORDS COMMAND…: until it is true, or the words are
  local until=$((SECONDS + $1)) words=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $until ] || die "$words"
    sleep 0.3
  done
}

machine_off() {
  inside systemctl poweroff --no-block
  local until=$((SECONDS + 180)) # twice as long as systemd waits for a process before it kills it
  while kill -0 "$nspawn" 2>/dev/null; do
    [ $SECONDS -lt $until ] || die "the machine does not end; these still run in it:
$(pgrep --ns "$leader" --nslist pid --list-full . 2>&1)
$(tail -n 5 "$machine/console")"
    # At the end systemd stops everybody for a moment. nsenter stops with the program that it brought in, for good.
    pkill -CONT --full "^nsenter --target $leader " || true
    sleep 0.3
  done
  nspawn=''
}

property() { # SERVICE NAME
  inside systemctl show --property="$2" --value "ownstream-$1"
}

let_in() { # as an operator does: a token each
  local role
  for role in relay broadcaster; do
    inside sh -c "umask 077; supervisor token create --role $role 2>/dev/null >/etc/ownstream/$role.join-token"
    inside systemctl restart "ownstream-$role"
  done
}

health() {
  inside bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080; printf "GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3; timeout 2 cat <&3' 2>/dev/null || true
}
on_air() { [[ $(health) =~ \"streams\":[1-9] ]]; }

watch() { # a viewer in the machine, until the test ends
  inside /mnt/debug/receiver --supervisor ws://127.0.0.1:8080/peer >"$machine/viewer" 2>"$machine/viewer.err" &
}
received() { # bytes that the viewer has had since a parent's first
  tail -n 1 "$machine/viewer" 2>/dev/null | sed -n 's/.*"bytes_down":\([0-9]*\).*/\1/p'
}
plays() { tail -n 1 "$machine/viewer" 2>/dev/null | grep -q '"playing":true'; }
plays_on() { # since MARK lines of the viewer: it has a picture that moved on
  local lines
  lines=$(tail -n +"$(($1 + 1))" "$machine/viewer" | grep -c '"playing":true' || true)
  [ "$lines" -ge 3 ]
}
lines_seen() { wc -l <"$machine/viewer"; }
