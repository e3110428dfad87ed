//! A subscriber: a reader of a channel, with a position in the channel's ring buffer and a rule by which it skips
//! frames.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use framecast_media::Frame;
use tokio::sync::watch;

use crate::channel_state::ChannelState;
use crate::demand::Demand;
use crate::epoch::Epoch;
use crate::ready_set::{ReadySet, WakeHandle};
use crate::rendition_limiter::RenditionPermit;
use crate::ring::{Cursor, Next, Ring};

/// Which frames a subscriber receives: only the newest, or every frame in order. Whatever the rule, no subscriber
/// receives a frame that needs another frame which the subscriber has not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The newest frame or slate (a drawn picture that says why there is no camera picture). Older frames and slates
    /// are skipped. For pictures that stand alone; of coded video, the subscriber receives only the keyframes.
    Latest,
    /// Every frame in order, but no slates (drawn pictures that say why there is no camera picture). A subscriber that
    /// falls too far behind loses frames; the next frame that it receives is the newest keyframe.
    InOrder,
}

/// A frame for a subscriber: a picture of the camera, or a slate, which is a drawn picture that says why the camera has
/// no picture to show.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Update {
    /// The frame: a picture of the camera, or a slate.
    pub frame: Frame,
    /// Whether the frame is a slate: a drawn picture that says why the camera has no picture to show. Its `pts` and
    /// `dts` are those of its drawing. The next frame of the camera can have an earlier `dts`.
    pub is_slate: bool,
    /// The sequence number: the channel numbers its frames and slates together, from 1. A frame or slate has the same
    /// number for all subscribers.
    pub sequence: u64,
    /// The opening of the camera that the frame belongs to. A slate has the epoch of the frame that it replaces.
    pub epoch: Epoch,
    /// The number of frames that the subscriber has skipped since the previous update: those that it was too slow for,
    /// and those that it could not decode.
    pub skipped: u64,
    /// Whether the frame does not continue what the subscriber received before: it is the first update, it belongs to
    /// another epoch, the wall clock was set, or a subscriber that reads every frame has lost frames.
    pub is_discontinuity: bool,
}

impl Update {
    pub(crate) fn of(next: Next, skipped: u64, is_discontinuity: bool) -> Self {
        let Next { frame, is_slate, epoch, cursor, .. } = next;
        Self { frame, is_slate, sequence: cursor.sequence, epoch, skipped, is_discontinuity }
    }
}

/// A reader of a channel: a position in the channel's ring buffer, and the rule by which frames are skipped. A
/// subscriber has no frame buffer of its own.
#[derive(Debug)]
pub struct Subscriber {
    state: Arc<ChannelState>,
    /// The receiver of wake-ups; `None` until the subscriber first waits. A subscriber that never waits costs the
    /// publisher no wake-up.
    changed: Option<watch::Receiver<()>>,
    /// Whether the subscriber has read everything that was there when `changed` was last marked as seen. Then it need
    /// not look at the ring again before the next wake-up.
    has_read_all: bool,
    cursor: Cursor,
    delivery: Delivery,
    /// The most decoding time by which a subscriber that reads every frame in order may be behind.
    max_lag: Duration,
    is_counted: bool,
    /// The epoch of the last update; `None` before the first. Frames published before the first update are not added to
    /// `skipped`, the number of frames that the subscriber missed.
    last_epoch: Option<Epoch>,
    skipped: u64,
    /// The reason why the camera must be open; `None` for a subscriber that does not keep it open.
    demand: Option<Demand>,
    /// The permit to watch a rendition. Permits limit the number of renditions that each client address can watch.
    /// `None` if this limit does not apply to the subscriber.
    _permit: Option<RenditionPermit>,
}

