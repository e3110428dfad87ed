//! What one client is sent, whichever way it is written: a subscriber, a schedule and a framing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use framecast_hub::{Changes, Subscriber, Update};
use tokio::time::Instant;

use super::pace::Pace;
use super::packer::Packer;
use super::{Ask, Framing};
use crate::viewers;

/// What to do for a stream now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send this.
    Part(Bytes),
    /// Nothing until then, whatever is published meanwhile.
    Due(Instant),
    /// Nothing until something is published, or until then.
    Wait(Option<Instant>),
    /// The channel has ended.
    End,
}

/// What one client is sent. Holds no frame: what comes next is looked up when its connection has room.
#[derive(Debug)]
pub(crate) struct Stream {
    subscriber: Subscriber,
    packer: Arc<Packer>,
    /// Its place among the viewers, and what is known of it.
    place: viewers::Viewer,
    framing: Framing,
    pace: Pace,
}

impl Stream {
    pub(crate) fn new(
        subscriber: Subscriber,
        packer: Arc<Packer>,
        place: viewers::Viewer,
        ask: Ask,
        resend_after: Duration,
    ) -> Self {
        let pace = Pace::new(ask.interval, resend_after);
        Self { subscriber, packer, place, framing: ask.style.framing, pace }
    }

    /// What comes before the first part.
    pub(crate) fn opening(&self) -> Bytes {
        self.packer.opening(self.framing)
    }

    /// What comes after the last part.
    pub(crate) fn closing(&self) -> Bytes {
        self.packer.closing()
    }

    /// The newest picture if one is due, or the last one again when nothing new has come for a while.
    pub(crate) fn next(&mut self, now: Instant) -> Next {
        if let Some(due_at) = self.pace.due_after(now) {
            return Next::Due(due_at);
        }
        // Asked first: what is published after it is found below.
        let has_ended = self.subscriber.has_ended();
        if let Some(update) = self.subscriber.try_next() {
            return Next::Part(self.part(&update, now));
        }
        if has_ended {
            return Next::End;
        }
        match self.pace.resend_at() {
            Some(resend_at) if resend_at <= now => match self.subscriber.current() {
                Some(update) => Next::Part(self.part(&update, now)),
                // The camera is between live and its notice: there is nothing that may be shown.
                None => Next::Wait(None),
            },
            resend_at => Next::Wait(resend_at),
        }
    }

    fn part(&mut self, update: &Update, now: Instant) -> Bytes {
        self.pace.sent(now);
        let part = self.packer.part(self.framing, update);
        let age = SystemTime::now().duration_since(update.frame.captured_at).unwrap_or_default();
        self.place.sent(part.len(), age);
        self.place.skipped(self.subscriber.skipped());
        part
    }

    /// Waits for what is published to this stream's channel.
    pub(crate) fn changes(&self) -> Changes {
        self.subscriber.changes()
    }

    /// Whether `changes` wait for what is published to this stream's channel.
    pub(crate) fn is_of(&self, changes: &Changes) -> bool {
        changes.is_of(&self.subscriber)
    }

    /// How much of what was sent may be on its way, as time.
    pub(crate) fn freshness(&self) -> Duration {
        self.place.feed().freshness()
    }

    /// Where to tell how it goes.
    pub(crate) fn record(&self) -> &viewers::Record {
        &self.place
    }
}
