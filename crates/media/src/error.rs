//! The errors about bytes that come from cameras and files.

use crate::codec::jpeg;
use crate::codec::raw::PixelFormat;
use crate::container::multipart;
use crate::container::sniff::Content;

/// What is wrong with bytes from outside, and in most cases the position of the fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A picture that is not a whole, plausible JPEG image.
    #[error("byte {offset}: {problem}")]
    Jpeg {
        /// Offset in bytes from the start of the picture.
        offset: usize,
        /// What is wrong at this offset.
        problem: jpeg::Problem,
    },
    /// A broken picture within a stream of pictures.
    #[error("byte {offset} of the picture that begins at byte {picture_offset} of the stream: {problem}")]
    JpegInStream {
        /// Offset of the picture's start in bytes from the start of the stream.
        picture_offset: u64,
        /// Offset of the fault in bytes from the start of the picture.
        offset: usize,
        /// What is wrong at this offset.
        problem: jpeg::Problem,
    },
    /// A stream that contains something other than pictures.
    #[error("no JPEG pictures here: the stream looks like {looks_like}")]
    NotPictures {
        /// What the first bytes of the stream look like.
        looks_like: Content,
    },
    /// A multipart body that is invalid or exceeds a limit.
    #[error("byte {offset} of the stream: {problem}")]
    Multipart {
        /// Offset in bytes from the start of the body.
        offset: u64,
        /// What is wrong at this offset.
        problem: multipart::Problem,
    },
    /// A picture or part that is larger than the limit.
    #[error("byte {offset} of the stream: a picture is larger than {limit_bytes} bytes")]
    TooLarge {
        /// Offset of the picture's start in bytes from the start of the stream.
        offset: u64,
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// A picture whose width or height is outside the range of JPEG.
    #[error("a picture of {width_px}x{height_px} pixels: each side must be 1 to 65535")]
    PictureSize {
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
    },
    /// A raw picture whose number of bytes does not match its width and height.
    #[error(
        "a {format} picture of {width_px}x{height_px} pixels needs {expected_bytes} bytes, not {len_bytes}"
    )]
    RawLength {
        /// The pixel format of the picture.
        format: PixelFormat,
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
        /// The number of bytes that a picture of this format, width and height should have.
        expected_bytes: usize,
        /// The number of bytes that the picture really has.
        len_bytes: usize,
    },
    /// A picture that the capture device marked as broken.
    #[error("the device marked the picture as broken")]
    FlaggedByDevice,
}
