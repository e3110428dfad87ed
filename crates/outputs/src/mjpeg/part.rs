//! A multipart part on its way to a socket.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, Bytes};

/// The bytes of a multipart part, or what is left of them: up to three pieces, which are sent one after the other in
/// one system call. The picture in the middle is the one that the driver made, so a part copies no picture. All viewers
/// share the pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// The pieces; `None` if nothing is left to send. So a part that was sent no longer holds the picture.
    pieces: Option<Arc<[Bytes; 3]>>,
    /// The number of bytes that were sent already.
    sent: usize,
}

impl Part {
    /// Creates a part of what precedes the picture, the picture, and what follows it.
    pub(crate) fn new(head: Bytes, picture: Bytes, tail: Bytes) -> Self {
        let pieces = [head, picture, tail];
        let is_empty = pieces.iter().all(Bytes::is_empty);
        Self { pieces: (!is_empty).then(|| Arc::new(pieces)), sent: 0 }
    }

    /// Returns the number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().flat_map(|pieces| pieces.iter()).map(Bytes::len).sum::<usize>() - self.sent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_none()
    }

    /// Returns the bytes in the order in which to send them.
    pub(crate) fn slices(&self) -> [IoSlice<'_>; 3] {
        let Some(pieces) = &self.pieces else { return [IoSlice::new(&[]); 3] };
        let mut sent = self.sent;
        pieces.each_ref().map(|piece| {
            let (_, rest) = piece.split_at(sent.min(piece.len()));
            sent -= piece.len() - rest.len();
            IoSlice::new(rest)
        })
    }

    /// Drops the first `len` bytes, which were sent.
    pub(crate) fn advance(&mut self, len: usize) {
        if len < self.len() {
            self.sent += len;
        } else {
            *self = Self::default();
        }
    }

    /// Returns the bytes in one buffer. This copies them, unless they are in one buffer already.
    pub(crate) fn into_bytes(self) -> Bytes {
        let Some(pieces) = self.pieces else { return Bytes::new() };
        let mut bytes = match Arc::unwrap_or_clone(pieces) {
            [head, only, tail] if head.is_empty() && tail.is_empty() => only,
            pieces => pieces.concat().into(),
        };
        bytes.advance(self.sent);
        bytes
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
