//! Codecs: JPEG and raw samples, which stand alone, and the coded video of H.264 and H.265, which Framecast reads but
//! neither encodes nor decodes.

mod decode_times;
mod h264;
mod h265;
pub mod jpeg;
pub mod nal;
pub mod raw;
mod rbsp;
mod rgb_image;
#[cfg(test)]
pub(crate) mod samples;
mod video;

pub use decode_times::{DecodeTimes, FrameTimes};
pub use rgb_image::RgbImage;
pub use video::{VideoParameters, dependency, is_reordered, unit_kind};
