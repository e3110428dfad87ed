//! Safe bindings to libjpeg-turbo, loaded at run time: planes and pixels to JPEG and back.
//!
//! [`Library::get`] loads `libturbojpeg.so.0` once. [`Compressor`] and [`Decompressor`] are handles of the library, one
//! per thread. Before each call, this crate checks every plane's rows, stride and length against what the library will
//! access, so no argument can make the library read or write elsewhere. The bindings use the interface of version 2,
//! which version 3 still exports. A library older than 2.1 is rejected.
//!
//! What a picture shows, which size it should have and who wants it does not belong here.

#![expect(unsafe_code, reason = "a leaf crate: it makes a C library safe")]

mod compress;
mod decompress;
mod error;
mod functions;
mod library;
mod plane;
mod probe;

pub use compress::Compressor;
pub use decompress::{ColorSpace, Decompressor, Header};
pub use error::{Error, LoadError};
pub use library::{Library, Version};
pub use plane::{PackedFormat, Plane, PlaneMut, Scale, Subsampling, Yuv, plane_size};

/// The maximum length of a picture's side that libjpeg supports, in pixels (`JPEG_MAX_DIMENSION`).
pub const MAX_SIDE_PX: usize = 65_500;
