//! The weaknesses of the Flask app that Framecast replaces, each with its effect there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use framecast::{Account, CameraState, Delivery, Drivers, Settings};
use framecast_testkit::{TestViewer, blocking, get, jpeg, number_of, send_request, soon, until, until_async};
use framecast_testkit_server::camera::{Act, Camera, PLAY};
use framecast_testkit_server::server::{AN_HOUR, SOON_STALLED, Server, settings};

/// (a) There an exception ends the capture thread, nothing starts it again, and its viewers wait for ever.
#[tokio::test]
async fn a_camera_that_fails_tells_present_and_future_viewers_and_comes_back() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut present = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a first picture", present.next_number()).await.unwrap();

    camera.act(Act::Fail("the cable is out"));
    let told = soon("a slate", present.next_where(|seen| seen.is_slate())).await.unwrap();
    assert_eq!(told.number, None);
    let status = server.wait_state("door", CameraState::Lost).await;
    assert!(status.reason.unwrap().contains("the cable is out"));
    let api = get(server.address, "/api/cameras/door").await.unwrap().text();
    assert!(api.contains("\"state\":\"lost\"") && api.contains("the cable is out"), "{api}");

    let mut future = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let first = soon("a slate for one who comes later", future.next()).await.unwrap();
    assert!(first.is_slate());

    camera.act(PLAY);
    let before = camera.newest();
    for viewer in [&mut present, &mut future] {
        let number = soon("pictures again", viewer.next_number()).await.unwrap();
        assert!(number > before, "{number} is not newer than {before}");
    }
    server.wait_state("door", CameraState::Live).await;
    server.stop().await;
}

/// (b) There the camera stops after ten seconds without a call of `get_frame`, and only a new viewer starts it again.
/// Viewers that were stuck in a write wait for ever.
#[tokio::test]
async fn viewers_that_were_all_stuck_longer_than_the_idle_time_get_pictures_when_they_read_on() {
    let camera = Camera::new("door", Act::Play { fps: 100, len_bytes: 64 << 10 });
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let mut viewer = TestViewer::open_with_small_buffer(server.address, "/video_feed").await.unwrap();
        soon("a first picture", viewer.next_number()).await.unwrap();
        viewers.push(viewer);
    }

    // A hundred pictures take a second: five times the idle time.
    let stuck_at = camera.newest();
    camera.wait_newest(stuck_at + 100).await;
    assert_eq!((camera.opened(), camera.closed()), (1, 0), "a viewer that is stuck is a viewer");
    for viewer in &mut viewers {
        let read_on = viewer.next_where(|seen| seen.number.is_some_and(|number| number > stuck_at + 100));
        soon("pictures when it reads on", read_on).await.unwrap();
    }

    // The viewers also recover if the camera failed meanwhile.
    camera.act(Act::Fail("the cable is out"));
    server.wait_state("door", CameraState::Lost).await;
    let lost_at = camera.newest();
    camera.act(Act::Play { fps: 100, len_bytes: 64 << 10 });
    camera.wait_newest(lost_at + 50).await;
    for viewer in &mut viewers {
        let read_on = viewer.next_where(|seen| seen.number.is_some_and(|number| number > lost_at));
        soon("pictures of the camera that is back", read_on).await.unwrap();
    }
    server.stop().await;
}

/// (c) There thread, frame and clients are attributes of the class, so a process has only one camera.
#[tokio::test]
async fn two_cameras_in_one_process_know_nothing_of_each_other() {
    let (front, yard) = (Camera::new("front", PLAY), Camera::new("yard", PLAY));
    yard.number_from(1_000_000);
    let server = Server::start(settings(&[&front, &yard]), &[&front, &yard]).await;
    let mut at_front = TestViewer::open(server.address, "/cameras/front/stream.mjpg").await.unwrap();
    let mut at_yard = TestViewer::open(server.address, "/cameras/yard/stream.mjpg").await.unwrap();
    for _ in 0..20 {
        assert!(soon("the front", at_front.next_number()).await.unwrap() < 1_000_000);
        assert!(soon("the yard", at_yard.next_number()).await.unwrap() > 1_000_000);
    }

    front.act(Act::Fail("the cable is out"));
    server.wait_state("front", CameraState::Lost).await;
    let before = yard.newest();
    let goes_on = at_yard.next_where(|seen| seen.number.is_some_and(|number| number > before + 20));
    soon("the yard goes on", goes_on).await.unwrap();

    drop(at_front);
    server.wait_state("front", CameraState::Idle).await;
    assert_eq!(server.feed("yard").status().state, CameraState::Live);
    assert_eq!((yard.opened(), yard.closed()), (1, 0));
    server.stop().await;
}

