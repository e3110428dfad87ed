//! Viewers see new and complete pictures, and never an old one that passes for live.

use std::time::Duration;

use framecast::CameraState;
use framecast_testkit::{TestViewer, get, number_of, soon};
use framecast_testkit_server::camera::{Act, Camera, PLAY};
use framecast_testkit_server::server::{AN_HOUR, Server, settings};

use crate::frozen_clock::FrozenClock;

#[tokio::test]
async fn a_slow_viewer_skips_to_the_newest_picture() {
    let camera = Camera::new("door", Act::Play { fps: 100, len_bytes: 64 << 10 });
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open_with_small_buffer(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    let target = camera.newest() + 100;
    camera.wait_newest(target).await;
    // First the pictures that were on their way when the viewer stopped reading, and then new ones.
    let mut old = 0;
    while soon("a picture", viewer.next_number()).await.unwrap() < target {
        old += 1;
    }
    assert!(old <= 10, "{old} old pictures of 100 came before a new one");
    server.stop().await;
}

#[tokio::test]
async fn pictures_come_whole_in_order_and_once_each_however_slowly_they_are_read() {
    let camera = Camera::new("door", Act::Play { fps: 200, len_bytes: 100_000 });
    let mut settings = settings(&[&camera]);
    settings.cameras[0].max_fps = 1000.0;
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open_with_small_buffer(server.address, "/video_feed").await.unwrap();
    let mut last = 0;
    for read in 0..40 {
        let seen = soon("a picture", viewer.next()).await.unwrap();
        let header = framecast::codec::jpeg::parse_markers(seen.data()).unwrap();
        assert_eq!((header.len_bytes, seen.data().len()), (100_000, 100_000));
        let number = number_of(seen.data()).unwrap();
        assert!(number > last, "{number} after {last}");
        last = number;
        // Meanwhile the camera yields none to four further pictures.
        camera.wait_newest(camera.newest() + read % 5).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn who_comes_to_an_idle_camera_is_not_shown_its_old_picture() {
    let camera = Camera::new("door", PLAY);
    camera.claim_age(Duration::from_secs(2));
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    drop(viewer);
    server.wait_state("door", CameraState::Idle).await;

    camera.act(Act::Deaf);
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let first = soon("word of the opening", viewer.next()).await.unwrap();
    assert!(first.is_slate() && first.number.is_none());
    camera.act(PLAY);
    soon("pictures", viewer.next_number()).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn who_comes_within_a_second_of_the_last_picture_sees_it_at_once() {
    let camera = Camera::new("door", PLAY);
    camera.claim_youth(AN_HOUR);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    drop(viewer);
    camera.wait_closed(1).await;
    server.wait_state("door", CameraState::Idle).await;
    let last = camera.newest();

    camera.act(Act::Deaf);
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let first = soon("the last picture", viewer.next()).await.unwrap();
    assert!(!first.is_slate());
    assert!(first.number.unwrap() + 3 >= last, "{:?} is not among the last before {last}", first.number);
    let told = viewer.next_where(|seen| seen.is_slate());
    soon("it does not pass for live for long", told).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn who_comes_to_a_lost_camera_is_told_at_once() {
    let camera = Camera::new("door", PLAY);
    camera.claim_youth(AN_HOUR);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    camera.act(Act::Fail("the cable is out"));
    server.wait_state("door", CameraState::Lost).await;
    let mut late = TestViewer::open(server.address, "/video_feed").await.unwrap();
    assert!(soon("a slate", late.next()).await.unwrap().is_slate());
    server.stop().await;
}

#[tokio::test]
async fn the_last_picture_is_sent_again_while_nothing_new_comes() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    camera.act(Act::Silent);
    let mut number = soon("a picture", viewer.next_number()).await.unwrap();
    let mut again = 0;
    while again < 2 {
        let next = soon("the same again", viewer.next_number()).await.unwrap();
        again = if next == number { again + 1 } else { 0 };
        number = next;
    }
    assert_eq!(number, camera.newest());
    server.stop().await;
}

#[tokio::test]
async fn a_viewer_that_asks_for_five_pictures_a_second_is_not_sent_more() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed?fps=5").await.unwrap();
    let is_of_camera = |seen: &framecast_testkit::ReceivedPicture| seen.number.is_some();
    let first = soon("a picture", viewer.next_where(is_of_camera)).await.unwrap();
    let mut last = first.clone();
    for _ in 0..6 {
        last = soon("a picture", viewer.next_where(is_of_camera)).await.unwrap();
    }
    let span = last.captured_at().unwrap().duration_since(first.captured_at().unwrap()).unwrap();
    // Six intervals of 200 ms by the capture times. The last picture may have been several intervals old when the
    // server sent it.
    assert!(span >= Duration::from_millis(900), "seven pictures within {span:?}");

    let refused = get(server.address, "/video_feed?fps=0").await.unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("fps=0"));
    server.stop().await;
}

#[tokio::test]
async fn who_comes_while_the_camera_closes_gets_pictures() {
    let camera = Camera::new("door", PLAY);
    camera.close_slowly(Duration::from_millis(500));
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    drop(viewer);
    camera.wait_closing(1).await;
    let before = camera.newest();
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let new = viewer.next_where(|seen| seen.number.is_some_and(|number| number > before));
    soon("new pictures", new).await.unwrap();
    assert_eq!((camera.opened(), camera.closed()), (2, 1));
    server.stop().await;
}

#[tokio::test]
async fn a_camera_that_falls_silent_says_so_before_it_is_lost() {
    let camera = Camera::new("door", PLAY);
    let mut settings = settings(&[&camera]);
    settings.cameras[0].stall_timeout = Some(Duration::from_secs(4));
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    camera.act(Act::Silent);
    let told = viewer.next_where(|seen| seen.is_slate());
    soon("a slate", told).await.unwrap();
    assert_eq!(server.feed("door").status().state, CameraState::Live);
    camera.act(PLAY);
    soon("pictures again", viewer.next_number()).await.unwrap();
    assert_eq!(camera.opened(), 1);
    server.stop().await;
}

#[tokio::test]
async fn who_asks_for_one_picture_again_and_again_keeps_the_camera_open() {
    let camera = Camera::new("door", PLAY);
    let mut settings = settings(&[&camera]);
    settings.cameras[0].idle_timeout = Some(Duration::from_secs(2));
    let server = Server::start(settings, &[&camera]).await;
    assert_eq!(get(server.address, "/snapshot.jpg").await.unwrap().status, 200);
    let clock = FrozenClock::stop();
    for _ in 0..30 {
        clock.advance(Duration::from_millis(100)).await;
        assert_eq!(get(server.address, "/snapshot.jpg").await.unwrap().status, 200);
    }
    assert_eq!(server.feed("door").status().state, CameraState::Live);
    assert_eq!((camera.opened(), camera.closed()), (1, 0));
    clock.advance(Duration::from_millis(2001)).await;
    drop(clock);
    camera.wait_closed(1).await;
    server.stop().await;
}

#[tokio::test]
async fn who_waits_for_pictures_in_the_program_is_told_of_the_end() {
    let camera = Camera::new("door", Act::Deaf);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let feed = server.feed("door");
    let mut subscriber =
        feed.subscribe(framecast::Delivery::InOrder, feed.demand(framecast::DemandKind::Viewer));
    server.stop().await;
    assert!(soon("the end", subscriber.next()).await.is_none());
}
