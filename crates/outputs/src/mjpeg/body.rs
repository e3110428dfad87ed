//! A viewer whose stream is sent as a response body: over TLS, over HTTP/2, and in another program's server.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use framecast_hub::ChangeListener;
use futures_util::stream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::part_stream::{Next, PartStream};
use crate::EndReason;

/// A viewer whose stream is sent as a response body.
pub(crate) struct StreamBody {
    stream: PartStream,
    changes: ChangeListener,
    phase: Phase,
    write_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Parts,
    Closed,
}

impl StreamBody {
    /// Creates the body for a viewer. The HTTP server closes the connection of a client that takes nothing for
    /// `write_timeout`.
    pub(crate) fn new(stream: PartStream, write_timeout: Duration) -> Self {
        Self { changes: stream.change_listener(), stream, phase: Phase::Opening, write_timeout }
    }

    /// Returns the response body. Each chunk is one whole multipart part with the boundary that ends the part, so that
    /// both leave in one write. The body creates the next chunk only when the connection has taken the previous one.
    pub(crate) fn into_body(self, shutdown: CancellationToken) -> Body {
        Body::from_stream(stream::unfold((self, shutdown), |(mut body, shutdown)| async move {
            body.stream.viewer().chunk_requested();
            let chunk = body.next_chunk(&shutdown).await?;
            body.stream.viewer().chunk_sent(body.write_timeout);
            Some((Ok::<_, std::convert::Infallible>(chunk), (body, shutdown)))
        }))
    }

    /// Waits for the next chunk of the response body and returns it, or `None` at the end of the stream.
    async fn next_chunk(&mut self, shutdown: &CancellationToken) -> Option<Bytes> {
        match self.phase {
            Phase::Closed => None,
            Phase::Opening => {
                self.phase = Phase::Parts;
                Some(self.stream.opening())
            }
            Phase::Parts => {
                let end_reason = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => EndReason::Shutdown,
                    part = self.next_part() => match part {
                        Some(part) => return Some(part),
                        None => EndReason::CameraEnded,
                    },
                };
                self.phase = Phase::Closed;
                self.stream.set_end_reason(end_reason);
                Some(self.stream.closing())
            }
        }
    }

    /// Waits for the next multipart part and returns it, or `None` when the camera will deliver no more frames.
    async fn next_part(&mut self) -> Option<Bytes> {
        loop {
            match self.stream.next(Instant::now()) {
                Next::Part(part) => return Some(part),
                Next::End => return None,
                Next::Due(due_at) => sleep_until(due_at).await,
                Next::Wait(None) => self.changes.changed().await,
                Next::Wait(Some(until)) => {
                    // After an update, and also after a timeout, check the stream again.
                    timeout_at(until, self.changes.changed()).await.ok();
                }
            }
        }
    }
}
