//! A viewer whose stream is sent as a response body: over TLS, over HTTP/2, and in another program's server.
//!
//! The body gives the HTTP server one part at a time, and the next one only when that part has left ([`hand_over`]). So
//! it chooses each picture as late as possible, and holds at most one picture in hand.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use framecast_hub::ChangeListener;
use futures_util::stream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::handover::{Departure, hand_over};
use super::part_stream::{Next, PartStream};
use crate::EndReason;
use crate::flow_control::{FlowControl, Gate};

/// A viewer whose stream is sent as a response body.
pub(crate) struct StreamBody {
    stream: PartStream,
    changes: ChangeListener,
    phase: Phase,
    write_timeout: Duration,
    flow: FlowControl,
    /// When the last part leaves the HTTP server; `None` if it has left.
    in_hand: Option<Departure>,
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
        let flow = FlowControl::new(stream.latency_budget(), Instant::now());
        let changes = stream.change_listener();
        let stream = stream.in_one_buffer();
        Self { changes, stream, phase: Phase::Opening, write_timeout, flow, in_hand: None }
    }

    /// Returns the response body. Each chunk is one whole multipart part with the boundary that ends the part, so that
    /// both leave in one write. The body creates the next chunk only when the connection has taken the previous one.
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
                Some(self.stream.closing())
            }
        }
    }

    /// Waits for the next multipart part and returns it, or `None` when the camera will deliver no more frames.
    async fn next_part(&mut self) -> Option<Bytes> {
        self.last_part_left().await;
        self.stream.viewer().chunk_requested();
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

    /// Waits until the last part has left the HTTP server. Cancel safe.
    async fn last_part_left(&mut self) {
        let Some(departure) = &mut self.in_hand else { return };
        // A part always says when it is dropped.
        let left_at = departure.await.unwrap_or_else(|_| Instant::now());
        self.in_hand = None;
        self.flow.all_left(left_at);
        let stats = self.stream.stats();
        stats.set_queue_bytes(0);
        if let Some(bytes_per_second) = self.flow.bytes_per_second() {
            stats.set_bytes_per_second(bytes_per_second);
        }
    }

    /// Returns `part` as the chunk to give to the HTTP server at `now`.
    fn send(&mut self, part: Bytes, now: Instant) -> Bytes {
        self.flow.begin(now);
        self.flow.bytes_written(part.len(), now);
        self.stream.stats().set_queue_bytes(part.len() as u64);
        let (chunk, departure) = hand_over(part);
        self.in_hand = Some(departure);
        chunk
    }
}
