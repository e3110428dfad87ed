//! A lost camera: reports the loss, and waits for the next attempt.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_hub::{EventKind, State, Status};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use super::opening::unwatched;
use super::{Supervisor, sleep_until_some};
use crate::camera::Camera;

impl Supervisor {
    /// Tells viewers and the log that the camera is lost.
    pub(super) fn mark_lost(&mut self, reason: &str) {
        let earlier = self.feed.status();
        if earlier.reason.as_deref() == Some(reason) {
            debug!(%reason, "still lost");
        } else {
            warn!(source = self.settings.source.for_log(), %reason, "lost");
            self.tell(EventKind::Lost, Some(reason));
        }
        let since = if earlier.state == State::Lost { earlier.since } else { SystemTime::now() };
        let reason = Some(reason.to_owned());
        self.feed.set_status(Status { state: State::Lost, since, reason, next_try: None });
        self.feed.suspend();
        self.notices.begin();
    }

    /// Waits for the next attempt and shows slates to viewers. Returns false when the camera has had no viewer for
    /// `idle_timeout`.
    pub(super) async fn wait_lost(&mut self, reason: String, delay: Duration, backoff: &mut Backoff) -> bool {
        debug!(retry_in = ?delay, "waiting");
        let next_try = Some(SystemTime::now() + delay);
        let status = Status { reason: Some(reason), next_try, ..self.feed.status() };
        self.feed.set_status(status.clone());
        let retry_at = Instant::now() + delay;
        let mut unwatched_since = None;
        let mut until_back = pin!(until_back(Arc::clone(&self.camera)));
        loop {
            let (viewers, was_asked) = self.viewers();
            unwatched_since = unwatched(unwatched_since, viewers, was_asked, Instant::now());
            let idle_at =
                self.settings.idle_timeout.zip(unwatched_since).map(|(timeout, since)| since + timeout);
            tokio::select! {
                () = self.shutdown.cancelled() => return true,
                // Without a viewer, the supervisor does not retry; the camera becomes idle.
                () = sleep_until(retry_at), if viewers > 0 || self.settings.idle_timeout.is_none() => {
                    self.feed.set_status(Status { next_try: None, ..status });
                    return true;
                }
                () = &mut until_back => {
                    info!("the device is back");
                    *backoff = Backoff::default();
                    self.feed.set_status(Status { next_try: None, ..status });
                    // Without a viewer, the camera is no longer lost but idle.
                    return viewers > 0 || self.settings.idle_timeout.is_none();
                }
                () = sleep_until_some(idle_at) => return false,
                // Marked as changed again, for the check at the top of the loop.
                _ = self.demand.changed() => self.demand.mark_changed(),
                () = self.notices.show(&status), if viewers > 0 => {}
            }
        }
    }
}

/// Waits for a lost camera's device to be replugged, in a separate task. If the driver panics there, this future never
/// resolves.
async fn until_back(camera: Arc<Camera>) {
    let waiting = AbortOnDropHandle::new(tokio::spawn(async move {
        match camera.drivers.find(&camera.settings.source) {
            Ok(driver) => driver.until_back(&camera.settings.source).await,
            Err(_) => pending().await,
        }
    }));
    if waiting.await.is_err() {
        pending().await
    }
}
