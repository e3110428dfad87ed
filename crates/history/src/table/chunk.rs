//! The buffer into which the rows of a table are written, until they are sent.

use std::{fmt, mem};

use bytes::Bytes;

/// The number of bytes of text, not compressed, at which a chunk is full and is sent: 64 KiB. That is large enough that
/// the fixed cost of a chunk does not matter, and small enough for many downloads at once.
pub const CHUNK_BYTES: usize = 64 << 10;

/// The initial capacity of a chunk's buffer, in bytes: enough for a full chunk and for the row that filled it.
const CAPACITY_BYTES: usize = CHUNK_BYTES + (4 << 10);

/// The text of a table that is sent next. An [`HtmlPage`](super::HtmlPage) writes into the chunk with `write!` or with
/// a template's `render_into`; writing into a chunk never fails.
#[derive(Debug, Default)]
pub struct Chunk(Vec<u8>);

impl Chunk {
    /// Returns the number of bytes in the chunk.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the chunk is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the chunk's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn allocate(&mut self) {
        self.0.reserve(CAPACITY_BYTES);
    }

    /// Returns the chunk's text, not compressed, and leaves the chunk empty. Moves the buffer out if it is more than
    /// half full. Otherwise copies the text, so that the large allocation is used again.
    pub(super) fn take(&mut self) -> Bytes {
        if self.len() > CHUNK_BYTES / 2 {
            return Bytes::from(mem::replace(&mut self.0, Vec::with_capacity(CAPACITY_BYTES)));
        }
        let bytes = Bytes::copy_from_slice(&self.0);
        self.clear();
        bytes
    }

    /// Empties the chunk. Also shrinks its buffer to the usual capacity, if a very long row has enlarged it.
    pub(super) fn clear(&mut self) {
        self.0.clear();
        self.0.shrink_to(CAPACITY_BYTES);
    }

    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    #[inline]
    pub(super) fn push(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    #[inline]
    pub(super) fn push_integer(&mut self, value: i64) {
        self.push(itoa::Buffer::new().format(value));
    }

    /// Appends the number `value` as the shortest text that parses back to `value`. The number must be finite.
    #[inline]
    pub(super) fn push_float(&mut self, value: f64) {
        self.push(zmij::Buffer::new().format_finite(value));
    }
}

impl fmt::Write for Chunk {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}
