//! A stream whose parent makes everything up: chunks with any numbers, times and container bytes, gaps, and a play
//! head that moves as it likes. The player carries on, or gives up; it does not panic.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use protocol::chunk::{Chunk, Position};
use protocol::forwarder::Gap;
use protocol::id::StreamId;
use protocol::media::{Codec, Descriptor, Track, TrackInfo};
use protocol::node::Event;
use protocol::playback::{Element, Input};
use protocol::time::Time;
use protocol::viewer::Viewer;

const STREAM: StreamId = StreamId::from_bytes([7; 16]);

fn descriptor(epoch: u32) -> Descriptor {
    let track = |track, codec| TrackInfo {
        track,
        rendition: 0,
        codec,
        kbps: 1,
        init: Bytes::from_static(b"init"),
    };
    let tracks = vec![
        track(Track::Video, Codec::Vp8),
        track(Track::Audio, Codec::Opus),
    ];
    Descriptor {
        stream: STREAM,
        epoch,
        key_id: 0,
        media_origin_us: 0,
        tracks,
    }
}

/// The next step's bytes, at most 255.
fn take<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&length, rest) = data.split_first()?;
    let (step, rest) = rest.split_at(usize::from(length).min(rest.len()));
    *data = rest;
    Some(step)
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take(8)
        .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let mut viewer = Viewer::new(STREAM, Time::ZERO);
    let mut out = Vec::new();
    let mut now = Time::ZERO;
    viewer.news(now, &Event::Epoch(descriptor(1)), &mut out);
    while let Some((&kind, step)) = take(&mut data).and_then(<[u8]>::split_first) {
        now += core::time::Duration::from_millis(u64::from(kind));
        match kind % 6 {
            0 => viewer.handle(now, Input::SourceOpen, &mut out),
            1 => {
                let element = Element {
                    position_us: number(step),
                    wants_to_play: kind > 100,
                    hole_ends_us: None,
                };
                viewer.handle(now, Input::Element(element), &mut out);
            }
            2 => {
                let at = |sequence| Position { epoch: 1, sequence };
                let track = if kind > 100 {
                    Track::Video
                } else {
                    Track::Audio
                };
                let to = at(number(step));
                viewer.news(
                    now,
                    &Event::Skipped(
                        STREAM,
                        Gap {
                            name: (track, 0),
                            from: at(0),
                            to,
                        },
                    ),
                    &mut out,
                );
            }
            3 => viewer.news(now, &Event::Epoch(descriptor(u32::from(kind))), &mut out),
            _ => {
                if let Ok(chunk) = Chunk::decode(Bytes::copy_from_slice(step)) {
                    viewer.news(now, &Event::Chunk(STREAM, chunk), &mut out);
                }
            }
        }
        viewer.handle(now, Input::Tick, &mut out);
        out.clear();
    }
});
