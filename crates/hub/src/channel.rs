//! A channel: one live sequence of frames that any number of subscribers read.
//!
//! A publisher puts a frame into a ring buffer and wakes the subscribers. Each [`Subscriber`] holds a cursor, which is
//! the subscriber's read position in the ring. The subscriber's [`Delivery`] decides whether the subscriber reads every
//! frame or only the newest. No subscriber waits for a slower one.

use std::sync::Arc;
use std::time::SystemTime;

use framecast_media::{Anchor, Frame};
use tokio::sync::watch;

use crate::channel_state::ChannelState;
use crate::epoch::Epoch;
use crate::ring::RingLimits;
use crate::subscriber::{Delivery, Subscriber, Update};

/// One live sequence of frames that any number of subscribers read. Clones share the sequence, which ends when the last
/// clone is dropped.
#[derive(Debug, Clone)]
pub struct Channel {
    state: Arc<ChannelState>,
    /// Ends the channel when the last [`Channel`] is dropped. Subscribers do not hold this guard.
    _end_guard: Arc<EndGuard>,
}

/// A guard that ends the channel when the guard is dropped.
#[derive(Debug)]
struct EndGuard(Arc<ChannelState>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end();
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
        Self::with_limits(RingLimits::default())
    }

    /// Creates an empty channel that holds as many frames as `limits` allow.
    pub fn with_limits(limits: RingLimits) -> Self {
        let state = Arc::new(ChannelState::new(limits));
        Self { _end_guard: Arc::new(EndGuard(Arc::clone(&state))), state }
    }

    /// Returns the right to publish in this channel until the channel is next told to [hide](Self::hide) its newest
    /// frame, or ends. For a task that makes frames of those of another channel: take this before reading the other
    /// channel. What was read before the camera was lost is then not published after.
    pub fn publisher(&self) -> ChannelPublisher {
        ChannelPublisher { state: Arc::clone(&self.state), generation: self.state.ring().generation() }
    }

    /// Publishes `frame` of `epoch` as the newest frame, if the publisher of that epoch still may publish. Calls
    /// `before` first, with the channel locked. Returns whether the frame was published.
    ///
    /// Never waits for a subscriber. The caller's thread wakes the first few dozen subscribers that wait for a frame.
    /// A separate thread wakes all further subscribers, so they add no cost for the caller.
    pub(crate) fn publish_in(&self, epoch: Epoch, frame: Frame, before: impl FnOnce()) -> bool {
        let has_in_order = self.state.has_in_order_subscribers();
        {
            let mut ring = self.state.ring();
            if !ring.is_open(epoch.number) {
                return false;
            }
            before();
            ring.push(frame, epoch, has_in_order);
        }
        self.state.notifier.notify();
        true
    }

    /// Shows `slate`, a picture that says why there is no camera picture, to subscribers with [`Delivery::Latest`]
    /// until the next frame, unless a frame has been published after the one with number `newest_number`. Calls `with`
    /// with the channel locked if it shows the slate. The newest frame stays in the ring buffer, so that
    /// [`resume`](Self::resume) can show the frame again.
    pub(crate) fn publish_slate_after(&self, newest_number: u64, slate: Frame, with: impl FnOnce()) {
        {
            let mut ring = self.state.ring();
            if ring.has_ended() || ring.newest_number() != newest_number {
                return;
            }
            let epoch = first_epoch(&slate);
            ring.put_slate(slate, epoch);
            with();
        }
        self.state.notifier.notify();
    }

    /// Returns the number of the newest frame; 0 before the first frame.
    pub(crate) fn newest_number(&self) -> u64 {
        self.state.ring().newest_number()
    }

    /// Gives the right to publish to the epoch number `number`, and takes it from all others.
    pub(crate) fn begin_epoch(&self, number: u64) {
        self.state.ring().begin_epoch(number);
    }

    /// Takes the right to publish from all epochs.
    pub(crate) fn end_epoch(&self) {
        self.state.ring().end_epoch();
    }

    /// Shows nothing to subscribers with [`Delivery::Latest`] until the next frame or slate. To be called when the
    /// newest frame is too old to be shown as live. That frame stays in the ring buffer.
    pub fn hide(&self) {
        self.state.ring().hide();
    }

    /// Drops all frames and shows nothing.
    pub(crate) fn clear(&self) {
        self.state.ring().clear();
    }

    /// Wakes the subscribers, although there may be nothing new.
    pub(crate) fn wake(&self) {
        self.state.notifier.notify();
    }

    /// Shows the newest frame again after [`hide`](Self::hide). Call this only if that frame is recent enough to be
    /// shown as live.
    pub(crate) fn resume(&self) {
        self.state.ring().resume();
        self.state.notifier.notify();
    }

    /// Ends the channel. Subscribers first receive the frames that they have not read yet, then `None`. After the end,
    /// nothing is published any more.
    pub fn end(&self) {
        self.state.end();
    }

    /// Ends the channel with `slate`, a picture that says why it ends. Subscribers with [`Delivery::Latest`] receive
    /// the slate and then `None`. Does nothing if the channel has already ended.
    pub(crate) fn end_with(&self, slate: Frame) {
        {
            let mut ring = self.state.ring();
            if ring.has_ended() {
                return;
            }
            let epoch = first_epoch(&slate);
            ring.put_slate(slate, epoch);
            ring.end();
        }
        self.state.notifier.notify();
    }

    /// Returns the newest frame of the camera that a decoder can start at, never a slate (a drawn picture that stands
    /// in for a frame). Of coded video, this is the newest keyframe. Returns `None` if the channel holds no such frame
    /// of the camera's newest epoch.
    pub fn newest(&self) -> Option<Frame> {
        self.newest_update().map(|update| update.frame)
    }

    /// Returns what [`newest`](Self::newest) returns, as the update that a first subscriber gets.
    pub fn newest_update(&self) -> Option<Update> {
        self.state.ring().newest().map(|next| Update::of(next, 0, true))
    }

    /// Returns the capture time of the camera's newest frame, whether or not that frame needs others; `None` before the
    /// first frame.
    pub fn newest_captured_at(&self) -> Option<SystemTime> {
        self.state.ring().newest_captured_at()
    }

    /// Returns how many bytes of frames the channel holds, as [`RingLimits`] counts them.
    pub fn held_bytes(&self) -> usize {
        self.state.ring().held_bytes()
    }

    /// Creates a subscriber. `delivery` chooses what the subscriber reads: always the newest frame or slate, without
    /// the ones that it was too slow for; or every frame, in order, from the newest keyframe. The subscriber does not
    /// keep a camera open; [`Feed::subscribe`](crate::Feed::subscribe) does.
    pub fn subscribe(&self, delivery: Delivery) -> Subscriber {
        Subscriber::new(Arc::clone(&self.state), delivery, true)
    }

    /// Creates a subscriber that the number of subscribers does not include, so that the server makes no pictures for it.
    pub fn observe(&self, delivery: Delivery) -> Subscriber {
        Subscriber::new(Arc::clone(&self.state), delivery, false)
    }

    /// Returns whether `subscriber` reads this channel.
    pub(crate) fn is_read_by(&self, subscriber: &Subscriber) -> bool {
        subscriber.reads(&self.state)
    }

    /// Returns whether `self` and `other` are clones of the same channel.
    pub fn is_same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    /// Returns the current number of subscribers.
    pub fn subscriber_count(&self) -> usize {
        *self.state.subscriber_count.borrow()
    }

    /// Returns a receiver of the current number of subscribers, which is notified of each change.
    pub fn watch_subscriber_count(&self) -> watch::Receiver<usize> {
        self.state.subscriber_count.subscribe()
    }
}

