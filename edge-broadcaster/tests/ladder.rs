//! The ladder of encoders, with simulated ones.

mod simulated;
mod support;

use edge_broadcaster::capture::picture::read_clock_ms;
use edge_broadcaster::capture::{Pixels, VideoFormat};
use edge_broadcaster::config::VideoConfig;
use edge_broadcaster::encode::ladder::try_one;
use edge_broadcaster::encode::rungs::Rung;
use edge_broadcaster::source::SourceEvent;
use protocol::container::Writer;
use protocol::media::{Codec, EncodedFrame, Track};
use simulated::Failing;

/// Pictures after which the third of the simulated encoders fails: after its probe, and some of the stream.
const FAILS_AFTER: u64 = 25;

fn register() {
    simulated::register(Failing::After(FAILS_AFTER));
}

fn tried(element: &str) -> String {
    register();
    let format = VideoFormat {
        pixels: Pixels::I420,
        width: 320,
        height: 180,
        fps: 30,
        stride: 320,
    };
    let rung = Rung::named(element).expect("a known one");
    try_one(rung, &format, &VideoConfig::default()).to_string()
}

#[test]
fn software_works_and_says_how_fast_it_is() {
    let said = tried("vp8enc");
    assert!(said.starts_with("vp8enc (software): "), "{said}");
    assert!(said.contains("pictures/s"), "{said}");
}

#[test]
fn an_encoder_that_does_not_start_is_passed_over() {
    let said = tried("v4l2vp8enc");
    assert!(said.contains(": no, it does not start"), "{said}");
}

#[test]
fn an_encoder_whose_pictures_are_not_those_it_was_given_is_passed_over() {
    let said = tried("mppvp8enc");
    assert!(
        said.contains(": no, of 10 test pictures 0 came out right"),
        "{said}"
    );
}

#[test]
fn an_encoder_that_is_not_there_is_passed_over() {
    assert!(tried("vpuenc_vp8").ends_with(": no, it is not there"));
}

#[test]
fn h264_in_software_works_by_either_encoder() {
    for element in ["openh264enc", "x264enc"] {
        let said = tried(element);
        assert!(
            said.starts_with(&format!("{element} (software): ")),
            "{said}"
        );
        assert!(said.contains("pictures/s"), "{said}");
    }
}

#[tokio::test]
async fn h264_is_sent_as_mp4_that_others_decode_to_the_pictures_in_their_times() {
    register();
    for element in ["openh264enc", "x264enc"] {
        let settings = format!(
            "width = 320\nheight = 180\nkey_frame_interval_ms = 400\nencoders = [\"{element}\"]"
        );
        let played = support::play("\"test\"", &settings, 1_500)
            .await
            .expect(element);
        let Codec::H264(profile) = played.tracks[0].codec else {
            panic!("{element}: {:?}", played.tracks[0].codec)
        };
        assert!([66, 77].contains(&profile.profile), "{element}: {profile}");
        let frames: Vec<_> = played.of(Track::Video).collect();
        let keys: Vec<_> = frames.iter().filter(|f| f.key).collect();
        assert!(
            frames[0].key && (3..=5).contains(&keys.len()),
            "{element}: {}",
            keys.len()
        );

        let mp4 = played.sent(Track::Video);
        let pictures = support::decode_mp4_luma(&mp4);
        assert_eq!(pictures.len(), frames.len(), "{element}");
        let seen: Vec<_> = pictures
            .iter()
            .map(|picture| read_clock_ms(&picture.luma, picture.stride).expect("a clock"))
            .collect();
        let sent: Vec<_> = frames
            .iter()
            .map(|f| f.capture.as_micros() / 1000)
            .collect();
        let apart = seen
            .iter()
            .zip(&sent)
            .all(|(&seen, sent)| u64::from(seen).abs_diff(*sent) <= 1);
        assert!(apart, "{element}: {seen:?} and {sent:?}");
    }
}

#[tokio::test]
async fn a_vp8_encoder_that_fails_is_followed_by_h264_in_mp4() {
    register();
    let settings = "width = 320\nheight = 180\nencoders = [\"vavp8enc\", \"openh264enc\"]";
    let mut running = support::start("\"test\"", settings).await.expect("it runs");
    assert_eq!(running.tracks[0].codec, Codec::Vp8);
    let format = loop {
        match running.frames.recv().await {
            Some(SourceEvent::Anew(format)) => break format,
            Some(SourceEvent::Frame(..)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(format.codec, Codec::H264(_)), "{:?}", format.codec);
    let next = loop {
        match running.frames.recv().await {
            Some(SourceEvent::Frame(Track::Video, frame)) => break frame,
            Some(SourceEvent::Frame(..)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(next.key);
    running.stop().await;
}

#[tokio::test]
async fn an_encoder_that_fails_is_followed_by_the_next_and_the_stream_goes_on() {
    register();
    let settings = "width = 320\nheight = 180\nkey_frame_interval_ms = 400";
    let mut running = support::start("\"test\"", settings).await.expect("it runs");
    let mut tracks = running.tracks.clone();
    let (mut before, mut after): (Vec<EncodedFrame>, Option<Vec<EncodedFrame>>) =
        (Vec::new(), None);
    let mut sound = Vec::new();
    while after.as_ref().is_none_or(|frames| frames.len() < 20) {
        match running.frames.recv().await {
            Some(SourceEvent::Frame(Track::Video, frame)) => {
                after.as_mut().unwrap_or(&mut before).push(frame);
            }
            Some(SourceEvent::Frame(Track::Audio, packet)) => sound.push(packet.media_us),
            Some(SourceEvent::Anew(format)) => {
                assert!(after.replace(Vec::new()).is_none(), "it failed once");
                tracks[0] = format;
            }
            other => panic!("{other:?}"),
        }
    }
    running.stop().await;
    let after = after.expect("the next encoder");
    assert!(
        !before.is_empty() && before.len() as u64 <= FAILS_AFTER + 2,
        "{}",
        before.len()
    );
    assert!(after[0].key);
    assert!(after[0].media_us > before[before.len() - 1].media_us);
    assert!(sound.windows(2).all(|w| w[1] - w[0] == 20_000), "{sound:?}");
    let mut writer = Writer::new(tracks[0].clone());
    let mut webm = writer.init().to_vec();
    for frame in &after {
        webm.extend_from_slice(&writer.write(frame).container);
    }
    assert_eq!(support::decode_luma(&webm).len(), after.len());
}
