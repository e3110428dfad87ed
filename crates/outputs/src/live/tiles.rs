//! What each tile (one camera's place on the client's page) of a connection shows: a camera's channel, read through a
//! subscriber. If the camera has a sub stream, the client may get its coded video in place of that of the main stream.
//!
//! A tile either waits for an update of its channel, or has an update and waits for its turn. On its turn it sends the
//! newest frame of that moment. The tiles hold no pictures. The order of turns and the limits on sending belong to the
//! scheduler.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use framecast_hub::{
    Delivery, Demand, DemandKind, Feed, Hub, ReadySet, Rendition, SourceKind, Subscriber, TooManyRenditions,
    Update, WakeRegistration,
};
use framecast_media::Error;
use tokio::time::Instant;

use super::adaptation::{Lag, SentTile, TileAdaptation};
use super::message::Subscribe;
use super::scheduler::TilePace;
use super::stream_choice::{StreamChoice, StreamFacts, StreamKind, StreamState};
use super::video_tile::{VideoMessage, VideoWatch};
use crate::video_packer::VideoPackers;
use crate::viewers::SkipCounter;
use crate::{HttpError, Transport, ViewerGuard, Viewers, client_key, rendition};

/// The number of bits of a tile's number.
const TILE_BITS: u32 = u16::BITS;

/// The tiles of one connection.
#[derive(Debug)]
pub(super) struct Tiles {
    hub: Hub,
    viewers: Viewers,
    peer: Option<IpAddr>,
    packers: VideoPackers,
    shown: BTreeMap<u16, ShownTile>,
    /// The queue of the watches (subscriptions of a tile to a channel) whose channels published something.
    ready_set: ReadySet,
    /// The watches that began to wait: their channels may have published something before.
    unchecked: VecDeque<usize>,
    /// The number of watches created so far.
    watches: usize,
}

/// What happened in the channel that a tile shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TileEvent {
    /// The tile of this number has a picture that was not sent yet.
    Picture(u16),
    /// The tile of this number has coded video that was not sent yet.
    Video(u16),
    /// The tile of this number will get no more pictures.
    End(u16),
}

/// What a tile shows of its camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TileContent {
    /// Slates, until the camera delivers its first frame: only then it is known what the camera delivers. Pictures are
    /// not asked for meanwhile, so that nothing makes pictures of coded video for a client that plays the video.
    Unknown,
    /// JPEG pictures.
    Pictures,
    /// The coded video of the camera.
    Video,
}

impl TileContent {
    /// Returns what a client that plays coded video gets of `feed`.
    fn for_player(feed: &Feed) -> Self {
        match feed.source_kind() {
            SourceKind::Video => Self::Video,
            SourceKind::Jpeg if feed.main_channel().newest_captured_at().is_none() => Self::Unknown,
            SourceKind::Jpeg | SourceKind::Raw => Self::Pictures,
        }
    }
}

#[derive(Debug)]
struct ShownTile {
    viewer: ViewerGuard,
    feed: Arc<Feed>,
    /// Keeps the camera open; `None` while the tile is paused, and while its `video` does so.
    demand: Option<Demand>,
    /// The subscription whose pictures the tile shows; `None` while the tile is paused, so that no encoder works for
    /// it.
    watch: Option<Watch>,
    /// A subscription to another size or quality, which replaces the current one as soon as the new one has a picture;
    /// `None` if no change is under way.
    next: Option<Watch>,
    /// The subscription to the coded video of the camera, or of its sub stream; `None` if the client does not play it,
    /// and while the tile is paused.
    video: Option<VideoWatch>,
    /// The subscription to the other stream of the camera, which replaces `video` as soon as it has a keyframe; `None` if
    /// no change is under way.
    next_video: Option<VideoWatch>,
    /// Which stream the tile should show; `None` if the camera has only one, and if the client plays no video.
    choice: Option<StreamChoice>,
    content: TileContent,
    /// The size and quality that the tile shows while it shows pictures.
    wanted: Rendition,
    /// The number of frames that the tile skipped in its subscriptions before the current one.
    passed: u64,
    /// The maximum number of pictures a second that the client takes; `None` for no limit.
    fps: Option<f64>,
    /// The minimum time between two pictures.
    interval: Duration,
    skips: SkipCounter,
    lag: Lag,
    /// The adaptation of the picture size to the link; `None` if the client did not request it.
    adapt: Option<TileAdaptation>,
}

