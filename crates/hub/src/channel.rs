//! A channel: one live sequence of frames that any number of subscribers read.
//!
//! [`Channel::publish`] puts a frame into a ring buffer and wakes the subscribers. Each [`Subscriber`] holds a cursor,
//! which is the subscriber's read position in the ring. The subscriber's [`Delivery`] decides whether the subscriber
//! reads every frame or only the newest. No subscriber waits for a slower one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use framecast_media::Frame;
use tokio::sync::watch;

use crate::notifier::Notifier;
use crate::ready_set::{ReadySet, WakeHandle, WakeHandles};
use crate::rendition_limiter::RenditionPermit;
use crate::ring::{Cursor, Ring};

/// The maximum number of bytes by which a subscriber that reads every frame in order can fall behind the publisher
/// without losing frames.
const IN_ORDER_BACKLOG_BYTES: usize = 16 * 1024 * 1024;

/// Which frames a subscriber receives: only the newest, or every frame in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The newest frame or slate (a drawn picture that says why there is no camera picture). Older frames and slates
    /// are skipped.
    Latest,
    /// Every frame in order, but no slates (drawn pictures that say why there is no camera picture). A subscriber that
    /// falls too far behind loses frames; the next frame that it receives is a keyframe.
    InOrder,
}

/// A frame for a subscriber: a picture of the camera, or a slate, which is a drawn picture that says why the camera has
/// no picture to show.
#[derive(Debug, Clone)]
pub struct Update {
    /// The frame: a picture of the camera, or a slate.
    pub frame: Frame,
    /// Whether the frame is a slate: a drawn picture that says why the camera has no picture to show.
    pub is_slate: bool,
    /// The sequence number: the channel numbers its frames and slates together, from 1. A frame or slate has the same
    /// number for all subscribers.
    pub sequence: u64,
}

/// One live sequence of frames that any number of subscribers read. Clones share the sequence, which ends when the last
/// clone is dropped.
#[derive(Debug, Clone)]
pub struct Channel {
    shared: Arc<Shared>,
    /// Ends the channel when the last [`Channel`] is dropped. Subscribers do not hold this guard.
    _end_guard: Arc<EndGuard>,
}

/// A guard that ends the channel when the guard is dropped.
#[derive(Debug)]
struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    notifier: Notifier,
    wake_handles: WakeHandles,
    subscriber_count: watch::Sender<usize>,
    /// The number of viewers of the whole camera. Each subscriber of this channel adds one to the number. `None` for a
    /// channel whose subscribers are not viewers.
    demand: Option<Arc<watch::Sender<usize>>>,
    in_order_subscribers: Mutex<usize>,
}

impl Shared {
    fn end(&self) {
        lock(&self.ring).end();
        self.notify();
    }

    fn notify(&self) {
        self.wake_handles.wake_all();
        self.notifier.notify();
    }

    fn count(&self, change: impl Fn(&mut usize)) {
        self.subscriber_count.send_modify(&change);
        if let Some(demand) = &self.demand {
            demand.send_modify(change);
        }
    }
}

impl Default for Channel {
    fn default() -> Self {
        Self::new()
    }
}

impl Channel {
    /// Creates an empty channel.
    pub fn new() -> Self {
        Self::with_demand(None)
    }

    /// Creates an empty channel. `demand` is the camera's number of viewers, to which each subscriber of the channel
    /// adds one; `None` if the subscribers are not viewers.
    pub(crate) fn with_demand(demand: Option<Arc<watch::Sender<usize>>>) -> Self {
        let subscriber_count = watch::Sender::new(0);
        let shared = Arc::new(Shared {
            ring: Mutex::default(),
            notifier: Notifier::default(),
            wake_handles: WakeHandles::default(),
            subscriber_count,
            demand,
            in_order_subscribers: Mutex::new(0),
        });
        Self { _end_guard: Arc::new(EndGuard(Arc::clone(&shared))), shared }
    }

    /// Publishes `frame` as the newest frame. Never waits for a subscriber. The caller's thread wakes the first few
    /// hundred subscribers that wait for a frame. A separate thread wakes all further subscribers, so they add no cost
    /// for the caller.
    pub fn publish(&self, frame: Frame) {
        let keep_bytes =
            if *lock(&self.shared.in_order_subscribers) > 0 { IN_ORDER_BACKLOG_BYTES } else { 0 };
        lock(&self.shared.ring).push(frame, keep_bytes);
        self.shared.notify();
    }

