//! Pictures in the library's form: planes with strides, packed pixels, subsampling and scale.

use crate::MAX_SIDE_PX;
use crate::error::Error;

/// How much coarser the two colour planes are than the luma plane. Each variant has its number in the library
/// (`TJSAMP`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subsampling {
    /// The colour planes have the same width and height as luma.
    S444 = 0,
    /// The colour planes have half the width of luma.
    S422 = 1,
    /// The colour planes have half the width and half the height of luma.
    S420 = 2,
    /// There are no colour planes.
    Grey = 3,
    /// The colour planes have half the height of luma.
    S440 = 4,
    /// The colour planes have a quarter of the width of luma.
    S411 = 5,
}

impl Subsampling {
    const ALL: [Self; 6] = [Self::S444, Self::S422, Self::S420, Self::Grey, Self::S440, Self::S411];

    pub(crate) fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|subsampling| *subsampling as i32 == number)
    }

    /// Returns the number of luma samples per colour sample, across and down.
    pub const fn factors(self) -> (usize, usize) {
        match self {
            Self::S444 | Self::Grey => (1, 1),
            Self::S422 => (2, 1),
            Self::S420 => (2, 2),
            Self::S440 => (1, 2),
            Self::S411 => (4, 1),
        }
    }

    /// Returns the number of planes: one for grey pictures, otherwise three.
    pub const fn planes(self) -> usize {
        if matches!(self, Self::Grey) { 1 } else { 3 }
    }
}

/// Returns the number of columns and of rows of plane `component` (0 is Y) in a picture of `width` by `height` pixels.
///
/// The luma plane of a subsampled picture is padded to whole colour samples: a 4:2:0 picture of 5x3 pixels has 6x4 luma
/// samples.
pub const fn plane_size(
    subsampling: Subsampling,
    component: usize,
    width: usize,
    height: usize,
) -> (usize, usize) {
    let (across, down) = subsampling.factors();
    let (columns, rows) = (width.div_ceil(across), height.div_ceil(down));
    if component == 0 { (columns * across, rows * down) } else { (columns, rows) }
}

/// The order of packed samples in a pixel. Each variant has its number in the library (`TJPF`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PackedFormat {
    /// Red, green, blue.
    Rgb = 0,
    /// Blue, green, red.
    Bgr = 1,
    /// Luma only.
    Grey = 6,
}

impl PackedFormat {
    /// Returns the number of bytes of one pixel.
    pub const fn bytes(self) -> usize {
        if matches!(self, Self::Grey) { 1 } else { 3 }
    }
}

/// A scale of M/8 with M from 1 to 8, by which a JPEG image is scaled down during decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scale(u8);

impl Scale {
    /// The scale that keeps the picture's own size.
    pub const FULL: Self = Self(8);

    /// Returns the scale `eighths`/8; `None` unless `eighths` is 1 to 8.
    pub const fn from_eighths(eighths: u8) -> Option<Self> {
        if matches!(eighths, 1..=8) { Some(Self(eighths)) } else { None }
    }

    /// Returns the numerator M of the scale M/8.
    pub const fn eighths(self) -> u8 {
        self.0
    }

    /// Returns the length in pixels of a side of `side` pixels after scaling, rounded up.
    pub const fn apply(self, side: usize) -> usize {
        (side * self.0 as usize).div_ceil(8)
    }
}

/// One plane, or one buffer of packed pixels, that the library reads.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The rows of samples; the last row can lack its padding.
    pub data: &'a [u8],
    /// The distance in bytes between the starts of two rows.
    pub stride: usize,
}

/// One plane, or one buffer of packed pixels, that the library writes.
#[derive(Debug)]
pub struct PlaneMut<'a> {
    /// The rows of samples; the last row can lack its padding.
    pub data: &'a mut [u8],
    /// The distance in bytes between the starts of two rows.
    pub stride: usize,
}

