//! A table that breaks off ends with an error. This module delays the error until the client has received the table's
//! last piece.
//!
//! When a body fails, hyper closes the connection and drops the data that it still holds. For a slow client, that data
//! would include the last row, which says that the table is broken. hyper drops each piece after it has written the
//! piece, so the error can wait until the last piece is dropped. The error then waits a little longer, because a
//! browser discards data that arrives just before a connection breaks.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// The maximum time that the error waits for the table's last piece to be dropped, which happens once the piece was
/// sent. The wait has a limit because a caller might collect all pieces and keep them.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The time that a browser gets to show the table's last piece before the connection breaks.
const RENDER_PAUSE: Duration = Duration::from_secs(1);

/// A future that completes once the client has received the last piece of a table that broke off. The table's error can
/// then close the connection.
pub(crate) struct DrainWait(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

struct Piece {
    bytes: Bytes,
    _gone: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DrainWait {
    /// Returns the same `bytes`, and a future that completes once the returned bytes have been dropped.
    pub(crate) fn track(bytes: Bytes) -> (Bytes, Self) {
        let (sender, gone) = oneshot::channel::<()>();
        let drain_wait = async move {
            // The sender is only dropped and never used.
            timeout(MAX_WAIT, gone).await.map(drop).unwrap_or_default();
            sleep(RENDER_PAUSE).await;
        };
        (Bytes::from_owner(Piece { bytes, _gone: sender }), Self(Box::pin(drain_wait)))
    }

    /// Completes when the table's error can be returned, after its last piece. Must be called within a Tokio runtime.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for DrainWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainWait").finish_non_exhaustive()
    }
}
