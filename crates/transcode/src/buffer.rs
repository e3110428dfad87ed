//! When to free a buffer that is kept from picture to picture.
//!
//! A thread codes pictures of many cameras, and one large snapshot must not hold its memory for the rest of the run.
//! The sizes that alternate in normal use, a picture and its renditions, mostly differ by less than the limit.

/// How many times the need of a picture a buffer may hold.
const MAX_EXCESS_FACTOR: usize = 4;

/// Whether buffers of `capacity` bytes are too large for a picture that needs `need`.
pub(crate) fn is_oversized(capacity: usize, need: usize) -> bool {
    capacity / MAX_EXCESS_FACTOR > need
}

/// Resizes `buffer` to `len` bytes, which keep their old content or are zero; frees memory if it holds far more.
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
