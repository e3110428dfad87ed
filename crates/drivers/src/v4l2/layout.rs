//! The memory layout of raw pictures. Pictures are copied to rows without padding, one plane after the other.

use framecast_media::PixelFormat;

/// The arrangement of a picture's rows in the memory of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) format: PixelFormat,
    pub(super) size: (u32, u32),
    /// The distance between the starts of two rows, in bytes, for each memory area. There is one area for all planes,
    /// or one for each plane.
    pub(super) row_bytes: Vec<u32>,
}

impl Layout {
    /// Copies a picture out of the device's memory areas into rows without padding. `piece` returns the memory area
    /// with the given index.
    ///
    /// # Errors
    /// The total number of bytes in the areas, if they are too small for a picture. In this case nothing is allocated.
    pub(super) fn copy<'a>(&self, piece: impl Fn(usize) -> &'a [u8]) -> Result<Vec<u8>, usize> {
        let rows = self
            .rows(&piece)
            .ok_or_else(|| (0..self.row_bytes.len()).map(|n| piece(n).len()).sum::<usize>())?;
        let mut data = Vec::with_capacity(self.format.len_bytes(self.size.0, self.size.1));
        for Rows { bytes, stride, row_bytes, rows } in rows {
            if stride == row_bytes {
                data.extend_from_slice(&bytes[..row_bytes * rows]);
                continue;
            }
            for row in 0..rows {
                data.extend_from_slice(&bytes[row * stride..][..row_bytes]);
            }
        }
        Ok(data)
    }

    /// Returns where the rows of each plane are in memory; `None` if a memory area is too small for its rows.
    fn rows<'a>(&self, piece: impl Fn(usize) -> &'a [u8]) -> Option<Vec<Rows<'a>>> {
        let planes = self.format.planes(self.size.0, self.size.1);
        let first_row_bytes = planes.first()?.row_bytes;
        let is_multi_planar = self.row_bytes.len() >= planes.len() && planes.len() > 1;
        let mut found = Vec::with_capacity(planes.len());
        let mut begin = 0;
        for (number, plane) in planes.iter().enumerate() {
            let stride = match self.row_bytes.get(if is_multi_planar { number } else { 0 })? {
                0 => plane.row_bytes,
                stride if is_multi_planar => *stride as usize,
                // Within a shared memory area, the padding of rows in chroma planes is in proportion to that in the
                // luma plane.
                stride => (*stride as usize).checked_mul(plane.row_bytes)?.div_ceil(first_row_bytes),
            };
            let bytes = if is_multi_planar { piece(number) } else { piece(0).get(begin..)? };
            // The last row may lack its padding.
            let needed = stride.checked_mul(plane.rows.checked_sub(1)?)?.checked_add(plane.row_bytes)?;
            if stride < plane.row_bytes || bytes.len() < needed {
                return None;
            }
            begin = stride.checked_mul(plane.rows)?.checked_add(begin)?;
            found.push(Rows { bytes, stride, row_bytes: plane.row_bytes, rows: plane.rows });
        }
        Some(found)
    }
}

/// The rows of one plane, and their place in memory.
struct Rows<'a> {
    bytes: &'a [u8],
    stride: usize,
    row_bytes: usize,
    rows: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(
        format: PixelFormat,
        size: (u32, u32),
        row_bytes: &[u32],
        pieces: &[Vec<u8>],
    ) -> Result<Vec<u8>, usize> {
        let layout = Layout { format, size, row_bytes: row_bytes.to_vec() };
        layout.copy(|number| pieces.get(number).map_or(&[], Vec::as_slice))
    }

    /// Planes with counting samples, and padding of 0xff after each row.
    fn padded(planes: &[(usize, usize, usize)]) -> Vec<Vec<u8>> {
        let mut sample = 0;
        let plane = |&(row_bytes, stride, rows): &(usize, usize, usize)| {
            let mut bytes = Vec::new();
            for _ in 0..rows {
                bytes.extend((0..row_bytes).map(|n| sample + n as u8));
                bytes.extend(vec![0xff; stride - row_bytes]);
                sample += row_bytes as u8;
            }
            bytes
        };
        planes.iter().map(plane).collect()
    }

    fn counting(len: u8) -> Vec<u8> {
        (0..len).collect()
    }

    #[test]
    fn padding_behind_rows_is_left_out() {
        let yuyv = padded(&[(8, 12, 3)]);
        assert_eq!(copy(PixelFormat::Yuyv, (4, 3), &[12], &yuyv), Ok(counting(24)));
        assert_eq!(copy(PixelFormat::Yuyv, (4, 3), &[8], &[counting(24)]), Ok(counting(24)));
        assert_eq!(copy(PixelFormat::Yuyv, (4, 3), &[0], &[counting(24)]), Ok(counting(24)));
    }

    #[test]
    fn planes_in_one_piece_of_memory_are_padded_in_proportion() {
        let i420 = padded(&[(4, 8, 2), (2, 4, 1), (2, 4, 1)]).concat();
        assert_eq!(copy(PixelFormat::I420, (4, 2), &[8], &[i420]), Ok(counting(12)));
        let nv12 = padded(&[(4, 6, 2), (4, 6, 1)]).concat();
        assert_eq!(copy(PixelFormat::Nv12, (4, 2), &[6], &[nv12]), Ok(counting(12)));
    }

    #[test]
    fn planes_apart_are_put_one_behind_the_other() {
        let nv12 = padded(&[(4, 8, 2), (4, 5, 1)]);
        assert_eq!(copy(PixelFormat::Nv12, (4, 2), &[8, 5], &nv12), Ok(counting(12)));
        let i420 = padded(&[(4, 4, 2), (2, 2, 1), (2, 3, 1)]);
        assert_eq!(copy(PixelFormat::I420, (4, 2), &[4, 2, 3], &i420), Ok(counting(12)));
    }

    #[test]
    fn a_buffer_that_is_too_short_is_told_by_its_length() {
        assert_eq!(copy(PixelFormat::Yuyv, (4, 3), &[8], &[counting(23)]), Err(23));
        assert_eq!(copy(PixelFormat::Nv12, (4, 2), &[4, 4], &[counting(8), counting(3)]), Err(11));
        assert_eq!(copy(PixelFormat::Yuyv, (4, 3), &[4], &[counting(24)]), Err(24), "rows that overlap");
        assert_eq!(copy(PixelFormat::Rgb24, (65_535, 65_535), &[u32::MAX], &[vec![]]), Err(0));
        let mut last_row_short = padded(&[(8, 12, 3)]);
        last_row_short[0].truncate(32);
        assert_eq!(copy(PixelFormat::Yuyv, (4, 3), &[12], &last_row_short), Ok(counting(24)));
    }
}
