//! Cameras are added, replaced and removed while the server runs and others are watched.

use std::time::Duration;

use framecast::{CameraSettings, CameraState, Drivers, Event, EventKind, EventReader, Received};
use framecast_testkit::{ReceivedPicture, TestViewer, cut_short, get, soon};
use framecast_testkit_server::camera::{Camera, PLAY};
use framecast_testkit_server::server::{Server, camera_settings, settings};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

/// A server that has `cameras`, and drivers for `more`.
async fn server(cameras: &[&Camera], more: &[&Camera]) -> Server {
    let drivers = cameras
        .iter()
        .chain(more)
        .fold(Drivers::builtin(), |drivers, camera| drivers.with((*camera).clone()));
    Server::start_with(settings(cameras), drivers).await
}

/// The settings of a camera that is named by its scheme.
fn of(camera: &Camera) -> CameraSettings {
    camera_settings(camera.name(), &format!("{}:", camera.name()))
}

/// A viewer that has seen a picture.
async fn watch(server: &Server, path: &str) -> TestViewer {
    let mut viewer = TestViewer::open(server.address, path).await.unwrap();
    assert!(viewer.next_where(|seen| !seen.is_slate()).await.is_some(), "{path}");
    viewer
}

/// Checks that the last picture of a stream is a slate, and that the stream ends as it should.
async fn ends_with_a_slate(mut viewer: TestViewer, path: &str) {
    let mut last = None;
    while let Some(seen) = viewer.next().await {
        last = Some(seen);
    }
    assert!(viewer.has_ended_cleanly(), "{path}");
    // Headers that are sent in advance cannot say that the next picture is a slate, but it has no number.
    let is_slate = |last: ReceivedPicture| match path.contains("advance_headers") {
        true => last.number.is_none(),
        false => last.is_slate(),
    };
    assert!(last.is_some_and(is_slate), "{path}");
}

async fn status(server: &Server, path: &str) -> u16 {
    get(server.address, path).await.unwrap().status
}

/// The names of the cameras that `/api/cameras` lists.
async fn names(server: &Server) -> Vec<String> {
    let answer = get(server.address, "/api/cameras").await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let cameras = answer["cameras"].as_array().unwrap().iter();
    cameras.map(|camera| camera["name"].as_str().unwrap().to_owned()).collect()
}

/// The next event of this kind about `camera`.
async fn event(events: &mut EventReader, kind: EventKind, camera: &str) -> Event {
    loop {
        let Some(Received::Event(event)) = soon("an event", events.next()).await else { continue };
        if event.kind == kind && event.camera.as_deref() == Some(camera) {
            return event;
        }
    }
}

#[tokio::test]
async fn a_removed_camera_ends_its_streams_with_a_slate_and_no_path_finds_it() {
    let (door, yard) = (Camera::new("door", PLAY), Camera::new("yard", PLAY));
    let server = server(&[&door, &yard], &[]).await;
    let mut events = server.events();
    let paths = [
        "/video_feed",
        "/cameras/door/stream.mjpg?width=160",
        "/cameras/door/stream.mjpg?fps=1",
        "/cameras/door/stream.mjpg?advance_headers=1",
        "/stream?camera=door",
        "/1/mjpg/stream",
    ];
    let mut viewers = Vec::new();
    for path in paths {
        viewers.push(watch(&server, path).await);
    }
    let mut other = watch(&server, "/cameras/yard/stream.mjpg").await;
    assert!(get(server.address, "/metrics").await.unwrap().text().contains("camera=\"door\""));

    server.cameras.remove("door").await.unwrap();
    assert_eq!((door.opened(), door.closed()), (1, 1));
    for (viewer, path) in viewers.into_iter().zip(paths) {
        ends_with_a_slate(viewer, path).await;
    }
    let removed = event(&mut events, EventKind::Removed, "door").await;
    assert_eq!(removed.text.as_deref(), Some("the camera was removed"));
    for path in ["", "/stream.mjpg", "/snapshot.jpg"] {
        assert_eq!(status(&server, &format!("/cameras/door{path}")).await, 404, "{path}");
    }
    assert_eq!(status(&server, "/api/cameras/door").await, 404);
    let missing = get(server.address, "/2/mjpg/stream").await.unwrap();
    assert!(missing.text().contains("no camera 2; this server has 1"), "{}", missing.text());
    assert_eq!(names(&server).await, ["yard"]);
    assert!(!get(server.address, "/metrics").await.unwrap().text().contains("camera=\"door\""));
    assert!(other.next_number().await.is_some());
    watch(&server, "/video_feed").await;
    assert_eq!(yard.opened(), 1, "it is the default camera now");
    let error = server.cameras.remove("door").await.unwrap_err();
    assert_eq!(error.to_string(), "no camera is called `door`");
    server.stop().await;
}

