//! Raw pictures: uncompressed samples, as a sensor or capture card delivers them.
//!
//! Names and layouts are those of the V4L2 pixel formats (Linux kernel documentation, "Image Formats"). Pictures are
//! always packed in memory: there is no padding after a row, and one plane follows the other. Encoding does not belong
//! here.

mod pack;

use std::fmt;

pub use pack::pack;

/// The memory layout of the samples of a raw picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PixelFormat {
    /// 4:2:2 in one plane: Y0 Cb Y1 Cr.
    Yuyv,
    /// 4:2:2 in one plane: Cb Y0 Cr Y1.
    Uyvy,
    /// 4:2:0 in two planes: Y, then Cb and Cr interleaved.
    Nv12,
    /// 4:2:0 in two planes: Y, then Cr and Cb interleaved.
    Nv21,
    /// 4:2:0 in three planes: Y, Cb, Cr.
    I420,
    /// 4:2:0 in three planes: Y, Cr, Cb.
    Yv12,
    /// Three bytes per pixel: red, green, blue.
    Rgb24,
    /// Three bytes per pixel: blue, green, red.
    Bgr24,
    /// One byte of luma per pixel.
    Grey,
}

/// The value range of the samples of a raw picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColorRange {
    /// 0 to 255, as in JPEG.
    Full,
    /// Luma 16 to 235, chroma 16 to 240, as in television.
    Limited,
}

/// One plane of a raw picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaneLayout {
    /// Offset of the plane from the start of the picture, in bytes.
    pub offset: usize,
    /// Length of one row in bytes.
    pub row_bytes: usize,
    /// Number of rows.
    pub rows: usize,
}

impl PixelFormat {
    /// All formats, in the order in which error messages list them.
    pub const ALL: [Self; 9] = [
        Self::Yuyv,
        Self::Uyvy,
        Self::Nv12,
        Self::Nv21,
        Self::I420,
        Self::Yv12,
        Self::Rgb24,
        Self::Bgr24,
        Self::Grey,
    ];

    /// Returns the format's name in URLs, the log and the API, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yuyv => "yuyv",
            Self::Uyvy => "uyvy",
            Self::Nv12 => "nv12",
            Self::Nv21 => "nv21",
            Self::I420 => "i420",
            Self::Yv12 => "yv12",
            Self::Rgb24 => "rgb24",
            Self::Bgr24 => "bgr24",
            Self::Grey => "grey",
        }
    }

    /// Returns the format called `name`; `None` if there is no such format. The case of `name` does not matter.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// Returns whether the samples are luma and chroma (or luma alone) instead of red, green and blue. Only luma and
    /// chroma can have a limited range.
    pub fn is_yuv(self) -> bool {
        !matches!(self, Self::Rgb24 | Self::Bgr24)
    }

    /// Returns the layout of each plane of a picture of this size, in memory order. If a side is odd, the last chroma
    /// sample covers a single column or row.
    pub fn planes(self, width_px: u32, height_px: u32) -> Vec<PlaneLayout> {
        let (width, height) = (width_px as usize, height_px as usize);
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let sizes: &[(usize, usize)] = match self {
            Self::Yuyv | Self::Uyvy => &[(half_width * 4, height)],
            Self::Nv12 | Self::Nv21 => &[(width, height), (half_width * 2, half_height)],
            Self::I420 | Self::Yv12 => {
                &[(width, height), (half_width, half_height), (half_width, half_height)]
            }
            Self::Rgb24 | Self::Bgr24 => &[(width * 3, height)],
            Self::Grey => &[(width, height)],
        };
        let mut offset = 0;
        let mut planes = Vec::with_capacity(sizes.len());
        for &(row_bytes, rows) in sizes {
            planes.push(PlaneLayout { offset, row_bytes, rows });
            offset += row_bytes * rows;
        }
        planes
    }

    /// Returns the number of bytes of a picture of this size.
    pub fn len_bytes(self, width_px: u32, height_px: u32) -> usize {
        self.planes(width_px, height_px).iter().map(|plane| plane.row_bytes * plane.rows).sum()
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_its_planes_one_behind_the_other() {
        for format in PixelFormat::ALL {
            for (width, height) in [(1, 1), (2, 2), (7, 5), (640, 480), (1280, 721)] {
                let mut end = 0;
                for plane in format.planes(width, height) {
                    assert_eq!(plane.offset, end, "{format} {width}x{height}");
                    end += plane.row_bytes * plane.rows;
                }
                assert_eq!(end, format.len_bytes(width, height));
                assert!(end >= (width * height) as usize, "{format}: at least a byte a pixel");
            }
        }
    }

    #[test]
    fn sizes_are_those_of_the_field() {
        let of = |format: PixelFormat| format.len_bytes(1280, 720);
        assert_eq!(of(PixelFormat::Yuyv), 1280 * 720 * 2);
        assert_eq!(of(PixelFormat::Nv12), 1280 * 720 * 3 / 2);
        assert_eq!(of(PixelFormat::I420), 1280 * 720 * 3 / 2);
        assert_eq!(of(PixelFormat::Rgb24), 1280 * 720 * 3);
        assert_eq!(of(PixelFormat::Grey), 1280 * 720);
        assert_eq!(PixelFormat::Nv21.len_bytes(5, 3), 15 + 6 * 2, "three pairs in each of two rows");
        assert_eq!(PixelFormat::Yuyv.len_bytes(5, 3), 12 * 3);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for format in PixelFormat::ALL {
            assert_eq!(PixelFormat::from_name(format.name()), Some(format));
            assert_eq!(PixelFormat::from_name(&format.name().to_uppercase()), Some(format));
        }
        assert_eq!(PixelFormat::from_name("mjpeg"), None);
    }
}
