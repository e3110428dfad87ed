//! Tests of streams that are sent as response bodies. The clock of the tests advances only when all tasks wait.
#![warn(clippy::disallowed_methods)]

mod video;

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use bytes::Bytes;
use framecast_hub::{CameraState, CameraStatus, Hub};
use framecast_media::container::multipart::{Parser, ParserEvent, Part};
use framecast_testkit::{cut_short, frame, frame_of_len, number_of, pause};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::ServiceExt;

use super::*;
use crate::EndReason;
use crate::publish::Publish;

const RESEND: Duration = Duration::from_millis(1100);

struct Server {
    routes: Router,
    feed: Arc<Feed>,
    viewers: Viewers,
    shutdown: CancellationToken,
}

impl Server {
    fn new() -> Self {
        let hub = Hub::new();
        let feed = hub.add("door", SystemTime::UNIX_EPOCH).unwrap();
        feed.set_status(CameraStatus::new(CameraState::Live, SystemTime::UNIX_EPOCH));
        let shutdown = CancellationToken::new();
        let (viewers, config) = (Viewers::default(), Config { resend_after: RESEND, ..Config::default() });
        let streamer = Streamer::new(config, viewers.clone(), shutdown.clone());
        let routes = routes(hub, streamer);
        Self { routes, feed, viewers, shutdown }
    }

    /// Returns the reasons of all streams that have ended, one entry for each stream.
    fn endings(&self) -> Vec<EndReason> {
        let totals = self.viewers.camera_totals();
        let counted = totals.iter().flat_map(|(_, totals)| totals.endings());
        counted.flat_map(|(ending, count)| vec![ending; count as usize]).collect()
    }

    /// Returns the renditions (sizes, qualities and frame rates) that the current viewers receive.
    fn sent(&self) -> Vec<Rendition> {
        self.viewers.list().iter().map(|stats| stats.rendition()).collect()
    }

    async fn watch(&self, query: &str) -> Stream {
        let request = Request::get(format!("/video_feed{query}")).body(Body::empty()).unwrap();
        let response = self.routes.clone().oneshot(request).await.unwrap();
        Stream { body: response.into_body(), parser: Parser::new(Some("frame")) }
    }

    /// Publishes a hundred frames a second from now on. The first frame has the number 1.
    fn play(&self) {
        let feed = Arc::clone(&self.feed);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            for number in 1.. {
                ticks.tick().await;
                feed.publish(frame(number));
            }
        });
    }
}

/// The client's side of a stream, which reads only when the test asks for a part.
struct Stream {
    body: Body,
    parser: Parser,
}

impl Stream {
    async fn chunk(&mut self) -> Option<Bytes> {
        Some(self.body.frame().await?.unwrap().into_data().unwrap())
    }

    async fn part(&mut self) -> Part {
        loop {
            match self.parser.next_event().unwrap() {
                Some(ParserEvent::Part(part)) => return part,
                Some(ParserEvent::End) => panic!("the stream ended"),
                None => {
                    let chunk = self.chunk().await.expect("the stream goes on");
                    self.parser.push(&chunk);
                }
            }
        }
    }

