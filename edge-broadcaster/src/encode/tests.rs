use std::time::Duration;

use gstreamer_app as gst_app;
use protocol::container::Shape;
use protocol::media::Track;

use super::*;
use crate::capture::{Pixels, VideoFormat, VideoFrame};
use crate::clock::Clock;
use crate::config::{Rotation, VideoConfig};
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

/// A way from a camera's pictures to encoded ones of the usual size.
fn started(from: &VideoFormat) -> (Converter, Fed) {
    crate::elements::init().expect("GStreamer");
    let (feed, fed) = Feed::new(Clock::start()).expect("a feed");
    let (config, to) = (VideoConfig::default(), format(Pixels::I420, WIDTH));
    let origin = Time::from_millis(5_000);
    let encoder = Ladder::start(&to, &config, origin, &feed);
    let mut encoder = encoder.expect("an encoder");
    let take = move |capture, picture| encoder.push(capture, picture).expect("taken");
    let converter = Converter::start(from, &to, Rotation::None, origin, take);
    (converter.expect("a converter"), fed)
}

/// What a pipeline without its end gives until it ends.
fn made(line: &str) -> Vec<Vec<u8>> {
    crate::elements::init().expect("GStreamer");
    let line = format!("{line} ! appsink name=out sync=false");
    let pipeline = gst::parse::launch(&line).expect("a pipeline");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let sink = pipeline.by_name("out").expect("a sink");
    let sink = sink.downcast::<gst_app::AppSink>().expect("a sink");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let mut all = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().expect("a buffer");
        all.push(buffer.map_readable().expect("readable").to_vec());
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    all
}

