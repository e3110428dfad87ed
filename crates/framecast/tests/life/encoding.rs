//! Raw cameras and renditions: encoded once for all viewers, and not at all without a viewer.

use std::net::IpAddr;
use std::time::Duration;

use framecast::codec::jpeg;
use framecast::{CameraState, Rendition};
use framecast_testkit::{TestViewer, get, soon};
use framecast_testkit_server::camera::{Act, Camera, PLAY, RAW_SIZE, luma_of};
use framecast_testkit_server::server::{Server, settings};
use serde_json::Value;

/// A camera that yields the next picture when the test has seen the one before.
const STEP: Act = Act::Follow { ahead: 1, len_bytes: 2048 };

fn raw_camera(act: Act) -> Camera {
    let camera = Camera::new("door", act);
    camera.give_raw();
    camera
}

/// The size and luma of the next picture.
async fn look(viewer: &mut TestViewer) -> ((u32, u32), u8) {
    let seen = soon("a picture", viewer.next()).await.unwrap();
    let picture = jpeg::decode(seen.data(), 1 << 24).unwrap();
    ((picture.width_px(), picture.height_px()), picture.data()[0])
}

/// Reads until the picture with this luma comes.
async fn see(viewer: &mut TestViewer, number: u64, size: (u32, u32)) {
    loop {
        let (seen_size, luma) = look(viewer).await;
        assert_eq!(seen_size, size);
        if luma.abs_diff(luma_of(number)) < 6 {
            return;
        }
    }
}

