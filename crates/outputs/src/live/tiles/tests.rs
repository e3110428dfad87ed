#![warn(clippy::disallowed_methods)]

use std::future::poll_fn;
use std::time::SystemTime;

use framecast_hub::Channel;
use framecast_media::Frame;
use framecast_testkit::{frame, soon};

use super::*;
use crate::live::message::PlayedCodecs;
use crate::publish::Publish;

const MILLIS_100: Duration = Duration::from_millis(100);

/// A connection with one tile, number 1.
struct OneTile {
    feed: Arc<Feed>,
    tiles: Tiles,
    now: Instant,
    /// How long after the last picture the next one is sent.
    step: Duration,
    published: u64,
}

impl OneTile {
    fn new() -> Self {
        let hub = Hub::new();
        let feed = hub.add("door", SystemTime::UNIX_EPOCH).unwrap();
        let (tiles, now) =
            (Tiles::new(hub, Viewers::default(), VideoPackers::default(), None), Instant::now());
        Self { feed, tiles, now, step: MILLIS_100, published: 0 }
    }

    /// Subscribes with adaptation.
    fn subscribe(&mut self, rendition: Rendition, fps: Option<f64>) -> TilePace {
        let size_px = [rendition.width_px(), rendition.height_px()];
        let subscription = Subscribe {
            tile: 1,
            camera: "door".to_owned(),
            fps,
            rendition,
            size_px,
            priority: 1,
            adapt: true,
            plays_mp4: false,
            codecs: PlayedCodecs::ALL,
        };
        self.tiles.subscribe(&subscription).unwrap()
    }

    fn channel(&self, rendition: Rendition) -> Channel {
        let renditions = self.feed.renditions();
        let known = renditions.borrow().iter().find(|(known, _)| *known == rendition).cloned();
        known.map(|(_, channel)| channel).unwrap_or_else(|| self.feed.main_channel().clone())
    }

    /// Returns the renditions that were asked for so far.
    fn asked(&self) -> Vec<Rendition> {
        self.feed.renditions().borrow().iter().map(|(rendition, _)| *rendition).collect()
    }

    fn frame(&mut self, width_px: u32) -> Frame {
        self.published += 1;
        let mut frame = frame(self.published);
        let mut format = (*frame.format).clone();
        format.width_px = width_px;
        frame.format = Arc::new(format);
        frame
    }

    /// Publishes `count` frames in `channel`, and sends the last one over a link of 250 kB/s as a picture of 76 kB.
    /// Returns what [`Tiles::sent`] returns.
    async fn send(&mut self, channel: &Channel, width_px: u32, count: u32) -> Option<Duration> {
        for _ in 0..count {
            channel.publish(self.frame(width_px));
        }
        let event = soon("a picture", poll_fn(|cx| self.tiles.poll_tile_event(cx))).await;
        assert_eq!(event, TileEvent::Picture(1));
        self.now += self.step;
        let sent_px = self.tiles.newest(1).unwrap().frame.format.width_px;
        assert_eq!(sent_px, width_px);
        self.tiles.wait(1, self.now);
        self.tiles.sent(1, (sent_px, 76_000), Some(250_000), self.now)
    }

    /// Sends `pictures` pictures, and skips two frames before each.
    async fn fall_behind(&mut self, channel: &Channel, width_px: u32, pictures: u32) {
        for _ in 0..pictures {
            self.send(channel, width_px, 3).await;
        }
    }
}

fn width(width_px: u32) -> Rendition {
    Rendition::default().with_width(width_px)
}

#[tokio::test]
async fn a_tile_that_grows_may_shrink_again_although_its_last_small_picture_was_sent_later() {
    let mut tile = OneTile::new();
    tile.subscribe(width(320), None);
    let (small, own) = (tile.channel(width(320)), tile.channel(Rendition::default()));
    tile.send(&small, 320, 1).await;
    tile.subscribe(Rendition::default(), None);
    tile.fall_behind(&small, 320, 2).await;
    tile.fall_behind(&own, 1280, 30).await;
    assert_eq!(tile.asked(), [width(320), width(640)]);
}

