//! Planes of luma and chroma in full range: the form between decoding, scaling and encoding.

use framecast_turbojpeg::{Subsampling, Yuv, plane_size};

pub use framecast_turbojpeg::Plane;

use crate::buffer::is_oversized;

/// A planar picture that owns its samples and keeps their memory from picture to picture, up to four times what the
/// last one needs.
///
/// Rows are packed; the luma plane is padded to whole chroma samples, so 4:2:0 of 5x3 pixels has 6x4 of luma.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planar {
    planes: [Vec<u8>; 3],
    width: usize,
    height: usize,
    subsampling: Subsampling,
}

impl Default for Planar {
    fn default() -> Self {
        Self { planes: Default::default(), width: 0, height: 0, subsampling: Subsampling::Grey }
    }
}

impl Planar {
    /// Width in pixels, without padding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, without padding.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The resolution of the chroma planes.
    pub fn subsampling(&self) -> Subsampling {
        self.subsampling
    }

    /// Y, Cb and Cr; Y alone for grey.
    pub fn planes(&self) -> impl Iterator<Item = Plane<'_>> {
        let used = self.planes.iter().take(self.subsampling.planes()).enumerate();
        used.map(|(component, data)| Plane { data, stride: self.plane_size(component).0 })
    }

    /// Columns and rows of plane `component`, including padding.
    pub fn plane_size(&self, component: usize) -> (usize, usize) {
        plane_size(self.subsampling, component, self.width, self.height)
    }

    /// Takes this size; the samples keep meaningless old content. Frees memory if it holds far too much.
    pub(crate) fn reshape(&mut self, width: usize, height: usize, subsampling: Subsampling) {
        (self.width, self.height, self.subsampling) = (width, height, subsampling);
        let need = [0, 1, 2].map(|component| {
            let (columns, rows) = self.plane_size(component);
            if component < subsampling.planes() { columns * rows } else { 0 }
        });
        // All three count together: a grey picture between two in colour keeps the memory of their chroma.
        if is_oversized(self.capacity(), need.iter().sum()) {
            self.planes = Default::default();
        }
        for (plane, len) in self.planes.iter_mut().zip(need) {
            plane.resize(len, 0);
        }
    }

    /// Bytes of memory that it holds.
    pub(crate) fn capacity(&self) -> usize {
        self.planes.iter().map(Vec::capacity).sum()
    }

    /// All three planes; a grey picture's chroma planes are empty.
    pub(crate) fn planes_mut(&mut self) -> &mut [Vec<u8>; 3] {
        &mut self.planes
    }

    /// Runs `encode` on the picture in the form that the codecs accept.
    pub(crate) fn with_yuv<T>(&self, encode: impl FnOnce(&Yuv<'_>) -> T) -> T {
        let none = Plane { data: &[], stride: 0 };
        let mut planes = [none; 3];
        for (slot, plane) in planes.iter_mut().zip(self.planes()) {
            *slot = plane;
        }
        let planes = &planes[..self.subsampling.planes()];
        encode(&Yuv { planes, width: self.width, height: self.height, subsampling: self.subsampling })
    }
}
