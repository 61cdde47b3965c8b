//! Streams to test, made when they are needed, and GStreamer as the judge of what comes out.

#![allow(dead_code)] // each test program uses its part
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use bytes::Bytes;
use edge_broadcaster::clock::Clock;
use edge_broadcaster::config::{Config, StreamConfig};
use edge_broadcaster::source::{self, Running, SourceEvent};
use gst::prelude::*;
use gst_video::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use protocol::container::{TrackFormat, Writer};
use protocol::media::{EncodedFrame, Track};

/// The configuration of one stream, as a file would say it.
pub(crate) fn stream(source: &str, video: &str) -> StreamConfig {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broadcaster.toml");
    let text =
        format!("[[stream]]\nname = \"tested\"\nsource = {source}\n[stream.video]\n{video}\n");
    std::fs::write(&path, text).unwrap();
    Config::load(path)
        .expect("a valid configuration")
        .streams
        .remove(0)
}

/// Starts a source.
pub(crate) async fn start(source: &str, video: &str) -> anyhow::Result<Running> {
    source::start(&stream(source, video), Clock::start()).await
}

/// What a source gave.
pub(crate) struct Played {
    pub(crate) tracks: Vec<TrackFormat>,
    pub(crate) frames: Vec<(Track, EncodedFrame)>,
    pub(crate) ended: bool,
}

/// Runs a source for `ms` milliseconds of media, or to its end.
pub(crate) async fn play(source: &str, video: &str, ms: u64) -> anyhow::Result<Played> {
    let mut running = start(source, video).await?;
    let mut played = Played {
        tracks: running.tracks.clone(),
        frames: Vec::new(),
        ended: false,
    };
    loop {
        match running.frames.recv().await {
            Some(SourceEvent::Frame(_, frame)) if frame.media_us >= ms * 1000 => break,
            Some(SourceEvent::Frame(track, frame)) => played.frames.push((track, frame)),
            Some(SourceEvent::Anew(format)) => panic!("the encoder was replaced by {format:?}"),
            Some(SourceEvent::Failed(error)) => return Err(error),
            Some(SourceEvent::Ended) | None => {
                played.ended = true;
                break;
            }
        }
    }
    running.stop().await;
    Ok(played)
}

impl Played {
    /// The frames of one track.
    pub(crate) fn of(&self, track: Track) -> impl Iterator<Item = &EncodedFrame> {
        self.frames
            .iter()
            .filter(move |(t, _)| *t == track)
            .map(|(_, frame)| frame)
    }

    /// One track as a viewer is sent it.
    pub(crate) fn sent(&self, track: Track) -> Vec<u8> {
        let format = self
            .tracks
            .iter()
            .find(|t| t.track() == track)
            .expect("the track is there");
        let mut writer = Writer::new(format.clone());
        let mut bytes = writer.init().to_vec();
        for frame in self.of(track) {
            bytes.extend_from_slice(&writer.write(frame).container);
        }
        bytes
    }
}

/// A decoded picture's brightness.
pub(crate) struct Picture {
    pub(crate) luma: Vec<u8>,
    pub(crate) stride: usize,
}

/// Decodes VP8 in WebM.
pub(crate) fn decode_luma(webm: &[u8]) -> Vec<Picture> {
    decode_by("matroskademux ! vp8dec", webm)
}

/// Decodes H.264 in MP4.
pub(crate) fn decode_mp4_luma(mp4: &[u8]) -> Vec<Picture> {
    decode_by("qtdemux ! h264parse ! openh264dec", mp4)
}

fn decode_by(elements: &str, bytes: &[u8]) -> Vec<Picture> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let line = format!(
        "filesrc location={} ! {elements} ! videoconvert \
         ! video/x-raw,format=I420 ! appsink name=out sync=false",
        file.path().display()
    );
    let picture = |sample: &gst::Sample| {
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let frame =
            gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info)
                .unwrap();
        Picture {
            luma: frame.plane_data(0).unwrap().to_vec(),
            stride: frame.plane_stride()[0].unsigned_abs() as usize,
        }
    };
    run(&line, picture)
}

