//! Planes of luma and chroma in full range: the form of pictures between decoding, scaling and encoding.

use framecast_turbojpeg::{Subsampling, Yuv, plane_size};

pub use framecast_turbojpeg::Plane;

use crate::buffer::is_oversized;

/// A planar picture that owns its samples. It keeps its memory from picture to picture, up to four times what the last
/// picture needs.
///
/// Rows have no gaps between them. The luma plane is padded to whole chroma samples, so 4:2:0 of 5x3 pixels has 6x4
/// samples of luma.
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
    /// Returns the width in pixels, without padding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the height in pixels, without padding.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns the resolution of the chroma planes.
    pub fn subsampling(&self) -> Subsampling {
        self.subsampling
    }

    /// Returns the planes Y, Cb and Cr; only Y for a grey picture.
    pub fn planes(&self) -> impl Iterator<Item = Plane<'_>> {
        let used = self.planes.iter().take(self.subsampling.planes()).enumerate();
        used.map(|(component, data)| Plane { data, stride: self.plane_size(component).0 })
    }

    /// Returns the columns and rows of plane `component`, including padding. Component 0 is Y.
    pub fn plane_size(&self, component: usize) -> (usize, usize) {
        plane_size(self.subsampling, component, self.width, self.height)
    }

    /// Changes the size and subsampling. The samples keep old content without meaning. Frees the memory if the planes
    /// hold far too much.
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

    /// Returns the bytes of memory that the picture holds.
    pub(crate) fn capacity(&self) -> usize {
        self.planes.iter().map(Vec::capacity).sum()
    }

    /// Returns all three planes; a grey picture's chroma planes are empty.
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