/// A tile's subscription to one channel: a camera in one size and quality.
#[derive(Debug)]
struct Watch {
    /// The watch's token in the ready set: the number of the tile in the lower 16 bits, and above it the number of the
    /// watch, by which a wake-up for a watch that was dropped is recognised and ignored.
    token: usize,
    rendition: Rendition,
    subscriber: Subscriber,
    /// Wakes the connection's task when the channel publishes something. Paused while there is a picture to send, so
    /// that newer pictures wake nobody.
    registration: WakeRegistration,
    /// Whether the tile waits for a picture of this watch. Otherwise there is a picture to send.
    is_waiting: bool,
    /// The number of frames that were ready to send, but replaced by newer ones before the tile's turn.
    overtaken: u64,
    /// The number of frames that the subscriber skipped because newer ones replaced them.
    passed: u64,
}

impl Watch {
    /// Looks whether the channel has something new for a watch that waits. Returns true if there is a picture to send,
    /// and false if the channel has ended. Returns `None` if the watch still waits, or does not wait.
    fn check(&mut self) -> Option<bool> {
        if !self.is_waiting {
            return None;
        }
        let has_ended = self.subscriber.has_ended();
        let has_picture = self.subscriber.try_next().is_some();
        self.is_waiting = !has_picture && !has_ended;
        if self.is_waiting {
            return None;
        }
        self.registration.pause();
        Some(has_picture)
    }

    fn all_passed(&self) -> u64 {
        self.overtaken + self.passed
    }
}

impl ShownTile {
    fn new(viewer: ViewerGuard, feed: Arc<Feed>) -> Self {
        Self {
            viewer,
            feed,
            demand: None,
            watch: None,
            next: None,
            video: None,
            next_video: None,
            choice: None,
            content: TileContent::Pictures,
            wanted: Rendition::default(),
            passed: 0,
            fps: None,
            interval: Duration::ZERO,
            skips: SkipCounter::default(),
            lag: Lag::new(),
            adapt: None,
        }
    }

    fn shows(&self) -> Option<Rendition> {
        self.watch.as_ref().map(|watch| watch.rendition)
    }

    /// Starts, keeps or ends the adaptation of the picture size, as `subscription` says. `requested` is the size and
    /// quality that the client requests. Returns the size and quality to show.
    fn adapt_from(&mut self, requested: Rendition, subscription: &Subscribe) -> Rendition {
        let Subscribe { adapt, fps, .. } = *subscription;
        self.adapt = self.adapt.take().filter(|known| adapt && known.requested() == requested);
        if let Some(known) = &mut self.adapt {
            return known.stay(fps);
        }
        self.adapt = adapt.then(|| TileAdaptation::new(requested, fps));
        requested
    }

    /// Returns the number of pictures a second that there are to send: what the client takes, what is encoded, or what
    /// the camera delivers, whichever is least.
    fn max_fps(&self) -> f64 {
        let encoded = self.shows().and_then(|rendition| rendition.fps()).map(f64::from);
        let bounds = [self.fps, encoded, self.feed.frames_per_second()];
        bounds.into_iter().flatten().fold(f64::INFINITY, f64::min)
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
        self.keep_open();
        let place = if self.watch.is_some() { &mut self.next } else { &mut self.watch };
        *place = Some(watch);
    }

    /// Returns whether the tile needs neither pictures nor video.
    fn is_paused(&self) -> bool {
        self.demand.is_none() && self.video.is_none()
    }

    /// Keeps the camera open, unless the tile has video, which keeps its own stream open.
    fn keep_open(&mut self) {
        match &self.video {
            Some(_) => self.demand = None,
            None => drop(self.demand.get_or_insert_with(|| self.feed.demand(DemandKind::Viewer))),
        }
    }

