use proptest::prelude::*;

use super::*;
use crate::time::Time;

fn video() -> Writer {
    Writer::new(TrackFormat {
        codec: Codec::Vp8,
        codec_private: Bytes::new(),
        kbps: 1000,
        shape: Shape::Video {
            width: 1280,
            height: 720,
            frame_ns: 33_333_333,
        },
    })
}

fn audio() -> Writer {
    Writer::new(TrackFormat {
        codec: Codec::Opus,
        codec_private: opus_head(1, 312, 48_000),
        kbps: 64,
        shape: Shape::Audio {
            rate_hz: 48_000,
            channels: 1,
        },
    })
}

fn frame(at_ms: u64, key: bool) -> EncodedFrame {
    EncodedFrame {
        key,
        capture: Time::ZERO,
        media_us: at_ms * 1000,
        data: Bytes::from_static(b"data"),
    }
}

/// What a reader makes of the writer's output: Clusters' and blocks' times.
#[derive(Debug, PartialEq)]
enum Item {
    Cluster(u64),
    Block {
        at_ms: u64,
        key: bool,
        data: Vec<u8>,
    },
}

/// A reader of what follows the init segment, as strict as Chrome's: no element but these, no negative
/// relative times, nothing left over.
fn read(mut bytes: &[u8], cluster: &mut Option<u64>) -> Vec<Item> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        if bytes[0] == 0x1f {
            assert_eq!(bytes[..4], [0x1f, 0x43, 0xb6, 0x75]);
            assert_eq!(bytes[4..12], UNKNOWN_SIZE);
            assert_eq!(bytes[12], 0xe7);
            let length = usize::from(bytes[13] & 0x7f);
            let at = bytes[14..14 + length]
                .iter()
                .fold(0, |at, &b| at << 8 | u64::from(b));
            items.push(Item::Cluster(at));
            *cluster = Some(at);
            bytes = &bytes[14 + length..];
        } else {
            assert_eq!(bytes[0], 0xa3);
            let width = bytes[1].leading_zeros() as usize + 1;
            let size = bytes[1..=width]
                .iter()
                .fold(0, |n, &b| n << 8 | u64::from(b))
                ^ 1 << (7 * width);
            let (block, rest) = bytes[1 + width..].split_at(size as usize);
            assert_eq!(block[0], 0x81);
            let relative = i16::from_be_bytes([block[1], block[2]]);
            let at_ms =
                cluster.expect("a Cluster first") + u64::try_from(relative).expect("not negative");
            items.push(Item::Block {
                at_ms,
                key: block[3] == 0x80,
                data: block[4..].to_vec(),
            });
            bytes = rest;
        }
    }
    items
}

#[test]
fn a_video_block_and_its_cluster_are_the_golden_bytes() {
    let mut writer = video();
    let first = writer.write(&frame(300, true));
    let second = writer.write(&frame(333, false));
    assert_eq!(
        hex::encode(&first.container),
        "1f43b67501ffffffffffffffe782012ca3888100008064617461"
    );
    assert_eq!(hex::encode(&second.container), "a3888100210064617461");
    assert_eq!((first.random_access, second.random_access), (true, false));
}

#[test]
fn every_key_frame_begins_a_cluster_that_can_be_joined() {
    let mut writer = video();
    let joins: Vec<bool> = [(0, true), (33, false), (66, true), (99, false)]
        .map(|(at, key)| writer.write(&frame(at, key)).random_access)
        .into();
    assert_eq!(joins, [true, false, true, false]);
}

#[test]
fn video_without_key_frames_begins_clusters_every_5_s_that_cannot_be_joined() {
    let mut writer = video();
    let mut cluster = None;
    let mut begun = Vec::new();
    for at in (0..12_000).step_by(40) {
        let written = writer.write(&frame(at, at == 0));
        assert_eq!(written.random_access, at == 0);
        begun.extend(
            read(&written.container, &mut cluster)
                .into_iter()
                .filter_map(|item| match item {
                    Item::Cluster(at) => Some(at),
                    Item::Block { .. } => None,
                }),
        );
    }
    assert_eq!(begun, [0, 5_000, 10_000]);
}

