//! Viewers that a limit refused: counted, and reported at most once a minute for each camera and limit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use framecast_hub::{Event, EventKind, Feed};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{Full, Limit, lock};

/// The camera, and the limit's key.
type Key = (String, &'static str);

/// How long further refusals of the same kind are only counted.
const PAUSE: Duration = Duration::from_secs(60);

/// Viewers refused since the start, by the limit that refused them.
#[derive(Debug, Default)]
pub(super) struct Refused {
    server: AtomicU64,
    camera: AtomicU64,
    address: AtomicU64,
    /// One state per camera and limit: refusals at one camera must not hide those at another.
    floods: Arc<Mutex<BTreeMap<Key, Flood>>>,
}

#[derive(Debug, Default)]
struct Flood {
    told_at: Option<Instant>,
    /// Refusals since the last report.
    untold: u64,
    /// Whether a task is waiting to report these when the pause is over.
    has_teller: bool,
}

impl Flood {
    /// The number to report now; resets it.
    fn take(&mut self) -> u64 {
        self.told_at = Some(Instant::now());
        std::mem::take(&mut self.untold)
    }

    /// How long to wait before the next report.
    fn pause(&self) -> Option<Duration> {
        PAUSE.checked_sub(self.told_at?.elapsed()).filter(|pause| !pause.is_zero())
    }
}

impl Refused {
    /// Counts one more refused viewer of `feed`.
    pub(super) fn add(&self, full: &Full, feed: &Arc<Feed>) {
        let (count, limit) = match full.limit {
            Limit::Server => (&self.server, "max_viewers"),
            Limit::Camera(_) => (&self.camera, "max_viewers of the camera"),
            Limit::Address(_) => (&self.address, "max_viewers_per_address"),
        };
        count.fetch_add(1, Ordering::Relaxed);
        let key = (feed.name().to_owned(), limit);
        let mut floods = lock(&self.floods);
        let flood = floods.entry(key.clone()).or_default();
        flood.untold += 1;
        if flood.has_teller {
            return;
        }
        let Some(pause) = flood.pause() else {
            let times = flood.take();
            drop(floods);
            tell(feed, limit, full, times);
            return;
        };
        // Without a runtime, the first refusal after the pause reports them.
        let Ok(runtime) = Handle::try_current() else { return };
        flood.has_teller = true;
        let (floods, feed, full) = (Arc::downgrade(&self.floods), Arc::downgrade(feed), full.clone());
        runtime.spawn(async move {
            sleep(pause).await;
            let Some((floods, feed)) = floods.upgrade().zip(feed.upgrade()) else { return };
            let times = lock(&floods).get_mut(&key).map(|flood| {
                flood.has_teller = false;
                flood.take()
            });
            tell(&feed, key.1, &full, times.unwrap_or_default());
        });
    }

    /// The number of refusals, by the name of the limit's scope.
    pub(super) fn counts(&self) -> [(&'static str, u64); 3] {
        [("server", &self.server), ("camera", &self.camera), ("address", &self.address)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

fn tell(feed: &Feed, limit: &str, full: &Full, times: u64) {
    warn!(camera = feed.name(), times, "refused a viewer: {full}; the limit is {limit} in the configuration");
    let event = Event::new(EventKind::Refused, SystemTime::now()).saying(full.to_string());
    feed.tell(event.counting(times));
}
