//! For tests alone: frames, fake cameras, slow viewers, a plain HTTP client. Nothing that ships imports it, and what
//! only one crate's tests need does not belong here.

pub mod client;
