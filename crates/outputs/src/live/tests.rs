//! Tests of connections as a client sees them. The clock of the tests advances only when all tasks wait.
#![warn(clippy::disallowed_methods)]

mod video;

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use framecast_hub::{CameraState, CameraStatus, Delivery, Feed, Rendition};
use framecast_testkit::{cut_short, frame, frame_of_len, number_of, pause, soon};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, client_async};
use tower::ServiceExt;

use super::*;
use crate::publish::Publish;

const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The capacity of a pipe in bytes that is enough for any picture of these tests.
const WIDE: usize = 1 << 20;

struct Server {
    live: Live,
    door: Arc<Feed>,
    yard: Arc<Feed>,
}

impl Server {
    fn new() -> Self {
        let hub = Hub::new();
        let [door, yard] = ["door", "yard"].map(|name| {
            let feed = hub.add(name, SystemTime::UNIX_EPOCH).unwrap();
            feed.set_status(CameraStatus::new(CameraState::Live, SystemTime::UNIX_EPOCH));
            feed
        });
        let config = Config { write_timeout: WRITE_TIMEOUT, counts: CloseCounts::default() };
        let (viewers, shutdown) = (Viewers::default(), CancellationToken::new());
        let packers = VideoPackers::default();
        Self { live: Live { hub, viewers, packers, config, shutdown }, door, yard }
    }

    /// Creates a pipe to the server with a capacity of `bytes`.
    fn pipe(&self, bytes: usize) -> DuplexStream {
        let (client, server) = duplex(bytes);
        let live = self.live.clone();
        tokio::spawn(async move { websocket::Handler::serve(live, server, Bytes::new(), None).await });
        client
    }

    /// Connects a client and receives the server's greeting.
    async fn client(&self) -> Client {
        let mut client = Client(WebSocketStream::from_raw_socket(self.pipe(WIDE), Role::Client, None).await);
        assert_eq!(client.text().await["type"], "hello");
        client
    }

    /// Publishes a hundred frames a second from now on. The first frame has the number 1.
    fn play(&self) {
        let feed = Arc::clone(&self.door);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            for number in 1.. {
                ticks.tick().await;
                feed.publish(frame(number));
            }
        });
    }

    /// Waits until a connection has ended for the reason `name`.
    async fn ended(&self, name: &str) {
        while self.live.config.counts.iter().all(|(known, count)| known != name || count == 0) {
            pause(Duration::from_millis(100)).await;
        }
    }
}

struct Client<S = DuplexStream>(WebSocketStream<S>);

/// A picture that the client received: its tile, its sequence number, and the number shown in the picture.
#[derive(Debug, PartialEq, Eq)]
struct Picture {
    tile: u16,
    sequence: u32,
    number: Option<u64>,
    is_slate: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn subscribe(&mut self, tile: u16, camera: &str, more: Value) {
        let mut message = json!({"type": "subscribe", "tile": tile, "camera": camera});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.send(message).await;
    }

    async fn next(&mut self) -> Message {
        loop {
            let message = self.0.next().await.unwrap().unwrap();
            if !message.is_ping() {
                return message;
            }
        }
    }

    async fn text(&mut self) -> Value {
        serde_json::from_str(self.next().await.to_text().unwrap()).unwrap()
    }

    async fn picture(&mut self) -> Picture {
        let message = self.next().await;
        let Message::Binary(bytes) = &message else { panic!("{message:?}") };
        Picture {
            tile: u16::from_be_bytes(bytes[2..4].try_into().unwrap()),
            sequence: u32::from_be_bytes(bytes[4..8].try_into().unwrap()),
            number: number_of(&bytes[16..]),
            is_slate: bytes[1] & 1 == 1,
        }
    }

    /// Receives the next picture and acknowledges it at once. Returns the number shown in the picture.
    async fn number(&mut self) -> u64 {
        let picture = self.picture().await;
        self.ack(&picture).await;
        picture.number.unwrap()
    }

    async fn ack(&mut self, picture: &Picture) {
        self.send(json!({"type": "ack", "tile": picture.tile, "sequence": picture.sequence})).await;
    }

    /// Lets the server run until it waits. Returns whether the client has received no message by then.
    async fn is_quiet(&mut self) -> bool {
        pause(Duration::from_millis(1)).await;
        self.0.next().now_or_never().is_none()
    }

