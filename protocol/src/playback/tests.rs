//! A viewer before a model screen, fed by a made-up stream over a made-up network.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::screen::Screen;
use super::*;
use crate::chunk::{Header, cut};
use crate::container::{Shape, TrackFormat, Writer};
use crate::id::{StreamHandle, StreamId};
use crate::media::{EncodedFrame, TrackInfo};
use crate::webm::opus_head;

const FRAME_MS: u64 = 40;
const PACKET_MS: u64 = 20;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn format(codec: Codec) -> TrackFormat {
    let (shape, codec_private) = match codec.track() {
        Track::Video => (
            Shape::Video {
                width: 640,
                height: 360,
                frame_ns: 0,
            },
            Bytes::new(),
        ),
        Track::Audio => (
            Shape::Audio {
                rate_hz: 48_000,
                channels: 2,
            },
            opus_head(2, 312, 48_000),
        ),
    };
    TrackFormat {
        codec,
        codec_private,
        kbps: 1000,
        shape,
    }
}

fn descriptor(epoch: u32, origin_ms: u64, codecs: &[Codec]) -> Descriptor {
    let info = |&codec: &Codec| {
        let init = Writer::new(format(codec)).init();
        TrackInfo {
            track: codec.track(),
            rendition: 0,
            codec,
            kbps: 1000,
            init,
        }
    };
    let stream = StreamId::from_bytes([1; 16]);
    let tracks = codecs.iter().map(info).collect();
    Descriptor {
        stream,
        epoch,
        key_id: 0,
        media_origin_us: origin_ms * 1000,
        tracks,
    }
}

/// All chunks of one epoch, each with the time it leaves the broadcaster: a key frame of three parts each second.
fn stream(epoch: u32, origin_ms: u64, lasts_ms: u64, codecs: &[Codec]) -> Vec<(u64, Chunk)> {
    let mut all = Vec::new();
    for &codec in codecs {
        let mut writer = Writer::new(format(codec));
        let video = codec.track() == Track::Video;
        let step = if video { FRAME_MS } else { PACKET_MS };
        for (sequence, at) in (0..lasts_ms).step_by(step as usize).enumerate() {
            let key = !video || at.is_multiple_of(1000);
            let data = vec![sequence as u8; if video && key { 40_000 } else { 300 }];
            let (capture, media_us) = (Time::from_millis(origin_ms + at), (origin_ms + at) * 1000);
            let frame = writer.write(&EncodedFrame {
                key,
                capture,
                media_us,
                data: data.into(),
            });
            let header = Header {
                random_access: frame.random_access,
                track: codec.track(),
                rendition: 0,
                key_id: 0,
                handle: StreamHandle(1),
                position: Position {
                    epoch,
                    sequence: sequence as u64,
                },
                part: 0,
                parts: 1,
                capture,
                media_us,
            };
            all.extend(
                cut(header, &frame.container)
                    .into_iter()
                    .map(|chunk| (origin_ms + at, chunk)),
            );
        }
    }
    all.sort_by_key(|(at, chunk)| (*at, chunk.header().track));
    all
}

const CAMERA: [Codec; 2] = [Codec::Vp8, Codec::Opus];

/// One viewer: the player, its screen, and what was asked of the buffers.
struct Viewer {
    player: Playback,
    screen: Screen,
    asked: Vec<Output>,
}

impl Viewer {
    fn new(descriptor: Descriptor) -> Self {
        let player = Playback::new(Time::ZERO);
        let mut viewer = Self {
            player,
            screen: Screen::new(),
            asked: Vec::new(),
        };
        viewer.tell(Time::ZERO, Input::Epoch(descriptor));
        viewer
    }

    fn tell(&mut self, now: Time, input: Input) {
        let mut out = Vec::new();
        self.player.handle(now, input, &mut out);
        let mut told = Vec::new();
        for output in out {
            told.extend(self.screen.carry_out(now, &output));
            self.asked.push(output);
        }
        told.into_iter().for_each(|input| self.tell(now, input));
    }

