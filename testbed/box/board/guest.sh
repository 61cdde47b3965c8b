#!/bin/bash
# Makes the emulated board that the device tests run on: Debian for aarch64 with its own kernel, drivers and GStreamer.
# usage: testbed/box/board/guest.sh           prints the folder with kernel, initrd and disk
#
# Made once, below ~/.cache/ownstream-edge, and again when this recipe or the Debian sources change. The packages are
# unpacked and not configured: nothing of the other processor has to run here, and nothing in the guest needs it.
set -euo pipefail
cd "$(dirname "$0")"
repository=$(cd ../../.. && pwd)

packages=(
  linux-image-arm64 busybox-static kmod                              # to start
  v4l-utils alsa-utils                                               # to make cameras and microphones misbehave
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-alsa gstreamer1.0-tools libasound2 libasound2-data
)
# For H.264: what it needs of these packages, without the eighty that they need for the rest.
alone=(gstreamer1.0-plugins-bad libgstreamer-plugins-bad1.0-0 libopenh264-7)
of_them=("'*libgstopenh264.so'" "'*libgstvideoparsersbad.so'" "'*libgstcodecparsers-1.0.so*'" "'*libopenh264.so*'")
# Modules to reach the disk with; all others are loaded from it.
early=(virtio_pci virtio_mmio virtio_blk ext4 crc32c_generic)

suite=${SUITE:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
sources=$("$repository/tools/apt-sources.sh")
guest=${XDG_CACHE_HOME:-$HOME/.cache}/ownstream-edge/guest-arm64
made_of=$(cat guest.sh init.sh - <<<"$suite $sources" | sha256sum)
if [ "$(cat "$guest/made-of" 2>/dev/null)" = "$made_of" ]; then
  echo "$guest"
  exit
fi

echo "Making the emulated board in $guest, once: some 250 MB of packages" >&2
rm -rf --one-file-system "$guest"
mkdir -p "$guest"
root=$guest/root
mmdebstrap --quiet --variant=extract --mode=root --architectures=arm64 \
  --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --extract-hook="cd \"\$1/tmp\" && APT_CONFIG=\$MMDEBSTRAP_APT_CONFIG apt-get download ${alone[*]} >/dev/null \
    && for deb in *.deb; do dpkg-deb --fsys-tarfile \$deb >one.tar; tar -C \"\$1\" -xf one.tar --wildcards ${of_them[*]} 2>/dev/null || true; done \
    && rm *.deb one.tar" \
  --include="$(IFS=,; echo "${packages[*]}")" "$suite" "$root" - <<<"$sources" >&2

version=$(ls "$root/lib/modules")
depmod -b "$root" "$version"
install -m 755 init.sh "$root/box-init"
mkdir -p "$root"/{proc,sys,dev,mnt,tmp,run}
cp "$root/boot/vmlinuz-$version" "$guest/kernel"

# The initrd: one program and the modules for the disk.
initrd=$guest/initrd.d
mkdir -p "$initrd"/{bin,dev,proc,root,modules}
cp "$(find "$root/bin" "$root/usr/bin" -name busybox | head -1)" "$initrd/bin/busybox"
for module in "${early[@]}"; do
  modprobe -d "$root" -S "$version" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r module; do
  cp "$module" "$initrd/modules/"
  basename "$module"
done >"$initrd/modules/order"
cat >"$initrd/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do /bin/busybox insmod /modules/$module; done </modules/order
/bin/busybox mount -t ext4 /dev/vda /root || /bin/busybox sh
/bin/busybox umount /dev
exec /bin/busybox switch_root /root /box-init
INIT
chmod +x "$initrd/init"
ln -s busybox "$initrd/bin/sh"
(cd "$initrd" && find . | cpio --quiet -o -H newc | gzip -1) >"$guest/initrd"

truncate -s 1200M "$guest/disk"
mke2fs -q -t ext4 -d "$root" "$guest/disk"
rm -rf --one-file-system "$root" "$initrd"
echo "$made_of" >"$guest/made-of"
echo "$guest"
