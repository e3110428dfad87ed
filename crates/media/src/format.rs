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
    /// One access unit of H.264 (ITU-T H.264, AVC): its NAL units, each behind its length as 4 bytes in big endian,
    /// without access unit delimiters and filler. The parameter sets are in the [`Format`]. Only a picture parameter
    /// set that changes between two keyframes is in the first frame that may use it.
    H264,
    /// One access unit of H.265 (ITU-T H.265, HEVC), as for [`H264`](Self::H264).
    H265,
}

impl Codec {
    /// Returns the name of the coding of coded video, such as `H.264`; `None` for pictures that stand alone.
    pub const fn video_name(self) -> Option<&'static str> {
        match self {
            Self::H264 => Some("H.264"),
            Self::H265 => Some("H.265"),
            Self::Jpeg | Self::Raw(..) => None,
        }
    }

    /// Returns whether the bytes are uncompressed samples.
    pub const fn is_raw(self) -> bool {
        matches!(self, Self::Raw(..))
    }

    /// Returns whether frames need earlier frames, so that a decoder can start at keyframes only.
    pub const fn is_video(self) -> bool {
        matches!(self, Self::H264 | Self::H265)
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
