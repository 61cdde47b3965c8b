#!/bin/bash
# Installs what the services need of a system, as the Debian packages do, and starts them, anew if they run: for those who
# build from source. As root.
# usage: systemd/install.sh [SERVICE…]      supervisor, relay, broadcaster; all three if none is named
#        systemd/install.sh --remove        takes it back, but for configuration, state, and the programs, which others installed
set -euo pipefail
cd "$(dirname "$0")"
[ "$(id -u)" -eq 0 ] || { echo "install: this is root's: sudo systemd/install.sh" >&2; exit 1; }
units=/etc/systemd/system

if [ "${1-}" = --remove ]; then
  for service in supervisor relay broadcaster; do
    systemctl disable --quiet --now "ownstream-$service" 2>/dev/null || true
    rm -rf "$units/ownstream-$service.service" "/usr/lib/ownstream-$service" "/etc/sysctl.d/60-ownstream-$service.conf"
  done
  rm -f /etc/modules-load.d/ownstream-broadcaster.conf /etc/sysusers.d/ownstream-broadcaster.conf \
    /etc/udev/rules.d/70-ownstream-broadcaster.rules
  systemctl daemon-reload
  echo "Removed. Configuration is left in /etc/ownstream, state in /var/lib/private/ownstream-*, and the programs are:"
  echo "sudo rm -f /usr/bin/{supervisor,edge-relay,edge-broadcaster}"
  exit
fi

services=("$@")
[ $# -gt 0 ] || services=(supervisor relay broadcaster)
for service in "${services[@]}"; do
  [ -e "ownstream-$service.service" ] || { echo "install: there is no service $service" >&2; exit 2; }
done
# What it encodes with is looked for when it runs: nothing that it is built with brings it along.
if [[ " ${services[*]} " == *" broadcaster "* ]]; then
  for plugin in opus vpx; do
    compgen -G "/usr/lib/*/gstreamer-1.0/libgst$plugin.so" >/dev/null || {
      echo "install: the broadcaster cannot encode here: GStreamer has no libgst$plugin.so, which gstreamer1.0-plugins-base or" >&2
      echo "gstreamer1.0-plugins-good brings. Install them, by tools/deps.sh run, and then again what you called." >&2
      exit 1
    }
  done
fi
for service in "${services[@]}"; do
  install -D -m 644 -t "$units" "ownstream-$service.service"
  install -D -m 755 -t "/usr/lib/ownstream-$service" restart-pause
  [ -e "/etc/ownstream/$service.toml" ] || install -D -m 644 -t /etc/ownstream "$service.toml" # what is there is yours
  case $service in
    relay | broadcaster)
      install -D -m 644 ownstream.sysctl "/etc/sysctl.d/60-ownstream-$service.conf"
      sysctl --quiet --load="/etc/sysctl.d/60-ownstream-$service.conf" || true # a container may not
      ;;
  esac
  if [ "$service" = broadcaster ]; then
    install -D -m 644 ownstream-broadcaster.sysusers /etc/sysusers.d/ownstream-broadcaster.conf
    install -D -m 644 ownstream-broadcaster.modules-load /etc/modules-load.d/ownstream-broadcaster.conf
    install -D -m 644 -t /etc/udev/rules.d 70-ownstream-broadcaster.rules
    systemd-sysusers ownstream-broadcaster.conf
    systemctl restart systemd-modules-load || true # which one is missing stands in the journal
    udevadm control --reload 2>/dev/null && udevadm trigger --subsystem-match=video4linux || true
  fi
done
systemctl daemon-reload
systemctl enable --quiet "${services[@]/#/ownstream-}"
systemctl restart "${services[@]/#/ownstream-}" # one that runs is the program of before
echo "Started: ${services[*]/#/ownstream-}. A relay or broadcaster waits for its join token: see docs/install.md."
