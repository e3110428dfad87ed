//! A camera as its viewers see it: its channels, its status and its statistics.
//!
//! The *source* channel carries the frames as the device delivers them, raw or coded. The *main* channel carries JPEG:
//! the frames of the source, or what an encoder makes of raw frames. Each *rendition* (the pictures with a different
//! size, quality or rate) has a channel of its own, which exists while someone watches the rendition. A subscriber of
//! the main channel or of a rendition is a viewer. Encoders subscribe to the source channel, so they are not viewers.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use framecast_media::{Codec, Frame};
use tokio::sync::watch;

use crate::channel::lock;
use crate::frame_rate::FrameRate;
use crate::rendition_limiter::RenditionLimiter;
use crate::{CameraState, CameraStatus, Channel, Delivery, Event, Events, Rendition, Subscriber};

/// The maximum number of renditions that one camera can have at the same time. A rendition is a version of the camera's
/// pictures with a different size, quality or rate. Each rendition needs an encoder.
const MAX_RENDITIONS: usize = 8;

/// The maximum number of renditions of one camera that one client address can watch at the same time. A rendition is a
/// version of the camera's pictures with a different size, quality or rate.
const MAX_RENDITIONS_PER_ADDRESS: usize = MAX_RENDITIONS / 2;

/// The latency budget and the viewer limit of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewerLimits {
    /// The latency budget: the maximum time that the bytes sent to a viewer should need to arrive. If they need longer,
    /// the server holds back the viewer's next frame. Each way of output, such as MJPEG, uses its own share of this
    /// time.
    pub latency_budget: Duration,
    /// The maximum number of viewers of the camera at the same time; `None` for no limit.
    pub max_viewers: Option<usize>,
}

impl Default for ViewerLimits {
    fn default() -> Self {
        Self { latency_budget: Duration::from_millis(250), max_viewers: None }
    }
}

/// The error when a camera already has the maximum number of renditions (versions with a different size, quality or
/// rate), or a client address already watches as many of them as one address can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TooManyRenditions {
    /// The renditions that exist already: those that `address` watches or, if `address` is `None`, all of the camera.
    /// The client can still watch any of these.
    pub watched: Vec<Rendition>,
    /// The client address whose limit is reached; `None` if the camera's limit is reached.
    pub address: Option<IpAddr>,
}

impl fmt::Display for TooManyRenditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<String> = self.watched.iter().map(|rendition| format!("?{rendition}")).collect();
        let (count, list) = (list.len(), list.join(", "));
        match self.address {
            None => write!(
                f,
                "rendition limit reached ({count} for this camera); request one that is already watched: \
                 {list}"
            ),
            Some(_) => write!(
                f,
                "rendition limit reached ({count} of this camera for this address); request one that it \
                 already watches: {list}"
            ),
        }
    }
}

/// A camera as its viewers see it: its channels, its status and its statistics.
#[derive(Debug)]
pub struct Feed {
    name: String,
    viewer_limits: ViewerLimits,
    events: Events,
    source: Channel,
    main: Channel,
    renditions: watch::Sender<Vec<(Rendition, Channel)>>,
    rendition_limiter: RenditionLimiter,
    /// The number of viewers of the main channel and of all renditions.
    demand: Arc<watch::Sender<usize>>,
    status: watch::Sender<CameraStatus>,
    rate: Mutex<FrameRate>,
    counters: Counters,
    last_broken: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Counters {
    frames: AtomicU64,
    broken: AtomicU64,
    repaired: AtomicU64,
    over_rate: AtomicU64,
    dropped_by_device: AtomicU64,
    encoded: AtomicU64,
    encode_skipped: AtomicU64,
    encode_nanos: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
}

/// The statistics of a camera since the start of the server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// The number of frames that arrived from the camera.
    pub frames: u64,
    /// The number of broken pictures. These are dropped, so viewers do not get them.
    pub broken: u64,
    /// A description of what was wrong with the last broken picture, with the byte offset; `None` if no picture was
    /// broken.
    pub last_broken: Option<String>,
    /// The number of pictures that the server repaired, because stray bytes surrounded them or their end was missing.
    /// Viewers get the repaired pictures.
    pub repaired: u64,
    /// The number of pictures that the server dropped because they arrived faster than the camera's `max_fps`.
    pub over_rate: u64,
    /// The number of frames that the device itself lost, as the gaps in the sequence numbers of its frames show.
    pub dropped_by_device: u64,
    /// The number of pictures that the server encoded, for the main channel and all renditions together.
    pub encoded: u64,
    /// The number of frames that an encoder skipped because a newer frame had arrived.
    pub encode_skipped: u64,
    /// The total time that the server spent on encoding, summed over all threads.
    pub encode_time: Duration,
    /// How often the camera was opened.
    pub opened: u64,
    /// How often the camera was closed after it had been opened.
    pub closed: u64,
    /// The camera's current frame rate; `None` if the camera is not live or has delivered fewer than three frames.
    pub frames_per_second: Option<f64>,
}

