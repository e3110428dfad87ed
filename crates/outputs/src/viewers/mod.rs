//! Who is watching now: a registry of viewers with limits and statistics.
//!
//! An output registers a viewer with [`Viewers::admit`] and holds the [`ViewerGuard`] while it sends. Through the guard
//! the output updates the viewer's [`ViewerStats`], which the API and the metrics read. Sending pictures does not
//! belong here, nor does the form of a refusal in HTTP.

mod age_histogram;
mod end_reason;
mod first_pictures;
mod refused;
mod skip_counter;
mod stats;
mod totals;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use framecast_hub::Feed;
use framecast_media::{Codec, lock};
use tokio::time::Instant;
use tracing::field::display;
use tracing::{debug, info};

pub use age_histogram::AgeHistogram;
pub use end_reason::EndReason;
use first_pictures::FirstPictures;
use refused::RefusalCounts;
pub(crate) use skip_counter::SkipCounter;
pub use stats::{Transport, ViewerStats};
pub use totals::CameraTotals;

use crate::client_key;

/// The maximum numbers of viewers at once; `None` for no limit. Each camera also has a limit of its own
/// ([`ViewerLimits::max_viewers`](framecast_hub::ViewerLimits::max_viewers)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// The maximum number of viewers of the whole server.
    pub server: Option<usize>,
    /// The maximum number of viewers from one client address. IPv6 addresses with the same first 64 bits are treated as
    /// one address.
    pub address: Option<usize>,
}

/// The registry of viewers, one for the server. Cheap to clone; all clones share the registry.
#[derive(Debug, Clone, Default)]
pub struct Viewers(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    limits: Limits,
    next_id: AtomicU64,
    active: Mutex<BTreeMap<u64, Arc<ViewerStats>>>,
    refused: RefusalCounts,
    first_pictures: FirstPictures,
    totals: Mutex<BTreeMap<String, HeldTotals>>,
}

/// The totals of the camera that has a name now. `camera_id` tells it from an earlier camera of this name.
#[derive(Debug)]
struct HeldTotals {
    camera_id: u64,
    totals: Arc<CameraTotals>,
}

/// The error when a limit on viewers is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReached {
    /// The limit that was reached.
    pub limit: Limit,
    /// The number of viewers that the limit allows.
    pub max: usize,
}

/// What a limit on viewers applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// The limit applies to the whole server.
    Server,
    /// The limit applies to the camera of this name.
    Camera(String),
    /// The limit applies to this client's address.
    Address(IpAddr),
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = self.max;
        match &self.limit {
            Limit::Server => write!(f, "viewer limit reached ({max} for this server)"),
            Limit::Camera(name) => write!(f, "viewer limit reached ({max} for camera `{name}`)"),
            Limit::Address(address) => write!(f, "viewer limit reached ({max} for address {address})"),
        }
    }
}

