//! Containers: how pictures and frames of coded video follow each other in a byte stream.
//!
//! Callers push bytes as they arrive, or write them into the room of a reader, and pull out whole pictures. Where the
//! bytes come from and whether a picture is worth showing do not belong here.

mod annex_b;
pub mod fmp4;
pub mod jpeg_stream;
pub mod multipart;
mod picture;
mod picture_reader;
pub mod sniff;
mod stream_buffer;
mod stream_reader;

pub use annex_b::{AccessUnit, AnnexBReader};
pub use picture::Picture;
pub use picture_reader::PictureReader;
pub use stream_reader::{StreamItem, StreamReader};

/// The default maximum size of one picture, in bytes.
pub const DEFAULT_MAX_PICTURE_BYTES: usize = 16 << 20;
