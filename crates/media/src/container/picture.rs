//! What the readers of streams yield.

use std::time::SystemTime;

use bytes::Bytes;

use super::multipart::{Headers, Part, parse_unix_seconds};

/// One picture out of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The coded picture.
    pub data: Bytes,
    /// Where it begins, in bytes from the start of the stream.
    pub offset: u64,
    /// What came with it in a multipart stream; empty in others.
    pub headers: Headers,
    /// Whether its sender declared its length and all of it came: a picture that lacks EOI then came so from the camera.
    pub is_complete: bool,
}

impl Picture {
    /// When it was taken, in the words of its sender: the header `X-Timestamp`, seconds since 1970.
    pub fn captured_at(&self) -> Option<SystemTime> {
        self.headers.get("x-timestamp").and_then(parse_unix_seconds)
    }
}

impl From<Part> for Picture {
    fn from(part: Part) -> Self {
        let Part { headers, body, offset, is_complete } = part;
        Self { data: body, offset, headers, is_complete }
    }
}