    fn pause(&mut self) {
        (self.next, self.demand) = (None, None);
        self.replace(None);
        self.replace_video(None);
    }

    /// Replaces the subscription to coded video with `video`.
    fn replace_video(&mut self, video: Option<VideoWatch>) {
        self.next_video = None;
        let before = std::mem::replace(&mut self.video, video);
        self.passed += before.map(|video| video.dropped()).unwrap_or_default();
    }

    /// Returns which stream of the camera the tile should show now. With `Err`, the tile should show the main stream, but
    /// may begin with the sub stream, which is there at once.
    fn choose_stream(&mut self, now: Instant) -> Result<StreamKind, StreamKind> {
        let (Some(choice), Some(sub)) = (&mut self.choice, self.feed.sub()) else {
            return Ok(StreamKind::Main);
        };
        if let Some(video) = &self.video {
            choice.record(video.stream, video.dropped(), now);
        }
        let (main, sub) = (StreamFacts::of(&self.feed), StreamFacts::of(sub));
        match choice.choose(main, sub, now) {
            StreamKind::Main if choice.may_begin_with_sub(main, sub) => Err(StreamKind::Sub),
            chosen => Ok(chosen),
        }
    }

    /// Returns whether it is time to look which stream the tile should show.
    fn is_choice_due(&mut self) -> bool {
        let (Some(choice), Some(sub)) = (&mut self.choice, self.feed.sub()) else { return false };
        let states = [StreamState::of(&self.feed), StreamState::of(sub)];
        choice.is_due(states, Instant::now()) || self.next_video.is_some()
    }

    /// Returns whether `next_video` can be shown now, or there is nothing to be seen until then in its place.
    fn is_next_video_due(&self) -> bool {
        let Some(next) = &self.next_video else { return false };
        let is_shown = match self.content {
            TileContent::Unknown => false,
            TileContent::Pictures => self.watch.is_some(),
            TileContent::Video => self.video.as_ref().is_some_and(VideoWatch::is_live),
        };
        !is_shown || next.is_live() || TileContent::for_player(&next.feed) == TileContent::Pictures
    }

    /// Makes the tile show `content`. What it showed before ends, if that was something else.
    fn set_content(&mut self, content: TileContent) {
        if self.content != content {
            self.content = content;
            self.next = None;
            self.replace(None);
            self.video.iter_mut().for_each(VideoWatch::restart);
        }
    }

    /// Returns the subscription to coded video if the tile shows that.
    fn shown_video(&mut self) -> Option<&mut VideoWatch> {
        self.video.as_mut().filter(|_| self.content == TileContent::Video)
    }

    fn all_passed(&self) -> u64 {
        let watched = self.watch.as_ref().map(Watch::all_passed).unwrap_or_default();
        self.passed + watched + self.video.as_ref().map(VideoWatch::dropped).unwrap_or_default()
    }
}

impl Tiles {
    pub(super) fn new(hub: Hub, viewers: Viewers, packers: VideoPackers, peer: Option<IpAddr>) -> Self {
        let (shown, ready_set) = (BTreeMap::new(), ReadySet::default());
        Self { hub, viewers, peer, packers, shown, ready_set, unchecked: VecDeque::new(), watches: 0 }
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
        self.change(subscription.tile, |tile| (tile.fps, tile.interval) = (subscription.fps, interval));
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
        let rendition = known.map_or(rendition, |tile| tile.adapt_from(rendition, subscription));
        if subscription.priority == 0 {
            self.change(subscription.tile, |tile| {
                tile.viewer.set_rendition(rendition);
                tile.pause();
            });
            return Ok((feed, rendition));
        }
        self.change(subscription.tile, |tile| {
            if tile.is_paused() {
                tile.viewer.asks();
            }
        });
        let content = self.prepare(subscription, &feed);
        let rendition = self.show_content(subscription.tile, content, rendition)?;
        self.change(subscription.tile, |tile| tile.viewer.set_rendition(rendition));
        Ok((feed, rendition))
    }

