use proptest::prelude::*;

use super::*;
use crate::avc::{AvcProfile, tests::record};
use crate::media::Codec;
use crate::time::Time;

fn writer() -> Writer {
    let record = record();
    Writer::new(TrackFormat {
        codec: Codec::H264(AvcProfile::of_record(&record).expect("a record")),
        codec_private: record.into(),
        kbps: 1000,
        shape: Shape::Video {
            width: 640,
            height: 360,
            frame_ns: 33_333_333,
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

/// Boxes that hold others and nothing else.
const HOLDERS: [&str; 9] = [
    "moov", "trak", "mdia", "minf", "dinf", "stbl", "mvex", "moof", "traf",
];

/// Names of all boxes with what they hold, those within others after them. Panics at a length that does not fit.
fn boxes(mut bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
        let name = String::from_utf8(bytes[4..8].to_vec()).expect("a name");
        let inside = &bytes[8..length];
        found.push((name.clone(), inside.to_vec()));
        if HOLDERS.contains(&name.as_str()) {
            found.extend(boxes(inside));
        }
        bytes = &bytes[length..];
    }
    found
}

fn names(bytes: &[u8]) -> String {
    let names: Vec<String> = boxes(bytes).into_iter().map(|(name, _)| name).collect();
    names.join(" ")
}

fn inside(bytes: &[u8], name: &str) -> Vec<u8> {
    let found = boxes(bytes).into_iter().find(|(n, _)| n == name);
    found.expect(name).1
}

/// The time a fragment says.
fn time(fragment: &[u8]) -> u64 {
    u64::from_be_bytes(inside(fragment, "tfdt")[4..].try_into().expect("64 bits"))
}

#[test]
fn the_init_segment_has_every_box_that_browsers_ask_for_and_the_encoders_record() {
    let init = writer().init();
    assert_eq!(
        names(&init),
        "ftyp moov mvhd trak tkhd mdia mdhd hdlr minf vmhd dinf dref stbl stsd stts stsc stsz stco mvex trex"
    );
    let entries = inside(&init, "stsd");
    let (name, entry) = boxes(&entries[8..]).remove(0);
    assert_eq!(name, "avc1");
    assert_eq!(entry[24..28], [0x02, 0x80, 0x01, 0x68], "640 x 360");
    assert_eq!(boxes(&entry[78..]), [("avcC".to_owned(), record())]);
}

#[test]
fn a_frame_is_a_fragment_of_the_golden_bytes() {
    let mut writer = writer();
    let first = writer.write(&frame(300, true));
    let second = writer.write(&frame(333, false));
    assert_eq!(
        hex::encode(&first.container),
        concat!(
            "000000606d6f6f66 000000106d6668640000000000000001 0000004874726166",
            "00000010746668640002000000000001 00000014746664740100000000000000 0000012c",
            "0000001c7472756e0000060100000001000000680000000402000000 0000000c6d646174 64617461"
        )
        .replace(' ', "")
    );
    assert_eq!(
        names(&second.container),
        "moof mfhd traf tfhd tfdt trun mdat"
    );
    assert_eq!(time(&second.container), 333);
    assert_eq!((first.random_access, second.random_access), (true, false));
}

#[test]
fn a_frame_lasts_three_frame_times_and_at_least_a_tenth_of_a_second() {
    assert_eq!(lasts_ms(0), 100);
    assert_eq!(lasts_ms(33_333_333), 100);
    assert_eq!(lasts_ms(100_000_000), 300);
    let defaults = inside(&writer().init(), "trex");
    assert_eq!(defaults[12..16], 100_u32.to_be_bytes());
}

proptest! {
    #[test]
    fn times_grow_and_the_data_stays_whatever_goes_in(
        frames in proptest::collection::vec((any::<u32>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..50)), 1..20)
    ) {
        let mut writer = writer();
        let mut last = None;
        for (at, key, data) in frames {
            let data = Bytes::from(data);
            let written = writer.write(&EncodedFrame { data: data.clone(), ..frame(at.into(), key) });
            prop_assert_eq!(inside(&written.container, "mdat"), &data[..]);
            prop_assert_eq!(written.container.len(), FRAGMENT_HEAD + data.len());
            let at = time(&written.container);
            prop_assert!(last.is_none_or(|last| at > last));
            last = Some(at);
        }
    }
}
