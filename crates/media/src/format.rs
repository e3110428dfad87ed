//! The parameters that a decoder needs before the first frame.

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

/// The parameters that a decoder needs before the first frame: codec and size. All frames share one `Format` until a
/// parameter changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Format {
    /// How the frames are coded.
    pub codec: Codec,
    /// Width of the picture in pixels.
    pub width_px: u32,
    /// Height of the picture in pixels.
    pub height_px: u32,
}