    /// Lets the chunks arrive at their times (in any order), and looks at the screen every 50 ms.
    fn watch(&mut self, mut arriving: Vec<(u64, Chunk)>, until_ms: u64) {
        arriving.sort_by_key(|(at, _)| *at);
        let mut arriving = arriving.into_iter().peekable();
        let from_ms = self.player.looked.as_micros() / 1000;
        for now_ms in from_ms..until_ms {
            let now = Time::from_millis(now_ms);
            while let Some((_, chunk)) = arriving.next_if(|(at, _)| *at <= now_ms) {
                self.tell(now, Input::Chunk(chunk));
            }
            if now_ms % 50 == 0 {
                let element = self.screen.look(now);
                self.tell(now, Input::Element(element));
            }
        }
    }

    /// The element stops short of the end of what it has, as Chromium's does now and then (measured: by 200 ms).
    fn stop_short(&mut self, until_ms: u64) {
        let from_ms = self.player.looked.as_micros() / 1000;
        self.screen.pause(Time::from_millis(from_ms), true);
        for now in (from_ms..until_ms).step_by(50).map(Time::from_millis) {
            let element = Element {
                wants_to_play: true,
                ..self.screen.look(now)
            };
            self.tell(now, Input::Element(element));
        }
        self.screen.pause(Time::from_millis(until_ms), false);
    }

    fn stats(&self) -> Stats {
        self.player.stats(self.player.looked)
    }

    fn count(&self, wanted: impl Fn(&Output) -> bool) -> usize {
        self.asked.iter().filter(|o| wanted(o)).count()
    }

    fn appended(&self, wanted: Track) -> Vec<u64> {
        let start = |output: &Output| match output {
            Output::Append {
                track, media_us, ..
            } if *track == wanted && !media_us.is_empty() => Some(media_us.start / 1000),
            _ => None,
        };
        self.asked.iter().filter_map(start).collect()
    }
}

fn is_video(chunk: &Chunk) -> bool {
    chunk.header().track == Track::Video
}

#[test]
fn a_stream_nobody_disturbs_plays_without_a_stall_with_the_hold_ahead() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    viewer.watch(stream(1, 0, 20_000, &CAMERA), 20_000);
    let stats = viewer.stats();
    assert!(stats.started);
    assert_eq!((stats.stalls, stats.jumps, stats.silent_packets), (0, 0, 0));
    assert!(
        (ms(200)..ms(400)).contains(&stats.ahead),
        "{:?}",
        stats.ahead
    );
    assert_eq!(viewer.appended(Track::Video).len(), 500);
    assert_eq!(viewer.appended(Track::Audio).len(), 1000);
}

#[test]
fn who_joins_in_the_middle_starts_at_the_key_frame_and_moves_on_to_live() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    let burst = stream(1, 0, 20_000, &CAMERA)
        .into_iter()
        .filter(|(_, c)| c.header().media_us >= 5_000_000);
    // Joins 900 ms after the key frame at 5 s.
    viewer.player.looked = Time::from_millis(5_900);
    viewer.watch(
        burst.map(|(at, chunk)| (at.max(5_900), chunk)).collect(),
        7_000,
    );
    let seeks = || {
        viewer.asked.iter().filter_map(|o| {
            if let Output::Seek(to) = o {
                Some(*to)
            } else {
                None
            }
        })
    };
    assert_eq!(seeks().next(), Some(5_000_000));
    assert_eq!(viewer.stats().stalls, 0);
    assert!(viewer.stats().ahead < ms(400), "{:?}", viewer.stats().ahead);
}

#[test]
fn a_frame_of_which_a_part_is_missing_is_not_appended() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    let mut chunks = stream(1, 0, 2_000, &CAMERA);
    let last_of_second_key =
        |c: &Chunk| is_video(c) && c.header().media_us == 1_000_000 && c.header().part == 2;
    chunks.retain(|(_, c)| !last_of_second_key(c));
    viewer.watch(chunks, 1_500);
    assert_eq!(viewer.appended(Track::Video).last(), Some(&960));
}

#[test]
fn a_missing_picture_costs_a_jump_to_the_next_random_access_point_and_counts_as_a_stall() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    let mut chunks = stream(1, 0, 10_000, &CAMERA);
    chunks.retain(|(_, c)| !(is_video(c) && c.header().media_us == 5_400_000));
    viewer.watch(chunks, 10_000);
    let pictures = viewer.appended(Track::Video);
    let after_gap = pictures
        .iter()
        .position(|&at| at == 5_360)
        .expect("the picture before the gap")
        + 1;
    assert_eq!(pictures[after_gap], 6_000);
    assert_eq!(viewer.count(|o| *o == Output::Abort(Track::Video)), 1);
    assert_eq!((viewer.stats().stalls, viewer.stats().jumps), (1, 1));
    assert_eq!(viewer.stats().hold, ms(450));
    assert!(
        viewer.stats().stalled < ms(700),
        "{:?}",
        viewer.stats().stalled
    );
}