impl Subscriber {
    /// Creates a subscriber of the channel with this `state`. `is_counted` says whether the channel's number of
    /// subscribers includes it.
    pub(crate) fn new(state: Arc<ChannelState>, delivery: Delivery, is_counted: bool) -> Self {
        let is_in_order = delivery == Delivery::InOrder;
        if is_in_order {
            state.in_order_subscribers.fetch_add(1, Ordering::SeqCst);
        }
        let cursor = state.ring().start_cursor(is_in_order);
        if is_counted {
            state.subscriber_count.send_modify(|count| *count += 1);
        }
        let (last_epoch, skipped) = (None, 0);
        Self {
            state,
            changed: None,
            has_read_all: false,
            cursor,
            delivery,
            max_lag: Duration::MAX,
            is_counted,
            last_epoch,
            skipped,
            demand: None,
            _permit: None,
        }
    }

    /// Makes a subscriber that reads every frame in order skip to the newest keyframe if its next frame is older than the
    /// newest one by more than `max_lag` of decoding time, and the newest keyframe is newer than its next frame.
    #[must_use]
    pub fn with_max_lag(mut self, max_lag: Duration) -> Self {
        self.max_lag = max_lag;
        self
    }

    /// Makes the subscriber hold `demand`, the reason why the camera must be open, until the subscriber is dropped.
    pub(crate) fn with_demand(mut self, demand: Option<Demand>) -> Self {
        self.demand = demand;
        self
    }

    /// Makes the subscriber hold `permit`, a permit to watch a rendition, until the subscriber is dropped. Permits
    /// limit the number of renditions that each client address can watch.
    pub(crate) fn with_permit(mut self, permit: Option<RenditionPermit>) -> Self {
        self._permit = permit;
        self
    }

    /// Waits for the next frame or slate and returns it. Returns `None` when the channel has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Frame> {
        self.next_update().await.map(|update| update.frame)
    }

    /// Waits for the next frame or slate and returns it with what the subscriber must know about it. Returns `None`
    /// when the channel has ended. Cancel safe.
    pub async fn next_update(&mut self) -> Option<Update> {
        loop {
            let state = &self.state;
            let changed = self.changed.get_or_insert_with(|| state.notifier.listen());
            // An update is marked as seen before the ring is read. An update after the read then wakes the next wait.
            if std::mem::take(&mut self.has_read_all) {
                changed.changed().await.expect("who subscribes keeps the notifier");
            } else {
                changed.mark_unchanged();
            }
            let (next, has_ended) = {
                let ring = self.state.ring();
                (self.look(&ring), ring.has_ended())
            };
            self.has_read_all = !has_ended && (next.is_none() || self.delivery == Delivery::Latest);
            if let Some(next) = next {
                return Some(self.receive(next));
            }
            if has_ended {
                return None;
            }
        }
    }

    fn look(&self, ring: &Ring) -> Option<Next> {
        match self.delivery {
            Delivery::Latest => ring.latest_after(self.cursor),
            Delivery::InOrder => ring.next_after(self.cursor, self.max_lag),
        }
    }

    /// Returns the next frame or slate without waiting; `None` if the subscriber has read everything that it can get so
    /// far.
    pub fn try_next(&mut self) -> Option<Update> {
        let next = self.look(&self.state.ring())?;
        Some(self.receive(next))
    }

    /// Moves this subscriber to behind `next`, but never back, and returns the update for it.
    fn receive(&mut self, next: Next) -> Update {
        // A slate replaces the newest frame, which the subscriber then skips too.
        let uncounted = u64::from(!next.is_slate) + next.before_start;
        let skipped = match self.last_epoch {
            Some(_) => next.cursor.frame.saturating_sub(self.cursor.frame).saturating_sub(uncounted),
            None => 0,
        };
        let has_lost_frames = self.delivery == Delivery::InOrder && skipped > 0;
        let is_discontinuity = has_lost_frames || self.last_epoch != Some(next.epoch);
        self.skipped += skipped;
        self.last_epoch = Some(next.epoch);
        if next.cursor.sequence > self.cursor.sequence {
            self.cursor = next.cursor;
        }
        Update::of(next, skipped, is_discontinuity)
    }

    /// Returns whether [`try_next`](Self::try_next) would return a frame or slate.
    pub fn has_next(&self) -> bool {
        self.look(&self.state.ring()).is_some()
    }

    /// Returns this subscriber, which replaces `previous`, a subscriber to another channel of the same camera: it takes
    /// over the demand of `previous`, and adds the frames that `previous` missed to those that it missed itself.
    #[must_use]
    pub fn in_place_of(mut self, previous: &mut Self) -> Self {
        self.skipped += previous.skipped;
        self.demand = self.demand.take().or_else(|| previous.demand.take());
        self
    }

    /// Returns the frame or slate that the channel shows now, even if the subscriber has already received it, so that a
    /// picture can be sent to a viewer again. Returns `None` if the channel shows nothing.
    ///
    /// With [`Delivery::Latest`] the update counts as received, and says what was skipped before it. With
    /// [`Delivery::InOrder`] it is a picture beside the stream, so it is told as a discontinuity; the subscriber's next
    /// frame is the same as without this call.
    pub fn current(&mut self) -> Option<Update> {
        let next = self.state.ring().latest_after(Cursor::default())?;
        Some(match self.delivery {
            Delivery::Latest => self.receive(next),
            Delivery::InOrder => Update::of(next, 0, true),
        })
    }

    /// Returns whether the channel has ended. Even then, frames can be left to read, until [`try_next`](Self::try_next)
    /// returns `None`.
    pub fn has_ended(&self) -> bool {
        self.state.ring().has_ended()
    }

    /// Creates a listener, with which a separate task can wait for the channel's next frame or slate.
    pub fn change_listener(&self) -> ChangeListener {
        ChangeListener { changed: self.state.notifier.listen(), _state: Arc::clone(&self.state) }
    }

    /// Registers `token` with the subscriber's channel. Each frame or slate, and the end of the channel, then puts
    /// `token` into `ready_set`, the queue of a task that serves many subscribers.
    pub fn register(&self, ready_set: &ReadySet, token: usize) -> WakeRegistration {
        let handle = ready_set.handle(token);
        self.state.notifier.add(&handle);
        WakeRegistration { state: Arc::clone(&self.state), handle }
    }

    /// Returns how many frames this subscriber has skipped, because it was too slow or could not decode them.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Returns whether the channel's number of subscribers includes this one.
    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Returns whether this is a subscriber of the channel with this `state`.
    pub(crate) fn reads(&self, state: &Arc<ChannelState>) -> bool {
        Arc::ptr_eq(&self.state, state)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if self.delivery == Delivery::InOrder {
            self.state.in_order_subscribers.fetch_sub(1, Ordering::SeqCst);
        }
        if self.is_counted {
            self.state.subscriber_count.send_modify(|count| *count -= 1);
        }
    }
}