/// Returns the epoch of a slate before the camera's first frame.
fn first_epoch(slate: &Frame) -> Epoch {
    Epoch { number: 0, anchor: Anchor::new(slate.captured_at) }
}

/// The right to publish in one channel, until the channel is next told to [hide](Channel::hide) its newest frame, or
/// ends. After that, this publisher does nothing.
#[derive(Debug, Clone)]
pub struct ChannelPublisher {
    state: Arc<ChannelState>,
    generation: u64,
}

impl ChannelPublisher {
    /// Publishes `frame` of `epoch` as the newest frame. Never waits for a subscriber. Returns false, and does nothing,
    /// if the channel has ended or has hidden its newest frame since this publisher was made, or if it has a frame of a
    /// later epoch.
    pub fn publish(&self, frame: Frame, epoch: Epoch) -> bool {
        let has_in_order = self.state.has_in_order_subscribers();
        {
            let mut ring = self.state.ring();
            let is_overtaken = ring.newest_epoch().is_some_and(|newest| newest.number > epoch.number);
            if is_overtaken || !ring.is_current(self.generation) {
                return false;
            }
            ring.push(frame, epoch, has_in_order);
        }
        self.state.notifier.notify();
        true
    }

    /// Shows `slate`, a picture that says why there is no camera picture, to subscribers with [`Delivery::Latest`]
    /// until the next frame. Returns false, and does nothing, if the channel has ended or has hidden its newest frame
    /// since this publisher was made.
    pub fn publish_slate(&self, slate: Frame) -> bool {
        {
            let mut ring = self.state.ring();
            if !ring.is_current(self.generation) {
                return false;
            }
            let epoch = first_epoch(&slate);
            ring.put_slate(slate, epoch);
        }
        self.state.notifier.notify();
        true
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use framecast_testkit::{frame, keyframe, number_of, soon};

    use super::*;

    const EPOCH: Epoch = Epoch { number: 1, anchor: Anchor::new(SystemTime::UNIX_EPOCH) };

    fn publish(channel: &Channel, frame: Frame) {
        assert!(channel.publisher().publish(frame, EPOCH));
    }

    fn number(update: &Update) -> u64 {
        number_of(&update.frame.data).unwrap()
    }

    async fn next(subscriber: &mut Subscriber) -> Update {
        soon("the next update", subscriber.next_update()).await.unwrap()
    }

    #[tokio::test]
    async fn a_slow_subscriber_skips_to_the_newest_frame_and_counts_what_it_missed() {
        let channel = Channel::new();
        let mut subscriber = channel.subscribe(Delivery::Latest);
        for n in 1..=3 {
            publish(&channel, frame(n));
        }
        assert_eq!(number(&next(&mut subscriber).await), 3);
        assert_eq!(subscriber.skipped(), 0, "what was before its first frame it did not skip");
        for n in 4..=10 {
            publish(&channel, frame(n));
        }
        assert_eq!(number(&next(&mut subscriber).await), 10);
        assert_eq!(subscriber.skipped(), 6);
        assert!(subscriber.try_next().is_none());
    }

    #[tokio::test]
    async fn a_subscriber_in_order_gets_every_frame() {
        let channel = Channel::new();
        let mut subscriber = channel.subscribe(Delivery::InOrder);
        for n in 1..=100 {
            publish(&channel, frame(n));
        }
        for n in 1..=100 {
            assert_eq!(number(&next(&mut subscriber).await), n);
        }
        assert_eq!(subscriber.skipped(), 0);
    }

    #[tokio::test]
    async fn what_is_held_is_seen_at_once() {
        let channel = Channel::new();
        publish(&channel, frame(1));
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
        publish(&channel, frame(7));
        assert_eq!(number(&soon("it is woken", waiting).await.unwrap()), 7);
    }

    #[tokio::test]
    async fn one_can_wait_for_many() {
        let channel = Channel::new();
        let mut subscribers = [0; 3].map(|_| channel.subscribe(Delivery::Latest));
        let mut changes = subscribers[0].change_listener();
        for n in 1..=3 {
            publish(&channel, frame(n));
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
            publish(&channel, frame(n));
            assert_eq!(number(&next(&mut subscriber).await), n);
        }
    }

    #[tokio::test]
    async fn the_end_of_a_channel_comes_after_its_last_frame() {
        let channel = Channel::new();
        let mut latest = channel.subscribe(Delivery::Latest);
        let mut in_order = channel.subscribe(Delivery::InOrder);
        publish(&channel, frame(1));
        publish(&channel, frame(2));
        drop(channel);
        assert_eq!(number(&next(&mut latest).await), 2);
        assert!(soon("the end", latest.next()).await.is_none());
        assert_eq!(number(&next(&mut in_order).await), 1);
        assert_eq!(number(&next(&mut in_order).await), 2);
        assert!(soon("the end", in_order.next()).await.is_none());
    }

    #[test]
    fn nothing_is_published_after_the_end() {
        let channel = Channel::new();
        let mut subscriber = channel.subscribe(Delivery::InOrder);
        let publisher = channel.publisher();
        channel.end();
        assert!(!publisher.publish(frame(1), EPOCH) && !publisher.publish_slate(frame(2)));
        assert!(!channel.publisher().publish(frame(3), EPOCH));
        assert!(subscriber.try_next().is_none() && subscriber.current().is_none());
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
    async fn a_hidden_channel_shows_nothing_until_a_frame_or_slate_comes() {
        let channel = Channel::new();
        publish(&channel, frame(1));
        channel.hide();
        let mut subscriber = channel.subscribe(Delivery::Latest);
        assert!(subscriber.try_next().is_none());
        assert!(subscriber.current().is_none());
        assert_eq!(number_of(&channel.newest().unwrap().data), Some(1), "it is kept");
        assert!(channel.publisher().publish_slate(frame(50)));
        let slate = next(&mut subscriber).await;
        assert!(slate.is_slate && number(&slate) == 50);
        channel.hide();
        publish(&channel, frame(2));
        let live = next(&mut subscriber).await;
        assert!(!live.is_slate && number(&live) == 2);
    }

    #[test]
    fn what_was_begun_before_the_channel_was_hidden_does_not_come_out_after() {
        let channel = Channel::new();
        let mut subscriber = channel.subscribe(Delivery::Latest);
        let publisher = channel.publisher();
        assert!(publisher.publish(frame(1), EPOCH));
        assert_eq!(number(&subscriber.try_next().unwrap()), 1);
        channel.hide();
        assert!(!publisher.publish(frame(2), EPOCH) && !publisher.publish_slate(frame(3)));
        assert!(subscriber.try_next().is_none());
        assert!(channel.publisher().publish_slate(frame(4)));
        assert!(subscriber.try_next().unwrap().is_slate);
    }

    #[test]
    fn a_frame_of_an_earlier_opening_does_not_cover_one_of_a_later() {
        let channel = Channel::new();
        let later = Epoch { number: 2, ..EPOCH };
        assert!(channel.publisher().publish(frame(2), later));
        assert!(!channel.publisher().publish(frame(1), EPOCH));
        assert_eq!(channel.subscribe(Delivery::Latest).try_next().unwrap().epoch, later);
    }

    #[tokio::test]
    async fn a_resumed_channel_shows_its_newest_frame_to_those_who_have_not_seen_it() {
        let channel = Channel::new();
        let mut present = channel.subscribe(Delivery::Latest);
        publish(&channel, frame(1));
        assert!(present.try_next().is_some());
        channel.hide();
        let mut new = channel.subscribe(Delivery::Latest);
        channel.resume();
        assert_eq!(number(&next(&mut new).await), 1);
        assert!(present.try_next().is_none());
    }

    #[tokio::test]
    async fn what_stands_can_be_asked_for_again_and_again() {
        let channel = Channel::new();
        let mut subscriber = channel.subscribe(Delivery::Latest);
        assert!(subscriber.current().is_none());
        publish(&channel, frame(1));
        let first = subscriber.current().unwrap();
        assert_eq!(subscriber.current().unwrap().sequence, first.sequence);
        assert!(subscriber.try_next().is_none(), "it was seen");
    }

    #[test]
    fn what_stands_tells_what_was_skipped_and_takes_no_frame_from_who_reads_in_order() {
        let channel = Channel::new();
        let mut latest = channel.subscribe(Delivery::Latest);
        let mut in_order = channel.subscribe(Delivery::InOrder);
        publish(&channel, keyframe(0, 8, 1024));
        assert_eq!(number(&latest.try_next().unwrap()), 0);
        assert_eq!(number(&in_order.try_next().unwrap()), 0);
        for n in 1..=3 {
            publish(&channel, keyframe(n, 8, 1024));
        }
        assert!(channel.publisher().publish_slate(frame(90)));
        let (slate, beside) = (latest.current().unwrap(), in_order.current().unwrap());
        assert!(slate.is_slate && beside.is_slate && beside.is_discontinuity);
        assert_eq!((slate.skipped, latest.skipped(), in_order.skipped()), (3, 3, 0));
        publish(&channel, keyframe(4, 8, 1024));
        channel.resume();
        latest.current();
        for n in 1..=4 {
            assert_eq!(number(&in_order.try_next().unwrap()), n);
        }
        publish(&channel, keyframe(8, 8, 1024));
        assert_eq!(latest.try_next().unwrap().skipped, 1, "frame 4; the three before were told");
    }

    #[test]
    fn the_newest_frame_is_one_that_a_decoder_can_start_at_and_its_age_is_that_of_the_very_newest() {
        let channel = Channel::new();
        for n in 0..=2 {
            publish(&channel, keyframe(n, 8, 1024));
        }
        assert_eq!(number(&channel.newest_update().unwrap()), 0);
        assert_eq!(channel.newest_captured_at(), Some(keyframe(2, 8, 1024).captured_at));
        assert!(channel.publisher().publish(keyframe(3, 8, 1024), Epoch { number: 2, ..EPOCH }));
        assert!(channel.newest().is_none(), "the keyframe is of an earlier opening");
    }

    #[tokio::test]
    async fn the_number_of_subscribers_can_be_watched() {
        let channel = Channel::new();
        let mut demand = channel.watch_subscriber_count();
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
            publish(&channel, frame(n));
        }
        assert_eq!(channel.state.ring().len(), 10);
        drop(subscriber);
        publish(&channel, frame(10));
        assert_eq!(channel.state.ring().len(), 1);
    }

    #[test]
    fn threads_that_subscribe_publish_and_leave_see_only_frames_in_order() {
        let channel = Channel::new();
        publish(&channel, frame(0));
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
            scope.spawn(|| (1..5000).for_each(|n| publish(&channel, frame(n))));
        });
        assert_eq!(channel.subscriber_count(), 0);
        assert_eq!(number_of(&channel.newest().unwrap().data), Some(4999));
    }
}
