#!/bin/sh
# Says which modules the board's initramfs gets, before the kernel is set up: all of them would take half an hour to pack
# under emulation, and a slow boot ever after.
# usage: image/initramfs.sh ROOT
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
printf 'MODULES=list\nCOMPRESS=zstd\n' >"$1/etc/initramfs-tools/conf.d/ownstream"
# File systems; the SD slots of Raspberry Pi 3 and 4.
cat >"$1/usr/share/initramfs-tools/modules.d/ownstream" <<MODULES
ext4
crc32c_generic
vfat
sdhci_iproc
bcm2835
mmc_block
bcm2835_dma
raspberrypi_hwmon
phy_generic
reset_raspberrypi
pcie_brcmstb
MODULES
