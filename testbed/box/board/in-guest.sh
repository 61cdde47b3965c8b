#!/bin/busybox sh
# Runs inside the emulated board: real device nodes, the real broadcaster, and what happens to cameras in the field.
# In each case the broadcaster sends a stream of the case's name, which a viewer on the host records; its log lies in out/CASE.
cd /mnt
date -s "@$(cat now)" >/dev/null # certificates have a time from which they are valid
export GST_REGISTRY=/mnt/registry.bin OWNSTREAM_LOG=info
chmod +x edge-broadcaster usbcam

say() { echo "[$(cut -d' ' -f1 /proc/uptime)] $*"; }
stream() { # NAME SOURCE [VIDEO]
  printf '[[stream]]\nname = "%s"\nsource = %s\n[stream.video]\nwidth = 320\nheight = 180\nfps = 10\n%b\n' \
    "$1" "$2" "${3-encoders = [\"v4l2vp8enc\", \"vp8enc\"]}"
}
# Begins to send what stands in out/CASE/streams.
send() { # CASE
  cat settings out/$1/streams >out/$1/broadcaster.toml
  ( ./edge-broadcaster out/$1/broadcaster.toml 2>&1 &
    echo $! >out/$1/pid
    wait $!
    echo "ended with $?" ) | while read -r line; do echo "[$(cut -d' ' -f1 /proc/uptime)] $line"; done >out/$1/log &
  sender=$!
}
record() { # CASE SOURCE [VIDEO]
  mkdir -p out/$1
  stream "$@" >out/$1/streams
  send $1
}
# Waits until the log of a case says something; up to two minutes: this processor is slow.
until_said() { # CASE WORDS
  for _ in $(seq 240); do
    grep -q "$2" out/$1/log 2>/dev/null && return
    sleep 0.5
  done
  say "$1: never said: $2"
}
finish() { # CASE SECONDS: after so many
  sleep $2
  kill -TERM $(cat out/$1/pid)
  wait $sender
  say "$1: done"
}

modprobe vivid n_devs=1 node_types=0x1
modprobe snd-aloop
modprobe vhci-hcd
modprobe uvcvideo
sleep 1
say "devices: $(ls /dev/video* /dev/snd | tr '\n' ' ')"
while :; do aplay -q -D hw:Loopback,0,0 tone.wav || sleep 1; done & # until the board is turned off
say "check:"
./edge-broadcaster check 2>&1 | cut -c 1-160

# A camera that is unplugged in mid-stream and plugged in again, while the microphone goes on.
record unplug '{ kind = "camera", device = "/dev/video0", microphone = "hw:Loopback,1,0" }'
until_said unplug 'camera /dev/video0'
sleep 10
say "unplug: unbind"
echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
sleep 8
say "unplug: bind"
echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
finish unplug 15

# One that drops 30 % of its buffers: counted, and no restart.
record drops '{ kind = "camera", device = "/dev/video0", microphone = "none" }'
until_said drops 'camera /dev/video0'
v4l2-ctl -d /dev/video0 -c percentage_of_dropped_buffers=30 || say "drops: the control is not there"
finish drops 15
v4l2-ctl -d /dev/video0 -c percentage_of_dropped_buffers=0

# One that another program has, and then has no longer.
v4l2-ctl -d /dev/video0 --stream-mmap --stream-count=0 >/dev/null 2>&1 &
holder=$!
sleep 2
record busy '{ kind = "camera", device = "/dev/video0", microphone = "none" }'
until_said busy 'in use by another program'
sleep 5
say "busy: let go"
kill $holder
finish busy 15

# A USB camera that is plugged in again at another port, when its number has been taken by another camera.
./usbcam 0 CAM0001 jpg unplug-after=30 &
for _ in $(seq 100); do [ -e /dev/video1 ] && break; sleep 0.2; done
record usb '{ kind = "camera", device = "/dev/video1", microphone = "none" }' 'encoders = ["vp8enc"]\nbitrate_kbps = 500'
until_said usb 'was unplugged\|is not plugged in'
sleep 2
say "usb: another camera takes its number"
./usbcam 2 OTHER99 jpg unplug-after=60 &
other=$!
sleep 3
say "usb: plugged in again"
./usbcam 1 CAM0001 jpg unplug-after=40 &
finish usb 20
say "usb: $(ls /dev/video* | tr '\n' ' ')"
wait $other

# One that hangs without an error, comes back when it is opened again, and hangs again.
./usbcam 0 CAM0002 jpg stall-after=60 unplug-after=60 &
stalled=$!
for _ in $(seq 100); do [ -e /dev/video1 ] && break; sleep 0.2; done
record stall '{ kind = "camera", device = "/dev/video1", microphone = "none" }'
finish stall 50
wait $stalled

# One that encodes H.264 itself, which is sent as it is, and is unplugged and plugged in again.
cp jpg/* own/
./usbcam 0 CAM0003 own unplug-after=35 &
for _ in $(seq 100); do [ -e /dev/video1 ] && break; sleep 0.2; done
record own '{ kind = "camera", device = "/dev/video1", microphone = "none" }' 'encoders = ["camera", "vp8enc"]\nbitrate_kbps = 500'
until_said own 'was unplugged'
sleep 2
./usbcam 1 CAM0003 own unplug-after=60 &
other=$!
finish own 25
wait $other

# Two cameras at once, a stream each.
./usbcam 0 CAM0004 own unplug-after=60 &
other=$!
for _ in $(seq 100); do [ -e /dev/video1 ] && break; sleep 0.2; done
mkdir -p out/both
{
  stream left '{ kind = "camera", device = "/dev/video0", microphone = "hw:Loopback,1,0" }'
  stream right '{ kind = "camera", device = "/dev/video1", microphone = "none" }' 'encoders = ["camera", "vp8enc"]\nbitrate_kbps = 500'
} >out/both/streams
send both
until_said both 'camera /dev/video0'
until_said both 'camera /dev/video1'
finish both 20
wait $other

# The names that our rule has udev give: by serial number, by port where there is none. Each with the device behind it.
capturing() { ls -d /sys/devices/platform/vhci_hcd.0/usb*/*-$1/*/video4linux/video* >/dev/null 2>&1; }
./usbcam 0 CAM0005 jpg &
numbered=$!
./usbcam 1 "" jpg &
nameless=$!
for _ in $(seq 100); do capturing 1 && capturing 2 && break; sleep 0.2; done
mkdir -p /run/udev/rules.d
cp 70-ownstream-broadcaster.rules /run/udev/rules.d/
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add --subsystem-match=video4linux
udevadm settle --timeout=60
for link in /dev/ownstream/*; do
  node=$(readlink -f $link)
  device=$(readlink -f /sys/class/video4linux/${node##*/}/device)
  echo "${link##*/} ${device##*/}"
done >out/names
udevadm control --exit
kill $numbered $nameless
wait $numbered $nameless
say "names: $(tr '\n' ';' <out/names)"
say "all done"
