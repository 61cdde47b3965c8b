#!/bin/busybox sh
# Runs inside the emulated board: real device nodes, the real broadcaster, and what happens to cameras in the field.
# Each case records a stream into /mnt/out/CASE, with the broadcaster's log beside it; the host judges.
cd /mnt
export GST_REGISTRY=/mnt/registry.bin OWNSTREAM_LOG=info
chmod +x edge-broadcaster usbcam

say() { echo "[$(cut -d' ' -f1 /proc/uptime)] $*"; }
# Begins to record a stream of so many seconds.
record() { # CASE SECONDS SOURCE [VIDEO]
  mkdir -p out/$1
  printf '[[stream]]\nname = "%s"\nsource = %s\n[stream.video]\nwidth = 320\nheight = 180\nfps = 10\n%b\n' \
    "$1" "$3" "${4-encoders = [\"v4l2vp8enc\", \"vp8enc\"]}" >out/$1/broadcaster.toml
  ( ./edge-broadcaster dump out/$1/broadcaster.toml --seconds $2 --out out/$1 2>&1
    echo "ended with $?" ) | while read -r line; do echo "[$(cut -d' ' -f1 /proc/uptime)] $line"; done >out/$1/log &
  recorder=$!
}
# Waits until the log of a case says something; up to two minutes: this processor is slow.
until_said() { # CASE WORDS
  for _ in $(seq 240); do
    grep -q "$2" out/$1/log 2>/dev/null && return
    sleep 0.5
  done
  say "$1: never said: $2"
}
finish() { wait $recorder; say "$1: done"; }

modprobe vivid n_devs=1 node_types=0x1
modprobe snd-aloop
modprobe vhci-hcd
modprobe uvcvideo
sleep 1
say "devices: $(ls /dev/video* /dev/snd | tr '\n' ' ')"
aplay -q -D hw:Loopback,0,0 tone.wav &
say "check:"
./edge-broadcaster check 2>&1 | cut -c 1-160

# A camera that is unplugged in mid-stream and plugged in again, while the microphone goes on.
record unplug 40 '{ kind = "camera", device = "/dev/video0", microphone = "hw:Loopback,1,0" }'
until_said unplug 'camera /dev/video0'
sleep 10
say "unplug: unbind"
echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
sleep 8
say "unplug: bind"
echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
finish unplug

# One that drops 30 % of its buffers: counted, and no restart.
record drops 20 '{ kind = "camera", device = "/dev/video0", microphone = "none" }'
until_said drops 'camera /dev/video0'
v4l2-ctl -d /dev/video0 -c percentage_of_dropped_buffers=30 || say "drops: the control is not there"
finish drops
v4l2-ctl -d /dev/video0 -c percentage_of_dropped_buffers=0

# One that another program has, and then has no longer.
v4l2-ctl -d /dev/video0 --stream-mmap --stream-count=0 >/dev/null 2>&1 &
holder=$!
sleep 2
record busy 25 '{ kind = "camera", device = "/dev/video0", microphone = "none" }'
until_said busy 'in use by another program'
sleep 5
say "busy: let go"
kill $holder
finish busy

# A USB camera that is plugged in again at another port, when its number has been taken by another camera.
./usbcam 0 CAM0001 jpg unplug-after=25 &
for _ in $(seq 100); do [ -e /dev/video1 ] && break; sleep 0.2; done
record usb 60 '{ kind = "camera", device = "/dev/video1", microphone = "none" }' 'encoders = ["vp8enc"]\nbitrate_kbps = 500'
until_said usb 'was unplugged\|is not plugged in'
sleep 2
say "usb: another camera takes its number"
./usbcam 2 OTHER99 jpg unplug-after=60 &
other=$!
sleep 3
say "usb: plugged in again"
./usbcam 1 CAM0001 jpg unplug-after=40 &
finish usb
say "usb: $(ls /dev/video* | tr '\n' ' ')"
wait $other

# One that hangs without an error, comes back when it is opened again, and hangs again.
./usbcam 0 CAM0002 jpg stall-after=60 unplug-after=70 &
stalled=$!
for _ in $(seq 100); do [ -e /dev/video1 ] && break; sleep 0.2; done
record stall 40 '{ kind = "camera", device = "/dev/video1", microphone = "none" }'
finish stall

wait $stalled

# One that encodes H.264 itself, which is sent as it is, and is unplugged and plugged in again.
cp jpg/* own/
./usbcam 0 CAM0003 own unplug-after=35 &
for _ in $(seq 100); do [ -e /dev/video1 ] && break; sleep 0.2; done
record own 60 '{ kind = "camera", device = "/dev/video1", microphone = "none" }' 'encoders = ["camera", "vp8enc"]\nbitrate_kbps = 500'
until_said own 'was unplugged'
sleep 2
./usbcam 1 CAM0003 own unplug-after=60 &
other=$!
finish own
wait $other
say "all done"