impl Feed {
    pub(crate) fn new(name: String, viewer_limits: ViewerLimits, events: Events, now: SystemTime) -> Self {
        let demand = Arc::new(watch::Sender::new(0));
        Self {
            name,
            viewer_limits,
            events,
            source: Channel::new(),
            main: Channel::with_demand(Some(Arc::clone(&demand))),
            renditions: watch::Sender::new(Vec::new()),
            rendition_limiter: RenditionLimiter::default(),
            demand,
            status: watch::Sender::new(CameraStatus::new(CameraState::Idle, now)),
            rate: Mutex::default(),
            counters: Counters::default(),
            last_broken: Mutex::default(),
        }
    }

    /// Returns the camera's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the camera's latency budget and viewer limit.
    pub fn viewer_limits(&self) -> ViewerLimits {
        self.viewer_limits
    }

    /// Returns the latency budget: the maximum time that the bytes sent to a viewer should need to arrive. If they need
    /// longer, the server holds back the viewer's next frame.
    pub fn latency_budget(&self) -> Duration {
        self.viewer_limits.latency_budget
    }

    /// Returns the camera's main channel, which carries JPEG: the frames of the device if they are JPEG, otherwise what
    /// an encoder makes of raw frames.
    pub fn main_channel(&self) -> &Channel {
        &self.main
    }

    /// Returns the channel of the frames as the device delivers them, raw or coded. Subscribers of this channel are not
    /// viewers, so they do not keep the camera open.
    pub fn source_channel(&self) -> &Channel {
        &self.source
    }

    /// Subscribes a viewer to `rendition`, and creates the rendition's channel if nobody watches it yet. If the
    /// rendition [is the original](Rendition::is_original), the viewer gets the main channel.
    ///
    /// # Errors
    /// [`TooManyRenditions`] if nobody watches `rendition` yet and the camera already has the maximum number of
    /// renditions.
    pub fn watch(&self, rendition: Rendition, delivery: Delivery) -> Result<Subscriber, TooManyRenditions> {
        self.watch_from(None, rendition, delivery)
    }

    /// Subscribes a viewer like [`watch`](Self::watch), for a client at `address`. One address can watch at most half
    /// of the renditions that a camera can have. This limit does not apply if `address` is `None`.
    ///
    /// # Errors
    /// [`TooManyRenditions`] if `rendition` would exceed the limit of the address or of the camera.
    pub fn watch_from(
        &self,
        address: Option<IpAddr>,
        rendition: Rendition,
        delivery: Delivery,
    ) -> Result<Subscriber, TooManyRenditions> {
        if rendition.is_original() {
            return Ok(self.main.subscribe(delivery));
        }
        let permit = address.map(|address| {
            let permit = self.rendition_limiter.acquire(address, rendition, MAX_RENDITIONS_PER_ADDRESS);
            permit.map_err(|watched| TooManyRenditions { watched, address: Some(address) })
        });
        let permit = permit.transpose()?;
        self.subscribe_to_rendition(rendition, delivery).map(|subscriber| subscriber.with_permit(permit))
    }

