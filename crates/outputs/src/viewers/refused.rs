//! Viewers that were refused: counted, and told at most once a minute for each camera and limit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use framecast_hub::{Event, EventKind, Feed};
use tokio::runtime::Handle;
use tokio::time::sleep;
use tracing::warn;

use super::{Full, Limit, lock};
use crate::Seldom;

/// The camera, and the limit's key.
type Key = (String, &'static str);

/// Viewers that were refused since the start, by the limit that refused them.
#[derive(Debug, Default)]
pub(super) struct Refused {
    server: AtomicU64,
    camera: AtomicU64,
    address: AtomicU64,
    /// Whether it is to be told: what is refused of one camera says nothing of another.
    told: Arc<Mutex<BTreeMap<Key, Seldom>>>,
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
        let mut told = lock(&self.told);
        let seldom = told.entry(key.clone()).or_default();
        let (times, untold) = (seldom.occurs(), seldom.untold());
        drop(told);
        match times {
            Some(times) => tell(feed, limit, full, times),
            None if untold == 1 => self.tell_rest_later(key, full.clone(), feed),
            None => {}
        }
    }

    /// Tells a minute later what is untold by then: the end of a flood too, after which nothing is refused.
    fn tell_rest_later(&self, key: Key, full: Full, feed: &Arc<Feed>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let (told, feed) = (Arc::downgrade(&self.told), Arc::downgrade(feed));
        runtime.spawn(async move {
            sleep(Seldom::PAUSE).await;
            let Some((told, feed)) = told.upgrade().zip(feed.upgrade()) else { return };
            let rest = lock(&told).get(&key).and_then(Seldom::rest);
            if let Some(times) = rest {
                tell(&feed, key.1, &full, times);
            }
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
