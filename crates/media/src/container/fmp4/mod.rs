//! Fragmented MP4 (ISO/IEC 14496-12) for live coded video.
//!
//! The writer makes an init segment once for each format, and a fragment for each frame: a head of constant size, and
//! the frame's bytes, which are not copied. Browsers (Media Source Extensions) and players read them. The reader reads
//! what programs such as ffmpeg write, as it comes. Times from the wall clock and the choice of what to send do not
//! belong here.

mod boxes;
mod fragment;
mod init_segment;
mod problem;
mod reader;
mod run;
mod sample_content;
#[cfg(test)]
mod tests;
mod track;

pub use fragment::{FRAGMENT_HEAD_BYTES, Fragment};
pub use init_segment::{content_type, init_segment};
pub use problem::{BoxKind, Problem};
pub use reader::{Fmp4Reader, Sample};

/// The number of the one track that the writer writes.
const TRACK_ID: u32 = 1;