#[test]
fn a_late_picture_that_still_comes_in_time_costs_nothing() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    let mut chunks = stream(1, 0, 10_000, &CAMERA);
    chunks
        .iter_mut()
        .filter(|(_, c)| is_video(c) && c.header().media_us == 5_400_000)
        .for_each(|(at, _)| *at += 140);
    viewer.watch(chunks, 10_000);
    assert_eq!((viewer.stats().stalls, viewer.stats().jumps), (0, 0));
    assert_eq!(viewer.appended(Track::Video).len(), 250);
}

#[test]
fn missing_sound_is_replaced_by_silence_and_nobody_stalls() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    let mut chunks = stream(1, 0, 10_000, &CAMERA);
    chunks.retain(|(_, c)| is_video(c) || !(5_900_000..6_100_000).contains(&c.header().media_us));
    viewer.watch(chunks, 10_000);
    assert_eq!((viewer.stats().stalls, viewer.stats().jumps), (0, 0));
    assert_eq!(viewer.stats().silent_packets, 10);
    assert_eq!(
        viewer.appended(Track::Audio),
        (0..10_000).step_by(20).collect::<Vec<_>>()
    );
}

#[test]
fn sound_that_stops_for_good_does_not_stop_the_picture() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    let mut chunks = stream(1, 0, 10_000, &CAMERA);
    chunks.retain(|(_, c)| is_video(c) || c.header().media_us < 5_000_000);
    viewer.watch(chunks, 10_000);
    assert!(
        viewer.stats().position_us > 9_000_000,
        "{:?}",
        viewer.stats()
    );
    assert!(viewer.stats().stalls <= 1);
}

#[test]
fn what_nobody_will_send_is_given_up_at_once() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    let mut chunks = stream(1, 0, 2_000, &CAMERA);
    chunks.retain(|(_, c)| !(is_video(c) && (200_000..1_000_000).contains(&c.header().media_us)));
    viewer.watch(
        chunks.iter().filter(|(at, _)| *at < 150).cloned().collect(),
        150,
    );
    viewer.tell(
        Time::from_millis(150),
        Input::Skipped {
            track: Track::Video,
            to: Position {
                epoch: 1,
                sequence: 25,
            },
        },
    );
    chunks.retain(|(at, _)| *at >= 150);
    chunks.iter_mut().for_each(|(at, _)| *at = 151);
    viewer.watch(chunks, 160);
    assert!(viewer.appended(Track::Video).contains(&1_000));
}

#[test]
fn a_pause_of_the_source_is_one_stall_and_the_hold_is_there_again_after_it() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    let mut chunks = stream(1, 0, 10_000, &CAMERA);
    // The network holds everything back for a second.
    chunks
        .iter_mut()
        .filter(|(at, _)| (4_000..5_000).contains(at))
        .for_each(|(at, _)| *at = 5_000);
    viewer.watch(chunks, 10_000);
    assert_eq!((viewer.stats().stalls, viewer.stats().jumps), (1, 0));
    assert!(
        (ms(500)..ms(900)).contains(&viewer.stats().stalled),
        "{:?}",
        viewer.stats().stalled
    );
    assert!(viewer.stats().ahead > ms(240));
}

#[test]
fn a_new_epoch_with_the_same_codecs_goes_on_in_the_same_source() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    viewer.watch(stream(1, 0, 4_000, &CAMERA), 4_000);
    viewer.tell(
        Time::from_millis(6_000),
        Input::Epoch(descriptor(2, 6_000, &CAMERA)),
    );
    viewer.watch(stream(2, 6_000, 4_000, &CAMERA), 10_000);
    assert_eq!(viewer.count(|o| matches!(o, Output::Open(_))), 1);
    assert_eq!(viewer.count(|o| matches!(o, Output::Abort(_))), 2);
    assert_eq!(
        viewer.count(|o| matches!(o, Output::Append { media_us, .. } if media_us.is_empty())),
        4
    );
    assert_eq!(viewer.stats().stalls, 1);
    assert!(
        viewer.stats().position_us > 9_000_000,
        "{:?}",
        viewer.stats()
    );
}

