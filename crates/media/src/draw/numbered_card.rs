//! The cards that the emulated camera shows, one after the other.

use super::canvas::{Canvas, Color};
use super::digit::draw_number;
use super::text::Font;
use crate::codec::RgbImage;

/// The background gradients of the cards, each as top and bottom colour. The colours are calm and easy to tell apart at
/// a glance.
const BACKGROUNDS: [(Color, Color); 3] = [
    (Color(0x1F, 0x7A, 0x8C), Color(0x12, 0x4E, 0x66)),
    (Color(0xD0, 0x7A, 0x4A), Color(0x9C, 0x4A, 0x2F)),
    (Color(0x5B, 0x5F, 0xA8), Color(0x3A, 0x3A, 0x78)),
];

const CAPTION: &str = "Framecast · emulated camera";

/// Draws a card with a large number and a line of text that says that the camera is emulated. The number selects one of
/// three background colours in turn.
pub fn numbered_card(number: u8, width_px: u32, height_px: u32) -> RgbImage {
    let mut canvas = Canvas::new(width_px, height_px);
    let (top, bottom) = BACKGROUNDS[usize::from(number.wrapping_sub(1)) % BACKGROUNDS.len()];
    canvas.fill_gradient(top, bottom);
    let (width, height) = (width_px as f32, height_px as f32);
    let side = width.min(height);
    let center = (width / 2.0, height * 0.46);
    canvas.fill_disc(center, side * 0.36, Color::WHITE, 28);
    draw_number(&mut canvas, number, center, side * 0.44, Color::WHITE);
    let font = Font::fitting(side * 0.06, CAPTION.chars().count(), width * 0.94);
    let left = (width - font.width_of(CAPTION.chars().count())) / 2.0;
    font.draw(&mut canvas, CAPTION, (left, height * 0.97 - font.height()), bottom.mix(Color::WHITE, 200));
    canvas.into_picture()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cards_differ_in_ground_and_digit() {
        let cards = [1, 2, 3].map(|number| numbered_card(number, 320, 240));
        for (one, other) in [(0, 1), (1, 2), (0, 2)] {
            assert_ne!(cards[one].pixel(2, 2), cards[other].pixel(2, 2));
        }
        assert_eq!(cards[0].pixel(163, 110), Some([255; 3]), "the stem of the 1");
    }

    #[test]
    fn any_size_and_number_can_be_drawn() {
        for (width_px, height_px) in [(0, 0), (1, 1), (64, 64), (1000, 20), (20, 1000)] {
            for number in [0, 1, 45, 67, 189, 255] {
                assert_eq!(numbered_card(number, width_px, height_px).width_px(), width_px);
            }
        }
    }
}