    async fn end(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.next().await {
                let frame = frame.unwrap();
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_is_given_the_newest_frame_when_it_has_painted() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({})).await;
    for n in 1..=2 {
        server.door.publish(frame(n));
        let expected = Picture { tile: 1, sequence: n as u32, number: Some(n), is_slate: false };
        assert_eq!(client.picture().await, expected);
    }
    for n in 3..=50 {
        server.door.publish(frame(n));
        assert!(client.is_quiet().await);
    }
    client.ack(&Picture { tile: 1, sequence: 1, number: None, is_slate: false }).await;
    assert_eq!(client.number().await, 50);
    assert!(client.is_quiet().await, "what stands is not sent again");
    let stats = &server.live.viewers.list()[0];
    assert_eq!((stats.frames(), stats.skipped_frames()), (3, 47));
    assert_eq!((stats.queue_bytes(), stats.transport()), (Some(0), crate::Transport::Live));
    assert!(stats.painted_age().is_some() && stats.age().is_some() && stats.bytes_per_second().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_speed_of_a_link_is_told_only_while_the_link_is_too_slow() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({})).await;
    let mut number = 0;
    let mut exchange = async |frames: u64, wait: Duration| {
        for _ in 0..frames {
            number += 1;
            server.door.publish(frame(number));
        }
        let picture = client.picture().await;
        pause(wait).await;
        client.ack(&picture).await;
        assert!(client.is_quiet().await);
        server.live.viewers.list()[0].bytes_per_second()
    };
    let (slow, fast) = (Duration::from_millis(100), Duration::from_millis(5));
    assert_eq!(exchange(1, slow).await, None);
    let told = exchange(3, slow).await;
    assert!(told.is_some());
    for _ in 0..16 {
        exchange(1, slow).await;
    }
    let told = exchange(1, slow).await;
    assert_eq!(exchange(1, fast).await, told, "the link carries all pictures");
    assert_ne!(exchange(3, fast).await, told, "the client was slow again");
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_without_drift_and_with_the_newest_pictures() {
    let server = Server::new();
    server.play();
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({"fps": 5})).await;
    let first = client.number().await;
    let start = Instant::now();
    for n in 1..=20 {
        let number = client.number().await;
        assert_eq!(start.elapsed().as_millis() / 10, 20 * n, "picture {n}");
        assert!(number.abs_diff(first + 20 * n as u64) <= 1, "{number} is not the newest");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slate_is_marked_and_what_must_not_pass_for_live_is_not_sent() {
    let server = Server::new();
    let mut client = server.client().await;
    server.door.publish(frame(1));
    server.door.suspend();
    client.subscribe(1, "door", json!({})).await;
    assert!(client.is_quiet().await);
    server.door.publish_slate(frame(99));
    let picture = client.picture().await;
    assert_eq!((picture.number, picture.is_slate), (Some(99), true));
    server.door.publish(frame(2));
    let picture = client.picture().await;
    assert_eq!((picture.number, picture.is_slate), (Some(2), false));
    // The server announces this picture while the window is full, and withdraws it before its turn.
    server.door.publish(frame(3));
    assert!(client.is_quiet().await);
    server.door.suspend();
    client.ack(&picture).await;
    assert!(client.is_quiet().await);
    server.door.publish(frame(4));
    assert_eq!(client.number().await, 4);
}

#[tokio::test(start_paused = true)]
async fn another_size_takes_the_place_of_the_old_one_when_it_has_a_picture() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({})).await;
    server.door.publish(frame(1));
    assert_eq!(client.number().await, 1);
    client.subscribe(1, "door", json!({"width": 320})).await;
    assert!(client.is_quiet().await);
    assert_eq!(server.door.viewer_count(), 1, "it is one viewer all the time");
    server.door.publish(frame(2));
    assert_eq!(client.number().await, 2, "the old size goes on");
    let (rendition, small) = server.door.renditions().borrow()[0].clone();
    assert_eq!(rendition, Rendition::default().with_width(320));
    small.publish(frame(1002));
    assert_eq!(client.number().await, 1002);
    server.door.publish(frame(3));
    assert!(client.is_quiet().await);
    assert_eq!((server.door.main_channel().subscriber_count(), server.door.viewer_count()), (0, 1));
    assert_eq!(server.live.viewers.list()[0].rendition(), rendition);
    assert_eq!(server.live.viewers.list().len(), 1, "it is one viewer all the time");
}

#[tokio::test(start_paused = true)]
async fn a_tile_that_adapts_is_sent_smaller_pictures_when_the_link_is_too_slow_for_its_own() {
    let server = Server::new();
    let mut format = (*frame(1).format).clone();
    format.width_px = 1280;
    let format = Arc::new(format);
    let large = |n| {
        let mut frame = frame_of_len(76_000, n);
        frame.format = Arc::clone(&format);
        frame
    };
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({"adapt": true})).await;
    let (mut number, mut made) = (0, None);
    while made.is_none() && number < 100 {
        (0..10).for_each(|n| server.door.publish(large(number + n)));
        number += 10;
        let picture = client.picture().await;
        pause(Duration::from_millis(300)).await;
        client.ack(&picture).await;
        made = server.door.renditions().borrow().first().cloned();
    }
    let (rendition, smaller) = made.expect("a smaller size is asked for");
    assert_eq!(rendition, Rendition::default().with_width(640));
    smaller.publish(frame(1000));
    while client.number().await != 1000 {}
    assert!(client.is_quiet().await);
    assert_eq!(server.live.viewers.list()[0].rendition(), rendition);
}

