//! What can go wrong with the library, and with what it is given.

/// Why libjpeg-turbo cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// None of the names under which systems keep the library could be opened.
    #[error("libturbojpeg cannot be loaded: {reason}")]
    NotFound {
        /// What the system's loader said of the first name.
        reason: String,
    },
    /// A library of the name that lacks what this crate calls: older, or something else.
    #[error("{name} lacks {symbol}: libjpeg-turbo 2.1 or later is needed")]
    Lacks {
        /// The name under which it was loaded.
        name: &'static str,
        /// The function or feature that is missing.
        symbol: &'static str,
    },
    /// A library that has all functions, and showed when it was tried that it is older than 2.1.
    #[error("{name} {fault}: libjpeg-turbo 2.1 or later is needed")]
    TooOld {
        /// The name under which it was loaded.
        name: &'static str,
        /// What it does or does not do.
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
        /// What was asked for.
        quality: u8,
    },
    /// The number of planes is not the one of the subsampling.
    #[error("{got} planes where {want} are needed")]
    Planes {
        /// As many as there are.
        got: usize,
        /// As many as there should be.
        want: usize,
    },
    /// A plane or a buffer of pixels that is too small for its picture, or whose stride is no row's length.
    #[error(
        "plane {component}: {len_bytes} bytes with a stride of {stride_bytes} do not hold {rows} rows of {row_bytes}"
    )]
    Plane {
        /// Which one, counted from 0: Y, Cb, Cr; pixels are 0.
        component: usize,
        /// Length of what was given.
        len_bytes: usize,
        /// Distance between the starts of two rows.
        stride_bytes: usize,
        /// Rows that are needed.
        rows: usize,
        /// Bytes of each row that are needed.
        row_bytes: usize,
    },
    /// The buffer for the JPEG image is smaller than the worst case.
    #[error("{got} bytes for a JPEG image that may take {want}")]
    Output {
        /// Length of the buffer.
        got: usize,
        /// Length that the worst case needs.
        want: usize,
    },
    /// A scale whose luma rows would end within a sample of colour that no block of the picture holds.
    #[error("{width_px} columns cannot be scaled by {eighths}/8 as planes")]
    Scale {
        /// Width of the picture in pixels.
        width_px: usize,
        /// The scale that was asked for.
        eighths: u8,
    },
    /// The library made no handle, out of memory.
    #[error("libjpeg-turbo gave no handle: {message}")]
    NoHandle {
        /// What the library says of it.
        message: String,
    },
    /// The library refused the picture.
    #[error("libjpeg-turbo: {message}")]
    Codec {
        /// What the library says of it.
        message: String,
    },
}
