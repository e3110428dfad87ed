//! Text of any size from a bitmap font (ISO 8859-1), smoothed when it is enlarged.
//!
//! The dots of a glyph are samples of a continuous field. A letter covers the points where the interpolated field is
//! above one half, so slanted strokes are straight instead of stepped. The font is monospaced.

use embedded_graphics::mono_font::iso_8859_1::{FONT_6X10, FONT_7X13_BOLD, FONT_9X18_BOLD};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::{DrawTarget, OriginDimensions, Pixel, Point, Size};
use embedded_graphics::text::Baseline;
use embedded_graphics::text::renderer::TextRenderer;

use super::canvas::{Canvas, Color};
use crate::escape_hidden_multiline;

/// A font: a bitmap face, scaled to one text size.
#[derive(Clone, Copy)]
pub(super) struct Font {
    face: &'static MonoFont<'static>,
    scale: f32,
}

/// The bitmap faces, smallest first. A face is used for text heights from its own height up to the height of the next
/// face; the last face is used for all larger heights.
const FACES: [&MonoFont<'_>; 3] = [&FONT_6X10, &FONT_7X13_BOLD, &FONT_9X18_BOLD];

impl Font {
    /// Creates a font whose lines are `height` pixels tall, at least the 10 pixels of the smallest face.
    pub(super) fn with_height(height: f32) -> Self {
        let fits = |face: &&&MonoFont<'_>| face.character_size.height as f32 <= height;
        let face = FACES.iter().rev().find(fits).copied().unwrap_or(FACES[0]);
        Self { face, scale: (height / face.character_size.height as f32).max(1.0) }
    }

    /// Creates the largest font, at most `height` pixels tall, in which `chars` letters fit into `width` pixels.
    pub(super) fn fitting(height: f32, chars: usize, width: f32) -> Self {
        let mut height = height;
        while Self::with_height(height).width_of(chars) > width && height > 10.0 {
            height = (height * 0.95).max(10.0);
        }
        Self::with_height(height)
    }

    /// Returns the height of a line of text in pixels.
    pub(super) fn height(self) -> f32 {
        self.face.character_size.height as f32 * self.scale
    }

    /// Returns the width of `chars` letters in pixels.
    pub(super) fn width_of(self, chars: usize) -> f32 {
        chars as f32 * self.face.character_size.width as f32 * self.scale
    }

    /// Returns how many letters fit into `width` pixels, at least one.
    pub(super) fn chars_in(self, width: f32) -> usize {
        ((width / self.width_of(1)) as usize).max(1)
    }

    /// Draws one line of [`printable`] text with its top left corner at `corner`.
    pub(super) fn draw(self, canvas: &mut Canvas, text: &str, corner: (f32, f32), color: Color) {
        for (index, letter) in text.chars().enumerate() {
            if !letter.is_whitespace() {
                let left = corner.0 + self.width_of(index);
                Glyph::rasterize(self.face, letter).draw(canvas, (left, corner.1), self.scale, color);
            }
        }
    }
}

/// The dots of one letter: one word for each row, one bit for each dot.
struct Glyph {
    size: Size,
    rows: [u32; 20],
}

impl Glyph {
    fn rasterize(face: &MonoFont<'static>, letter: char) -> Self {
        let mut glyph = Self { size: face.character_size, rows: [0; 20] };
        let style = MonoTextStyle::new(face, BinaryColor::On);
        let mut buffer = [0; 4];
        let Ok(_) =
            style.draw_string(letter.encode_utf8(&mut buffer), Point::zero(), Baseline::Top, &mut glyph);
        glyph
    }

    fn dot(&self, x: i32, y: i32) -> f32 {
        let row = usize::try_from(y).ok().and_then(|y| self.rows.get(y)).copied().unwrap_or(0);
        if (0..32).contains(&x) && row >> x & 1 == 1 { 1.0 } else { 0.0 }
    }

    /// Returns the field's value at a point: 0 where there is no dot, 1 where there is a dot, and interpolated between
    /// the centres of the dots. The centre of a dot has coordinates that end in one half.
    fn field(&self, x: f32, y: f32) -> f32 {
        let (left, top) = ((x - 0.5).floor(), (y - 0.5).floor());
        let (right_part, lower_part) = (x - 0.5 - left, y - 0.5 - top);
        let (left, top) = (left as i32, top as i32);
        let upper = self.dot(left, top) * (1.0 - right_part) + self.dot(left + 1, top) * right_part;
        let lower = self.dot(left, top + 1) * (1.0 - right_part) + self.dot(left + 1, top + 1) * right_part;
        upper * (1.0 - lower_part) + lower * lower_part
    }

    fn draw(&self, canvas: &mut Canvas, corner: (f32, f32), scale: f32, color: Color) {
        let (left, top) = (corner.0.round() as i32, corner.1.round() as i32);
        let width = (self.size.width as f32 * scale).ceil() as i32;
        let height = (self.size.height as f32 * scale).ceil() as i32;
        for y in 0..height {
            for x in 0..width {
                let field = self.field((x as f32 + 0.5) / scale, (y as f32 + 0.5) / scale);
                // The edge is one pixel wide, although `field` changes by 1 over `scale` pixels.
                let coverage = ((field - 0.5) * scale + 0.5).clamp(0.0, 1.0);
                if coverage > 0.0 {
                    canvas.blend(left + x, top + y, color, (coverage * 255.0) as u8);
                }
            }
        }
    }
}

impl OriginDimensions for Glyph {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Glyph {
    type Color = BinaryColor;
    type Error = std::convert::Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = Pixel<BinaryColor>>,
    {
        for Pixel(point, color) in pixels {
            let row = usize::try_from(point.y).ok().and_then(|y| self.rows.get_mut(y));
            if let (Some(row), true, 0..32) = (row, color.is_on(), point.x) {
                *row |= 1 << point.x;
            }
        }
        Ok(())
    }
}

/// Replaces the characters that the font lacks: typographic signs by a plain equivalent, hidden characters by an escape
/// such as `\u{202e}`, and all others by `?`.
pub(super) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for letter in escape_hidden_multiline(text).chars() {
        match letter {
            '…' => printable.push_str("..."),
            '‘' | '’' => printable.push('\''),
            '“' | '”' | '„' => printable.push('"'),
            '–' | '—' | '−' => printable.push('-'),
            '→' => printable.push_str("->"),
            ' '..='~' | '\u{A0}'..='\u{FF}' => printable.push(letter),
            letter if letter.is_whitespace() => printable.push(' '),
            _ => printable.push('?'),
        }
    }
    printable
}

/// Breaks `text`, which [`printable`] returned, into at most `max_lines` lines of at most `width` letters, between
/// words if possible. Text that does not fit is cut off, and the last line ends in three dots.
pub(super) fn wrap(text: &str, width: usize, max_lines: usize) -> Vec<String> {
    let (width, mut lines) = (width.max(1), vec![String::new()]);
    for word in text.split_whitespace() {
        let mut letters: &[char] = &word.chars().collect::<Vec<_>>();
        loop {
            let line = lines.last_mut().expect("there is always a line");
            let used = line.chars().count();
            let gap = usize::from(used > 0);
            if used + gap + letters.len() <= width {
                line.extend(std::iter::repeat_n(' ', gap).chain(letters.iter().copied()));
                break;
            }
            if used == 0 {
                let (head, rest) = letters.split_at(width);
                line.extend(head);
                letters = rest;
            }
            lines.push(String::new());
            if lines.len() > max_lines {
                lines.truncate(max_lines);
                if let Some(last) = lines.last_mut() {
                    *last = last.chars().take(width.saturating_sub(3)).collect();
                    last.push_str(&"..."[..width.min(3)]);
                }
                return lines;
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_breaks_between_words() {
        assert_eq!(wrap("no route to host", 8, 9), ["no route", "to host"]);
        assert_eq!(wrap("", 8, 9), [""]);
    }

    #[test]
    fn a_word_longer_than_the_line_is_broken() {
        assert_eq!(wrap("see /dev/v4l/by-id/usb", 8, 9), ["see", "/dev/v4l", "/by-id/u", "sb"]);
    }

    #[test]
    fn what_does_not_fit_is_cut_and_says_so() {
        assert_eq!(wrap("one two three four", 9, 1), ["one tw..."]);
        assert_eq!(wrap("abcdef", 2, 1), [".."]);
        assert_eq!(wrap("one two", 9, 1), ["one two"]);
    }

    #[test]
    fn letters_that_the_font_lacks_become_question_marks() {
        assert_eq!(printable("Opening… “café” 相机"), "Opening... \"café\" ??");
        assert_eq!(printable("gpj.\u{202e}exe\nof\u{2028}\u{85}"), "gpj.\\u{202e}exe of\\u{2028}\\u{85}");
    }

    #[test]
    fn text_is_as_wide_and_high_as_measured() {
        for height in [10.0, 13.0, 25.0, 61.5] {
            let font = Font::with_height(height);
            let mut canvas = Canvas::new(500, 100);
            font.draw(&mut canvas, "ÄgW|", (20.0, 10.0), Color::WHITE);
            let painted = |x: u32, y: u32| canvas.picture().pixel(x, y) != Some([0; 3]);
            let (right, bottom) = (20.0 + font.width_of(4), 10.0 + font.height());
            assert!(font.height() >= height);
            for y in 0..100 {
                for x in 0..500 {
                    let is_inside = (19.0..=right + 1.0).contains(&(x as f32))
                        && (9.0..=bottom + 1.0).contains(&(y as f32));
                    assert!(is_inside || !painted(x, y), "{x},{y} at height {height}");
                }
            }
            assert!((0..500).any(|x| (0..100).any(|y| painted(x, y))));
        }
    }
}
