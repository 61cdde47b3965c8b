#!/bin/bash
# Runs FOLDER/run.sh in the emulated board, where FOLDER is /mnt, until it ends or its time is over. This machine's loopback is
# 10.0.2.2 there.
# usage: testbed/box/board/start.sh FOLDER SECONDS
set -euo pipefail
folder=$(readlink -f "${1:?a folder}")
guest=$("$(dirname "$0")/guest.sh")
# The processor is emulated, whatever runs here: the kernels' virtual machines are not to be had everywhere.
exec timeout "${2:?seconds}" qemu-system-aarch64 -M virt -cpu cortex-a72 -smp 2 -m 1024 -accel tcg,thread=multi \
  -nodefaults -display none -serial stdio -no-reboot -kernel "$guest/kernel" -initrd "$guest/initrd" \
  -append "console=ttyAMA0 quiet loglevel=3 panic=1" \
  -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= \
  -drive "file=$guest/disk,format=raw,if=virtio,snapshot=on" \
  -fsdev "local,id=share,path=$folder,security_model=none,multidevs=remap" -device virtio-9p-pci,fsdev=share,mount_tag=share
