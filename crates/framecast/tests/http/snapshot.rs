//! Snapshots: the newest picture, a fresh one, or the last one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use framecast::{Drivers, Settings};
use framecast_testkit::blocking::{MultipartStream, Response};

use crate::{Server, error};

fn time(answer: &Response) -> f64 {
    answer.header("x-timestamp").unwrap().parse().unwrap()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn a_snapshot_is_a_jpeg_that_nobody_keeps() {
    let server = Server::with(|_| {});
    for path in ["/snapshot.jpg", "/cameras/front/snapshot.jpg"] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/jpeg")));
        assert_eq!(answer.header("content-length").unwrap().parse(), Ok(answer.body.len()));
        assert!(answer.header("cache-control").unwrap().contains("no-store"));
        assert_eq!(answer.header("x-accel-buffering"), Some("no"));
        assert_eq!(answer.header("content-disposition"), Some("inline; filename*=UTF-8''front.jpg"));
        let timestamp = answer.header("x-timestamp").unwrap();
        assert_eq!(timestamp.split_once('.').unwrap().1.len(), 6);
        assert!(answer.body.starts_with(&[0xFF, 0xD8]) && answer.body.ends_with(&[0xFF, 0xD9]));
    }
}

#[test]
fn a_live_camera_answers_with_its_newest_picture_and_0_waits_for_one_after_the_request() {
    let server = Server::with(|_| {});
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[]);
    let shown: f64 = stream.next().unwrap().header("x-timestamp").unwrap().parse().unwrap();
    assert!(time(&server.get("/snapshot.jpg")) >= shown);
    let asked_at = now();
    // The header has microseconds.
    assert!(time(&server.get("/snapshot.jpg?max_age=0")) >= asked_at - 1e-5);
    assert_eq!(server.json("/api/cameras/front")["opened"], 1);
}

#[test]
fn a_held_picture_that_is_young_enough_does_not_open_the_camera() {
    let server = Server::with(|settings| settings.cameras[0].idle_timeout = Some(Duration::ZERO));
    let first = server.get("/snapshot.jpg?max_age=60");
    assert_eq!(first.status, 200);
    server.wait_for("front", "state", "idle");
    let held = server.get("/snapshot.jpg?max_age=60");
    assert_eq!((held.status, server.json("/api/cameras/front")["opened"].as_u64()), (200, Some(1)));
    assert!(time(&held) >= time(&first));
    // With 0 the server opens the camera and waits for a new picture.
    let asked_at = now();
    let fresh = server.get("/snapshot.jpg?max_age=0");
    assert!(time(&fresh) >= asked_at - 1e-5);
    assert_eq!(server.json("/api/cameras/front")["opened"], 2);
}

#[test]
fn a_lost_camera_answers_503_with_the_picture_that_says_why() {
    let drivers = Drivers::builtin().with_frames("broken", |_| [Err::<Vec<u8>, _>("no such device")]);
    let server = Server::start(Settings::with_cameras([("front", "broken:")]).unwrap(), drivers);
    let stream = MultipartStream::open(server.address, "/video_feed", &[]);
    server.wait_for("front", "state", "lost");
    let answer = server.get("/snapshot.jpg");
    assert_eq!((answer.status, answer.header("content-type")), (503, Some("image/jpeg")));
    assert!(answer.body.starts_with(&[0xFF, 0xD8]));
    drop(stream);
}

#[test]
fn a_bad_age_is_400_with_its_range() {
    let server = Server::with(|_| {});
    for value in ["-1", "x", "nan", "inf", "86401", ""] {
        let answer = server.get(&format!("/snapshot.jpg?max_age={value}"));
        assert_eq!(answer.status, 400, "{value}");
        let expected =
            format!("max_age={value}: must be a number of seconds from 0 to 86400, as in max_age=0.5");
        assert_eq!(error(&answer), expected);
    }
}
