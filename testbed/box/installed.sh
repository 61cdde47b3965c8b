# Sourced after container.sh: `installed` prints the folder that our packages add to a clean Debian, made anew when they
# are others. apt brings what they depend on, so it is apt that finds out whether that is right.
installed() {
  local packages debian key layer
  packages=("$source_dir"/target/deb/ownstream-*_"$(dpkg --print-architecture)".deb)
  [ -e "${packages[0]}" ] || die "no packages in target/deb: make deb"
  debian=$(debian)
  key=$(sha256sum "${packages[@]}" | sha256sum | cut -c1-12)
  layer=/var/tmp/ownstream-installed-$key
  [ ! -d "$layer" ] || { echo "$layer"; return; }
  rm -rf --one-file-system /var/tmp/ownstream-installed-*
  lay "$machine/new" "$debian"
  mkdir -p "$machine/new/root/packages"
  cp "${packages[@]}" "$machine/new/root/packages/"
  in_chroot "$machine/new/root" sh -c '
    apt-get update -q && apt-get install --yes -q --no-install-recommends /packages/*.deb && rm -rf /packages /var/lib/apt/lists
  ' >"$machine/apt.log" 2>&1 || { tail -n 30 "$machine/apt.log" >&2; die "apt cannot install the packages"; }
  umount "$machine/new/root"
  mv "$machine/new/upper" "$layer"
  echo "$layer"
}

in_chroot() { # ROOT COMMAND…
  unshare --mount --pid --fork bash -euc '
    root=$1; shift
    mount -t proc proc "$root/proc"
    mount --bind /dev "$root/dev"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    exec chroot "$root" env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
  ' chroot "$@"
}
