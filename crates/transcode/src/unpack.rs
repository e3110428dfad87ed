//! Converts a raw picture to planes of luma and chroma in full range, with 4:2:0 chroma subsampling.
//!
//! Planes that need no change are used where they are in the raw picture. Planes whose samples must be separated,
//! widened to full range or padded are written to the scratch buffer, one pair of rows at a time, so that the rows stay
//! in the fastest cache for all steps.

use framecast_media::codec::raw::{ColorRange, PixelFormat};
use framecast_turbojpeg::{Plane, Subsampling, Yuv};

use crate::samples::{
    Identity, SampleMap, VectorLoop, WidenChroma, WidenLuma, all, firsts, mean_firsts, mean_seconds, seconds,
    vectorized,
};
use crate::yuv::Planar;

/// A raw picture whose data has the length that belongs to its size. Neither the width nor the height is zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawPicture<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) format: PixelFormat,
    pub(crate) range: ColorRange,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl RawPicture<'_> {
    /// Runs `encode` on the picture's planes of luma and chroma, and returns the result. Writes planes that must be
    /// converted to `scratch`. Returns `None` for packed RGB, which has no such planes.
    pub(crate) fn with_yuv<T>(&self, scratch: &mut Planar, encode: impl FnOnce(&Yuv<'_>) -> T) -> Option<T> {
        match self.format {
            PixelFormat::Yuyv => self.packed(scratch, PackedOrder::LumaFirst),
            PixelFormat::Uyvy => self.packed(scratch, PackedOrder::ChromaFirst),
            PixelFormat::Nv12 => return Some(self.semiplanar(scratch, [1, 2], encode)),
            PixelFormat::Nv21 => return Some(self.semiplanar(scratch, [2, 1], encode)),
            PixelFormat::I420 => return Some(self.planar(scratch, [1, 2], encode)),
            PixelFormat::Yv12 => return Some(self.planar(scratch, [2, 1], encode)),
            PixelFormat::Grey => return Some(self.grey(scratch, encode)),
            _ => return None,
        }
        Some(scratch.with_yuv(encode))
    }

    /// Returns whether the luma plane can be used where it is in the raw picture: it has full range already, and needs
    /// no padding because width and height are even.
    fn is_luma_usable(&self) -> bool {
        self.range == ColorRange::Full && self.width.is_multiple_of(2) && self.height.is_multiple_of(2)
    }

    fn chroma_size(&self) -> (usize, usize) {
        (self.width.div_ceil(2), self.height.div_ceil(2))
    }

    /// Converts a YUYV or UYVY picture. All three planes are written to the scratch buffer.
    fn packed(&self, scratch: &mut Planar, order: PackedOrder) {
        scratch.reshape(self.width, self.height, Subsampling::S420);
        let mut chroma_row = vec![0; self.chroma_size().0 * 2];
        let planes = scratch.planes_mut();
        vectorized(UnpackPacked { raw: self, order, planes, chroma_row: &mut chroma_row });
    }

    /// Converts an NV12 or NV21 picture, and runs `encode` on the planes. Luma is used where it is in the raw picture
    /// if possible, and chroma is separated into two planes.
    fn semiplanar<T>(
        &self,
        scratch: &mut Planar,
        order: [usize; 2],
        encode: impl FnOnce(&Yuv<'_>) -> T,
    ) -> T {
        scratch.reshape(self.width, self.height, Subsampling::S420);
        let (luma, pairs) = self.data.split_at(self.width * self.height);
        let half = self.chroma_size().0;
        let (first, second) = chroma_planes(scratch.planes_mut(), order);
        vectorized(DeinterleaveChroma { pairs, half, range: self.range, first, second });
        self.with_luma(luma, scratch, encode)
    }

    /// Converts an I420 or YV12 picture, and runs `encode` on the planes. All planes are used where they are in the raw
    /// picture if possible.
    fn planar<T>(&self, scratch: &mut Planar, order: [usize; 2], encode: impl FnOnce(&Yuv<'_>) -> T) -> T {
        let (luma, chroma) = self.data.split_at(self.width * self.height);
        let (half_width, half_height) = self.chroma_size();
        let (first, second) = chroma.split_at(half_width * half_height);
        if self.is_luma_usable() {
            let mut planes = [Plane { data: luma, stride: self.width }; 3];
            planes[order[0]] = Plane { data: first, stride: half_width };
            planes[order[1]] = Plane { data: second, stride: half_width };
            return encode(&self.yuv(&planes, Subsampling::S420));
        }
        scratch.reshape(self.width, self.height, Subsampling::S420);
        let (first_out, second_out) = chroma_planes(scratch.planes_mut(), order);
        vectorized(CopyChroma { range: self.range, from: first, to: first_out });
        vectorized(CopyChroma { range: self.range, from: second, to: second_out });
        self.with_luma(luma, scratch, encode)
    }

    /// Runs `encode` on the plane `luma` and the chroma planes in `scratch`. If `luma` needs to be padded or widened to
    /// full range, first writes it to `scratch`.
    fn with_luma<T>(&self, luma: &[u8], scratch: &mut Planar, encode: impl FnOnce(&Yuv<'_>) -> T) -> T {
        if !self.is_luma_usable() {
            self.pad(luma, scratch);
            return scratch.with_yuv(encode);
        }
        scratch.with_yuv(|yuv| {
            let planes = [Plane { data: luma, stride: self.width }, yuv.planes[1], yuv.planes[2]];
            encode(&self.yuv(&planes, Subsampling::S420))
        })
    }

    /// Copies the plane `luma` to the scratch buffer in full range. If the width or height is odd, repeats the last
    /// column or row, so that both become even.
    fn pad(&self, luma: &[u8], scratch: &mut Planar) {
        let stride = scratch.plane_size(0).0;
        let out = &mut scratch.planes_mut()[0];
        vectorized(PadLuma { range: self.range, luma, width: self.width, out, stride });
        if !self.height.is_multiple_of(2) {
            out.copy_within((self.height - 1) * stride..self.height * stride, self.height * stride);
        }
    }

    fn grey<T>(&self, scratch: &mut Planar, encode: impl FnOnce(&Yuv<'_>) -> T) -> T {
        if self.range == ColorRange::Full {
            let planes = [Plane { data: self.data, stride: self.width }];
            return encode(&self.yuv(&planes, Subsampling::Grey));
        }
        scratch.reshape(self.width, self.height, Subsampling::Grey);
        let out = &mut scratch.planes_mut()[0];
        vectorized(PadLuma {
            range: self.range,
            luma: self.data,
            width: self.width,
            out,
            stride: self.width,
        });
        scratch.with_yuv(encode)
    }

    fn yuv<'p>(&self, planes: &'p [Plane<'p>], subsampling: Subsampling) -> Yuv<'p> {
        Yuv { planes, width: self.width, height: self.height, subsampling }
    }
}

/// Whether luma or chroma comes first in each pair of bytes of a YUYV or UYVY picture.
#[derive(Debug, Clone, Copy)]
enum PackedOrder {
    LumaFirst,
    ChromaFirst,
}

/// Splits a YUYV or UYVY picture, whose bytes alternate between luma and chroma, into planes with 4:2:0 chroma
/// subsampling. Works on two rows at a time, and averages the chroma of both.
struct UnpackPacked<'a> {
    raw: &'a RawPicture<'a>,
    order: PackedOrder,
    planes: &'a mut [Vec<u8>; 3],
    /// A buffer for one row of chroma, in which Cb and Cr alternate.
    chroma_row: &'a mut [u8],
}

impl VectorLoop for UnpackPacked<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        match self.raw.range {
            ColorRange::Full => self.run::<Identity, Identity>(),
            ColorRange::Limited => self.run::<WidenLuma, WidenChroma>(),
        }
    }
}

impl UnpackPacked<'_> {
    #[inline(always)]
    fn run<L: SampleMap, C: SampleMap>(self) {
        let Self { raw, order, planes: [luma, cb, cr], chroma_row } = self;
        let half = raw.chroma_size().0;
        let pairs = raw.data.chunks(half * 8).zip(luma.chunks_exact_mut(half * 4));
        let chroma = cb.chunks_exact_mut(half).zip(cr.chunks_exact_mut(half));
        for ((pair, luma), (cb, cr)) in pairs.zip(chroma) {
            // At an odd height, the last row counts twice.
            let above = &pair[..half * 4];
            let below = pair.get(half * 4..).filter(|row| !row.is_empty()).unwrap_or(above);
            let (luma_above, luma_below) = luma.split_at_mut(half * 2);
            match order {
                PackedOrder::LumaFirst => {
                    firsts::<L>(above, luma_above);
                    firsts::<L>(below, luma_below);
                    mean_seconds(above, below, chroma_row);
                }
                PackedOrder::ChromaFirst => {
                    seconds::<L>(above, luma_above);
                    seconds::<L>(below, luma_below);
                    mean_firsts(above, below, chroma_row);
                }
            }
            firsts::<C>(chroma_row, cb);
            seconds::<C>(chroma_row, cr);
        }
    }
}

/// Splits chroma, in which Cb and Cr alternate, into two planes.
struct DeinterleaveChroma<'a> {
    pairs: &'a [u8],
    half: usize,
    range: ColorRange,
    first: &'a mut [u8],
    second: &'a mut [u8],
}