    /// Subscribes a tile to the coded video of `feed` if its client plays that. Returns what the tile shows now.
    fn prepare(&mut self, subscription: &Subscribe, feed: &Arc<Feed>) -> TileContent {
        let number = subscription.tile;
        let Some(tile) = self.shown.get_mut(&number) else { return TileContent::Pictures };
        if !subscription.plays_mp4 {
            tile.choice = None;
            if tile.video.is_some() {
                // The camera must not be without a demand in between.
                tile.demand = Some(feed.demand(DemandKind::Viewer));
                tile.replace_video(None);
            }
            return TileContent::Pictures;
        }
        match &mut tile.choice {
            Some(choice) => choice.update(subscription),
            none => *none = feed.sub().map(|_| StreamChoice::new(subscription)),
        }
        if tile.video.is_none() {
            let stream = tile.choose_stream(Instant::now()).unwrap_or_else(|at_once| at_once);
            let video = self.new_video(number, feed, stream);
            self.change(number, |tile| {
                tile.set_content(TileContent::for_player(&video.feed));
                tile.video = Some(video);
            });
        }
        self.follow_stream(number);
        let video = self.shown.get(&number).and_then(|tile| tile.video.as_ref());
        TileContent::for_player(video.map_or(feed, |video| &video.feed))
    }

    fn new_video(&mut self, number: u16, feed: &Arc<Feed>, stream: StreamKind) -> VideoWatch {
        let token = self.new_token(number);
        VideoWatch::new(feed, stream, &self.packers, &self.ready_set, token)
    }

    /// Begins, completes or gives up the change of a tile to another stream of its camera. Returns whether the tile shows
    /// another stream now.
    fn follow_stream(&mut self, number: u16) -> bool {
        let Some(tile) = self.shown.get_mut(&number) else { return false };
        let Some(shown) = tile.video.as_ref().map(|video| video.stream) else { return false };
        let chosen = tile.choose_stream(Instant::now()).unwrap_or(StreamKind::Main);
        if chosen == shown {
            tile.next_video = None;
            return false;
        }
        if tile.next_video.is_none() {
            let feed = Arc::clone(&tile.feed);
            let next = self.new_video(number, &feed, chosen);
            self.change(number, |tile| tile.next_video = Some(next));
        }
        let tile = self.shown.get_mut(&number).filter(|tile| tile.is_next_video_due());
        let Some(tile) = tile else { return false };
        let next = tile.next_video.take();
        tile.replace_video(next);
        // Whatever the tile shows of the new stream, it begins anew.
        tile.next = None;
        tile.replace(None);
        true
    }

    /// Makes an existing tile show `content` of its stream; pictures in the size and quality `wanted`, or in the nearest
    /// that can be had. Returns the rendition that the tile shows.
    fn show_content(
        &mut self,
        number: u16,
        content: TileContent,
        wanted: Rendition,
    ) -> Result<Rendition, String> {
        let Some(tile) = self.shown.get_mut(&number) else { return Ok(wanted) };
        tile.wanted = wanted;
        tile.set_content(content);
        tile.keep_open();
        let feed = Arc::clone(&tile.feed);
        match content {
            TileContent::Pictures => self.begin_nearest(number, &feed, wanted),
            TileContent::Unknown => {
                let streamed = tile.video.as_ref().map_or(&feed, |video| &video.feed);
                let slates = streamed.main_channel().observe(Delivery::Latest);
                if tile.watch.is_none() {
                    let watch = self.new_watch(number, wanted, slates);
                    self.change(number, |tile| tile.take(watch));
                }
                Ok(wanted)
            }
            TileContent::Video => {
                let video = self.shown.get_mut(&number).and_then(ShownTile::shown_video);
                if let Some(video) = video {
                    video.wait();
                    self.unchecked.push_back(video.token);
                }
                Ok(Rendition::default())
            }
        }
    }