/// One picture as a camera would send it in JPEG.
fn jpeg() -> Vec<u8> {
    let size = format!("video/x-raw,width={WIDTH},height={HEIGHT}");
    made(&format!("videotestsrc num-buffers=1 ! {size} ! jpegenc")).remove(0)
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
        let (converter, mut fed) = started(&format);
        let data = format.size().map_or_else(jpeg, |size| vec![100; size]);
        let capture = Time::from_millis(5_040);
        converter.push(VideoFrame { capture, data }).expect("taken");

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

/// Bytes that two seconds of a restless picture come to, as this encoder is set.
async fn bytes_of_two_seconds(encoder: &mut VideoEncoder, fed: &mut Fed, from: u64) -> usize {
    let to = format(Pixels::I420, WIDTH);
    let (mut chance, mut bytes) = (1_u32, 0);
    for n in from..from + 60 {
        let mut noise = || {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (chance >> 24) as u8 / 4
        };
        let data = (0..to.size().expect("a size")).map(|_| noise()).collect();
        let picture = described(&to, data).expect("a picture");
        let capture = Time::from_micros(5_000_000 + n * 33_333);
        while encoder.waiting() > 0 {
            tokio::task::yield_now().await;
        }
        encoder.push(capture, picture).expect("taken");
        while let Ok(event) = fed.events.try_recv() {
            let SourceEvent::Frame(_, frame) = event else {
                panic!("{event:?}")
            };
            bytes += frame.data.len();
        }
    }
    bytes
}

#[tokio::test]
async fn vp8_in_software_follows_the_rate_while_it_works() {
    crate::elements::init().expect("GStreamer");
    let config = VideoConfig {
        bitrate_kbps: 4_000,
        ..VideoConfig::default()
    };
    let (feed, mut fed) = Feed::new(Clock::start()).expect("a feed");
    let (rung, to) = (rungs::Rung::named("vp8enc"), format(Pixels::I420, WIDTH));
    let (rung, track) = (rung.expect("known"), feed.track(Track::Video));
    let origin = Time::from_millis(5_000);
    let encoder = VideoEncoder::start(rung, &to, &to, &config, 4_000, origin, track);
    let mut encoder = encoder.expect("it starts");
    let much = bytes_of_two_seconds(&mut encoder, &mut fed, 0).await;
    assert!(encoder.set_rate(500));
    bytes_of_two_seconds(&mut encoder, &mut fed, 60).await; // it changes in its own time
    let little = bytes_of_two_seconds(&mut encoder, &mut fed, 120).await;
    assert!(2 * little < much, "{much} bytes, then {little}");
}

#[tokio::test]
async fn an_encoder_of_h264_begins_anew_for_less_and_only_for_much_more() {
    crate::elements::init().expect("GStreamer");
    let config = VideoConfig {
        bitrate_kbps: 2_000,
        encoders: vec!["openh264enc".to_owned()].try_into().expect("known"),
        ..VideoConfig::default()
    };
    let (feed, mut fed) = Feed::new(Clock::start()).expect("a feed");
    let to = format(Pixels::I420, WIDTH);
    let mut ladder = Ladder::start(&to, &config, Time::ZERO, &feed).expect("an encoder");
    let mut pictures = 0_u64;
    let mut epochs = async |kbps| {
        feed.wish().set(kbps);
        let mut begun = 0;
        for _ in 0..5 {
            let data = vec![100; to.size().expect("a size")];
            let picture = described(&to, data).expect("a picture");
            pictures += 1;
            let capture = Time::from_millis(pictures * 40);
            ladder.push(capture, picture).expect("taken");
            // Where the machine has no time for a picture none comes.
            loop {
                match tokio::time::timeout(Duration::from_secs(1), fed.events.recv()).await {
                    Ok(Some(SourceEvent::Anew(..))) => begun += 1,
                    Ok(Some(SourceEvent::Frame(..))) | Err(_) => break,
                    Ok(other) => panic!("no frame: {other:?}"),
                }
            }
        }
        begun
    };
    assert_eq!(epochs(2_000).await, 0);
    assert_eq!(epochs(1_000).await, 1, "less");
    assert_eq!(epochs(1_250).await, 0, "a little more");
    assert_eq!(epochs(1_563).await, 1, "much more");
    assert_eq!(epochs(2_000).await, 1, "all there is to have");
}

#[tokio::test]
async fn a_damaged_jpeg_costs_its_picture_and_not_the_stream() {
    let (converter, mut fed) = started(&format(Pixels::Mjpeg, 0));
    let whole = jpeg();
    let pictures = [whole[..whole.len() / 8].to_vec(), vec![0; 500], whole];
    for (at, data) in (5_000..).step_by(33).zip(pictures) {
        while converter.waiting() > 0 {
            tokio::task::yield_now().await; // the converter loses what it is too slow for
        }
        let capture = Time::from_millis(at);
        converter.push(VideoFrame { capture, data }).expect("taken");
    }
    loop {
        match fed.events.recv().await {
            Some(SourceEvent::Frame(_, frame)) if frame.media_us == 66_000 => break,
            Some(SourceEvent::Frame(..)) => {}
            other => panic!("the whole picture did not come: {other:?}"),
        }
    }
}

/// One picture after conversion to the usual size.
fn converted(from: &VideoFormat, rotation: Rotation, data: Vec<u8>) -> Vec<u8> {
    crate::elements::init().expect("GStreamer");
    let (send, pictures) = std::sync::mpsc::channel();
    let to = format(Pixels::I420, WIDTH);
    let take = move |capture, picture| send.send((capture, picture)).expect("received");
    let converter = Converter::start(from, &to, rotation, Time::ZERO, take).expect("a converter");
    let capture = Time::from_millis(40);
    assert!(converter.push(VideoFrame { capture, data }).expect("taken"));
    let (at, picture): (Time, gst::Buffer) = pictures.recv().expect("a picture");
    assert_eq!(at, capture);
    let data = picture.map_readable().expect("readable").to_vec();
    assert_eq!(data.len(), (WIDTH * HEIGHT * 3 / 2) as usize);
    data
}

#[test]
fn a_camera_of_other_proportions_is_shown_between_bars_in_the_size_the_stream_has() {
    let narrow = VideoFormat {
        width: 160,
        height: 120,
        ..format(Pixels::Yuyv, 320)
    };
    let data = converted(&narrow, Rotation::None, vec![200; 320 * 120]);
    // 4:3 in 16:9 of 180 rows is 240 columns wide: 40 are black on either side.
    let row = &data[WIDTH as usize * 90..][..WIDTH as usize];
    assert!(row[..36].iter().all(|&p| p == 16), "{row:?}");
    assert!(row[44..276].iter().all(|&p| p > 150), "{row:?}");
    assert!(row[284..].iter().all(|&p| p == 16), "{row:?}");
}

#[test]
fn a_picture_is_turned_as_the_configuration_says() {
    let size = (WIDTH * HEIGHT) as usize;
    // White above, black below.
    let mut upright = vec![235; size / 2];
    upright.resize(size, 16);
    upright.resize(size * 3 / 2, 128);
    let data = converted(&format(Pixels::I420, WIDTH), Rotation::Half, upright);
    assert_eq!((data[10], data[size - 10]), (16, 235));
    let tall = VideoFormat {
        width: HEIGHT,
        height: WIDTH,
        ..format(Pixels::I420, HEIGHT)
    };
    let mut above = vec![235; size / 2];
    above.resize(size, 16);
    above.resize(size * 3 / 2, 128);
    // Turned to the right, what was above is at the right.
    let data = converted(&tall, Rotation::Right, above);
    assert_eq!((data[10], data[WIDTH as usize - 10]), (16, 235));
}

/// Pictures of H.264 as a camera's own encoder makes them, with a key frame each so many.
fn h264(count: u32, group: u32) -> Vec<Vec<u8>> {
    made(&format!(
        "videotestsrc num-buffers={count} ! video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate=30/1 \
         ! x264enc tune=zerolatency key-int-max={group} ! video/x-h264,stream-format=byte-stream,alignment=au"
    ))
}

/// Gives them to what takes a camera's own, thirty a second from 5 s on, but for the one of this number; gives what comes out.
fn own(pictures: Vec<Vec<u8>>, without: usize) -> Vec<OwnPicture> {
    let (to, out) = std::sync::mpsc::channel();
    let take = move |picture: anyhow::Result<OwnPicture>| {
        let _ = to.send(picture.expect("it is well")); // whoever waits may have enough
    };
    let origin = Time::from_millis(5_000);
    let own = Own::start(&format(Pixels::H264, 0), 500, origin, take).expect("it starts");
    let count = pictures.len() - usize::from(without < pictures.len());
    let mut follows = true;
    for (n, data) in pictures.into_iter().enumerate() {
        if n == without {
            follows = false;
            continue;
        }
        let capture = Time::from_micros(5_000_000 + n as u64 * 33_333);
        assert!(
            own.push(VideoFrame { capture, data }, follows)
                .expect("taken")
        );
        follows = true;
    }
    let next = |_| {
        out.recv_timeout(Duration::from_secs(20))
            .expect("a picture")
    };
    (0..count).map(next).collect()
}

#[test]
fn a_cameras_own_h264_comes_out_as_it_went_in_with_what_it_lacks() {
    let pictures = own(h264(20, 10), 5);
    let captures: Vec<u64> = pictures.iter().map(|p| p.frame.media_us).collect();
    let expected = (0..20).filter(|n| *n != 5).map(|n| n * 33_333);
    assert_eq!(captures, expected.collect::<Vec<_>>());
    let key = |n: &usize| pictures[*n].frame.key;
    assert_eq!((0..19).filter(key).collect::<Vec<_>>(), [0, 9]);
    let broken = |n: &usize| !pictures[*n].follows;
    assert_eq!((0..19).filter(broken).collect::<Vec<_>>(), [0, 5]);
    decodes(&pictures[..4]).expect("pictures");
    let error = decodes(&pictures[1..4]).expect_err("what they are made of is lacking");
    assert_eq!(error.to_string(), "its pictures do not decode");
    let mut other = pictures[..4].to_vec();
    let Shape::Video { width, .. } = &mut other[0].format.shape else {
        panic!("a picture")
    };
    *width = 640;
    let error = decodes(&other).expect_err("of another size").to_string();
    assert_eq!(error, "its pictures are 320x180, and were to be 640x180");
}

/// What comes out of a ladder, in short: V and H for key frames of VP8 and H.264, v and h for what follows them, | for a new epoch.
async fn in_short(fed: &mut Fed, coding: &mut &str, wanted: usize) -> String {
    let mut said = String::new();
    while said.len() < wanted {
        match fed.events.recv().await {
            Some(SourceEvent::Anew(format)) => {
                *coding = format.codec.name();
                said.push('|');
            }
            Some(SourceEvent::Frame(_, frame)) => said.push(match (*coding, frame.key) {
                ("VP8", true) => 'V',
                ("VP8", false) => 'v',
                (_, true) => 'H',
                (_, false) => 'h',
            }),
            other => panic!("{other:?}"),
        }
    }
    said
}

#[tokio::test]
async fn a_cameras_own_pictures_and_encoded_ones_take_turns_each_in_an_epoch_of_its_own() {
    let own = own(h264(12, 6), usize::MAX);
    let (feed, mut fed) = Feed::new(Clock::start()).expect("a feed");
    let (config, to) = (VideoConfig::default(), format(Pixels::I420, WIDTH));
    let mut ladder = Ladder::start(&to, &config, Time::ZERO, &feed).expect("an encoder");
    assert_eq!(feed.tally().encoder(), Some(("vp8enc", "vp8")));
    let painted = |ladder: &mut Ladder, ms| {
        let data = vec![100; to.size().expect("a size")];
        let picture = described(&to, data).expect("a picture");
        ladder.push(Time::from_millis(ms), picture).expect("taken");
    };
    painted(&mut ladder, 1_000);
    let mut coding = fed.formats(1).await.expect("a track")[0].codec.name();
    assert_eq!(in_short(&mut fed, &mut coding, 1).await, "V");

    // Not before a key frame, and after something was left out not before the next.
    ladder.pass(own[1].clone());
    (0..4).for_each(|n| ladder.pass(own[n].clone()));
    ladder.left_out();
    (5..9).for_each(|n| ladder.pass(own[n].clone()));
    assert_eq!(in_short(&mut fed, &mut coding, 8).await, "|HhhhHhh");
    assert_eq!(feed.tally().encoder(), Some(("camera", "h264")));

    painted(&mut ladder, 6_000);
    assert_eq!(in_short(&mut fed, &mut coding, 2).await, "|V");
    assert_eq!(feed.tally().encoder(), Some(("vp8enc", "vp8")));
}

#[tokio::test]
async fn a_stream_may_begin_with_the_cameras_own_pictures() {
    let own = own(h264(2, 2), usize::MAX);
    let (feed, mut fed) = Feed::new(Clock::start()).expect("a feed");
    let (config, to) = (VideoConfig::default(), format(Pixels::I420, WIDTH));
    let mut ladder = Ladder::start(&to, &config, Time::ZERO, &feed).expect("an encoder");
    own.into_iter().for_each(|picture| ladder.pass(picture));
    let mut coding = fed.formats(1).await.expect("a track")[0].codec.name();
    assert_eq!(in_short(&mut fed, &mut coding, 2).await, "Hh");
}
