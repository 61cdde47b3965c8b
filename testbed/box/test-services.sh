#!/bin/bash
# The services under a real systemd: ready, killed, hung, misconfigured, updated under a running viewer, ended in order.
. "$(dirname "$0")/container.sh"
. "$(dirname "$0")/installed.sh"
services=(supervisor relay broadcaster)
machine "$(debian)" "$(installed)"

say() { echo "   $*"; }
is_ready() { [ "$(property "$1" ActiveState)" = active ]; }
is_another() { # SERVICE PID: it runs as another process
  local pid
  pid=$(property "$1" MainPID)
  [ "$pid" != 0 ] && [ "$pid" != "$2" ] && is_ready "$1"
}

for service in "${services[@]}"; do
  await 60 "ownstream-$service is not ready: $(inside journalctl -u "ownstream-$service" -n 20 || true)" is_ready "$service"
done
[[ $(property relay StatusText) == *"relaying up to 100000 kbit/s"* ]] || die "the relay's status: $(property relay StatusText)"
let_in
await 90 "no stream is on the air" on_air
watch
await 60 "the viewer has no picture" plays
say "all three are ready; a viewer plays the test picture"

for unit in "${services[@]}"; do
  said=$(inside systemd-analyze verify --man=no "ownstream-$unit.service" 2>&1) || true
  [ -z "$said" ] || die "systemd-analyze verify: $said"
  inside systemd-analyze security --no-pager --threshold=20 "ownstream-$unit.service" >"$machine/security" 2>&1 ||
    die "the sandbox is wider than 2.0: $(tail -n 1 "$machine/security")"
done
say "systemd has nothing to say about the units, and no sandbox is wider than 2.0"

# --- Restart.
pid=$(property relay MainPID)
mark=$(lines_seen)
inside kill -KILL "$pid"
await 30 "a killed relay is not started again" is_another relay "$pid"
[ "$(property relay NRestarts)" = 1 ] || die "restarts: $(property relay NRestarts)"
await 60 "the viewer did not go on after the relay was killed" plays_on "$mark"
for pause in 1 3; do
  pid=$(property relay MainPID)
  inside kill -KILL "$pid"
  await 30 "a killed relay is not started again" is_another relay "$pid"
  noted=$(inside cat /run/ownstream-relay/failures)
  [ "$noted" = $pause ] || die "the pause after that failure is $noted s beyond the first, not $pause"
done
inside systemctl restart ownstream-relay
! inside test -e /run/ownstream-relay/failures || die "a restart in good order left the growing pause"
say "killed, it is started again, each time after a longer pause, and the viewer plays on"

# --- Watchdog.
pid=$(property broadcaster MainPID)
inside kill -STOP "$pid"
await 60 "a broadcaster that hangs is not started again" is_another broadcaster "$pid"
inside journalctl --unit ownstream-broadcaster --output cat --grep "Failed with result 'watchdog'" >/dev/null ||
  die "the journal does not say that the watchdog ended it"
mark=$(lines_seen)
await 60 "the viewer did not go on after the broadcaster hung" plays_on "$mark"
say "hung, the watchdog ends it and systemd starts it again"

# --- Journal.
peer=$(inside journalctl --unit ownstream-relay --output json --grep 'the supervisor took this relay in' -n 1 |
  sed -n 's/.*"PEER":"\([^"]*\)".*/\1/p')
[ -n "$peer" ] || die "the journal has no field PEER"
inside journalctl PEER="$peer" --output cat -n 1 >/dev/null || die "PEER=$peer finds nothing"
inside journalctl SYSLOG_IDENTIFIER=edge-relay PRIORITY=5 -n 1 --quiet --output cat | grep -q . ||
  die "no line of the relay tells of its life: PRIORITY=5"
! inside journalctl --output cat | grep -q 'own1-' || die "a join token is in the journal"
say "journal fields: PEER=$peer finds the relay's lines; no token is among them"

# --- Wrong configuration.
inside cp /etc/ownstream/relay.toml /etc/ownstream/kept.toml
inside sh -c 'echo "volume = 11" >>/etc/ownstream/relay.toml'
! inside systemctl restart ownstream-relay 2>/dev/null || die "the relay started with a wrong configuration"
sleep 3 # RestartSec= is 1
[ "$(property relay ExecMainStatus)/$(property relay ActiveState)" = 78/failed ] ||
  die "wrong configuration: $(property relay ExecMainStatus) $(property relay ActiveState)"
[[ $(property relay StatusText) == *'relay.toml:'*'unknown field `volume`'* ]] || die "status: $(property relay StatusText)"
inside mv /etc/ownstream/kept.toml /etc/ownstream/relay.toml
inside systemctl restart ownstream-relay
say "wrong configuration is named, and not tried again"

# --- Steady state. What a process has caused to be written to storage, by the kernel's own count.
written() {
  local service sum=0 pid
  for service in "${services[@]}"; do
    pid=$(property "$service" MainPID)
    sum=$((sum + $(inside sed -n 's/^write_bytes: //p' "/proc/$pid/io")))
  done
  echo $sum
}
await 60 "no stream is on the air" on_air
mark=$(lines_seen)
await 60 "the viewer does not play" plays_on "$mark"
[ "$(written)" -gt 0 ] || die "the kernel counts no writes here, not even those of the start: nothing can be said"
before=$(written)
sleep "${STEADY_SECONDS:-60}"
after=$(written)
[ "$after" = "$before" ] || die "$((after - before)) bytes were written to disk in ${STEADY_SECONDS:-60} s of steady state"
plays || die "the viewer did not play meanwhile"
say "nothing is written to disk in ${STEADY_SECONDS:-60} s of playing"

# --- Update under a running viewer: the same packages with a higher number.
for service in "${services[@]}"; do
  package=("$source_dir/target/deb/ownstream-${service}"_*_"$(dpkg --print-architecture)".deb)
  dpkg-deb --raw-extract "${package[0]}" "$machine/newer"
  sed -i 's/^Version: .*/&+newer/' "$machine/newer/DEBIAN/control"
  dpkg-deb --build --root-owner-group "$machine/newer" "$machine/root/root/$service.deb" >/dev/null
  rm -rf "$machine/newer"
done
pid=$(property relay MainPID)
mark=$(lines_seen)
inside sh -c 'dpkg --install /root/*.deb' >"$machine/dpkg.log" 2>&1 || { cat "$machine/dpkg.log"; die "the update"; }
for service in "${services[@]}"; do await 60 "ownstream-$service is not ready after the update" is_ready "$service"; done
[ "$(property relay MainPID)" != "$pid" ] || die "the update did not start the new relay"
await 90 "the viewer did not go on after the update" plays_on "$((mark + 5))"
grep -q '"ended":false' <(tail -n 1 "$machine/viewer") || die "the viewer was told that the stream had ended"
say "updated under the viewer, which plays on: $(tail -n 1 "$machine/viewer" | grep -o '"stalled_ms":[0-9]*,"stalls":[0-9]*')"

# --- The end, in order: who says goodbye needs the supervisor.
machine_off
stopped=$(journalctl --directory "$machine/root/var/log/journal" --output cat --grep '^Stopped ownstream-' | tail -n 3 |
  sed 's/^Stopped ownstream-\([a-z]*\).*/\1/' | tr '\n' ' ')
[[ $stopped == *"supervisor " && $stopped == *relay* && $stopped == *broadcaster* ]] || die "the order of the end: $stopped"
say "ended in order: $stopped"
