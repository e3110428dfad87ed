//! How pictures follow each other in a stream of bytes.

pub mod multipart;
