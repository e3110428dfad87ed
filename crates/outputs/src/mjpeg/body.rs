//! A viewer whose stream is sent as a response body: over TLS, over HTTP/2, and in another program's server.
//!
//! The body gives the HTTP server one part at a time, and the next one only when that part has left ([`hand_over`]). So
//! it chooses each picture as late as possible, and holds at most one picture in hand. For a slow link it gives each
//! part in pieces, because the times at which they leave show what the buffers hold.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use framecast_hub::ChangeListener;
use futures_util::stream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::client_stream::ClientStream;
use super::handover::{Departure, hand_over};
use super::part_stream::Next;
use crate::EndReason;
use crate::flow_control::{FlowControl, Gate};

/// A viewer whose stream is sent as a response body.
pub(crate) struct StreamBody {
    stream: ClientStream,
    changes: ChangeListener,
    phase: Phase,
    write_timeout: Duration,
    flow: FlowControl,
    /// The size in bytes of the last piece, and when it leaves the HTTP server; `None` if it has left.
    in_hand: Option<(usize, Departure)>,
    /// The bytes of the current part that the HTTP server was not given yet.
    rest: Bytes,
    /// The size of the current part's pieces, in bytes. The last piece can be smaller.
    piece_bytes: usize,
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
    pub(crate) fn new(stream: ClientStream, write_timeout: Duration) -> Self {
        let flow = FlowControl::new(stream.latency_budget(), Instant::now());
        let changes = stream.change_listener();
        Self {
            changes,
            stream: stream.in_one_buffer(),
            phase: Phase::Opening,
            write_timeout,
            flow,
            in_hand: None,
            rest: Bytes::new(),
            piece_bytes: 0,
        }
    }

    /// Returns the response body. Each chunk is one whole multipart part with the boundary that ends the part, so that
    /// both leave in one write; for a slow link, it is a piece of that. The body creates the next chunk only when the
    /// connection has taken the previous one.
    pub(crate) fn into_body(self, shutdown: CancellationToken) -> Body {
        Body::from_stream(stream::unfold((self, shutdown), |(mut body, shutdown)| async move {
            let chunk = body.next_chunk(&shutdown).await?;
            body.stream.viewer().chunk_sent(body.write_timeout);
            Some((Ok::<_, Infallible>(chunk), (body, shutdown)))
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
                let (closing, rest) = (self.stream.closing(), std::mem::take(&mut self.rest));
                // This copies at most once in a viewer's life.
                Some(if rest.is_empty() { closing } else { [&rest[..], &closing].concat().into() })
            }
        }
    }

    /// Waits for the next piece of a multipart part and returns it, or `None` when the camera will deliver no more
    /// frames.
    async fn next_part(&mut self) -> Option<Bytes> {
        self.last_piece_left().await;
        self.stream.viewer().chunk_requested();
        if !self.rest.is_empty() {
            return Some(self.next_piece());
        }
        loop {
            let now = Instant::now();
            if let Gate::Until(at) = self.flow.gate(now) {
                sleep_until(at).await;
                continue;
            }
            if self.stream.adapt(now, self.flow.bytes_per_second()) {
                self.changes = self.stream.change_listener();
            }
            match self.stream.next(now) {
                Next::Part(part) => return Some(self.send(part.into_bytes(), now)),
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

    /// Waits until the last piece has left the HTTP server. Cancel safe.
    async fn last_piece_left(&mut self) {
        let Some((bytes, departure)) = &mut self.in_hand else { return };
        // A piece always says when it is dropped.
        let left_at = departure.await.unwrap_or_else(|_| Instant::now());
        self.flow.piece_left(*bytes, left_at);
        self.in_hand = None;
        let stats = self.stream.stats();
        stats.set_queue_bytes(self.rest.len() as u64);
        if !self.rest.is_empty() {
            return;
        }
        self.flow.all_left(left_at);
        if let Some(bytes_per_second) = self.flow.bytes_per_second() {
            stats.set_bytes_per_second(bytes_per_second);
        }
    }

    /// Returns the first piece of `part`, the chunk to give to the HTTP server at `now`.
    fn send(&mut self, part: Bytes, now: Instant) -> Bytes {
        self.flow.begin(now);
        self.flow.bytes_written(part.len(), now);
        self.stream.stats().set_queue_bytes(part.len() as u64);
        self.piece_bytes = self.flow.piece_bytes(part.len());
        self.rest = part;
        self.next_piece()
    }

    /// Returns the next piece of the current part, the chunk to give to the HTTP server.
    fn next_piece(&mut self) -> Bytes {
        let piece = self.rest.split_to(self.piece_bytes.min(self.rest.len()));
        let bytes = piece.len();
        let (chunk, departure) = hand_over(piece);
        self.in_hand = Some((bytes, departure));
        chunk
    }
}
