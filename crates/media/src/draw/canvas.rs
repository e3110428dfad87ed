//! A surface to draw on: rectangles, gradients, stripes, discs and other pictures. All drawing is clipped to the
//! surface.

use crate::codec::RgbImage;

/// A colour in the sRGB colour space of screens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Color(pub(super) u8, pub(super) u8, pub(super) u8);

impl Color {
    pub(super) const BLACK: Self = Self(0, 0, 0);
    pub(super) const WHITE: Self = Self(255, 255, 255);

    /// Mixes the colour with `other`. `part` is the share of `other`, from 0 (none) to 255 (all).
    pub(super) fn mix(self, other: Self, part: u8) -> Self {
        Self(mix(self.0, other.0, part), mix(self.1, other.1, part), mix(self.2, other.2, part))
    }
}

fn mix(from: u8, to: u8, part: u8) -> u8 {
    let (from, to, part) = (u32::from(from), u32::from(to), u32::from(part));
    ((from * (255 - part) + to * part + 127) / 255) as u8
}

/// A rectangle in pixels, which can lie partly or wholly outside the surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl Rect {
    pub(super) const fn new(x: i32, y: i32, width: i32, height: i32) -> Self {
        Self { x, y, width, height }
    }

    pub(super) const fn right(self) -> i32 {
        self.x.saturating_add(self.width)
    }

    pub(super) const fn bottom(self) -> i32 {
        self.y.saturating_add(self.height)
    }
}

/// A picture that is being painted.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    picture: RgbImage,
}

impl Canvas {
    pub(super) fn new(width_px: u32, height_px: u32) -> Self {
        Self { picture: RgbImage::new(width_px, height_px) }
    }

    pub(super) fn picture(&self) -> &RgbImage {
        &self.picture
    }

    pub(super) fn into_picture(self) -> RgbImage {
        self.picture
    }

    pub(super) fn bounds(&self) -> Rect {
        let side = |px: u32| i32::try_from(px).unwrap_or(i32::MAX);
        Rect::new(0, 0, side(self.picture.width_px()), side(self.picture.height_px()))
    }

    /// Returns the bytes of row `y` from column `left` to `right`, clipped to the surface; empty if the row is outside.
    fn row(&mut self, y: i32, left: i32, right: i32) -> &mut [u8] {
        let bounds = self.bounds();
        let (left, right) = (left.clamp(0, bounds.width), right.clamp(0, bounds.width));
        if !(0..bounds.height).contains(&y) || left >= right {
            return &mut [];
        }
        let start = y as usize * bounds.width as usize;
        &mut self.picture.data_mut()[3 * (start + left as usize)..3 * (start + right as usize)]
    }

    fn rows(&self, rect: Rect) -> std::ops::Range<i32> {
        let height = self.bounds().height;
        rect.y.clamp(0, height)..rect.bottom().clamp(0, height)
    }

    /// Fills a rectangle.
    pub(super) fn fill(&mut self, rect: Rect, color: Color) {
        for y in self.rows(rect) {
            fill_row(self.row(y, rect.x, rect.right()), color);
        }
    }

    /// Fills the surface with a vertical gradient from the colour `top` to the colour `bottom`.
    pub(super) fn fill_gradient(&mut self, top: Color, bottom: Color) {
        let bounds = self.bounds();
        for y in 0..bounds.height {
            let part = (i64::from(y) * 255 / i64::from(bounds.height.max(2) - 1)) as u8;
            fill_row(self.row(y, 0, bounds.width), top.mix(bottom, part));
        }
    }

    /// Mixes `color` into one pixel. `coverage` is the share of `color`, from 0 (none) to 255 (all).
    pub(super) fn blend(&mut self, x: i32, y: i32, color: Color, coverage: u8) {
        if let [r, g, b] = self.row(y, x, x.saturating_add(1)) {
            (*r, *g, *b) =
                (mix(*r, color.0, coverage), mix(*g, color.1, coverage), mix(*b, color.2, coverage));
        }
    }

    /// Paints diagonal stripes at 45 degrees over the content of `rect`. Each stripe is `stripe` pixels wide, measured
    /// along a row.
    pub(super) fn fill_stripes(&mut self, rect: Rect, color: Color, stripe: i32) {
        let stripe = stripe.max(1);
        for y in self.rows(rect) {
            let row = self.row(y, rect.x, rect.right());
            for (pixel, x) in row.chunks_exact_mut(3).zip(rect.x.max(0)..) {
                if (x + y) / stripe % 2 == 0 {
                    pixel.copy_from_slice(&[color.0, color.1, color.2]);
                }
            }
        }
    }

    /// Paints a disc with a smooth edge. `coverage` is its opacity, from 0 to 255.
    pub(super) fn fill_disc(&mut self, center: (f32, f32), radius: f32, color: Color, coverage: u8) {
        let rect = disc_bounds(center, radius + 1.0);
        for y in self.rows(rect) {
            for x in rect.x.max(0)..rect.right().min(self.bounds().width) {
                let distance = (x as f32 + 0.5 - center.0).hypot(y as f32 + 0.5 - center.1);
                let inside = (radius - distance + 0.5).clamp(0.0, 1.0);
                if inside > 0.0 {
                    self.blend(x, y, color, (inside * f32::from(coverage)) as u8);
                }
            }
        }
    }

