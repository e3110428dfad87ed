//! Tells a response body when a chunk of it has left the HTTP server.
//!
//! An HTTP server asks a body for further chunks long before it has sent the first: hyper queues up to 400 KB for each
//! connection. But an HTTP server drops a chunk's bytes once it has written the last of them to the socket (HTTP/1), or
//! to the TLS connection, or as frames (HTTP/2). So a chunk that reports its drop shows what has left, whichever way it
//! leaves.

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The time at which a chunk leaves the HTTP server.
pub type Departure = oneshot::Receiver<Instant>;

/// A chunk that reports when it is dropped.
struct Chunk {
    bytes: Bytes,
    left: Option<oneshot::Sender<Instant>>,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(left) = self.left.take() {
            // The body might have been dropped first.
            left.send(Instant::now()).ok();
        }
    }
}

/// Returns a chunk with the same `bytes`, without a copy, and the time at which the last reference to this chunk is
/// dropped.
pub fn hand_over(bytes: Bytes) -> (Bytes, Departure) {
    let (left, departure) = oneshot::channel();
    (Bytes::from_owner(Chunk { bytes, left: Some(left) }), departure)
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use framecast_testkit::soon;
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_chunk_has_left_when_the_last_piece_of_it_is_dropped() {
        let picture = Bytes::from_static(b"a picture");
        let (mut chunk, mut departure) = hand_over(picture.clone());
        assert_eq!((chunk.as_ptr(), chunk.len()), (picture.as_ptr(), picture.len()));
        let first = chunk.split_to(4);
        drop(chunk);
        assert!((&mut departure).now_or_never().is_none());
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        drop(first);
        assert_eq!(soon("the picture leaves", departure).await, Ok(Instant::now()));
    }
}