    /// Returns the channel's generation: how many times the channel was suspended. A frame or slate whose encoding
    /// began in one generation must not be published in a later generation, because the picture is out of date by then.
    pub fn generation(&self) -> u64 {
        lock(&self.shared.ring).generation()
    }

    /// Publishes `frame` like [`publish`](Self::publish) if the channel's current [`generation`](Self::generation) is
    /// still `generation`. Publishes nothing if the channel has been suspended since. Returns whether the frame was
    /// published.
    pub fn publish_if_current(&self, generation: u64, frame: Frame) -> bool {
        self.update_if_current(generation, |ring, keep_bytes| ring.push(frame, keep_bytes))
    }

    /// Publishes `slate` like [`publish_slate`](Self::publish_slate) if the channel's current
    /// [`generation`](Self::generation) is still `generation`. Publishes nothing if the channel has been suspended
    /// since. Returns whether the slate was published.
    pub fn publish_slate_if_current(&self, generation: u64, slate: Frame) -> bool {
        self.update_if_current(generation, |ring, _| ring.put_slate(slate))
    }

    fn update_if_current(&self, generation: u64, update: impl FnOnce(&mut Ring, usize)) -> bool {
        let keep_bytes =
            if *lock(&self.shared.in_order_subscribers) > 0 { IN_ORDER_BACKLOG_BYTES } else { 0 };
        {
            let mut ring = lock(&self.shared.ring);
            if ring.generation() != generation {
                return false;
            }
            update(&mut ring, keep_bytes);
        }
        self.shared.notify();
        true
    }

    /// Shows `slate`, a picture that says why there is no camera picture, to subscribers with [`Delivery::Latest`]
    /// until the next frame. The newest frame stays in the ring buffer, so that [`resume`](Self::resume) can show the
    /// frame again.
    pub fn publish_slate(&self, slate: Frame) {
        lock(&self.shared.ring).put_slate(slate);
        self.shared.notify();
    }

    /// Shows nothing to subscribers with [`Delivery::Latest`] until the next frame or slate. To be called when the
    /// newest frame is too old to be shown as live. That frame stays in the ring buffer.
    pub fn suspend(&self) {
        lock(&self.shared.ring).suspend();
    }

    /// Shows the newest frame again after [`suspend`](Self::suspend). Call this only if that frame is recent enough to
    /// be shown as live.
    pub fn resume(&self) {
        lock(&self.shared.ring).resume();
        self.shared.notify();
    }

    /// Ends the channel. Subscribers first receive the frames that they have not read yet, then `None`.
    pub fn end(&self) {
        self.shared.end();
    }

    /// Returns the newest frame of the camera, never a slate (a drawn picture that stands in for a frame). Returns
    /// `None` before the first frame.
    pub fn newest(&self) -> Option<Frame> {
        lock(&self.shared.ring).newest_frame().cloned()
    }

    /// Creates a subscriber. `delivery` chooses what the subscriber reads: always the newest frame or slate, without
    /// the ones that it was too slow for; or every frame, in order, from the newest keyframe.
    pub fn subscribe(&self, delivery: Delivery) -> Subscriber {
        let is_in_order = delivery == Delivery::InOrder;
        if is_in_order {
            *lock(&self.shared.in_order_subscribers) += 1;
        }
        let cursor = lock(&self.shared.ring).start_cursor(is_in_order);
        self.shared.count(|count| *count += 1);
        let shared = Arc::clone(&self.shared);
        Subscriber { shared, changed: None, cursor, delivery, has_started: false, skipped: 0, _permit: None }
    }

    /// Returns whether `self` and `other` are clones of the same channel.
    pub fn is_same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Returns the current number of subscribers.
    pub fn subscriber_count(&self) -> usize {
        *self.shared.subscriber_count.borrow()
    }

    /// Returns a receiver of the current number of subscribers, which is notified of each change.
    pub fn demand(&self) -> watch::Receiver<usize> {
        self.shared.subscriber_count.subscribe()
    }
}

/// A reader of a channel: a position in the channel's ring buffer, and the rule by which frames are skipped. A
/// subscriber has no frame buffer of its own.
#[derive(Debug)]
pub struct Subscriber {
    shared: Arc<Shared>,
    /// The receiver of wake-ups; `None` until the subscriber first waits. A subscriber that never waits costs the
    /// publisher no wake-up.
    changed: Option<watch::Receiver<()>>,
    cursor: Cursor,
    delivery: Delivery,
    /// Whether the subscriber has received its first frame. Frames published before that frame are not added to
    /// `skipped`, the number of frames that the subscriber missed.
    has_started: bool,
    skipped: u64,
    /// The permit to watch a rendition. Permits limit the number of renditions that each client address can watch.
    /// `None` if this limit does not apply to the subscriber.
    _permit: Option<RenditionPermit>,
}