    /// Subscribes a viewer to `rendition`, which must change the size, quality or rate of the camera's pictures.
    fn subscribe_to_rendition(
        &self,
        rendition: Rendition,
        delivery: Delivery,
    ) -> Result<Subscriber, TooManyRenditions> {
        let mut subscriber = Err(TooManyRenditions { watched: Vec::new(), address: None });
        self.renditions.send_if_modified(|renditions| {
            if let Some((_, channel)) = renditions.iter().find(|(known, _)| *known == rendition) {
                subscriber = Ok(channel.subscribe(delivery));
                return false;
            }
            if renditions.len() >= MAX_RENDITIONS {
                let watched = renditions.iter().map(|(known, _)| *known).collect();
                subscriber = Err(TooManyRenditions { watched, address: None });
                return false;
            }
            let channel = Channel::with_demand(Some(Arc::clone(&self.demand)));
            subscriber = Ok(channel.subscribe(delivery));
            renditions.push((rendition, channel));
            true
        });
        subscriber
    }

    /// Returns a receiver of the current list of renditions with their channels, which is notified of each change. The
    /// encoders use it to find out what to encode.
    pub fn renditions(&self) -> watch::Receiver<Vec<(Rendition, Channel)>> {
        self.renditions.subscribe()
    }

    /// Removes `rendition` if nobody watches it, and returns true. If someone watches it, keeps it and returns false.
    pub fn close_rendition(&self, rendition: Rendition) -> bool {
        let mut is_watched = false;
        self.renditions.send_if_modified(|renditions| {
            let at = renditions.iter().position(|(known, _)| *known == rendition);
            is_watched = at.is_some_and(|at| renditions[at].1.subscriber_count() > 0);
            match at {
                Some(at) if !is_watched => {
                    renditions.remove(at);
                    true
                }
                _ => false,
            }
        });
        !is_watched
    }

    /// Returns the number of viewers of the main channel and of all renditions.
    pub fn viewer_count(&self) -> usize {
        *self.demand.borrow()
    }

    /// Returns a receiver of the current number of viewers, which is notified of each change. The camera must be open
    /// while this number is above 0.
    pub fn demand(&self) -> watch::Receiver<usize> {
        self.demand.subscribe()
    }

    /// Returns the camera's current status.
    pub fn status(&self) -> CameraStatus {
        self.status.borrow().clone()
    }

    /// Returns a receiver of the camera's current status, which is notified of each change.
    pub fn watch_status(&self) -> watch::Receiver<CameraStatus> {
        self.status.subscribe()
    }

    /// Sets the camera's status.
    pub fn set_status(&self, status: CameraStatus) {
        if status.state != CameraState::Live {
            lock(&self.rate).reset();
        }
        self.status.send_replace(status);
    }

    /// Sends `event`, with this camera's name added, to all readers of the server's events.
    pub fn send(&self, event: Event) {
        self.events.send(event.with_camera(&self.name));
    }

    /// Publishes a frame from the camera, and adds one to the number of frames that arrived from the camera. A JPEG
    /// goes to the main channel and the source channel. Any other frame goes to the source channel only, where an
    /// encoder reads it while someone watches.
    pub fn publish(&self, frame: Frame) {
        self.counters.frames.fetch_add(1, Ordering::Relaxed);
        lock(&self.rate).record(frame.pts);
        if frame.format.codec == Codec::Jpeg {
            self.main.publish(frame.clone());
        }
        self.source.publish(frame);
    }

    /// Shows `slate`, a drawn JPEG that says why there is no camera picture, to all viewers until the next frame.
    pub fn publish_slate(&self, slate: Frame) {
        self.main.publish_slate(slate.clone());
        self.source.publish_slate(slate);
    }

    /// Shows nothing to viewers until the camera's next frame or the next slate (a drawn picture that says why there is
    /// no camera picture). Frames that an encoder is working on now will not be shown either.
    pub fn suspend(&self) {
        // Suspend the source first: an encoder that reads a channel's generation after this finds nothing to encode.
        self.source.suspend();
        self.main.suspend();
        for (_, channel) in self.renditions.borrow().iter() {
            channel.suspend();
        }
    }

    /// Shows the newest frame again after [`suspend`](Self::suspend). Call this only if that frame is recent enough to
    /// be shown as live. A channel whose pictures the server encodes might hold an older frame, so such a channel shows
    /// nothing until its next frame.
    pub fn resume(&self) {
        let (main, source) = (self.main.newest(), self.source.newest());
        self.source.resume();
        if main.zip(source).is_some_and(|(main, source)| main.data.as_ptr() == source.data.as_ptr()) {
            self.main.resume();
        }
    }