/// Plays the start of a stream; then nothing comes, and the play head stands with more left than a gap is given up for.
fn stopped_short() -> Viewer {
    let mut viewer = left_with(200);
    viewer.stop_short(5_000);
    let stats = viewer.stats();
    assert!(stats.is_stalled && stats.rate == 0.0, "{stats:?}");
    assert!((ms(150)..ms(240)).contains(&stats.ahead), "{stats:?}");
    viewer
}

#[test]
fn a_play_head_that_stopped_short_of_the_old_epochs_end_goes_on_with_the_new_one() {
    for codecs in [&CAMERA[..], &[Codec::Vp9]] {
        let mut viewer = stopped_short();
        let epoch = Input::Epoch(descriptor(2, 6_000, codecs));
        viewer.tell(Time::from_millis(6_000), epoch);
        viewer.watch(stream(2, 6_000, 4_000, codecs), 10_000);
        let stats = viewer.stats();
        assert!(stats.position_us > 9_000_000, "{stats:?}");
        assert!(!stats.is_stalled && stats.stalls == 1, "{stats:?}");
    }
}

#[test]
fn a_play_head_that_stopped_short_of_a_loss_goes_on_after_it() {
    let mut viewer = stopped_short();
    let mut chunks = stream(1, 0, 10_000, &CAMERA);
    chunks.retain(|(at, _)| *at >= 6_000);
    viewer.watch(chunks, 10_000);
    let stats = viewer.stats();
    assert!(stats.position_us > 9_000_000, "{stats:?}");
}

#[test]
fn a_play_head_that_stopped_short_of_the_sounds_end_goes_on_in_silence() {
    let mut viewer = stopped_short();
    let mut chunks = stream(1, 0, 10_000, &CAMERA);
    chunks.retain(|(at, chunk)| *at >= 4_000 && is_video(chunk));
    chunks.iter_mut().for_each(|(at, _)| *at = 5_000.max(*at));
    viewer.watch(chunks, 10_000);
    let stats = viewer.stats();
    assert!(stats.position_us > 8_000_000, "{stats:?}");
    assert!(stats.silent_packets > 0, "{stats:?}");
}

/// Four seconds came, and so many milliseconds of them are not played yet.
fn left_with(left_ms: u64) -> Viewer {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    viewer.watch(stream(1, 0, 4_000, &CAMERA), 4_000);
    let left = viewer.stats().ahead.as_millis() as u64;
    viewer.watch(Vec::new(), 4_000 + left - left_ms);
    viewer
}

#[test]
fn a_play_head_that_stopped_just_short_of_the_streams_end_is_finished() {
    let mut viewer = left_with(200);
    viewer.tell(Time::from_millis(4_100), Input::Ended);
    viewer.watch(Vec::new(), viewer.player.looked.as_micros() / 1000 + 100);
    assert!((ms(50)..ms(150)).contains(&viewer.stats().ahead));
    viewer.stop_short(6_000);
    assert_eq!(viewer.count(|o| *o == Output::End), 1);
    assert_eq!(viewer.stats().stalls, 0);
}

#[test]
fn a_play_head_that_stopped_short_of_the_streams_end_is_finished() {
    let mut viewer = stopped_short();
    viewer.tell(Time::from_millis(5_000), Input::Ended);
    viewer.stop_short(8_000);
    assert_eq!(viewer.count(|o| *o == Output::End), 1);
}

#[test]
fn a_new_epoch_with_other_tracks_gets_a_new_source() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    viewer.watch(stream(1, 0, 4_000, &CAMERA), 4_000);
    viewer.tell(
        Time::from_millis(4_000),
        Input::Epoch(descriptor(2, 4_000, &[Codec::Vp9])),
    );
    viewer.watch(stream(2, 4_000, 6_000, &[Codec::Vp9]), 10_000);
    assert_eq!(viewer.count(|o| matches!(o, Output::Open(_))), 2);
    assert!(
        viewer.stats().position_us > 9_000_000,
        "{:?}",
        viewer.stats()
    );
}