impl Viewers {
    /// Creates a registry without viewers.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Registry { limits, ..Registry::default() }))
    }

    /// Registers a viewer of `feed`.
    ///
    /// # Errors
    /// [`LimitReached`] if a limit is reached. The number of refused viewers ([`refused`](Self::refused)) then goes up
    /// by one.
    pub fn admit(
        &self,
        feed: &Arc<Feed>,
        peer: Option<IpAddr>,
        transport: Transport,
    ) -> Result<ViewerGuard, LimitReached> {
        let mut active = lock(&self.0.active);
        if let Some(limit_reached) = self.limit_reached(&active, feed, peer) {
            drop(active);
            self.0.refused.add(&limit_reached, feed);
            return Err(limit_reached);
        }
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let totals = self.totals_of(feed);
        let shared = Arc::clone(&totals);
        let stats =
            Arc::new(ViewerStats::new(id, Arc::clone(feed), peer, transport, SystemTime::now(), shared));
        active.insert(id, Arc::clone(&stats));
        let (viewers, end_reason) = (self.clone(), EndReason::default());
        Ok(ViewerGuard {
            viewers,
            stats,
            totals,
            frames: 0,
            bytes: 0,
            skipped: 0,
            end_reason,
            stall_deadline: None,
            codec: None,
        })
    }

    /// Returns the totals of `feed`, which begin with its first viewer. For a camera that has ended or has a successor,
    /// these are totals that nobody asks for.
    fn totals_of(&self, feed: &Feed) -> Arc<CameraTotals> {
        let mut all = lock(&self.0.totals);
        match all.get(feed.name()) {
            Some(held) if held.camera_id == feed.id() => Arc::clone(&held.totals),
            Some(held) if held.camera_id > feed.id() => Arc::default(),
            _ if feed.has_ended() => Arc::default(),
            _ => {
                let totals = Arc::<CameraTotals>::default();
                let held = HeldTotals { camera_id: feed.id(), totals: Arc::clone(&totals) };
                all.insert(feed.name().to_owned(), held);
                totals
            }
        }
    }

    /// Forgets the totals and refusals of `feed`, a camera that has been removed or replaced and has ended.
    pub fn forget(&self, feed: &Feed) {
        let mut all = lock(&self.0.totals);
        if all.get(feed.name()).is_some_and(|held| held.camera_id == feed.id()) {
            all.remove(feed.name());
        }
        drop(all);
        self.0.refused.forget(feed);
    }

    fn limit_reached(
        &self,
        active: &BTreeMap<u64, Arc<ViewerStats>>,
        feed: &Feed,
        peer: Option<IpAddr>,
    ) -> Option<LimitReached> {
        let reached = |limit: Limit, max: Option<usize>, count: usize| {
            max.filter(|max| count >= *max).map(|max| LimitReached { limit, max })
        };
        let Limits { server, address } = self.0.limits;
        // Computed only if there is a limit: it walks all viewers.
        let is_of_camera = |of: &Feed| (of.id(), of.name()) == (feed.id(), feed.name());
        let of_camera = || active.values().filter(|stats| is_of_camera(stats.feed())).count();
        let client = peer.map(client_key);
        let of_address = || active.values().filter(|stats| stats.peer().map(client_key) == client).count();
        let max_viewers = feed.viewer_limits().max_viewers;
        let from_peer = address.zip(peer);
        reached(Limit::Server, server, active.len())
            .or_else(|| {
                max_viewers
                    .and_then(|max| reached(Limit::Camera(feed.name().to_owned()), Some(max), of_camera()))
            })
            .or_else(|| {
                from_peer.and_then(|(max, peer)| reached(Limit::Address(peer), Some(max), of_address()))
            })
    }

    /// Returns all current viewers in the order in which they connected.
    pub fn list(&self) -> Vec<Arc<ViewerStats>> {
        lock(&self.0.active).values().cloned().collect()
    }

    /// Returns the limit for the whole server and the limit for each client address.
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// Returns how many viewers were refused since the server started, for each kind of limit: `server`, `camera` and
    /// `address`.
    pub fn refused(&self) -> [(&'static str, u64); 3] {
        self.0.refused.counts()
    }

    /// Records that the camera's picture for a snapshot came so long after the request.
    pub(crate) fn snapshot_taken(&self, waited: Duration) {
        self.0.first_pictures.observe_snapshot(waited);
    }

    /// Iterates over histograms of the time from a viewer's request to the first picture that was given to its
    /// connection, since the server started. The names are those of the [transports](Transport::as_str), and `snapshot`.
    pub fn first_picture_times(&self) -> impl Iterator<Item = (&'static str, &AgeHistogram)> {
        self.0.first_pictures.iter()
    }

    /// Returns the name of each camera that has had a viewer, with statistics over all viewers of the camera since the
    /// server started, or since the camera was added or replaced.
    pub fn camera_totals(&self) -> Vec<(String, Arc<CameraTotals>)> {
        lock(&self.0.totals).iter().map(|(name, held)| (name.clone(), Arc::clone(&held.totals))).collect()
    }
}

/// A registered viewer. Dropping the guard removes the viewer from the registry.
#[derive(Debug)]
pub struct ViewerGuard {
    viewers: Viewers,
    stats: Arc<ViewerStats>,
    /// The reason to count when the viewer leaves: the camera's count for this reason then goes up by one.
    end_reason: EndReason,
    /// The time by which the HTTP server must request the next chunk of the response body. If the viewer leaves after
    /// this time, the end reason is [`EndReason::Stalled`]. `None` if no chunk is being sent.
    stall_deadline: Option<Instant>,
    /// The totals of the viewer's camera over all viewers. `stats` refers to the same totals. With this second
    /// reference, the sender only writes to `stats` for each frame, and reads nothing from it.
    totals: Arc<CameraTotals>,
    frames: u64,
    bytes: u64,
    skipped: u64,
    /// The codec of the last frame; `None` before the first.
    codec: Option<Codec>,
}