impl Subscriber {
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

    /// Waits for the next frame or slate and returns it with its sequence number and whether it is a slate. Returns
    /// `None` when the channel has ended. Cancel safe.
    pub async fn next_update(&mut self) -> Option<Update> {
        loop {
            // Register and mark earlier updates as seen before reading the ring. An update after the read then wakes
            // the wait below.
            let shared = &self.shared;
            self.changed.get_or_insert_with(|| shared.notifier.listen()).mark_unchanged();
            let ended = lock(&self.shared.ring).has_ended();
            if let Some(update) = self.try_next() {
                return Some(update);
            }
            if ended {
                return None;
            }
            if let Some(changed) = &mut self.changed {
                changed.changed().await.expect("who subscribes keeps the notifier");
            }
        }
    }

    /// Returns the next frame or slate without waiting; `None` if the subscriber has read everything that it can get so
    /// far.
    pub fn try_next(&mut self) -> Option<Update> {
        let next = {
            let ring = lock(&self.shared.ring);
            match self.delivery {
                Delivery::Latest => ring.latest_after(self.cursor),
                Delivery::InOrder => ring.next_after(self.cursor),
            }
        };
        let (frame, is_slate, cursor) = next?;
        if self.has_started {
            self.skipped += (cursor.frame - self.cursor.frame).saturating_sub(1);
        }
        self.has_started = true;
        self.cursor = cursor;
        Some(Update { frame, is_slate, sequence: cursor.sequence })
    }

    /// Returns whether [`try_next`](Self::try_next) would return a frame or slate.
    pub fn has_next(&self) -> bool {
        let ring = lock(&self.shared.ring);
        match self.delivery {
            Delivery::Latest => ring.latest_after(self.cursor).is_some(),
            Delivery::InOrder => ring.next_after(self.cursor).is_some(),
        }
    }

    /// Returns this subscriber, with the number of frames that `previous` missed added to the number that this
    /// subscriber missed. To be used when this subscriber replaces `previous`, a subscriber to another channel of the
    /// same camera.
    #[must_use]
    pub fn with_skipped_of(mut self, previous: &Self) -> Self {
        self.skipped += previous.skipped;
        self
    }

    /// Returns the frame or slate that the channel shows now, even if the subscriber has already received it, so that a
    /// picture can be sent to a viewer again. Returns `None` if the channel shows nothing.
    pub fn current(&mut self) -> Option<Update> {
        let (frame, is_slate, cursor) = lock(&self.shared.ring).latest_after(Cursor::default())?;
        self.cursor = cursor;
        Some(Update { frame, is_slate, sequence: cursor.sequence })
    }

    /// Returns whether the channel has ended. Even then, frames can be left to read, until [`try_next`](Self::try_next)
    /// returns `None`.
    pub fn has_ended(&self) -> bool {
        lock(&self.shared.ring).has_ended()
    }

    /// Creates a listener, with which a separate task can wait for the channel's next frame or slate.
    pub fn change_listener(&self) -> ChangeListener {
        ChangeListener { changed: self.shared.notifier.listen(), _shared: Arc::clone(&self.shared) }
    }

    /// Registers `token` with the subscriber's channel. Each frame or slate, and the end of the channel, then puts
    /// `token` into `ready_set`, the queue of a task that serves many subscribers.
    pub fn register(&self, ready_set: &ReadySet, token: usize) -> WakeRegistration {
        let handle = ready_set.handle(token);
        self.shared.wake_handles.add(&handle);
        WakeRegistration { shared: Arc::clone(&self.shared), _handle: handle }
    }

    /// Returns how many frames this subscriber has missed because it was too slow.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// A listener that waits for the next frame or slate of a channel. A listener is not a subscriber, so the number of
/// subscribers does not include it.
#[derive(Debug)]
pub struct ChangeListener {
    changed: watch::Receiver<()>,
    /// The channel's shared state, held so that the notifier that wakes `changed` stays alive.
    _shared: Arc<Shared>,
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
    shared: Arc<Shared>,
    _handle: Arc<WakeHandle>,
}

impl WakeRegistration {
    /// Returns whether this registration and `subscriber` belong to the same channel.
    pub fn is_same_channel(&self, subscriber: &Subscriber) -> bool {
        Arc::ptr_eq(&self.shared, &subscriber.shared)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if self.delivery == Delivery::InOrder {
            *lock(&self.shared.in_order_subscribers) -= 1;
        }
        self.shared.count(|count| *count -= 1);
    }
}

/// Locks `mutex`, even if another thread panicked while it held the lock. This is safe because no panic in this crate
/// can leave the data under a lock half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use framecast_testkit::{frame, number_of, soon};