    /// Ends all channels of the camera.
    pub fn end(&self) {
        self.source.end();
        self.main.end();
        for (_, channel) in self.renditions.borrow().iter() {
            channel.end();
        }
    }

    /// Adds one to the number of broken pictures. `problem` describes what is wrong with the picture.
    pub fn count_broken(&self, problem: String) {
        self.counters.broken.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last_broken) = Some(problem);
    }

    /// Adds `pictures` to the number of pictures that the server repaired.
    pub fn count_repaired(&self, pictures: u64) {
        self.counters.repaired.fetch_add(pictures, Ordering::Relaxed);
    }

    /// Adds one to the number of pictures that the server dropped because they arrived faster than the camera's
    /// `max_fps`.
    pub fn count_over_rate(&self) {
        self.counters.over_rate.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds `frames` to the number of frames that the device lost.
    pub fn count_dropped_by_device(&self, frames: u64) {
        self.counters.dropped_by_device.fetch_add(frames, Ordering::Relaxed);
    }

    /// Adds one to the number of pictures that the server encoded.
    pub fn count_encoded(&self) {
        self.counters.encoded.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds to the statistics what an encoder has done since the previous call: `took` is the time that all threads
    /// together spent on encoding, and `skipped` the number of frames skipped because a newer frame had arrived.
    pub fn count_encoding(&self, took: Duration, skipped: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counters.encode_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.counters.encode_skipped.fetch_add(skipped, Ordering::Relaxed);
    }

    /// Adds one to the number of times that the camera was opened.
    pub fn count_opened(&self) {
        self.counters.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds one to the number of times that the camera was closed.
    pub fn count_closed(&self) {
        self.counters.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the camera's current frame rate; `None` if the camera is not live or has delivered fewer than three
    /// frames.
    pub fn frames_per_second(&self) -> Option<f64> {
        lock(&self.rate).frames_per_second()
    }

    /// Returns the camera's statistics since the start of the server.
    pub fn stats(&self) -> Stats {
        Stats {
            frames: self.counters.frames.load(Ordering::Relaxed),
            broken: self.counters.broken.load(Ordering::Relaxed),
            last_broken: lock(&self.last_broken).clone(),
            repaired: self.counters.repaired.load(Ordering::Relaxed),
            over_rate: self.counters.over_rate.load(Ordering::Relaxed),
            dropped_by_device: self.counters.dropped_by_device.load(Ordering::Relaxed),
            encoded: self.counters.encoded.load(Ordering::Relaxed),
            encode_skipped: self.counters.encode_skipped.load(Ordering::Relaxed),
            encode_time: Duration::from_nanos(self.counters.encode_nanos.load(Ordering::Relaxed)),
            opened: self.counters.opened.load(Ordering::Relaxed),
            closed: self.counters.closed.load(Ordering::Relaxed),
            frames_per_second: self.frames_per_second(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use framecast_media::{ColorRange, Format, PixelFormat};
    use framecast_testkit::{frame, number_of};

    use super::*;

    fn feed() -> Feed {
        Feed::new("yard".to_owned(), ViewerLimits::default(), Events::default(), SystemTime::UNIX_EPOCH)
    }

    fn raw(n: u64) -> Frame {
        let codec = Codec::Raw(PixelFormat::Grey, ColorRange::Full);
        Frame { format: Arc::new(Format { codec, width_px: 1, height_px: 1 }), ..frame(n) }
    }

    fn small() -> Rendition {
        Rendition::default().with_width(320)
    }

    #[test]
    fn a_raw_frame_is_for_encoders_and_a_coded_one_for_viewers_too() {
        let feed = feed();
        let mut viewer = feed.watch(Rendition::default(), Delivery::Latest).unwrap();
        let mut encoder = feed.source_channel().subscribe(Delivery::Latest);
        feed.publish(raw(1));
        assert!(viewer.try_next().is_none() && encoder.try_next().is_some());
        feed.publish(frame(2));
        assert_eq!(number_of(&viewer.try_next().unwrap().frame.data), Some(2));
        assert!(encoder.try_next().is_some());
        assert_eq!(feed.stats().frames, 2);
    }

    #[test]
    fn viewers_of_all_renditions_are_the_demand_and_encoders_are_none() {
        let feed = feed();
        let demand = feed.demand();
        let _encoder = feed.source_channel().subscribe(Delivery::Latest);
        assert_eq!(*demand.borrow(), 0);
        let main = feed.watch(Rendition::default(), Delivery::Latest).unwrap();
        let first = feed.watch(small(), Delivery::Latest).unwrap();
        let second = feed.watch(small(), Delivery::Latest).unwrap();
        assert_eq!((feed.viewer_count(), feed.main_channel().subscriber_count()), (3, 1));
        assert_eq!(feed.renditions().borrow().len(), 1, "one channel, however many ask");
        drop((main, first));
        assert!(!feed.close_rendition(small()), "someone watches");
        drop(second);
        assert!(feed.close_rendition(small()));
        assert!(feed.renditions().borrow().is_empty());
        assert_eq!(*demand.borrow(), 0);
    }

    #[test]
    fn renditions_are_bounded_and_a_refusal_names_them() {
        let feed = feed();
        let qualities = [30, 40, 50, 60, 70, 80, 90, 95].map(|q| Rendition::default().with_quality(q));
        let _viewers = qualities.map(|rendition| feed.watch(rendition, Delivery::Latest).unwrap());
        let refusal = feed.watch(small(), Delivery::Latest).unwrap_err().to_string();
        assert!(refusal.starts_with("rendition limit reached (8 for this camera)"), "{refusal}");
        assert!(refusal.ends_with("?quality=90, ?quality=95"), "{refusal}");
        assert!(feed.watch(qualities[0], Delivery::Latest).is_ok());
    }

    #[test]
    fn an_address_has_half_of_the_renditions_and_shares_those_that_it_has() {
        let feed = feed();
        let of = |quality| Rendition::default().with_quality(quality);
        let watch = |last, quality| {
            feed.watch_from(Some(IpAddr::from([192, 0, 2, last])), of(quality), Delivery::Latest)
        };
        let mut viewers: Vec<Subscriber> =
            [30, 40, 50, 60, 60].map(|quality| watch(1, quality).unwrap()).into();
        let refusal = watch(1, 70).unwrap_err();
        assert_eq!(refusal.watched, [30, 40, 50, 60].map(of));
        assert!(refusal.to_string().contains("for this address"), "{refusal}");
        let others = watch(2, 70).unwrap();
        assert!(watch(1, 70).is_err(), "it could hold it when the other has gone");
        assert!(
            feed.watch_from(Some(IpAddr::from([192, 0, 2, 1])), Rendition::default(), Delivery::Latest)
                .is_ok()
        );
        viewers.pop();
        assert!(watch(1, 70).is_err(), "one more watches it");
        viewers.pop();
        assert!(watch(1, 70).is_ok());
        drop((others, viewers));
        assert_eq!(feed.rendition_limiter.len(), 0, "nothing is kept of who has gone");
    }

    #[test]
    fn a_lost_camera_shows_nothing_in_any_channel_and_a_slate_reaches_all() {
        let feed = feed();
        let mut small = feed.watch(small(), Delivery::Latest).unwrap();
        let channel = feed.renditions().borrow()[0].1.clone();
        channel.publish(frame(1));
        let generation = channel.generation();
        feed.publish(frame(1));
        feed.suspend();
        assert!(small.try_next().is_none());
        assert!(!channel.publish_if_current(generation, frame(2)), "what was being encoded is out of date");
        feed.publish_slate(frame(3));
        let mut encoder = feed.source_channel().subscribe(Delivery::Latest);
        assert!(encoder.try_next().unwrap().is_slate);
        assert!(feed.main_channel().subscribe(Delivery::Latest).try_next().unwrap().is_slate);
    }

    #[test]
    fn only_a_channel_that_holds_the_newest_frame_is_resumed() {
        let feed = feed();
        feed.publish(frame(1));
        feed.suspend();
        feed.resume();
        assert!(feed.main_channel().subscribe(Delivery::Latest).try_next().is_some());
        feed.publish(raw(2));
        feed.suspend();
        feed.resume();
        assert!(feed.main_channel().subscribe(Delivery::Latest).try_next().is_none(), "it holds frame 1");
        assert!(feed.source_channel().subscribe(Delivery::Latest).try_next().is_some());
    }
}
