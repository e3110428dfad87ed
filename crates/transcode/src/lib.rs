//! Transcodes pictures: raw pictures to JPEG, JPEG images to smaller ones.
//!
//! A frame goes in, a JPEG frame of the target size and quality comes out: [`Transcoder`] does it on the caller's
//! thread, [`Pool`] on its own threads for all cameras, with one output queue ([`OutputQueue`]) per output channel that keeps
//! frames in order and drops late ones. Pictures stay planes of luma and chroma all the way; only red-green-blue input
//! passes through the codec's own conversion. libjpeg-turbo does the coding if it is installed, otherwise pure Rust
//! ([`Backend`]).
//!
//! Who watches, which renditions there are and when an output queue is needed do not belong here.

#![forbid(unsafe_code)]

mod backend;
mod buffer;
mod decode;
mod encode;
mod error;
mod pool;
mod pure;
mod resize;
mod samples;
mod target_format;
mod transcoder;
mod unpack;
mod yuv;

pub use backend::Backend;
pub use decode::Decoder;
pub use encode::Encoder;
pub use error::Error;
pub use framecast_turbojpeg::Subsampling;
pub use pool::{OutputQueue, Pool, QueueStats};
pub use target_format::{DEFAULT_QUALITY, TargetFormat};
pub use transcoder::Transcoder;
pub use yuv::{Planar, Plane};

/// The largest picture that is decoded, in pixels: a little above 8K (7680x4320). Larger ones are rejected.
pub const MAX_PIXELS: usize = 40_000_000;
