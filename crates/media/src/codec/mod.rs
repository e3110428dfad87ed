//! Codings of one picture.

pub mod jpeg;
