#!/bin/bash
# Runs supervisor, relay and broadcaster in this terminal until Ctrl-C, and leaves nothing behind.
# usage: PORT=8080 SOURCE=film.webm tools/demo.sh     (make demo builds the programs)
#        SOURCE is a WebM file, or "test" for the test picture; without it: a camera if there is one
#        PROGRAMS=target/release: those of another build
#        tools/demo.sh --check    only whether it could: before minutes of building
set -euo pipefail
source=${SOURCE:-auto}
[ -f "$source" ] && source=$(realpath "$source")
cd "$(dirname "$0")/.."
port=${PORT:-8080}
programs=${PROGRAMS:-target/demo}

fail() { # WORDS
  echo "demo: $1" >&2
  exit 1
}

health() { # what the supervisor says of itself, or nothing
  { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || return 0
  printf 'GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  timeout 2 cat <&3 || true
  exec 3>&-
}

in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

stream_source() { # as the broadcaster's configuration says it
  case $source in
    auto | test | camera) echo "\"$source\"" ;;
    *[[:cntrl:]]*) fail "SOURCE: there is no playing a file with such a name" ;;
    /*)
      local text=${source//\\/\\\\}
      echo "{ kind = \"file\", path = \"${text//\"/\\\"}\" }"
      ;;
    *) fail "SOURCE=$source: no such file, nor one of auto, camera, test" ;;
  esac
}

[[ $port =~ ^[1-9][0-9]*$ && $port -ge 1 && $port -le 65535 ]] || fail "PORT=$port is no port"
chosen=$(stream_source)
! in_use || fail "port $port is in use; try another one: make demo PORT=$((port + 1))"

[ "${1-}" != --check ] || exit 0

mkdir -p target
dir=$(mktemp -d "$PWD/target/demo.XXXXXX")
trap 'rm -rf --one-file-system "$dir"' EXIT
trap 'exit 0' INT TERM HUP
cat >"$dir/supervisor.toml" <<TOML
listen = "0.0.0.0:$port"
metrics = "off" # another demo may be under way
state_dir = "$dir/supervisor"
TOML
supervisor() { # ARGUMENTS: one of its commands; only what goes wrong is said
  local words
  words=$({ "$programs/supervisor" "$@" --config "$dir/supervisor.toml" 1>&3; } 3>"$dir/answer" 2>&1) ||
    fail "supervisor $1: $words"
  cat "$dir/answer"
}
relay_token=$(supervisor token create --role relay) # lets one service in, as an operator would
broadcaster_token=$(supervisor token create --role broadcaster)
cat >"$dir/edge-relay.toml" <<TOML
supervisor = "ws://127.0.0.1:$port/peer"
join_token = "$relay_token"
name = "relay"
metrics = "off"
uplink_kbps = 100000
state_dir = "$dir/relay"
loopback = true
TOML
cat >"$dir/edge-broadcaster.toml" <<TOML
supervisor = "ws://127.0.0.1:$port/peer"
join_token = "$broadcaster_token"
uplink_kbps = 20000
metrics = "off"
state_dir = "$dir/broadcaster"
loopback = true

[[stream]]
name = "demo"
source = $chosen
allow_failures = true # of viewers, by hand, on /monitor
TOML
# For this demo alone: who reads this terminal may look at the monitor.
password=$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
supervisor operator-password <<<"$password" >/dev/null

declare -A name_of=()

paint() { # NAME COLOUR: the service's name in its colour, before every line
  local on="" off=""
  [ ! -t 1 ] || [ -n "${NO_COLOR-}" ] || { on=$'\e['$2m; off=$'\e[0m'; }
  trap '' INT HUP # the last words are still to come
  local padded
  padded=$on$(printf '%-16s' "$1")$off
  sed -u -E "s/^([0-9:.]+Z) $1 /\1 $padded /; t; s/^/$(printf '%13s' '') $padded /"
}

start() { # NAME COLOUR
  mkdir -p "$dir/${1#edge-}"
  # A session of its own: Ctrl-C reaches this script, which ends them in good order.
  setsid "$programs/$1" "$dir/$1.toml" </dev/null > >(paint "$1" "$2") 2>&1 &
  name_of[$!]=$1
}

end() { # PID: in good order within 5 s, more than a service's own grace, else at once
  kill "$1" 2>/dev/null || return 0
  for _ in {1..50}; do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
}

finish() {
  trap - EXIT
  trap '' INT TERM HUP
  local name pid
  for name in edge-broadcaster edge-relay supervisor; do # nobody misses a supervisor that went first
    for pid in "${!name_of[@]}"; do
      [ "${name_of[$pid]}" != $name ] || end "$pid"
    done
  done
  wait
  rm -rf --one-file-system "$dir"
}
trap finish EXIT

watch_for_death() { # says who ended, and ends the demo
  local pid status=0
  wait -n -p pid || status=$?
  [ -n "${pid-}" ] || exit "$status"
  sleep 0.3 # its last words first
  fail "${name_of[$pid]} has ended by itself (status $status), so the others end as well"
}

all_live() { [ "$(jobs -pr | wc -l)" -eq "${#name_of[@]}" ]; }

wait_until() { # PATTERN of what the supervisor says
  until [[ $(health) =~ $1 ]]; do
    all_live || watch_for_death
    sleep 0.1
  done
}

start supervisor 36
wait_until '"status":"ok"'
start edge-relay 35
start edge-broadcaster 33
wait_until '"streams":[1-9]'

echo
echo "  Open in a browser:"
echo "      http://localhost:$port"
for address in $(hostname -I 2>/dev/null); do
  [[ $address == *:* ]] || echo "      http://$address:$port"
done
# Its name only where it leads others here: Debian's own hosts file says 127.0.1.1.
getent ahostsv4 "$(hostname)" | grep -qv '^127\.' && echo "      http://$(hostname):$port"
echo "  The topology, drawn live: http://localhost:$port/monitor   (password: $password)"
echo "  Ctrl-C ends everything."
echo
watch_for_death
