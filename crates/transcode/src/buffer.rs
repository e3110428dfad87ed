//! Frees buffers that are kept from picture to picture when they are far too large.
//!
//! A thread encodes and decodes pictures of many cameras, and one large snapshot must not hold its memory for the rest
//! of the run. The sizes that alternate in normal use, a picture and its renditions, mostly differ by less than the
//! limit.

/// A kept buffer can have at most this many times the bytes that the current picture needs.
const MAX_EXCESS_FACTOR: usize = 4;

/// Returns whether buffers of `capacity` bytes are too large for a picture that needs `need` bytes.
pub(crate) fn is_oversized(capacity: usize, need: usize) -> bool {
    capacity / MAX_EXCESS_FACTOR > need
}

/// Resizes `buffer` to `len` bytes, whose content is old data or zero. Frees the memory first if the buffer is far too
/// large.
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
