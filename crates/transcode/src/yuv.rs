//! Pictures as planes of luma and chroma in full range: their form between decoding, scaling and encoding.

use framecast_turbojpeg::{Subsampling, Yuv, plane_size};

pub use framecast_turbojpeg::Plane;

use crate::buffer::is_oversized;

/// A picture that owns its samples, as separate planes of luma and chroma. Its memory is reused for the next picture,
/// but is freed if it is more than four times what that picture needs.
///
/// Rows have no gaps between them. The luma plane is padded to whole chroma samples, so a picture of 5x3 pixels in
/// 4:2:0 has 6x4 samples of luma.
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
    /// Returns the picture's width in pixels, without the padding of the planes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the picture's height in pixels, without the padding of the planes.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns the chroma subsampling: by how much the chroma planes are smaller than the luma plane.
    pub fn subsampling(&self) -> Subsampling {
        self.subsampling
    }

    /// Returns the picture's planes in the order Y, Cb, Cr; only Y for a grey picture.
    pub fn planes(&self) -> impl Iterator<Item = Plane<'_>> {
        let used = self.planes.iter().take(self.subsampling.planes()).enumerate();
        used.map(|(component, data)| Plane { data, stride: self.plane_size(component).0 })
    }

    /// Returns the number of columns and rows of the plane `component`, including padding. The components are 0 for Y,
    /// 1 for Cb and 2 for Cr.
    pub fn plane_size(&self, component: usize) -> (usize, usize) {
        plane_size(self.subsampling, component, self.width, self.height)
    }

    /// Sets the picture's size and chroma subsampling. The samples have arbitrary content afterwards. Frees memory
    /// first if the planes have far more than the new size needs.
    pub(crate) fn reshape(&mut self, width: usize, height: usize, subsampling: Subsampling) {
        (self.width, self.height, self.subsampling) = (width, height, subsampling);
        let need = [0, 1, 2].map(|component| {
            let (columns, rows) = self.plane_size(component);
            if component < subsampling.planes() { columns * rows } else { 0 }
        });
        // The three planes count together: a grey picture between two colour pictures keeps the memory of their chroma.
        if is_oversized(self.capacity(), need.iter().sum()) {
            self.planes = Default::default();
        }
        for (plane, len) in self.planes.iter_mut().zip(need) {
            plane.resize(len, 0);
        }
    }

    /// Returns how much memory the picture holds, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.planes.iter().map(Vec::capacity).sum()
    }

    /// Returns the samples of the planes Y, Cb and Cr for writing. The chroma planes of a grey picture are empty.
    pub(crate) fn planes_mut(&mut self) -> &mut [Vec<u8>; 3] {
        &mut self.planes
    }

    /// Runs `encode` on the picture, in the form in which the codecs accept planes, and returns the result.
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
