//! Cameras whose source ends in order again and again, and cameras that are slow: neither is lost.

use std::time::{Duration, Instant};

use framecast::{Drivers, EventKind, EventReader, Settings, State, Told};
use framecast_testkit::{Viewer, get, jpeg, soon, until};
use tokio::time::{sleep, timeout};

use crate::camera::{Act, Camera};
use crate::server::{AN_HOUR, Server, settings};

/// One picture each opening.
const SNAPSHOT: Act = Act::Film { pictures: 1, fps: 100 };

/// The kinds of what was told of cameras so far.
async fn told(events: &mut EventReader) -> Vec<EventKind> {
    let mut kinds = Vec::new();
    while let Ok(Some(told)) = timeout(Duration::from_millis(1), events.next()).await {
        match told {
            Told::Event(event) if event.camera.is_some() => kinds.push(event.kind),
            Told::Event(_) => {}
            Told::Missed(count) => panic!("{count} events were missed"),
        }
    }
    kinds
}

#[tokio::test]
async fn a_camera_that_ends_after_each_picture_is_live_without_a_word() {
    let camera = Camera::new("door", SNAPSHOT);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut events = server.events();
    let begun_at = Instant::now();
    let mut viewer = Viewer::open(server.address, "/video_feed").await.unwrap();
    let first = soon("a picture", viewer.next_number()).await.unwrap();
    let since = server.feed("door").status().since;
    let mut last = first;
    while last < first + 20 {
        let seen = soon("the next picture", viewer.next()).await.unwrap();
        assert!(!seen.is_notice(), "its viewers keep the last picture");
        last = seen.number.unwrap();
    }
    let (opened, tenths) = (u128::from(camera.opened()), begun_at.elapsed().as_millis() / 100);
    assert!(opened <= tenths + 1, "opened {opened} times in {tenths} tenths of a second");
    let status = server.feed("door").status();
    assert_eq!((status.state, status.since), (State::Live, since), "it was live all the time");
    assert_eq!(told(&mut events).await, [EventKind::Opened, EventKind::Live]);
    let stats = server.feed("door").stats();
    assert!(stats.opened >= 20 && stats.closed >= 19, "{stats:?}");
    server.stop().await;
    assert_eq!(camera.opened(), camera.closed(), "every opening was let go");
}

#[tokio::test]
async fn a_camera_that_cannot_be_opened_again_is_lost() {
    let camera = Camera::new("door", SNAPSHOT);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut events = server.events();
    let mut viewer = Viewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    camera.wait_opened(3).await;
    camera.act(Act::Fail("the cable is out"));
    let status = server.wait_state("door", State::Lost).await;
    assert!(status.reason.unwrap().contains("the cable is out"));
    soon("a notice", viewer.next_where(|seen| seen.is_notice())).await.unwrap();
    assert_eq!(told(&mut events).await, [EventKind::Opened, EventKind::Live, EventKind::Lost]);
    camera.act(SNAPSHOT);
    soon("pictures again", viewer.next_number()).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_time_between_two_openings_counts_as_silence() {
    // Pictures come each second, so that the next opening is due a second after the last one.
    let camera = Camera::new("door", Act::Film { pictures: 2, fps: 1 });
    let mut settings = settings(&[&camera]);
    settings.cameras[0].stall_timeout = Some(Duration::from_millis(1500));
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = Viewer::open(server.address, "/video_feed").await.unwrap();
    let first = soon("a picture", viewer.next_number()).await.unwrap();
    camera.wait_newest(first + 1).await;
    camera.act(Act::Deaf);
    let status = server.wait_state("door", State::Lost).await;
    assert!(status.reason.unwrap().starts_with("no picture for 1s 500ms; "));
    server.stop().await;
}

#[tokio::test]
async fn a_camera_that_ends_again_and_again_becomes_idle_when_nobody_watches() {
    let camera = Camera::new("door", SNAPSHOT);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = Viewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    camera.wait_opened(3).await;
    drop(viewer);
    server.wait_state("door", State::Idle).await;
    let opened = camera.opened();
    sleep(Duration::from_millis(500)).await;
    assert_eq!((camera.opened(), camera.closed()), (opened, opened), "nobody opens it any more");
    server.stop().await;
}

#[tokio::test]
async fn the_wait_for_the_next_opening_does_not_hold_up_the_end() {
    let camera = Camera::new("door", Act::Film { pictures: 1, fps: 100 });
    let mut settings = settings(&[&camera]);
    // The next opening is due after more than a minute, which is all that a test waits for.
    settings.cameras[0].max_fps = 0.01;
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = Viewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    camera.wait_closed(1).await;
    server.stop().await;
    assert_eq!((camera.opened(), camera.closed()), (1, 1));
}

#[tokio::test]
async fn a_program_that_writes_a_picture_and_ends_is_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let (picture, runs) = (folder.path().join("picture.jpg"), folder.path().join("runs"));
    std::fs::write(&picture, jpeg(64, 48, 7)).unwrap();
    let source = format!("exec:sh -c 'echo >> {}; cat {}'", runs.display(), picture.display());
    let mut settings = Settings::with_cameras([("door", source.as_str())]).unwrap();
    settings.listen.set_port(0);
    settings.cameras[0].stall_timeout = Some(AN_HOUR);
    let server = Server::start_with(settings, Drivers::builtin()).await;
    let mut events = server.events();
    let mut viewer = Viewer::open(server.address, "/video_feed").await.unwrap();
    for _ in 0..3 {
        assert_eq!(soon("a picture", viewer.next()).await.unwrap().number, Some(7));
    }
    until("it was run five times", || std::fs::read(&runs).is_ok_and(|runs| runs.len() >= 5)).await;
    assert_eq!(told(&mut events).await, [EventKind::Opened, EventKind::Live]);
    let api = get(server.address, "/api/cameras/door").await.unwrap().text();
    assert!(api.contains("\"state\":\"live\""), "{api}");
    server.stop().await;
}

#[tokio::test]
async fn a_camera_with_a_picture_every_six_seconds_is_not_lost_by_default() {
    let camera = Camera::new("door", Act::Follow { ahead: 0, len_bytes: 2048 });
    let mut settings = settings(&[&camera]);
    settings.cameras[0].stall_timeout = None;
    let server = Server::start(settings, &[&camera]).await;
    let mut events = server.events();
    let mut viewer = Viewer::open(server.address, "/video_feed").await.unwrap();
    // Three pictures are given time because the pace is not known yet, the fourth one because it is.
    for number in 1..=4 {
        sleep(Duration::from_secs(6)).await;
        camera.saw(number);
        // The picture before is sent once more, for who paints late.
        soon("the picture", viewer.next_where(|seen| seen.number == Some(number))).await.unwrap();
    }
    assert_eq!(told(&mut events).await, [EventKind::Opened, EventKind::Live]);
    server.stop().await;
}
