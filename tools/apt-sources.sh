#!/bin/bash
# Prints the Debian sources of this machine, for a root that mmdebstrap makes.
# usage: mmdebstrap … SUITE ROOT <(tools/apt-sources.sh)
#        EXTRA_SOURCES='deb …'                      and these
#        MIRROR=http://… SUITE=… COMPONENTS="main …" tools/apt-sources.sh    others than this machine's
set -euo pipefail
own() { # what apt reads here: address, suite
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' | sort --unique
}
if [ -n "${MIRROR-}" ]; then
  sources="$MIRROR ${SUITE:?says which release MIRROR is for: SUITE=bookworm}"
else
  sources=$(own)
fi
[ -n "$sources" ] || {
  echo "apt-sources: no Debian sources here. Name some: MIRROR=http://deb.debian.org/debian SUITE=bookworm" >&2
  exit 1
}
while read -r address suite; do
  echo "deb $address $suite ${COMPONENTS:-main}"
done <<<"$sources"
[ -z "${EXTRA_SOURCES-}" ] || printf '%s\n' "$EXTRA_SOURCES"
