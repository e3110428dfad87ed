#![warn(clippy::disallowed_methods)]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use framecast_media::{Codec, ColorRange, Format, Frame, PixelFormat, Timestamp};
use framecast_testkit::{frame, keyframe, number_of, soon};

use super::*;
use crate::epoch::Epoch;

fn feed() -> Feed {
    Feed::new(1, "yard".to_owned(), ViewerLimits::default(), None, SystemTime::UNIX_EPOCH)
}

fn raw(n: u64) -> Frame {
    let codec = Codec::Raw(PixelFormat::Grey, ColorRange::Full);
    let mut frame = frame(n);
    frame.format = Arc::new(Format::new(codec, 1, 1));
    frame
}

/// Publishes `frame` as the first of an epoch.
fn publish(feed: &Feed, frame: Frame) {
    assert!(feed.begin_epoch(Anchor::of(&frame)).publish(frame));
}

fn small() -> Rendition {
    Rendition::default().with_width(320)
}

#[tokio::test]
async fn a_raw_frame_is_for_encoders_and_a_jpeg_for_viewers_too_and_one_ring_holds_each() {
    let feed = feed();
    let mut viewer = feed.watch(Rendition::default(), Delivery::Latest).unwrap();
    let mut encoder = feed.subscribe_to_source();
    publish(&feed, raw(1));
    assert!(feed.needs_encoder() && viewer.try_next().is_none());
    let update = soon("the raw frame", encoder.next_update()).await.unwrap();
    assert!(update.frame.format.codec.is_raw());
    let raw_channel = feed.source_channel().clone();
    publish(&feed, frame(2));
    assert_eq!(number_of(&viewer.try_next().unwrap().frame.data), Some(2));
    let update = soon("the JPEG", encoder.next_update()).await.unwrap();
    assert_eq!(number_of(&update.frame.data), Some(2));
    assert!(feed.source_channel().is_same_channel(feed.main_channel()) && !feed.needs_encoder());
    assert!(raw_channel.newest().is_none(), "nothing keeps the raw frame");
    assert_eq!((feed.stats().frames, feed.main_channel().subscriber_count()), (2, 1));
}

#[tokio::test]
async fn an_encoder_that_waits_hears_that_the_frames_come_in_another_channel() {
    let feed = feed();
    publish(&feed, frame(1));
    let mut encoder = feed.subscribe_to_source();
    assert!(encoder.current().is_some());
    let waiting = tokio::spawn(async move { encoder.next_update().await.unwrap() });
    tokio::task::yield_now().await;
    publish(&feed, raw(2));
    let update = soon("the raw frame", waiting).await.unwrap();
    assert!(update.frame.format.codec.is_raw());
}

/// A frame of coded video. Frame 0 and each tenth one are keyframes.
fn video(n: u64) -> Frame {
    let mut frame = keyframe(n, 10, 2000);
    frame.format = Arc::new(Format::new(Codec::H264, 16, 16));
    frame
}

#[tokio::test]
async fn video_is_for_those_who_play_it_and_its_jpeg_is_made_while_somebody_watches_jpeg() {
    let feed = feed();
    let mut jpeg_viewer = feed.watch(Rendition::default(), Delivery::Latest).unwrap();
    let mut publisher = feed.begin_epoch(Anchor::of(&video(0)));
    (0..15).for_each(|n| assert!(publisher.publish(video(n))));
    assert_eq!(feed.source_kind(), SourceKind::Video);
    assert!(feed.needs_encoder() && jpeg_viewer.try_next().is_none());
    let mut player = feed.subscribe_to_video(feed.demand(DemandKind::Viewer));
    let got: Vec<_> =
        std::iter::from_fn(|| player.try_next()).map(|update| number_of(&update.frame.data)).collect();
    assert_eq!(got, (10..15).map(Some).collect::<Vec<_>>(), "the newest GOP");
    assert_eq!(feed.viewer_count(), 2);

    drop(jpeg_viewer);
    let mut encoder = feed.subscribe_to_source();
    assert_eq!(feed.main_channel().subscriber_count(), 1, "a rendition needs the JPEG");
    let epoch = Epoch { number: 1, anchor: Anchor::of(&frame(1)) };
    feed.main_channel().publisher().publish(frame(7), epoch);
    let update = soon("the JPEG", encoder.next_update()).await.unwrap();
    assert_eq!(number_of(&update.frame.data), Some(7));
}

#[tokio::test]
async fn slates_of_a_camera_with_video_are_shown_to_viewers_of_jpeg() {
    let feed = feed();
    let mut viewer = feed.watch(Rendition::default(), Delivery::Latest).unwrap();
    publish(&feed, video(0));
    feed.suspend();
    feed.slate_publisher().publish(frame(99));
    assert!(viewer.try_next().is_some_and(|update| update.is_slate));
    let late = feed.slate_publisher();
    publish(&feed, video(10));
    late.publish(frame(98));
    assert!(viewer.try_next().is_none(), "the camera is live again");
    assert!(feed.video_channel().subscribe(Delivery::InOrder).try_next().is_some());
}