#[tokio::test(start_paused = true)]
async fn a_tile_for_whose_size_there_is_no_place_shows_the_nearest_that_is_made() {
    let server = Server::new();
    let mut client = server.client().await;
    let widths = [160, 240, 320, 480, 640, 800, 960, 1280];
    let held = widths
        .map(|width| server.door.watch(Rendition::default().with_width(width), Delivery::Latest).unwrap());
    client.subscribe(1, "door", json!({"width": 640, "quality": 60})).await;
    assert!(client.is_quiet().await);
    let (rendition, made) = server.door.renditions().borrow()[4].clone();
    made.publish(frame(640));
    assert_eq!(client.number().await, 640);
    assert_eq!(server.live.viewers.list()[0].rendition(), rendition);
    client.subscribe(1, "door", json!({"width": 1600})).await;
    assert!(client.is_quiet().await);
    server.door.publish(frame(1600));
    assert_eq!(client.number().await, 1600, "the camera's own where none is large enough");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_tile_shows_another_camera_and_its_numbers_go_on() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({})).await;
    server.door.publish(frame(1));
    let last = client.picture().await;
    client.subscribe(1, "yard", json!({})).await;
    server.yard.publish(frame(7));
    let next = client.picture().await;
    assert_eq!((next.sequence, next.number), (last.sequence + 1, Some(7)));
    assert_eq!((server.door.viewer_count(), server.yard.viewer_count()), (0, 1));
    client.subscribe(1, "attic", json!({})).await;
    assert_eq!(client.text().await["message"], "unknown camera `attic`; known cameras: door, yard");
    assert!(client.is_quiet().await);
    assert_eq!(server.yard.viewer_count(), 0, "the tile shows nothing now");
    client.ack(&next).await;
    assert!(client.is_quiet().await, "and what was on its way may still be acknowledged");
}

