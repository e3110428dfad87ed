//! How pictures follow each other in a stream of bytes.
//!
//! Bytes are pushed in as they arrive and whole pictures are pulled out; where the bytes come from and whether
//! a picture is worth showing does not belong here.

pub mod jpeg_stream;
pub mod multipart;
mod picture;
mod picture_reader;
pub mod sniff;

pub use picture::Picture;
pub use picture_reader::PictureReader;

/// The largest picture that is read unless told otherwise, in bytes.
pub const DEFAULT_MAX_PICTURE_BYTES: usize = 16 << 20;