    /// Fills the whole surface with `picture`, scaled. If `picture` has another aspect ratio, the middle of its longer
    /// side is used. `paint` converts the colour of each pixel.
    pub(super) fn cover_with(&mut self, picture: &RgbImage, paint: impl Fn(Color) -> Color) {
        let (width, height) = (self.picture.width_px(), self.picture.height_px());
        let (from_width, from_height) = (picture.width_px(), picture.height_px());
        if from_width == 0 || from_height == 0 {
            return;
        }
        // The step between pixels of the source, the same in both directions.
        let step = (from_width as f32 / width as f32).min(from_height as f32 / height as f32);
        let left = (from_width as f32 - width as f32 * step) / 2.0;
        let top = (from_height as f32 - height as f32 * step) / 2.0;
        let columns = spans(width, left, step, from_width);
        let rows = spans(height, top, step, from_height);
        for (y, &row) in (0..).zip(&rows) {
            let target = self.row(y, 0, columns.len() as i32).chunks_exact_mut(3);
            for (pixel, &column) in target.zip(&columns) {
                let color = paint(average(picture, column, row));
                pixel.copy_from_slice(&[color.0, color.1, color.2]);
            }
        }
    }
}

/// Returns, for each of `len` pixels along a side of the target, the first and the last pixel of the source that the
/// target pixel covers. The first target pixel begins at `start` in the source, and each covers `step` source pixels.
fn spans(len: u32, start: f32, step: f32, from_len: u32) -> Vec<(u32, u32)> {
    let last = from_len - 1;
    let span = |index: u32| {
        let from = (start + index as f32 * step).max(0.0) as u32;
        let to = (start + (index + 1) as f32 * step).ceil().max(1.0) as u32 - 1;
        (from.min(last), to.min(last).max(from.min(last)))
    };
    (0..len).map(span).collect()
}

/// The maximum number of samples along each side of the source area that is averaged into one pixel. More than four by
/// four samples would make no visible difference in a background.
const SAMPLES: usize = 4;

fn average(picture: &RgbImage, columns: (u32, u32), rows: (u32, u32)) -> Color {
    let stride = |span: (u32, u32)| ((span.1 - span.0 + 1) as usize).div_ceil(SAMPLES);
    let (mut sum, mut count) = ([0_u32; 3], 0);
    for y in (rows.0..=rows.1).step_by(stride(rows)) {
        for x in (columns.0..=columns.1).step_by(stride(columns)) {
            let pixel = picture.pixel(x, y).expect("spans lie within the picture");
            for (sum, value) in sum.iter_mut().zip(pixel) {
                *sum += u32::from(value);
            }
            count += 1;
        }
    }
    let [r, g, b] = sum.map(|sum| (sum / count) as u8);
    Color(r, g, b)
}

fn fill_row(row: &mut [u8], color: Color) {
    for pixel in row.chunks_exact_mut(3) {
        pixel.copy_from_slice(&[color.0, color.1, color.2]);
    }
}

/// Returns the smallest rectangle of whole pixels that contains the disc.
pub(super) fn disc_bounds(center: (f32, f32), radius: f32) -> Rect {
    let (x, y) = ((center.0 - radius).floor() as i32, (center.1 - radius).floor() as i32);
    let side = (2.0 * radius).ceil() as i32 + 2;
    Rect::new(x, y, side, side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn painting_is_clipped_to_the_surface() {
        let mut canvas = Canvas::new(8, 4);
        for rect in [Rect::new(-5, -5, 7, 7), Rect::new(6, 2, 100, 100), Rect::new(i32::MAX, 0, i32::MAX, 1)]
        {
            canvas.fill(rect, Color::WHITE);
            canvas.fill_stripes(rect, Color::WHITE, 2);
        }
        canvas.blend(-1, 9, Color::WHITE, 255);
        canvas.fill_disc((0.0, 0.0), 3.0, Color::WHITE, 255);
        assert_eq!(canvas.picture().pixel(1, 1), Some([255; 3]));
        assert_eq!(canvas.picture().pixel(4, 0), Some([0; 3]));
        assert_eq!(canvas.picture().pixel(7, 3), Some([255; 3]));
    }

    #[test]
    fn a_background_of_any_size_covers_the_surface() {
        for (width_px, height_px) in [(1, 1), (3, 200), (200, 3), (64, 36), (1000, 1000)] {
            let mut background = RgbImage::new(width_px, height_px);
            background.data_mut().fill(200);
            let mut canvas = Canvas::new(64, 36);
            canvas.cover_with(&background, |color| color);
            assert!(canvas.picture().data().iter().all(|&value| value == 200));
        }
    }

    #[test]
    fn a_background_keeps_its_proportions() {
        let mut background = RgbImage::new(40, 20);
        for (index, pixel) in background.data_mut().chunks_exact_mut(3).enumerate() {
            pixel.fill(if (10..30).contains(&(index % 40)) { 255 } else { 0 });
        }
        let mut canvas = Canvas::new(10, 10);
        canvas.cover_with(&background, |color| color);
        assert!(canvas.picture().data().iter().all(|&value| value == 255));
    }
}
