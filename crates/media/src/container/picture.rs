//! The pictures that the stream readers yield.

use std::time::SystemTime;

use bytes::Bytes;

use super::multipart::{Headers, Part, parse_unix_seconds};
use crate::codec::jpeg::Header;

/// One picture from a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The coded picture.
    pub data: Bytes,
    /// Offset of the picture's start, in bytes from the start of the stream.
    pub offset: u64,
    /// The headers of the picture's part in a multipart stream; empty in other streams.
    pub headers: Headers,
    /// Whether the sender declared the picture's length and the picture arrived in full length. If a complete picture
    /// has no EOI, the camera did not send one.
    pub is_complete: bool,
    /// What the picture's markers say, if the reader has walked them from the first byte of `data` to the last. `None`
    /// says nothing about the picture.
    pub jpeg_header: Option<Header>,
}

impl Picture {
    /// Returns the sender's capture time from the header `X-Timestamp` (seconds since 1970); `None` if that header is
    /// missing or invalid.
    pub fn captured_at(&self) -> Option<SystemTime> {
        self.headers.get("x-timestamp").and_then(parse_unix_seconds)
    }
}

impl From<Part> for Picture {
    fn from(part: Part) -> Self {
        let Part { headers, body, offset, is_complete, jpeg_header } = part;
        Self { data: body, offset, headers, is_complete, jpeg_header }
    }
}
