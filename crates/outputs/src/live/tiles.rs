//! What each tile (one camera's place on the client's page) of a connection shows: a camera's channel, read through a
//! subscriber.
//!
//! A tile either waits for an update of its channel, or has an update and waits for its turn. On its turn it sends the
//! newest frame of that moment. The tiles hold no pictures. The order of turns and the limits on sending belong to the
//! scheduler.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use framecast_hub::{Delivery, DemandKind, Feed, Hub, Rendition, Subscriber, TooManyRenditions, Update};
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::{FuturesUnordered, Stream};
use tokio::time::Instant;

use super::adaptation::{SentTile, TileAdaptation};
use super::message::Subscribe;
use super::scheduler::TilePace;
use crate::viewers::SkipCounter;
use crate::{HttpError, Transport, ViewerGuard, Viewers, client_key, rendition};

/// The tiles of one connection.
#[derive(Debug)]
pub(super) struct Tiles {
    hub: Hub,
    viewers: Viewers,
    peer: Option<IpAddr>,
    shown: BTreeMap<u16, ShownTile>,
    waiting: FuturesUnordered<Wait>,
    /// The number of watches (subscriptions of a tile to a channel) created so far, which is also the id of the newest.
    /// By the id, an update of a watch that was dropped is recognised and ignored.
    watches: u64,
}

/// A future that completes when a channel has a new frame or has ended. It returns the subscriber.
type Wait = Abortable<Pin<Box<dyn Future<Output = Wakeup> + Send>>>;

struct Wakeup {
    tile: u16,
    watch: u64,
    subscriber: Subscriber,
    has_picture: bool,
}

/// What happened in the channel that a tile shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TileEvent {
    /// The tile of this number has a picture that was not sent yet.
    Picture(u16),
    /// The tile of this number will get no more pictures.
    End(u16),
}

#[derive(Debug)]
struct ShownTile {
    viewer: ViewerGuard,
    feed: Arc<Feed>,
    /// The subscription whose pictures the tile shows; `None` while the tile is paused, so that no encoder works for
    /// it.
    watch: Option<Watch>,
    /// A subscription to another size or quality, which replaces the current one as soon as the new one has a picture;
    /// `None` if no change is under way.
    next: Option<Watch>,
    /// The number of frames that the tile skipped in its subscriptions before the current one.
    passed: u64,
    /// The minimum time between two pictures.
    interval: Duration,
    skips: SkipCounter,
    /// The adaptation of the picture size to the link; `None` if the client did not request it.
    adapt: Option<TileAdaptation>,
}

/// A tile's subscription to one channel: a camera in one size and quality.
#[derive(Debug)]
struct Watch {
    id: u64,
    rendition: Rendition,
    /// The subscriber while there is a picture to send. Otherwise `None`, because the future that waits for a picture
    /// owns the subscriber.
    subscriber: Option<Subscriber>,
    wait: AbortHandle,
    /// The number of frames that were ready to send, but replaced by newer ones before the tile's turn.
    overtaken: u64,
    /// The number of frames that the subscriber skipped because newer ones replaced them.
    passed: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.wait.abort();
    }
}

impl Watch {
    fn all_passed(&self) -> u64 {
        self.overtaken + self.passed
    }
}

impl ShownTile {
    fn new(viewer: ViewerGuard, feed: Arc<Feed>) -> Self {
        let (interval, skips) = (Duration::ZERO, SkipCounter::default());
        Self { viewer, feed, watch: None, next: None, passed: 0, interval, skips, adapt: None }
    }

    fn shows(&self) -> Option<Rendition> {
        self.watch.as_ref().map(|watch| watch.rendition)
    }

    /// Starts, keeps or ends the adaptation of the picture size, as `adapt` says. `requested` is the size and quality
    /// that the client requests. Returns the size and quality to show.
    fn adapt_from(&mut self, requested: Rendition, adapt: bool) -> Rendition {
        self.adapt = self.adapt.take().filter(|known| adapt && known.requested() == requested);
        if let Some(known) = &mut self.adapt {
            return known.stay();
        }
        self.adapt = adapt.then(|| TileAdaptation::new(requested));
        requested
    }

    fn will_show(&self) -> Option<Rendition> {
        self.next.as_ref().map(|watch| watch.rendition)
    }

    /// Replaces the tile's current subscription with `watch`. Adds the frames that the old subscription skipped to the
    /// tile's `passed`.
    fn replace(&mut self, watch: Option<Watch>) {
        let before = std::mem::replace(&mut self.watch, watch);
        self.passed += before.map(|watch| watch.all_passed()).unwrap_or_default();
    }

    /// Makes `watch` the tile's subscription: at once if the tile has none, otherwise as soon as `watch` has a picture.
    fn take(&mut self, watch: Watch) {
        let place = if self.watch.is_some() { &mut self.next } else { &mut self.watch };
        *place = Some(watch);
    }

    fn pause(&mut self) {
        self.next = None;
        self.replace(None);
    }
}

