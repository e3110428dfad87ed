//! Byte streams of coded video (annex B of H.264 and of H.265), as `ffmpeg -f h264` and `rpicam-vid` write them.
//!
//! The reader cuts the stream into NAL units at start codes, and gathers the units into access units. It takes
//! parameter sets out of the stream: each access unit names its format. Bytes that prevent the emulation of start codes
//! stay.

mod access_unit;
#[cfg(test)]
mod pause_tests;
mod pauses;
mod reader;
#[cfg(test)]
mod tests;

pub use access_unit::AccessUnit;
pub use reader::AnnexBReader;
