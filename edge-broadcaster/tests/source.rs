//! Sources end to end, through real GStreamer: what goes in as a picture or a file comes out as frames
//! that decode, in order.

mod support;

use std::collections::BTreeMap;

use edge_broadcaster::capture::picture::read_clock_ms;
use edge_broadcaster::capture::slate::GROUND;
use edge_broadcaster::source::SourceEvent;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use protocol::container::{Shape, Writer};
use protocol::media::{Codec, Track};
use support::{Sample, play, start};

#[tokio::test]
async fn the_test_picture_shows_its_capture_time_and_the_time_advances() {
    let played = play("\"test\"", "width = 640\nheight = 360", 1_500)
        .await
        .expect("it runs");
    let decoded = support::decode_luma(&played.sent(Track::Video));
    let shown: Vec<u64> = decoded
        .iter()
        .map(|picture| {
            read_clock_ms(&picture.luma, picture.stride)
                .expect("a clock")
                .into()
        })
        .collect();
    let captured: Vec<u64> = played
        .of(Track::Video)
        .map(|f| f.capture.as_micros() / 1000 % (1 << 32))
        .collect();
    assert_eq!(shown, captured);
    assert!(shown.len() > 3, "{} pictures", shown.len());
    assert!(shown.is_sorted_by(|a, b| a < b), "{shown:?}");
}

#[tokio::test]
async fn the_test_picture_has_vp8_and_opus_and_begins_with_a_key_frame() {
    let played = play("\"test\"", "width = 320\nheight = 180", 1_200)
        .await
        .expect("it runs");
    let codecs: Vec<Codec> = played.tracks.iter().map(|t| t.codec).collect();
    assert_eq!(codecs, [Codec::Vp8, Codec::Opus]);
    assert_eq!(played.tracks[1].codec_private[..8], *b"OpusHead");
    assert!(matches!(
        played.tracks[0].shape,
        Shape::Video {
            width: 320,
            height: 180,
            frame_ns: 33_333_333
        }
    ));
    assert!(played.of(Track::Video).next().expect("a picture").key);
    assert_eq!(
        support::read_back(&played.sent(Track::Audio)).len(),
        played.of(Track::Audio).count()
    );
}

#[tokio::test]
async fn packets_of_sound_lie_20_ms_apart_on_the_time_line_and_a_key_frame_comes_each_interval() {
    let settings = "width = 320\nheight = 180\nkey_frame_interval_ms = 400";
    let played = play("\"test\"", settings, 2_000).await.expect("it runs");
    let sound: Vec<u64> = played.of(Track::Audio).map(|f| f.media_us).collect();
    assert!(sound.windows(2).all(|w| w[1] - w[0] == 20_000), "{sound:?}");
    let keys: Vec<u64> = played
        .of(Track::Video)
        .filter(|f| f.key)
        .map(|f| f.media_us / 1000)
        .collect();
    assert!(keys.len() >= 3, "{keys:?}");
    // A frame may be lost where one was due on a loaded machine, so the distance has a slack.
    assert!(keys.windows(2).all(|w| w[1] - w[0] >= 400), "{keys:?}");
}

#[tokio::test]
async fn a_source_that_is_stopped_gives_up_its_threads() {
    let running = start("\"test\"", "width = 320\nheight = 180")
        .await
        .expect("it runs");
    running.stop().await; // would wait for ever for a thread that goes on
}

#[tokio::test]
async fn every_codec_of_a_file_plays_through_unchanged() {
    for (video, audio, codecs) in [
        (
            Some("vp8enc deadline=1 keyframe-max-dist=10"),
            Some("opusenc"),
            vec![Codec::Vp8, Codec::Opus],
        ),
        (
            Some("vp9enc deadline=1 cpu-used=8"),
            Some("vorbisenc"),
            vec![Codec::Vp9, Codec::Vorbis],
        ),
        (Some("vp8enc deadline=1"), None, vec![Codec::Vp8]),
        (None, Some("vorbisenc"), vec![Codec::Vorbis]),
    ] {
        let sample = Sample::make(video, audio);
        let played = play(&sample.source(false), "", 60_000)
            .await
            .expect("it plays");
        assert_eq!(
            played.tracks.iter().map(|t| t.codec).collect::<Vec<_>>(),
            codecs
        );
        assert!(played.ended, "a file that does not loop comes to its end");
        for track in &played.tracks {
            assert!(track.kbps > 0, "{track:?}");
            let sent: Vec<_> = played.of(track.track()).map(|f| f.data.clone()).collect();
            let stored = sample.packets(track.track());
            assert_eq!(sent.len(), stored.len(), "{:?}", track.codec);
            assert!(sent == stored, "{:?} is changed on its way", track.codec);
            // The oracle: GStreamer reads our container back, frame for frame.
            assert_eq!(
                support::read_back(&played.sent(track.track())),
                sent,
                "{:?}",
                track.codec
            );
        }
    }
}

