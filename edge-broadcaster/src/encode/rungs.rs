//! The encoders that are known, and how each is set for live video: a picture in, a picture out, nothing held back.

use gst::prelude::*;
use gstreamer as gst;
use serde::Deserialize;

use crate::capture::VideoFormat;
use crate::config::VideoConfig;
use crate::elements;

/// What an encoder makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// VP8, which every browser plays.
    Vp8,
    /// H.264, which more boards encode in hardware.
    H264,
}

impl Coding {
    /// A decoder to prove it with, in software.
    pub(super) fn decoder(self) -> Result<gst::Element, elements::Missing> {
        let known: &[&str] = match self {
            Self::Vp8 => &["vp8dec"],
            Self::H264 => &["openh264dec", "avdec_h264"],
        };
        let there = known.iter().find(|name| elements::exists(name).is_ok());
        elements::make(there.unwrap_or(&known[0]))
    }
}

/// An encoder that may be there.
#[derive(Debug)]
pub struct Rung {
    /// GStreamer's element.
    pub element: &'static str,
    /// Whose it is.
    pub of: &'static str,
    /// What it makes.
    pub coding: Coding,
    /// It costs the processor's time, so the board may be too slow for it.
    pub(super) on_processor: bool,
    /// Sets it for live video.
    set: fn(&gst::Element, &VideoFormat, &VideoConfig),
    /// Sets its mean rate while it works, kbit/s. None for those that change their parameter sets with it, which players
    /// were given with the epoch (openh264enc does: measured), or may: others of H.264.
    pub(super) set_rate: Option<fn(&gst::Element, u32)>,
    /// The profile that is asked of it, if it takes such a wish.
    profile: Option<&'static str>,
}

/// All that are known, the best first: hardware costs the processor nothing, and VP8 is played everywhere. (Names from
/// the kernel's stateful codec drivers by way of GStreamer's v4l2 plug-in, and from the makers' plug-ins. None of the
/// hardware was at hand.)
pub const RUNGS: [Rung; 12] = [
    hardware(
        "v4l2vp8enc",
        "hardware, by its V4L2 driver",
        Coding::Vp8,
        v4l2,
        Some(v4l2_rate),
    ),
    hardware(
        "mppvp8enc",
        "Rockchip's hardware",
        Coding::Vp8,
        mpp,
        Some(mpp_rate),
    ),
    hardware(
        "vpuenc_vp8",
        "NXP's hardware",
        Coding::Vp8,
        vpu,
        Some(in_kbps),
    ),
    hardware(
        "vavp8enc",
        "hardware, by VA-API",
        Coding::Vp8,
        va,
        Some(in_kbps),
    ),
    hardware(
        CAMERA,
        "the camera's own H.264",
        Coding::H264,
        |_, _, _| {},
        None,
    ),
    Rung {
        profile: Some("main"),
        ..hardware(
            "v4l2h264enc",
            "hardware, by its V4L2 driver",
            Coding::H264,
            v4l2_h264,
            None,
        )
    },
    hardware("mpph264enc", "Rockchip's hardware", Coding::H264, mpp, None),
    hardware("vpuenc_h264", "NXP's hardware", Coding::H264, vpu, None),
    Rung {
        profile: Some("main"),
        ..hardware("vah264enc", "hardware, by VA-API", Coding::H264, va, None)
    },
    Rung {
        element: "vp8enc",
        of: "software",
        coding: Coding::Vp8,
        on_processor: true,
        set: libvpx,
        set_rate: Some(libvpx_rate),
        profile: None,
    },
    Rung {
        element: "openh264enc",
        of: "software",
        coding: Coding::H264,
        on_processor: true,
        set: openh264,
        set_rate: None,
        profile: Some("constrained-baseline"),
    },
    Rung {
        element: "x264enc",
        of: "software",
        coding: Coding::H264,
        on_processor: true,
        set: x264,
        set_rate: None,
        profile: Some("main"),
    },
];

const fn hardware(
    element: &'static str,
    of: &'static str,
    coding: Coding,
    set: fn(&gst::Element, &VideoFormat, &VideoConfig),
    set_rate: Option<fn(&gst::Element, u32)>,
) -> Rung {
    Rung {
        element,
        of,
        coding,
        on_processor: false,
        set,
        set_rate,
        profile: None,
    }
}

