//! Cameras whose source ends cleanly many times, and slow cameras: neither counts as lost.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use framecast::{CameraState, Drivers, EventKind, Settings};
use framecast_testkit::{TestViewer, get, jpeg, jpeg_of_len, pause, soon, until, until_async};
use framecast_testkit_server::camera::{Act, Camera};
use framecast_testkit_server::server::{AN_HOUR, Server, settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::events::kinds;
use crate::frozen_clock::FrozenClock;
use crate::program::Program;

/// One picture each opening.
const SNAPSHOT: Act = Act::Film { pictures: 1, fps: 100 };

#[tokio::test]
async fn a_camera_that_ends_after_each_picture_is_live_without_a_word() {
    let camera = Camera::new("door", SNAPSHOT);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut events = server.events();
    let begun_at = Instant::now();
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let first = soon("a picture", viewer.next_number()).await.unwrap();
    let since = server.feed("door").status().since;
    let mut last = first;
    while last < first + 20 {
        let seen = soon("the next picture", viewer.next()).await.unwrap();
        assert!(!seen.is_slate(), "its viewers keep the last picture");
        last = seen.number.unwrap();
    }
    let (opened, tenths) = (u128::from(camera.opened()), begun_at.elapsed().as_millis() / 100);
    assert!(opened <= tenths + 1, "opened {opened} times in {tenths} tenths of a second");
    let status = server.feed("door").status();
    assert_eq!((status.state, status.since), (CameraState::Live, since), "it was live all the time");
    assert_eq!(kinds(&server, &mut events).await, [EventKind::Opened, EventKind::Live]);
    let stats = server.feed("door").stats();
    assert!(stats.opened >= 20 && stats.closed >= 19, "{stats:?}");
    assert!(stats.frames_per_second.is_some_and(|fps| fps < 100.0), "its media time goes on: {stats:?}");
    server.stop().await;
    assert_eq!(camera.opened(), camera.closed(), "every opening was let go");
}

#[tokio::test]
async fn a_camera_that_cannot_be_opened_again_is_lost() {
    let camera = Camera::new("door", SNAPSHOT);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut events = server.events();
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    camera.wait_opened(3).await;
    camera.act(Act::Fail("the cable is out"));
    let status = server.wait_state("door", CameraState::Lost).await;
    assert!(status.reason.unwrap().contains("the cable is out"));
    soon("a slate", viewer.next_where(|seen| seen.is_slate())).await.unwrap();
    assert_eq!(kinds(&server, &mut events).await, [EventKind::Opened, EventKind::Live, EventKind::Lost]);
    camera.act(SNAPSHOT);
    soon("pictures again", viewer.next_number()).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_time_between_two_openings_counts_as_silence() {
    // One picture a second, so that the next opening is due a second after the last picture.
    let camera = Camera::new("door", Act::Film { pictures: 2, fps: 1 });
    let mut settings = settings(&[&camera]);
    settings.cameras[0].stall_timeout = Some(Duration::from_millis(1500));
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let first = soon("a picture", viewer.next_number()).await.unwrap();
    camera.wait_newest(first + 1).await;
    camera.act(Act::Deaf);
    let status = server.wait_state("door", CameraState::Lost).await;
    assert!(status.reason.unwrap().starts_with("no picture for 1s 500ms; "));
    server.stop().await;
}

#[tokio::test]
async fn a_camera_that_ends_again_and_again_becomes_idle_when_nobody_watches() {
    let camera = Camera::new("door", SNAPSHOT);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    camera.wait_opened(3).await;
    drop(viewer);
    server.wait_state("door", CameraState::Idle).await;
    let opened = camera.opened();
    let clock = FrozenClock::stop();
    clock.advance(AN_HOUR).await;
    // The server answers after it has looked at its clock.
    assert_eq!(get(server.address, "/healthz").await.unwrap().status, 200);
    assert_eq!(server.feed("door").status().state, CameraState::Idle);
    assert_eq!((camera.opened(), camera.closed()), (opened, opened), "nobody opens it any more");
    drop(clock);
    server.stop().await;
}

#[tokio::test]
async fn the_wait_for_the_next_opening_does_not_hold_up_the_end() {
    let camera = Camera::new("door", Act::Film { pictures: 1, fps: 100 });
    let mut settings = settings(&[&camera]);
    // The next opening is due after more than a minute; a test waits for no longer than that.
    settings.cameras[0].max_fps = 0.01;
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
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
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    for _ in 0..3 {
        assert_eq!(soon("a picture", viewer.next()).await.unwrap().number, Some(7));
    }
    until("it was run five times", || std::fs::read(&runs).is_ok_and(|runs| runs.len() >= 5)).await;
    assert_eq!(kinds(&server, &mut events).await, [EventKind::Opened, EventKind::Live]);
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
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    // The first three pictures have time because the frame rate is not known yet, the fourth one because it is.
    for number in 1..=4 {
        pause(Duration::from_secs(6)).await;
        camera.saw(number);
        // The server sends the previous picture once more, for browsers that paint late.
        soon("the picture", viewer.next_where(|seen| seen.number == Some(number))).await.unwrap();
    }
    assert_eq!(kinds(&server, &mut events).await, [EventKind::Opened, EventKind::Live]);
    server.stop().await;
}

const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n";

/// The answer of a camera that has one picture for each connection.
fn one_picture(number: u64) -> Vec<u8> {
    let picture = jpeg_of_len(2048, number);
    let part = format!("--b\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", picture.len());
    [STREAM, part.as_bytes(), &picture, b"\r\n"].concat()
}

/// A server that answers each connection with the next of `answers`, all later ones with the last, and closes it. If an
/// answer is empty, the server resets the connection with the request unread. It ends with the handle.
async fn serve(answers: Vec<Vec<u8>>) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let last = answers.last().unwrap().clone();
        for answer in answers.into_iter().chain(std::iter::repeat(last)) {
            let (mut stream, _) = listener.accept().await.unwrap();
            if answer.is_empty() {
                stream.readable().await.unwrap();
                continue;
            }
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let read = stream.read_buf(&mut request).await;
                assert!(read.unwrap() > 0, "the request is whole");
            }
            stream.write_all(&answer).await.unwrap();
        }
    });
    (address, AbortOnDropHandle::new(serving))
}

