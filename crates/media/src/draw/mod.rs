//! Drawn pictures, for viewers when there is no camera to show.
//!
//! [`emulated`] draws the cards of the emulated camera, [`TestPattern`] the moving pattern of the test camera,
//! [`notice`] the slate that says why a camera is not live. They paint on a `Canvas`, with text from a bitmap font that
//! is smoothed as it is enlarged, and with digits of our own design. No clock and no I/O: time is an argument.

mod canvas;
mod digit;
mod emulated;
mod notice;
mod test_pattern;
mod text;

pub use emulated::emulated;
pub use notice::{Notice, notice};
pub use test_pattern::{TestFrame, TestPattern};
