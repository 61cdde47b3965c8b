#!/bin/bash
# What docs/install.md says, done in a clean Debian under systemd: installed from source, upgraded, with https, backed up,
# lost, restored, and uninstalled.
. "$(dirname "$0")/container.sh"
. "$(dirname "$0")/installed.sh"
services=(supervisor relay broadcaster)
say() { echo "   $*"; }

# A Debian that has nothing but what docs/install.md has installed. While it does not run it has this machine's network.
lay "$machine" "$(debian)"
mkdir "$machine/root/root/source"
cp -a "$source_dir"/{systemd,tools,packages.txt} "$machine/root/root/source/"
if said=$(in_chroot "$machine/root" /root/source/systemd/install.sh 2>&1); then die "it is installed where nothing encodes: $said"; fi
[[ $said == *gstreamer1.0-plugins-good* ]] || die "what is missing is not named: $said"
in_chroot "$machine/root" /root/source/tools/deps.sh run >"$machine/deps" 2>&1 || { tail -n 30 "$machine/deps" >&2; die "tools/deps.sh run"; }
boot

is_ready() { [ "$(property "$1" ActiveState)" = active ]; }
all_ready() {
  local service
  for service in "${services[@]}"; do
    await 60 "ownstream-$service is not ready: $(inside journalctl -u "ownstream-$service" -n 20 || true)" is_ready "$service"
  done
}

# --- From source. The programs are those of this test's build, where docs/install.md takes those of `make build`.
install_services() {
  inside install /mnt/debug/supervisor /mnt/debug/edge-relay /mnt/debug/edge-broadcaster /usr/bin/
  inside /root/source/systemd/install.sh >"$machine/install" 2>&1 || { cat "$machine/install"; die "systemd/install.sh"; }
}
install_services
all_ready
let_in
await 90 "no stream is on the air" on_air
watch
await 60 "a viewer has no picture" plays
say "installed from source, they run and a viewer plays the test picture"

# --- Upgraded: the same once more.
declare -A before=()
for service in "${services[@]}"; do before[$service]=$(property "$service" MainPID); done
inside sh -c 'echo "# mine" >>/etc/ownstream/relay.toml'
mark=$(lines_seen)
install_services
all_ready
for service in "${services[@]}"; do
  [ "$(property "$service" MainPID)" != "${before[$service]}" ] || die "ownstream-$service is still the program of before the upgrade"
done
inside grep -q '^# mine' /etc/ownstream/relay.toml || die "the upgrade replaced a changed configuration"
await 90 "the viewer did not go on after the upgrade" plays_on "$((mark + 5))"
say "upgraded, each is started anew with its configuration, and the viewer plays on"

# --- https, by a drop-in that hands over a certificate that only root may read. A newer one is taken with a restart.
certificate() { # NAME
  inside openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
    -addext "subjectAltName=DNS:$1,IP:127.0.0.1" -keyout /etc/letsencrypt/key.pem -out /etc/letsencrypt/chain.pem 2>/dev/null
}
shown() { # the name in the certificate that https shows
  inside sh -c 'echo | openssl s_client -connect 127.0.0.1:443 2>/dev/null | openssl x509 -noout -subject 2>/dev/null' || true
}
shows() { [[ $(shown) == *"CN = $1" ]]; }
inside install -d -m 700 /etc/letsencrypt
certificate first.example
inside mkdir -p /etc/systemd/system/ownstream-supervisor.service.d
cat >"$machine/root/etc/systemd/system/ownstream-supervisor.service.d/override.conf" <<'DROPIN'
[Service]
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
LoadCredential=tls.crt:/etc/letsencrypt/chain.pem
LoadCredential=tls.key:/etc/letsencrypt/key.pem
DROPIN
cp "$machine/root/etc/ownstream/supervisor.toml" "$machine/plain.toml"
sed 's/^listen = .*/listen = "0.0.0.0:443"/' "$machine/plain.toml" >"$machine/root/etc/ownstream/supervisor.toml"
cat >>"$machine/root/etc/ownstream/supervisor.toml" <<'TLS'
[tls]
mode = "files"
certificate = "/run/credentials/ownstream-supervisor.service/tls.crt"
key = "/run/credentials/ownstream-supervisor.service/tls.key"
redirect_http = "0.0.0.0:80"
TLS
fingerprint=$(inside sh -c 'openssl x509 -in /etc/letsencrypt/chain.pem -outform DER | sha256sum | cut -c1-64')
for service in relay broadcaster; do
  toml=$machine/root/etc/ownstream/$service.toml
  cp "$toml" "$machine/$service.toml"
  sed "s#^supervisor = .*#supervisor = \"wss://127.0.0.1:443/peer\"\nsupervisor_certificate = \"$fingerprint\"#" \
    "$machine/$service.toml" >"$toml"
