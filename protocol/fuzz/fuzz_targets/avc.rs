//! What an encoder, or a camera, says of its H.264: a configuration record and pictures. They are refused, or come out as
//! MP4 whose boxes are as long as they say, with the picture in it to the letter.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use protocol::avc::{AvcProfile, is_idr};
use protocol::container::{Shape, TrackFormat, Writer};
use protocol::media::{Codec, EncodedFrame};
use protocol::time::Time;

/// Names and contents of the boxes that fill these bytes to the last.
fn boxes(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[..4].try_into().expect("four")) as usize;
        all.push((&bytes[4..8], &bytes[8..length]));
        bytes = &bytes[length..];
    }
    all
}

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(profile) = text.parse::<AvcProfile>()
    {
        assert_eq!(profile.to_string().parse(), Ok(profile));
    }
    let Some((&length, rest)) = data.split_first() else {
        return;
    };
    let Some((record, picture)) = rest.split_at_checked(length.into()) else {
        return;
    };
    let key = is_idr(picture);
    let Ok(profile) = AvcProfile::of_record(record) else {
        return;
    };
    assert_eq!(profile.to_string().parse(), Ok(profile));
    let mut writer = Writer::new(TrackFormat {
        codec: Codec::H264(profile),
        codec_private: Bytes::copy_from_slice(record),
        kbps: 1,
        shape: Shape::Video {
            width: 640,
            height: 360,
            frame_ns: 33_333_333,
        },
    });
    let init = writer.init();
    let names: Vec<_> = boxes(&init).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, [b"ftyp", b"moov"]);
    let written = writer.write(&EncodedFrame {
        key,
        capture: Time::ZERO,
        media_us: 0,
        data: Bytes::copy_from_slice(picture),
    });
    assert_eq!(written.random_access, key);
    let fragment = boxes(&written.container);
    assert_eq!(fragment[0].0, b"moof");
    assert_eq!(fragment[1], (&b"mdat"[..], picture));
    assert_eq!(fragment.len(), 2);
});
