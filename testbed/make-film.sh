#!/bin/sh
# Makes a film like the one of the paper's Table I: VP8 1920x1080 at 29.97 frames/s and Vorbis 44.1 kHz
# stereo, 1159 kbit/s in all, a key frame each second. A moving test pattern stands in for the picture:
# encoders keep the rate whatever is shown.
#
#   testbed/make-film.sh OUT.webm SECONDS
#
# The paper's film lasts some minutes; 70 s are enough for a run of 60 s. Encoding takes about as long as
# the film on two cores. Needs gstreamer1.0-tools, -plugins-base and -plugins-good.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 OUT.webm SECONDS" >&2
    exit 2
fi
out=$1
seconds=$2

# 1159 kbit/s is the paper's; 128 of it for sound, some 9 for the container (guesses).
video_bps=1022000
audio_bps=128000

frames=$((seconds * 30000 / 1001))
# audiotestsrc makes 1024 samples a buffer.
buffers=$((seconds * 44100 / 1024))

gst-launch-1.0 -q \
    webmmux name=mux ! filesink location="$out" \
    videotestsrc num-buffers="$frames" pattern=zone-plate kx2=4 ky2=4 kt=1 \
    ! video/x-raw,format=I420,width=1920,height=1080,framerate=30000/1001 \
    ! vp8enc deadline=1 cpu-used=8 threads=1 end-usage=cbr \
        target-bitrate="$video_bps" keyframe-max-dist=30 keyframe-mode=auto \
    ! queue max-size-time=3000000000 max-size-bytes=0 max-size-buffers=0 ! mux. \
    audiotestsrc num-buffers="$buffers" wave=pink-noise volume=0.1 \
    ! audio/x-raw,rate=44100,channels=2 ! audioconvert \
    ! vorbisenc bitrate="$audio_bps" managed=true \
    ! queue max-size-time=3000000000 max-size-bytes=0 max-size-buffers=0 ! mux.
