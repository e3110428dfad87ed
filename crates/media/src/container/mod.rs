//! How pictures follow each other in a stream of bytes.
//!
//! Bytes are pushed in as they arrive and whole pictures are pulled out; where the bytes come from and whether
//! a picture is worth showing does not belong here.

pub mod multipart;