    use super::*;

    fn number(update: &Update) -> u64 {
        number_of(&update.frame.data).unwrap()
    }

    #[tokio::test]
    async fn a_slow_subscriber_skips_to_the_newest_frame_and_counts_what_it_missed() {
        let channel = Channel::new();
        let mut subscriber = channel.subscribe(Delivery::Latest);
        for n in 1..=3 {
            channel.publish(frame(n));
        }
        assert_eq!(number(&subscriber.next_update().await.unwrap()), 3);
        assert_eq!(subscriber.skipped(), 0, "what was before its first frame it did not skip");
        for n in 4..=10 {
            channel.publish(frame(n));
        }
        assert_eq!(number(&subscriber.next_update().await.unwrap()), 10);
        assert_eq!(subscriber.skipped(), 6);
        assert!(subscriber.try_next().is_none());
    }

    #[tokio::test]
    async fn a_subscriber_in_order_gets_every_frame() {
        let channel = Channel::new();
        let mut subscriber = channel.subscribe(Delivery::InOrder);
        for n in 1..=100 {
            channel.publish(frame(n));
        }
        for n in 1..=100 {
            assert_eq!(number(&subscriber.next_update().await.unwrap()), n);
        }
        assert_eq!(subscriber.skipped(), 0);
    }

    #[tokio::test]
    async fn what_is_held_is_seen_at_once() {
        let channel = Channel::new();
        channel.publish(frame(1));
        for delivery in [Delivery::Latest, Delivery::InOrder] {
            assert_eq!(number(&channel.subscribe(delivery).try_next().unwrap()), 1);
        }
    }

    #[tokio::test]
    async fn a_waiting_subscriber_is_woken() {
        let channel = Channel::new();
        let mut subscriber = channel.subscribe(Delivery::Latest);
        let waiting = tokio::spawn(async move { subscriber.next_update().await.unwrap() });
        tokio::task::yield_now().await;
        channel.publish(frame(7));
        assert_eq!(number(&soon("it is woken", waiting).await.unwrap()), 7);
    }

    #[tokio::test]
    async fn one_can_wait_for_many() {
        let channel = Channel::new();
        let mut subscribers = [0; 3].map(|_| channel.subscribe(Delivery::Latest));
        let mut changes = subscribers[0].change_listener();
        for n in 1..=3 {
            channel.publish(frame(n));
            soon("the change", changes.changed()).await;
            for subscriber in &mut subscribers {
                assert_eq!(number(&subscriber.try_next().unwrap()), n);
            }
        }
        assert!(!subscribers[0].has_ended());
        drop(channel);
        soon("the end", changes.changed()).await;
        assert!(subscribers[0].has_ended());
    }

    #[tokio::test]
    async fn a_cancelled_wait_loses_nothing() {
        let channel = Channel::new();
        let mut subscriber = channel.subscribe(Delivery::InOrder);
        for n in 1..=20 {
            tokio::select! {
                biased;
                _ = subscriber.next() => panic!("nothing was published"),
                () = std::future::ready(()) => {}
            }
            channel.publish(frame(n));
            assert_eq!(number(&subscriber.next_update().await.unwrap()), n);
        }
    }

    #[tokio::test]
    async fn the_end_of_a_channel_comes_after_its_last_frame() {
        let channel = Channel::new();
        let mut latest = channel.subscribe(Delivery::Latest);
        let mut in_order = channel.subscribe(Delivery::InOrder);
        channel.publish(frame(1));
        channel.publish(frame(2));
        drop(channel);
        assert_eq!(number(&latest.next_update().await.unwrap()), 2);
        assert!(latest.next().await.is_none());
        assert_eq!(number(&in_order.next_update().await.unwrap()), 1);
        assert_eq!(number(&in_order.next_update().await.unwrap()), 2);
        assert!(in_order.next().await.is_none());
    }

    #[tokio::test]
    async fn a_waiting_subscriber_hears_of_the_end() {
        let channel = Channel::new();
        let mut subscriber = channel.subscribe(Delivery::Latest);
        let waiting = tokio::spawn(async move { subscriber.next().await.is_none() });
        tokio::task::yield_now().await;
        drop(channel);
        assert!(soon("it hears of the end", waiting).await.unwrap());
    }

