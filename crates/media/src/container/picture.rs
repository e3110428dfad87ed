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
    /// Its part headers in a multipart stream; empty in other streams.
    pub headers: Headers,
    /// Whether its sender declared its length and all of it arrived: if EOI is missing, the camera did not send it.
    pub is_complete: bool,
}

impl Picture {
    /// The sender's capture time: the header `X-Timestamp`, seconds since 1970.
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
