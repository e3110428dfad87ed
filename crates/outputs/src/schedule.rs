//! When pictures that follow each other at a rate are due: without drift, and without a burst after a pause.

use std::time::Duration;

use tokio::time::Instant;

/// The schedule of one sequence of pictures. Reads no clock: the caller passes the time. The interval between two
/// pictures may change at any time.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// When the last picture was due, or a later time after a pause; `None` before the first picture.
    scheduled_at: Option<Instant>,
}

impl Schedule {
    /// Returns when the next picture is due at one picture per `interval`; `None` before the first picture. A picture
    /// that is sent late does not delay the later ones.
    pub(crate) fn due_at(&self, interval: Duration) -> Option<Instant> {
        self.scheduled_at.map(|scheduled_at| scheduled_at + interval)
    }

    /// Records that a picture is sent at `now`.
    pub(crate) fn sent(&mut self, interval: Duration, now: Instant) {
        let due_at = self.due_at(interval).unwrap_or(now);
        // A pause must not be followed by a burst.
        self.scheduled_at = Some(now.checked_sub(interval).map_or(due_at, |least| least.max(due_at)));
    }
}
