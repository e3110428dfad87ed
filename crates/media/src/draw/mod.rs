//! Drawn pictures: the pictures of cameras without hardware, and the slate.
//!
//! [`numbered_card`] draws the cards of the emulated camera, [`TestPattern`] draws the moving pattern of the test
//! camera, and [`slate`] draws the slate that says why a camera is not live. All three paint on a `Canvas`, with text
//! from an enlarged and smoothed bitmap font, or with the large digits of this module. The functions use no clock and
//! do no I/O: time is an argument.

mod canvas;
mod digit;
mod numbered_card;
mod slate;
mod test_pattern;
mod text;

pub use numbered_card::numbered_card;
pub use slate::{Slate, slate};
pub use test_pattern::{TestFrame, TestPattern};