/// The name of the rung that is no element: what a camera encodes itself is taken as it is ([`super::own`]).
const CAMERA: &str = "camera";

/// More threads than this gain nothing at 720p: libvpx splits a picture by rows. Guess.
const MOST_THREADS: usize = 4;
/// Levels of H.264 (ITU-T H.264, table A-1) by macroblocks per picture and per second.
const LEVELS: [(u32, u32, &str); 5] = [
    (1_620, 40_500, "3"),
    (3_600, 108_000, "3.1"),
    (8_192, 245_760, "4"),
    (8_704, 522_240, "4.2"),
    (36_864, 983_040, "5.1"),
];

impl Rung {
    /// The encoder called so, if it is a known one.
    pub fn named(element: &str) -> Option<&'static Self> {
        RUNGS.iter().find(|rung| rung.element == element)
    }

    /// The rung that is a camera's own H.264.
    pub(crate) fn camera() -> &'static Self {
        let camera = RUNGS.iter().find(|rung| rung.is_camera());
        camera.expect("it is one of them")
    }

    /// Whether it is that one, for which nothing is encoded here.
    pub fn is_camera(&self) -> bool {
        self.element == CAMERA
    }

    /// Makes the element, set for live video, and those after it that bring what it makes into the form that is sent:
    /// frames of VP8, or of H.264 with lengths before its NAL units and the parameter sets in the caps.
    pub(super) fn make(
        &self,
        format: &VideoFormat,
        config: &VideoConfig,
    ) -> Result<Vec<gst::Element>, elements::Missing> {
        let encoder = elements::make(self.element)?;
        (self.set)(&encoder, format, config);
        let mut all = vec![encoder];
        if self.coding == Coding::H264 {
            let wished = gst::Caps::builder("video/x-h264");
            let wished = match self.profile {
                // Without a level a Raspberry Pi's driver does not start (read).
                Some(profile) if self.element == "v4l2h264enc" => wished
                    .field("profile", profile)
                    .field("level", level(format)),
                Some(profile) => wished.field("profile", profile),
                None => wished,
            };
            let sent = gst::Caps::builder("video/x-h264")
                .field("stream-format", "avc")
                .field("alignment", "au");
            all.push(filter(wished.build())?);
            all.push(elements::make("h264parse")?);
            all.push(filter(sent.build())?);
        }
        Ok(all)
    }
}

fn filter(caps: gst::Caps) -> Result<gst::Element, elements::Missing> {
    let filter = elements::make("capsfilter")?;
    filter.set_property("caps", caps);
    Ok(filter)
}

/// The lowest level, from 3 on, that pictures of this size and rate fit into.
fn level(format: &VideoFormat) -> &'static str {
    let blocks = format.width.div_ceil(16) * format.height.div_ceil(16);
    let fits = |(most, per_second, _): &&(u32, u32, &str)| {
        blocks <= *most && blocks * format.fps <= *per_second
    };
    LEVELS.iter().find(fits).map_or("5.2", |(.., level)| level)
}

fn libvpx(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    // The defaults are for files: best quality at any delay, a key frame every 128.
    encoder.set_property("deadline", 1_i64);
    encoder.set_property("cpu-used", 8_i32);
    encoder.set_property("lag-in-frames", 0_i32);
    encoder.set_property_from_str("end-usage", "cbr");
    libvpx_rate(encoder, config.bitrate_kbps);
    encoder.set_property("threads", threads());
    // Only if the event that asks for a key frame were lost.
    encoder.set_property("keyframe-max-dist", key_frame_distance(format, config));
}

fn libvpx_rate(encoder: &gst::Element, kbps: u32) {
    encoder.set_property("target-bitrate", kbps as i32 * 1000);
}

fn openh264(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    set_where_it_is(encoder, "usage-type", "camera");
    set_where_it_is(encoder, "complexity", "low");
    set_where_it_is(encoder, "rate-control", "bitrate");
    set_where_it_is(
        encoder,
        "bitrate",
        &(config.bitrate_kbps * 1000).to_string(),
    );
    let distance = key_frame_distance(format, config);
    set_where_it_is(encoder, "gop-size", &distance.to_string());
}

