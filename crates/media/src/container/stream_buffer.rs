//! The buffer in which the bytes of a stream become pictures.
//!
//! The buffer reserves room for a whole picture before the picture arrives. So the bytes of a picture can be read from
//! a socket to the place where they stay, and the picture takes the memory over. Only a picture that would keep much
//! more memory than it needs is copied.

use std::ops::Deref;

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The room for what follows a picture: the boundary, and the headers of the next part.
const HEADROOM_BYTES: usize = 512;

/// The maximum size of a picture for which room is reserved. The size that a camera declares can be wrong.
const MAX_RESERVED_BYTES: usize = 1 << 20;

/// The minimum room for one read.
const MIN_ROOM_BYTES: usize = 256;

/// The room that is added for reads while the size of the next picture is unknown.
const READ_BYTES: usize = 16 << 10;

/// The bytes of a stream that do not belong to a picture yet.
#[derive(Debug, Default)]
pub(super) struct StreamBuffer {
    bytes: BytesMut,
    /// The size of the memory block in which `bytes` lie. A picture that takes over its bytes keeps the whole block.
    block_bytes: usize,
}

impl StreamBuffer {
    /// Appends a copy of `bytes`.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.grow(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the room after the buffer's bytes, at least [`MIN_ROOM_BYTES`]. What is written there is appended.
    pub(super) fn room(&mut self) -> Limit<&mut BytesMut> {
        if self.room_bytes() < MIN_ROOM_BYTES {
            self.grow(READ_BYTES);
        }
        let room_bytes = self.room_bytes();
        (&mut self.bytes).limit(room_bytes)
    }

    /// Reserves room for a picture of `expected_bytes` that begins at the front of the buffer, so that the growing
    /// picture need not be moved.
    pub(super) fn reserve_picture(&mut self, expected_bytes: usize) {
        let wanted_bytes = expected_bytes.min(MAX_RESERVED_BYTES) + HEADROOM_BYTES;
        self.grow(wanted_bytes.saturating_sub(self.bytes.len()));
    }

    /// Drops the first `len` bytes.
    ///
    /// # Panics
    /// If the buffer holds fewer bytes.
    pub(super) fn advance(&mut self, len: usize) {
        self.bytes.advance(len);
    }

    /// Takes the first `len` bytes out of the buffer. They are not copied, unless they would keep more than about twice
    /// the memory that they need.
    ///
    /// # Panics
    /// If the buffer holds fewer bytes.
    pub(super) fn take(&mut self, len: usize) -> Bytes {
        if self.block_bytes > 2 * (len + HEADROOM_BYTES) {
            let copy = Bytes::copy_from_slice(&self.bytes[..len]);
            self.bytes.advance(len);
            return copy;
        }
        self.bytes.split_to(len).freeze()
    }

    fn room_bytes(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Makes sure that there is room for `additional_bytes`. Uses the present block if no picture keeps it.
    fn grow(&mut self, additional_bytes: usize) {
        if self.room_bytes() >= additional_bytes || self.bytes.try_reclaim(additional_bytes) {
            return;
        }
        // The half limits how often a picture moves that is larger than expected.
        let len = self.bytes.len();
        let mut block = BytesMut::with_capacity(len + additional_bytes.max(len / 2));
        block.extend_from_slice(&self.bytes);
        self.block_bytes = block.capacity();
        self.bytes = block;
    }
}

impl Deref for StreamBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns the size for which to reserve room if the size of the next picture is unknown. `last_bytes` is the size of
/// the previous picture; consecutive pictures of a camera differ by a few percent.
pub(super) fn expected_picture_bytes(last_bytes: usize) -> usize {
    last_bytes + last_bytes / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills the room with `bytes`, as reads from a socket do.
    fn write(buffer: &mut StreamBuffer, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut room = buffer.room();
            let len = bytes.len().min(room.remaining_mut());
            room.put_slice(&bytes[..len]);
            bytes = &bytes[len..];
        }
    }

    #[test]
    fn a_picture_of_the_expected_size_stays_where_it_was_written() {
        let mut buffer = StreamBuffer::default();
        for picture in [[1; 9000], [2; 9000], [3; 9000]] {
            write(&mut buffer, &picture[..100]);
            buffer.reserve_picture(picture.len());
            let start = buffer.as_ptr();
            write(&mut buffer, &picture[100..]);
            write(&mut buffer, b"\r\n");
            let taken = buffer.take(picture.len());
            assert_eq!((taken.as_ptr(), &taken[..]), (start, &picture[..]));
            assert_eq!(&buffer[..], b"\r\n");
            buffer.advance(2);
        }
    }

    #[test]
    fn a_picture_keeps_at_most_about_twice_its_size() {
        let mut buffer = StreamBuffer::default();
        for (expected_bytes, picture_bytes) in [(1 << 30, 3000), (0, 50_000), (50_000, 20_000), (9000, 9001)]
        {
            buffer.reserve_picture(expected_bytes);
            assert!(buffer.block_bytes <= MAX_RESERVED_BYTES + HEADROOM_BYTES);
            write(&mut buffer, &vec![7; picture_bytes]);
            let (start, block_bytes) = (buffer.as_ptr(), buffer.block_bytes);
            let taken = buffer.take(picture_bytes);
            assert_eq!(taken, vec![7; picture_bytes]);
            assert!(taken.as_ptr() != start || block_bytes <= 2 * (picture_bytes + HEADROOM_BYTES));
        }
    }

    #[test]
    fn a_block_that_no_picture_keeps_is_used_again() {
        let mut buffer = StreamBuffer::default();
        let mut blocks = std::collections::HashSet::new();
        for _ in 0..10 {
            buffer.reserve_picture(20_000);
            blocks.insert(buffer.as_ptr());
            write(&mut buffer, &[5; 20_000]);
            drop(buffer.take(20_000));
        }
        assert_eq!(blocks.len(), 1);
    }
}
