//! Delays the error of a broken table until the client has its last piece.
//!
//! When a body fails, hyper closes the connection and drops what it still holds. For a slow client that would include
//! the last row, which says that the table is broken. hyper drops a piece after it has written it, so the error can
//! wait for that drop. The error then waits a little longer, because a browser discards data that arrives together with
//! the abnormal end.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// The longest wait for the drop: a caller may collect all pieces and keep them.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The time for a browser to show the piece before the connection ends.
const RENDER_PAUSE: Duration = Duration::from_secs(1);

/// A future that completes when the error may follow.
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
    /// The same `bytes`, whose drop the future notices.
    pub(crate) fn track(bytes: Bytes) -> (Bytes, Self) {
        let (sender, gone) = oneshot::channel::<()>();
        let drain_wait = async move {
            // The sender is only dropped and never used.
            timeout(MAX_WAIT, gone).await.map(drop).unwrap_or_default();
            sleep(RENDER_PAUSE).await;
        };
        (Bytes::from_owner(Piece { bytes, _gone: sender }), Self(Box::pin(drain_wait)))
    }

    /// Ready when the error may follow. Must be called within a Tokio runtime.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for DrainWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainWait").finish_non_exhaustive()
    }
}
