//! What a camera and a microphone give, whatever they are.

use protocol::time::Time;

pub mod alsa;
mod canvas;
mod drift;
mod font;
pub mod picture;
mod resample;
pub mod slate;
pub(crate) mod steady;
pub(crate) mod timeline;
pub mod tone;
pub mod v4l2;

/// How a picture's bytes are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pixels {
    /// Three planes: Y, then U and V at half size.
    I420,
    /// Two planes: Y, then U and V by turns at half size.
    Nv12,
    /// One plane: Y U Y V.
    Yuyv,
    /// A JPEG picture.
    Mjpeg,
    /// A picture of H.264, as the camera's own encoder made it.
    H264,
}

impl Pixels {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::I420, Self::Nv12, Self::Yuyv, Self::Mjpeg, Self::H264];
}

/// What all pictures of a source have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoFormat {
    /// Layout.
    pub pixels: Pixels,
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Nominal frames per second.
    pub fps: u32,
    /// Bytes from one row of the first plane to the next; 0 for JPEG and H.264.
    pub stride: u32,
}

impl VideoFormat {
    /// Where each plane begins, and its bytes per row.
    pub fn planes(&self) -> (Vec<usize>, Vec<i32>) {
        let (stride, rows) = (self.stride as usize, self.height as usize);
        let luma = stride * rows;
        match self.pixels {
            Pixels::I420 => {
                let half = stride / 2;
                (
                    vec![0, luma, luma + half * rows / 2],
                    vec![stride as i32, half as i32, half as i32],
                )
            }
            Pixels::Nv12 => (vec![0, luma], vec![stride as i32; 2]),
            Pixels::Yuyv => (vec![0], vec![stride as i32]),
            Pixels::Mjpeg | Pixels::H264 => (Vec::new(), Vec::new()),
        }
    }

    /// Bytes of a whole picture; `None` for JPEG and H.264, where each differs.
    pub fn size(&self) -> Option<usize> {
        let luma = self.stride as usize * self.height as usize;
        match self.pixels {
            Pixels::I420 | Pixels::Nv12 => Some(luma * 3 / 2),
            Pixels::Yuyv => Some(luma),
            Pixels::Mjpeg | Pixels::H264 => None,
        }
    }
}

/// One picture.
#[derive(Debug, Clone)]
pub struct VideoFrame {
    /// When it was seen.
    pub capture: Time,
    /// Its bytes, as the source's [`VideoFormat`] says.
    pub data: Vec<u8>,
}

/// What all blocks of sound of a source have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioFormat {
    /// Samples per second and channel.
    pub rate_hz: u32,
    /// 1 or 2.
    pub channels: u8,
}

/// A few milliseconds of sound.
#[derive(Debug, Clone)]
pub struct AudioBlock {
    /// When the first sample was heard.
    pub capture: Time,
    /// Channels by turns.
    pub samples: Vec<i16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_follow_each_other_without_a_gap() {
        let format = VideoFormat {
            pixels: Pixels::I420,
            width: 854,
            height: 480,
            fps: 30,
            stride: 864,
        };
        let (offsets, strides) = format.planes();
        assert_eq!(strides, [864, 432, 432]);
        assert_eq!(offsets, [0, 864 * 480, 864 * 480 + 432 * 240]);
        assert_eq!(format.size(), Some(864 * 480 * 3 / 2));
    }
}
