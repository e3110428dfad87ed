//! Who watches now: a registry of viewers with limits and statistics.
//!
//! An output registers a viewer by [`Viewers::admit`] and holds the [`Viewer`] while it sends. Through it the output
//! updates the viewer's [`Record`], which the API and the metrics read. Sending pictures does not belong here, nor does
//! the form of a refusal on the wire.

mod ending;
mod figures;
mod record;
mod refused;
mod skips;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use framecast_hub::Feed;
use tokio::time::Instant;
use tracing::field::display;
use tracing::{debug, info};

pub use ending::Ending;
pub use figures::Figures;
pub use record::{Record, Via};
use refused::Refused;
pub(crate) use skips::Skips;

use crate::client_key;

/// The most viewers at once; `None` for no limit. Cameras also have limits of their own
/// ([`Bounds::max_viewers`](framecast_hub::Bounds::max_viewers)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// On the whole server.
    pub server: Option<usize>,
    /// From one address; IPv6 addresses count by their /64.
    pub address: Option<usize>,
}

/// The registry of viewers. Cheap to clone: one per server.
#[derive(Debug, Clone, Default)]
pub struct Viewers(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    limits: Limits,
    next_id: AtomicU64,
    present: Mutex<BTreeMap<u64, Arc<Record>>>,
    refused: Refused,
    figures: Mutex<BTreeMap<String, Arc<Figures>>>,
}

/// A limit on viewers is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    /// The limit that was reached.
    pub limit: Limit,
    /// The number of viewers that it allows.
    pub most: usize,
}

/// The scope of a limit on viewers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// The whole server.
    Server,
    /// The camera of this name.
    Camera(String),
    /// The client's address.
    Address(IpAddr),
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.most;
        match &self.limit {
            Limit::Server => write!(f, "this server has as many viewers as it may have ({most})"),
            Limit::Camera(name) => {
                write!(f, "camera `{name}` has as many viewers as it may have ({most})")
            }
            Limit::Address(address) => {
                write!(f, "there are as many viewers from {address} as there may be ({most})")
            }
        }
    }
}

