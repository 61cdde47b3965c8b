#!/bin/busybox sh
# The guest's first process: mounts what programs expect, runs /mnt/run.sh, and turns the machine off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
/bin/busybox --install -s /tmp/bin 2>/dev/null
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
mkdir -p /tmp/bin
/bin/busybox --install -s /tmp/bin
export PATH=$PATH:/tmp/bin HOME=/tmp
modprobe 9p
modprobe 9pnet_virtio
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /mnt || echo "GUEST: the shared folder does not mount"
modprobe virtio_net
ip link set lo up
ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0 && ip route add default via 10.0.2.2 # QEMU's own network
sh /mnt/run.sh
echo "GUEST: ended with $?"
sync
poweroff -f
