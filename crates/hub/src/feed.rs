//! A camera as its viewers see it: its channels, its status and its statistics.
//!
//! A camera can have a *sub stream*, a smaller version of its video that the device makes. That is a feed of its own, which
//! the hub does not list.
//!
//! A subscriber with a [`Demand`] keeps the camera open. Encoders read the device's own frames without a demand, with a
//! [`SourceSubscriber`].

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use framecast_media::{Anchor, Frame, lock};
use tokio::sync::watch;

use crate::camera_channels::{CameraChannels, Publisher, SlatePublisher, SourceKind};
use crate::channel::Channel;
use crate::demand::{Demand, DemandCounts, DemandKind};
use crate::event::{Event, Events};
use crate::gop_figures::GopFigures;
use crate::rendition::Rendition;
use crate::rendition_limiter::{RenditionLimiter, TooManyRenditions};
use crate::source_subscriber::SourceSubscriber;
use crate::stats::{Counters, Stats};
use crate::status::{CameraState, CameraStatus};
use crate::subscriber::{Delivery, Subscriber};

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

/// A camera as its viewers see it: its channels, its status and its statistics.
#[derive(Debug)]
pub struct Feed {
    id: u64,
    name: String,
    viewer_limits: ViewerLimits,
    /// `None` for a sub stream: what happens to it is no event of the camera.
    events: Option<Events>,
    sub: OnceLock<Arc<Feed>>,
    channels: Arc<CameraChannels>,
    rendition_limiter: RenditionLimiter,
    demand: Arc<watch::Sender<DemandCounts>>,
    status: watch::Sender<CameraStatus>,
    counters: Counters,
}

impl Feed {
    pub(crate) fn new(
        id: u64,
        name: String,
        viewer_limits: ViewerLimits,
        events: Option<Events>,
        now: SystemTime,
    ) -> Self {
        Self {
            id,
            name,
            viewer_limits,
            events,
            sub: OnceLock::new(),
            channels: Arc::new(CameraChannels::new()),
            rendition_limiter: RenditionLimiter::default(),
            demand: Arc::default(),
            status: watch::Sender::new(CameraStatus::new(CameraState::Idle, now)),
            counters: Counters::default(),
        }
    }

    /// Returns the camera's number, which no other camera of the hub ever has. A camera that replaces another has the
    /// same name and a higher number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the camera's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the camera's sub stream; `None` if it has none, as a sub stream itself has none.
    pub fn sub(&self) -> Option<&Arc<Self>> {
        self.sub.get()
    }