impl VectorLoop for DeinterleaveChroma<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        match self.range {
            ColorRange::Full => self.run::<Identity>(),
            ColorRange::Limited => self.run::<WidenChroma>(),
        }
    }
}

impl DeinterleaveChroma<'_> {
    #[inline(always)]
    fn run<C: SampleMap>(self) {
        let Self { pairs, half, first, second, .. } = self;
        let out = first.chunks_exact_mut(half).zip(second.chunks_exact_mut(half));
        for (pairs, (first, second)) in pairs.chunks_exact(half * 2).zip(out) {
            firsts::<C>(pairs, first);
            seconds::<C>(pairs, second);
        }
    }
}

/// Copies a chroma plane to a second plane, and converts the samples to full range.
struct CopyChroma<'a> {
    range: ColorRange,
    from: &'a [u8],
    to: &'a mut [u8],
}

impl VectorLoop for CopyChroma<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        match self.range {
            ColorRange::Full => self.to.copy_from_slice(self.from),
            ColorRange::Limited => all::<WidenChroma>(self.from, self.to),
        }
    }
}

/// Copies a luma plane to a second plane, and converts the samples to full range. If the rows of the second plane are
/// one column longer, repeats the last column.
struct PadLuma<'a> {
    range: ColorRange,
    luma: &'a [u8],
    width: usize,
    out: &'a mut [u8],
    stride: usize,
}

impl VectorLoop for PadLuma<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { range, luma, width, out, stride } = self;
        // `out` can have one more row, which the caller fills.
        for (row, out) in luma.chunks_exact(width).zip(out.chunks_exact_mut(stride)) {
            match range {
                ColorRange::Full => out[..width].copy_from_slice(row),
                ColorRange::Limited => all::<WidenLuma>(row, &mut out[..width]),
            }
            let last = out[width - 1];
            out[width..].fill(last);
        }
    }
}

/// Returns the first and the second chroma plane, in the order in which the raw picture contains them. In `order`, 1
/// stands for Cb and 2 for Cr.
fn chroma_planes(planes: &mut [Vec<u8>; 3], order: [usize; 2]) -> (&mut [u8], &mut [u8]) {
    let [_, cb, cr] = planes;
    if order == [1, 2] { (cb, cr) } else { (cr, cb) }
}