/// (d) There the camera's thread iterates over a dictionary of clients that the clients change meanwhile. "dictionary
/// changed size" ends the thread, and (a) follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_that_come_and_go_while_pictures_are_published_never_lose_the_camera() {
    const THREADS: usize = 4;
    const LEAST_VIEWERS_A_THREAD: usize = 2500;
    const LEAST_PICTURES: u64 = 1000;
    let camera = Camera::new("door", Act::Play { fps: 2000, len_bytes: 1024 });
    let mut settings = settings(&[&camera]);
    settings.cameras[0].max_fps = 10_000.0;
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a first picture", viewer.next_number()).await.unwrap();

    let channel = server.feed("door").main_channel().clone();
    let last = camera.newest() + LEAST_PICTURES;
    let crowd: Vec<_> = (0..THREADS)
        .map(|_| {
            let (channel, camera) = (channel.clone(), camera.clone());
            std::thread::spawn(move || {
                let goes_on = |n: &usize| *n < LEAST_VIEWERS_A_THREAD || camera.newest() < last;
                for n in (0..).take_while(goes_on) {
                    let delivery = if n % 2 == 0 { Delivery::Latest } else { Delivery::InOrder };
                    let mut subscriber = channel.subscribe(delivery);
                    assert!(subscriber.try_next().is_some(), "what is held is seen at once");
                }
            })
        })
        .collect();
    for thread in crowd {
        let gone = tokio::task::spawn_blocking(|| blocking::joined("the crowd has gone", thread));
        gone.await.unwrap();
    }

    assert_eq!(channel.subscriber_count(), 1);
    let before = camera.newest();
    let goes_on = viewer.next_where(|seen| seen.number.is_some_and(|number| number > before));
    soon("the camera goes on", goes_on).await.unwrap();
    assert_eq!((camera.opened(), camera.closed()), (1, 0));
    server.stop().await;
}

/// (e) There the camera checks for clients only after a frame, so a camera that yields none never closes.
#[tokio::test]
async fn a_camera_that_yields_nothing_is_closed_when_nobody_is_left() {
    let camera = Camera::new("door", Act::Silent);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let first = soon("word of the opening", viewer.next()).await.unwrap();
    assert!(first.is_slate());
    assert_eq!(camera.closed(), 0);

    drop(viewer);
    camera.wait_closed(1).await;
    server.wait_state("door", CameraState::Idle).await;
    server.stop().await;
}

/// (f) There any client may watch.
#[tokio::test]
async fn with_an_account_only_its_password_opens_anything() {
    let camera = Camera::new("door", PLAY);
    let mut settings = settings(&[&camera]);
    settings.account = Some(Account::new("me", "open sesame").unwrap());
    let server = Server::start(settings, &[&camera]).await;
    for target in ["/", "/video_feed", "/cameras/door/snapshot.jpg", "/api/cameras", "/static/app.js"] {
        let refused = get(server.address, target).await.unwrap();
        assert_eq!(refused.status, 401, "{target}");
        assert!(refused.header("www-authenticate").unwrap().starts_with("Basic"));
    }
    assert_eq!(camera.opened(), 0, "who may not watch opens nothing");
    // me:open sesame
    let request = |token: &str| {
        format!(
            "GET /snapshot.jpg HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\nConnection: close\r\n\r\n"
        )
    };
    let wrong = send_request(server.address, request("bWU6d3Jvbmc=").as_bytes()).await.unwrap();
    assert_eq!(wrong.status, 401);
    let right = send_request(server.address, request("bWU6b3BlbiBzZXNhbWU=").as_bytes()).await.unwrap();
    assert_eq!(right.status, 200);
    assert!(number_of(&right.body).is_some());
    server.stop().await;
}

/// (f) There each viewer takes a thread of the server, until none is left and the page itself hangs.
#[tokio::test]
async fn who_comes_when_all_connections_are_in_use_is_told_so() {
    let camera = Camera::new("door", PLAY);
    let mut settings = settings(&[&camera]);
    settings.max_connections = 2;
    let server = Server::start(settings, &[&camera]).await;
    let mut viewers = Vec::new();
    for _ in 0..2 {
        viewers.push(TestViewer::open(server.address, "/video_feed").await.unwrap());
    }
    let refused = get(server.address, "/video_feed").await.unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.header("content-length").unwrap().parse(), Ok(refused.body.len()));
    for viewer in &mut viewers {
        soon("the others go on", viewer.next_number()).await.unwrap();
    }

    viewers.pop();
    server.wait_viewers("door", 1).await;
    let is_up = async || get(server.address, "/healthz").await.unwrap().status == 200;
    until_async("a place is free again", is_up).await;
    server.stop().await;
}

