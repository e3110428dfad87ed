//! One connected client: a subscriber and what to send it next.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use bytes::Bytes;
use framecast_hub::Subscriber;
use futures_util::stream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::packer::Packer;
use super::{Ask, Framing};
use crate::viewers;

/// One connected client. Holds no frame: what it sends next is looked up when its connection has room.
pub(crate) struct Viewer {
    subscriber: Subscriber,
    packer: Arc<Packer>,
    /// Its place, and what is known of it.
    place: viewers::Viewer,
    framing: Framing,
    /// The least time between two pictures.
    interval: Duration,
    resend_after: Duration,
    sent_at: Option<Instant>,
    /// When the next picture is due, on a schedule that does not drift.
    due_at: Option<Instant>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Parts,
    Closed,
}

impl Viewer {
    pub(crate) fn new(
        subscriber: Subscriber,
        packer: Arc<Packer>,
        place: viewers::Viewer,
        ask: Ask,
        resend_after: Duration,
    ) -> Self {
        let (framing, interval) = (ask.style.framing, ask.interval);
        // A resend must not come sooner than the rate that was asked for.
        let resend_after = resend_after.max(interval);
        let (sent_at, due_at, phase) = (None, None, Phase::Opening);
        Self { subscriber, packer, place, framing, interval, resend_after, sent_at, due_at, phase }
    }

    /// The response body: each chunk is one whole part with the boundary that ends it, so that it leaves in one
    /// write. The next chunk is made only when the connection has taken the one before.
    pub(crate) fn into_body(self, shutdown: CancellationToken) -> Body {
        Body::from_stream(stream::unfold((self, shutdown), |(mut viewer, shutdown)| async move {
            let chunk = viewer.next_chunk(&shutdown).await?;
            Some((Ok::<_, std::convert::Infallible>(chunk), (viewer, shutdown)))
        }))
    }

    /// What to send next, or `None` at the end.
    async fn next_chunk(&mut self, shutdown: &CancellationToken) -> Option<Bytes> {
        match self.phase {
            Phase::Closed => None,
            Phase::Opening => {
                self.phase = Phase::Parts;
                Some(self.packer.opening(self.framing))
            }
            Phase::Parts => {
                let part = tokio::select! {
                    part = self.next_part() => part,
                    () = shutdown.cancelled() => None,
                };
                Some(part.unwrap_or_else(|| {
                    self.phase = Phase::Closed;
                    self.packer.closing()
                }))
            }
        }
    }

    /// The newest picture as soon as one is due, or the last one again when nothing new has come for a while.
    async fn next_part(&mut self) -> Option<Bytes> {
        if let Some(due_at) = self.due_at {
            sleep_until(due_at).await;
        }
        let update = match self.sent_at {
            None => self.subscriber.next_update().await?,
            Some(sent_at) => {
                match timeout_at(sent_at + self.resend_after, self.subscriber.next_update()).await {
                    Ok(update) => update?,
                    Err(_) => match self.subscriber.current() {
                        Some(update) => update,
                        // The camera is between live and its notice: there is nothing that may be shown.
                        None => self.subscriber.next_update().await?,
                    },
                }
            }
        };
        let now = Instant::now();
        self.sent_at = Some(now);
        if !self.interval.is_zero() {
            let scheduled = self.due_at.map_or(now, |due_at| due_at) + self.interval;
            // A pause must not be followed by a burst.
            self.due_at = Some(scheduled.max(now));
        }
        let part = self.packer.part(self.framing, &update);
        let age = SystemTime::now().duration_since(update.frame.captured_at).unwrap_or_default();
        self.place.sent(part.len(), age);
        self.place.skipped(self.subscriber.skipped());
        Some(part)
    }
}
