//! Codings of one picture.

pub mod jpeg;
mod picture;

pub use picture::Picture;