#[test]
fn an_earlier_epoch_is_refused() {
    let mut viewer = Viewer::new(descriptor(2, 0, &CAMERA));
    viewer.tell(Time::ZERO, Input::Epoch(descriptor(1, 0, &CAMERA)));
    viewer.watch(stream(1, 0, 1_000, &CAMERA), 1_000);
    assert_eq!(
        viewer.count(|o| matches!(o, Output::Append { media_us, .. } if !media_us.is_empty())),
        0
    );
}

#[test]
fn chunks_that_overtake_the_description_of_their_epoch_are_not_lost() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    viewer.watch(stream(1, 0, 4_000, &CAMERA), 4_000);
    let (early, late): (Vec<_>, Vec<_>) = stream(2, 4_000, 4_000, &CAMERA)
        .into_iter()
        .partition(|(at, _)| *at < 4_100);
    viewer.watch(early, 4_100);
    viewer.tell(
        Time::from_millis(4_100),
        Input::Epoch(descriptor(2, 4_000, &CAMERA)),
    );
    viewer.watch(late, 8_000);
    assert!(viewer.appended(Track::Video).contains(&4_000));
    assert_eq!(viewer.stats().stalls, 0);
}

#[test]
fn a_source_that_fails_is_made_anew_from_the_last_random_access_point() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    let (before, after): (Vec<_>, Vec<_>) = stream(1, 0, 10_000, &CAMERA)
        .into_iter()
        .partition(|(at, _)| *at < 5_500);
    viewer.watch(before, 5_500);
    viewer.asked.clear();
    viewer.tell(Time::from_millis(5_500), Input::SourceFailed);
    assert_eq!(viewer.appended(Track::Video).first(), Some(&5_000));
    assert_eq!(viewer.appended(Track::Audio).first(), Some(&5_000));
    viewer.watch(after, 10_000);
    assert_eq!(viewer.stats().rebuilds, 1);
    assert!(
        viewer.stats().position_us > 9_000_000,
        "{:?}",
        viewer.stats()
    );
}

#[test]
fn a_browser_that_refuses_everything_is_asked_five_times() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    (0..20).for_each(|i| viewer.tell(Time::from_millis(i * 10), Input::SourceFailed));
    assert_eq!(viewer.stats().rebuilds, 5);
    assert_eq!(viewer.count(|o| *o == Output::Event(Event::GaveUp)), 15);
}

#[test]
fn streams_of_sound_or_pictures_alone_play() {
    for codecs in [[Codec::Opus], [Codec::Vp8]] {
        let mut viewer = Viewer::new(descriptor(1, 0, &codecs));
        viewer.watch(stream(1, 0, 5_000, &codecs), 5_000);
        assert_eq!(viewer.stats().stalls, 0, "{codecs:?}");
        assert!(
            viewer.stats().position_us > 4_500_000,
            "{codecs:?} {:?}",
            viewer.stats()
        );
    }
}

#[test]
fn a_pause_of_the_viewer_is_no_stall_and_ends_at_live() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    let (before, after): (Vec<_>, Vec<_>) = stream(1, 0, 40_000, &CAMERA)
        .into_iter()
        .partition(|(at, _)| *at < 5_000);
    let (during, after): (Vec<_>, Vec<_>) = after.into_iter().partition(|(at, _)| *at < 30_000);
    viewer.watch(before, 5_000);
    viewer.screen.pause(Time::from_millis(5_000), true);
    viewer.watch(during, 30_000);
    assert!(
        viewer.appended(Track::Video).last() < Some(&20_000),
        "a paused viewer fills no memory"
    );
    viewer.screen.pause(Time::from_millis(30_000), false);
    viewer.watch(after, 35_000);
    assert_eq!(viewer.stats().stalls, 0);
    assert!(
        viewer.stats().position_us > 34_000_000,
        "{:?}",
        viewer.stats()
    );
}

#[test]
fn what_lies_ten_seconds_back_is_removed() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    viewer.watch(stream(1, 0, 25_000, &CAMERA), 25_000);
    let removed =
        viewer.count(|o| matches!(o, Output::Remove { up_to_us, .. } if *up_to_us > 8_000_000));
    assert_eq!(removed, 2);
}

#[test]
fn a_stream_that_ends_is_played_out_and_that_is_no_stall() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    viewer.watch(stream(1, 0, 3_000, &CAMERA), 3_000);
    viewer.tell(Time::from_millis(3_000), Input::Ended);
    viewer.watch(Vec::new(), 5_000);
    assert_eq!(viewer.count(|o| *o == Output::End), 1);
    assert_eq!(viewer.stats().stalls, 0);
}

