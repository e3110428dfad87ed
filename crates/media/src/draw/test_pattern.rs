//! The moving pattern of the test camera: colour bars, the frame number, date and time, a moving bar, and the frame
//! number again in machine-readable form.
//!
//! In a picture of `w` by `h` pixels, the machine-readable strip fills the lowest `h / 12` rows (rounded down, at least
//! 8). The strip is divided into 28 cells of equal width: cell `i` begins at column `i * w / 28` and ends at
//! `(i + 1) * w / 28`. The cells from the left are white, black, 24 bits of the frame number with the highest bit first
//! (white is 1), black, white. To read a cell, compare its middle with a threshold of one half.

use super::canvas::{Canvas, Color, Rect};
use super::text::{Font, printable};
use crate::codec::RgbImage;

/// The variable content of one picture of the pattern.
#[derive(Debug, Clone, Copy)]
pub struct TestFrame<'a> {
    /// The number of the frame, counted since the camera opened.
    pub number: u64,
    /// The date as displayed: `2026-05-04`.
    pub date: &'a str,
    /// The capture time with milliseconds: `13:04:59.123`.
    pub time: &'a str,
    /// Pictures per second. The moving bar crosses the picture once a second.
    pub fps: f64,
}

/// The test pattern in one size. The parts that never change are painted once; each frame repaints only the others.
#[derive(Debug, Clone)]
pub struct TestPattern {
    canvas: Canvas,
}

/// The number of cells of the machine-readable strip: two guards, 24 bits, two guards.
const CELL_COUNT: u32 = NUMBER_BITS + 4;
const NUMBER_BITS: u32 = 24;

/// The colour bars, brightest first, at three quarters of full intensity as in television test cards.
const BARS: [Color; 7] = [
    Color(191, 191, 191),
    Color(191, 191, 0),
    Color(0, 191, 191),
    Color(0, 191, 0),
    Color(191, 0, 191),
    Color(191, 0, 0),
    Color(0, 0, 191),
];
const PANEL: Color = Color(0x16, 0x1A, 0x20);
const PALE: Color = Color(0xC9, 0xCD, 0xD3);
const AMBER: Color = Color(0xF2, 0xA9, 0x1B);

/// The vertical positions of the parts of the pattern, from top to bottom.
struct Layout {
    bars: Rect,
    panel: Rect,
    track: Rect,
    cells: Rect,
}

impl Layout {
    fn new(bounds: Rect) -> Self {
        let (width, height) = (bounds.width, bounds.height);
        let cells_height = (height / 12).max(8).min(height);
        let track_height = (height / 18).min(height - cells_height);
        let panel_height = (height * 44 / 100).min(height - cells_height - track_height);
        let bars_height = height - cells_height - track_height - panel_height;
        let row = |top, height| Rect::new(0, top, width, height);
        Self {
            bars: row(0, bars_height),
            panel: row(bars_height, panel_height),
            track: row(bars_height + panel_height, track_height),
            cells: row(height - cells_height, cells_height),
        }
    }
}

impl TestPattern {
    /// Creates a pattern of this size, which allocates three bytes for each pixel. The text is readable from 320x180
    /// on.
    pub fn new(width_px: u32, height_px: u32) -> Self {
        let mut canvas = Canvas::new(width_px, height_px);
        let bars = Layout::new(canvas.bounds()).bars;
        let edge = |index: usize| (i64::from(bars.width) * index as i64 / BARS.len() as i64) as i32;
        for (index, &color) in BARS.iter().enumerate() {
            canvas.fill(Rect::new(edge(index), 0, edge(index + 1) - edge(index), bars.height), color);
        }
        Self { canvas }
    }

    /// Paints one frame. The returned picture is overwritten by the next call.
    pub fn draw(&mut self, frame: &TestFrame<'_>) -> &RgbImage {
        let layout = Layout::new(self.canvas.bounds());
        self.write_panel(frame, layout.panel);
        self.move_bar(frame, layout.track);
        self.fill_cells(frame.number, layout.cells);
        self.canvas.picture()
    }

    fn write_panel(&mut self, frame: &TestFrame<'_>, panel: Rect) {
        self.canvas.fill(panel, PANEL);
        let (top, width, height) = (panel.y as f32, panel.width as f32, panel.height as f32);
        let margin = width * 0.03;
        let time = printable(frame.time);
        let time_font = Font::fitting(height * 0.56, time.chars().count(), width - 2.0 * margin);
        let (date, number) = (printable(frame.date), format!("#{} · {} fps", frame.number, frame.fps));
        let chars = date.chars().count() + 2 + number.chars().count();
        let font = Font::fitting(height * 0.26, chars, width - 2.0 * margin);
        let gap = (height - time_font.height() - font.height()) / 3.0;
        let time_left = (width - time_font.width_of(time.chars().count())) / 2.0;
        time_font.draw(&mut self.canvas, &time, (time_left, top + gap), Color::WHITE);
        let line_top = top + 2.0 * gap + time_font.height();
        font.draw(&mut self.canvas, &date, (margin, line_top), PALE);
        let right = width - margin - font.width_of(number.chars().count());
        font.draw(&mut self.canvas, &number, (right, line_top), PALE);
    }

