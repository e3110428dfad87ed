//! Codings of one picture.

pub mod jpeg;
pub mod raw;
mod rgb_image;

pub use rgb_image::RgbImage;