#[test]
fn the_publisher_of_an_earlier_opening_does_nothing() {
    let feed = feed();
    let anchor = Anchor::of(&frame(1));
    let mut first = feed.begin_epoch(anchor);
    assert!(first.publish(frame(1)));
    let mut second = feed.begin_epoch(anchor);
    assert!(!first.publish(frame(2)) && second.publish(frame(3)));
    feed.suspend();
    assert!(!second.publish(frame(4)));
    let mut third = feed.begin_epoch(anchor);
    assert!(third.publish(frame(5)));
    feed.end_epoch();
    assert!(!third.publish(frame(6)));
    let mut last = feed.begin_epoch(anchor);
    feed.end();
    assert!(!last.publish(frame(7)) && !feed.begin_epoch(anchor).publish(frame(8)));
    feed.slate_publisher().publish(frame(9));
    assert!(!feed.main_channel().subscribe(Delivery::Latest).try_next().unwrap().is_slate);
    assert_eq!((feed.stats().frames, number_of(&feed.main_channel().newest().unwrap().data)), (3, Some(5)));
}

#[test]
fn an_epoch_tells_the_subscribers_of_itself_and_of_a_clock_that_was_set() {
    let feed = feed();
    let mut viewer = feed.watch(Rendition::default(), Delivery::Latest).unwrap();
    let mut next = |publisher: &mut Publisher, frame| {
        assert!(publisher.publish(frame));
        let update = viewer.try_next().unwrap();
        (update.epoch, update.is_discontinuity, update.frame)
    };
    let late = Duration::from_secs(3600);
    let mut first = feed.begin_epoch(Anchor::new(SystemTime::UNIX_EPOCH + late));
    let (epoch, is_discontinuity, _) = next(&mut first, frame(30));
    assert!(is_discontinuity && epoch.anchor == Anchor::of(&frame(30)), "its first frame corrects it");
    assert!(!next(&mut first, frame(60)).1);
    let mut after = frame(90);
    after.wall_time += late;
    let (set, is_discontinuity, _) = next(&mut first, after);
    assert!(is_discontinuity && set.number == epoch.number);
    assert_eq!(set.anchor.distance(epoch.anchor), late);
    let mut second = feed.begin_epoch(Anchor::of(&frame(30)));
    let (epoch, is_discontinuity, _) = next(&mut second, frame(30));
    assert!(is_discontinuity && epoch.number > set.number);
    let mut back = frame(120);
    back.dts = Timestamp::default();
    assert_eq!(next(&mut second, back).2.dts, frame(30).dts, "decoding time never decreases");
}

#[test]
fn video_whose_frames_are_shown_in_another_order_has_a_rate() {
    let feed = feed();
    let mut publisher = feed.begin_epoch(Anchor::of(&frame(30)));
    for number in 30..60 {
        // Of three frames, the first one is shown last.
        let shown = number + [3, 0, 0][number as usize % 3];
        let mut video = frame(shown);
        video.dts = frame(number).dts;
        assert!(publisher.publish(video));
    }
    let rate = feed.stats().frames_per_second.expect("frames have come");
    assert!((29.0..31.0).contains(&rate), "{rate}");
}

#[test]
fn an_anchor_does_not_follow_a_picture_that_keeps_its_time_of_capture() {
    let feed = feed();
    let mut viewer = feed.watch(Rendition::default(), Delivery::Latest).unwrap();
    let anchor = Anchor::of(&frame(30));
    let mut publisher = feed.begin_epoch(anchor);
    for second in 1..=10 {
        let mut still = frame(30 * second);
        still.captured_at = SystemTime::UNIX_EPOCH;
        assert!(publisher.publish(still));
        let update = viewer.try_next().unwrap();
        assert_eq!((update.epoch.anchor, update.is_discontinuity), (anchor, second == 1));
    }
    feed.slate_publisher().publish(frame(330));
    assert_eq!(viewer.try_next().unwrap().frame.pts, frame(330).pts, "it is drawn a second later");
}

#[test]
fn a_slate_does_not_cover_a_newer_frame_and_has_the_time_of_its_drawing() {
    let feed = feed();
    let mut viewer = feed.watch(Rendition::default(), Delivery::Latest).unwrap();
    let mut publisher = feed.begin_epoch(Anchor::of(&frame(30)));
    let slates = feed.slate_publisher();
    assert!(publisher.publish(frame(30)));
    slates.publish(frame(90));
    assert!(!viewer.try_next().unwrap().is_slate);
    feed.slate_publisher().publish(frame(90));
    let slate = viewer.try_next().unwrap();
    assert!(slate.is_slate && !slate.is_discontinuity);
    assert_eq!(slate.frame.pts, frame(90).pts);
}

