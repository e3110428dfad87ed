//! A multipart part on its way to a socket.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// The bytes of a multipart part, or what is left of them: up to three pieces, which are sent one after the other in
/// one system call. The picture in the middle is the one that the driver made, so a part copies no picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Part([Bytes; 3]);

impl Part {
    /// Creates a part of what precedes the picture, the picture, and what follows it.
    pub(crate) fn new(head: Bytes, picture: Bytes, tail: Bytes) -> Self {
        Self([head, picture, tail])
    }

    /// Returns the number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    /// Returns the bytes in the order in which to send them.
    pub(crate) fn slices(&self) -> [IoSlice<'_>; 3] {
        self.0.each_ref().map(|piece| IoSlice::new(piece))
    }

    /// Drops the first `len` bytes, which were sent.
    pub(crate) fn advance(&mut self, mut len: usize) {
        for piece in &mut self.0 {
            let sent = len.min(piece.len());
            // An empty piece no longer holds the picture.
            if sent == piece.len() {
                *piece = Bytes::new()
            } else {
                piece.advance(sent)
            }
            len -= sent;
        }
    }

    /// Returns the bytes in one buffer. This copies them, unless they are in one buffer already.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self.0 {
            [head, only, tail] if head.is_empty() && tail.is_empty() => only,
            pieces => pieces.concat().into(),
        }
    }
}

impl From<Bytes> for Part {
    fn from(bytes: Bytes) -> Self {
        Self::new(Bytes::new(), bytes, Bytes::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_the_same_wherever_the_sending_stopped() {
        let part = Part::new("head".into(), "picture".into(), "tail".into());
        let whole = part.clone().into_bytes();
        for first in 0..=whole.len() {
            for second in 0..=whole.len() - first {
                let (mut rest, len) = (part.clone(), whole.len() - first - second);
                rest.advance(first);
                rest.advance(second);
                assert_eq!((rest.len(), rest.is_empty()), (len, len == 0));
                let sent: Vec<u8> = rest.slices().iter().flat_map(|slice| slice.to_vec()).collect();
                assert_eq!(sent, whole[first + second..]);
                assert_eq!(rest.into_bytes(), whole[first + second..]);
            }
        }
    }

    #[test]
    fn a_part_in_one_buffer_is_not_copied() {
        let picture = Bytes::from_static(b"picture");
        assert_eq!(Part::from(picture.clone()).into_bytes().as_ptr(), picture.as_ptr());
    }
}