#[tokio::test]
async fn a_removed_camera_whose_pictures_are_encoded_ends_with_a_slate_too() {
    let door = Camera::new("door", PLAY);
    door.give_raw();
    let server = server(&[&door], &[]).await;
    let paths = ["/video_feed", "/video_feed?width=160"];
    let viewers = [watch(&server, paths[0]).await, watch(&server, paths[1]).await];
    server.cameras.remove("door").await.unwrap();
    for (viewer, path) in viewers.into_iter().zip(paths) {
        ends_with_a_slate(viewer, path).await;
    }
    assert_eq!(status(&server, "/video_feed").await, 404, "there is no camera at all");
    server.stop().await;
}

#[tokio::test]
async fn an_added_camera_is_found_by_every_path() {
    let (door, yard) = (Camera::new("door", PLAY), Camera::new("yard", PLAY));
    let server = server(&[&door], &[&yard]).await;
    assert_eq!(status(&server, "/input_1.json").await, 404);
    server.cameras.add(of(&yard)).await.unwrap();
    assert_eq!(names(&server).await, ["door", "yard"]);
    for path in ["/cameras/yard/stream.mjpg", "/2/mjpg/stream", "/?action=stream_1"] {
        watch(&server, path).await;
    }
    assert_eq!((door.opened(), yard.opened()), (0, 1));
    for path in ["/cameras/yard", "/cameras/yard/snapshot.jpg", "/2/static/stream", "/input_1.json"] {
        assert_eq!(status(&server, path).await, 200, "{path}");
    }
    assert!(get(server.address, "/metrics").await.unwrap().text().contains("camera=\"yard\""));
    let refused =
        [(of(&yard), "camera `yard` already exists"), (camera_settings("attic", "none:"), "no driver")];
    for (settings, expected) in refused {
        let error = server.cameras.add(settings).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(names(&server).await, ["door", "yard"]);
    server.stop().await;
}

#[tokio::test]
async fn a_replaced_camera_opens_when_the_old_one_is_closed_and_shows_no_old_picture() {
    let (door, other) = (Camera::new("door", PLAY), Camera::new("other", PLAY));
    other.number_from(1_000_000);
    door.close_slowly(Duration::from_millis(300));
    let server = server(&[&door], &[&other]).await;
    let old = watch(&server, "/video_feed").await;
    let mut again = of(&door);
    again.max_fps = 50.0;
    let replacing = server.cameras.replace(again);
    let looking = async {
        door.wait_closing(1).await;
        let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
        while door.closed() == 0 {
            assert!(door.opened() == 1 || door.closed() == 1, "it was opened twice at once");
            tokio::task::yield_now().await;
        }
        viewer.next_number().await.unwrap();
        viewer
    };
    let (replaced, second) = tokio::join!(replacing, looking);
    assert_eq!(replaced.unwrap().stats().opened, 1);
    ends_with_a_slate(old, "the first").await;

    // The old viewers still hold what was packed for them, and the new camera counts its pictures from one again.
    let from_elsewhere = camera_settings("door", "other:");
    server.cameras.replace(from_elsewhere).await.unwrap();
    let mut third = TestViewer::open(server.address, "/video_feed").await.unwrap();
    assert!(third.next_number().await.unwrap() > 1_000_000);
    ends_with_a_slate(second, "the second").await;
    let answer = get(server.address, "/api/cameras/door").await.unwrap().text();
    assert!(answer.contains("\"driver\":\"other\""), "{answer}");
    assert_eq!((door.opened(), door.closed()), (2, 2));
    server.stop().await;
}

#[tokio::test]
async fn settings_are_applied_to_the_cameras_that_differ_alone() {
    let cameras = ["same", "changed", "gone", "new"].map(|name| Camera::new(name, PLAY));
    let [same, changed, gone, new] = &cameras;
    let server = server(&[changed, same, gone], &[new]).await;
    let mut same_viewer = watch(&server, "/cameras/same/stream.mjpg").await;
    let changed_viewer = watch(&server, "/cameras/changed/stream.mjpg").await;
    let gone_viewer = watch(&server, "/cameras/gone/stream.mjpg").await;
    let mut wanted = settings(&[same, new, changed]);
    wanted.cameras[2].quality = 50;

    let changes = server.cameras.apply(&wanted).await.unwrap();
    assert_eq!(changes.added, ["new"]);
    assert_eq!((changes.replaced, changes.removed), (vec!["changed".to_owned()], vec!["gone".to_owned()]));
    assert_eq!(names(&server).await, ["same", "new", "changed"]);
    ends_with_a_slate(changed_viewer, "changed").await;
    ends_with_a_slate(gone_viewer, "gone").await;
    let next = same_viewer.next_number().await.unwrap();
    assert!(same_viewer.next_number().await.unwrap() > next);
    assert_eq!((same.opened(), same.closed(), changed.closed(), gone.closed()), (1, 0, 1, 1));

    assert_eq!(server.cameras.apply(&wanted).await.unwrap(), Default::default(), "nothing differs");
    wanted.latency_budget *= 2;
    wanted.cameras[0].latency_budget = Some(server.feed("same").latency_budget());
    wanted.cameras.swap(0, 1);
    let changes = server.cameras.apply(&wanted).await.unwrap();
    assert_eq!(changes.replaced, ["new", "same", "changed"], "of `same` the settings differ, not the budget");
    assert_eq!(names(&server).await, ["new", "same", "changed"]);

    wanted.cameras.push(wanted.cameras[0].clone());
    let error = server.cameras.apply(&wanted).await.unwrap_err();
    assert_eq!(error.to_string(), "camera `new` already exists");
    assert_eq!(names(&server).await.len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn a_camera_is_closed_even_if_nobody_waits_for_its_removal() {
    let door = Camera::new("door", PLAY);
    let server = server(&[&door], &[]).await;
    let viewer = watch(&server, "/video_feed").await;
    assert!(cut_short(Duration::ZERO, server.cameras.remove("door")).await.is_none());
    assert!(names(&server).await.is_empty());
    ends_with_a_slate(viewer, "the only").await;
    door.wait_closed(1).await;
    server.stop().await;
}

#[tokio::test]
async fn a_tile_of_a_removed_camera_gets_a_slate_and_the_reason() {
    let (door, yard) = (Camera::new("door", PLAY), Camera::new("yard", PLAY));
    let server = server(&[&door, &yard], &[]).await;
    let url = format!("ws://{}/api/live", server.address);
    let stream = soon("a connection", TcpStream::connect(server.address)).await.unwrap();
    let (mut socket, _) = soon("a WebSocket", client_async(url, stream)).await.unwrap();
    let ask = r#"{"type":"subscribe","tile":3,"camera":"door","priority":1}"#;
    socket.send(Message::text(ask)).await.unwrap();
    server.wait_state("door", CameraState::Live).await;
    let mut was_slate = false;
    let mut is_removed = false;
    let said = loop {
        match soon("a message", socket.next()).await.unwrap().unwrap() {
            Message::Text(text) if text.contains("\"error\"") => break text,
            Message::Binary(picture) => {
                was_slate = picture[1] & 1 == 1;
                let sequence = u32::from_be_bytes(picture[4..8].try_into().unwrap());
                let ack = format!(r#"{{"type":"ack","tile":3,"sequence":{sequence}}}"#);
                socket.send(Message::text(ack)).await.unwrap();
                if !std::mem::replace(&mut is_removed, true) {
                    server.cameras.remove("door").await.unwrap();
                }
            }
            _ => {}
        }
    };
    assert!(was_slate && said.contains("camera `door` was removed"), "{said}");
    server.stop().await;
}