#[test]
fn audio_can_be_joined_at_the_first_packet_of_each_second() {
    let mut writer = audio();
    let joins: Vec<u64> = (700..3_100)
        .step_by(20)
        .filter(|&at| writer.write(&frame(at, true)).random_access)
        .collect();
    assert_eq!(joins, [700, 1_000, 2_000, 3_000]);
}

#[test]
fn a_silent_packet_is_what_the_writer_would_have_written_wherever_it_was_lost() {
    let mut writer = audio();
    let mut previous = None;
    for at_ms in (1_900..4_100).step_by(20) {
        let packet = EncodedFrame {
            data: Bytes::from_static(&OPUS_SILENCE),
            ..frame(at_ms, true)
        };
        assert_eq!(
            silent_opus(previous, at_ms * 1000),
            writer.write(&packet),
            "at {at_ms} ms"
        );
        previous = Some(at_ms * 1000);
    }
}

#[test]
fn the_init_segment_of_opus_states_the_delay_that_its_head_states() {
    let init = hex::encode(audio().init());
    assert!(
        init.contains("56aa83632ea0"),
        "CodecDelay of 6.5 ms: {init}"
    );
    assert!(
        init.contains("56bb8404c4b400"),
        "SeekPreRoll of 80 ms: {init}"
    );
    assert!(!init.contains("4461"), "no DateUTC: {init}");
}

#[test]
fn an_opus_head_that_is_cut_short_has_no_delay_and_does_not_panic() {
    assert_eq!(opus_delay_ns(b"OpusHead"), 0);
    assert_eq!(opus_delay_ns(&opus_head(2, 312, 48_000)), 6_500_000);
}

#[test]
fn vorbis_headers_longer_than_255_bytes_are_laced_as_xiph_does() {
    let private = vorbis_private([&[1; 30], &[2; 300], &[3; 5]]);
    assert_eq!(private[..4], [2, 30, 255, 45]);
    assert_eq!(private.len(), 4 + 30 + 300 + 5);
}

#[test]
fn sizes_that_would_read_as_unknown_take_one_byte_more() {
    let sizes = [126, 127, 16_382, 16_383].map(|size| {
        let mut out = BytesMut::new();
        put_size(&mut out, size);
        hex::encode(out)
    });
    assert_eq!(sizes, ["fe", "407f", "7ffe", "203fff"]);
}

proptest! {
    #[test]
    fn block_times_never_decrease_and_frames_come_out_as_they_went_in(
        steps in proptest::collection::vec((-3_000_000_i64..9_000_000, any::<bool>(), 0_usize..400), 1..80),
        start in prop_oneof![Just(0_u64), Just(u64::MAX - 1), 0..u64::MAX],
        sound in any::<bool>(),
    ) {
        let mut writer = if sound { audio() } else { video() };
        let (mut cluster, mut last, mut media_us) = (None, 0, start);
        for (step, key, size) in steps {
            media_us = media_us.saturating_add_signed(step);
            let data = Bytes::from(vec![7; size]);
            let key = key || sound;
            let written = writer.write(&EncodedFrame { key, capture: Time::ZERO, media_us, data: data.clone() });
            let items = read(&written.container, &mut cluster);
            prop_assert!(matches!(items[0], Item::Cluster(_)) || !written.random_access);
            let Some(Item::Block { at_ms, key: key_out, data: data_out }) = items.last() else {
                return Err(TestCaseError::fail("no block"));
            };
            prop_assert!(*at_ms >= last && *at_ms >= media_us / 1000);
            prop_assert_eq!((*key_out, data_out), (key, &data.to_vec()));
            last = *at_ms;
        }
    }

    #[test]
    fn a_writer_never_leaves_a_video_key_frame_outside_a_joinable_cluster(
        keys in proptest::collection::vec(any::<bool>(), 1..50),
    ) {
        let mut writer = video();
        for (n, key) in (0..).zip(keys) {
            prop_assert_eq!(writer.write(&frame(n * 33, key)).random_access, key);
        }
    }
}