done
inside systemctl daemon-reload
inside systemctl restart ownstream-supervisor ownstream-relay ownstream-broadcaster
all_ready
await 30 "https shows no certificate of first.example: $(shown)" shows first.example
over_https() {
  [[ $(inside sh -c 'printf "GET /health HTTP/1.0\r\nHost: first.example\r\n\r\n" |
    timeout 3 openssl s_client -quiet -connect 127.0.0.1:443 2>/dev/null') =~ \"streams\":[1-9] ]]
}
await 90 "no stream is on the air over https" over_https
[[ $(inside bash -c 'exec 3<>/dev/tcp/127.0.0.1/80; printf "GET / HTTP/1.0\r\nHost: first.example\r\n\r\n" >&3; timeout 2 cat <&3' || true) == *https://first.example* ]] ||
  die "plain http is not answered with a redirection"
certificate second.example
inside systemctl restart ownstream-supervisor
await 30 "a renewed certificate is not taken with a restart: $(shown)" shows second.example
say "https by a drop-in: relay and broadcaster use it, plain http is redirected, a renewed certificate is taken"

# --- Back to plain http; backup, loss of everything, restore.
cp "$machine/plain.toml" "$machine/root/etc/ownstream/supervisor.toml"
for service in relay broadcaster; do cp "$machine/$service.toml" "$machine/root/etc/ownstream/$service.toml"; done
inside rm -r /etc/systemd/system/ownstream-supervisor.service.d
inside systemctl daemon-reload
inside systemctl stop 'ownstream-*'
inside sh -c 'umask 077; tar -C / -czf /root/ownstream.tar.gz etc/ownstream var/lib/private'
[ "$(inside stat --format=%a /root/ownstream.tar.gz)" = 600 ] || die "others than root may read the backup"
inside /root/source/systemd/install.sh --remove >"$machine/install" 2>&1 || { cat "$machine/install"; die "systemd/install.sh --remove"; }
for program in supervisor edge-relay edge-broadcaster; do
  ! inside pgrep --exact "${program:0:15}" >/dev/null || die "$program runs on after its removal"
done
inside test -e /etc/ownstream/relay.toml || die "the removal took the configuration along"
left=$(inside find /etc /usr/lib -xdev -iname '*ownstream*' -not -path '/etc/ownstream*' || true)
[ -z "$left" ] || die "install.sh --remove left: $left"
inside bash -c "$(sed -n 's/^sudo //p' "$machine/install")"
! inside sh -c 'ls /usr/bin/supervisor /usr/bin/edge-relay /usr/bin/edge-broadcaster' 2>/dev/null || die "what install.sh --remove says removes no programs"
say "backed up and uninstalled: nothing runs, and only configuration and state are left"

inside sh -c 'rm -rf /etc/ownstream /var/lib/private/ownstream-* /var/lib/ownstream-*'
install_services
all_ready
inside systemctl stop 'ownstream-*'
inside tar -C / -xzf /root/ownstream.tar.gz
inside systemctl start ownstream-supervisor ownstream-relay ownstream-broadcaster
all_ready
await 90 "after the restore nobody knows anybody" on_air
mark=$(lines_seen)
await 90 "the viewer did not go on after the restore" plays_on "$mark"
say "restored: everybody knows everybody, and the viewer that watched before plays on"

# --- The secret of a TURN server, which root alone may read: handed over where README.md has it, and elsewhere with words.
inside sh -c 'umask 077; echo 0123456789abcdef | tee /etc/ownstream/turn-secret >/etc/ownstream/elsewhere'
turn() { # FILE
  printf '[turn]\nurls = ["turn:192.0.2.9:3478?transport=udp"]\nsecret_file = "%s"\n' "$1" |
    cat "$machine/plain.toml" - >"$machine/root/etc/ownstream/supervisor.toml"
  inside systemctl restart ownstream-supervisor 2>/dev/null || true # whether it runs is asked below
}
turn /etc/ownstream/turn-secret
is_ready supervisor || die "the supervisor has no secret: $(inside journalctl -u ownstream-supervisor -n 5 --output cat)"
inside rm /etc/ownstream/turn-secret
turn /etc/ownstream/elsewhere
! is_ready supervisor || die "the supervisor reads what root alone may"
advised() {
  inside journalctl --unit ownstream-supervisor --output cat --grep 'LoadCredential=turn-secret:/etc/ownstream/elsewhere' >/dev/null
}
await 10 "what to do about a secret that cannot be read is not said: $(inside journalctl -u ownstream-supervisor -n 5 --output cat)" advised
say "a TURN server's secret may be root's alone: systemd hands it over, and where it does not the supervisor says how"
machine_off
