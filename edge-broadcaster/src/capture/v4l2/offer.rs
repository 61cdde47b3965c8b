//! What a camera can give, and which of it to take.

use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::video::Capture;
use v4l::{Device, FourCC};

use crate::capture::Pixels;

/// The rate where a driver lists none. Guess: what nearly every camera does.
const USUAL_FPS: u32 = 30;
/// The size asked of drivers that give any within a range: of what the configuration may want, the
/// largest that fits is found by [`choose`].
const USUAL_SIZES: [(u32, u32); 6] = [
    (320, 180),
    (640, 360),
    (640, 480),
    (854, 480),
    (1280, 720),
    (1920, 1080),
];

/// One thing a camera can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Layout.
    pub pixels: Pixels,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// At most so many frames per second.
    pub fps: u32,
}

impl Offer {
    /// V4L2's name for the layout.
    pub(super) const fn fourcc(&self) -> [u8; 4] {
        match self.pixels {
            Pixels::I420 => *b"YU12",
            Pixels::Nv12 => *b"NV12",
            Pixels::Yuyv => *b"YUYV",
            Pixels::Mjpeg => *b"MJPG",
        }
    }
}

/// The layout by V4L2's name; `None` for those that are not taken.
pub(super) const fn pixels_of(fourcc: [u8; 4]) -> Option<Pixels> {
    match &fourcc {
        b"YU12" => Some(Pixels::I420),
        b"NV12" => Some(Pixels::Nv12),
        b"YUYV" => Some(Pixels::Yuyv),
        b"MJPG" | b"JPEG" => Some(Pixels::Mjpeg),
        _ => None,
    }
}

/// Everything a device offers; nothing for one that is no camera.
pub(super) fn all(device: &Device) -> Vec<Offer> {
    let mut offers = Vec::new();
    for description in device.enum_formats().unwrap_or_default() {
        let Some(pixels) = pixels_of(description.fourcc.repr) else {
            continue;
        };
        for size in device
            .enum_framesizes(description.fourcc)
            .unwrap_or_default()
        {
            for (width, height) in sizes(&size.size) {
                let fps = fastest(device, description.fourcc, width, height);
                offers.push(Offer {
                    pixels,
                    width,
                    height,
                    fps,
                });
            }
        }
    }
    offers
}

fn sizes(offered: &FrameSizeEnum) -> Vec<(u32, u32)> {
    match offered {
        FrameSizeEnum::Discrete(size) => vec![(size.width, size.height)],
        // Listing every step of a range would be millions.
        FrameSizeEnum::Stepwise(range) => USUAL_SIZES
            .into_iter()
            .filter(|(width, height)| {
                (range.min_width..=range.max_width).contains(width)
                    && (range.min_height..=range.max_height).contains(height)
            })
            .collect(),
    }
}

fn fastest(device: &Device, fourcc: FourCC, width: u32, height: u32) -> u32 {
    let intervals = device
        .enum_frameintervals(fourcc, width, height)
        .unwrap_or_default();
    let rates = intervals
        .into_iter()
        .filter_map(|offered| match offered.interval {
            FrameIntervalEnum::Discrete(interval) => super::rate(interval),
            FrameIntervalEnum::Stepwise(range) => super::rate(range.min),
        });
    rates.max().unwrap_or(USUAL_FPS)
}

/// What comes nearest to what is wanted: size first, then rate, then what costs least to encode.
pub(super) fn choose(offers: &[Offer], width: u32, height: u32, fps: u32) -> Option<&Offer> {
    offers.iter().min_by_key(|offer| {
        let away = offer.width.abs_diff(width) + offer.height.abs_diff(height);
        (away, fps.saturating_sub(offer.fps), offer.pixels)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn offer(pixels: Pixels, width: u32, height: u32, fps: u32) -> Offer {
        Offer {
            pixels,
            width,
            height,
            fps,
        }
    }

    /// A usual USB 2 camera: its raw pictures are slow when large.
    const WEBCAM: [Offer; 4] = [
        offer(Pixels::Yuyv, 640, 480, 30),
        offer(Pixels::Yuyv, 1280, 720, 10),
        offer(Pixels::Mjpeg, 640, 480, 30),
        offer(Pixels::Mjpeg, 1280, 720, 30),
    ];

    #[test]
    fn a_webcam_gives_jpeg_where_raw_pictures_would_be_too_slow() {
        assert_eq!(choose(&WEBCAM, 1280, 720, 30), Some(&WEBCAM[3]));
    }

    #[test]
    fn raw_pictures_are_taken_where_they_are_fast_enough() {
        assert_eq!(choose(&WEBCAM, 640, 480, 30), Some(&WEBCAM[0]));
        assert_eq!(choose(&WEBCAM, 1280, 720, 10), Some(&WEBCAM[1]));
    }

    #[test]
    fn a_size_the_camera_lacks_gives_the_nearest() {
        assert_eq!(choose(&WEBCAM, 1920, 1080, 30), Some(&WEBCAM[3]));
        assert_eq!(choose(&[], 640, 480, 30), None);
    }

    #[test]
    fn layouts_are_called_as_v4l2_calls_them() {
        for pixels in [Pixels::I420, Pixels::Nv12, Pixels::Yuyv, Pixels::Mjpeg] {
            assert_eq!(pixels_of(offer(pixels, 2, 2, 1).fourcc()), Some(pixels));
        }
        assert_eq!(pixels_of(*b"H264"), None);
    }
}