#[test]
fn a_hole_that_only_the_element_sees_is_left_without_a_jump_being_counted() {
    let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
    viewer.watch(stream(1, 0, 3_000, &CAMERA), 3_000);
    let now = Time::from_millis(3_000);
    let element = viewer.screen.look(now);
    let end = element.position_us + 80_000;
    let hole_ends_us = Some(end);
    viewer.tell(
        now,
        Input::Element(Element {
            hole_ends_us,
            ..element
        }),
    );
    assert!(viewer.asked.contains(&Output::Seek(end)));
    assert_eq!((viewer.stats().jumps, viewer.stats().stalls), (0, 0));
}

/// Follows what is appended to one buffer, and says what is wrong with it.
#[derive(Default)]
struct Inspector {
    next: Option<u64>,
    aborted: bool,
}

impl Inspector {
    /// A picture at `at_ms`, which is a key frame each whole second.
    fn picture(&mut self, at_ms: u64) -> Result<(), String> {
        let key = at_ms.is_multiple_of(1000);
        let right = match self.next {
            Some(next) if at_ms == next => true,
            Some(next) => key && self.aborted && at_ms > next,
            None => key,
        };
        if !right {
            return Err(format!(
                "{at_ms} after {:?} (aborted: {})",
                self.next, self.aborted
            ));
        }
        (self.next, self.aborted) = (Some(at_ms + FRAME_MS), false);
        Ok(())
    }
}

proptest! {
    #[test]
    fn any_order_duplication_and_loss_of_chunks_never_appends_past_a_gap(
        fate in proptest::collection::vec((0..400_u64, 0..20_u8), 600),
        paused in any::<bool>(),
    ) {
        let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
        let chunks = stream(1, 0, 6_000, &CAMERA);
        let mut arriving = Vec::new();
        for ((at, chunk), (late, luck)) in chunks.into_iter().zip(fate) {
            match luck {
                0 => {}
                1 => arriving.extend([(at, chunk.clone()), (at + late, chunk)]),
                2..=5 => arriving.push((at + late, chunk)),
                _ => arriving.push((at, chunk)),
            }
        }
        viewer.screen.pause(Time::ZERO, paused);
        viewer.watch(arriving, 7_000);
        prop_assert!(viewer.player.is_within_bounds());
        let mut pictures = Inspector::default();
        let mut sound_before = BTreeSet::new();
        for output in &viewer.asked {
            match output {
                Output::Abort(Track::Video) => pictures.aborted = true,
                Output::Append { track: Track::Video, media_us, .. } if !media_us.is_empty() => {
                    if let Err(why) = pictures.picture(media_us.start / 1000) { prop_assert!(false, "{}", why); }
                }
                Output::Append { track: Track::Audio, media_us, .. } if !media_us.is_empty() => {
                    let newest = sound_before.last().copied().unwrap_or(0);
                    prop_assert!(media_us.start >= newest, "sound goes back from {} to {}", newest, media_us.start);
                    prop_assert!(sound_before.insert(media_us.start), "{} twice", media_us.start);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn garbage_in_headers_costs_neither_a_panic_nor_memory(
        headers in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..4_u32, 0..30_u64, any::<u16>(), 1..9_u16, any::<u64>()), 0..400),
    ) {
        let mut viewer = Viewer::new(descriptor(1, 0, &CAMERA));
        for (i, (video, random_access, epoch, sequence, part, parts, media_us)) in headers.into_iter().enumerate() {
            let track = if video { Track::Video } else { Track::Audio };
            let position = Position { epoch, sequence };
            let header = Header { random_access, track, rendition: 0, key_id: 0, handle: StreamHandle(1), position, part: 0, parts: 1, capture: Time::ZERO, media_us };
            let now = Time::from_millis(i as u64 * 7);
            let long = vec![0; crate::chunk::MAX_PAYLOAD * usize::from(parts)];
            let chunks = cut(header, &long);
            viewer.tell(now, Input::Chunk(chunks[usize::from(part) % chunks.len()].clone()));
            let element = viewer.screen.look(now);
            viewer.tell(now, Input::Element(element));
        }
        prop_assert!(viewer.player.is_within_bounds());
        prop_assert!(viewer.asked.len() < 200_000);
    }
}
