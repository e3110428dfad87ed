//! JPEG images (ITU-T T.81): finding them in a stream, checking, encoding and decoding.
//!
//! Coded bytes enter in three ways: through [`EndFinder`] (where does the picture end?), [`parse_markers`] (is the
//! picture whole and plausible?) or [`normalize`] (cut the picture out of the bytes around it and complete it for every
//! decoder). All three walk the markers with the same code, so they always agree. They skip entropy-coded data without
//! decoding it, so a check costs a fraction of a decode. [`encode`] is for drawn pictures and [`decode`] for pictures
//! whose pixels are needed. Pictures that are only forwarded need neither.

mod check;
mod decode;
mod encode;
mod end_finder;
mod header;
mod huffman;
mod marker;
mod normalize;
mod problem;
#[cfg(test)]
mod samples;
mod segment;

pub use check::parse_markers;
pub use decode::decode;
pub use encode::encode;
pub use end_finder::EndFinder;
pub use header::{Header, Process};
pub use marker::Marker;
pub use normalize::{Normalized, normalize, normalize_complete, normalize_walked};
pub use problem::Problem;

/// The marker SOI, and the first byte of the marker that follows the SOI in every picture.
pub(crate) const PICTURE_START: &[u8] = &[0xFF, 0xD8, 0xFF];

/// The marker EOI, which ends every picture.
pub(crate) const PICTURE_END: &[u8] = &[0xFF, 0xD9];
