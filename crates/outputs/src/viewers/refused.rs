//! Viewers that a limit refused: counted, and reported at most once a minute for each camera and limit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use framecast_hub::{Event, EventKind, Feed};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{Limit, LimitReached, lock};

/// The camera, and the limit's key.
type BurstKey = (String, &'static str);

/// How long further refusals of the same kind are only counted.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Viewers refused since the start, by the limit that refused them.
#[derive(Debug, Default)]
pub(super) struct RefusalCounts {
    server: AtomicU64,
    camera: AtomicU64,
    address: AtomicU64,
    /// One state per camera and limit: refusals at one camera must not hide those at another.
    bursts: Arc<Mutex<BTreeMap<BurstKey, Burst>>>,
}

#[derive(Debug, Default)]
struct Burst {
    reported_at: Option<Instant>,
    /// Refusals since the last report.
    unreported: u64,
    /// Whether a task is waiting to report these when the pause is over.
    has_scheduled_report: bool,
}

impl Burst {
    /// The number to report now; resets it.
    fn take(&mut self) -> u64 {
        self.reported_at = Some(Instant::now());
        std::mem::take(&mut self.unreported)
    }

    /// How long to wait before the next report.
    fn pause(&self) -> Option<Duration> {
        REPORT_INTERVAL.checked_sub(self.reported_at?.elapsed()).filter(|pause| !pause.is_zero())
    }
}

impl RefusalCounts {
    /// Counts one more refused viewer of `feed`.
    pub(super) fn add(&self, limit_reached: &LimitReached, feed: &Arc<Feed>) {
        let (count, limit) = match limit_reached.limit {
            Limit::Server => (&self.server, "max_viewers"),
            Limit::Camera(_) => (&self.camera, "max_viewers of the camera"),
            Limit::Address(_) => (&self.address, "max_viewers_per_address"),
        };
        count.fetch_add(1, Ordering::Relaxed);
        let key = (feed.name().to_owned(), limit);
        let mut bursts = lock(&self.bursts);
        let burst = bursts.entry(key.clone()).or_default();
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
        // Without a runtime, the first refusal after the pause reports them.
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

    /// The number of refusals, by the name of the limit's scope.
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