    /// Makes a tile whose client plays coded video follow its camera, which may deliver something else now, or whose
    /// other stream may suit the tile better.
    fn follow(&mut self, number: u16) {
        let is_choice_due = self.shown.get_mut(&number).is_some_and(ShownTile::is_choice_due);
        let is_other_stream = is_choice_due && self.follow_stream(number);
        let Some(tile) = self.shown.get(&number) else { return };
        let Some(video) = &tile.video else { return };
        let content = TileContent::for_player(&video.feed);
        if content == tile.content && !is_other_stream {
            return;
        }
        let (feed, wanted) = (Arc::clone(&tile.feed), tile.wanted);
        // Of the camera's own pictures there is no limit.
        let shown = self.show_content(number, content, wanted).or_else(|_| {
            let own = Rendition::default();
            self.begin(number, &feed, own).map(|()| own)
        });
        if let Ok(rendition) = shown {
            self.change(number, |tile| {
                tile.interval = interval(tile.fps, rendition);
                tile.viewer.set_rendition(rendition);
            });
        }
    }

    /// Makes an existing tile show `feed` in `wanted`, or in the nearest rendition that can be had. Returns which.
    fn begin_nearest(&mut self, tile: u16, feed: &Feed, wanted: Rendition) -> Result<Rendition, String> {
        match self.begin(tile, feed, wanted) {
            Ok(()) => Ok(wanted),
            // The limit on renditions is reached: an existing size is better than no picture.
            Err(TooManyRenditions { watched, .. }) => {
                let nearest = rendition::nearest(&watched, wanted);
                self.begin(tile, feed, nearest).map_err(|error| error.to_string())?;
                Ok(nearest)
            }
        }
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
        let subscriber = feed.watch_from(client, rendition, Delivery::Latest, None)?;
        Ok(self.new_watch(tile, rendition, subscriber))
    }

    fn new_watch(&mut self, tile: u16, rendition: Rendition, subscriber: Subscriber) -> Watch {
        let token = self.new_token(tile);
        let registration = subscriber.register(&self.ready_set, token);
        self.unchecked.push_back(token);
        let (is_waiting, overtaken, passed) = (true, 0, 0);
        Watch { token, rendition, subscriber, registration, is_waiting, overtaken, passed }
    }

    fn new_token(&mut self, tile: u16) -> usize {
        self.watches = self.watches.wrapping_add(1);
        self.watches << TILE_BITS | usize::from(tile)
    }

    /// Removes a tile from the connection.
    pub(super) fn remove(&mut self, tile: u16) {
        self.shown.remove(&tile);
    }

    /// Returns the next update of any tile. Pending while no tile has an update.
    pub(super) fn poll_tile_event(&mut self, cx: &mut Context<'_>) -> Poll<TileEvent> {
        loop {
            let token = match self.unchecked.pop_front() {
                Some(token) => token,
                None => ready!(self.ready_set.poll_ready(cx)),
            };
            if let Some(event) = self.check(token) {
                return Poll::Ready(event);
            }
        }
    }

    /// Looks whether the channel of the watch with this `token` has something new.
    fn check(&mut self, token: usize) -> Option<TileEvent> {
        // Cuts off the number of the watch.
        let number = token as u16;
        self.follow(number);
        let tile = self.shown.get_mut(&number)?;
        if let Some(video) = tile.shown_video().filter(|video| video.token == token) {
            let has_next = video.check()?;
            return Some(if has_next { TileEvent::Video(number) } else { TileEvent::End(number) });
        }
        let is_it = |watch: &Option<Watch>| watch.as_ref().is_some_and(|watch| watch.token == token);
        let is_next = is_it(&tile.next);
        let watch = if is_next { &mut tile.next } else { &mut tile.watch };
        let has_picture = watch.as_mut().filter(|watch| watch.token == token)?.check()?;
        if is_next {
            let next = tile.next.take();
            tile.replace(next);
        }
        Some(if has_picture { TileEvent::Picture(number) } else { TileEvent::End(number) })
    }

