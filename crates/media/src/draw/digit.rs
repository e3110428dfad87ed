//! The large digits on the pictures of the emulated camera, drawn without a font: strokes with round ends and smooth
//! edges.

use super::canvas::{Canvas, Color};

/// The width and height of the box in which a digit is designed. All strokes end within the box.
const DESIGN_SIZE: (f32, f32) = (100.0, 160.0);
/// Half the thickness of a stroke, in units of the design box.
const HALF_STROKE: f32 = 12.0;

/// One stroke of a digit, in units of the design box. y grows downwards; angles are in degrees clockwise from three
/// o'clock.
enum Stroke {
    Line((f32, f32), (f32, f32)),
    Arc { center: (f32, f32), radius: (f32, f32), from: f32, to: f32 },
}

use Stroke::{Arc, Line};

const ZERO: &[Stroke] = &[Arc { center: (50.0, 80.0), radius: (36.0, 66.0), from: 0.0, to: 360.0 }];
const ONE: &[Stroke] = &[
    Line((22.0, 42.0), (54.0, 14.0)),
    Line((54.0, 14.0), (54.0, 146.0)),
    Line((22.0, 146.0), (86.0, 146.0)),
];
const TWO: &[Stroke] = &[
    Arc { center: (50.0, 52.0), radius: (36.0, 38.0), from: 188.0, to: 405.0 },
    Line((75.5, 78.9), (14.0, 146.0)),
    Line((14.0, 146.0), (88.0, 146.0)),
];
const THREE: &[Stroke] = &[
    Arc { center: (48.0, 47.0), radius: (33.0, 33.0), from: 205.0, to: 450.0 },
    Line((36.0, 80.0), (48.0, 80.0)),
    Arc { center: (48.0, 113.0), radius: (38.0, 33.0), from: 270.0, to: 517.0 },
];
const FOUR: &[Stroke] = &[
    Line((62.0, 14.0), (12.0, 108.0)),
    Line((12.0, 108.0), (90.0, 108.0)),
    Line((68.0, 72.0), (68.0, 146.0)),
];
const FIVE: &[Stroke] = &[
    Line((80.0, 14.0), (26.0, 14.0)),
    Line((26.0, 14.0), (20.0, 70.0)),
    Arc { center: (47.0, 100.0), radius: (39.0, 46.0), from: 221.0, to: 508.0 },
];
const SIX: &[Stroke] = &[
    Arc { center: (50.0, 104.0), radius: (36.0, 42.0), from: 0.0, to: 360.0 },
    Arc { center: (92.0, 104.0), radius: (78.0, 92.0), from: 180.0, to: 254.0 },
];
const SEVEN: &[Stroke] = &[Line((12.0, 14.0), (88.0, 14.0)), Line((88.0, 14.0), (40.0, 146.0))];
const EIGHT: &[Stroke] = &[
    Arc { center: (50.0, 47.0), radius: (31.0, 33.0), from: 0.0, to: 360.0 },
    Arc { center: (50.0, 113.0), radius: (37.0, 33.0), from: 0.0, to: 360.0 },
];
const NINE: &[Stroke] = &[
    Arc { center: (50.0, 56.0), radius: (36.0, 42.0), from: 0.0, to: 360.0 },
    Arc { center: (8.0, 56.0), radius: (78.0, 92.0), from: 0.0, to: 74.0 },
];
const DIGITS: [&[Stroke]; 10] = [ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE];

/// The angle of an arc that is drawn as one straight line, small enough that the bends between the lines are invisible.
const DEGREES_PER_LINE: f32 = 3.0;

/// Draws `number` in decimal digits that are `height` pixels tall. The middle of the number is at `center`.
pub(super) fn draw_number(canvas: &mut Canvas, number: u8, center: (f32, f32), height: f32, color: Color) {
    let digits: Vec<usize> = number.to_string().bytes().map(|digit| usize::from(digit - b'0')).collect();
    let scale = height / DESIGN_SIZE.1;
    let pitch = (DESIGN_SIZE.0 + 12.0) * scale;
    let first = center.0 - pitch * digits.len() as f32 / 2.0 + 6.0 * scale;
    for (index, &digit) in digits.iter().enumerate() {
        let corner = (first + pitch * index as f32, center.1 - height / 2.0);
        draw_digit(canvas, digit, corner, scale, color);
    }
}

fn draw_digit(canvas: &mut Canvas, digit: usize, corner: (f32, f32), scale: f32, color: Color) {
    let place = |point: (f32, f32)| (point.0 * scale, point.1 * scale);
    let mut mask = Mask::new(DESIGN_SIZE.0 * scale, DESIGN_SIZE.1 * scale, HALF_STROKE * scale);
    for stroke in DIGITS[digit] {
        match stroke {
            Line(from, to) => mask.add_line(place(*from), place(*to)),
            Arc { center, radius, from, to } => {
                let on_arc = |degrees: f32| {
                    let (sin, cos) = degrees.to_radians().sin_cos();
                    place((center.0 + radius.0 * cos, center.1 + radius.1 * sin))
                };
                let lines = ((to - from) / DEGREES_PER_LINE).ceil();
                let step = (to - from) / lines;
                for line in 0..lines as usize {
                    let start = from + step * line as f32;
                    mask.add_line(on_arc(start), on_arc(start + step));
                }
            }
        }
    }
    mask.paint(canvas, corner, color);
}

/// The pixels of one digit, each with the share that the strokes cover. Where strokes overlap, the overlap is not
/// visible.
struct Mask {
    width: usize,
    coverage: Vec<u8>,
    half_stroke: f32,
}

impl Mask {
    fn new(width: f32, height: f32, half_stroke: f32) -> Self {
        let (width, height) = (width.ceil() as usize + 2, height.ceil() as usize + 2);
        Self { width, coverage: vec![0; width * height], half_stroke }
    }

    /// Adds a line with round ends. The coverage of each pixel depends on the distance of the pixel from the line.
    fn add_line(&mut self, from: (f32, f32), to: (f32, f32)) {
        let reach = self.half_stroke + 1.0;
        let height = self.coverage.len() / self.width;
        let range = |a: f32, b: f32, len: usize| {
            let last = (a.max(b) + reach).ceil().max(0.0) as usize;
            (a.min(b) - reach).max(0.0) as usize..last.min(len)
        };
        let (columns, rows) = (range(from.0, to.0, self.width), range(from.1, to.1, height));
        let along = (to.0 - from.0, to.1 - from.1);
        let length_squared = (along.0 * along.0 + along.1 * along.1).max(f32::EPSILON);
        for y in rows {
            for x in columns.clone() {
                let point = (x as f32 + 0.5 - from.0, y as f32 + 0.5 - from.1);
                let part = ((point.0 * along.0 + point.1 * along.1) / length_squared).clamp(0.0, 1.0);
                let distance = (point.0 - along.0 * part).hypot(point.1 - along.1 * part);
                let coverage = ((self.half_stroke - distance + 0.5).clamp(0.0, 1.0) * 255.0) as u8;
                let pixel = &mut self.coverage[y * self.width + x];
                *pixel = coverage.max(*pixel);
            }
        }
    }

    fn paint(&self, canvas: &mut Canvas, corner: (f32, f32), color: Color) {
        let (left, top) = (corner.0.round() as i32, corner.1.round() as i32);
        for (y, row) in (top..).zip(self.coverage.chunks_exact(self.width)) {
            for (x, &coverage) in (left..).zip(row) {
                if coverage > 0 {
                    canvas.blend(x, y, color, coverage);
                }
            }
        }
    }
}
