use gstreamer_app as gst_app;
use protocol::media::Track;
use protocol::webm::Shape;

use super::*;
use crate::capture::{Pixels, VideoFormat, VideoFrame};
use crate::clock::Clock;
use crate::config::VideoConfig;
use crate::feed::{Fed, Feed};
use crate::source::SourceEvent;

const WIDTH: u32 = 320;
const HEIGHT: u32 = 180;

fn format(pixels: Pixels, stride: u32) -> VideoFormat {
    VideoFormat {
        pixels,
        width: WIDTH,
        height: HEIGHT,
        fps: 30,
        stride,
    }
}

fn started(format: &VideoFormat) -> (VideoEncoder, Fed) {
    crate::elements::init().expect("GStreamer");
    let (feed, fed) = Feed::new(Clock::start()).expect("a feed");
    let config = VideoConfig::default();
    let track = feed.track(Track::Video);
    let encoder = VideoEncoder::start(format, &config, Time::from_millis(5_000), track);
    (encoder.expect("an encoder"), fed)
}

/// One picture as a camera would send it in JPEG.
fn jpeg() -> Vec<u8> {
    let line = format!(
        "videotestsrc num-buffers=1 ! video/x-raw,width={WIDTH},height={HEIGHT} ! jpegenc ! appsink name=out"
    );
    crate::elements::init().expect("GStreamer");
    let pipeline = gst::parse::launch(&line).expect("a pipeline");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let sink = pipeline.by_name("out").expect("a sink");
    let sink = sink.downcast::<gst_app::AppSink>().expect("a sink");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let sample = sink.pull_sample().expect("a picture");
    pipeline.set_state(gst::State::Null).expect("it stops");
    let buffer = sample.buffer().expect("a buffer");
    buffer.map_readable().expect("readable").to_vec()
}

#[tokio::test]
async fn every_layout_a_camera_gives_is_encoded_with_its_capture_time() {
    // Strides wider than the picture, as drivers like them.
    let layouts = [
        (Pixels::I420, WIDTH),
        (Pixels::I420, 384),
        (Pixels::Nv12, 384),
        (Pixels::Yuyv, 2 * WIDTH + 64),
        (Pixels::Mjpeg, 0),
    ];
    for (pixels, stride) in layouts {
        let format = format(pixels, stride);
        let (mut encoder, mut fed) = started(&format);
        let data = format.size().map_or_else(jpeg, |size| vec![100; size]);
        let capture = Time::from_millis(5_040);
        encoder.push(VideoFrame { capture, data }).expect("taken");

        let track = fed.formats(1).await.expect("a format").remove(0);
        assert!(matches!(
            track.shape,
            Shape::Video {
                width: WIDTH,
                height: HEIGHT,
                ..
            }
        ));
        let Some(SourceEvent::Frame(Track::Video, frame)) = fed.events.recv().await else {
            panic!("{pixels:?}: no frame")
        };
        assert!(frame.key, "{pixels:?}");
        assert_eq!(
            (frame.capture, frame.media_us),
            (capture, 40_000),
            "{pixels:?}"
        );
    }
}

#[tokio::test]
async fn a_damaged_jpeg_costs_its_picture_and_not_the_stream() {
    let (mut encoder, mut fed) = started(&format(Pixels::Mjpeg, 0));
    let whole = jpeg();
    let pictures = [whole[..whole.len() / 8].to_vec(), vec![0; 500], whole];
    for (at, data) in (5_000..).step_by(33).zip(pictures) {
        while encoder.waiting() > 0 {
            tokio::task::yield_now().await; // the encoder loses what it is too slow for
        }
        let capture = Time::from_millis(at);
        encoder.push(VideoFrame { capture, data }).expect("taken");
    }
    loop {
        match fed.events.recv().await {
            Some(SourceEvent::Frame(_, frame)) if frame.media_us == 66_000 => break,
            Some(SourceEvent::Frame(..)) => {}
            other => panic!("the whole picture did not come: {other:?}"),
        }
    }
}
