//! One connected client whose stream is a response body: over TLS, over HTTP/2, and in another program's server.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use framecast_hub::Changes;
use futures_util::stream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::stream::{Next, Stream};
use crate::Ending;

/// One connected client.
pub(crate) struct Viewer {
    stream: Stream,
    changes: Changes,
    phase: Phase,
    write_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Parts,
    Closed,
}

impl Viewer {
    /// A viewer whose connection its server closes when it takes nothing for `write_timeout`.
    pub(crate) fn new(stream: Stream, write_timeout: Duration) -> Self {
        Self { changes: stream.changes(), stream, phase: Phase::Opening, write_timeout }
    }

    /// The response body. Each chunk is one whole part with the boundary that ends it, so that it leaves in one write.
    /// The body makes the next chunk only when the connection has taken the one before.
    pub(crate) fn into_body(self, shutdown: CancellationToken) -> Body {
        Body::from_stream(stream::unfold((self, shutdown), |(mut viewer, shutdown)| async move {
            viewer.stream.place().is_asked();
            let chunk = viewer.next_chunk(&shutdown).await?;
            viewer.stream.place().gives(viewer.write_timeout);
            Some((Ok::<_, std::convert::Infallible>(chunk), (viewer, shutdown)))
        }))
    }

    /// The next chunk, or `None` at the end.
    async fn next_chunk(&mut self, shutdown: &CancellationToken) -> Option<Bytes> {
        match self.phase {
            Phase::Closed => None,
            Phase::Opening => {
                self.phase = Phase::Parts;
                Some(self.stream.opening())
            }
            Phase::Parts => {
                let ending = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => Ending::Shutdown,
                    part = self.next_part() => match part {
                        Some(part) => return Some(part),
                        None => Ending::CameraEnded,
                    },
                };
                self.phase = Phase::Closed;
                self.stream.ends(ending);
                Some(self.stream.closing())
            }
        }
    }

    /// The next part as soon as there is one; `None` when the channel has ended.
    async fn next_part(&mut self) -> Option<Bytes> {
        loop {
            match self.stream.next(Instant::now()) {
                Next::Part(part) => return Some(part),
                Next::End => return None,
                Next::Due(due_at) => sleep_until(due_at).await,
                Next::Wait(None) => self.changes.changed().await,
                Next::Wait(Some(until)) => {
                    // After an update or a timeout alike, check the stream again.
                    timeout_at(until, self.changes.changed()).await.ok();
                }
            }
        }
    }
}
