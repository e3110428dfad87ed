//! The program itself is suspended for a while: it blames no camera for that.

use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use framecast::Listen;
use framecast_testkit::{TestViewer, get, jpeg_of_len, pause, soon};
use framecast_testkit_server::camera::{Camera, PLAY};
use framecast_testkit_server::server::{Server, settings};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::program::Program;

/// How long the program is suspended: longer than its camera's `stall_timeout`.
const STOP: Duration = Duration::from_secs(5);

/// The program with the camera of the server at `address`.
async fn program(address: SocketAddr, folder: &Path) -> Program {
    let file = format!(
        "[[camera]]\nname = \"gate\"\nsource = \"http://{address}/video_feed\"\nstall_timeout = \"4s\"\n"
    );
    std::fs::write(folder.join("gate.toml"), file).unwrap();
    Program::start(&["--config", "gate.toml"], folder).await
}

async fn json(address: SocketAddr, path: &str) -> Value {
    let answer = get(address, path).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

/// Checks that the program's camera is live, and that neither its status nor an event ever said otherwise.
async fn is_not_blamed(program: &Program) {
    let events = json(program.address, "/api/events?camera=gate").await;
    let kinds: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"live"), "{kinds:?}");
    assert!(!kinds.iter().any(|kind| ["lost", "stalled"].contains(kind)), "{events}");
    assert_eq!(json(program.address, "/api/cameras/gate").await["state"], "live");
}

#[tokio::test]
async fn a_camera_is_not_blamed_when_the_program_was_stopped() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let folder = tempfile::tempdir().unwrap();
    let program = program(server.address, folder.path()).await;
    let mut viewer = TestViewer::open(program.address, "/video_feed").await.unwrap();
    for _ in 0..2 {
        soon("a picture", viewer.next_number()).await.unwrap();
        program.tell(Signal::STOP);
        pause(STOP).await;
        program.tell(Signal::CONT);
        let before = camera.newest();
        let new = viewer.next_where(|seen| {
            assert!(!seen.is_slate(), "no picture says that the camera is silent");
            seen.number.is_some_and(|number| number > before)
        });
        soon("new pictures", new).await.unwrap();
    }
    is_not_blamed(&program).await;
    server.stop().await;
    program.tell(Signal::TERM);
    assert_eq!(program.end().await, Some(0));
}

#[tokio::test]
async fn a_camera_whose_connection_did_not_outlive_the_stop_is_opened_again_without_a_word() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let address = server.address;
    let folder = tempfile::tempdir().unwrap();
    let program = program(address, folder.path()).await;
    let mut viewer = TestViewer::open(program.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    program.tell(Signal::STOP);
    server.stop().await;
    let mut restarted = settings(&[&camera]);
    restarted.listen = Listen::Tcp(address);
    let server = Server::start(restarted, &[&camera]).await;
    pause(STOP).await;
    program.tell(Signal::CONT);
    let before = camera.newest();
    let new = viewer.next_where(|seen| seen.number.is_some_and(|number| number > before));
    soon("new pictures", new).await.unwrap();
    assert!(camera.opened() >= 2);
    is_not_blamed(&program).await;
    server.stop().await;
    program.tell(Signal::TERM);
    assert_eq!(program.end().await, Some(0));
}

/// How many numbers each connection of [`serve`] has for its pictures.
const EACH: u64 = 100_000;

/// A camera whose first connection sends nothing more once it is dead, and stays open.
async fn serve(listener: TcpListener, is_dead: watch::Receiver<bool>) {
    for connection in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        let is_dead = is_dead.clone();
        tokio::spawn(async move {
            // The program closes the connection when it has read enough.
            play(stream, connection * EACH, || connection == 0 && *is_dead.borrow()).await.ok();
        });
    }
}

/// Pictures with numbers after `before`, until the connection is dead.
async fn play(mut stream: TcpStream, before: u64, is_dead: impl Fn() -> bool) -> std::io::Result<()> {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")
        .await?;
    for number in before + 1.. {
        if is_dead() {
            pending::<()>().await;
        }
        let picture = jpeg_of_len(2048, number);
        let head = format!("--b\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", picture.len());
        stream.write_all(&[head.as_bytes(), &picture, b"\r\n"].concat()).await?;
        pause(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_camera_whose_connection_died_silently_during_the_stop_is_opened_again_without_a_word() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let is_dead = watch::Sender::new(false);
    let _camera = AbortOnDropHandle::new(tokio::spawn(serve(listener, is_dead.subscribe())));
    let folder = tempfile::tempdir().unwrap();
    let program = program(address, folder.path()).await;
    let mut viewer = TestViewer::open(program.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    program.tell(Signal::STOP);
    is_dead.send_replace(true);
    pause(STOP).await;
    program.tell(Signal::CONT);
    let new = viewer.next_where(|seen| seen.number.is_some_and(|number| number > EACH));
    soon("pictures of a new connection", new).await.unwrap();
    is_not_blamed(&program).await;
    program.tell(Signal::TERM);
    assert_eq!(program.end().await, Some(0));
}
