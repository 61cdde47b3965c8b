#!/bin/bash
# Makes the image of an SD card from Debian and our packages, into target/image, with its checksum.
# usage: image/build.sh BOARD       as root, after `make deb ARCH=arm64` as oneself; `make image` does both as root.
#                                   BOARD: rpi (Raspberry Pi 3, 4)
#        OUT=… COMPRESS=no          into another folder, and the image alone: for a test. Compressing takes the most time
#        MIRROR=… SUITE=…           Debian from elsewhere than this machine's own sources say
#        KERNEL_SOURCES='deb …' KERNEL=linux-image-…    another kernel than Debian's, from those sources: the board
#                                   vendor's, which encodes H.264 in hardware. Not tried.
set -euo pipefail
cd "$(dirname "$0")/.."
board=${1:?usage: image/build.sh BOARD}
[ "$board" = rpi ] || { echo "image: BOARD=$board is not rpi, the only one there is" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "image: root alone can make a root file system: sudo image/build.sh $board" >&2; exit 1; }
say() { printf 'image: %3d s  %s\n' $SECONDS "$*"; }

# Sizes in MiB. The slot for a second system is as large as the first one; updates will use it.
firmware_mib=128
root_mib=900
data_mib=64 # grown at the first start
disk_id=6f776e73 # "owns": what fstab and the kernel's command line name partitions by

shopt -s nullglob
packages=(target/deb/ownstream-*_arm64.deb)
[ ${#packages[@]} -eq 3 ] || {
  echo "image: the three packages for arm64 are to be in target/deb, and ${#packages[@]} are: make deb ARCH=arm64" >&2
  exit 1
}

tools/deps.sh box image
say "a Debian for the board, from its packages or as it was made before"
mapfile -t wanted < <(tools/packages.sh "image-$board" | sed "s/^linux-image-arm64\$/${KERNEL:-linux-image-arm64}/")
base=$(COMPONENTS="main non-free-firmware" EXTRA_SOURCES="${KERNEL_SOURCES-}" EARLY=$PWD/image/initramfs.sh \
  tools/debian-root.sh "$board" arm64 "${wanted[@]}")
say "it has Debian's packages of $(date --reference="$base/var/lib/dpkg/status" +%F); for today's: rm -rf --one-file-system $base"

work=$(mktemp -d /var/tmp/ownstream-image.XXXXXX)
root=$work/root
trap 'if mountpoint --quiet "$root"; then umount --recursive "$root"; fi; rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' INT TERM
mkdir "$root" "$work/upper" "$work/work"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" "$root"

# A mount namespace of its own: the binds are gone with it, whatever happens.
in_root() { # COMMAND…
  unshare --mount bash -euc '
    root=$1; shift
    mount -t proc proc "$root/proc"
    mount --bind /dev "$root/dev"
    exec chroot "$root" env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
  ' in_root "$root" "$@"
}

say "installing ${packages[*]##*/}"
mkdir "$root/packages"
cp "${packages[@]}" "$root/packages/"
in_root sh -c 'dpkg --install /packages/*.deb' >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log" >&2; exit 1; }
rm -r "$root/packages"

# --- What the system is.
install -D -m 755 -t "$root/usr/lib/ownstream" image/files/{data,settings,join}
cp -r image/files/system/. "$root/etc/systemd/system/"
install -D -m 644 -t "$root/etc/systemd/network" image/files/network/*
install -D -m 644 image/files/fstab "$root/etc/fstab"
install -D -m 644 systemd/hardware-watchdog.conf "$root/etc/systemd/system.conf.d/ownstream.conf"
for part in journald timesyncd resolved; do
  install -D -m 644 "image/files/$part.conf" "$root/etc/systemd/$part.conf.d/ownstream.conf"
done
install -D -m 644 image/files/sshd.conf "$root/etc/ssh/sshd_config.d/ownstream.conf"
install -D -m 644 image/files/wifi.rules "$root/etc/udev/rules.d/70-ownstream-wifi.rules"
mkdir -p "$root/data" "$root/boot/firmware"
echo ownstream >"$root/etc/hostname"
ln -sf /run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
: >"$root/etc/machine-id" # a new one at each start; nothing that lasts is named by it
ln -sf /etc/machine-id "$root/var/lib/dbus/machine-id"
in_root passwd --lock root >/dev/null
in_root systemctl --quiet enable systemd-networkd systemd-resolved systemd-timesyncd ssh \
  ownstream-settings ownstream-join
# What would write to the card by the clock, or looks after what is read-only.
in_root systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  e2scrub_reap.service fstrim.timer systemd-update-utmp.service systemd-remount-fs.service systemd-machine-id-commit.service wpa_supplicant.service

# --- What it does not need: keys of this machine's making, lists, what no camera box has.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/ownstream/{relay,broadcaster}.toml
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root/usr/share/doc-base" "$root/usr/share/info"
# Of the plugins beside H.264's each would be looked into at the first start, which takes the board long; and what they need
# and nobody else here does, drivers of screens above all.
in_root dpkg --listfiles gstreamer1.0-plugins-bad | grep '\.so$' | grep -vE '/libgst(videoparsersbad|openh264|v4l2codecs)\.so$' |
  sed "s|^|$root|" | xargs rm -f
libraries=$root/usr/lib/aarch64-linux-gnu
rm -rf "${libraries:?}"/{dri,libLLVM-*,libz3.so*,libflite*,libcodec2.so*} "$root"/usr/share/{icons,iso-codes,sounds}
modules=("$root"/usr/lib/modules/*/kernel)
version=$(basename "$(dirname "${modules[0]}")")
for unused in drivers/gpu/drm/{amd,nouveau,radeon,msm,i915,xe,etnaviv,tegra,exynos,hisilicon,rockchip,mediatek,meson,sun4i} \
  drivers/infiniband drivers/scsi drivers/net/ethernet/{mellanox,intel,chelsio,qlogic,broadcom/bnx2x,cavium,netronome,emulex,sfc} \
  drivers/net/wireless/{intel,marvell,mediatek,ralink,realtek,ath,ti} drivers/media/{dvb-frontends,tuners,pci,usb/dvb-usb,usb/dvb-usb-v2} \
  drivers/iio drivers/staging fs/{ocfs2,xfs,btrfs,gfs2,ceph,smb,nfs,nfsd,jfs,reiserfs,ubifs,f2fs,orangefs,afs,9p} net/{sctp,rds,tipc}; do
  rm -rf "${modules[0]:?}/$unused"
