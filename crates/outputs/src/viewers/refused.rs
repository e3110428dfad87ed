//! Viewers that were refused because of a limit. Refusals are reported at most once a minute for each camera and limit.
//! Each report contains the number of refusals since the last report.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use framecast_hub::{Event, EventKind, Feed};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{Limit, LimitReached, lock};

/// The camera's [id](Feed::id), and the name of the configuration setting whose limit was reached.
type BurstKey = (u64, &'static str);

/// The minimum time between two reports of refusals of the same kind. The second report contains the number of refusals
/// in between.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The number of viewers refused since the server started, by what the limit applies to.
#[derive(Debug, Default)]
pub(super) struct RefusalCounts {
    server: AtomicU64,
    camera: AtomicU64,
    address: AtomicU64,
    /// The unreported refusals, separate for each camera and limit, so that refusals at one camera do not hide those at
    /// another.
    bursts: Arc<Mutex<BTreeMap<BurstKey, Burst>>>,
}

#[derive(Debug, Default)]
struct Burst {
    reported_at: Option<Instant>,
    /// The number of refusals since the last report.
    unreported: u64,
    /// Whether a task is waiting to report the refusals as soon as [`REPORT_INTERVAL`] has passed since the last
    /// report.
    has_scheduled_report: bool,
}

impl Burst {
    /// Returns the number of refusals to report now, resets that number to zero, and records the time of the report.
    fn take(&mut self) -> u64 {
        self.reported_at = Some(Instant::now());
        std::mem::take(&mut self.unreported)
    }

    /// Returns how long to wait until the next report is allowed; `None` if a report is allowed now.
    fn pause(&self) -> Option<Duration> {
        REPORT_INTERVAL.checked_sub(self.reported_at?.elapsed()).filter(|pause| !pause.is_zero())
    }
}

impl RefusalCounts {
    /// Records that a viewer of `feed` was refused, and reports this now or later.
    pub(super) fn add(&self, limit_reached: &LimitReached, feed: &Arc<Feed>) {
        let (count, limit) = match limit_reached.limit {
            Limit::Server => (&self.server, "max_viewers"),
            Limit::Camera(_) => (&self.camera, "max_viewers of the camera"),
            Limit::Address(_) => (&self.address, "max_viewers_per_address"),
        };
        count.fetch_add(1, Ordering::Relaxed);
        let key = (feed.id(), limit);
        let mut bursts = lock(&self.bursts);
        if feed.has_ended() {
            return;
        }
        let burst = bursts.entry(key).or_default();
        burst.unreported += 1;
        if burst.has_scheduled_report {
            return;
        }
        let Some(pause) = burst.pause() else {
            let times = burst.take();
            drop(bursts);
            report(feed, limit, limit_reached, times);
            return;
        };
        // Without a runtime, the refusals are reported together with the first one after the pause.
        let Ok(runtime) = Handle::try_current() else { return };
        burst.has_scheduled_report = true;
        let (bursts, feed, limit_reached) =
            (Arc::downgrade(&self.bursts), Arc::downgrade(feed), limit_reached.clone());
        runtime.spawn(async move {
            sleep(pause).await;
            let Some((bursts, feed)) = bursts.upgrade().zip(feed.upgrade()) else { return };
            let times = lock(&bursts).get_mut(&key).map(|burst| {
                burst.has_scheduled_report = false;
                burst.take()
            });
            report(&feed, key.1, &limit_reached, times.unwrap_or_default());
        });
    }

    /// Forgets the unreported refusals of `feed`, which has ended.
    pub(super) fn forget(&self, feed: &Feed) {
        lock(&self.bursts).retain(|(camera_id, _), _| *camera_id != feed.id());
    }

    /// Returns the number of refusals by what the limit applies to: `server`, `camera` or `address`.
    pub(super) fn counts(&self) -> [(&'static str, u64); 3] {
        [("server", &self.server), ("camera", &self.camera), ("address", &self.address)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

fn report(feed: &Feed, limit: &str, limit_reached: &LimitReached, times: u64) {
    warn!(
        camera = feed.name(),
        times, "refused a viewer: {limit_reached}; to allow more, raise {limit} in the configuration"
    );
    let event = Event::new(EventKind::Refused, SystemTime::now()).with_text(limit_reached.to_string());
    feed.send(event.with_count(times));
}