#[tokio::test]
async fn a_file_that_loops_goes_on_in_media_time_without_a_gap_in_the_sound() {
    let sample = Sample::make(Some("vp8enc deadline=1"), Some("opusenc"));
    let played = play(&sample.source(true), "", 2_500)
        .await
        .expect("it plays");
    assert!(!played.ended);
    for track in [Track::Video, Track::Audio] {
        let times: Vec<u64> = played.of(track).map(|f| f.media_us).collect();
        assert!(times.is_sorted(), "{times:?}");
        let longest = times.windows(2).map(|w| w[1] - w[0]).max().expect("some");
        let most = if track == Track::Audio {
            30_000
        } else {
            90_000
        };
        assert!(longest <= most, "{track:?}: {longest} µs in {times:?}");
    }
}

#[tokio::test]
async fn a_truncated_file_plays_what_there_is_and_then_ends() {
    let sample = Sample::make(
        Some("vp8enc deadline=1 keyframe-max-dist=5"),
        Some("opusenc"),
    );
    let whole = play(&sample.source(false), "", 60_000)
        .await
        .expect("it plays");
    sample.cut_to(60);
    let cut = play(&sample.source(false), "", 60_000)
        .await
        .expect("it plays");
    let (cut_frames, whole_frames) = (cut.of(Track::Video).count(), whole.of(Track::Video).count());
    assert!(cut.ended);
    assert!(
        (1..whole_frames).contains(&cut_frames),
        "{cut_frames} of {whole_frames}"
    );
}