impl Tiles {
    pub(super) fn new(hub: Hub, viewers: Viewers, peer: Option<IpAddr>) -> Self {
        let (shown, waiting) = (BTreeMap::new(), FuturesUnordered::new());
        Self { hub, viewers, peer, shown, waiting, watches: 0 }
    }

    /// Makes a tile show what `subscription` requests from now on. Returns how often and with what priority the tile
    /// gets pictures.
    ///
    /// # Errors
    /// A text that says why this is not possible. The tile then shows nothing.
    pub(super) fn subscribe(&mut self, subscription: &Subscribe) -> Result<TilePace, String> {
        let shown = self.show(subscription);
        if shown.is_err() {
            self.remove(subscription.tile);
        }
        let (feed, rendition) = shown?;
        let interval = interval(subscription.fps, rendition);
        self.change(subscription.tile, |tile| tile.interval = interval);
        Ok(TilePace { interval, priority: subscription.priority, latency_budget: feed.latency_budget() })
    }

    fn show(&mut self, subscription: &Subscribe) -> Result<(Arc<Feed>, Rendition), String> {
        let unknown = || HttpError::no_such_camera(&subscription.camera, &self.hub).message;
        let feed = self.hub.get(&subscription.camera).ok_or_else(unknown)?;
        let rendition = rendition::limit_fps(subscription.rendition, subscription.fps, &feed);
        if self.camera(subscription.tile) != Some(feed.name()) {
            // The old viewer is removed first, so that it does not count when the limits decide on the new viewer.
            self.remove(subscription.tile);
            let viewer = self
                .viewers
                .admit(&feed, self.peer, Transport::Live)
                .map_err(|limit_reached| limit_reached.to_string())?;
            self.shown.insert(subscription.tile, ShownTile::new(viewer, Arc::clone(&feed)));
        }
        let known = self.shown.get_mut(&subscription.tile);
        let rendition = known.map_or(rendition, |tile| tile.adapt_from(rendition, subscription.adapt));
        if subscription.priority == 0 {
            self.change(subscription.tile, |tile| {
                tile.viewer.set_rendition(rendition);
                tile.pause();
            });
            return Ok((feed, rendition));
        }
        let begun = self.begin(subscription.tile, &feed, rendition);
        let rendition = match begun {
            Ok(()) => rendition,
            // The limit on renditions is reached: an existing size is better than no picture.
            Err(TooManyRenditions { watched, .. }) => {
                let nearest = rendition::nearest(&watched, rendition);
                self.begin(subscription.tile, &feed, nearest).map_err(|error| error.to_string())?;
                nearest
            }
        };
        self.change(subscription.tile, |tile| tile.viewer.set_rendition(rendition));
        Ok((feed, rendition))
    }

    /// Makes an existing tile show `feed` in `rendition`, as soon as there is a picture in this size and quality.
    fn begin(&mut self, tile: u16, feed: &Feed, rendition: Rendition) -> Result<(), TooManyRenditions> {
        match self.shown.get(&tile).map(|tile| (tile.shows(), tile.will_show())) {
            Some((Some(shown), _)) if shown == rendition => self.change(tile, |tile| tile.next = None),
            Some((Some(_), Some(next))) if next == rendition => {}
            _ => {
                let watch = self.watch(tile, feed, rendition)?;
                self.change(tile, |tile| tile.take(watch));
            }
        }
        Ok(())
    }

    fn change(&mut self, tile: u16, change: impl FnOnce(&mut ShownTile)) {
        if let Some(tile) = self.shown.get_mut(&tile) {
            change(tile);
        }
    }

    fn watch(&mut self, tile: u16, feed: &Feed, rendition: Rendition) -> Result<Watch, TooManyRenditions> {
        let client = self.peer.map(client_key);
        let subscriber =
            feed.watch_from(client, rendition, Delivery::Latest, feed.demand(DemandKind::Viewer))?;
        self.watches += 1;
        let wait = self.wait_with(tile, self.watches, subscriber);
        Ok(Watch { id: self.watches, rendition, subscriber: None, wait, overtaken: 0, passed: 0 })
    }

    fn wait_with(&self, tile: u16, watch: u64, mut subscriber: Subscriber) -> AbortHandle {
        let (handle, registration) = AbortHandle::new_pair();
        let waiting: Pin<Box<dyn Future<Output = Wakeup> + Send>> = Box::pin(async move {
            let has_picture = subscriber.next_update().await.is_some();
            Wakeup { tile, watch, subscriber, has_picture }
        });
        self.waiting.push(Abortable::new(waiting, registration));
        handle
    }

    /// Removes a tile from the connection.
    pub(super) fn remove(&mut self, tile: u16) {
        self.shown.remove(&tile);
    }