/// A planar YCbCr picture of full range (samples from 0 to 255), as in JPEG.
#[derive(Debug, Clone, Copy)]
pub struct Yuv<'a> {
    /// The planes Y, Cb and Cr, each of the size [`plane_size`]; only Y for a grey picture.
    pub planes: &'a [Plane<'a>],
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// How much coarser the colour planes are than the luma plane.
    pub subsampling: Subsampling,
}

/// Returns `width` and `height` in the library's type, or an error if a side is zero or too long.
pub(crate) fn checked_size(width: usize, height: usize) -> Result<(i32, i32), Error> {
    if (1..=MAX_SIDE_PX).contains(&width) && (1..=MAX_SIDE_PX).contains(&height) {
        Ok((width as i32, height as i32))
    } else {
        Err(Error::Size { width_px: width, height_px: height })
    }
}

/// Returns the stride in the library's type, or an error unless `len_bytes` bytes are enough for `rows` rows of
/// `row_bytes` bytes each.
pub(crate) fn checked_plane(
    component: usize,
    len_bytes: usize,
    stride_bytes: usize,
    (row_bytes, rows): (usize, usize),
) -> Result<i32, Error> {
    let end = stride_bytes.checked_mul(rows - 1).and_then(|start| start.checked_add(row_bytes));
    let stride = i32::try_from(stride_bytes).ok().filter(|_| stride_bytes >= row_bytes);
    match (stride, end) {
        (Some(stride), Some(end)) if end <= len_bytes => Ok(stride),
        _ => Err(Error::Plane { component, len_bytes, stride_bytes, rows, row_bytes }),
    }
}

impl Yuv<'_> {
    /// Returns the size, pointers and strides for the library, after checking that each plane has all rows and columns
    /// that the library reads.
    pub(crate) fn checked(&self) -> Result<CheckedPlanes, Error> {
        let size = checked_size(self.width, self.height)?;
        let want = self.subsampling.planes();
        if self.planes.len() != want {
            return Err(Error::Planes { got: self.planes.len(), want });
        }
        let mut checked = CheckedPlanes { size, pointers: [std::ptr::null(); 3], strides: [0; 3] };
        for (component, plane) in self.planes.iter().enumerate() {
            let size = plane_size(self.subsampling, component, self.width, self.height);
            checked.strides[component] = checked_plane(component, plane.data.len(), plane.stride, size)?;
            checked.pointers[component] = plane.data.as_ptr();
        }
        Ok(checked)
    }
}

/// The arguments for the library that describe a [`Yuv`].
pub(crate) struct CheckedPlanes {
    pub(crate) size: (i32, i32),
    pub(crate) pointers: [*const u8; 3],
    pub(crate) strides: [i32; 3],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_of_odd_pictures_are_padded_to_whole_samples_of_colour() {
        assert_eq!(plane_size(Subsampling::S420, 0, 5, 3), (6, 4));
        assert_eq!(plane_size(Subsampling::S420, 2, 5, 3), (3, 2));
        assert_eq!(plane_size(Subsampling::S422, 0, 35, 35), (36, 35));
        assert_eq!(plane_size(Subsampling::S411, 1, 5, 3), (2, 3));
        assert_eq!(plane_size(Subsampling::S444, 1, 5, 3), (5, 3));
    }

    #[test]
    fn a_plane_ends_with_the_last_byte_that_is_used() {
        assert_eq!(checked_plane(0, 25, 10, (5, 3)), Ok(10));
        assert!(checked_plane(0, 24, 10, (5, 3)).is_err());
        assert!(checked_plane(0, 100, 4, (5, 3)).is_err());
        assert!(checked_plane(0, usize::MAX, usize::MAX, (5, 3)).is_err());
    }

    #[test]
    fn scales_round_up() {
        let eighth = Scale::from_eighths(1).unwrap();
        assert_eq!((eighth.apply(1), eighth.apply(8), eighth.apply(9)), (1, 1, 2));
        assert_eq!((Scale::from_eighths(0), Scale::from_eighths(9)), (None, None));
    }
}
