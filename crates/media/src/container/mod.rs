//! How pictures follow each other in a byte stream.
//!
//! Callers push bytes in as they arrive and pull whole pictures out. Where the bytes come from and whether a picture is
//! worth showing do not belong here.

pub mod jpeg_stream;
pub mod multipart;
mod picture;
mod picture_reader;
pub mod sniff;

pub use picture::Picture;
pub use picture_reader::PictureReader;

/// The default bound on one picture, in bytes.
pub const DEFAULT_MAX_PICTURE_BYTES: usize = 16 << 20;
