//! The last piece of a table that broke off, and when its error may follow.
//!
//! hyper closes a connection at an error of the body with what it still holds, and that would be the row that says so
//! wherever a client reads slowly. A piece is dropped when it has been written, so that the error can wait for that. And a
//! browser throws away what comes together with the end of what is not whole.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// How long the piece is waited for: someone may gather all pieces and keep them.
const LIMIT: Duration = Duration::from_secs(10);

/// What a browser has to show the piece before the end comes.
const PAUSE: Duration = Duration::from_secs(1);

/// Word of when the error may follow.
pub(crate) struct Departure(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

struct Piece {
    bytes: Bytes,
    _gone: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Departure {
    /// The same `bytes`, whose departure will be known.
    pub(crate) fn of(bytes: Bytes) -> (Bytes, Self) {
        let (sender, gone) = oneshot::channel::<()>();
        let departure = async move {
            // Its end is dropped; nothing is ever sent.
            timeout(LIMIT, gone).await.map(drop).unwrap_or_default();
            sleep(PAUSE).await;
        };
        (Bytes::from_owner(Piece { bytes, _gone: sender }), Self(Box::pin(departure)))
    }

    /// Ready when the error may follow. Must be called within a Tokio runtime.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Departure").finish_non_exhaustive()
    }
}
