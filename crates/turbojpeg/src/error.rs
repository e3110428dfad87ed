//! What can go wrong with the library, and with its input.

/// Why libjpeg-turbo cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// None of the names under which systems keep the library could be opened.
    #[error("libturbojpeg cannot be loaded: {reason}")]
    NotFound {
        /// The error of the system's loader for the first name.
        reason: String,
    },
    /// A library of that name lacks a function that this crate calls: it is older, or another library.
    #[error("{name} lacks {symbol}; install libjpeg-turbo 2.1 or later")]
    MissingSymbol {
        /// The name under which it was loaded.
        name: &'static str,
        /// The missing function or feature.
        symbol: &'static str,
    },
    /// A library that has all functions, but failed a probe and so is older than 2.1.
    #[error("{name} {fault}; install libjpeg-turbo 2.1 or later")]
    TooOld {
        /// The name under which it was loaded.
        name: &'static str,
        /// What the probe found.
        fault: &'static str,
    },
}

/// Why a picture was not coded. Nothing was read or written out of bounds.
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
    /// A quality outside 1 to 100.
    #[error("quality {quality} is not within 1 to 100")]
    Quality {
        /// The requested quality.
        quality: u8,
    },
    /// The number of planes is not the one of the subsampling.
    #[error("{got} planes instead of {want}")]
    Planes {
        /// The number of planes given.
        got: usize,
        /// The number of planes needed.
        want: usize,
    },
    /// A plane or a buffer of pixels is too small for its picture, or its stride is shorter than a row.
    #[error(
        "plane {component}: {len_bytes} bytes with a stride of {stride_bytes} do not hold {rows} rows of {row_bytes}"
    )]
    Plane {
        /// Which one, counted from 0: Y, Cb, Cr; for pixels 0.
        component: usize,
        /// Length of the given plane or buffer.
        len_bytes: usize,
        /// Distance between the starts of two rows.
        stride_bytes: usize,
        /// The number of rows needed.
        rows: usize,
        /// The bytes needed of each row.
        row_bytes: usize,
    },
    /// The buffer for the JPEG image is smaller than the worst case.
    #[error("the buffer has {got} bytes, but the JPEG image may take {want}")]
    Output {
        /// Length of the buffer.
        got: usize,
        /// Length needed in the worst case.
        want: usize,
    },
    /// At this scale, the luma rows would end within a colour sample that no block of the picture holds.
    #[error("cannot scale {width_px} columns by {eighths}/8 as planes")]
    Scale {
        /// Width of the picture in pixels.
        width_px: usize,
        /// The requested scale.
        eighths: u8,
    },
    /// The library could not create a handle: out of memory.
    #[error("libjpeg-turbo gave no handle: {message}")]
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