/// A server with the camera at `address`, whose `stall_timeout` no test reaches.
async fn server_of(address: SocketAddr) -> Server {
    let source = format!("http://{address}/");
    let mut settings = Settings::with_cameras([("door", source.as_str())]).unwrap();
    settings.listen.set_port(0);
    settings.cameras[0].stall_timeout = Some(AN_HOUR);
    Server::start_with(settings, Drivers::builtin()).await
}

#[tokio::test]
async fn a_live_camera_without_a_picture_at_some_connections_is_not_lost() {
    let busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let broken = [STREAM, b"--b\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\xff\xd9\r\n--b--\r\n"].concat();
    let answers = vec![one_picture(1), busy.to_vec(), Vec::new(), STREAM.to_vec(), broken, one_picture(2)];
    let (address, _camera) = serve(answers).await;
    let server = server_of(address).await;
    let mut events = server.events();
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("the last answer", viewer.next_where(|seen| seen.number == Some(2))).await.unwrap();
    assert_eq!(kinds(&server, &mut events).await, [EventKind::Opened, EventKind::Live]);
    assert_eq!(server.feed("door").stats().broken, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_live_camera_that_refuses_the_next_connection_is_lost_at_once() {
    for (status, answers) in [("401", 1), ("403", 2), ("404", 1)] {
        let refusal = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let mut answers: Vec<_> = (1..=answers).map(one_picture).collect();
        answers.push(refusal.into_bytes());
        let (address, _camera) = serve(answers).await;
        let server = server_of(address).await;
        let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
        soon("a picture", viewer.next_number()).await.unwrap();
        let reason = server.wait_state("door", CameraState::Lost).await.reason.unwrap();
        assert!(reason.contains(status), "{reason}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_live_camera_that_gives_no_picture_any_more_is_lost_with_what_it_said_last() {
    let camera = Camera::new("door", SNAPSHOT);
    let mut settings = settings(&[&camera]);
    settings.cameras[0].stall_timeout = Some(Duration::from_secs(1));
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    camera.act(Act::End);
    let reason = server.wait_state("door", CameraState::Lost).await.reason.unwrap();
    let told = "no picture for 1s; allow more time with stall_timeout = \"2s\"; the last attempt failed: the \
                source has ended";
    assert_eq!(reason, told);
    server.stop().await;
}

#[tokio::test]
async fn max_fps_holds_for_a_camera_that_ends_again_and_again() {
    const MAX_FPS: u32 = 5;
    // The first opening yields more at once than the rate limit allows, and each later one yields one too many.
    let camera = Camera::new("door", Act::Film { pictures: 2, fps: 1000 });
    let mut settings = settings(&[&camera]);
    settings.cameras[0].max_fps = f64::from(MAX_FPS);
    let server = Server::start(settings, &[&camera]).await;
    let begun_at = Instant::now();
    let _viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    let feed = server.feed("door");
    until("enough pictures", || feed.stats().frames >= 13).await;
    let (frames, took) = (feed.stats().frames, begun_at.elapsed());
    // A burst of three may pass.
    let allowed = took.as_secs_f64() * f64::from(MAX_FPS) + 3.0;
    assert!(frames as f64 <= allowed, "{frames} in {took:?}");
    server.stop().await;
}

#[tokio::test]
async fn the_log_tells_once_that_pictures_are_broken_however_often_the_camera_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("picture.jpg"), jpeg(64, 48, 7)).unwrap();
    std::fs::write(at("broken.jpg"), b"\xff\xd8\xff\xd9").unwrap();
    // The first opening yields a good picture, each later one a broken picture before a good one.
    std::fs::write(at("run.sh"), "test -e again && cat broken.jpg\ntouch again\ncat picture.jpg\n").unwrap();
    let arguments = ["--config", "door.toml"];
    std::fs::write(at("door.toml"), "[[camera]]\nname = \"door\"\nsource = \"exec:sh run.sh\"\n").unwrap();
    let mut program = Program::start(&arguments, folder.path()).await;
    let _viewer = TestViewer::open(program.address, "/video_feed").await.unwrap();
    let address = program.address;
    let broken = async || {
        let answer = get(address, "/api/cameras/door").await.unwrap();
        let camera: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        camera["broken"].as_u64().unwrap()
    };
    until_async("many broken ones", async || broken().await >= 5).await;
    program.tell(rustix::process::Signal::TERM);
    let mut told = 0;
    while let Some(line) = soon("the log", program.log.next_line()).await.unwrap() {
        told += usize::from(line.contains("Further broken pictures are not logged"));
    }
    assert_eq!(told, 1);
}
