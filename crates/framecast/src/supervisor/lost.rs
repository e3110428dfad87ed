//! Reports a camera that failed, which is called lost, and waits for the next attempt to open it.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_hub::{CameraState, CameraStatus, EventKind};
use framecast_media::Backoff;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use super::attempt::update_unwatched_since;
use super::{Supervisor, sleep_until_or_forever};
use crate::camera::Camera;

/// What the supervisor does next with a lost camera.
pub(super) enum AfterLoss {
    /// Makes the next attempt to open the camera.
    Retry,
    /// Makes the camera idle, because nobody needs it.
    BecomeIdle,
    /// Ends, because it was told to stop.
    Stop,
}

impl Supervisor {
    /// Reports to viewers, the log and the history that the camera is lost: it failed, for `reason`.
    pub(super) fn mark_lost(&mut self, reason: &str) {
        let earlier = self.feed.status();
        if earlier.reason.as_deref() == Some(reason) {
            debug!(%reason, "the camera is still lost");
        } else {
            warn!(source = self.settings.source.for_log(), %reason, "lost");
            self.send_event(EventKind::Lost, Some(reason));
        }
        let since = if earlier.state == CameraState::Lost { earlier.since } else { SystemTime::now() };
        let reason = Some(reason.to_owned());
        self.feed.set_status(CameraStatus { state: CameraState::Lost, since, reason, retry_at: None });
        self.feed.suspend();
        self.slates.begin(self.feed.slate_publisher());
    }

    /// Waits for `delay`, or until the device is plugged in again. Sends slates (pictures with `reason` as their text)
    /// to viewers meanwhile. If the delay ends while the camera has no viewer, goes on waiting: the next client, even
    /// one that only takes a snapshot and gets the slate at once, causes the next attempt.
    pub(super) async fn wait_for_retry(
        &mut self,
        reason: String,
        delay: Duration,
        backoff: &mut Backoff,
    ) -> AfterLoss {
        debug!(retry_in = ?delay, "waiting until the next attempt to open the lost camera");
        let retry_at = Some(SystemTime::now() + delay);
        let status = CameraStatus { reason: Some(reason), retry_at, ..self.feed.status() };
        self.feed.set_status(status.clone());
        let retry_at = Instant::now() + delay;
        let mut unwatched_since = None;
        let mut wait_for_device = pin!(wait_for_device(Arc::clone(&self.camera)));
        loop {
            let (viewers, had_viewer) = self.viewers();
            unwatched_since = update_unwatched_since(unwatched_since, viewers, had_viewer, Instant::now());
            let is_due = Instant::now() >= retry_at;
            let is_needed = viewers > 0 || self.settings.idle_timeout.is_none() || (is_due && had_viewer);
            let idle_at =
                self.settings.idle_timeout.zip(unwatched_since).map(|(timeout, since)| since + timeout);
            tokio::select! {
                () = self.stop.cancelled() => return AfterLoss::Stop,
                () = sleep_until(retry_at), if is_needed => {
                    self.feed.set_status(CameraStatus { retry_at: None, ..status });
                    return AfterLoss::Retry;
                }
                () = &mut wait_for_device => {
                    info!("the lost camera's device is back");
                    backoff.reset();
                    self.feed.set_status(CameraStatus { retry_at: None, ..status });
                    // Without a viewer, the camera is no longer lost but idle.
                    return if is_needed { AfterLoss::Retry } else { AfterLoss::BecomeIdle };
                }
                () = sleep_until_or_forever(idle_at) => return AfterLoss::BecomeIdle,
                // Marks the viewer count as changed again, for the check at the top of the loop.
                _ = self.demand.changed() => self.demand.mark_changed(),
                () = self.slates.show(&status), if viewers > 0 => {}
            }
        }
    }
}

/// Waits, in a separate task, until the device of a lost camera is plugged in again. If the driver panics in that task,
/// this function never returns.
async fn wait_for_device(camera: Arc<Camera>) {
    let waiting = AbortOnDropHandle::new(tokio::spawn(async move {
        match camera.drivers.find(&camera.settings.source) {
            Ok(driver) => driver.wait_for_device(&camera.settings.source).await,
            Err(_) => pending().await,
        }
    }));
    if waiting.await.is_err() {
        pending().await
    }
}
