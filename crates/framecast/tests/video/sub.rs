//! Cameras with a sub stream: what is pulled of whom, and what a page gets.
#![warn(clippy::disallowed_methods)]

use std::time::Duration;

use framecast::{CameraSettings, Drivers, SourceUrl};
use framecast_testkit::rtsp::{Clip, FakeRtsp, Fault, RtspCounts};
use framecast_testkit::{soon, until};
use framecast_testkit_server::server::{SOON_STALLED, Server, camera_settings, settings};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// H.264 of 96x64 pixels: 6 frames, a keyframe each 3.
const SMALL: &[u8] = include_bytes!("../../../../testdata/x264-baseline.h264");
/// H.264 of another size.
const LARGE: &[u8] = include_bytes!("../../../../testdata/x264-cropped.h264");

const KEYFRAME: u8 = 2 | 8;
const INIT: u8 = 4;
const SLATE: u8 = 1;

/// Two fake cameras: the main stream of `front`, and its sub stream.
struct Streams {
    main: FakeRtsp,
    sub: FakeRtsp,
}

impl Streams {
    fn start() -> Self {
        let [main, sub] =
            [LARGE, SMALL].map(|file| FakeRtsp::builder(Clip::from_annex_b(file)).start().unwrap());
        Self { main, sub }
    }

    fn settings(&self) -> CameraSettings {
        let mut front = camera_settings("front", &self.main.url());
        front.sub = Some(SourceUrl::parse(&self.sub.url()).unwrap());
        front.stall_timeout = Some(SOON_STALLED * 4);
        front
    }

    async fn server(&self) -> Server {
        let mut settings = settings(&[]);
        settings.cameras = vec![self.settings()];
        Server::start_with(settings, Drivers::builtin()).await
    }

    /// The sessions so far of the main stream and of the sub stream.
    fn sessions(&self) -> (u64, u64) {
        (self.main.counts().sessions, self.sub.counts().sessions)
    }
}

/// A page with one tile.
struct Page(WebSocketStream<TcpStream>);

impl Page {
    async fn open(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (mut socket, _) =
            client_async(format!("ws://{}/api/live", server.address), stream).await.unwrap();
        soon("the greeting", socket.next()).await.unwrap().unwrap();
        Self(socket)
    }

    /// Asks for video in this width; in the full size for `None`.
    async fn ask(&mut self, width: Option<u32>) {
        let ask = json!({"type": "subscribe", "tile": 1, "camera": "front", "video": "mp4", "width": width});
        self.0.send(Message::text(ask.to_string())).await.unwrap();
    }

    /// Returns the next text, or else the flags of the next binary message, which is acknowledged.
    async fn next(&mut self) -> Result<Value, u8> {
        loop {
            match soon("a message", self.0.next()).await.unwrap().unwrap() {
                Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
                Message::Binary(bytes) => {
                    let sequence = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
                    let ack = json!({"type": "ack", "tile": 1, "sequence": sequence});
                    self.0.send(Message::text(ack.to_string())).await.unwrap();
                    return Err(bytes[1]);
                }
                _ => {}
            }
        }
    }

    /// Waits until the tile ends, and returns why. The last picture before that is a slate.
    async fn refusal(&mut self) -> String {
        let mut last = None;
        loop {
            match self.next().await {
                Ok(told) if told["type"] == "error" => {
                    assert_eq!(last, Some(SLATE));
                    return told["message"].as_str().unwrap().to_owned();
                }
                Ok(_) => {}
                Err(flags) => last = Some(flags),
            }
        }
    }

    /// Waits until a stream begins, and returns which one. It begins with an init segment and a keyframe.
    async fn begun_stream(&mut self) -> String {
        loop {
            let Ok(told) = self.next().await else { continue };
            if told["type"] == "video" {
                assert_eq!((self.next().await, self.next().await), (Err(INIT), Err(KEYFRAME)), "{told}");
                return told["stream"].as_str().unwrap().to_owned();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_stream_that_somebody_watches_is_pulled() {
    let streams = Streams::start();
    let server = streams.server().await;
    let mut page = Page::open(&server).await;
    soon("the list", framecast_testkit::get(server.address, "/api/cameras")).await.unwrap();
    assert_eq!(streams.sessions(), (0, 0), "nobody watches");
    page.ask(Some(120)).await;
    assert_eq!(page.begun_stream().await, "sub");
    assert_eq!(streams.sessions(), (0, 1));
    page.ask(None).await;
    assert_eq!(page.begun_stream().await, "main");
    until("the sub stream is closed", || streams.sub.counts().teardowns == 1).await;
    assert_eq!(streams.sessions(), (1, 1));
    drop(page);
    until("the main stream is closed", || streams.main.counts().teardowns == 1).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_stream_that_fails_is_replaced_by_the_main_stream_and_the_camera_is_not_lost() {
    let streams = Streams::start();
    let server = streams.server().await;
    let mut page = Page::open(&server).await;
    page.ask(Some(120)).await;
    assert_eq!(page.begun_stream().await, "sub");
    streams.sub.set_faults(&[Fault::Silence(Duration::ZERO)]);
    assert_eq!(page.begun_stream().await, "main");
    let answer =
        soon("the camera", framecast_testkit::get(server.address, "/api/cameras/front")).await.unwrap();
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&said["state"], &said["sub"]["state"]), (&json!("live"), &json!("lost")), "{said}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_adds_changes_and_removes_the_sub_stream() {
    let (streams, other) = (Streams::start(), Streams::start());
    let server = streams.server().await;
    let mut settings = settings(&[]);
    settings.cameras = vec![streams.settings()];
    let unchanged = server.cameras.apply(&settings).await.unwrap();
    assert!(unchanged.replaced.is_empty());
    settings.cameras[0].sub = other.settings().sub;
    assert_eq!(server.cameras.apply(&settings).await.unwrap().replaced, ["front"]);
    let mut page = Page::open(&server).await;
    page.ask(Some(120)).await;
    assert_eq!(page.begun_stream().await, "sub");
    assert_eq!((streams.sessions(), other.sessions()), ((0, 0), (0, 1)));
    let mut old_page = page;
    settings.cameras[0].sub = None;
    assert_eq!(server.cameras.apply(&settings).await.unwrap().replaced, ["front"]);
    assert_eq!(other.sub.counts(), RtspCounts { open: 0, teardowns: 1, ..other.sub.counts() });
    assert_eq!(old_page.refusal().await, "camera `front` was removed", "after a slate");
    let mut page = Page::open(&server).await;
    page.ask(Some(120)).await;
    assert_eq!(page.begun_stream().await, "main");
    server.cameras.remove("front").await.unwrap();
    server.stop().await;
}
