//! Viewers that do not read.

use std::time::Duration;

use framecast_testkit::{TestViewer, get, soon};
use framecast_testkit_server::camera::{Act, Camera};
use framecast_testkit_server::server::{Server, settings};

const LARGE: Act = Act::Play { fps: 100, len_bytes: 64 << 10 };

#[tokio::test]
async fn a_viewer_that_stops_reading_is_gone_after_the_write_timeout_and_nobody_else_notices() {
    let camera = Camera::new("door", LARGE);
    let mut settings = settings(&[&camera]);
    settings.write_timeout = Duration::from_millis(300);
    let server = Server::start(settings, &[&camera]).await;
    let mut reading = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let mut stalled = Vec::new();
    for _ in 0..5 {
        let mut viewer = TestViewer::open_with_small_buffer(server.address, "/video_feed").await.unwrap();
        soon("a picture", viewer.next_number()).await.unwrap();
        stalled.push(viewer);
    }
    server.wait_viewers("door", 6).await;
    let gone = server.wait_viewers("door", 1);
    let mut last = 0;
    let reads = async {
        loop {
            let number = reading.next_number().await.unwrap();
            assert!(number > last);
            last = number;
        }
    };
    tokio::select! {
        () = gone => {}
        () = reads => {}
    }
    let api = get(server.address, "/api/cameras/door").await.unwrap().text();
    assert!(api.contains("\"viewers\":1"), "{api}");
    assert_eq!(camera.closed(), 0);
    for viewer in &mut stalled {
        let end = async { while viewer.next().await.is_some() {} };
        soon("its connection is closed", end).await;
        assert!(!viewer.has_ended_cleanly(), "it broke off");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_viewer_that_hangs_up_is_gone_though_the_camera_is_silent() {
    let camera = Camera::new("door", Act::Silent);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    server.wait_viewers("door", 1).await;
    drop(viewer);
    server.wait_viewers("door", 0).await;
    server.stop().await;
}

#[tokio::test]
async fn the_last_viewer_that_stops_reading_lets_the_camera_close() {
    let camera = Camera::new("door", LARGE);
    let mut settings = settings(&[&camera]);
    settings.write_timeout = Duration::from_millis(300);
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open_with_small_buffer(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    camera.wait_closed(1).await;
    server.stop().await;
}
