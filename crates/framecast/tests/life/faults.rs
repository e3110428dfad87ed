//! When one camera fails, in any way, only its own viewers notice.

use std::time::Duration;

use framecast::{
    BoxFuture, CameraState, Delivery, DemandKind, Driver, DriverError, Drivers, OpenContext, Settings,
    Source, SourceUrl,
};
use framecast_testkit::{TestViewer, get, number_of, soon};
use framecast_testkit_server::camera::{Act, Camera, PLAY};
use framecast_testkit_server::server::{AN_HOUR, SOON_STALLED, Server, settings};

use crate::frozen_clock::FrozenClock;

/// Runs `fault` on one of two cameras with viewers: the other goes on, and the faulty one recovers.
async fn survives(fault: Act, reason: &str) {
    let (broken, sound) = (Camera::new("broken", PLAY), Camera::new("sound", PLAY));
    let mut settings = settings(&[&broken, &sound]);
    if matches!(fault, Act::Silent | Act::Block | Act::End) {
        settings.cameras[0].stall_timeout = Some(SOON_STALLED);
    }
    let server = Server::start(settings, &[&broken, &sound]).await;
    let mut at_broken = TestViewer::open(server.address, "/cameras/broken/stream.mjpg").await.unwrap();
    let mut at_sound = TestViewer::open(server.address, "/cameras/sound/stream.mjpg").await.unwrap();
    soon("a picture", at_broken.next_number()).await.unwrap();
    soon("a picture", at_sound.next_number()).await.unwrap();

    broken.act(fault);
    let status = server.wait_state("broken", CameraState::Lost).await;
    let given = status.reason.unwrap();
    assert!(given.contains(reason), "{given}");
    soon("a slate", at_broken.next_where(|seen| seen.is_slate())).await.unwrap();
    let before = sound.newest();
    let goes_on = at_sound.next_where(|seen| seen.number.is_some_and(|number| number > before + 20));
    soon("the sound camera goes on", goes_on).await.unwrap();

    broken.act(PLAY);
    let before = broken.newest();
    let back = at_broken.next_where(|seen| seen.number.is_some_and(|number| number > before));
    soon("the broken camera comes back", back).await.unwrap();
    assert_eq!((sound.opened(), sound.closed()), (1, 0));
    server.stop().await;
    assert_eq!(broken.opened(), broken.closed(), "every opening was let go");
}

#[tokio::test]
async fn a_driver_that_breaks_its_promise_not_to_block_displaces_its_neighbours_once() {
    // More cameras than there are shared threads, so that one of them shares a thread with the first.
    let cameras = ["broken", "one", "two", "three", "four"].map(|name| Camera::new(name, PLAY));
    cameras.iter().for_each(Camera::promise_not_to_block);
    let (broken, sound) = (&cameras[0], &cameras[1..]);
    let cameras: Vec<&Camera> = cameras.iter().collect();
    let mut settings = settings(&cameras);
    settings.cameras[0].stall_timeout = Some(SOON_STALLED);
    let server = Server::start(settings, &cameras).await;
    let mut viewers = Vec::new();
    for camera in &cameras {
        let path = format!("/cameras/{}/stream.mjpg", camera.name());
        let mut viewer = TestViewer::open(server.address, &path).await.unwrap();
        soon("a picture", viewer.next_number()).await.unwrap();
        viewers.push(viewer);
    }
    let openings = || sound.iter().map(Camera::opened).sum::<u64>();

    broken.act(Act::Block);
    server.wait_state("broken", CameraState::Lost).await;
    for (camera, viewer) in sound.iter().zip(&mut viewers[1..]) {
        let before = camera.newest();
        let goes_on = viewer.next_where(|seen| seen.number > Some(before));
        soon("a sound camera goes on", goes_on).await.unwrap();
    }
    assert!((5..=8).contains(&openings()), "{} openings", openings());
    broken.act(PLAY);
    server.wait_state("broken", CameraState::Live).await;

    let opened = openings();
    broken.act(Act::Block);
    server.wait_state("broken", CameraState::Lost).await;
    for (camera, viewer) in sound.iter().zip(&mut viewers[1..]) {
        let before = camera.newest();
        let goes_on = viewer.next_where(|seen| seen.number > Some(before + 100));
        soon("a sound camera goes on", goes_on).await.unwrap();
    }
    assert_eq!(openings(), opened, "the broken camera has a thread of its own");
    broken.act(PLAY);
    server.stop().await;
}

#[tokio::test]
async fn a_device_that_is_back_while_nobody_watches_leaves_its_camera_idle() {
    let camera = Camera::new("door", PLAY);
    let mut settings = settings(&[&camera]);
    settings.cameras[0].idle_timeout = Some(AN_HOUR);
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    camera.act(Act::Fail("pulled out"));
    server.wait_state("door", CameraState::Lost).await;
    drop(viewer);
    server.wait_viewers("door", 0).await;
    camera.plug_in();
    server.wait_state("door", CameraState::Idle).await;
    camera.act(PLAY);
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture again", viewer.next_number()).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_camera_whose_driver_fails_comes_back() {
    survives(Act::Fail("the cable is out"), "the cable is out").await;
}

