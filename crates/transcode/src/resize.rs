//! Resizes planes of luma and chroma to a smaller size with 4:2:0 chroma subsampling, by the crate `fast_image_resize`.
//!
//! Pictures only become smaller here. The filter averages all input samples that one output sample covers, so that thin
//! lines do not disappear.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer as PlaneResizer};
use framecast_turbojpeg::{Subsampling, Yuv};

use crate::buffer::{is_oversized, resize_buffer};
use crate::yuv::Planar;

/// Makes pictures smaller. Reuses its buffers from picture to picture, and frees a buffer that is more than four times
/// as large as the current picture needs.
#[derive(Debug, Default)]
pub(crate) struct Resizer {
    resizer: PlaneResizer,
    out: Planar,
    packed: Vec<u8>,
}

impl Resizer {
    /// Returns the picture `yuv`, resized to `width` by `height` pixels: with 4:2:0 chroma subsampling, or grey if the
    /// input is grey.
    pub(crate) fn planes(&mut self, yuv: &Yuv<'_>, (width, height): (usize, usize)) -> &Planar {
        self.release_excess((yuv.width, yuv.height), (width, height), 1);
        let is_grey = yuv.subsampling == Subsampling::Grey;
        self.out.reshape(width, height, if is_grey { Subsampling::Grey } else { Subsampling::S420 });
        self.luma(yuv, (width, height));
        let (across, down) = yuv.subsampling.factors();
        for (component, plane) in yuv.planes.iter().enumerate().skip(1) {
            let source = framecast_turbojpeg::plane_size(yuv.subsampling, component, yuv.width, yuv.height);
            let size = self.out.plane_size(component);
            // The last sample of an odd side lies half outside, in the old size and in the new one.
            let reach = |samples: usize, side: usize, factor: usize, old: usize| {
                (samples * 2 * old) as f64 / (side * factor) as f64
            };
            let crop = (
                reach(size.0, width, across, yuv.width).min(source.0 as f64),
                reach(size.1, height, down, yuv.height).min(source.1 as f64),
            );
            let out = &mut self.out.planes_mut()[component];
            resize_plane::<U8>(&mut self.resizer, (plane.data, source), crop, (out, size));
        }
        &self.out
    }

    /// Resizes the luma plane. If the new width or height is odd, repeats the last column or row, so that both become
    /// even.
    fn luma(&mut self, yuv: &Yuv<'_>, (width, height): (usize, usize)) {
        let source = framecast_turbojpeg::plane_size(yuv.subsampling, 0, yuv.width, yuv.height);
        let crop = (yuv.width as f64, yuv.height as f64);
        let (stride, rows) = self.out.plane_size(0);
        let out = &mut self.out.planes_mut()[0];
        let data = yuv.planes[0].data;
        if (stride, rows) == (width, height) {
            resize_plane::<U8>(&mut self.resizer, (data, source), crop, (out, (width, height)));
            return;
        }
        resize_buffer(&mut self.packed, width * height);
        resize_plane::<U8>(&mut self.resizer, (data, source), crop, (&mut self.packed, (width, height)));
        for (y, row) in out.chunks_exact_mut(stride).enumerate() {
            let from = &self.packed[y.min(height - 1) * width..][..width];
            row[..width].copy_from_slice(from);
            row[width..].fill(from[width - 1]);
        }
    }

    /// Resizes a picture of packed pixels of three bytes each from the size `from` to the size `to` (width and height),
    /// and returns it.
    pub(crate) fn pixels(&mut self, pixels: &[u8], from: (usize, usize), to: (usize, usize)) -> &[u8] {
        self.release_excess(from, to, 3);
        resize_buffer(&mut self.packed, to.0 * to.1 * 3);
        let crop = (from.0 as f64, from.1 as f64);
        resize_plane::<U8x3>(&mut self.resizer, (pixels, from), crop, (&mut self.packed, to));
        &self.packed
    }

    /// Frees buffers that are far too large for resizing from `from` to `to` (width and height), at `bytes` bytes per
    /// sample or pixel. The library `fast_image_resize` works in two passes, one for each direction. In between, it
    /// buffers a picture that has the new size in one direction and the old size in the other.
    fn release_excess(&mut self, from: (usize, usize), to: (usize, usize), bytes: usize) {
        let between = (from.0 * to.1).max(to.0 * from.1) * bytes;
        if is_oversized(self.resizer.size_of_internal_buffers(), between) {
            self.resizer.reset_internal_buffers();
        }
        if is_oversized(self.packed.capacity(), to.0 * to.1 * bytes) {
            self.packed = Vec::new();
        }
    }

    /// Returns how much memory the resizer holds, in bytes.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.resizer.size_of_internal_buffers() + self.out.capacity() + self.packed.capacity()
    }
}

/// Shrinks the plane `from` into the plane `to`. Each plane is given as its samples and its number of columns and rows.
/// Only the first `crop` columns and rows of `from` belong to the picture; the rest is padding.
fn resize_plane<P: PixelTrait>(
    resizer: &mut PlaneResizer,
    (from, from_size): (&[u8], (usize, usize)),
    crop: (f64, f64),
    (to, to_size): (&mut [u8], (usize, usize)),
) {
    let from = TypedImageRef::<P>::from_buffer(from_size.0 as u32, from_size.1 as u32, from)
        .expect("the plane has the length of its size");
    let mut to = TypedImage::<P>::from_buffer(to_size.0 as u32, to_size.1 as u32, to)
        .expect("the plane has the length of its size");
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .use_alpha(false)
        .crop(0.0, 0.0, crop.0, crop.1);
    resizer.resize_typed(&from, &mut to, &options).expect("the crop lies within the plane");
}