/// A listener that waits for the next frame or slate of a channel. A listener is not a subscriber, so the number of
/// subscribers does not include it.
#[derive(Debug)]
pub struct ChangeListener {
    changed: watch::Receiver<()>,
    /// The channel's state, held so that the notifier that wakes `changed` stays alive.
    _state: Arc<ChannelState>,
}

impl ChangeListener {
    /// Waits until the channel publishes a frame or slate, or ends. Returns at once if this happened since the previous
    /// call returned, or since the listener was created. Cancel safe.
    pub async fn changed(&mut self) {
        self.changed.changed().await.expect("its notifier is kept with it");
    }
}

/// The registration of a token with a channel: the channel puts the token into a [`ReadySet`] when it publishes
/// something. Dropping this value ends the registration.
#[derive(Debug)]
pub struct WakeRegistration {
    state: Arc<ChannelState>,
    handle: Arc<WakeHandle>,
}

impl WakeRegistration {
    /// Stops the wake-ups of this registration until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.handle.set_paused(true);
    }

    /// Continues the wake-ups after [`pause`](Self::pause). What the channel published meanwhile wakes nobody, so the
    /// caller must ask the subscriber for it after this call.
    pub fn resume(&self) {
        self.handle.set_paused(false);
    }

    /// Returns whether this registration and `subscriber` belong to the same channel.
    pub fn is_same_channel(&self, subscriber: &Subscriber) -> bool {
        Arc::ptr_eq(&self.state, &subscriber.state)
    }
}
