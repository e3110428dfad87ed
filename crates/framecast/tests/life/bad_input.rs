//! Clients that violate the rules. The server limits each, closes it with the right status and counts it by the right
//! word, and the viewer beside it sees every picture.
//!
//! The tests of HTTP have other violations by clients of `/api/live`.

use std::net::SocketAddr;
use std::time::Duration;

use framecast_testkit::{TestViewer, get, pause, soon, until_async};
use framecast_testkit_server::camera::{Act, Camera};
use framecast_testkit_server::server::{Server, settings};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// More than the kernel buffers for a client with a small receive buffer.
const PICTURE_BYTES: usize = 256 << 10;

/// The server's timeouts in these tests: enough for a good viewer, even on a slow machine.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs `bad` against a server, and waits until the metric `counted` counts it. Meanwhile another viewer of the same
/// camera, on the same writer, must see every picture: the camera yields the next one when the viewer has seen the
/// last.
async fn never_felt(counted: &str, bad: impl AsyncFnOnce(SocketAddr)) {
    let camera = Camera::new("door", Act::Follow { ahead: 1, len_bytes: PICTURE_BYTES });
    let mut settings = settings(&[&camera]);
    (settings.write_timeout, settings.header_timeout) = (PATIENCE, PATIENCE);
    settings.writer_threads = Some(1);
    settings.cameras[0].max_fps = 1000.0;
    let server = Server::start(settings, &[&camera]).await;
    let address = server.address;
    let mut viewer = TestViewer::open(address, "/video_feed").await.unwrap();
    let mut last = soon("a picture", viewer.next_number()).await.unwrap();
    camera.saw(last);
    let sees_all = async {
        loop {
            let number = soon("the next picture", viewer.next_number()).await.expect("the stream goes on");
            assert_eq!(number, last + 1);
            last = number;
            camera.saw(number);
            // Keeps the frame rate within the range of real cameras.
            pause(Duration::from_millis(2)).await;
        }
    };
    let line = format!("framecast_{counted} 1\n");
    let is_counted = async {
        soon("its end", bad(address)).await;
        let metrics = async || get(address, "/metrics").await.unwrap().text();
        until_async(&line, async || metrics().await.contains(&line)).await;
    };
    tokio::select! {
        () = sees_all => {}
        () = is_counted => {}
    }
    let watching = get(address, "/api/cameras/door").await.unwrap().text();
    assert!(watching.contains("\"viewers\":1"), "{watching}");
    server.stop().await;
}

/// A connection with a small receive buffer.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// A connection that sent a request for `path`, and has read nothing of the answer.
async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = narrow(address).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads nothing of `path`; returns when the server closes the connection.
async fn takes_nothing(address: SocketAddr, path: &str) {
    let mut stream = ask(address, path).await;
    // A failing write shows the peer's close without reading. The server ignores these bytes while the stream lasts.
    while stream.write_all(b"x").await.is_ok() {
        pause(Duration::from_millis(50)).await;
    }
}

/// Closes in the middle of the first picture of `path`.
async fn closes_mid_frame(address: SocketAddr, path: &str) {
    let mut stream = ask(address, path).await;
    stream.read_exact(&mut vec![0; PICTURE_BYTES / 2]).await.unwrap();
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_closed_without_an_answer() {
    never_felt("failed_connections_total{why=\"silent\"}", async |address| {
        let mut told = Vec::new();
        TcpStream::connect(address).await.unwrap().read_to_end(&mut told).await.unwrap();
        assert!(told.is_empty(), "{}", String::from_utf8_lossy(&told));
    })
    .await;
}

#[tokio::test]
async fn half_a_request_is_answered_408() {
    never_felt("failed_connections_total{why=\"late_head\"}", async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /video_feed HTTP/1.1\r\nHo").await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_cut_off() {
    never_felt("failed_connections_total{why=\"late_head\"}", async |address| {
        let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
        let drip = async {
            for byte in b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x')) {
                if writing.write_all(&[*byte]).await.is_err() {
                    return;
                }
                pause(Duration::from_millis(20)).await;
            }
        };
        let mut told = Vec::new();
        // The server may reset the connection with our bytes unread, and the answer is then lost.
        let (_read, ()) = tokio::join!(reading.read_to_end(&mut told), drip);
        let told = String::from_utf8_lossy(&told);
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 408 "), "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_viewer_that_never_reads_is_disconnected() {
    let counted = "stream_endings_total{camera=\"door\",ending=\"stalled\"}";
    never_felt(counted, async |address| takes_nothing(address, "/video_feed").await).await;
}

#[tokio::test]
async fn a_viewer_of_a_body_that_never_reads_is_disconnected() {
    let counted = "stream_endings_total{camera=\"door\",ending=\"stalled\"}";
    never_felt(counted, async |address| takes_nothing(address, "/stream?extra_headers=1").await).await;
}

#[tokio::test]
async fn a_viewer_that_reads_a_byte_a_second_for_ever_is_disconnected() {
    never_felt("stream_endings_total{camera=\"door\",ending=\"stalled\"}", async |address| {
        let mut stream = ask(address, "/video_feed").await;
        while stream.write_all(b"x").await.is_ok() {
            stream.read_u8().await.ok();
            pause(Duration::from_secs(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_viewer_that_closes_within_a_picture_has_left() {
    let counted = "stream_endings_total{camera=\"door\",ending=\"left\"}";
    never_felt(counted, async |address| closes_mid_frame(address, "/video_feed").await).await;
}

#[tokio::test]
async fn a_viewer_of_a_body_that_closes_within_a_picture_has_left() {
    let counted = "stream_endings_total{camera=\"door\",ending=\"left\"}";
    never_felt(counted, async |address| closes_mid_frame(address, "/stream?extra_headers=1").await).await;
}

/// A client of `/api/live` that has subscribed to the camera and sends no acknowledgements by itself.
async fn live(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut live, _) = client_async(format!("ws://{address}/api/live"), stream).await.unwrap();
    live.send(Message::text(r#"{"type":"subscribe","tile":0,"camera":"door"}"#)).await.unwrap();
    live
}

/// How many pictures come before the end, and the close code.
async fn end(live: &mut WebSocketStream<TcpStream>) -> (usize, u16) {
    let mut pictures = 0;
    loop {
        match live.next().await.expect("it is told why").unwrap() {
            Message::Binary(_) => pictures += 1,
            Message::Close(frame) => return (pictures, frame.expect("with a code").code.into()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_websocket_that_never_acknowledges_gets_a_picture_and_its_end() {
    never_felt("live_endings_total{ending=\"not_acknowledged\"}", async |address| {
        // Without an acknowledgement the server sends only one picture of this size.
        assert_eq!(end(&mut live(address).await).await, (1, 1008));
    })
    .await;
}

#[tokio::test]
async fn a_websocket_that_acknowledges_the_future_is_closed() {
    never_felt("live_endings_total{ending=\"not_sent\"}", async |address| {
        let mut live = live(address).await;
        live.send(Message::text(r#"{"type":"ack","tile":0,"sequence":1000}"#)).await.unwrap();
        assert_eq!(end(&mut live).await.1, 1008);
    })
    .await;
}
