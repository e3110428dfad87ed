//! Transcodes pictures: raw pictures to JPEG, and JPEG images to smaller ones.
//!
//! A frame (one picture of a camera) goes in, and a JPEG frame of the target size and quality comes out. [`Transcoder`]
//! does this on the caller's thread. [`Pool`] does it on its own threads for all cameras. Each output channel, which is
//! one camera's pictures in one target format, has an output queue ([`OutputQueue`]) in the pool, which keeps frames in
//! order and drops late frames. Pictures are planes of luma and chroma in every step; only red-green-blue input passes
//! through the codec's own conversion. libjpeg-turbo encodes and decodes if it is installed, otherwise a pure Rust
//! codec does ([`Backend`]).
//!
//! Code that knows which clients watch, which sizes and qualities they want, or when an output queue is needed does not
//! belong here.

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

/// The maximum size of a picture in pixels, a little above 8K (7680x4320). Larger pictures are rejected.
pub const MAX_PIXELS: usize = 40_000_000;
