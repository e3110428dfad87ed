//! Viewers that were refused: counted, and told at most once a minute for each camera and limit.

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

/// The least time between two warnings about one camera and limit.
const PAUSE: Duration = Duration::from_secs(60);

/// Viewers that were refused since the start, by the limit that refused them.
#[derive(Debug, Default)]
pub(super) struct Refused {
    server: AtomicU64,
    camera: AtomicU64,
    address: AtomicU64,
    /// What is refused of one camera says nothing of another.
    floods: Arc<Mutex<BTreeMap<Key, Flood>>>,
}

#[derive(Debug, Default)]
struct Flood {
    told_at: Option<Instant>,
    /// Since then.
    untold: u64,
    /// Whether a task tells these when the pause is over.
    has_teller: bool,
}

impl Flood {
    /// How many are told now.
    fn take(&mut self) -> u64 {
        self.told_at = Some(Instant::now());
        std::mem::take(&mut self.untold)
    }

    /// How long nothing is to be told yet.
    fn pause(&self) -> Option<Duration> {
        PAUSE.checked_sub(self.told_at?.elapsed()).filter(|pause| !pause.is_zero())
    }
}

impl Refused {
    /// One more of `feed`.
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
        // Without a runtime the next one tells it that comes after the pause.
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

    /// How many were refused, by the name of what a limit holds for.
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