impl ViewerGuard {
    /// Returns the viewer's statistics, which the API reports while the viewer is connected.
    pub fn stats(&self) -> &Arc<ViewerStats> {
        &self.stats
    }

    /// Sets the reason to count when the viewer leaves: the camera's count for this reason then goes up by one. The
    /// default is [`EndReason::Left`].
    pub fn set_end_reason(&mut self, end_reason: EndReason) {
        self.end_reason = end_reason;
    }

    /// Records that the HTTP server has received a chunk of the viewer's response body. The HTTP server closes the
    /// connection if the client takes nothing for `write_timeout`, but does not tell the body why. So if the body is
    /// dropped after the HTTP server has requested no further chunk for half of that time, the end reason is
    /// [`EndReason::Stalled`].
    pub fn chunk_sent(&mut self, write_timeout: Duration) {
        // The connection's own timeout starts before its buffer took the last small chunks.
        self.stall_deadline = Some(Instant::now() + write_timeout / 2);
    }

    /// Records that the HTTP server requests the next chunk of the viewer's response body.
    pub fn chunk_requested(&mut self) {
        self.stall_deadline = None;
    }

    /// Records that a picture of `bytes` bytes is given to the kernel, `age` after its capture.
    pub fn sent(&mut self, bytes: usize, age: Duration) {
        self.frames += 1;
        self.bytes += bytes as u64;
        self.stats.sent(self.frames, self.bytes, Some(age));
        self.totals.sent(bytes, age);
    }

    /// Records that a frame of the camera in this `codec` is given to the connection. A slate is no frame of the camera.
    /// The first call ends the time for which the viewer waited for its first picture.
    pub fn shows(&mut self, codec: Codec) {
        if self.codec == Some(codec) {
            return;
        }
        if self.codec.replace(codec).is_none() {
            let waited = self.stats.first_picture_came();
            self.viewers.0.first_pictures.observe(self.transport(), waited);
        }
        self.stats.set_codec(codec);
    }

    /// Records that the viewer asks for pictures only now, unless it has had one.
    #[cfg(feature = "live")]
    pub(crate) fn asks(&mut self) {
        self.stats.asks();
    }

    /// Records that the last picture was sent again, as `bytes` bytes including the multipart framing.
    pub fn resent(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
        self.stats.sent(self.frames, self.bytes, None);
        self.totals.resent(bytes);
    }

    /// Records that `bytes` bytes are given to the kernel that are no picture, but that a player needs.
    pub fn sent_beside(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.stats.sent(self.frames, self.bytes, None);
        self.totals.sent_beside(bytes);
    }

    /// Records that the viewer has missed `total` frames so far. The viewer has missed a frame if the viewer's
    /// requested rate had room for the frame, but a newer frame replaced it before it was sent.
    pub fn skipped(&mut self, total: u64) {
        if total != self.skipped {
            self.totals.skipped(total.saturating_sub(self.skipped));
            self.skipped = total;
            self.stats.skipped(total);
        }
    }
}

impl Deref for ViewerGuard {
    type Target = ViewerStats;

    fn deref(&self) -> &ViewerStats {
        &self.stats
    }
}

