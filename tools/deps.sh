#!/bin/bash
# Installs the packages that packages.txt lists for the given purposes and that are missing here.
# usage: tools/deps.sh PURPOSE…      (the names in [brackets] of packages.txt)
set -euo pipefail
cd "$(dirname "$0")/.."

# Some purposes are served already by tools that are no Debian packages.
served() { # PURPOSE
  case $1 in
    rust) tools/with-rust cargo --version ;;
    wasm) tools/web.sh --has-target ;;
    check) tools/with-rust cargo clippy --version && tools/with-rust cargo fmt --version ;;
    node) npm --version && [[ $(node --version) =~ ^v(18\.(1[5-9]|[2-9][0-9])|[2-9][0-9])\. ]] ;;
    *) false ;;
  esac >/dev/null 2>&1
}

wanted=()
for purpose in "$@"; do
  served "$purpose" || mapfile -t -O "${#wanted[@]}" wanted < <(tools/packages.sh "$purpose")
done

missing=()
for package in $(printf '%s\n' "${wanted[@]}" | sort --unique); do
  state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

echo "Installing: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "Neither root nor sudo. As root, once, and then again what you called:" >&2
    echo "  su -c 'apt-get update && apt-get install --yes --no-install-recommends --no-remove ${missing[*]}'" >&2
    exit 1
  }
  as_root=(sudo)
fi
# Debian starts coturn as soon as it is there, for whoever comes by: the tests want the program alone.
if [[ " ${missing[*]} " == *" coturn "* ]] && command -v systemctl >/dev/null; then
  echo "Masking coturn.service, which Debian would start: systemctl unmask coturn takes that back."
  "${as_root[@]}" systemctl mask coturn.service
fi
"${as_root[@]}" apt-get update --quiet
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install --yes --quiet --no-install-recommends --no-remove "${missing[@]}" || {
  echo "Nothing is removed from this machine for these packages. If that is what stands in the way: Debian's rustc-web and" >&2
  echo "cargo-web take the place of its rustc, cargo and rustup. Remove those yourself, or install a newer Rust (https://rustup.rs)." >&2
  exit 1
}