    async fn number(&mut self) -> u64 {
        number_of(&self.part().await.body).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn each_chunk_is_a_whole_part_and_the_boundary_after_it() {
    let server = Server::new();
    server.feed.publish(frame(1));
    let mut standard = server.watch("").await;
    assert_eq!(standard.chunk().await.unwrap(), "--frame\r\n");
    let part = standard.chunk().await.unwrap();
    assert!(part.starts_with(b"Content-Type: image/jpeg\r\nContent-Length: "));
    assert!(part.ends_with(b"\xFF\xD9\r\n--frame\r\n"));

    let mut ahead = server.watch("?advance_headers=1").await;
    assert_eq!(ahead.chunk().await.unwrap(), "--frame\r\nContent-Type: image/jpeg\r\n\r\n");
    let part = ahead.chunk().await.unwrap();
    assert!(
        part.starts_with(b"\xFF\xD8") && part.ends_with(b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n")
    );
}

#[tokio::test(start_paused = true)]
async fn a_frame_is_packed_once_for_all_viewers() {
    let server = Server::new();
    let mut viewers = [server.watch("").await, server.watch("").await, server.watch("?fps=50").await];
    for n in 1..4 {
        server.feed.publish(frame(n));
        let mut places = Vec::new();
        for viewer in &mut viewers {
            if n == 1 {
                viewer.chunk().await.unwrap();
            }
            places.push(viewer.chunk().await.unwrap().as_ptr());
        }
        assert!(places.iter().all(|place| *place == places[0]), "one buffer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_viewer_is_given_the_newest_frame_when_it_asks() {
    let server = Server::new();
    let mut slow = server.watch("").await;
    server.feed.publish(frame(1));
    assert_eq!(slow.number().await, 1);
    for n in 2..=50 {
        server.feed.publish(frame(n));
    }
    assert_eq!(slow.number().await, 50);
}

#[tokio::test(start_paused = true)]
async fn a_picture_is_chosen_when_the_last_one_has_left_and_not_when_the_http_server_asks_for_it() {
    let server = Server::new();
    server.feed.publish(frame(1));
    let mut stream = server.watch("").await;
    stream.chunk().await.unwrap();
    let picture = stream.chunk().await.unwrap();
    for n in 2..=50 {
        server.feed.publish(frame(n));
        assert!(cut_short(Duration::from_millis(33), stream.chunk()).await.is_none(), "{n}");
    }
    let stats = &server.viewers.list()[0];
    assert_eq!((stats.queue_bytes(), stats.bytes_per_second()), (Some(picture.len() as u64), None));
    drop(picture);
    assert_eq!(stream.number().await, 50);
    assert!(cut_short(Duration::from_millis(33), stream.chunk()).await.is_none());
    assert_eq!(stats.queue_bytes(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_adapts_is_sent_smaller_pictures_when_its_pictures_leave_too_slowly() {
    let server = Server::new();
    let mut format = (*frame(1).format).clone();
    format.width_px = 1280;
    let format = Arc::new(format);
    let large = |n| {
        let mut frame = frame_of_len(76_000, n);
        frame.format = Arc::clone(&format);
        frame
    };
    let mut stream = server.watch("?adapt").await;
    stream.chunk().await.unwrap();
    let (mut number, mut made) = (0, None);
    while made.is_none() && number < 1000 {
        number += 1;
        server.feed.publish(large(number));
        // A picture, or a piece of one, leaves at 253 KB a second.
        let chunk = stream.chunk().await.unwrap();
        pause(Duration::from_secs_f64(chunk.len() as f64 / 253e3)).await;
        drop(chunk);
        made = server.feed.renditions().borrow().first().cloned();
    }
    let (rendition, smaller) = made.expect("a smaller size is asked for");
    assert_eq!(
        (rendition, server.sent()),
        (Rendition::default().with_width(640), vec![Rendition::default()])
    );
    let rate = server.viewers.list()[0].bytes_per_second().unwrap();
    assert!(rate.abs_diff(253_000) < 10_000, "{rate} bytes a second");
    smaller.publish(frame(1000));
    while stream.number().await != 1000 {}
    assert_eq!(server.sent(), [rendition]);
}

#[tokio::test(start_paused = true)]
async fn a_late_viewer_does_not_take_the_newest_part_from_the_others() {
    let packer =
        packer::Packers::default().get_or_create(1, framecast_hub::Rendition::default(), Boundary::Frame);
    let channel = framecast_hub::Channel::new();
    let [old, new] = [1, 2].map(|n| {
        channel.publish(frame(n));
        channel.newest_update().unwrap()
    });
    let part = |update| packer.part(Framing::Standard, packer::Packing::OneBuffer, update).into_bytes();
    let newest = part(&new);
    assert_ne!(newest, part(&old));
    assert_eq!(part(&new).as_ptr(), newest.as_ptr());
}

#[tokio::test(start_paused = true)]
async fn a_part_in_pieces_holds_the_drivers_picture_and_has_the_same_bytes() {
    let rendition = framecast_hub::Rendition::default();
    let packer = packer::Packers::default().get_or_create(1, rendition, Boundary::Frame);
    let channel = framecast_hub::Channel::new();
    channel.publish(frame(1));
    let update = channel.newest_update().unwrap();
    let [pieces, whole] = [packer::Packing::Pieces, packer::Packing::OneBuffer]
        .map(|packing| packer.part(Framing::Standard, packing, &update));
    assert_eq!(pieces.slices()[1].as_ptr(), update.frame.data.as_ptr());
    assert_eq!(pieces.into_bytes(), whole.into_bytes());
}

#[tokio::test(start_paused = true)]
async fn the_last_picture_is_sent_again_when_nothing_new_comes() {
    let server = Server::new();
    server.feed.publish(frame(1));
    let mut viewer = server.watch("").await;
    let start = Instant::now();
    for again in 0..3 {
        assert_eq!(viewer.number().await, 1);
        assert_eq!(start.elapsed(), RESEND * again);
    }
    server.feed.publish(frame(2));
    assert_eq!(viewer.number().await, 2);
    assert_eq!(start.elapsed(), RESEND * 2);
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_must_not_pass_for_live_is_not_sent_again() {
    let server = Server::new();
    server.feed.publish(frame(1));
    let mut viewer = server.watch("").await;
    assert_eq!(viewer.number().await, 1);
    server.feed.main_channel().hide();
    let feed = Arc::clone(&server.feed);
    tokio::spawn(async move {
        pause(RESEND * 5).await;
        feed.main_channel().publish_slate(frame(99));
    });
    let start = Instant::now();
    let part = viewer.part().await;
    assert_eq!((number_of(&part.body), part.header("x-framecast-notice")), (Some(99), Some("1")));
    assert_eq!(start.elapsed(), RESEND * 5);
    server.feed.publish(frame(2));
    let part = viewer.part().await;
    assert_eq!((number_of(&part.body), part.header("x-framecast-notice")), (Some(2), None));
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_without_drift_and_with_the_newest_pictures() {
    let server = Server::new();
    server.play();
    let mut viewer = server.watch("?fps=5").await;
    let first = viewer.number().await;
    let start = Instant::now();
    for n in 1..=20 {
        let number = viewer.number().await;
        assert_eq!(start.elapsed().as_millis() / 10, 20 * n, "picture {n}");
        assert!(number.abs_diff(first + 20 * n as u64) <= 1, "{number} is not the newest");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_viewer_is_not_followed_by_a_burst() {
    let server = Server::new();
    server.play();
    let mut viewer = server.watch("?fps=10").await;
    viewer.number().await;
    pause(Duration::from_secs(5)).await;
    let start = Instant::now();
    for _ in 0..11 {
        viewer.number().await;
    }
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(900), "eleven pictures within {elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_low_rate_is_not_raised_by_sending_again() {
    let server = Server::new();
    server.feed.publish(frame(1));
    let mut viewer = server.watch("?fps=0.1").await;
    viewer.number().await;
    let start = Instant::now();
    viewer.number().await;
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_counts_from_its_request_to_the_drop_of_its_body() {
    let server = Server::new();
    let viewer = server.watch("").await;
    assert_eq!(server.feed.main_channel().subscriber_count(), 1);
    drop(viewer);
    assert_eq!(server.feed.main_channel().subscriber_count(), 0);
    let head = Request::head("/video_feed").body(Body::empty()).unwrap();
    let response = server.routes.clone().oneshot(head).await.unwrap();
    assert_eq!((response.status().as_u16(), server.feed.main_channel().subscriber_count()), (200, 0));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_told_from_who_takes_nothing_by_what_was_left_untaken() {
    let server = Server::new();
    server.feed.publish(frame(1));
    let mut waiting = server.watch("").await;
    assert_eq!(waiting.number().await, 1);
    // The stream asks for the next picture, and none comes for a long time.
    assert!(cut_short(RESEND / 2, waiting.number()).await.is_none());
    drop(waiting);
    assert_eq!(server.endings(), [EndReason::Left]);

    let write_timeout = Config::default().write_timeout;
    for (time, ending) in [(write_timeout / 4, EndReason::Left), (write_timeout, EndReason::Stalled)] {
        let mut taking = server.watch("").await;
        taking.chunk().await.unwrap();
        pause(time).await;
        drop(taking);
        assert_eq!(server.endings().last(), Some(&ending));
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_camera_and_of_the_server_are_told_apart() {
    let server = Server::new();
    let mut stream = server.watch("").await;
    server.feed.end();
    while stream.chunk().await.is_some() {}
    drop(stream);
    assert_eq!(server.endings(), [EndReason::CameraEnded]);
    server.shutdown.cancel();
    let mut stream = server.watch("").await;
    while stream.chunk().await.is_some() {}
    drop(stream);
    assert_eq!(server.endings(), [EndReason::Shutdown, EndReason::CameraEnded]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_stream_with_its_last_boundary() {
    for query in ["", "?advance_headers=1", "?fps=0.01"] {
        let server = Server::new();
        server.feed.publish(frame(1));
        let mut viewer = server.watch(query).await;
        assert_eq!(viewer.number().await, 1);
        let ends = async {
            let closing = viewer.chunk().await.unwrap();
            assert_eq!(closing, "\r\n--frame--\r\n");
            assert!(viewer.chunk().await.is_none());
        };
        tokio::join!(ends, async { server.shutdown.cancel() });
    }
}

#[tokio::test(start_paused = true)]
async fn parameters_that_make_no_sense_are_refused_with_the_range() {
    let server = Server::new();
    for (query, word) in [
        ("fps=0", "from 0.01 to 1000"),
        ("fps=nan", "from 0.01 to 1000"),
        ("fps=-1", "from 0.01 to 1000"),
        ("fps=", "from 0.01 to 1000"),
        ("fps=1e9", "from 0.01 to 1000"),
        ("advance_headers=2", "one of 1, true, yes, on, 0, false, no, off"),
    ] {
        let request = Request::get(format!("/video_feed?{query}")).body(Body::empty()).unwrap();
        let response = server.routes.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 400, "{query}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains(word), "{body:?}");
    }
    assert_eq!(server.feed.main_channel().subscriber_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_image_is_shown_another_size_where_there_are_as_many_as_there_may_be_and_a_program_is_told() {
    let server = Server::new();
    let made = [160, 240, 320, 480, 640, 800, 960, 1280].map(|width| Rendition::default().with_width(width));
    let held: Vec<_> = made.iter().map(|made| server.feed.watch(*made, Delivery::Latest).unwrap()).collect();
    let ask = |query: &str, headers: [(&'static str, &'static str); 1]| {
        let mut request = Request::get(format!("/video_feed?{query}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        server.routes.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    let image = ("accept", "image/avif,image/webp,*/*;q=0.8");
    for (query, headers, sent) in [
        ("width=480&height=480", [image], made[3]),
        ("width=320&quality=50", [("sec-fetch-dest", "image")], made[2]),
        ("width=1600", [image], Rendition::default()),
    ] {
        let response = ask(query, headers).await.unwrap();
        assert_eq!((response.status().as_u16(), server.sent()), (200, vec![sent]), "{query}");
    }
    for accept in ["*/*", "text/html,image/webp"] {
        assert_eq!(ask("width=1600", [("accept", accept)]).await.unwrap().status(), 503, "{accept}");
    }
    assert_eq!((held.len(), server.sent()), (8, vec![]));
}
