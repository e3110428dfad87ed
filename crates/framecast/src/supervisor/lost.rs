//! Reports a camera that failed, which is called lost, and waits for the next attempt to open it.

use std::future::{pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_hub::{CameraState, CameraStatus, DemandCounts, EventKind};
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
        let is_known = earlier.state == CameraState::Lost;
        let DemandCounts { probes_so_far, .. } = *self.demand.borrow();
        let is_watched = self.demand.borrow().clients() > 0;
        self.probes_answered = probes_so_far;
        // Of a lost camera that nobody watches, one report is enough, even if its probes fail for different reasons.
        if earlier.reason.as_deref() == Some(reason) || (is_known && !is_watched) {
            debug!(%reason, "the camera is still lost");
        } else {
            warn!(source = self.settings.source.for_log(), %reason, "lost");
            self.send_event(EventKind::Lost, Some(reason));
            self.lost_since.get_or_insert_with(SystemTime::now);
        }
        let since = if is_known { earlier.since } else { SystemTime::now() };
        let reason = Some(reason.to_owned());
        let (state, retry_at, checked_at) = (CameraState::Lost, None, Some(SystemTime::now()));
        self.feed.set_status(CameraStatus { state, since, reason, retry_at, checked_at });
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
        let mut retry_at = Instant::now() + delay;
        let mut unwatched_since = None;
        let mut wait_for_device = pin!(wait_for_device(Arc::clone(&self.camera)));
        let (mut is_back, mut is_asked_for) = (false, false);
        loop {
            let (demand, had_client) = self.demand();
            unwatched_since =
                update_unwatched_since(unwatched_since, demand.clients(), had_client, Instant::now());
            // A client that has left again causes the attempt too, if it was due.
            is_asked_for |= had_client && Instant::now() >= retry_at;
            let is_needed = demand.clients() > 0 || self.settings.idle_timeout.is_none() || is_asked_for;
            // This attempt has answered the probes that came before it ended, even if they do not know that yet.
            let is_probed = demand.probes > 0 && demand.probes_so_far > self.probes_answered;
            // While probes fail, the camera stays lost.
            let idle_timeout = self.settings.idle_timeout.filter(|_| self.camera.probe_interval.is_none());
            let idle_at = idle_timeout.zip(unwatched_since).map(|(timeout, since)| since + timeout);
            tokio::select! {
                () = self.stop.cancelled() => return AfterLoss::Stop,
                () = sleep_until(retry_at), if is_needed => {
                    self.feed.set_status(CameraStatus { retry_at: None, ..status });
                    return AfterLoss::Retry;
                }
                // A probe is due when it comes: its own interval limits the attempts.
                () = ready(()), if is_probed => {
                    self.feed.set_status(CameraStatus { retry_at: None, ..status });
                    return AfterLoss::Retry;
                }
                () = &mut wait_for_device, if !is_back => {
                    info!("the lost camera's device is back");
                    (is_back, retry_at) = (true, Instant::now());
                    backoff.reset();
                    if is_needed {
                        self.feed.set_status(CameraStatus { retry_at: None, ..status });
                        return AfterLoss::Retry;
                    }
                    // Without a viewer, the camera is no longer lost but idle, unless the next probe tells which.
                    if self.camera.probe_interval.is_none() {
                        return AfterLoss::BecomeIdle;
                    }
                }
                () = sleep_until_or_forever(idle_at) => return AfterLoss::BecomeIdle,
                _ = self.demand.changed() => {}
                () = self.slates.show(&status), if demand.clients() > 0 => {}
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
