//! Codecs: JPEG and raw samples, which stand alone, and the coded video of H.264 and H.265, which Framecast reads but
//! neither encodes nor decodes.

mod decode_times;
mod h264;
mod h265;
pub mod jpeg;
mod leading;
pub mod nal;
mod parameter_sets;
pub mod raw;
mod rbsp;
mod rgb_image;
#[cfg(test)]
pub(crate) mod samples;
mod video;

pub use decode_times::{DecodeTimes, FrameTimes};
pub(crate) use leading::{Leading, LeadingFilter};
pub(crate) use parameter_sets::ParameterSets;
pub use rgb_image::RgbImage;
pub use video::{VideoParameters, dependency, is_reordered, unit_kind};
