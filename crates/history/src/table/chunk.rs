//! The bytes that are being filled.

use std::{fmt, mem};

use bytes::Bytes;

/// So much rendered text makes a chunk full, 64 KiB: large enough that what each chunk costs does not count, small
/// enough that many downloads at once do not count either.
pub const CHUNK_BYTES: usize = 64 << 10;

/// Room for a full chunk, with the row that made it full.
const CAPACITY_BYTES: usize = CHUNK_BYTES + (4 << 10);

/// The text that leaves next. Pages write into it, by `write!` or by a template's `render_into`; that never fails.
#[derive(Debug, Default)]
pub struct Chunk(Vec<u8>);

impl Chunk {
    /// Bytes that are in it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn allocate(&mut self) {
        self.0.reserve(CAPACITY_BYTES);
    }

    /// Takes the text as it is. A full chunk is given away; of a small one it is a copy, so that the large buffer serves
    /// on.
    pub(super) fn take(&mut self) -> Bytes {
        if self.len() > CHUNK_BYTES / 2 {
            return Bytes::from(mem::replace(&mut self.0, Vec::with_capacity(CAPACITY_BYTES)));
        }
        let bytes = Bytes::copy_from_slice(&self.0);
        self.clear();
        bytes
    }

    /// Leaves nothing in it, and no more room than a chunk needs, however long a row was.
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
    pub(super) fn push_real(&mut self, value: f64) {
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