    #[tokio::test]
    async fn a_suspended_channel_shows_nothing_until_a_frame_or_slate_comes() {
        let channel = Channel::new();
        channel.publish(frame(1));
        channel.suspend();
        let mut subscriber = channel.subscribe(Delivery::Latest);
        assert!(subscriber.try_next().is_none());
        assert!(subscriber.current().is_none());
        assert_eq!(number_of(&channel.newest().unwrap().data), Some(1), "it is kept");
        channel.publish_slate(frame(50));
        let slate = subscriber.next_update().await.unwrap();
        assert!(slate.is_slate && number(&slate) == 50);
        channel.suspend();
        channel.publish(frame(2));
        let live = subscriber.next_update().await.unwrap();
        assert!(!live.is_slate && number(&live) == 2);
    }

    #[test]
    fn what_was_begun_before_the_channel_was_suspended_does_not_come_out_after() {
        let channel = Channel::new();
        let mut subscriber = channel.subscribe(Delivery::Latest);
        let generation = channel.generation();
        assert!(channel.publish_if_current(generation, frame(1)));
        assert_eq!(number(&subscriber.try_next().unwrap()), 1);
        channel.suspend();
        assert!(
            !channel.publish_if_current(generation, frame(2))
                && !channel.publish_slate_if_current(generation, frame(3))
        );
        assert!(subscriber.try_next().is_none());
        assert!(channel.publish_slate_if_current(channel.generation(), frame(4)));
        assert!(subscriber.try_next().unwrap().is_slate);
    }

    #[tokio::test]
    async fn a_resumed_channel_shows_its_newest_frame_to_those_who_have_not_seen_it() {
        let channel = Channel::new();
        let mut present = channel.subscribe(Delivery::Latest);
        channel.publish(frame(1));
        assert!(present.try_next().is_some());
        channel.suspend();
        let mut new = channel.subscribe(Delivery::Latest);
        channel.resume();
        assert_eq!(number(&new.next_update().await.unwrap()), 1);
        assert!(present.try_next().is_none());
    }

    #[tokio::test]
    async fn what_stands_can_be_asked_for_again_and_again() {
        let channel = Channel::new();
        let mut subscriber = channel.subscribe(Delivery::Latest);
        assert!(subscriber.current().is_none());
        channel.publish(frame(1));
        let first = subscriber.current().unwrap();
        assert_eq!(subscriber.current().unwrap().sequence, first.sequence);
        assert!(subscriber.try_next().is_none(), "it was seen");
    }

    #[tokio::test]
    async fn demand_counts_the_subscribers() {
        let channel = Channel::new();
        let mut demand = channel.demand();
        assert_eq!(*demand.borrow_and_update(), 0);
        let first = channel.subscribe(Delivery::Latest);
        let second = channel.subscribe(Delivery::InOrder);
        assert_eq!(*soon("two", demand.wait_for(|viewers| *viewers == 2)).await.unwrap(), 2);
        drop(first);
        drop(second);
        assert_eq!(*soon("none", demand.wait_for(|viewers| *viewers == 0)).await.unwrap(), 0);
        assert_eq!(channel.subscriber_count(), 0);
    }

    #[tokio::test]
    async fn frames_are_kept_for_readers_in_order_only_while_there_are_some() {
        let channel = Channel::new();
        let subscriber = channel.subscribe(Delivery::InOrder);
        for n in 0..10 {
            channel.publish(frame(n));
        }
        assert_eq!(lock(&channel.shared.ring).len(), 10);
        drop(subscriber);
        channel.publish(frame(10));
        assert_eq!(lock(&channel.shared.ring).len(), 1);
    }

    #[test]
    fn threads_that_subscribe_publish_and_leave_see_only_frames_in_order() {
        let channel = Channel::new();
        channel.publish(frame(0));
        std::thread::scope(|scope| {
            for delivery in [Delivery::Latest, Delivery::InOrder, Delivery::Latest] {
                let channel = &channel;
                scope.spawn(move || {
                    for _ in 0..2000 {
                        let mut subscriber = channel.subscribe(delivery);
                        let first = number(&subscriber.try_next().unwrap());
                        let next = subscriber.try_next().map_or(u64::MAX, |update| number(&update));
                        assert!(first < next, "{first}, then {next}");
                    }
                });
            }
            scope.spawn(|| (1..5000).for_each(|n| channel.publish(frame(n))));
        });
        assert_eq!(channel.subscriber_count(), 0);
        assert_eq!(number_of(&channel.newest().unwrap().data), Some(4999));
    }
}
