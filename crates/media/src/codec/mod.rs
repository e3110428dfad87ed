//! Codecs for single pictures: JPEG and raw samples.

pub mod jpeg;
pub mod raw;
mod rgb_image;

pub use rgb_image::RgbImage;