    fn move_bar(&mut self, frame: &TestFrame<'_>, track: Rect) {
        self.canvas.fill(track, Color::BLACK);
        // At least eight steps, so that the bar also moves at one picture a second.
        let steps = (frame.fps.round() as u64).clamp(8, 240);
        let step = frame.number % steps;
        let width = (track.width / 16).max(1);
        let room = u64::from((track.width - width).unsigned_abs());
        let left = (room * step / (steps - 1)) as i32;
        self.canvas.fill(Rect::new(left, track.y, width, track.height), AMBER);
    }

    fn fill_cells(&mut self, number: u64, cells: Rect) {
        for index in 0..CELL_COUNT {
            let color = if is_white(number, index) { Color::WHITE } else { Color::BLACK };
            let (left, right) = (cell_edge(cells.width, index), cell_edge(cells.width, index + 1));
            self.canvas.fill(Rect::new(left, cells.y, right - left, cells.height), color);
        }
    }

    /// Reads the lowest 24 bits of the frame number from a picture of the pattern, even after the picture was encoded
    /// and scaled. Returns `None` if the guards of the machine-readable strip are missing.
    pub fn read_number(picture: &RgbImage) -> Option<u32> {
        let bounds = Rect::new(
            0,
            0,
            i32::try_from(picture.width_px()).ok()?,
            i32::try_from(picture.height_px()).ok()?,
        );
        let cells = Layout::new(bounds).cells;
        let cell_is_white = |index: u32| {
            let middle = (cell_edge(cells.width, index) + cell_edge(cells.width, index + 1)) / 2;
            let [r, g, b] = picture.pixel(middle as u32, (cells.y + cells.height / 2) as u32)?;
            Some(u32::from(r) + u32::from(g) + u32::from(b) > 3 * 127)
        };
        for (index, guard) in [(0, true), (1, false), (CELL_COUNT - 2, false), (CELL_COUNT - 1, true)] {
            if cell_is_white(index)? != guard {
                return None;
            }
        }
        (2..2 + NUMBER_BITS).try_fold(0, |number, index| Some(number << 1 | u32::from(cell_is_white(index)?)))
    }
}

fn is_white(number: u64, cell: u32) -> bool {
    match cell {
        0 => true,
        1 => false,
        cell if cell < 2 + NUMBER_BITS => number >> (NUMBER_BITS + 1 - cell) & 1 == 1,
        cell => cell == CELL_COUNT - 1,
    }
}

fn cell_edge(width: i32, index: u32) -> i32 {
    (i64::from(width) * i64::from(index) / i64::from(CELL_COUNT)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::jpeg;

    fn frame(number: u64) -> TestFrame<'static> {
        TestFrame { number, date: "2026-05-04", time: "13:04:59.123", fps: 30.0 }
    }

    #[test]
    fn the_number_is_read_off_a_coded_picture() {
        for (width_px, height_px) in [(320, 180), (641, 479), (1280, 720)] {
            let mut pattern = TestPattern::new(width_px, height_px);
            for number in [0, 1, 0x00AA_AAAA, 0x0055_5555, 0x00FF_FFFF, 1 << 40 | 77] {
                let coded = jpeg::encode(pattern.draw(&frame(number)), 40).unwrap();
                let decoded = jpeg::decode(&coded, 1280 * 720).unwrap();
                assert_eq!(TestPattern::read_number(&decoded), Some((number & 0xFF_FFFF) as u32));
            }
        }
    }

    #[test]
    fn a_picture_of_something_else_has_no_number() {
        assert_eq!(TestPattern::read_number(&RgbImage::new(320, 180)), None);
        assert_eq!(TestPattern::read_number(&RgbImage::new(0, 0)), None);
    }

    #[test]
    fn a_frame_does_not_depend_on_the_one_before() {
        let mut used = TestPattern::new(320, 180);
        used.draw(&frame(3));
        assert_eq!(used.draw(&frame(19)), TestPattern::new(320, 180).draw(&frame(19)));
    }

    #[test]
    fn the_bar_moves_with_each_frame() {
        let row = |number, fps| {
            let mut pattern = TestPattern::new(320, 180);
            let picture = pattern.draw(&TestFrame { fps, ..frame(number) });
            let track = Layout::new(Rect::new(0, 0, 320, 180)).track;
            (0..320).map(|x| picture.pixel(x, track.y as u32 + 2)).collect::<Vec<_>>()
        };
        for fps in [0.2, 1.0, 25.0, 120.0] {
            assert!((0..200).all(|number| row(number, fps) != row(number + 1, fps)));
        }
    }

    #[test]
    fn any_size_can_be_drawn() {
        for (width_px, height_px) in [(0, 0), (1, 1), (3, 500), (500, 3), (16, 16)] {
            TestPattern::new(width_px, height_px).draw(&TestFrame { fps: f64::NAN, ..frame(u64::MAX) });
        }
    }
}
