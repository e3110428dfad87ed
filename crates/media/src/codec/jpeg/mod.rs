//! JPEG images (ITU-T T.81): found in a stream, checked, encoded and decoded.
//!
//! Coded bytes come in through [`EndFinder`] (where does the picture end?), [`parse_markers`] (is it whole and plausible?) and
//! [`normalize`] (cut it out of the bytes around it and complete it for every decoder). All three walk the same markers in
//! the same way, so they always agree. They skip entropy-coded data without decoding it, so a check costs a fraction of
//! a decode. [`encode`] and [`decode`] serve drawn pictures and inspected ones, not those that pass through.

mod decode;
mod encode;
mod end_finder;
mod header;
mod huffman;
mod locate;
mod marker;
mod normalize;
mod problem;
#[cfg(test)]
mod samples;
mod segment;

pub use decode::decode;
pub use encode::encode;
pub use end_finder::EndFinder;
pub use header::{Header, Process, parse_markers};
pub use marker::Marker;
pub use normalize::{Normalized, normalize, normalize_complete};
pub use problem::Problem;

/// SOI, and the first byte of the marker that follows it in every picture.
pub(crate) const PICTURE_START: &[u8] = &[0xFF, 0xD8, 0xFF];

/// The marker EOI, which ends every picture.
pub(crate) const PICTURE_END: &[u8] = &[0xFF, 0xD9];
