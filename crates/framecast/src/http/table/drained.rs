//! A table that breaks off ends with an error. This module delays the error until the client has received the table's
//! last piece.
//!
//! When a body fails, hyper closes the connection and drops the data that it still holds. For a slow client, that data
//! would include the last row, which says that the table is broken. hyper drops each piece after it has written the
//! piece, so the error can wait until the last piece is dropped. The error then waits a little longer, because a
//! browser discards data that arrives just before a connection breaks.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// The maximum time that the error waits for the table's last piece to be dropped, which happens once the piece was
/// sent. The wait has a limit because a caller might collect all pieces and keep them.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The time that a browser gets to show the table's last piece before the connection breaks.
const RENDER_PAUSE: Duration = Duration::from_secs(1);

/// A piece of a table. Its drop tells that the server has sent the piece.
struct Piece {
    bytes: Bytes,
    _gone: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns the same pieces. If `pieces` ends with an error, the error comes once the client has received the last piece
/// before it. Must be polled within a Tokio runtime.
pub(super) fn drained<E: Send>(
    pieces: impl Stream<Item = Result<Bytes, E>> + Send,
) -> impl Stream<Item = Result<Bytes, E>> + Send {
    stream::unfold((Box::pin(pieces), None), |(mut pieces, last)| async move {
        match pieces.next().await? {
            Ok(bytes) => {
                let (gone, is_gone) = oneshot::channel();
                Some((Ok(Bytes::from_owner(Piece { bytes, _gone: gone })), (pieces, Some(is_gone))))
            }
            Err(error) => {
                if let Some(is_gone) = last {
                    // The sender is only dropped and never used.
                    timeout(MAX_WAIT, is_gone).await.map(drop).unwrap_or_default();
                    sleep(RENDER_PAUSE).await;
                }
                Some((Err(error), (pieces, None)))
            }
        }
    })
}