done
in_root depmod "$version"
touch "$root"/{etc,var}/.updated # no first start of systemd's: what it would bring up to date is new
# A board has no clock: it wakes at this moment, and not when systemd was made, until the network tells the time.
touch "$root/usr/lib/clock-epoch"

say "the file systems"
# --- The FAT partition: what the board's boot program reads, and the settings.
firmware=$work/firmware
mkdir "$firmware"
cp -rL "$root"/usr/lib/raspi-firmware/. "$firmware/"
cp "$root/boot/vmlinuz-$version" "$firmware/vmlinuz"
cp "$root/boot/initrd.img-$version" "$firmware/initrd.img"
cp "$root/usr/lib/linux-image-$version"/broadcom/bcm27*.dtb "$root/usr/lib/linux-image-$version"/broadcom/bcm283[67]*.dtb "$firmware/"
rm -rf "$root"/boot/{vmlinuz,initrd.img}-* "$root"/usr/lib/raspi-firmware
cat >"$firmware/config.txt" <<TEXT
arm_64bit=1
enable_uart=1
upstream_kernel=1
kernel=vmlinuz
initramfs initrd.img
TEXT
echo "console=ttyS1,115200 console=tty0 root=PARTUUID=$disk_id-02 ro rootwait panic=10 quiet" >"$firmware/cmdline.txt"
for text in ownstream.txt ownstream-reset.txt; do # so that Windows' editor shows lines
  sed 's/$/\r/' "image/$text" >"$firmware/$text"
done

# --- The card.
folder=${OUT:-target/image}
theirs() { # FILE…: belongs to whoever called by sudo, who could not remove it else
  [ -z "${SUDO_UID-}" ] || chown "$SUDO_UID:$SUDO_GID" "$@"
}
[ -d "$folder" ] || { mkdir -p "$folder"; theirs "$folder"; }
card=$folder/ownstream-$board.img
rm -f "$card"* "$work"/*.img
truncate -s ${firmware_mib}M "$work/firmware.img"
mkfs.vfat -F 32 -n OWNSTREAM "$work/firmware.img" >/dev/null
mcopy -s -i "$work/firmware.img" "$firmware"/* ::
truncate -s ${root_mib}M "$work/root.img"
mke2fs -q -t ext4 -L root -m 0 -O ^has_journal -d "$root" "$work/root.img"

second=$((4 + firmware_mib + root_mib))
truncate -s $((second + root_mib + data_mib))M "$card"
sfdisk --quiet "$card" <<TABLE
label: dos
label-id: 0x$disk_id
start=4MiB, size=${firmware_mib}MiB, type=c, bootable
start=$((4 + firmware_mib))MiB, size=${root_mib}MiB, type=83
start=${second}MiB, size=${root_mib}MiB, type=83
start=$((second + root_mib))MiB, size=${data_mib}MiB, type=83
TABLE
dd if="$work/firmware.img" of="$card" bs=1M seek=4 conv=notrunc,sparse status=none
dd if="$work/root.img" of="$card" bs=1M seek=$((4 + firmware_mib)) conv=notrunc,sparse status=none
truncate -s ${second}M "$card" # the last two are empty: the file ends before them, the table does not

if [ "${COMPRESS-}" != no ]; then
  say "compressing $(du -h "$card" | cut -f1)"
  xz --threads=0 --keep -4 "$card"
fi
made=("$card"*)
(cd "$folder" && sha256sum "${made[@]##*/}" >"ownstream-$board.img.sha256")
theirs "$card"*

# --- What was promised: 1.2 GB, compressed 300 MB.
limit() { # FILE BYTES
  [ "$(stat --format=%s "$1")" -le "$2" ] || { echo "image: $1 has $(stat --format=%s "$1") bytes, more than $2" >&2; exit 1; }
}
limit "$card" 1200000000
[ ! -e "$card.xz" ] || limit "$card.xz" 300000000
full=$(dumpe2fs -h "$work/root.img" 2>/dev/null | awk '/^Block count/ {c=$3} /^Free blocks/ {f=$3} END {printf "%d", 100 * (c - f) / c}')
say "$card: $(($(stat --format=%s "$card") / 1000000)) MB of 1200, its root $full % full"
[ -e "$card.xz" ] || exit 0
say "$card.xz: $(($(stat --format=%s "$card.xz") / 1000000)) MB of 300"
echo "Write it onto a card with Raspberry Pi Imager, balenaEtcher, or: xzcat $card.xz | sudo dd of=/dev/YOUR-CARD bs=4M conv=fsync"