impl Viewers {
    /// A registry without viewers.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Registry { limits, ..Registry::default() }))
    }

    /// Registers one more viewer of `feed`.
    ///
    /// # Errors
    /// [`Full`] with the limit that is reached. The registry counts the refusal.
    pub fn admit(&self, feed: &Arc<Feed>, peer: Option<IpAddr>, via: Via) -> Result<Viewer, Full> {
        let mut present = lock(&self.0.present);
        if let Some(full) = self.full(&present, feed, peer) {
            drop(present);
            self.0.refused.add(&full, feed);
            return Err(full);
        }
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let figures = Arc::clone(lock(&self.0.figures).entry(feed.name().to_owned()).or_default());
        let shared = Arc::clone(&figures);
        let record = Arc::new(Record::new(id, Arc::clone(feed), peer, via, SystemTime::now(), shared));
        present.insert(id, Arc::clone(&record));
        let (viewers, ending) = (self.clone(), Ending::default());
        Ok(Viewer { viewers, record, figures, frames: 0, bytes: 0, skipped: 0, ending, stalls_at: None })
    }

    fn full(&self, present: &BTreeMap<u64, Arc<Record>>, feed: &Feed, peer: Option<IpAddr>) -> Option<Full> {
        let reached = |limit: Limit, most: Option<usize>, count: usize| {
            most.filter(|most| count >= *most).map(|most| Full { limit, most })
        };
        let Limits { server, address } = self.0.limits;
        // Computed only if there is a limit: it walks all viewers.
        let of_camera = || present.values().filter(|record| record.feed().name() == feed.name()).count();
        let client = peer.map(client_key);
        let of_address = || present.values().filter(|record| record.peer().map(client_key) == client).count();
        let max_viewers = feed.bounds().max_viewers;
        let from_peer = address.zip(peer);
        reached(Limit::Server, server, present.len())
            .or_else(|| {
                max_viewers
                    .and_then(|most| reached(Limit::Camera(feed.name().to_owned()), Some(most), of_camera()))
            })
            .or_else(|| {
                from_peer.and_then(|(most, peer)| reached(Limit::Address(peer), Some(most), of_address()))
            })
    }

    /// All viewers, oldest first.
    pub fn list(&self) -> Vec<Arc<Record>> {
        lock(&self.0.present).values().cloned().collect()
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// How many viewers each limit refused since the start: that of the server, of a camera, of an address.
    pub fn refused(&self) -> [(&'static str, u64); 3] {
        self.0.refused.counts()
    }

    /// The totals since the start for each camera that was ever watched, by name.
    pub fn figures(&self) -> Vec<(String, Arc<Figures>)> {
        lock(&self.0.figures).iter().map(|(name, figures)| (name.clone(), Arc::clone(figures))).collect()
    }
}

/// A registered viewer; dropping this removes it from the registry.
#[derive(Debug)]
pub struct Viewer {
    viewers: Viewers,
    record: Arc<Record>,
    /// The ending to count when it leaves.
    ending: Ending,
    /// If the body is asked for nothing before this time, the viewer has stalled.
    stalls_at: Option<Instant>,
    /// A second reference, at hand for the sender: the sender only writes to the record and never reads it for each
    /// frame.
    figures: Arc<Figures>,
    frames: u64,
    bytes: u64,
    skipped: u64,
}

impl Viewer {
    /// The viewer's statistics, for the API; they end with the viewer.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Sets the ending that is counted if the viewer leaves now; [`Ending::Left`] by default.
    pub fn ends(&mut self, ending: Ending) {
        self.ending = ending;
    }

    /// Records that the connection takes a chunk of a body, on a connection that its server closes when the client
    /// takes nothing for `write_timeout`. A body does not learn why it is dropped. If the server asked for nothing more
    /// for about that time, the connection had stalled.
    pub fn gives(&mut self, write_timeout: Duration) {
        // The connection's own timeout starts before its buffer took the last small chunks.
        self.stalls_at = Some(Instant::now() + write_timeout / 2);
    }

    /// Records that the connection asks for the next chunk.
    pub fn is_asked(&mut self) {
        self.stalls_at = None;
    }

    /// Records that a picture of `bytes` goes to the kernel, `age` after its capture.
    pub fn sent(&mut self, bytes: usize, age: Duration) {
        self.frames += 1;
        self.bytes += bytes as u64;
        self.record.sent(self.frames, self.bytes, Some(age));
        self.figures.sent(bytes, age);
    }

    /// Records that the last picture was sent once more, `bytes` with its framing.
    pub fn sent_again(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
        self.record.sent(self.frames, self.bytes, None);
        self.figures.sent_again(bytes);
    }

    /// Records that the viewer has so far missed `total` frames that its rate allows: newer ones replaced them.
    pub fn skipped(&mut self, total: u64) {
        if total != self.skipped {
            self.figures.skipped(total.saturating_sub(self.skipped));
            self.skipped = total;
            self.record.skipped(total);
        }
    }
}

impl Deref for Viewer {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        lock(&self.viewers.0.present).remove(&self.record.id());
        if self.via() != Via::Mjpeg {
            // Tiles have no ending of their own: `live::Counts` counts that of their connection.
            return;
        }
        if self.ending == Ending::Left && self.stalls_at.is_some_and(|at| at <= Instant::now()) {
            self.ending = Ending::Stalled;
        }
        self.record.ended(self.ending);
        let (camera, address) = (self.feed().name(), self.peer().map(display));
        match self.ending {
            Ending::Stalled => info!(camera, address, "a viewer took nothing any more: it was disconnected"),
            Ending::Slow => {
                info!(camera, address, "a viewer took too long over one picture: it was disconnected")
            }
            ending => debug!(camera, address, ending = ending.name(), "a stream ended"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use framecast_hub::{Bounds, Hub, Told};
    use futures_util::FutureExt;

    use super::*;

    fn feed(max_viewers: Option<usize>) -> Arc<Feed> {
        let bounds = Bounds { max_viewers, ..Bounds::default() };
        Hub::new().add_with("door", bounds, SystemTime::UNIX_EPOCH).unwrap()
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_place_is_free_again_when_its_viewer_has_gone() {
        let viewers = Viewers::new(Limits { server: Some(1), address: None });
        let feed = feed(None);
        let first = viewers.admit(&feed, None, Via::Mjpeg).unwrap();
        let full = viewers.admit(&feed, None, Via::Live).unwrap_err();
        assert_eq!(full.to_string(), "this server has as many viewers as it may have (1)");
        drop(first);
        assert!(viewers.list().is_empty());
        assert!(viewers.admit(&feed, None, Via::Live).is_ok());
        assert_eq!(viewers.refused()[0], ("server", 1));
    }

    #[test]
    fn each_camera_and_each_address_has_its_own_most() {
        let viewers = Viewers::new(Limits { server: None, address: Some(2) });
        let (small, large) = (feed(Some(3)), feed(None));
        let mut held: Vec<Viewer> =
            [1, 1, 2].map(|peer| viewers.admit(&small, address(peer), Via::Mjpeg).unwrap()).into();
        let full = viewers.admit(&large, address(1), Via::Mjpeg).unwrap_err();
        assert_eq!(full.limit, Limit::Address(address(1).unwrap()));
        held.push(viewers.admit(&large, None, Via::Mjpeg).unwrap());
        // Both cameras are called `door` here; limits count by name.
        let full = viewers.admit(&small, address(3), Via::Mjpeg).unwrap_err();
        assert_eq!(full.to_string(), "camera `door` has as many viewers as it may have (3)");
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let viewers = Viewers::new(Limits { server: None, address: Some(1) });
        let of = |text: &str| viewers.admit(&feed(None), Some(text.parse().unwrap()), Via::Mjpeg);
        let _held = of("2001:db8::1").unwrap();
        assert!(of("2001:db8::2").is_err());
        assert!(of("2001:db8:0:1::1").is_ok());
    }

    #[tokio::test]
    async fn a_flood_at_one_camera_neither_hides_nor_swells_what_is_refused_of_another() {
        let hub = Hub::new();
        let bounds = Bounds { max_viewers: Some(0), ..Bounds::default() };
        let [yard, door] =
            ["yard", "door"].map(|name| hub.add_with(name, bounds, SystemTime::UNIX_EPOCH).unwrap());
        let (viewers, mut events) = (Viewers::default(), hub.events().subscribe());
        (0..1000).for_each(|_| drop(viewers.admit(&yard, None, Via::Mjpeg).unwrap_err()));
        viewers.admit(&door, None, Via::Mjpeg).unwrap_err();
        for name in ["yard", "door"] {
            let Some(Told::Event(event)) = events.next().await else { panic!("nothing is told of {name}") };
            assert_eq!((event.camera.as_deref(), event.count), (Some(name), Some(1)));
            assert_eq!(
                event.text.unwrap(),
                format!("camera `{name}` has as many viewers as it may have (0)")
            );
        }
        assert_eq!(viewers.refused()[1], ("camera", 1001));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_flood_is_told_too() {
        let hub = Hub::new();
        let bounds = Bounds { max_viewers: Some(0), ..Bounds::default() };
        let door = hub.add_with("door", bounds, SystemTime::UNIX_EPOCH).unwrap();
        let (viewers, mut events) = (Viewers::default(), hub.events().subscribe());
        (0..1000).for_each(|_| drop(viewers.admit(&door, None, Via::Mjpeg).unwrap_err()));
        let start = Instant::now();
        for count in [1, 999] {
            let Some(Told::Event(event)) = events.next().await else { panic!("nothing is told of {count}") };
            assert_eq!(event.count, Some(count));
        }
        assert_eq!(start.elapsed(), Duration::from_secs(60));
        // Refusals that go on are reported once a minute.
        for second in 1..=180 {
            tokio::time::advance(Duration::from_millis(999)).await;
            (0..10).for_each(|_| drop(viewers.admit(&door, None, Via::Mjpeg).unwrap_err()));
            tokio::time::sleep(Duration::from_millis(1)).await;
            if second % 60 == 0 {
                let Some(Told::Event(event)) = events.next().await else { panic!("nothing is told") };
                assert_eq!(event.count, Some(600), "at {second} s");
            }
        }
        assert!(events.next().now_or_never().is_none(), "nothing more is told");
    }

    #[test]
    fn what_is_sent_is_known_of_the_viewer_and_of_its_camera() {
        let viewers = Viewers::default();
        let mut viewer = viewers.admit(&feed(None), None, Via::Live).unwrap();
        viewer.sent(1000, Duration::from_millis(12));
        viewer.sent(2000, Duration::from_millis(30));
        viewer.skipped(7);
        viewer.queue(512);
        viewer.painted(Duration::from_millis(60));
        let record = &viewers.list()[0];
        assert_eq!((record.frames(), record.bytes(), record.skipped_frames()), (2, 3000, 7));
        assert_eq!(record.age(), Some(Duration::from_millis(30)));
        assert_eq!(record.painted_age(), Some(Duration::from_millis(60)));
        let (name, figures) = &viewers.figures()[0];
        drop(viewer);
        assert_eq!((name.as_str(), figures.frames(), figures.bytes()), ("door", 2, 3000));
    }
}
