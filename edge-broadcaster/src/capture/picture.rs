//! The test picture: colour bars, a ball that circles, and the capture time, for people and for tests.
//!
//! # Reading the clock back
//!
//! The capture time in milliseconds, modulo 2^32, stands in the picture as 32 squares of
//! [`BLOCK`] = 16 pixels, white for 1 and black for 0, the highest bit first: 16 squares in the row that
//! begins at x = [`LEFT`] = 32, y = [`TOP`] = 32, and the 16 lower bits right below, at y = 48. So bit
//! number `31 - i` is the pixel at
//!
//! ```text
//! x = 32 + 16 * (i % 16) + 8        y = 32 + 16 * (i / 16) + 8
//! ```
//!
//! in a picture of the size that was encoded; it is set if the pixel's brightness is above the middle.
//! The time is the broadcaster's monotonic clock, the one in the chunk headers.

use protocol::time::Time;

use super::canvas::{BLACK, Canvas, GREY, WHITE};
use super::{Pixels, VideoFormat};

/// Side of a square, pixels. Twice a VP8 transform block, so that no bit bleeds into its neighbour.
pub const BLOCK: usize = 16;
/// Left edge of both rows of squares.
pub const LEFT: usize = 32;
/// Upper edge of the upper row.
pub const TOP: usize = 32;
/// Squares in a row.
pub const PER_ROW: usize = 16;

/// 75 % colour bars as (Y, U, V), BT.601.
const BARS: [(u8, u8, u8); 7] = [
    (180, 128, 128),
    (162, 44, 142),
    (131, 156, 44),
    (112, 72, 58),
    (84, 184, 198),
    (65, 100, 212),
    (35, 212, 114),
];
/// Time of the ball for one turn.
const TURN_US: u64 = 4_000_000;

/// Draws test pictures of one size.
#[derive(Debug, Clone)]
pub struct Painter {
    format: VideoFormat,
    background: Vec<u8>,
}

impl Painter {
    /// A painter of pictures `width` by `height`, both even and at least 320 and 180.
    pub fn new(width: u32, height: u32, fps: u32) -> Self {
        let format = VideoFormat {
            pixels: Pixels::I420,
            width,
            height,
            fps,
            stride: width,
        };
        Self {
            background: bars(width as usize, height as usize),
            format,
        }
    }

    /// The format of the pictures.
    pub const fn format(&self) -> &VideoFormat {
        &self.format
    }

    /// The picture seen at `capture`.
    pub fn paint(&self, capture: Time) -> Vec<u8> {
        let (width, height) = (self.format.width as usize, self.format.height as usize);
        let mut canvas = Canvas::new(width, height, self.background.clone());
        ball(&mut canvas, capture);
        squares(&mut canvas, capture);
        // As wide as the picture is, in the lower third.
        let text = clock_text(capture);
        let scale = (width / (text.len() * 12)).max(1);
        canvas.text(&text, height * 3 / 4, scale);
        canvas.into_data()
    }
}

/// Reads the clock out of the luma plane of a decoded picture, in milliseconds. `None` if the plane
/// is too small.
pub fn read_clock_ms(luma: &[u8], stride: usize) -> Option<u32> {
    (0..32).try_fold(0, |value, i| {
        let (x, y) = square(i);
        let pixel = luma.get((y + BLOCK / 2) * stride + x + BLOCK / 2)?;
        Some(value << 1 | u32::from(*pixel > GREY))
    })
}

/// Upper left corner of square `i`.
const fn square(i: usize) -> (usize, usize) {
    (LEFT + BLOCK * (i % PER_ROW), TOP + BLOCK * (i / PER_ROW))
}

fn clock_text(at: Time) -> String {
    let ms = at.as_micros() / 1000;
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    format!(
        "{hours:02}:{minutes:02}:{:02}.{:03}",
        ms / 1000 % 60,
        ms % 1000
    )
}

fn bars(width: usize, height: usize) -> Vec<u8> {
    let colour = |x: usize, width: usize| BARS[x * BARS.len() / width];
    let plane = |width: usize, height: usize, pick: fn((u8, u8, u8)) -> u8| -> Vec<u8> {
        let row: Vec<u8> = (0..width).map(|x| pick(colour(x, width))).collect();
        row.repeat(height)
    };
    let mut data = plane(width, height, |c| c.0);
    data.extend(plane(width / 2, height / 2, |c| c.1));
    data.extend(plane(width / 2, height / 2, |c| c.2));
    data
}

fn ball(canvas: &mut Canvas, at: Time) {
    let turn = (at.as_micros() % TURN_US) as f64 / TURN_US as f64 * std::f64::consts::TAU;
    let radius = canvas.height() / 14;
    let centre_x = canvas.width() as f64 * (0.5 + 0.38 * turn.cos());
    let centre_y = canvas.height() as f64 * (0.5 + 0.2 * turn.sin());
    for row in 0..2 * radius {
        let up = row as f64 + 0.5 - radius as f64;
        let half = ((radius * radius) as f64 - up * up).sqrt();
        let left = (centre_x - half) as usize;
        let y = (centre_y + up) as usize;
        canvas.fill(left, y, (2.0 * half) as usize, 1, WHITE);
    }
}

fn squares(canvas: &mut Canvas, at: Time) {
    let value = (at.as_micros() / 1000) as u32;
    // A rim, so that the first and last squares stand out for people too.
    canvas.fill(LEFT - 4, TOP - 4, PER_ROW * BLOCK + 8, 2 * BLOCK + 8, GREY);
    for i in 0..32 {
        let (x, y) = square(i);
        let set = value >> (31 - i) & 1 == 1;
        canvas.fill(x, y, BLOCK, BLOCK, if set { WHITE } else { BLACK });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_reads_back_from_the_picture_in_every_size() {
        for (width, height) in [(320, 180), (854, 480), (1280, 720), (1920, 1080)] {
            for ms in [0, 1, 0xffff, 0x1_0000, 0xdead_beef] {
                let picture = Painter::new(width, height, 30).paint(Time::from_millis(ms));
                assert_eq!(read_clock_ms(&picture, width as usize), Some(ms as u32));
            }
        }
    }

    #[test]
    fn the_picture_has_the_size_its_format_says() {
        let painter = Painter::new(854, 480, 25);
        assert_eq!(
            Some(painter.paint(Time::ZERO).len()),
            painter.format().size()
        );
    }

    #[test]
    fn two_pictures_a_frame_apart_differ_outside_the_clock_too() {
        let painter = Painter::new(640, 360, 30);
        let (one, two) = (
            painter.paint(Time::ZERO),
            painter.paint(Time::from_millis(33)),
        );
        let below = 640 * 100..640 * 200;
        assert_ne!(one[below.clone()], two[below]);
    }

    #[test]
    fn a_clock_of_a_hundred_hours_still_fits() {
        let at = Time::from_millis(100 * 3_600_000 + 61_005);
        assert_eq!(clock_text(at), "100:01:01.005");
        Painter::new(320, 180, 30).paint(at);
    }

    #[test]
    fn a_plane_too_small_for_the_clock_has_none() {
        assert_eq!(read_clock_ms(&[0; 100], 10), None);
    }
}
