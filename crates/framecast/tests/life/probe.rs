//! Probes: the server learns whether a camera works while nobody watches it.

use std::time::Duration;

use framecast::{CameraState, CameraStatus, EventKind, Settings};
use framecast_testkit::{TestViewer, get, pause, soon, until};
use framecast_testkit_server::camera::{Act, Camera, PLAY};
use framecast_testkit_server::server::{AN_HOUR, Server, settings};

use crate::events::{kinds, next};
use crate::frozen_clock::FrozenClock;

/// The shortest interval that the settings allow.
const INTERVAL: Duration = Duration::from_secs(10);

/// Settings for `cameras`, each of which is probed.
fn probed(cameras: &[&Camera]) -> Settings {
    let mut settings = settings(cameras);
    for camera in &mut settings.cameras {
        camera.probe = Some(Some(INTERVAL));
    }
    settings
}

/// Waits until the status of the camera `name` is as wanted.
async fn wait_status(server: &Server, name: &str, is_wanted: impl Fn(&CameraStatus) -> bool) -> CameraStatus {
    let mut status = server.feed(name).watch_status();
    soon("the status changes", status.wait_for(is_wanted)).await.unwrap().clone()
}

#[tokio::test]
async fn a_camera_that_works_is_opened_for_one_picture_without_a_word() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(probed(&[&camera]), &[&camera]).await;
    let mut events = server.events();
    let first = wait_status(&server, "door", |status| status.checked_at.is_some()).await;
    camera.wait_closed(1).await;
    let second = wait_status(&server, "door", |status| status.checked_at > first.checked_at).await;
    camera.wait_closed(2).await;
    assert_eq!((first.state, second.state), (CameraState::Idle, CameraState::Idle));
    assert_eq!((first.since, camera.opened()), (second.since, 2), "it was idle all the time");
    assert_eq!(kinds(&server, &mut events).await, []);
    server.stop().await;
}

#[tokio::test]
async fn a_camera_that_nobody_watches_is_lost_until_a_probe_succeeds() {
    let camera = Camera::new("door", Act::Fail("the cable is out"));
    let server = Server::start(probed(&[&camera]), &[&camera]).await;
    let mut events = server.events();
    let lost = server.wait_state("door", CameraState::Lost).await;
    assert!(lost.reason.is_some_and(|reason| reason.contains("the cable is out")));
    // Another reason is no other event.
    camera.act(Act::Fail("the plug is out"));
    let later = wait_status(&server, "door", |status| status.checked_at > lost.checked_at).await;
    assert_eq!(
        (later.state, later.since),
        (CameraState::Lost, lost.since),
        "its idle_timeout is over long ago"
    );
    camera.act(PLAY);
    let [lost, live, closed] = [next(&mut events).await, next(&mut events).await, next(&mut events).await];
    assert_eq!([lost.kind, live.kind, closed.kind], [EventKind::Lost, EventKind::Live, EventKind::Closed]);
    let away = live.text.unwrap_or_default();
    assert!(away.starts_with("lost for "), "{away}");
    server.stop().await;
    assert_eq!(camera.opened(), camera.closed());
}

