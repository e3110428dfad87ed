//! Converts RGB pictures to raw pictures, for the test camera and for tests of encoders.
//!
//! Luma and chroma are computed by ITU-T T.871 (JFIF, which uses the matrix of BT.601). Each chroma sample is the mean
//! of the pixels that share the sample.

use super::{ColorRange, PixelFormat};
use crate::codec::RgbImage;

/// One half in the unit of the coefficients, which is 1/65,536. Adding one half before the division rounds the result.
const HALF: i32 = 1 << 15;

/// Returns the picture's samples in `format`, without padding between rows or planes.
pub fn pack(picture: &RgbImage, format: PixelFormat, range: ColorRange) -> Vec<u8> {
    let (width, height) = (picture.width_px(), picture.height_px());
    let mut data = Vec::with_capacity(format.len_bytes(width, height));
    let samples = Samples { picture, range };
    match format {
        PixelFormat::Rgb24 => data.extend_from_slice(picture.data()),
        PixelFormat::Bgr24 => {
            data.extend(picture.data().chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
        }
        PixelFormat::Grey => samples.luma(&mut data),
        PixelFormat::Yuyv | PixelFormat::Uyvy => {
            for y in 0..height {
                for x in (0..width).step_by(2) {
                    let (first, second) = (samples.y(x, y), samples.y((x + 1).min(width - 1), y));
                    let [cb, cr] = samples.chroma(x, y, 1);
                    if format == PixelFormat::Yuyv {
                        data.extend([first, cb, second, cr]);
                    } else {
                        data.extend([cb, first, cr, second]);
                    }
                }
            }
        }
        PixelFormat::Nv12 | PixelFormat::Nv21 => {
            samples.luma(&mut data);
            let pairs = samples.chroma_420();
            data.extend(
                pairs.into_iter().flat_map(
                    |[cb, cr]| {
                        if format == PixelFormat::Nv12 { [cb, cr] } else { [cr, cb] }
                    },
                ),
            );
        }
        PixelFormat::I420 | PixelFormat::Yv12 => {
            samples.luma(&mut data);
            let pairs = samples.chroma_420();
            let order = if format == PixelFormat::I420 { [0, 1] } else { [1, 0] };
            order.into_iter().for_each(|which: usize| data.extend(pairs.iter().map(|pair| pair[which])));
        }
    }
    data
}

/// A picture whose pixels are read as luma and chroma.
struct Samples<'a> {
    picture: &'a RgbImage,
    range: ColorRange,
}

impl Samples<'_> {
    fn y(&self, x: u32, y: u32) -> u8 {
        let [r, g, b] = self.picture.pixel(x, y).unwrap_or_default().map(i32::from);
        let luma = (19_595 * r + 38_470 * g + 7_471 * b + HALF) >> 16;
        match self.range {
            ColorRange::Full => to_byte(luma),
            ColorRange::Limited => to_byte(16 + (luma * 219 + 127) / 255),
        }
    }

    /// Returns Cb and Cr of two adjacent pixels, averaged over `rows` rows.
    fn chroma(&self, x: u32, y: u32, rows: u32) -> [u8; 2] {
        let (mut sum, mut count) = ([0; 3], 0);
        for y in y..(y + rows).min(self.picture.height_px()) {
            for x in x..(x + 2).min(self.picture.width_px()) {
                let pixel = self.picture.pixel(x, y).unwrap_or_default();
                (0..3).for_each(|channel| sum[channel] += i32::from(pixel[channel]));
                count += 1;
            }
        }
        let [r, g, b] = sum.map(|sum| sum / count);
        let cb = (-11_058 * r - 21_710 * g + 32_768 * b + HALF) >> 16;
        let cr = (32_768 * r - 27_439 * g - 5_329 * b + HALF) >> 16;
        [cb, cr].map(|chroma| match self.range {
            ColorRange::Full => to_byte(128 + chroma),
            ColorRange::Limited => to_byte(128 + (chroma * 448 + 255).div_euclid(510)),
        })
    }

    fn luma(&self, data: &mut Vec<u8>) {
        for y in 0..self.picture.height_px() {
            data.extend((0..self.picture.width_px()).map(|x| self.y(x, y)));
        }
    }

    fn chroma_420(&self) -> Vec<[u8; 2]> {
        let mut pairs = Vec::new();
        for y in (0..self.picture.height_px()).step_by(2) {
            pairs.extend((0..self.picture.width_px()).step_by(2).map(|x| self.chroma(x, y, 2)));
        }
        pairs
    }
}

fn to_byte(sample: i32) -> u8 {
    sample.clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(colour: [u8; 3]) -> RgbImage {
        RgbImage::from_rgb(3, 3, colour.repeat(9)).unwrap()
    }

    #[test]
    fn every_format_has_the_bytes_of_its_size() {
        for format in PixelFormat::ALL {
            for (width, height) in [(1, 1), (2, 3), (7, 5), (16, 8)] {
                let packed = pack(&RgbImage::new(width, height), format, ColorRange::Full);
                assert_eq!(packed.len(), format.len_bytes(width, height), "{format} {width}x{height}");
            }
        }
    }

    #[test]
    fn primary_colours_have_the_values_of_the_standard() {
        let red = plain([255, 0, 0]);
        assert_eq!(pack(&red, PixelFormat::Yuyv, ColorRange::Full)[..4], [76, 85, 76, 255]);
        assert_eq!(
            pack(&red, PixelFormat::Uyvy, ColorRange::Limited)[..4],
            [90, 81, 240, 81].map(|v| v),
            "limited"
        );
        assert_eq!(pack(&red, PixelFormat::Bgr24, ColorRange::Full)[..3], [0, 0, 255]);
        let blue = plain([0, 0, 255]);
        assert_eq!(pack(&blue, PixelFormat::Nv12, ColorRange::Full)[9..11], [255, 107]);
        assert_eq!(pack(&blue, PixelFormat::Nv21, ColorRange::Full)[9..11], [107, 255]);
        assert_eq!(
            pack(&blue, PixelFormat::I420, ColorRange::Full)[9..],
            [255, 255, 255, 255, 107, 107, 107, 107]
        );
        assert_eq!(
            pack(&blue, PixelFormat::Yv12, ColorRange::Full)[9..],
            [107, 107, 107, 107, 255, 255, 255, 255]
        );
        let white = plain([255; 3]);
        assert_eq!(pack(&white, PixelFormat::Grey, ColorRange::Full)[0], 255);
        assert_eq!(pack(&white, PixelFormat::Grey, ColorRange::Limited)[0], 235);
    }
}