#[tokio::test]
async fn a_tile_that_shrinks_is_never_sent_more_than_it_asked_for() {
    let mut tile = OneTile::new();
    tile.subscribe(Rendition::default(), None);
    let own = tile.channel(Rendition::default());
    tile.fall_behind(&own, 1920, 2).await;
    tile.subscribe(width(640), None);
    tile.fall_behind(&own, 1920, 30).await;
    assert_eq!(tile.asked(), [width(640)], "what it asked for is not given up");
    let small = tile.channel(width(640));
    tile.fall_behind(&small, 640, 30).await;
    assert_eq!(tile.asked(), [width(640), width(320)]);
}

#[tokio::test]
async fn a_tile_that_was_slow_is_behind_until_all_pictures_arrive_whatever_it_asks_for() {
    let mut tile = OneTile::new();
    let own = tile.channel(Rendition::default());
    tile.subscribe(width(320), None);
    let small = tile.channel(width(320));
    tile.send(&small, 320, 1).await;
    assert!(!tile.tiles.is_behind(1));
    tile.fall_behind(&small, 320, 1).await;
    for _ in 0..16 {
        assert!(tile.tiles.is_behind(1));
        tile.send(&small, 320, 1).await;
    }
    assert!(!tile.tiles.is_behind(1));
    tile.subscribe(Rendition::default(), None);
    tile.send(&own, 1280, 1).await;
    assert!(!tile.tiles.is_behind(1));
}

#[tokio::test]
async fn a_link_that_carries_the_rate_of_the_rendition_is_fast_enough() {
    let mut tile = OneTile::new();
    // Three pictures a second arrive, and two are made.
    assert_eq!(tile.subscribe(width(640), Some(2.0)).interval, Duration::ZERO);
    let made = width(640).with_fps(2.0);
    let channel = tile.channel(made);
    tile.fall_behind(&channel, 640, 30).await;
    assert_eq!(tile.asked(), [made]);
}

#[tokio::test]
async fn smaller_pictures_are_made_at_the_rate_asked_for_and_then_not_held_back() {
    let mut tile = OneTile::new();
    let own = tile.channel(Rendition::default());
    let interval = Duration::from_millis(100);
    assert_eq!(tile.subscribe(Rendition::default(), Some(10.0)).interval, interval);
    tile.step = Duration::from_secs(1);
    tile.fall_behind(&own, 1280, 4).await;
    let made = width(640).with_fps(10.0);
    assert_eq!(tile.asked(), [made]);
    assert_eq!(tile.feed.viewer_count(), 1, "it is one viewer all the time");
    let smaller = tile.channel(made);
    assert_eq!(tile.send(&smaller, 640, 1).await, Some(Duration::ZERO));
    assert_eq!((tile.tiles.viewer(1).unwrap().rendition(), tile.feed.viewer_count()), (made, 1));
    assert_eq!(tile.subscribe(Rendition::default(), Some(10.0)).interval, Duration::ZERO);
    assert_eq!(tile.subscribe(Rendition::default(), Some(12.5)).interval, Duration::from_millis(80));
    assert_eq!(tile.asked(), [made, width(640).with_fps(15.0)], "another rate changes no size");
    tile.tiles.remove(1);
    assert_eq!(tile.feed.viewer_count(), 0);
}

#[test]
fn pictures_that_are_made_at_the_rate_asked_for_are_not_held_back() {
    let small = Rendition::default().with_width(320);
    assert_eq!(interval(Some(15.0), small.with_fps(15.0)), Duration::ZERO);
    assert_eq!(interval(Some(12.5), small.with_fps(12.5)), Duration::from_millis(80), "fifteen are made");
    assert_eq!(interval(Some(10.0), Rendition::default()), Duration::from_millis(100));
    assert_eq!(interval(None, small), Duration::ZERO);
}
