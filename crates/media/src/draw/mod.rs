//! Drawn pictures, for viewers when there is no camera to show.
//!
//! [`numbered_card`] draws the cards of the emulated camera, [`TestPattern`] the moving pattern of the test camera,
//! [`slate`] the slate that says why a camera is not live. They paint on a `Canvas`, with text from a bitmap font that
//! is smoothed as it is enlarged, and with digits of our own design. No clock and no I/O: time is an argument.

mod canvas;
mod digit;
mod numbered_card;
mod slate;
mod test_pattern;
mod text;

pub use numbered_card::numbered_card;
pub use slate::{Slate, slate};
pub use test_pattern::{TestFrame, TestPattern};
