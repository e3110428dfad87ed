//! Many cameras over one WebSocket: the protocol from a client's view.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use framecast::{Account, Cameras, Drivers, Settings};
use framecast_testkit::{soon, until, until_async};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderName;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::{Server, error};

/// A client of `/api/live`.
struct Client {
    ws: WebSocketStream<TcpStream>,
}

/// A picture as received.
struct Picture {
    tile: u16,
    sequence: u32,
    captured_us: u64,
    is_slate: bool,
    jpeg: Vec<u8>,
}

/// A message that a client gets.
enum Received {
    Text(Value),
    Picture(Picture),
    Closed(u16, String),
}

impl Client {
    /// Connects a client and reads the hello.
    async fn open(server: &Server) -> Self {
        let mut client = Self::try_open(server, &[]).await.unwrap();
        assert_eq!(
            client.text().await,
            json!({"type": "hello", "version": 1, "max_tiles": 256, "window": 2})
        );
        client
    }

    async fn try_open(server: &Server, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let mut request = format!("ws://{}/api/live", server.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let stream = TcpStream::connect(server.address).await.unwrap();
        Ok(Self { ws: client_async(request, stream).await?.0 })
    }

    async fn send(&mut self, message: Value) {
        self.ws.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Received {
        loop {
            match soon("a message", self.ws.next()).await.unwrap().unwrap() {
                Message::Text(text) => return Received::Text(serde_json::from_str(&text).unwrap()),
                Message::Binary(bytes) => return Received::Picture(picture(&bytes)),
                Message::Close(frame) => {
                    let frame = frame.unwrap();
                    return Received::Closed(frame.code.into(), frame.reason.to_string());
                }
                _ => {}
            }
        }
    }

    async fn text(&mut self) -> Value {
        match self.next().await {
            Received::Text(text) => text,
            Received::Picture(picture) => panic!("a picture of tile {}", picture.tile),
            Received::Closed(code, reason) => panic!("closed: {code} {reason}"),
        }
    }

    async fn picture(&mut self) -> Picture {
        match self.next().await {
            Received::Picture(picture) => picture,
            Received::Text(text) => panic!("{text}"),
            Received::Closed(code, reason) => panic!("closed: {code} {reason}"),
        }
    }

    async fn ack(&mut self, picture: &Picture) {
        self.send(
            json!({"type": "ack", "tile": picture.tile, "sequence": picture.sequence, "paint_ms": 1.5}),
        )
        .await;
    }

    /// The close code and reason, after any other messages.
    async fn end(&mut self) -> (u16, String) {
        loop {
            if let Received::Closed(code, reason) = self.next().await {
                return (code, reason);
            }
        }
    }
}

fn picture(bytes: &[u8]) -> Picture {
    let number = |range: std::ops::Range<usize>| {
        bytes[range].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    assert_eq!(bytes[0], 1, "the version");
    assert!(bytes[16..].starts_with(&[0xFF, 0xD8]) && bytes.ends_with(&[0xFF, 0xD9]));
    Picture {
        tile: number(2..4) as u16,
        sequence: number(4..8) as u32,
        captured_us: number(8..16),
        is_slate: bytes[1] & 1 == 1,
        jpeg: bytes[16..].to_vec(),
    }
}

fn subscribe(tile: u16, camera: &str) -> Value {
    json!({"type": "subscribe", "tile": tile, "camera": camera})
}

fn unix_us() -> u64 {
    u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap()
}

#[tokio::test]
async fn pictures_come_when_those_before_were_acknowledged() {
    let server = Server::with(|_| {});
    let mut client = Client::open(&server).await;
    let start = unix_us();
    client.send(subscribe(7, "front")).await;
    let (mut last, mut live) = (0, 0);
    while live < 20 {
        let picture = client.picture().await;
        assert_eq!((picture.tile, picture.sequence), (7, last + 1));
        assert!(picture.captured_us <= unix_us());
        if !picture.is_slate {
            assert!(picture.captured_us + 1_000_000 > start && picture.jpeg.len() > 100);
            live += 1;
        }
        last = picture.sequence;
        client.ack(&picture).await;
    }
    client.ws.close(None).await.unwrap();
    server.wait_for("front", "viewers", 0);
}

#[tokio::test]
async fn two_pictures_are_sent_ahead_and_then_the_newest() {
    let server = Server::with(|_| {});
    let mut client = Client::open(&server).await;
    client.send(subscribe(0, "front")).await;
    // A slate may come before the camera is open.
    let mut first = client.picture().await;
    while first.is_slate {
        client.ack(&first).await;
        first = client.picture().await;
    }
    let second = client.picture().await;
    let front = |field: &str| server.json("/api/cameras/front")[field].as_u64().unwrap();
    let published = front("frames");
    until("ten more frames", || front("frames") >= published + 10).await;
    assert!(client.ws.next().now_or_never().is_none(), "a third one");
    let newest_us = unix_us() - (front("age_ms") + 1) * 1000;
    // The acknowledgement covers the first picture too.
    client.ack(&second).await;
    let third = client.picture().await;
    let fourth = client.picture().await;
    assert_eq!((third.sequence, fourth.sequence), (second.sequence + 1, second.sequence + 2));
    assert!(third.captured_us >= newest_us, "it is not the newest");
}

#[tokio::test]
async fn a_tile_that_cannot_be_shown_is_told_why_and_the_others_live_on() {
    let server = Server::with(|settings| settings.max_viewers = Some(1));
    let mut client = Client::open(&server).await;
    client.send(subscribe(1, "back")).await;
    let told = json!({"type": "error", "tile": 1, "message": "unknown camera `back`; known cameras: front"});
    assert_eq!(client.text().await, told);
    client.send(subscribe(2, "front")).await;
    assert_eq!(client.picture().await.tile, 2);
    client.send(subscribe(1, "front")).await;
    loop {
        match client.next().await {
            Received::Picture(picture) => client.ack(&picture).await,
            Received::Text(text) => {
                let told = "viewer limit reached (1 for this server)";
                assert_eq!(text, json!({"type": "error", "tile": 1, "message": told}));
                break;
            }
            Received::Closed(code, reason) => panic!("{code} {reason}"),
        }
    }
    // Tile 2 counts as a viewer already, so it can change to another rendition despite the limit.
    client.send(json!({"type": "subscribe", "tile": 2, "camera": "front", "width": 160})).await;
    client.send(json!({"type": "unsubscribe", "tile": 2})).await;
    server.wait_for("front", "viewers", 0);
    client.send(subscribe(1, "front")).await;
    until_async("a picture of the tile", async || client.picture().await.tile == 1).await;
}

#[tokio::test]
async fn what_breaks_the_rules_is_closed_with_a_code_and_a_reason() {
    let server = Server::with(|_| {});
    let text = |text: &str| Message::text(text.to_owned());
    for (message, code, told) in [
        (text("hello"), 1008, "the message is not JSON"),
        (text("{}"), 1008, "`type` is missing"),
        (text(r#"{"type":"dance"}"#), 1008, "unknown type `dance`"),
        (text(r#"{"type":"subscribe","tile":70000,"camera":"front"}"#), 1008, "`tile` must be"),
        (
            text(r#"{"type":"ack","tile":0,"sequence":1}"#),
            1008,
            "picture 1 of tile 0, which the server did not send",
        ),
        (text(&" ".repeat(4097)), 1009, "more than 4096 bytes"),
        (Message::binary(vec![1]), 1003, "text only"),
    ] {
        let mut client = Client::open(&server).await;
        client.ws.send(message).await.unwrap();
        let (got, reason) = client.end().await;
        assert!(got == code && reason.contains(told), "{got} {reason}");
    }
    // A text frame that is not UTF-8, and one without a mask.
    for (frame, code) in [(&[0x81, 0x82, 0, 0, 0, 0, 0xC3, 0x28][..], 1007), (&[0x81, 1, b'x'], 1002)] {
        let mut client = Client::open(&server).await;
        client.ws.get_mut().write_all(frame).await.unwrap();
        assert_eq!(client.end().await.0, code);
    }
}

#[tokio::test]
async fn ten_thousand_tiles_and_a_flood_end_their_connection_and_nobody_elses() {
    let server = Server::with(|_| {});
    let mut bystander = Client::open(&server).await;
    bystander.send(subscribe(0, "front")).await;
    for (message, told) in [
        (
            Box::new(|n| subscribe(n, "front")) as Box<dyn Fn(u16) -> Value>,
            "the client subscribed to more than 256 tiles",
        ),
        (
            Box::new(|_| json!({"type": "unsubscribe", "tile": 0})),
            "the client sent more than 1000 messages, or 4 MB, a second",
        ),
    ] {
        let client = Client::open(&server).await;
        let (mut sink, stream) = client.ws.split();
        let sending = async {
            for n in 0..10_000 {
                // The server closes the connection meanwhile.
                if sink.send(Message::text(message(n).to_string())).await.is_err() {
                    break;
                }
            }
        };
        let ends = stream.filter_map(async |message| match message {
            Ok(Message::Close(frame)) => frame,
            _ => None,
        });
        let ends = Box::pin(ends).into_future();
        let ((), (end, _)) = soon("the end", async { tokio::join!(sending, ends) }).await;
        let end = end.unwrap();
        assert_eq!((u16::from(end.code), end.reason.as_str()), (1008, told));
    }
    for _ in 0..10 {
        let picture = bystander.picture().await;
        bystander.ack(&picture).await;
    }
    server.wait_for("front", "viewers", 1);
    let counted = server.get("/metrics").text();
    for ending in ["too_many_tiles", "flood"] {
        let line = format!("framecast_live_endings_total{{ending=\"{ending}\"}} 1\n");
        assert!(counted.contains(&line), "{line} is not in\n{counted}");
    }
}

#[tokio::test]
async fn sixteen_cameras_come_over_one_connection_and_a_slow_tile_holds_none_up() {
    let names: Vec<String> = (0..16).map(|n| format!("cam{n}")).collect();
    let source = "emulated:?fps=10&size=64x64";
    let settings = Settings::with_cameras(names.iter().map(|name| (name.as_str(), source))).unwrap();
    let server = Server::start(settings, Drivers::builtin());
    let mut client = Client::open(&server).await;
    for (tile, name) in names.iter().enumerate() {
        client.send(json!({"type": "subscribe", "tile": tile, "camera": name, "fps": 10})).await;
    }
    let mut counts = [0; 16];
    while counts[1..].iter().any(|count| *count < 30) {
        let picture = client.picture().await;
        counts[usize::from(picture.tile)] += 1;
        // Tile 0 never acknowledges: it gets its two pictures and nothing more.
        if picture.tile != 0 {
            client.ack(&picture).await;
        }
    }
    assert_eq!(counts[0], 2);
}

#[tokio::test]
async fn what_a_client_says_in_the_same_breath_as_its_request_is_heard() {
    let server = Server::with(|_| {});
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "GET /api/live HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    );
    let text = br#"{"type":"subscribe","tile":0,"camera":"x"}"#;
    let frame = [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], &text[..]].concat();
    stream.write_all(&[head.as_bytes(), &frame].concat()).await.unwrap();
    let mut answer = Vec::new();
    let told = b"unknown camera `x`";
    while !answer.windows(told.len()).any(|bytes| bytes == told) {
        assert!(soon("the answer", stream.read_buf(&mut answer)).await.unwrap() > 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
}

#[tokio::test]
async fn the_end_of_the_server_is_told() {
    let server = Server::with(|_| {});
    let mut client = Client::open(&server).await;
    client.send(subscribe(0, "front")).await;
    let mut last = client.picture().await;
    while last.is_slate {
        client.ack(&last).await;
        last = client.picture().await;
    }
    server.shutdown.cancel();
    let closed = loop {
        client.ack(&last).await;
        match client.next().await {
            Received::Picture(picture) => last = picture,
            Received::Text(text) => panic!("no camera was removed, but the client was told {text}"),
            Received::Closed(code, reason) => break (code, reason),
        }
    };
    assert_eq!(closed, (1001, "the server is shutting down".to_owned()));
    assert!(last.is_slate, "the picture that stays says that the stream has ended");
}

#[test]
fn a_request_that_opens_no_websocket_is_told_what_would() {
    let server = Server::with(|_| {});
    let answer = server.get("/api/live");
    assert_eq!((answer.status, answer.header("upgrade")), (426, Some("websocket")));
    assert!(error(&answer).contains("ws://"));
    let opening = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "12"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = server.ask("GET /api/live", &opening);
    assert_eq!((answer.status, answer.header("sec-websocket-version")), (426, Some("13")));
    assert_eq!(server.ask("GET /api/live", &opening[..2]).status, 426);
    assert_eq!(server.ask("POST /api/live", &opening).status, 405);
    assert_eq!(server.ask("OPTIONS /api/live", &[]).status, 204);
}

#[tokio::test]
async fn pages_of_other_sites_may_not_connect_unless_they_are_named() {
    let server = Server::with(|settings| {
        settings.cors_origins = vec!["https://dashboard.example".parse().unwrap()];
    });
    let own = format!("http://{}", server.address);
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:1")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://dashboard.example.evil.org")],
    ] {
        let Err(Error::Http(answer)) = Client::try_open(&server, headers).await else {
            panic!("{headers:?}")
        };
        assert_eq!(answer.status(), 403, "{headers:?}");
    }
    for headers in [
        &[][..],
        &[("origin", own.as_str())],
        &[("sec-fetch-site", "same-origin"), ("origin", &own)],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://dashboard.example")],
    ] {
        assert!(Client::try_open(&server, headers).await.is_ok(), "{headers:?}");
    }
}

#[tokio::test]
async fn nor_where_the_routes_are_mounted_in_another_program() {
    let cameras =
        Cameras::start(Settings::with_cameras([("front", crate::QUICK)]).unwrap(), Drivers::builtin()).await;
    let cameras = cameras.unwrap();
    let router = axum::Router::new().nest_service("/cams", cameras.router());
    for (origin, status) in [("http://shop.example", 403), ("http://workshop.example", 426)] {
        let request = axum::http::Request::get("/cams/api/live").header("host", "workshop.example");
        let request = request.header("origin", origin).body(axum::body::Body::empty()).unwrap();
        let answer = tower::ServiceExt::oneshot(router.clone(), request).await.unwrap();
        assert_eq!(answer.status(), status, "{origin}");
    }
    cameras.close().await;
}

#[tokio::test]
async fn the_account_is_asked_for_before_anything_else() {
    let server = Server::with(|settings| settings.account = Some(Account::new("me", "pw").unwrap()));
    let Err(Error::Http(answer)) = Client::try_open(&server, &[]).await else { panic!("it is open") };
    assert_eq!(answer.status(), 401);
    let right = format!("Basic {}", STANDARD.encode("me:pw"));
    let mut client = Client::try_open(&server, &[("authorization", &right)]).await.unwrap();
    assert_eq!(client.text().await["type"], "hello");
}