    /// Returns the next update of any tile. Pending while no tile has an update.
    pub(super) fn poll_tile_event(&mut self, cx: &mut Context<'_>) -> Poll<TileEvent> {
        while let Poll::Ready(Some(wakeup)) = Pin::new(&mut self.waiting).poll_next(cx) {
            // An aborted wait drops its subscriber here.
            if let Some(event) = wakeup.ok().and_then(|wakeup| self.on_wakeup(wakeup)) {
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }

    fn on_wakeup(&mut self, wakeup: Wakeup) -> Option<TileEvent> {
        let tile = self.shown.get_mut(&wakeup.tile)?;
        if tile.next.as_ref().is_some_and(|next| next.id == wakeup.watch) {
            let next = tile.next.take();
            tile.replace(next);
        }
        let watch = tile.watch.as_mut().filter(|watch| watch.id == wakeup.watch)?;
        watch.subscriber = Some(wakeup.subscriber);
        Some(if wakeup.has_picture { TileEvent::Picture(wakeup.tile) } else { TileEvent::End(wakeup.tile) })
    }

    /// Returns the newest picture of the channel that the tile shows. Returns `None` if the channel has nothing to show
    /// any more.
    pub(super) fn newest(&mut self, tile: u16) -> Option<Update> {
        let watch = self.shown.get_mut(&tile)?.watch.as_mut()?;
        let subscriber = watch.subscriber.as_mut()?;
        if let Some(newer) = subscriber.try_next() {
            watch.overtaken += 1;
            return Some(newer);
        }
        subscriber.current()
    }

    /// Makes a tile wait for the next update of its channel. The tile's last picture was sent at `now`.
    pub(super) fn wait(&mut self, tile: u16, now: Instant) {
        let Some(shown) = self.shown.get_mut(&tile) else { return };
        let Some(watch) = &mut shown.watch else { return };
        let (id, Some(subscriber)) = (watch.id, watch.subscriber.take()) else { return };
        watch.passed = subscriber.skipped();
        let passed = shown.passed + watch.all_passed();
        shown.viewer.skipped(shown.skips.count(passed, shown.interval, now));
        let wait = self.wait_with(tile, id, subscriber);
        self.change(tile, |shown| {
            if let Some(watch) = &mut shown.watch {
                watch.wait = wait;
            }
        });
    }

    /// Changes a tile to a smaller or larger picture size if the client requested adaptation and the link requires the
    /// change. A picture of `width_px` pixels and `bytes` bytes was just sent at `now`. `bytes_per_second` is how much
    /// of the link's speed the tile gets.
    pub(super) fn adapt(
        &mut self,
        tile: u16,
        (width_px, bytes): (u32, usize),
        bytes_per_second: Option<u64>,
        now: Instant,
    ) {
        let Some(shown) = self.shown.get_mut(&tile) else { return };
        let Some(adapt) = &mut shown.adapt else { return };
        if shown.next.is_none()
            && let Some(rendition) = adapt.switched(now)
        {
            shown.viewer.set_rendition(rendition);
        }
        let requested_fps = 1.0 / shown.interval.as_secs_f64();
        let max_fps = requested_fps.min(shown.feed.frames_per_second().unwrap_or(f64::INFINITY));
        let skipped_frames = shown.viewer.skipped_frames();
        let sent = SentTile { bytes, width_px, skipped_frames, max_fps, bytes_per_second };
        let Some(rendition) = adapt.sent(now, sent) else { return };
        let feed = Arc::clone(&shown.feed);
        // If the limit on renditions is reached, the tile keeps its size.
        if self.begin(tile, &feed, rendition).is_err() {
            self.change(tile, |shown| shown.adapt.iter_mut().for_each(|adapt| adapt.failed(now)));
        }
    }

    /// Returns the guard that registers a tile as a viewer; `None` if there is no such tile.
    pub(super) fn viewer(&mut self, tile: u16) -> Option<&mut ViewerGuard> {
        self.shown.get_mut(&tile).map(|tile| &mut tile.viewer)
    }

    /// Returns the name of a tile's camera; `None` if there is no such tile.
    pub(super) fn camera(&self, tile: u16) -> Option<&str> {
        self.shown.get(&tile).map(|tile| tile.feed.name())
    }
}

/// Returns the minimum time between two pictures of a tile. This is zero if `rendition` already limits its frame rate
/// to `fps` or less: a second limit, whose intervals begin at other times, would delay each picture.
fn interval(fps: Option<f64>, rendition: Rendition) -> Duration {
    match (fps, rendition.fps()) {
        (Some(asked), Some(made)) if f64::from(made) <= asked => Duration::ZERO,
        (Some(asked), _) => Duration::from_secs_f64(1.0 / asked),
        (None, _) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_are_made_at_the_rate_asked_for_are_not_held_back() {
        let small = Rendition::default().with_width(320);
        assert_eq!(interval(Some(15.0), small.with_fps(15.0)), Duration::ZERO);
        assert_eq!(interval(Some(12.5), small.with_fps(12.5)), Duration::from_millis(80), "fifteen are made");
        assert_eq!(interval(Some(10.0), Rendition::default()), Duration::from_millis(100));
        assert_eq!(interval(None, small), Duration::ZERO);
    }
}
