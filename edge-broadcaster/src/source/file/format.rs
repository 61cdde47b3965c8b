//! What GStreamer says a file's track is, as a [`TrackFormat`].

use bytes::Bytes;
use gstreamer as gst;
use protocol::container::{Shape, TrackFormat};
use protocol::media::{Codec, Track};
use protocol::webm::vorbis_private;

/// A track whose codec browsers do not play out of WebM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its {kind} is {name}, but only {allowed} can be played")]
pub(crate) struct Unplayable {
    kind: &'static str,
    name: String,
    allowed: &'static str,
}

/// The codec in these caps; `None` for what is neither video nor audio.
pub(super) fn codec_of(caps: &gst::CapsRef) -> Result<Option<Codec>, Unplayable> {
    let Some(media) = caps.structure(0) else {
        return Ok(None);
    };
    let name = media.name().as_str();
    match name {
        "video/x-vp8" => Ok(Some(Codec::Vp8)),
        "video/x-vp9" => Ok(Some(Codec::Vp9)),
        "audio/x-opus" => Ok(Some(Codec::Opus)),
        "audio/x-vorbis" => Ok(Some(Codec::Vorbis)),
        _ if name.starts_with("video/") || name.starts_with("image/") => Err(Unplayable {
            kind: "video",
            name: called(media),
            allowed: "VP8 and VP9",
        }),
        _ if name.starts_with("audio/") => Err(Unplayable {
            kind: "audio",
            name: called(media),
            allowed: "Opus and Vorbis",
        }),
        _ => Ok(None),
    }
}

/// A codec's name as people say it.
fn called(media: &gst::StructureRef) -> String {
    let name = match media.name().as_str() {
        "video/x-h264" => "H.264",
        "video/x-h265" => "H.265",
        "video/x-av1" => "AV1",
        "video/x-theora" => "Theora",
        "audio/mpeg" => "AAC or MP3",
        "audio/x-flac" => "FLAC",
        "audio/x-raw" => "uncompressed",
        other => {
            let id = media.get::<String>("codec-id");
            return id.unwrap_or_else(|_| other.to_owned());
        }
    };
    name.to_owned()
}

/// The format of a track. `headers` are the packets that came before its first frame.
pub(super) fn format_of(codec: Codec, caps: &gst::CapsRef, headers: &[Bytes]) -> TrackFormat {
    let in_caps = crate::encode::stream_headers(caps);
    let headers = if in_caps.is_empty() {
        headers
    } else {
        &in_caps
    };
    let codec_private = match (codec, headers) {
        (Codec::Opus, [head, ..]) => head.clone(),
        (Codec::Vorbis, [one, two, three, ..]) => vorbis_private([one, two, three]),
        _ => Bytes::new(),
    };
    TrackFormat {
        codec,
        codec_private,
        kbps: 0,
        shape: shape_of(codec.track(), caps),
    }
}

fn shape_of(track: Track, caps: &gst::CapsRef) -> Shape {
    let number = |name: &str| {
        let value = caps.structure(0).and_then(|s| s.get::<i32>(name).ok());
        value.unwrap_or(0).unsigned_abs()
    };
    match track {
        Track::Video => Shape::Video {
            width: number("width"),
            height: number("height"),
            frame_ns: frame_ns(caps),
        },
        Track::Audio => Shape::Audio {
            rate_hz: number("rate"),
            channels: u8::try_from(number("channels")).unwrap_or(u8::MAX),
        },
    }
}

/// Time from frame to frame; 0 if the file does not say.
fn frame_ns(caps: &gst::CapsRef) -> u64 {
    let rate = caps
        .structure(0)
        .and_then(|s| s.get::<gst::Fraction>("framerate").ok());
    let Some((frames, seconds)) = rate.map(|r| (r.numer(), r.denom())) else {
        return 0;
    };
    if frames <= 0 || seconds <= 0 {
        return 0;
    }
    1_000_000_000 * u64::from(seconds.unsigned_abs()) / u64::from(frames.unsigned_abs())
}