/// The frames that GStreamer finds in WebM of one track, without headers.
pub(crate) fn read_back(webm: &[u8]) -> Vec<Bytes> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), webm).unwrap();
    let line = format!(
        "filesrc location={} ! matroskademux ! appsink name=out sync=false",
        file.path().display()
    );
    without_headers(run(&line, bytes_of))
}

fn bytes_of(sample: &gst::Sample) -> Bytes {
    Bytes::copy_from_slice(&sample.buffer().unwrap().map_readable().unwrap())
}

/// Vorbis' three headers come out of the demuxer too.
fn without_headers(mut packets: Vec<Bytes>) -> Vec<Bytes> {
    if packets
        .first()
        .is_some_and(|first| first.starts_with(b"\x01vorbis"))
    {
        packets.drain(..3);
    }
    packets
}

/// Runs a pipeline to its end and gives what its sink, named `out`, got.
fn run<T>(line: &str, mut each: impl FnMut(&gst::Sample) -> T) -> Vec<T> {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(line)
        .expect(line)
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = pipeline
        .by_name("out")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).expect(line);
    let mut taken = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        taken.push(each(&sample));
    }
    pipeline.set_state(gst::State::Null).unwrap();
    taken
}

/// A file of about one second, in a directory of its own.
pub(crate) struct Sample {
    directory: tempfile::TempDir,
}

impl Sample {
    /// A WebM file by GStreamer's own muxer.
    pub(crate) fn make(video: Option<&str>, audio: Option<&str>) -> Self {
        Self::make_with("webmmux", video, audio)
    }

    pub(crate) fn make_with(muxer: &str, video: Option<&str>, audio: Option<&str>) -> Self {
        gst::init().unwrap();
        let sample = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let mut line = format!(
            "{muxer} name=mux ! filesink location={}",
            sample.path().display()
        );
        if let Some(encoder) = video {
            line += &format!(
                " videotestsrc num-buffers=25 pattern=ball ! video/x-raw,width=160,height=120,framerate=25/1 \
                 ! {encoder} ! queue ! mux."
            );
        }
        if let Some(encoder) = audio {
            line += &format!(
                " audiotestsrc num-buffers=44 ! audio/x-raw,rate=48000,channels=2 ! audioconvert ! {encoder} \
                 ! queue ! mux."
            );
        }
        let pipeline = gst::parse::launch(&line).expect(&line);
        pipeline.set_state(gst::State::Playing).expect(&line);
        let bus = pipeline.bus().unwrap();
        let end = bus.timed_pop_filtered(None, &[gst::MessageType::Eos, gst::MessageType::Error]);
        assert!(
            matches!(end.unwrap().view(), gst::MessageView::Eos(_)),
            "{line}"
        );
        pipeline.set_state(gst::State::Null).unwrap();
        sample
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    /// A file of these bytes.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let sample = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        std::fs::write(sample.path(), bytes).unwrap();
        sample
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("sample.webm")
    }

    /// How the configuration names it.
    pub(crate) fn source(&self, repeat: bool) -> String {
        format!(
            "{{ kind = \"file\", path = {:?}, loop = {repeat} }}",
            self.path()
        )
    }

    /// Keeps the first `percent` of the file.
    pub(crate) fn cut_to(&self, percent: usize) {
        let bytes = std::fs::read(self.path()).unwrap();
        std::fs::write(self.path(), &bytes[..bytes.len() * percent / 100]).unwrap();
    }

    /// Overwrites what follows the first `percent` with noise.
    pub(crate) fn spoil_after(&self, percent: usize) {
        let mut bytes = std::fs::read(self.path()).unwrap();
        let from = bytes.len() * percent / 100;
        let mut noise = 1_u32;
        for byte in &mut bytes[from..] {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (noise >> 24) as u8;
        }
        std::fs::write(self.path(), bytes).unwrap();
    }

    /// The packets of one track, straight from the demuxer.
    pub(crate) fn packets(&self, track: Track) -> Vec<Bytes> {
        let pad = match track {
            Track::Video => "video_0",
            Track::Audio => "audio_0",
        };
        let line = format!(
            "filesrc location={} ! matroskademux name=d d.{pad} ! appsink name=out sync=false",
            self.path().display()
        );
        without_headers(run(&line, bytes_of))
    }
}