#[test]
fn a_slate_covers_an_older_frame_that_was_encoded_late() {
    let feed = feed();
    publish(&feed, raw(1));
    let slates = feed.slate_publisher();
    let epoch = Epoch { number: 1, anchor: Anchor::new(SystemTime::UNIX_EPOCH) };
    assert!(feed.main_channel().publisher().publish(frame(1), epoch));
    slates.publish(frame(90));
    assert!(feed.main_channel().subscribe(Delivery::Latest).try_next().unwrap().is_slate);
    publish(&feed, raw(2));
    assert!(feed.main_channel().publisher().publish(frame(2), epoch));
    slates.publish(frame(91));
    assert!(!feed.main_channel().subscribe(Delivery::Latest).try_next().unwrap().is_slate);
}

#[test]
fn a_slate_that_meets_the_next_frame_does_not_cover_its_encoded_picture() {
    const ROUNDS: u64 = 50_000;
    let feed = feed();
    let (device, picture) = (raw(0), frame(0));
    let mut publisher = feed.begin_epoch(Anchor::of(&device));
    let mut viewer = feed.main_channel().subscribe(Delivery::Latest);
    assert!(publisher.publish(device.clone()));
    let begun = AtomicU64::new(0);
    let (mut refused, mut covered) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while begun.load(Ordering::SeqCst) < ROUNDS {
                let slates = feed.slate_publisher();
                let mut slate = picture.clone();
                slate.captured_at =
                    SystemTime::UNIX_EPOCH + Duration::from_secs(begun.load(Ordering::SeqCst));
                slates.publish(slate);
            }
        });
        for round in 1..=ROUNDS {
            begun.store(round, Ordering::SeqCst);
            let encoder = feed.main_channel().publisher();
            let epoch = Epoch { number: 1, anchor: Anchor::of(&device) };
            let is_published = publisher.publish(device.clone());
            refused += u64::from(!(is_published && encoder.publish(picture.clone(), epoch)));
            let shown = viewer.current().expect("a picture was published");
            // The slate was begun before the device's frame.
            let is_old = shown.frame.captured_at < SystemTime::UNIX_EPOCH + Duration::from_secs(round);
            covered += u64::from(shown.is_slate && is_old);
        }
    });
    assert_eq!((refused, covered), (0, 0));
}

#[test]
fn a_demand_says_why_the_camera_is_open() {
    let feed = feed();
    let viewer = feed.subscribe(Delivery::Latest, feed.demand(DemandKind::Viewer));
    let snapshot = feed.demand(DemandKind::Snapshot);
    let counts = feed.demand_counts();
    assert_eq!((counts.viewers, counts.snapshots, counts.clients()), (1, 1, 2));
    drop((viewer, snapshot));
    assert_eq!(feed.viewer_count(), 0);
}

#[test]
fn viewers_of_all_renditions_are_the_demand_and_encoders_are_none() {
    let feed = feed();
    let demand = feed.watch_demand();
    let _encoder = feed.subscribe_to_source();
    assert_eq!(demand.borrow().clients(), 0);
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
    assert_eq!(demand.borrow().clients(), 0);
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
        let demand = Some(feed.demand(DemandKind::Viewer));
        feed.watch_from(Some(IpAddr::from([192, 0, 2, last])), of(quality), Delivery::Latest, demand)
    };
    let mut viewers: Vec<Subscriber> = [30, 40, 50, 60, 60].map(|quality| watch(1, quality).unwrap()).into();
    let refusal = watch(1, 70).unwrap_err();
    assert_eq!(refusal.watched, [30, 40, 50, 60].map(of));
    assert!(refusal.to_string().contains("for this address"), "{refusal}");
    let others = watch(2, 70).unwrap();
    assert!(watch(1, 70).is_err(), "it could hold it when the other has gone");
    assert!(
        feed.watch_from(
            Some(IpAddr::from([192, 0, 2, 1])),
            Rendition::default(),
            Delivery::Latest,
            Some(feed.demand(DemandKind::Viewer))
        )
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
    let epoch = Epoch { number: 1, anchor: Anchor::new(SystemTime::UNIX_EPOCH) };
    let publisher = channel.publisher();
    assert!(publisher.publish(frame(1), epoch));
    publish(&feed, frame(1));
    feed.suspend();
    assert!(small.try_next().is_none());
    assert!(!publisher.publish(frame(2), epoch), "what was being encoded is out of date");
    feed.slate_publisher().publish(frame(3));
    let mut encoder = feed.subscribe_to_source();
    assert!(encoder.current().unwrap().is_slate);
    assert!(feed.main_channel().subscribe(Delivery::Latest).try_next().unwrap().is_slate);
}

#[test]
fn only_a_channel_that_holds_the_newest_frame_is_resumed() {
    let feed = feed();
    publish(&feed, frame(1));
    feed.suspend();
    feed.resume();
    assert!(feed.main_channel().subscribe(Delivery::Latest).try_next().is_some());
    publish(&feed, raw(2));
    feed.suspend();
    feed.resume();
    assert!(feed.main_channel().subscribe(Delivery::Latest).try_next().is_none(), "it holds frame 1");
    assert!(feed.source_channel().subscribe(Delivery::Latest).try_next().is_some());
}
