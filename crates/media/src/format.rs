//! What a decoder must know before the first frame.

use crate::codec::raw::{ColorRange, PixelFormat};

/// How the bytes of a frame are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// One complete JPEG image (ITU-T T.81): SOI to EOI, Huffman tables included.
    Jpeg,
    /// Uncoded samples, packed without padding. Viewers never get these: they are encoded first.
    Raw(PixelFormat, ColorRange),
}

/// What a decoder must know first: codec and size. All frames share it until it changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Format {
    /// How the frames are coded.
    pub codec: Codec,
    /// Width of the picture in pixels.
    pub width_px: u32,
    /// Height of the picture in pixels.
    pub height_px: u32,
}