impl Drop for ViewerGuard {
    fn drop(&mut self) {
        lock(&self.viewers.0.active).remove(&self.stats.id());
        if self.transport() == Transport::Live {
            // Tiles have no end reason of their own. `live::CloseCounts` counts the reason of their connection.
            return;
        }
        if self.end_reason == EndReason::Left && self.stall_deadline.is_some_and(|at| at <= Instant::now()) {
            self.end_reason = EndReason::Stalled;
        }
        self.stats.ended(self.end_reason);
        let (camera, address) = (self.feed().name(), self.peer().map(display));
        match self.end_reason {
            EndReason::Stalled => {
                info!(camera, address, "disconnected a viewer: it accepted no data for write_timeout")
            }
            EndReason::Slow => {
                info!(camera, address, "disconnected a viewer: one picture took too long to send")
            }
            end_reason => debug!(camera, address, ending = end_reason.name(), "a stream ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use std::time::Duration;

    use framecast_hub::{Hub, Received, ViewerLimits};
    use framecast_testkit::pause;
    use futures_util::FutureExt;

    use super::*;

    fn feed(max_viewers: Option<usize>) -> Arc<Feed> {
        let bounds = ViewerLimits { max_viewers, ..ViewerLimits::default() };
        Hub::new().add_with_limits("door", bounds, SystemTime::UNIX_EPOCH).unwrap()
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_place_is_free_again_when_its_viewer_has_gone() {
        let viewers = Viewers::new(Limits { server: Some(1), address: None });
        let feed = feed(None);
        let first = viewers.admit(&feed, None, Transport::Mjpeg).unwrap();
        let limit_reached = viewers.admit(&feed, None, Transport::Live).unwrap_err();
        assert_eq!(limit_reached.to_string(), "viewer limit reached (1 for this server)");
        drop(first);
        assert!(viewers.list().is_empty());
        assert!(viewers.admit(&feed, None, Transport::Live).is_ok());
        assert_eq!(viewers.refused()[0], ("server", 1));
    }

    #[test]
    fn each_camera_and_each_address_has_its_own_most() {
        let viewers = Viewers::new(Limits { server: None, address: Some(2) });
        let (small, large) = (feed(Some(3)), feed(None));
        let mut held: Vec<ViewerGuard> =
            [1, 1, 2].map(|peer| viewers.admit(&small, address(peer), Transport::Mjpeg).unwrap()).into();
        let limit_reached = viewers.admit(&large, address(1), Transport::Mjpeg).unwrap_err();
        assert_eq!(limit_reached.limit, Limit::Address(address(1).unwrap()));
        held.push(viewers.admit(&large, None, Transport::Mjpeg).unwrap());
        // Both cameras are called `door` here; limits count by name.
        let limit_reached = viewers.admit(&small, address(3), Transport::Mjpeg).unwrap_err();
        assert_eq!(limit_reached.to_string(), "viewer limit reached (3 for camera `door`)");
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let viewers = Viewers::new(Limits { server: None, address: Some(1) });
        let of = |text: &str| viewers.admit(&feed(None), Some(text.parse().unwrap()), Transport::Mjpeg);
        let _held = of("2001:db8::1").unwrap();
        assert!(of("2001:db8::2").is_err());
        assert!(of("2001:db8:0:1::1").is_ok());
    }

    #[tokio::test]
    async fn a_flood_at_one_camera_neither_hides_nor_swells_what_is_refused_of_another() {
        let hub = Hub::new();
        let bounds = ViewerLimits { max_viewers: Some(0), ..ViewerLimits::default() };
        let [yard, door] =
            ["yard", "door"].map(|name| hub.add_with_limits(name, bounds, SystemTime::UNIX_EPOCH).unwrap());
        let (viewers, mut events) = (Viewers::default(), hub.events().subscribe());
        (0..1000).for_each(|_| drop(viewers.admit(&yard, None, Transport::Mjpeg).unwrap_err()));
        viewers.admit(&door, None, Transport::Mjpeg).unwrap_err();
        for name in ["yard", "door"] {
            let Some(Received::Event(event)) = events.next().await else {
                panic!("nothing is told of {name}")
            };
            assert_eq!((event.camera.as_deref(), event.count), (Some(name), Some(1)));
            assert_eq!(event.text.unwrap(), format!("viewer limit reached (0 for camera `{name}`)"));
        }
        assert_eq!(viewers.refused()[1], ("camera", 1001));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_flood_is_told_too() {
        let hub = Hub::new();
        let bounds = ViewerLimits { max_viewers: Some(0), ..ViewerLimits::default() };
        let door = hub.add_with_limits("door", bounds, SystemTime::UNIX_EPOCH).unwrap();
        let (viewers, mut events) = (Viewers::default(), hub.events().subscribe());
        (0..1000).for_each(|_| drop(viewers.admit(&door, None, Transport::Mjpeg).unwrap_err()));
        let start = Instant::now();
        for count in [1, 999] {
            let Some(Received::Event(event)) = events.next().await else {
                panic!("nothing is told of {count}")
            };
            assert_eq!(event.count, Some(count));
        }
        assert_eq!(start.elapsed(), Duration::from_secs(60));
        // Refusals that go on are reported once a minute.
        for second in 1..=180 {
            tokio::time::advance(Duration::from_millis(999)).await;
            (0..10).for_each(|_| drop(viewers.admit(&door, None, Transport::Mjpeg).unwrap_err()));
            framecast_testkit::pause(Duration::from_millis(1)).await;
            if second % 60 == 0 {
                let Some(Received::Event(event)) = events.next().await else { panic!("nothing is told") };
                assert_eq!(event.count, Some(600), "at {second} s");
            }
        }
        assert!(events.next().now_or_never().is_none(), "nothing more is told");
    }

    #[test]
    fn what_is_sent_is_known_of_the_viewer_and_of_its_camera() {
        let viewers = Viewers::default();
        let mut viewer = viewers.admit(&feed(None), None, Transport::Live).unwrap();
        viewer.sent(1000, Duration::from_millis(12));
        viewer.sent(2000, Duration::from_millis(30));
        viewer.skipped(7);
        viewer.set_queue_bytes(512);
        viewer.painted(Duration::from_millis(60));
        let stats = &viewers.list()[0];
        assert_eq!((stats.frames(), stats.bytes(), stats.skipped_frames()), (2, 3000, 7));
        assert_eq!(stats.age(), Some(Duration::from_millis(30)));
        assert_eq!(stats.painted_age(), Some(Duration::from_millis(60)));
        let (name, totals) = &viewers.camera_totals()[0];
        drop(viewer);
        assert_eq!((name.as_str(), totals.frames(), totals.bytes()), ("door", 2, 3000));
    }
    #[tokio::test(start_paused = true)]
    async fn the_wait_for_the_first_picture_ends_with_the_first_frame_of_the_camera() {
        let viewers = Viewers::default();
        let mut viewer = viewers.admit(&feed(None), None, Transport::Go2rtc).unwrap();
        viewer.sent(1000, Duration::ZERO);
        assert_eq!((viewer.first_picture(), viewer.codec()), (None, None), "a slate");
        pause(Duration::from_millis(300)).await;
        viewer.shows(Codec::H264);
        pause(Duration::from_millis(300)).await;
        viewer.shows(Codec::Jpeg);
        let waited = Duration::from_millis(300);
        assert_eq!((viewer.first_picture(), viewer.codec()), (Some(waited), Some(Codec::Jpeg)));
        viewers.snapshot_taken(Duration::from_millis(2));
        let counts = viewers.first_picture_times().map(|(via, times)| {
            let filled = times.buckets().into_iter().find(|(_, count)| *count > 0);
            (via, filled.unwrap_or_default())
        });
        let none = (0.0, 0);
        let expected =
            [("mjpeg", none), ("mp4", none), ("live", none), ("go2rtc", (0.5, 1)), ("snapshot", (0.0025, 1))];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_camera_that_goes_takes_its_totals_with_it_and_its_successor_begins_at_zero() {
        let (hub, viewers) = (Hub::new(), Viewers::default());
        let sees = |feed: &Arc<Feed>, bytes| {
            viewers.admit(feed, None, Transport::Mjpeg).unwrap().sent(bytes, Duration::ZERO);
        };
        let totals = || {
            let all = viewers.camera_totals();
            all.iter().map(|(name, totals)| (name.clone(), totals.bytes())).collect::<Vec<_>>()
        };
        let old = hub.add("door", SystemTime::UNIX_EPOCH).unwrap();
        sees(&old, 1000);
        let new = hub.replace("door", ViewerLimits::default(), SystemTime::UNIX_EPOCH).unwrap().new;
        sees(&new, 10);
        sees(&old, 1000);
        old.end();
        viewers.forget(&old);
        assert_eq!(totals(), [("door".to_owned(), 10)]);
        hub.remove("door").unwrap().end();
        viewers.forget(&new);
        sees(&new, 10);
        assert_eq!(totals(), []);
    }
}
