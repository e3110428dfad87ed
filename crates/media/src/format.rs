//! The parameters that a decoder needs before the first frame.

use bytes::Bytes;

use crate::codec::raw::{ColorRange, PixelFormat};

/// How the bytes of a frame are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// One complete JPEG image (ITU-T T.81): SOI to EOI, Huffman tables included.
    Jpeg,
    /// Uncompressed samples, packed without padding. Viewers never get raw pictures: the pictures are encoded first.
    Raw(PixelFormat, ColorRange),
}

impl Codec {
    /// Returns whether the bytes are uncompressed samples.
    pub const fn is_raw(self) -> bool {
        matches!(self, Self::Raw(..))
    }
}

/// The parameters that a decoder needs before the first frame. All frames share one `Format` until a parameter changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Format {
    /// How the frames are coded.
    pub codec: Codec,
    /// Width of the picture in pixels.
    pub width_px: u32,
    /// Height of the picture in pixels.
    pub height_px: u32,
    /// The parameter sets of coded video, one NAL unit each without a start code, in the order in which a decoder needs
    /// them. Empty for pictures that need none, such as JPEG.
    pub parameter_sets: Vec<Bytes>,
}

impl Format {
    /// Makes a format without parameter sets, for pictures of the given width and height in pixels.
    pub const fn new(codec: Codec, width_px: u32, height_px: u32) -> Self {
        Self { codec, width_px, height_px, parameter_sets: Vec::new() }
    }

    /// Returns this format with `parameter_sets`, one NAL unit each without a start code.
    #[must_use]
    pub fn with_parameter_sets(self, parameter_sets: Vec<Bytes>) -> Self {
        Self { parameter_sets, ..self }
    }
}