#[tokio::test]
async fn a_lost_device_that_is_plugged_in_again_is_reported_as_live() {
    let camera = Camera::new("door", Act::Fail("the cable is out"));
    let server = Server::start(probed(&[&camera]), &[&camera]).await;
    let mut events = server.events();
    server.wait_state("door", CameraState::Lost).await;
    camera.plug_in();
    camera.act(PLAY);
    for expected in [EventKind::Lost, EventKind::Live, EventKind::Closed] {
        assert_eq!(next(&mut events).await.kind, expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_comes_during_a_probe_is_a_viewer_like_any_other() {
    let camera = Camera::new("door", Act::Silent);
    let server = Server::start(probed(&[&camera]), &[&camera]).await;
    let mut events = server.events();
    camera.wait_opened(1).await;
    assert_eq!(server.feed("door").status().state, CameraState::Idle);
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    server.wait_state("door", CameraState::Opening).await;
    camera.act(PLAY);
    soon("a picture", viewer.next_number()).await.unwrap();
    server.wait_state("door", CameraState::Live).await;
    drop(viewer);
    server.wait_state("door", CameraState::Idle).await;
    for expected in [EventKind::Opened, EventKind::Live, EventKind::Closed] {
        assert_eq!(next(&mut events).await.kind, expected);
    }
    assert_eq!(camera.opened(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_camera_with_a_viewer_is_not_probed() {
    let camera = Camera::new("door", PLAY);
    let other = Camera::new("yard", PLAY);
    let server = Server::start(probed(&[&camera, &other]), &[&camera, &other]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    let mut demand = server.feed("door").watch_demand();
    // A probe that began before the viewer came can still run.
    soon("no probe", demand.wait_for(|demand| demand.probes == 0)).await.unwrap();
    let opened = camera.opened();
    // The interval of both has passed when the other is probed for the second time.
    other.wait_closed(2).await;
    assert!(!demand.has_changed().unwrap(), "a probe is a demand");
    assert_eq!((demand.borrow_and_update().probes, camera.opened()), (0, opened));
    server.stop().await;
}

#[tokio::test]
async fn at_most_four_cameras_are_probed_at_once_until_they_are_closed() {
    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let cameras: Vec<Camera> = NAMES.map(|name| Camera::new(name, Act::Silent)).into();
    let all: Vec<&Camera> = cameras.iter().collect();
    let mut settings = probed(&all);
    for camera in &mut settings.cameras {
        camera.stall_timeout = Some(Duration::from_secs(4));
    }
    for camera in &cameras {
        camera.close_slowly(Duration::from_millis(300));
    }
    let server = Server::start(settings, &all).await;
    let mut most = 0;
    soon("all are probed", async {
        while cameras.iter().any(|camera| camera.closed() == 0) {
            // Closed first: who opens between the two readings must not count as open.
            let closed: u64 = cameras.iter().map(Camera::closed).sum();
            let opened: u64 = cameras.iter().map(Camera::opened).sum();
            most = most.max(opened - closed);
            pause(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert_eq!(most, 4);
    server.stop().await;
}

#[tokio::test]
async fn cameras_that_never_close_take_no_place_from_the_probes_of_others() {
    let cameras = ["a", "b", "c", "d"].map(|name| Camera::new(name, Act::Fail("the cable is out")));
    let other = Camera::new("yard", PLAY);
    let all: Vec<&Camera> = cameras.iter().chain([&other]).collect();
    let mut settings = probed(&all);
    for camera in &mut settings.cameras[..4] {
        camera.idle_timeout = None;
    }
    let server = Server::start(settings, &all).await;
    for camera in &cameras {
        server.wait_state(camera.name(), CameraState::Lost).await;
    }
    other.wait_closed(1).await;
    for camera in &cameras {
        camera.act(PLAY);
        server.wait_state(camera.name(), CameraState::Live).await;
    }
    other.wait_closed(3).await;
    server.stop().await;
}

#[tokio::test]
async fn a_probe_of_a_device_that_is_plugged_in_again_does_not_delay_a_viewer() {
    let camera = Camera::new("door", Act::Fail("the cable is out"));
    let server = Server::start(probed(&[&camera]), &[&camera]).await;
    let lost = server.wait_state("door", CameraState::Lost).await;
    // Two more probes, so that the delay until the next attempt is longer than one second.
    let second = wait_status(&server, "door", |status| status.checked_at > lost.checked_at).await;
    wait_status(&server, "door", |status| status.checked_at > second.checked_at).await;
    let clock = FrozenClock::stop();
    camera.act(PLAY);
    camera.plug_in();
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    drop(clock);
    server.stop().await;
}

#[tokio::test]
async fn a_camera_that_is_removed_during_a_probe_is_closed_and_told_once() {
    let camera = Camera::new("door", Act::Silent);
    let server = Server::start(probed(&[&camera]), &[&camera]).await;
    let mut events = server.events();
    camera.wait_opened(1).await;
    server.cameras.remove("door").await.unwrap();
    assert_eq!((camera.opened(), camera.closed()), (1, 1));
    assert_eq!(kinds(&server, &mut events).await, [EventKind::Removed]);
    server.stop().await;
}

#[tokio::test]
async fn a_camera_without_an_interval_is_not_probed() {
    let camera = Camera::new("door", PLAY);
    let probed_camera = Camera::new("yard", PLAY);
    let mut settings = settings(&[&camera, &probed_camera]);
    settings.probe = Some(INTERVAL);
    settings.cameras[1].probe = Some(Some(INTERVAL));
    settings.cameras[0].idle_timeout = Some(AN_HOUR);
    let server = Server::start(settings, &[&camera, &probed_camera]).await;
    probed_camera.wait_closed(2).await;
    assert_eq!(camera.opened(), 0, "the server's interval is for network cameras");
    assert_eq!(server.feed("door").status().checked_at, None);
    let metrics = get(server.address, "/metrics").await.unwrap().text();
    let intervals =
        metrics.lines().filter(|line| line.starts_with("framecast_camera_probe_interval_seconds"));
    let expected = "framecast_camera_probe_interval_seconds{camera=\"yard\"} 10.0";
    assert_eq!(intervals.collect::<Vec<_>>(), [expected]);
    until("it is idle", || server.feed("yard").status().state == CameraState::Idle).await;
    server.stop().await;
}