#[tokio::test]
async fn a_file_that_is_not_webm_is_refused_by_name() {
    for garbage in [
        &b"this is no film"[..],
        &[0; 100_000],
        &[0x1a, 0x45, 0xdf, 0xa3],
        b"",
    ] {
        let sample = Sample::of_bytes(garbage);
        let error = start(&sample.source(true), "").await.expect_err("garbage");
        let said = format!("{error:#}");
        assert!(said.contains("sample.webm"), "{said}");
        assert!(
            said.contains("is not a WebM file") || said.contains("holds no frames"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn noise_after_a_true_beginning_ends_the_file_and_hangs_nothing() {
    let sample = Sample::make(Some("vp8enc deadline=1"), Some("opusenc"));
    sample.spoil_after(40);
    let played = play(&sample.source(false), "", 60_000)
        .await
        .expect("it plays");
    assert!(played.of(Track::Video).count() > 0);
    assert!(played.ended);
}

/// A film with something written over, cut out or put in.
fn damaged(film: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let wound = (any::<Index>(), vec(any::<u8>(), 0..40), 0_usize..40);
    vec(wound, 1..6).prop_map(move |wounds| {
        let mut film = film.clone();
        for (at, put, out) in wounds {
            let at = at.index(film.len());
            let after = film.len().min(at + out);
            film.splice(at..after, put);
        }
        film
    })
}

/// Plays a film as long as an honest one would last, and stops it; gives the number of its frames.
async fn survives((number, film): (usize, Vec<u8>)) -> Option<usize> {
    let sample = Sample::of_bytes(&film);
    let mut running = match start(&sample.source(false), "").await {
        Ok(running) => running,
        Err(error) => {
            let said = format!("{error:#}");
            assert!(said.contains("sample.webm"), "{said}");
            return None;
        }
    };
    let tracks = running.tracks.clone().into_iter();
    let mut writers: BTreeMap<Track, Writer> = tracks
        .map(|format| (format.track(), Writer::new(format)))
        .collect();
    let mut frames = 0;
    let plays = async {
        while let Some(SourceEvent::Frame(track, frame)) = running.frames.recv().await {
            let writer = writers.get_mut(&track);
            writer.expect("a track that was announced").write(&frame);
            frames += 1;
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), plays).await;
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(60), running.stop()).await;
    assert!(stopped.is_ok(), "a thread hangs in film {number}");
    Some(frames)
}

#[tokio::test]
async fn whatever_is_wrong_with_a_film_it_is_refused_by_name_or_plays_what_it_has_and_can_be_stopped()
 {
    let vp8 = Sample::make(Some("vp8enc deadline=1"), Some("opusenc"));
    let vp9 = Sample::make(Some("vp9enc deadline=1 cpu-used=8"), Some("vorbisenc"));
    let mut runner = TestRunner::deterministic();
    // Each takes a second or two, all at once: a tenth of what other parsers are given.
    let films = (runner.config().cases / 10).clamp(1, 200) as usize;
    let films: Vec<Vec<u8>> = [vp8.bytes(), vp9.bytes()]
        .into_iter()
        .flat_map(|film| {
            let film = damaged(film);
            let new = || film.new_tree(&mut runner).expect("no filter").current();
            std::iter::repeat_with(new).take(films).collect::<Vec<_>>()
        })
        .collect();
    let all: tokio::task::JoinSet<_> = films.into_iter().enumerate().map(survives).collect();
    let outcomes = all.join_all().await;
    let played = outcomes
        .iter()
        .flatten()
        .filter(|&&frames| frames > 0)
        .count();
    assert!(played > 5, "{outcomes:?}");
}

#[tokio::test]
async fn a_codec_browsers_do_not_play_is_named_with_those_they_do() {
    let sample = Sample::make_with("matroskamux", Some("theoraenc"), None);
    let error = start(&sample.source(true), "").await.expect_err("Theora");
    let said = format!("{error:#}");
    assert!(
        said.contains("its video is Theora, but only VP8 and VP9 can be played"),
        "{said}"
    );
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let source = "{ kind = \"file\", path = \"/no/such/film.webm\" }";
    let error = start(source, "").await.expect_err("no file");
    let said = format!("{error:#}");
    assert!(said.contains("opening /no/such/film.webm"), "{said}");
}

#[tokio::test]
async fn a_camera_that_is_not_there_is_a_slate_whose_time_advances_and_silence() {
    let source = "{ kind = \"camera\", device = \"/dev/video250\", microphone = \"none\" }";
    let played = play(source, "width = 640\nheight = 360", 2_500)
        .await
        .expect("it runs");
    let pictures = support::decode_luma(&played.sent(Track::Video));
    assert!(pictures.len() > 5, "{} pictures", pictures.len());
    let ground = |picture: &&support::Picture| {
        let near = |luma: &&u8| luma.abs_diff(GROUND) < 6;
        let count = picture.luma.iter().filter(near).count();
        count > picture.luma.len() / 2
    };
    assert_eq!(pictures.iter().filter(ground).count(), pictures.len());
    let lowest = |picture: &support::Picture| picture.luma[picture.stride * 250..].to_vec();
    let (first, last) = (&pictures[0], &pictures[pictures.len() - 1]);
    assert_ne!(lowest(first), lowest(last), "the time stands still");
    let sound: Vec<u64> = played.of(Track::Audio).map(|f| f.media_us).collect();
    assert!(sound.windows(2).all(|w| w[1] - w[0] == 20_000), "{sound:?}");
    assert!(sound.len() > 50, "{} packets", sound.len());
}

#[tokio::test]
async fn a_reader_that_is_slow_loses_whole_groups_and_the_source_goes_on() {
    let mut running = start("\"test\"", "width = 320\nheight = 180\nfps = 120")
        .await
        .expect("it runs");
    tokio::time::sleep(std::time::Duration::from_secs(4)).await; // more than fits the queue
    let mut last_us = None;
    loop {
        match running.frames.recv().await {
            Some(SourceEvent::Frame(Track::Video, frame)) => {
                let gap_us = frame.media_us - last_us.unwrap_or(frame.media_us);
                last_us = Some(frame.media_us);
                if gap_us > 500_000 {
                    assert!(frame.key, "what follows the gap cannot be decoded");
                    return;
                }
            }
            Some(SourceEvent::Frame(Track::Audio, _)) => {}
            other => panic!("{other:?}"),
        }
    }
}