async fn camera_json(server: &Server) -> Value {
    let answer = get(server.address, "/api/cameras/door").await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn ten_viewers_of_a_raw_camera_cost_one_encoding_per_frame() {
    let camera = raw_camera(STEP);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewers = Vec::new();
    for _ in 0..10 {
        viewers.push(TestViewer::open(server.address, "/video_feed").await.unwrap());
    }
    for number in 1..=20 {
        for viewer in &mut viewers {
            see(viewer, number, RAW_SIZE).await;
        }
        camera.saw(number);
    }
    let stats = server.feed("door").stats();
    assert!((20..=21).contains(&stats.encoded), "{stats:?}");
    assert_eq!(stats.encode_skipped, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_hundred_viewers_of_a_rendition_cost_one_encoding_per_frame_and_get_the_size_asked_for() {
    let camera = raw_camera(STEP);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewers = Vec::new();
    for _ in 0..100 {
        viewers.push(TestViewer::open(server.address, "/video_feed?width=320").await.unwrap());
    }
    for number in 1..=10 {
        for viewer in &mut viewers {
            see(viewer, number, (320, 180)).await;
        }
        camera.saw(number);
    }
    let stats = server.feed("door").stats();
    assert!(
        (10..=11).contains(&stats.encoded),
        "the picture as it is, which nobody watches, is not encoded: {stats:?}"
    );
    let json = camera_json(&server).await;
    let renditions = &json["renditions"];
    assert_eq!(renditions.as_array().unwrap().len(), 1);
    assert_eq!((&renditions[0]["query"], &renditions[0]["viewers"]), (&"width=320".into(), &100.into()));
    assert_eq!((&renditions[0]["width"], &renditions[0]["height"]), (&320.into(), &180.into()));
    assert_eq!((&json["width"], &json["viewers"]), (&RAW_SIZE.0.into(), &100.into()));
    server.stop().await;
}

#[tokio::test]
async fn renditions_of_a_coded_camera_have_their_size_and_the_camera_itself_is_not_encoded() {
    let mut settings = settings(&[]);
    settings.add_camera("door", "test:?size=640x360&fps=20").unwrap();
    let server = Server::start(settings, &[]).await;
    for (query, size) in [
        ("width=320", (320, 180)),
        ("height=180", (320, 180)),
        ("width=300&height=400", (320, 180)),
        ("width=500", (640, 360)),
        ("width=3000", (640, 360)),
        ("quality=30", (640, 360)),
    ] {
        let mut viewer = TestViewer::open(server.address, &format!("/video_feed?{query}")).await.unwrap();
        assert_eq!(look(&mut viewer).await.0, size, "{query}");
        let snapshot = get(server.address, &format!("/snapshot.jpg?{query}")).await.unwrap();
        let header = jpeg::parse_markers(&snapshot.body).unwrap();
        assert_eq!((header.width_px, header.height_px), size, "{query}");
    }
    let before = server.feed("door").stats().encoded;
    let mut viewer = TestViewer::open(server.address, "/video_feed?fps=10").await.unwrap();
    for _ in 0..5 {
        assert_eq!(look(&mut viewer).await.0, (640, 360));
    }
    assert_eq!(server.feed("door").stats().encoded, before, "a rate alone costs no encoding");
    server.stop().await;
}

#[tokio::test]
async fn a_rendition_that_nobody_watches_is_closed_and_the_camera_after_it() {
    let camera = raw_camera(STEP);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed?width=160").await.unwrap();
    look(&mut viewer).await;
    let feed = server.feed("door");
    assert_eq!(feed.renditions().borrow().len(), 1);
    // This viewer keeps the camera open, and has each of its pictures encoded once.
    let mut other = TestViewer::open(server.address, "/video_feed").await.unwrap();
    see(&mut other, 1, RAW_SIZE).await;
    drop(viewer);
    let mut renditions = feed.renditions();
    soon("it is closed", renditions.wait_for(Vec::is_empty)).await.unwrap();
    let before = feed.stats().encoded;
    for number in 2..=21 {
        camera.saw(number - 1);
        see(&mut other, number, RAW_SIZE).await;
    }
    // One picture of the rendition may have been on its way.
    let encoded = feed.stats().encoded - before;
    assert!((20..=21).contains(&encoded), "{encoded} pictures were encoded for 20");
    drop(other);
    server.wait_state("door", CameraState::Idle).await;
    camera.wait_closed(1).await;
    server.stop().await;
}

#[tokio::test]
async fn who_comes_to_a_raw_camera_again_is_not_shown_what_was_encoded_before() {
    let camera = raw_camera(STEP);
    let mut settings = settings(&[&camera]);
    settings.cameras[0].idle_timeout = None;
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    see(&mut viewer, 1, RAW_SIZE).await;
    drop(viewer);
    server.wait_viewers("door", 0).await;
    camera.saw(3);
    camera.wait_newest(4).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let (_, luma) = look(&mut viewer).await;
    assert!(luma.abs_diff(luma_of(1)) > 6, "it is picture 1");
    let snapshot = get(server.address, "/snapshot.jpg").await.unwrap();
    let picture = jpeg::decode(&snapshot.body, 1 << 24).unwrap();
    assert!(picture.data()[0].abs_diff(luma_of(1)) > 6);
    server.stop().await;
}

#[tokio::test]
async fn viewers_of_a_rendition_are_told_of_a_lost_camera_and_see_it_come_back() {
    let camera = raw_camera(PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed?width=320").await.unwrap();
    look(&mut viewer).await;
    camera.act(Act::Fail("pulled out"));
    loop {
        let seen = soon("a slate", viewer.next()).await.unwrap();
        let header = jpeg::parse_markers(seen.data()).unwrap();
        assert_eq!(header.width_px, 320);
        if seen.is_slate() {
            break;
        }
    }
    camera.act(PLAY);
    while soon("a picture", viewer.next()).await.unwrap().is_slate() {}
    server.stop().await;
}

#[tokio::test]
async fn a_stranger_cannot_ask_for_any_number_of_renditions() {
    let camera = raw_camera(PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewers = Vec::new();
    for (host, qualities) in [(2, [30, 40, 50, 60]), (3, [70, 80, 90, 95])] {
        let from = IpAddr::from([127, 0, 0, host]);
        for quality in qualities {
            let target = format!("/video_feed?width=160&quality={quality}");
            viewers.push(TestViewer::open_from(from, server.address, &target).await.unwrap());
        }
        // An address may watch a rendition that it already has a second time.
        let target = format!("/video_feed?width=160&quality={}", qualities[0]);
        let shared = TestViewer::open_from(from, server.address, &target).await.unwrap();
        assert_eq!(shared.status(), Some(200));
        let more = TestViewer::open_from(from, server.address, "/video_feed?width=240").await.unwrap();
        assert_eq!(more.status(), Some(503), "one address has half of them");
    }
    let refused = get(server.address, "/video_feed?width=240").await.unwrap();
    assert_eq!(refused.status, 503);
    let told = String::from_utf8_lossy(&refused.body).into_owned();
    assert!(
        told.starts_with(r#"{"error":"rendition limit reached (8"#) && told.contains("?width=160&quality=30"),
        "{told}"
    );
    assert!(server.feed("door").watch(Rendition::default(), framecast::Delivery::Latest).is_ok());
    look(&mut viewers[7]).await;
    server.stop().await;
}

#[tokio::test]
async fn a_rate_of_a_raw_camera_is_encoded_no_faster() {
    let camera = raw_camera(PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut first = TestViewer::open(server.address, "/video_feed").await.unwrap();
    look(&mut first).await;
    // From here on the server knows that the camera is raw.
    let mut slow = TestViewer::open(server.address, "/video_feed?fps=5").await.unwrap();
    drop(first);
    server.wait_viewers("door", 1).await;
    look(&mut slow).await;
    let (before, frames) = (server.feed("door").stats(), camera.newest());
    for _ in 0..5 {
        look(&mut slow).await;
    }
    let encoded = server.feed("door").stats().encoded - before.encoded;
    let given = camera.newest() - frames;
    assert!(
        encoded * 4 <= given,
        "{encoded} of {given} encoded, where the camera gives twenty times the rate"
    );
    server.stop().await;
}

#[tokio::test]
async fn viewers_are_told_of_pictures_that_come_and_cannot_be_encoded() {
    let camera = Camera::new("door", PLAY);
    camera.give(include_bytes!("../../../../testdata/imagemagick-cmyk.jpg"));
    let mut settings = settings(&[&camera]);
    settings.cameras[0].stall_timeout = Some(Duration::from_secs(1));
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed?quality=50").await.unwrap();
    while !soon("a slate", viewer.next()).await.unwrap().is_slate() {}
    // The camera does deliver pictures, and a viewer of the original ones sees them.
    server.wait_state("door", CameraState::Live).await;
    let mut plain = TestViewer::open(server.address, "/video_feed").await.unwrap();
    assert!(!soon("a picture", plain.next()).await.unwrap().is_slate());
    assert!(server.feed("door").stats().broken > 0);
    server.stop().await;
}

#[tokio::test]
async fn a_slate_is_not_counted_as_an_encoded_picture() {
    let camera = Camera::new("door", PLAY);
    camera.act(framecast_testkit_server::camera::Act::Deaf);
    let mut settings = settings(&[&camera]);
    settings.cameras[0].stall_timeout = Some(Duration::from_millis(100));
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed?width=160").await.unwrap();
    for _ in 0..2 {
        assert!(soon("a slate", viewer.next()).await.unwrap().is_slate());
    }
    assert_eq!(server.feed("door").stats().encoded, 0);
    server.stop().await;
}
