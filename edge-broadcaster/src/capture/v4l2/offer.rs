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
            Pixels::H264 => *b"H264",
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
        b"H264" => Some(Pixels::H264),
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

/// How far an offer is from what is wanted: at least half the rate, then the size, then the rate.
fn distance(offer: &Offer, width: u32, height: u32, fps: u32) -> (bool, u32, u32) {
    let away = offer.width.abs_diff(width) + offer.height.abs_diff(height);
    let jerky = offer.fps * 2 < fps;
    (jerky, away, fps.saturating_sub(offer.fps))
}

/// What comes nearest to what is wanted, and why it does; of what is as near, what costs least to encode: a raw picture is
/// one that need not be decoded first. The camera's own H.264 is another matter: [`choose_own`].
pub(super) fn choose(
    offers: &[Offer],
    width: u32,
    height: u32,
    fps: u32,
) -> Option<(&Offer, String)> {
    let pictures = offers.iter().filter(|offer| offer.pixels != Pixels::H264);
    let best = pictures.min_by_key(|offer| (distance(offer, width, height, fps), offer.pixels))?;
    Some((best, reason(best, offers, width, height, fps)))
}

/// The camera's own H.264 in the size of what [`choose`] would take, and no fewer pictures a second, and why it is that one: if
/// it comes to nothing, the stream goes on with those.
pub(super) fn choose_own(
    offers: &[Offer],
    width: u32,
    height: u32,
    fps: u32,
) -> Option<(&Offer, String)> {
    let (else_, _) = choose(offers, width, height, fps)?;
    let own = offers.iter().filter(|own| {
        let is_size = (own.width, own.height) == (else_.width, else_.height);
        own.pixels == Pixels::H264 && is_size && own.fps.min(fps) >= else_.fps.min(fps)
    });
    let best = own.max_by_key(|own| own.fps)?;
    let words = "it encodes that itself, which costs this board nothing";
    Some((best, words.to_owned()))
}

fn reason(best: &Offer, offers: &[Offer], width: u32, height: u32, fps: u32) -> String {
    let size = (best.width, best.height);
    let mut words = match (size == (width, height), best.fps >= fps) {
        (true, true) => format!("it has the {width}x{height} at {fps} frames/s that is wanted"),
        (true, false) => format!("it has {width}x{height} at {} frames/s at most", best.fps),
        (false, _) => format!("nothing it has is nearer to {width}x{height} at {fps} frames/s"),
    };
    let raw = offers
        .iter()
        .filter(|offer| (offer.width, offer.height) == size && offer.pixels < Pixels::Mjpeg)
        .map(|offer| offer.fps)
        .max();
    words += match (best.pixels, raw) {
        (Pixels::Mjpeg, Some(raw)) => {
            return words + &format!(", and raw only at {raw}");
        }
        (Pixels::Mjpeg, None) => ", and in this size only as JPEG",
        _ => ", without JPEG to decode",
    };
    words
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
    static WEBCAM: [Offer; 4] = [
        offer(Pixels::Yuyv, 640, 480, 30),
        offer(Pixels::Yuyv, 1280, 720, 10),
        offer(Pixels::Mjpeg, 640, 480, 30),
        offer(Pixels::Mjpeg, 1280, 720, 30),
    ];

    fn chosen(width: u32, height: u32, fps: u32) -> (&'static Offer, String) {
        choose(&WEBCAM, width, height, fps).expect("something")
    }

    #[test]
    fn a_smaller_picture_that_moves_is_taken_before_a_large_one_that_does_not() {
        let offers = [
            offer(Pixels::Yuyv, 1920, 1080, 5),
            offer(Pixels::Yuyv, 1280, 720, 20),
        ];
        let best = choose(&offers, 1920, 1080, 30).map(|(best, _)| best);
        assert_eq!(best, Some(&offers[1]));
    }

    #[test]
    fn a_webcam_gives_jpeg_where_raw_pictures_would_be_too_slow() {
        assert_eq!(
            chosen(1280, 720, 30),
            (
                &WEBCAM[3],
                "it has the 1280x720 at 30 frames/s that is wanted, and raw only at 10".into()
            )
        );
    }

    #[test]
    fn raw_pictures_are_taken_where_they_are_fast_enough() {
        assert_eq!(
            chosen(640, 480, 30),
            (
                &WEBCAM[0],
                "it has the 640x480 at 30 frames/s that is wanted, without JPEG to decode".into()
            )
        );
        assert_eq!(chosen(1280, 720, 10).0, &WEBCAM[1]);
    }

    #[test]
    fn a_size_the_camera_lacks_gives_the_nearest() {
        assert_eq!(
            chosen(1920, 1080, 30),
            (
                &WEBCAM[3],
                "nothing it has is nearer to 1920x1080 at 30 frames/s, and raw only at 10".into()
            )
        );
        assert_eq!(choose(&[], 640, 480, 30), None);
    }

    #[test]
    fn layouts_are_called_as_v4l2_calls_them() {
        for pixels in Pixels::ALL {
            assert_eq!(pixels_of(offer(pixels, 2, 2, 1).fourcc()), Some(pixels));
        }
        assert_eq!(pixels_of(*b"HEVC"), None);
    }

    #[test]
    fn a_cameras_own_h264_is_taken_in_the_size_that_its_pictures_would_have_and_else_never() {
        let mut offers = WEBCAM.to_vec();
        offers.push(offer(Pixels::H264, 1280, 720, 30));
        assert_eq!(
            choose(&offers, 1280, 720, 30),
            choose(&WEBCAM, 1280, 720, 30)
        );
        let own = |width, height, fps| choose_own(&offers, width, height, fps).map(|(own, _)| own);
        assert_eq!(own(1280, 720, 30), Some(&offers[4]));
        assert_eq!(own(1920, 1080, 30), Some(&offers[4]));
        assert_eq!(own(640, 480, 30), None);
        assert_eq!(choose_own(&WEBCAM, 1280, 720, 30), None);
    }
}
