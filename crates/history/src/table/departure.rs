//! When the last piece of a table that broke off has left.
//!
//! hyper closes a connection at an error of the body with what it still holds, and that would be the row that says so
//! wherever a client reads slowly. A piece is dropped when it has been written, so that the error can wait for that.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// How long it is waited for: someone may gather all pieces and keep them.
const LIMIT: Duration = Duration::from_secs(10);

/// Word of when a piece is gone.
pub(crate) struct Departure {
    gone: oneshot::Receiver<()>,
    limit: Option<Pin<Box<Sleep>>>,
}

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
        let (sender, gone) = oneshot::channel();
        (Bytes::from_owner(Piece { bytes, _gone: sender }), Self { gone, limit: None })
    }

    /// Ready when they are gone, or not even after [`LIMIT`]; never at first, since they may have been copied and wait to be
    /// written all the same. Must be called within a Tokio runtime.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = &mut self.limit else {
            self.limit = Some(Box::pin(sleep(LIMIT)));
            context.waker().wake_by_ref();
            return Poll::Pending;
        };
        match Pin::new(&mut self.gone).poll(context) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => limit.as_mut().poll(context),
        }
    }
}
