//! Decides when the next picture of a stream is due: at the requested rate, without drift. If no new picture comes, the
//! last one is due again.

use std::time::Duration;

use tokio::time::Instant;

use crate::schedule::Schedule;

/// The schedule of one stream's pictures. Reads no clock: the caller passes the time.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// The minimum time between two pictures.
    interval: Duration,
    resend_after: Duration,
    sent_at: Option<Instant>,
    schedule: Schedule,
}

impl Pacer {
    pub(crate) fn new(interval: Duration, resend_after: Duration) -> Self {
        // A resend must not come sooner than the requested rate allows.
        let resend_after = resend_after.max(interval);
        Self { interval, resend_after, sent_at: None, schedule: Schedule::default() }
    }

    /// Returns the minimum time between two pictures; zero if the client requested no frame rate.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Returns when the next picture is due; `None` if it is due at `now` or was due before.
    pub(crate) fn due_after(&self, now: Instant) -> Option<Instant> {
        self.schedule.due_at(self.interval).filter(|due_at| now < *due_at)
    }

    /// Returns when to send the last picture again if no new one comes; `None` before the first picture.
    pub(crate) fn resend_at(&self) -> Option<Instant> {
        self.sent_at.map(|sent_at| sent_at + self.resend_after)
    }

    /// Records that a picture is sent at `now`.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.sent_at = Some(now);
        self.schedule.sent(self.interval, now);
    }
}