    /// Returns the newest picture of the channel that the tile shows. Returns `None` if the channel has nothing to show
    /// any more.
    pub(super) fn newest(&mut self, tile: u16) -> Option<Update> {
        let watch = self.shown.get_mut(&tile)?.watch.as_mut()?;
        if watch.is_waiting {
            return None;
        }
        if let Some(newer) = watch.subscriber.try_next() {
            watch.overtaken += 1;
            return Some(newer);
        }
        watch.subscriber.current()
    }

    /// Returns whether the tile shows coded video.
    pub(super) fn is_video(&mut self, tile: u16) -> bool {
        self.shown.get_mut(&tile).is_some_and(|tile| tile.shown_video().is_some())
    }

    /// Returns what a tile of coded video sends next; `None` if it has nothing to send.
    ///
    /// # Errors
    /// If the video does not go into fragmented MP4.
    pub(super) fn next_video(&mut self, tile: u16) -> Result<Option<VideoMessage>, Error> {
        let video = self.shown.get_mut(&tile).and_then(ShownTile::shown_video);
        video.map_or(Ok(None), VideoWatch::next)
    }

    /// Makes a tile wait for the next update of its channel. The tile's last picture was sent at `now`.
    pub(super) fn wait(&mut self, tile: u16, now: Instant) {
        let Some(shown) = self.shown.get_mut(&tile) else { return };
        let mut interval = shown.interval;
        if let Some(video) = shown.shown_video() {
            video.wait();
            interval = Duration::ZERO;
            self.unchecked.push_back(video.token);
        } else if let Some(watch) = shown.watch.as_mut().filter(|watch| !watch.is_waiting) {
            watch.is_waiting = true;
            watch.registration.resume();
            self.unchecked.push_back(watch.token);
            watch.passed = watch.subscriber.skipped();
        } else {
            return;
        }
        let passed = shown.all_passed();
        shown.viewer.skipped(shown.skips.count(passed, interval, now));
    }

    /// Records that a picture of `width_px` pixels and `bytes` bytes was just sent at `now`, and changes a tile to a
    /// smaller or larger picture size if the client requested adaptation and the link requires the change.
    /// `bytes_per_second` is how much of the link's speed the tile gets. Returns the minimum time between two of the
    /// tile's pictures from now on; `None` if it stays as it is.
    pub(super) fn sent(
        &mut self,
        tile: u16,
        (width_px, bytes): (u32, usize),
        bytes_per_second: Option<u64>,
        now: Instant,
    ) -> Option<Duration> {
        let shown = self.shown.get_mut(&tile)?;
        shown.lag.sent(shown.viewer.skipped_frames());
        // The link need not carry more pictures than there are. Their rate is looked up only if the link is too slow.
        let bytes_per_second = bytes_per_second.filter(|_| shown.lag.is_behind());
        let max_fps = bytes_per_second.map_or(f64::INFINITY, |_| shown.max_fps());
        let adapt = shown.adapt.as_mut()?;
        if shown.next.is_some() && !adapt.is_changing() {
            // The client has requested another size, and the picture still had the former size.
            return None;
        }
        let mut changed_interval = None;
        if shown.next.is_none()
            && let Some(rendition) = adapt.switched(now)
        {
            shown.viewer.set_rendition(rendition);
            shown.interval = interval(shown.fps, rendition);
            changed_interval = Some(shown.interval);
        }
        let sent = SentTile { bytes, width_px, max_fps, bytes_per_second };
        if let Some(rendition) = adapt.sent(now, sent) {
            let feed = Arc::clone(&shown.feed);
            // If the limit on renditions is reached, the tile keeps its size.
            if self.begin(tile, &feed, rendition).is_err() {
                self.change(tile, |shown| shown.adapt.iter_mut().for_each(|adapt| adapt.failed(now)));
            }
        }
        changed_interval
    }

    /// Returns whether a tile has skipped frames of late, because the link is too slow for all of its pictures.
    pub(super) fn is_behind(&self, tile: u16) -> bool {
        self.shown.get(&tile).is_some_and(|tile| tile.lag.is_behind())
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
mod tests;