    /// Gives the camera the sub stream that `create` makes, unless it has one. Returns its sub stream.
    pub(crate) fn sub_or_create(&self, create: impl FnOnce() -> Self) -> &Arc<Self> {
        self.sub.get_or_init(|| Arc::new(create()))
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
    /// an encoder makes of them.
    pub fn main_channel(&self) -> &Channel {
        &self.channels.main
    }

    /// Returns the channel of the frames as the device delivers them now. This is the main channel if they are JPEG.
    pub fn source_channel(&self) -> &Channel {
        self.channels.source()
    }

    /// Returns whether the server must make JPEG of the newest frame of the device for viewers of JPEG. Returns false
    /// before the first frame.
    pub fn needs_encoder(&self) -> bool {
        self.source_kind() != SourceKind::Jpeg
    }

    /// Returns what the newest frame of the device is.
    pub fn source_kind(&self) -> SourceKind {
        self.channels.kind()
    }

    /// Returns a receiver of what the newest frame of the device is, which is notified of each change.
    pub fn watch_source_kind(&self) -> watch::Receiver<SourceKind> {
        self.channels.kind.subscribe()
    }

    /// Returns the channel of coded video. It has frames while the device delivers coded video, and only then.
    pub fn video_channel(&self) -> &Channel {
        &self.channels.video
    }

    /// Subscribes a viewer to the coded video of the camera, every frame in order from the newest keyframe. `demand`
    /// says why, and keeps the camera open while the subscriber exists.
    pub fn subscribe_to_video(&self, demand: Demand) -> Subscriber {
        self.channels.video.subscribe(Delivery::InOrder).with_demand(Some(demand))
    }

    /// Creates a reader of the camera's pictures, for a task that makes a rendition of them: the raw pictures or the
    /// JPEG of the device, or the JPEG that the server makes of the device's video. It does not keep the camera open.
    pub fn subscribe_to_source(&self) -> SourceSubscriber {
        SourceSubscriber::new(Arc::clone(&self.channels), false)
    }

    /// Creates a reader of the raw frames of the device, for the task that encodes them for the main channel. It does
    /// not keep the camera open. While the device delivers JPEG, it reads nothing.
    pub fn subscribe_to_raw(&self) -> SourceSubscriber {
        SourceSubscriber::new(Arc::clone(&self.channels), true)
    }

    /// Creates a reason for the camera to be open, which lasts until the returned value is dropped.
    pub fn demand(&self, kind: DemandKind) -> Demand {
        Demand::new(&self.demand, kind)
    }

    /// Subscribes to the main channel. `demand` says why, and keeps the camera open while the subscriber exists.
    pub fn subscribe(&self, delivery: Delivery, demand: Demand) -> Subscriber {
        self.channels.main.subscribe(delivery).with_demand(Some(demand))
    }

    /// Subscribes a viewer to `rendition`, and creates the rendition's channel if nobody watches it yet. If the
    /// rendition [is the original](Rendition::is_original), the viewer gets the main channel.
    ///
    /// # Errors
    /// [`TooManyRenditions`] if nobody watches `rendition` yet and the camera already has the maximum number of
    /// renditions.
    pub fn watch(&self, rendition: Rendition, delivery: Delivery) -> Result<Subscriber, TooManyRenditions> {
        self.watch_from(None, rendition, delivery, Some(self.demand(DemandKind::Viewer)))
    }

    /// Subscribes to `rendition` like [`watch`](Self::watch), for a client at `address`. `demand` says why the client
    /// needs the pictures; it is `None` if the client holds its demand elsewhere. One address can watch at most half of
    /// the renditions that a camera can have. This limit does not apply if `address` is `None`.
    ///
    /// # Errors
    /// [`TooManyRenditions`] if `rendition` would exceed the limit of the address or of the camera.
    pub fn watch_from(
        &self,
        address: Option<IpAddr>,
        rendition: Rendition,
        delivery: Delivery,
        demand: Option<Demand>,
    ) -> Result<Subscriber, TooManyRenditions> {
        if rendition.is_original() {
            return Ok(self.channels.main.subscribe(delivery).with_demand(demand));
        }
        let permit = address.map(|address| {
            let permit = self.rendition_limiter.acquire(address, rendition, MAX_RENDITIONS_PER_ADDRESS);
            permit.map_err(|watched| TooManyRenditions { watched, address: Some(address) })
        });
        let permit = permit.transpose()?;
        let subscriber = self.subscribe_to_rendition(rendition, delivery)?;
        Ok(subscriber.with_demand(demand).with_permit(permit))
    }

    /// Subscribes to `rendition`, which must change the size, quality or rate of the camera's pictures.
    fn subscribe_to_rendition(
        &self,
        rendition: Rendition,
        delivery: Delivery,
    ) -> Result<Subscriber, TooManyRenditions> {
        let mut subscriber = Err(TooManyRenditions { watched: Vec::new(), address: None });
        self.channels.renditions.send_if_modified(|renditions| {
            if self.channels.has_ended() {
                subscriber = Ok(self.channels.main.subscribe(delivery));
                return false;
            }
            if let Some((_, channel)) = renditions.iter().find(|(known, _)| *known == rendition) {
                subscriber = Ok(channel.subscribe(delivery));
                return false;
            }
            if renditions.len() >= MAX_RENDITIONS {
                let watched = renditions.iter().map(|(known, _)| *known).collect();
                subscriber = Err(TooManyRenditions { watched, address: None });
                return false;
            }
            let channel = Channel::new();
            subscriber = Ok(channel.subscribe(delivery));
            renditions.push((rendition, channel));
            true
        });
        subscriber
    }

    /// Returns a receiver of the current list of renditions with their channels, which is notified of each change. The
    /// encoders use it to find out what to encode.
    pub fn renditions(&self) -> watch::Receiver<Vec<(Rendition, Channel)>> {
        self.channels.renditions.subscribe()
    }

    /// Removes `rendition` if nobody watches it, and returns true. If someone watches it, keeps it and returns false.
    pub fn close_rendition(&self, rendition: Rendition) -> bool {
        let mut is_watched = false;
        self.channels.renditions.send_if_modified(|renditions| {
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

    /// Returns the number of clients that need the camera's pictures, for whatever reason.
    pub fn viewer_count(&self) -> usize {
        self.demand_counts().clients()
    }

    /// Returns how many clients need the camera's pictures, by their reason.
    pub fn demand_counts(&self) -> DemandCounts {
        *self.demand.borrow()
    }

    /// Returns a receiver of the numbers of clients that need the camera's pictures, which is notified of each change.
    /// The camera must be open while there are any.
    pub fn watch_demand(&self) -> watch::Receiver<DemandCounts> {
        self.demand.subscribe()
    }

    /// Returns the camera's current status.
    pub fn status(&self) -> CameraStatus {
        self.status.borrow().clone()
    }

    /// Returns the state of the camera's current [status](Self::status).
    pub fn state(&self) -> CameraState {
        self.status.borrow().state
    }

    /// Returns a receiver of the camera's current status, which is notified of each change.
    pub fn watch_status(&self) -> watch::Receiver<CameraStatus> {
        self.status.subscribe()
    }

    /// Sets the camera's status.
    pub fn set_status(&self, status: CameraStatus) {
        if status.state != CameraState::Live {
            lock(&self.channels.rate).reset();
            lock(&self.channels.gop_meter).reset();
        }
        self.status.send_replace(status);
    }

    /// Sends `event`, with this camera's name added, to all readers of the server's events. Does nothing for a sub
    /// stream.
    pub fn send(&self, event: Event) {
        if let Some(events) = &self.events {
            events.send(event.with_camera(&self.name));
        }
    }

    /// Begins an epoch, which is one opening of the camera's source, and returns the right to publish its frames. The
    /// publisher of the epoch before does nothing from now on. `anchor` is the wall-clock time of media time zero as
    /// far as it is known now; the first frame corrects it.
    pub fn begin_epoch(&self, anchor: Anchor) -> Publisher {
        Publisher::new(Arc::clone(&self.channels), anchor)
    }

    /// Ends the epoch: its publisher does nothing from now on. The newest frame stays as it is.
    pub fn end_epoch(&self) {
        self.channels.end_epoch();
    }

    /// Returns the right to show slates until the camera's next frame.
    pub fn slate_publisher(&self) -> SlatePublisher {
        SlatePublisher::new(Arc::clone(&self.channels))
    }

    /// Shows nothing to viewers until the camera's next frame or the next slate (a drawn picture that says why there is
    /// no camera picture), and ends the epoch. Frames that an encoder is working on now will not be shown either.
    pub fn suspend(&self) {
        self.channels.suspend();
    }

    /// Shows the newest frame again after [`suspend`](Self::suspend). Call this only if that frame is recent enough to
    /// be shown as live. A channel whose pictures the server encodes might hold an older frame, so such a channel shows
    /// nothing until its next frame.
    pub fn resume(&self) {
        self.channels.source().resume();
    }

    /// Ends all channels of the camera. Nothing is published in them any more. A viewer that comes later receives what
    /// the main channel showed last, and then the end.
    pub fn end(&self) {
        self.channels.end(None);
    }

    /// Ends all channels of the camera like [`end`](Self::end), with `slate` as the last picture: a drawn JPEG that
    /// says why the camera ends. Does nothing in channels that have ended before.
    pub fn end_with(&self, slate: &Frame) {
        self.channels.end(Some(slate));
    }

    /// Returns whether the camera has ended: no frame and no slate will come any more.
    pub fn has_ended(&self) -> bool {
        self.channels.has_ended()
    }

    /// Adds one to the number of broken pictures. `problem` describes what is wrong with the picture.
    pub fn count_broken(&self, problem: String) {
        self.counters.count_broken(problem);
    }

    /// Adds `pictures` to the number of pictures that the server repaired.
    pub fn count_repaired(&self, pictures: u64) {
        if pictures > 0 {
            self.counters.repaired.fetch_add(pictures, Ordering::Relaxed);
        }
    }

    /// Adds one to the number of pictures that the server dropped because they arrived faster than the camera's
    /// `max_fps`.
    pub fn count_over_rate(&self) {
        self.counters.over_rate.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds `frames` to the number of frames that the device lost.
    pub fn count_dropped_by_device(&self, frames: u64) {
        if frames > 0 {
            self.counters.dropped_by_device.fetch_add(frames, Ordering::Relaxed);
        }
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
        lock(&self.channels.rate).frames_per_second()
    }

    /// Returns the figures of the last complete group of pictures of the camera's coded video; `None` if the camera
    /// delivers none, or before its second keyframe.
    pub fn gop_figures(&self) -> Option<GopFigures> {
        lock(&self.channels.gop_meter).last().filter(|_| self.source_kind() == SourceKind::Video)
    }

    /// Returns the camera's statistics since the start of the server.
    pub fn stats(&self) -> Stats {
        let frames = self.channels.frame_count.load(Ordering::Relaxed);
        self.counters.stats(frames, self.frames_per_second())
    }
}

#[cfg(test)]
mod tests;
