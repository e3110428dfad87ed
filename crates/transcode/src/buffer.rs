//! Frees buffers that are reused from picture to picture, once they are far larger than the current picture needs.
//!
//! A thread encodes and decodes pictures of many cameras, and one large snapshot must not hold its memory for the rest
//! of the run. In normal use, a full picture alternates with smaller versions of it. These sizes mostly differ by less
//! than `MAX_EXCESS_FACTOR`, so that no memory is freed and allocated again and again.

/// A buffer that is reused can have at most this many times the bytes that the current picture needs. A larger one is
/// freed.
const MAX_EXCESS_FACTOR: usize = 4;

/// Returns whether a buffer of `capacity` bytes is so much larger than the `need` bytes of a picture that it must be
/// freed.
pub(crate) fn is_oversized(capacity: usize, need: usize) -> bool {
    capacity / MAX_EXCESS_FACTOR > need
}

/// Resizes `buffer` to `len` bytes, with arbitrary content. If the buffer is more than `MAX_EXCESS_FACTOR` times too
/// large, first frees its memory.
pub(crate) fn resize_buffer(buffer: &mut Vec<u8>, len: usize) {
    if is_oversized(buffer.capacity(), len) {
        *buffer = vec![0; len];
    } else {
        buffer.resize(len, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_keeps_its_memory_until_it_is_more_than_four_times_too_large() {
        let mut buffer = Vec::with_capacity(4000);
        resize_buffer(&mut buffer, 1000);
        assert_eq!((buffer.len(), buffer.capacity()), (1000, 4000));
        resize_buffer(&mut buffer, 999);
        assert_eq!((buffer.len(), buffer.capacity()), (999, 999));
    }
}
