//! The slate: the picture that a viewer sees while a camera is not live.
//!
//! A viewer must not mistake the slate for a live picture: the background is dark and colourless, striped bands run
//! along its edges, and the headline says what is wrong.

use super::canvas::{Canvas, Color, Rect};
use super::text::{Font, printable, wrap};
use crate::codec::RgbImage;

/// The text and the size of a slate about a camera that is not live.
#[derive(Debug, Clone, Copy)]
pub struct Slate<'a> {
    /// The name of the camera, shown above the headline.
    pub camera: &'a str,
    /// The problem in a word or two: "Lost", "Opening…".
    pub headline: &'a str,
    /// Details, each a paragraph: the reason, since when the camera is not live, and when the next attempt begins.
    pub lines: &'a [&'a str],
    /// The last good picture of the camera, drawn dimmed and grey behind the text.
    pub background: Option<&'a RgbImage>,
    /// Width in pixels, clamped to the range 320 to 4096.
    pub width_px: u32,
    /// Height in pixels, clamped to the range 180 to 4096.
    pub height_px: u32,
}

const MIN_WIDTH_PX: u32 = 320;
const MIN_HEIGHT_PX: u32 = 180;
const MAX_SIDE_PX: u32 = 4096;

const BACKGROUND_TOP: Color = Color(0x2B, 0x2E, 0x33);
const BACKGROUND_BOTTOM: Color = Color(0x17, 0x19, 0x1C);
const AMBER: Color = Color(0xF2, 0xA9, 0x1B);
const PALE: Color = Color(0xE0, 0xE3, 0xE8);

/// Draws a slate. The text scales with the picture and is wrapped; text that does not fit is cut off.
///
/// Drawing takes about as long as encoding the picture, mostly for the background.
pub fn slate(slate: &Slate<'_>) -> RgbImage {
    let width = slate.width_px.clamp(MIN_WIDTH_PX, MAX_SIDE_PX);
    let height = slate.height_px.clamp(MIN_HEIGHT_PX, MAX_SIDE_PX);
    let mut canvas = Canvas::new(width, height);
    match slate.background {
        Some(picture) => canvas.cover_with(picture, dimmed),
        None => canvas.fill_gradient(BACKGROUND_TOP, BACKGROUND_BOTTOM),
    }
    // Sizes are relative to the largest 16:9 picture that fits, so that text has the same proportion in tall and wide
    // pictures.
    let unit = (width as f32 * 9.0 / 16.0).min(height as f32);
    let band = (unit * 0.045).round().max(8.0);
    paint_bands(&mut canvas, band as i32);
    draw_text(&mut canvas, slate, unit, band);
    canvas.into_picture()
}

/// Returns the colour as a grey that is too dark to compete with the text.
fn dimmed(color: Color) -> Color {
    let luma = (77 * u32::from(color.0) + 150 * u32::from(color.1) + 29 * u32::from(color.2)) >> 8;
    let luma = (luma * 2 / 9) as u8;
    Color(luma + 10, luma + 11, luma + 13)
}

fn paint_bands(canvas: &mut Canvas, band: i32) {
    let bounds = canvas.bounds();
    for top in [0, bounds.height - band] {
        let rect = Rect::new(0, top, bounds.width, band);
        canvas.fill(rect, Color::BLACK);
        canvas.fill_stripes(rect, AMBER, band);
    }
}

/// Writes name, headline and lines between the bands, as one block that is centred vertically.
fn draw_text(canvas: &mut Canvas, slate: &Slate<'_>, unit: f32, band: f32) {
    let bounds = canvas.bounds();
    let margin = unit * 0.08;
    let left = margin + unit * 0.045;
    let room_width = bounds.width as f32 - left - margin;
    let room_height = bounds.height as f32 - 2.0 * (band + unit * 0.04);
    let (name_font, line_font) = (Font::with_height(unit * 0.085), Font::with_height(unit * 0.068));
    let headline = printable(slate.headline);
    let headline_font = Font::fitting(unit * 0.19, headline.chars().count(), room_width);

    let head_height = name_font.height() * 1.25 + headline_font.height() * 1.1;
    let line_height = line_font.height() * 1.25;
    let max_lines = ((room_height - head_height) / line_height) as usize;
    let lines = wrap_paragraphs(slate.lines, line_font.chars_in(room_width), max_lines);

    let block_height = head_height + line_height * lines.len() as f32;
    let mut top = (bounds.height as f32 - block_height) / 2.0;
    let bar = Rect::new(margin as i32, top as i32, (unit * 0.015).ceil() as i32, block_height as i32);
    canvas.fill(bar, AMBER);

    let name = wrap(&printable(slate.camera), name_font.chars_in(room_width), 1).remove(0);
    name_font.draw(canvas, &name, (left, top), PALE);
    top += name_font.height() * 1.25;
    let headline = wrap(&headline, headline_font.chars_in(room_width), 1).remove(0);
    headline_font.draw(canvas, &headline, (left, top), Color::WHITE);
    top += headline_font.height() * 1.1;
    for line in lines {
        line_font.draw(canvas, &line, (left, top + line_height * 0.1), PALE);
        top += line_height;
    }
}

/// Wraps all paragraphs into at most `max_lines` lines. If they do not fit, long paragraphs are cut so that each later
/// paragraph keeps at least one line while there are enough lines. So a long reason does not displace the time of the
/// next attempt.
fn wrap_paragraphs(texts: &[&str], width: usize, max_lines: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let left = max_lines.saturating_sub(lines.len());
        if left == 0 {
            break;
        }
        let after = texts.len() - index - 1;
        lines.extend(wrap(&printable(text), width, left.saturating_sub(after).max(1)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(width_px: u32, height_px: u32) -> Slate<'static> {
        Slate {
            camera: "front door",
            headline: "Lost",
            lines: &["No such device: /dev/video0", "since 14:02:11", "next try in 8 s"],
            background: None,
            width_px,
            height_px,
        }
    }

    #[test]
    fn a_slate_is_as_large_as_asked_within_its_bounds() {
        for (asked, drawn) in [((640, 480), (640, 480)), ((0, 9000), (320, 4096)), ((4000, 1), (4000, 180))] {
            let picture = slate(&lost(asked.0, asked.1));
            assert_eq!((picture.width_px(), picture.height_px()), drawn);
        }
    }

    #[test]
    fn the_last_good_picture_shines_through_without_its_colour() {
        let mut red = RgbImage::new(64, 36);
        red.data_mut().chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&[255, 0, 0]));
        let picture = slate(&Slate { background: Some(&red), ..lost(320, 180) });
        let [r, g, b] = picture.pixel(315, 90).unwrap();
        assert!(r.abs_diff(g) < 5 && g.abs_diff(b) < 5 && r > 15 && r < 60);
    }

    #[test]
    fn a_long_reason_leaves_room_for_the_next_try() {
        let reason = "words ".repeat(100);
        let lines = wrap_paragraphs(&[&reason, "since noon", "next try in 8 s"], 30, 4);
        assert_eq!(lines.len(), 4);
        assert!(lines[1].ends_with("..."));
        assert_eq!(lines[2..], ["since noon", "next try in 8 s"]);
    }

    #[test]
    fn any_text_can_be_shown() {
        let long = "相".repeat(5000);
        for (width_px, height_px) in [(320, 180), (320, 4000), (4000, 180)] {
            let text = [long.as_str(); 40];
            slate(&Slate { camera: &long, headline: &long, lines: &text, ..lost(width_px, height_px) });
            slate(&Slate { camera: "", headline: "", lines: &[], ..lost(width_px, height_px) });
        }
    }
}
