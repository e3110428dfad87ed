//! The buffer that a writer fills.

use std::{fmt, mem};

use bytes::Bytes;

/// A chunk with this much rendered text is full, 64 KiB. Large enough that the fixed cost of a chunk does not matter,
/// and small enough for many downloads at once.
pub const CHUNK_BYTES: usize = 64 << 10;

/// Capacity for a full chunk and its last row.
const CAPACITY_BYTES: usize = CHUNK_BYTES + (4 << 10);

/// The text to send next. Pages write into it, by `write!` or by a template's `render_into`; that never fails.
#[derive(Debug, Default)]
pub struct Chunk(Vec<u8>);

impl Chunk {
    /// The number of bytes in it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn allocate(&mut self) {
        self.0.reserve(CAPACITY_BYTES);
    }

    /// Takes the text, uncompressed. Moves a full buffer out, but copies a small one, so that the large allocation is
    /// used again.
    pub(super) fn take(&mut self) -> Bytes {
        if self.len() > CHUNK_BYTES / 2 {
            return Bytes::from(mem::replace(&mut self.0, Vec::with_capacity(CAPACITY_BYTES)));
        }
        let bytes = Bytes::copy_from_slice(&self.0);
        self.clear();
        bytes
    }

    /// Empties the chunk, and shrinks it to the usual capacity after a very long row.
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

    /// The shortest text that reads back as `value`, which is finite.
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
