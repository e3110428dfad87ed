//! Probes a camera: learns whether it works while no client needs its pictures.
//!
//! A probe is a demand of its own kind. The camera opens for it as for a viewer, and closes with the first picture
//! unless a client has come.

use std::sync::Arc;
use std::time::Duration;

use framecast_hub::{CameraState, CameraStatus, DemandKind, Feed};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::CLOSE_TIMEOUT;

/// The maximum number of cameras that a server probes at the same time. An opening can start a program, and each takes
/// bandwidth.
const MAX_PROBES: usize = 4;

/// The shortest and the longest time limit of a probe. Within this time, a camera that does not work counts as lost,
/// unless its settings allow it a longer silence.
const TIME_LIMIT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));

/// How much longer the time limit of a probe is than the silence that the settings allow the camera, for the time that
/// it takes to open.
const OPENING_TIME: Duration = Duration::from_secs(30);

/// The permits of the server's probes, which limit how many cameras are probed at the same time.
#[derive(Debug, Clone)]
pub(crate) struct ProbePermits(Arc<Semaphore>);

impl Default for ProbePermits {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_PROBES)))
    }
}

/// Probes one camera again and again.
pub(super) struct Prober {
    pub(super) feed: Arc<Feed>,
    pub(super) interval: Duration,
    /// The camera's `stall_timeout`, if the settings have one.
    pub(super) stall_timeout: Option<Duration>,
    pub(super) permits: ProbePermits,
    /// Whether the camera's source is open, opens or closes.
    pub(super) is_busy: watch::Receiver<bool>,
}

impl Prober {
    /// Probes the camera at each interval unless it has clients. Never returns.
    pub(super) async fn run(mut self) {
        // A server that starts does not open all its cameras in the same moment.
        let mut due_at = Instant::now() + self.interval.mul_f64(fastrand::f64());
        loop {
            sleep_until(due_at).await;
            due_at = Instant::now() + self.interval;
            let permits = Arc::clone(&self.permits.0);
            let _permit = permits.acquire_owned().await.expect("nobody closes the semaphore");
            if !self.is_known_to_work() {
                self.probe().await;
            }
        }
    }

    /// Returns whether a probe would show nothing new: the camera has clients, or is open and works.
    fn is_known_to_work(&self) -> bool {
        self.feed.demand_counts().clients() > 0 || self.feed.status().state == CameraState::Live
    }

    /// Opens the camera until it is known whether it works, or until the time limit. Then returns when the camera is
    /// closed again, or when a client needs it.
    async fn probe(&mut self) {
        let mut status = self.feed.watch_status();
        let before = status.borrow_and_update().checked_at;
        let mut demand = self.feed.watch_demand();
        let probe = self.feed.demand(DemandKind::Probe);
        let is_checked = |status: &CameraStatus| status.checked_at != before;
        // A camera that is silent for longer than that is neither known to work nor lost.
        timeout(self.time_limit(), status.wait_for(is_checked)).await.ok();
        drop(probe);
        let closed = async {
            tokio::select! {
                _ = self.is_busy.wait_for(|is_busy| !is_busy) => {}
                _ = demand.wait_for(|counts| counts.clients() > 0) => {}
            }
        };
        // If a client has come and left, the camera stays open for its `idle_timeout`.
        timeout(2 * CLOSE_TIMEOUT, closed).await.ok();
    }

    fn time_limit(&self) -> Duration {
        let silence = self.stall_timeout.unwrap_or_default().saturating_add(OPENING_TIME);
        silence.clamp(TIME_LIMIT.0, TIME_LIMIT.1)
    }
}