#[tokio::test(start_paused = true)]
async fn a_paused_tile_is_sent_nothing_and_wants_no_camera() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({})).await;
    server.door.publish(frame(1));
    assert_eq!(client.number().await, 1);
    client.subscribe(1, "door", json!({"priority": 0})).await;
    assert!(client.is_quiet().await);
    server.door.publish(frame(2));
    assert!(client.is_quiet().await);
    assert_eq!((server.door.viewer_count(), server.live.viewers.list().len()), (0, 1));
    client.subscribe(1, "door", json!({})).await;
    assert_eq!(client.number().await, 2);
    server.door.publish(frame(3));
    assert_eq!(client.number().await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_ends_is_told_and_the_others_go_on() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({})).await;
    client.subscribe(2, "yard", json!({})).await;
    server.door.end();
    let told = json!({"type": "error", "tile": 1, "message": "camera `door` was removed"});
    assert_eq!(client.text().await, told);
    server.yard.publish(frame(1));
    assert_eq!(client.picture().await.tile, 2);
    assert_eq!(server.live.viewers.list().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_acknowledges_is_closed_after_ten_seconds() {
    let server = Server::new();
    let mut client = server.client().await;
    pause(Duration::from_secs(20)).await;
    client.subscribe(1, "door", json!({})).await;
    server.door.publish(frame(1));
    client.picture().await;
    let start = Instant::now();
    assert_eq!(client.end().await, (1008, "the client acknowledged no picture for 10 s".to_owned()));
    assert_eq!(start.elapsed().as_secs(), 10);
    server.ended("not_acknowledged").await;
    assert!(server.live.viewers.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up_after_the_write_timeout() {
    let server = Server::new();
    let start = Instant::now();
    let pipe = server.pipe(10);
    server.ended("stalled").await;
    assert_eq!(start.elapsed().as_secs(), WRITE_TIMEOUT.as_secs());
    drop(pipe);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_is_given_up_after_three_pings() {
    let server = Server::new();
    let mut pipe = server.pipe(WIDE);
    let start = Instant::now();
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(45));
    let pings = bytes.windows(2).filter(|frame| *frame == [0x89, 0]).count();
    assert_eq!(pings, 2, "and the third would have come just then");
    server.ended("stalled").await;
    // A client that answers stays connected.
    let mut client = server.client().await;
    assert!(cut_short(Duration::from_secs(1000), client.next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_a_byte_a_second_does_not_hold_a_picture_for_ever() {
    let server = Server::new();
    let pipe = server.pipe(4096);
    let mut client = Client(WebSocketStream::from_raw_socket(pipe, Role::Client, None).await);
    assert_eq!(client.text().await["type"], "hello");
    client.subscribe(1, "door", json!({})).await;
    server.door.publish(frame_of_len(100_000, 1));
    let mut pipe = client.0.into_inner();
    let start = Instant::now();
    let reading = async {
        loop {
            pause(Duration::from_secs(1)).await;
            // At the end there is nothing more to read.
            if pipe.read(&mut [0]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = server.ended("slow") => {}
    }
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(server.door.viewer_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_that_does_not_read_is_told_is_bounded() {
    let server = Server::new();
    let mut client = Client(WebSocketStream::from_raw_socket(server.pipe(100), Role::Client, None).await);
    let asking = async {
        // Far more error texts than the server buffers; it then stops reading, and the client cannot send any more.
        for _ in 0..900 {
            client.subscribe(1, "attic", json!({})).await;
        }
    };
    assert!(cut_short(WRITE_TIMEOUT / 2, asking).await.is_none(), "it was heard to the end");
    server.ended("stalled").await;
}

#[tokio::test(start_paused = true)]
async fn each_end_is_counted_and_the_shutdown_told() {
    let server = Server::new();
    let mut closed = server.client().await;
    closed.0.close(None).await.unwrap();
    server.ended("closed").await;
    drop(server.client().await);
    server.ended("gone").await;
    let mut told = server.client().await;
    server.live.shutdown.cancel();
    assert_eq!(told.end().await.0, 1001);
    assert_eq!(server.live.config.counts.iter().map(|(_, count)| count).sum::<u64>(), 3);
}

#[tokio::test(start_paused = true)]
async fn many_tiles_of_one_camera_all_go_on_while_the_link_is_narrow() {
    let server = Server::new();
    server.play();
    let mut client = server.client().await;
    for tile in 0..200 {
        client.subscribe(tile, "door", json!({})).await;
    }
    let mut counts = [0_u32; 200];
    while counts.iter().any(|count| *count < 20) {
        let picture = client.picture().await;
        counts[usize::from(picture.tile)] += 1;
        // A client that needs time for each picture.
        pause(Duration::from_millis(1)).await;
        client.ack(&picture).await;
    }
    let most = counts.iter().max().unwrap();
    assert!(*most <= 22, "turns go round: {counts:?}");
}

#[tokio::test(start_paused = true)]
async fn frames_that_never_become_a_message_are_a_flood_too() {
    let server = Server::new();
    let mut client = server.client().await;
    // The start of a text, then empty pieces, with a mask of zeros.
    let (start, piece) = ([0x01, 0x80, 0, 0, 0, 0], [0x00, 0x80, 0, 0, 0, 0]);
    let pipe = client.0.get_mut();
    pipe.write_all(&start).await.unwrap();
    let pieces = piece.repeat(1000);
    while pipe.write_all(&pieces).await.is_ok() {}
    server.ended("flood").await;
}

#[tokio::test]
async fn in_another_programs_server_the_socket_comes_by_an_upgrade() {
    let server = Server::new();
    let Live { hub, viewers, config, shutdown, .. } = server.live.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = routes(hub, viewers, config, shutdown);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let stream = TcpStream::connect(address).await.unwrap();
    let (ws, _) = soon("an answer", client_async(format!("ws://{address}/api/live"), stream)).await.unwrap();
    let mut client = Client(ws);
    assert_eq!(soon("a greeting", client.text()).await["version"], 1);
    client.subscribe(1, "door", json!({})).await;
    server.door.publish(frame(1));
    assert_eq!(soon("a picture", client.number()).await, 1);
    // Without a way to get the socket, the request is refused.
    let request = axum::http::Request::get("/api/live")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let Live { hub, viewers, config, shutdown, .. } = server.live.clone();
    let answer = routes(hub, viewers, config, shutdown).oneshot(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.unwrap().status(), 400);
}