#[tokio::test]
async fn a_camera_that_ends_comes_back() {
    survives(Act::End, "the source has ended").await;
}

#[tokio::test]
async fn a_camera_that_hangs_comes_back() {
    survives(Act::Silent, "no picture for 500ms").await;
}

#[tokio::test]
async fn a_camera_whose_driver_blocks_its_thread_comes_back() {
    survives(Act::Block, "no picture for 500ms").await;
}

#[tokio::test]
async fn a_camera_whose_driver_panics_comes_back() {
    survives(Act::Panic, "the driver has a bug").await;
}

#[tokio::test]
async fn a_camera_that_never_opens_is_lost_and_comes_when_it_does() {
    let camera = Camera::new("door", Act::Deaf);
    let mut settings = settings(&[&camera]);
    settings.cameras[0].stall_timeout = Some(SOON_STALLED);
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let status = server.wait_state("door", CameraState::Lost).await;
    assert!(status.reason.unwrap().contains("no picture for 500ms"));
    camera.act(PLAY);
    soon("pictures", viewer.next_number()).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_lost_camera_that_nobody_watches_any_more_becomes_idle() {
    let camera = Camera::new("door", Act::Fail("the cable is out"));
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    server.wait_state("door", CameraState::Lost).await;
    drop(viewer);
    let status = server.wait_state("door", CameraState::Idle).await;
    assert_eq!((status.reason, status.retry_at), (None, None));
    server.stop().await;
}

#[tokio::test]
async fn a_lost_camera_becomes_idle_also_when_the_next_try_comes_before_the_idle_time() {
    let camera = Camera::new("door", Act::Fail("the cable is out"));
    let mut settings = settings(&[&camera]);
    // The first retry comes after one second.
    settings.cameras[0].idle_timeout = Some(Duration::from_millis(1500));
    let server = Server::start(settings, &[&camera]).await;
    let viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    server.wait_state("door", CameraState::Lost).await;
    drop(viewer);
    server.wait_state("door", CameraState::Idle).await;
    server.stop().await;
}

#[tokio::test]
async fn a_snapshot_of_a_lost_camera_causes_the_attempt_that_was_due_without_a_viewer() {
    let camera = Camera::new("door", Act::Fail("the cable is out"));
    let mut settings = settings(&[&camera]);
    settings.cameras[0].idle_timeout = Some(AN_HOUR);
    let server = Server::start(settings, &[&camera]).await;
    let snapshot = async || get(server.address, "/snapshot.jpg").await.unwrap().status;
    assert_eq!(snapshot().await, 503);
    server.wait_state("door", CameraState::Lost).await;
    camera.act(PLAY);
    let clock = FrozenClock::stop();
    // Longer than the longest delay between two attempts.
    clock.advance(Duration::from_secs(31)).await;
    // The client gets the slate at once, and is gone before the supervisor looks.
    assert_eq!(snapshot().await, 503);
    drop(clock);
    server.wait_state("door", CameraState::Live).await;
    assert_eq!(snapshot().await, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_held_to_max_fps_and_goes_on() {
    let camera = Camera::new("flood", Act::Play { fps: 10_000, len_bytes: 4096 });
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let feed = server.feed("flood");
    let mut every = feed.subscribe(Delivery::InOrder, feed.demand(DemandKind::Viewer));
    let first = soon("a picture", every.next()).await.unwrap();
    let (mut last, mut passed) = (first.clone(), 0);
    while passed < 360 {
        last = soon("a picture", every.next()).await.unwrap();
        passed += 1;
    }
    let span = last.pts.saturating_since(first.pts).as_secs_f64();
    // The default of 120 a second, a burst of three, and a tenth for a thread that waits between its clocks.
    let most = 120.0 * span * 1.1 + 3.0;
    assert!(f64::from(passed) <= most, "{passed} pictures in {span} s of media time");
    assert_eq!(every.skipped(), 0);
    let offered = number_of(&last.data).unwrap() - number_of(&first.data).unwrap();
    assert!(offered > 2 * passed as u64, "{offered} were offered: too few for a flood");
    assert!(feed.stats().over_rate > 0);
    server.stop().await;
}

/// A driver that finds an error in its URL only when it opens the source.
struct BadUrlDriver;

impl Driver for BadUrlDriver {
    fn scheme(&self) -> &'static str {
        "misspelt"
    }

    fn open<'a>(
        &'a self,
        _: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, DriverError>> {
        let problem = "is of no use".to_owned();
        Box::pin(async move { Err(DriverError::BadUrl { url: url.to_string(), problem }) })
    }
}

#[tokio::test]
async fn a_camera_that_only_its_configuration_can_mend_is_tried_seldom() {
    let mut settings = Settings::with_cameras([("door", "misspelt:")]).unwrap();
    settings.listen.set_port(0);
    let server = Server::start_with(settings, Drivers::builtin().with(BadUrlDriver)).await;
    let _viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let mut status = server.feed("door").watch_status();
    let told = status.wait_for(|status| status.retry_at.is_some());
    let status = soon("it is lost", told).await.unwrap().clone();
    assert!(status.reason.unwrap().contains("is of no use"));
    assert!(status.retry_at.unwrap().duration_since(status.since).unwrap() >= Duration::from_secs(30));
    server.stop().await;
}
