//! The media types and algorithms: [`Frame`], [`Format`], [`Timestamp`], the codecs that encode and decode pictures,
//! and the containers that carry pictures.
//!
//! Everything in this crate is a function of its arguments: bytes in, pictures or decisions out. No async runtime, no
//! sockets, no files and no clock belong in this crate; the time of day is always an argument.

#![forbid(unsafe_code)]

mod anchor;
mod backoff;
pub mod codec;
pub mod container;
pub mod draw;
mod error;
mod escape;
mod flag;
mod format;
mod frame;
mod lock;
pub mod rtp;
mod secret;
mod timestamp;

pub use anchor::Anchor;
pub use backoff::Backoff;
pub use bytes::Bytes;
pub use codec::raw::{ColorRange, PixelFormat};
pub use error::Error;
pub use escape::{escape_hidden, escape_hidden_json, escape_hidden_multiline, is_hidden};
pub use flag::{FLAG_VALUES, parse_flag};
pub use format::{Codec, Format};
pub use frame::{Dependency, Frame};
pub use lock::{lock, unpoisoned};
pub use secret::Secret;
pub use timestamp::Timestamp;