/// (f) There a browser or proxy may cache live pictures, and a player does not know a picture's length.
#[tokio::test]
async fn nothing_live_is_kept_and_every_part_has_its_length_and_time() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    assert_eq!(viewer.status(), Some(200));
    assert_eq!(viewer.header("content-type"), Some("multipart/x-mixed-replace; boundary=frame"));
    assert!(viewer.header("cache-control").unwrap().contains("no-store"));
    assert_eq!(viewer.header("x-accel-buffering"), Some("no"));
    for _ in 0..10 {
        let seen = soon("a picture", viewer.next()).await.unwrap();
        assert_eq!(seen.part.header("content-type"), Some("image/jpeg"));
        assert_eq!(seen.part.header("content-length").unwrap().parse(), Ok(seen.data().len()));
        assert!(seen.captured_at().is_some());
    }
    let snapshot = get(server.address, "/cameras/door/snapshot.jpg").await.unwrap();
    assert_eq!(snapshot.header("content-type"), Some("image/jpeg"));
    assert!(snapshot.header("cache-control").unwrap().contains("no-store"));
    server.stop().await;
}

/// (f) There a page without the stream has no picture at all, and each view of one starts a stream.
#[tokio::test]
async fn a_snapshot_opens_an_idle_camera_and_shares_a_live_one() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let first = get(server.address, "/cameras/door/snapshot.jpg").await.unwrap();
    assert_eq!(first.status, 200);
    assert!(number_of(&first.body).is_some());
    camera.wait_closed(1).await;

    let before = camera.newest();
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let new = viewer.next_where(|seen| seen.number.is_some_and(|number| number > before));
    soon("a picture of the next opening", new).await.unwrap();
    for _ in 0..5 {
        assert_eq!(get(server.address, "/snapshot.jpg").await.unwrap().status, 200);
    }
    assert_eq!(camera.opened(), 2);
    server.stop().await;
}

/// (f) There a broken stream stays broken; here a viewer that reconnects finds the camera still open.
#[tokio::test]
async fn a_viewer_that_comes_back_in_time_finds_the_camera_open() {
    let camera = Camera::new("door", PLAY);
    let mut settings = settings(&[&camera]);
    settings.cameras[0].idle_timeout = Some(AN_HOUR);
    let server = Server::start(settings, &[&camera]).await;
    let mut last = 0;
    for _ in 0..10 {
        let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
        let number = soon("a picture", viewer.next_number()).await.unwrap();
        assert!(number >= last);
        last = number;
        drop(viewer);
        server.wait_viewers("door", 0).await;
    }
    assert_eq!((camera.opened(), camera.closed()), (1, 0));
    server.stop().await;
}

/// (g) There a failed read yields `None`, whose encoding raises, and (a) follows.
#[tokio::test]
async fn garbage_is_counted_named_and_got_over() {
    let camera = Camera::new("door", PLAY);
    let mut settings = settings(&[&camera]);
    settings.cameras[0].stall_timeout = Some(SOON_STALLED);
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();

    // The server skips a few broken pictures among good ones, and nothing more happens.
    camera.act(Act::Garbage { fps: 100 });
    let feed = server.feed("door");
    until("some are counted", || feed.stats().broken >= 3).await;
    camera.act(PLAY);
    let before = camera.newest();
    let goes_on = viewer.next_where(|seen| seen.number.is_some_and(|number| number > before + 1));
    soon("good ones go on", goes_on).await.unwrap();

    // A camera that only delivers broken pictures is lost.
    camera.act(Act::Garbage { fps: 100 });
    let told = soon("a slate", viewer.next_where(|seen| seen.is_slate())).await.unwrap();
    assert_eq!(told.number, None);
    server.wait_state("door", CameraState::Lost).await;
    let mut status = feed.watch_status();
    let named = status.wait_for(|status| status.reason.as_ref().is_some_and(|text| text.contains("broken")));
    soon("the reason names the broken pictures", named).await.unwrap();
    assert!(feed.stats().last_broken.unwrap().contains("byte"), "with the place in the picture");

    camera.act(PLAY);
    soon("pictures again", viewer.next_number()).await.unwrap();
    server.stop().await;
}

/// (g) The same for a custom camera, made of an iterator whose items may be errors.
#[tokio::test]
async fn an_iterator_that_yields_an_error_is_opened_again() {
    let fails = Arc::new(AtomicBool::new(true));
    let number = Arc::new(AtomicU64::new(0));
    let drivers = Drivers::builtin().with_frames("mine", {
        let fails = Arc::clone(&fails);
        move |_| {
            let (fails, number) = (Arc::clone(&fails), Arc::clone(&number));
            std::iter::repeat_with(move || {
                blocking::pause(Duration::from_millis(10));
                if fails.load(Ordering::Relaxed) {
                    return Err("no frame grabbed");
                }
                Ok(jpeg(32, 32, number.fetch_add(1, Ordering::Relaxed)))
            })
        }
    });
    let mut settings = Settings::with_cameras([("own", "mine:")]).unwrap();
    settings.listen.set_port(0);
    let server = Server::start_with(settings, drivers).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let status = server.wait_state("own", CameraState::Lost).await;
    assert!(status.reason.unwrap().contains("no frame grabbed"));
    fails.store(false, Ordering::Relaxed);
    soon("pictures", viewer.next_number()).await.unwrap();
    server.stop().await;
}
