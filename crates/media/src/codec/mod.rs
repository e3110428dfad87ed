//! Codings of one picture.

pub mod jpeg;
mod picture;
pub mod raw;

pub use picture::Picture;
