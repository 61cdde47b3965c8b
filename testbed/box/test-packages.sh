#!/bin/bash
# The Debian packages: lintian reads them; a clean Debian installs them with apt, runs them, upgrades them, removes them,
# purges them, and nothing of them is left.
. "$(dirname "$0")/container.sh"
. "$(dirname "$0")/installed.sh"
services=(supervisor relay broadcaster)
say() { echo "   $*"; }
arch=$(dpkg --print-architecture)

# --- What Debian's own reader says. "initial-upload-closes-no-bugs" is for packages that go to Debian.
lintian --fail-on error --suppress-tags initial-upload-closes-no-bugs "$source_dir"/target/deb/ownstream-*_"$arch".deb >"$machine/lintian" 2>&1 ||
  { cat "$machine/lintian" >&2; die "lintian finds errors"; }
say "lintian finds no error ($(grep -c '^W:' "$machine/lintian" || true) warnings)"

layer=$(installed)
before=$(debian)
machine "$before" "$layer"
is_ready() { [ "$(property "$1" ActiveState)" = active ]; }
for service in "${services[@]}"; do
  [ "$(inside systemctl is-enabled "ownstream-$service")" = enabled ] || die "ownstream-$service is not enabled"
  await 60 "ownstream-$service does not start with the machine" is_ready "$service"
done
let_in
await 90 "no stream is on the air" on_air
watch
await 60 "a viewer has no picture" plays
say "installed by apt in a clean Debian, they start with it and play the test picture"

# --- Upgrade: what somebody changed stays, what nobody changed is new.
inside sed -i 's/^uplink_kbps = .*/uplink_kbps = 50000/' /etc/ownstream/relay.toml
for service in "${services[@]}"; do
  package=("$source_dir/target/deb/ownstream-${service}"_*_"$arch".deb)
  dpkg-deb --raw-extract "${package[0]}" "$machine/newer"
  sed -i 's/^Version: .*/&+newer/' "$machine/newer/DEBIAN/control"
  echo "# newer" >>"$machine/newer/etc/ownstream/$service.toml"
  dpkg-deb --build --root-owner-group "$machine/newer" "$machine/root/root/$service.deb" >/dev/null
  rm -rf "$machine/newer"
done
inside sh -c 'dpkg --force-confold --install /root/*.deb' >"$machine/dpkg" 2>&1 || { cat "$machine/dpkg"; die "the upgrade"; }
inside grep -q '^uplink_kbps = 50000' /etc/ownstream/relay.toml || die "the upgrade threw away a changed configuration"
! inside grep -q newer /etc/ownstream/relay.toml || die "the upgrade replaced a changed configuration"
inside grep -q newer /etc/ownstream/broadcaster.toml || die "the upgrade left an unchanged configuration as it was"
for service in "${services[@]}"; do await 60 "ownstream-$service is not ready after the upgrade" is_ready "$service"; done
[[ $(property relay StatusText) == *50000* ]] || die "the relay runs with another configuration"
await 90 "no stream is on the air after the upgrade" on_air
say "upgraded: a changed configuration is kept, an unchanged one replaced, tokens and identities hold"

# --- Removed: nothing runs, configuration and state are kept.
inside sh -c 'dpkg --remove ownstream-supervisor ownstream-relay ownstream-broadcaster' >"$machine/dpkg" 2>&1 || { cat "$machine/dpkg"; die "the removal"; }
for program in supervisor edge-relay edge-broadcaster; do
  ! inside pgrep --exact "${program:0:15}" >/dev/null || die "$program runs on after its removal"
done
inside test -e /etc/ownstream/relay.toml -a -d /var/lib/private/ownstream-relay || die "the removal took configuration or state along"
inside sh -c 'dpkg --install /root/*.deb' >"$machine/dpkg" 2>&1 || { cat "$machine/dpkg"; die "installing again"; }
await 90 "installed again, they do not find what they knew" on_air
say "removed, nothing runs; installed again, everybody still knows everybody"

# --- Purged: nothing of ours is left, nor what a person put there.
inside sh -c 'umask 077; echo 0123456789abcdef >/etc/ownstream/turn-secret'
inside sh -c 'dpkg --purge ownstream-supervisor ownstream-relay ownstream-broadcaster' >"$machine/dpkg" 2>&1 || { cat "$machine/dpkg"; die "the purge"; }
left=$(inside find / -xdev -iname '*ownstream*' -not -path '/proc/*' -not -path '/run/*' -not -path '/var/lib/systemd/*' || true)
[ -z "$left" ] || die "the purge left: $left"
[ "$(inside systemctl list-units --failed --no-legend --plain)" = "" ] || die "failed units: $(inside systemctl --failed --no-legend)"
say "purged, nothing is left"
machine_off
