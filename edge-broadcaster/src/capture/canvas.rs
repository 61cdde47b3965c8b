//! Rectangles and lines of text on a picture in I420. What is drawn has no colour.

use super::font;

/// Luma of black, the middle and white in video range (BT.601). Grey is also the chroma of no colour.
pub(super) const BLACK: u8 = 16;
pub(super) const GREY: u8 = 128;
pub(super) const WHITE: u8 = 235;

/// A picture being drawn.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Canvas {
    /// A canvas over a picture in I420 without gaps between its rows.
    pub(super) fn new(width: usize, height: usize, data: Vec<u8>) -> Self {
        debug_assert_eq!(data.len(), width * height * 3 / 2);
        Self {
            width,
            height,
            data,
        }
    }

    /// A canvas of one grey.
    pub(super) fn plain(width: usize, height: usize, luma: u8) -> Self {
        let mut data = vec![luma; width * height];
        data.resize(width * height * 3 / 2, GREY);
        Self::new(width, height, data)
    }

    pub(super) const fn width(&self) -> usize {
        self.width
    }

    pub(super) const fn height(&self) -> usize {
        self.height
    }

    /// The picture.
    pub(super) fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Fills a rectangle with a grey; what lies outside the picture is left out.
    pub(super) fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, luma: u8) {
        let (right, bottom) = ((x + width).min(self.width), (y + height).min(self.height));
        if x >= right {
            return;
        }
        for row in y..bottom {
            self.data[row * self.width + x..row * self.width + right].fill(luma);
        }
        self.bleach(x, y, right, bottom);
    }

    /// Takes the colour out of a rectangle.
    fn bleach(&mut self, x: usize, y: usize, right: usize, bottom: usize) {
        let (half_width, half_height) = (self.width / 2, self.height / 2);
        let luma = self.width * self.height;
        for plane in [luma, luma + half_width * half_height] {
            for row in y / 2..bottom.div_ceil(2) {
                let start = plane + row * half_width;
                self.data[start + x / 2..start + right.div_ceil(2)].fill(GREY);
            }
        }
    }

    /// Writes a line, white on black, in the middle of the picture's width and around `middle` of its height.
    pub(super) fn text(&mut self, text: &str, middle: usize, scale: usize) {
        let advance = (font::WIDTH + 1) * scale;
        let (width, height) = (text.len() * advance, font::HEIGHT * scale);
        let left = self.width.saturating_sub(width) / 2;
        let top = middle.saturating_sub(height / 2);
        self.fill(
            left.saturating_sub(scale),
            top.saturating_sub(scale),
            width + scale,
            height + 2 * scale,
            BLACK,
        );
        for (n, c) in text.bytes().enumerate() {
            self.glyph(left + n * advance, top, scale, c);
        }
    }

    fn glyph(&mut self, left: usize, top: usize, scale: usize, c: u8) {
        for (row, bits) in font::glyph(c).into_iter().enumerate() {
            let columns = (0..font::WIDTH).filter(|n| bits >> (font::WIDTH - 1 - n) & 1 == 1);
            for column in columns {
                let (x, y) = (left + column * scale, top + row * scale);
                self.fill(x, y, scale, scale, WHITE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_outside_the_picture_is_left_out() {
        let mut canvas = Canvas::plain(320, 180, GREY);
        canvas.fill(310, 170, 100, 100, WHITE);
        canvas.fill(400, 10, 10, 10, WHITE);
        canvas.text(
            "A LINE THAT IS MUCH LONGER THAN THE PICTURE IS WIDE",
            178,
            4,
        );
        let data = canvas.into_data();
        assert_eq!(data.len(), 320 * 180 * 3 / 2);
        assert_eq!(data[179 * 320 + 319], WHITE);
    }
}