/// Encoders that count as we do.
fn in_kbps(encoder: &gst::Element, kbps: u32) {
    set_where_it_is(encoder, "bitrate", &kbps.to_string());
}

fn x264(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    // No B-frames, no look-ahead, threads by slices: nothing is held back.
    set_where_it_is(encoder, "tune", "zerolatency");
    set_where_it_is(encoder, "speed-preset", "superfast");
    in_kbps(encoder, config.bitrate_kbps);
    set_where_it_is(encoder, "threads", &threads().to_string());
    let distance = key_frame_distance(format, config);
    set_where_it_is(encoder, "key-int-max", &distance.to_string());
}

fn v4l2(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    set_controls(encoder, v4l2_controls(format, config));
}

fn v4l2_h264(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    let mut controls = v4l2_controls(format, config);
    controls.set("h264_i_frame_period", key_frame_distance(format, config));
    controls.set("video_b_frames", 0_i32);
    controls.set("repeat_sequence_header", 1_i32);
    set_controls(encoder, controls);
}

fn v4l2_controls(format: &VideoFormat, config: &VideoConfig) -> gst::Structure {
    gst::Structure::builder("controls")
        .field("video_bitrate", config.bitrate_kbps as i32 * 1000)
        .field("video_bitrate_mode", 1_i32) // constant
        .field("video_gop_size", key_frame_distance(format, config))
        .build()
}

fn v4l2_rate(encoder: &gst::Element, kbps: u32) {
    let controls = gst::Structure::builder("controls").field("video_bitrate", kbps as i32 * 1000);
    set_controls(encoder, controls.build());
}

/// A driver passes over the controls it does not know.
fn set_controls(encoder: &gst::Element, controls: gst::Structure) {
    if encoder.has_property("extra-controls") {
        encoder.set_property("extra-controls", controls);
    }
}

fn mpp(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    let distance = key_frame_distance(format, config);
    mpp_rate(encoder, config.bitrate_kbps);
    set_where_it_is(encoder, "rc-mode", "cbr");
    set_where_it_is(encoder, "gop", &distance.to_string());
}

fn mpp_rate(encoder: &gst::Element, kbps: u32) {
    set_where_it_is(encoder, "bps", &(kbps * 1000).to_string());
}

fn vpu(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    let distance = key_frame_distance(format, config);
    in_kbps(encoder, config.bitrate_kbps);
    set_where_it_is(encoder, "gop-size", &distance.to_string());
}

fn va(encoder: &gst::Element, format: &VideoFormat, config: &VideoConfig) {
    let distance = key_frame_distance(format, config);
    in_kbps(encoder, config.bitrate_kbps);
    set_where_it_is(encoder, "rate-control", "cbr");
    set_where_it_is(encoder, "b-frames", "0");
    // VP8's name for it, and H.264's.
    set_where_it_is(encoder, "keyframe-period", &distance.to_string());
    set_where_it_is(encoder, "key-int-max", &distance.to_string());
}

/// Makers change their properties from version to version; one without a property is left at its default.
fn set_where_it_is(encoder: &gst::Element, property: &str, value: &str) {
    if encoder.has_property(property) {
        encoder.set_property_from_str(property, value);
    }
}

/// Twice what is asked for by events, in frames.
fn key_frame_distance(format: &VideoFormat, config: &VideoConfig) -> i32 {
    (2 * format.fps * config.key_frame_interval_ms / 1000).max(1) as i32
}

/// Half the cores. libvpx' threads wait for each other by spinning: where something else wants the cores
/// too, two threads on two cores took 24 s for 300 pictures of 720p, and one thread 2.4 s (measured).
fn threads() -> i32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, MOST_THREADS) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Pixels;

    #[test]
    fn the_level_is_the_lowest_that_size_and_rate_fit_into() {
        let level = |width, height, fps| {
            level(&VideoFormat {
                pixels: Pixels::I420,
                width,
                height,
                fps,
                stride: width,
            })
        };
        assert_eq!(level(640, 360, 30), "3");
        assert_eq!(level(1280, 720, 30), "3.1");
        assert_eq!(level(1280, 720, 60), "4");
        assert_eq!(level(1920, 1080, 30), "4");
        assert_eq!(level(1920, 1080, 60), "4.2");
        assert_eq!(level(3840, 2160, 30), "5.1");
    }
}
