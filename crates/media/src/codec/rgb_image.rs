//! An uncoded picture: rows of RGB pixels.

/// An uncoded picture: rows of pixels from top to bottom, each pixel three bytes: red, green, blue. A clone copies all
/// pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    width_px: u32,
    height_px: u32,
    data: Vec<u8>,
}

impl RgbImage {
    /// Creates a black picture. This allocates three bytes for each pixel, so a caller that takes the size from
    /// untrusted input must limit the size first.
    pub fn new(width_px: u32, height_px: u32) -> Self {
        Self { width_px, height_px, data: vec![0; len_bytes(width_px, height_px)] }
    }

    /// Creates a picture from the pixels in `data`. Returns `None` if the length is not `width_px * height_px * 3`
    /// bytes.
    pub fn from_rgb(width_px: u32, height_px: u32, data: Vec<u8>) -> Option<Self> {
        (data.len() == len_bytes(width_px, height_px)).then_some(Self { width_px, height_px, data })
    }

    /// Returns the width in pixels.
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Returns the height in pixels.
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    /// Returns the bytes of all pixels, without gaps between rows.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Returns the bytes of all pixels for writing, without gaps between rows.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Returns red, green and blue of the pixel at column `x` and row `y`; `None` outside the picture.
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        if x >= self.width_px || y >= self.height_px {
            return None;
        }
        let at = len_bytes(self.width_px, y) + 3 * x as usize;
        Some([self.data[at], self.data[at + 1], self.data[at + 2]])
    }
}

fn len_bytes(width_px: u32, height_px: u32) -> usize {
    width_px as usize * height_px as usize * 3
}
