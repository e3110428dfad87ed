//! Errors of loading the library, and of encoding and decoding pictures.

/// The reason why libjpeg-turbo cannot be used on this system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The library could not be opened under any of the names that systems use.
    #[error("libturbojpeg cannot be loaded: {reason}")]
    NotFound {
        /// The error of the system's loader for the first name.
        reason: String,
    },
    /// The library lacks a function that this crate calls: it is an older version, or another library.
    #[error("{name} lacks {symbol}; install libjpeg-turbo 2.1 or later")]
    MissingSymbol {
        /// The name under which the library was loaded.
        name: &'static str,
        /// The missing function or feature.
        symbol: &'static str,
    },
    /// The library has all functions that this crate calls, but its behaviour with a test picture shows that it is
    /// older than 2.1.
    #[error("{name} {fault}; install libjpeg-turbo 2.1 or later")]
    TooOld {
        /// The name under which the library was loaded.
        name: &'static str,
        /// What the test picture showed, as text to follow the library's name.
        fault: &'static str,
    },
}

/// The reason why a picture was not encoded or decoded. Nothing was read or written out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A side of the picture is zero or above [`MAX_SIDE_PX`](crate::MAX_SIDE_PX).
    #[error("a picture of {width_px}x{height_px} pixels: each side must be 1 to 65500")]
    Size {
        /// Width in pixels.
        width_px: usize,
        /// Height in pixels.
        height_px: usize,
    },
    /// The quality is outside 1 to 100.
    #[error("quality {quality} is not within 1 to 100")]
    Quality {
        /// The requested quality.
        quality: u8,
    },
    /// The number of planes does not match the subsampling.
    #[error("the picture has {got} planes instead of {want}")]
    Planes {
        /// The number of planes that the caller passed.
        got: usize,
        /// The number of planes that the subsampling needs.
        want: usize,
    },
    /// A plane or a buffer of pixels is too small for its picture, or its stride is shorter than a row.
    #[error(
        "plane {component}: {len_bytes} bytes with a stride of {stride_bytes} are too few for {rows} rows of \
         {row_bytes} bytes"
    )]
    Plane {
        /// The number of the plane, from 0: Y, Cb, Cr; 0 for a buffer of pixels.
        component: usize,
        /// The length of the given plane or buffer, in bytes.
        len_bytes: usize,
        /// The distance between the starts of two rows, in bytes.
        stride_bytes: usize,
        /// The number of rows needed.
        rows: usize,
        /// The number of bytes needed in each row.
        row_bytes: usize,
    },
    /// The buffer for the JPEG image is smaller than an image of this size can become.
    #[error("the buffer has {got} bytes, but the JPEG image may need {want}")]
    Output {
        /// The length of the buffer, in bytes.
        got: usize,
        /// The length that the buffer needs for the longest possible image, in bytes.
        want: usize,
    },
    /// The picture cannot be decoded to planes at this scale: the scaled luma plane, padded to whole colour
    /// samples, is wider than the picture's scaled blocks.
    #[error("a picture of {width_px} columns cannot be decoded to planes at the scale {eighths}/8")]
    Scale {
        /// The width of the unscaled picture in pixels.
        width_px: usize,
        /// The requested scale, in eighths.
        eighths: u8,
    },
    /// The library could not create a handle, because memory is short.
    #[error("libjpeg-turbo returned no handle: {message}")]
    NoHandle {
        /// The library's message.
        message: String,
    },
    /// The library rejected the picture.
    #[error("libjpeg-turbo: {message}")]
    Codec {
        /// The library's message.
        message: String,
    },
}
