//! The paths of go2rtc that are more than pictures: the WebSocket of its players, and the requests by which programs
//! look at a go2rtc and its streams.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use framecast::{Account, Settings};
use framecast_testkit::soon;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderName;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::{Server, error};

/// A player on a WebSocket of `/api/ws`.
struct PlayerClient(WebSocketStream<TcpStream>);

impl PlayerClient {
    async fn open(server: &Server, query: &str, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let address = format!("ws://{}/api/ws{query}", server.address);
        let mut request = address.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let stream = TcpStream::connect(server.address).await.unwrap();
        Ok(Self(client_async(request, stream).await?.0))
    }

    async fn ask(&mut self, kind: &str) {
        self.0.send(Message::text(json!({"type": kind, "value": ""}).to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        loop {
            let message = soon("a message", self.0.next()).await.unwrap().unwrap();
            if !message.is_ping() {
                return message;
            }
        }
    }

    async fn told(&mut self) -> Value {
        serde_json::from_str(self.next().await.to_text().unwrap()).unwrap()
    }

    /// The status of the answer that refuses the WebSocket.
    async fn refused(server: &Server, query: &str, headers: &[(&'static str, &str)]) -> u16 {
        match Self::open(server, query, headers).await {
            Err(Error::Http(answer)) => answer.status().as_u16(),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("the WebSocket is open"),
        }
    }
}

#[tokio::test]
async fn a_player_gets_the_pictures_of_the_camera_that_it_names() {
    let server = Server::with(|settings| settings.add_camera("hall.way", crate::QUICK).unwrap());
    let mut player = PlayerClient::open(&server, "?src=hall%2Eway", &[]).await.unwrap();
    player.ask("mse").await;
    let told = player.told().await;
    let why = "mse: hall.way: the camera delivers pictures, not H.264 or H.265 video; ask for mjpeg";
    assert_eq!(told, json!({"type": "error", "value": why}));
    player.ask("mjpeg").await;
    assert_eq!(player.told().await, json!({"type": "mjpeg"}));
    for _ in 0..3 {
        let picture = player.next().await.into_data();
        assert!(picture.starts_with(&[0xFF, 0xD8]) && picture.ends_with(&[0xFF, 0xD9]));
    }
    let viewer = &server.json("/api/viewers")["viewers"][0];
    assert_eq!((&viewer["via"], &viewer["camera"]), (&"go2rtc".into(), &"hall.way".into()));
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(metrics.contains("framecast_viewers{via=\"go2rtc\"} 1\n"), "{metrics}");
    let streams = server.json("/api/streams");
    assert_eq!(streams["hall.way"]["consumers"][0]["format_name"], "go2rtc");
    drop(player);
    server.until("/api/viewers", |viewers| viewers["viewers"] == json!([]));
}

#[tokio::test]
async fn only_those_open_the_socket_who_may() {
    let server = Server::with(|settings| settings.account = Some(Account::new("me", "pw").unwrap()));
    assert_eq!(PlayerClient::refused(&server, "?src=front", &[]).await, 401);
    let right = format!("Basic {}", STANDARD.encode("me:pw"));
    PlayerClient::open(&server, "?src=front", &[("authorization", &right)]).await.unwrap();
    let server = Server::with(|settings| {
        settings.cors_origins = vec!["https://dashboard.example".parse().unwrap()];
    });
    for origin in ["https://evil.example", "null"] {
        assert_eq!(
            PlayerClient::refused(&server, "?src=front", &[("origin", origin)]).await,
            403,
            "{origin}"
        );
    }
    let named = [("origin", "https://dashboard.example")];
    PlayerClient::open(&server, "?src=front", &named).await.unwrap();
    assert_eq!(PlayerClient::refused(&server, "?src=front", &[("host", "rebound.example")]).await, 421);
    assert_eq!(PlayerClient::refused(&server, "", &[]).await, 404);
    assert_eq!(server.get("/api/ws?src=front").status, 426);
}

#[test]
fn programs_see_a_go2rtc_and_browsers_a_page() {
    let server = Server::with(|_| {});
    for accept in [&[][..], &[("Accept", "*/*")], &[("Accept", "application/json")]] {
        let answer = server.ask("GET /api", accept);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let info: Value = serde_json::from_slice(&answer.body).unwrap();
        let version: Vec<u32> =
            info["version"].as_str().unwrap().split('.').map(|part| part.parse().unwrap()).collect();
        assert!((vec![1, 9, 13]..vec![2, 0, 0]).contains(&version), "{info}");
        assert!(info["server"].as_str().unwrap().starts_with("framecast/"), "{info}");
    }
    let html = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    assert_eq!(server.ask("GET /api", &html).header("content-type"), Some("text/html; charset=utf-8"));
    let server = Server::with(|settings| settings.drop_in = false);
    assert_eq!(server.get("/api").header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(server.get("/api/ws?src=front").status, 404);
}

#[test]
fn a_program_may_add_what_is_there_and_change_nothing() {
    let server = Server::with(|_| {});
    let before = server.json("/api/streams");
    for request in ["PUT /api/streams?name=front&src=rtsp://camera/", "PUT /api/streams?src=front"] {
        let answer = server.ask(request, &[]);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{request}");
    }
    let answer = server.ask("PUT /api/streams?name=porch&src=rtsp://camera/&src=ffmpeg:porch", &[]);
    let why = "unknown camera `porch`; known cameras: front. Programs cannot add cameras: the server has those in its \
               configuration";
    assert_eq!((answer.status, error(&answer).as_str()), (403, why));
    for method in ["POST", "PATCH", "DELETE"] {
        let answer = server.ask(&format!("{method} /api/streams?src=front&dst=front"), &[]);
        let why = "programs cannot change the cameras: the server has those in its configuration";
        assert_eq!((answer.status, error(&answer).as_str()), (403, why), "{method}");
    }
    assert_eq!(server.json("/api/streams"), before);
    let page = [("Origin", "https://evil.example")];
    assert_eq!(server.ask("PUT /api/streams?name=front", &page).status, 403);
}

#[test]
fn what_there_is_not_names_what_there_is() {
    let server = Server::with(|_: &mut Settings| {});
    for request in ["GET /api/stream.m3u8?src=front", "GET /api/frame.mp4", "POST /api/webrtc?src=front"] {
        let answer = server.ask(request, &[]);
        assert_eq!(answer.status, 501, "{request}");
        assert!(error(&answer).contains("/api/ws"), "{request}: {}", error(&answer));
    }
    let answer = server.get("/api/stream.mp4?src=front");
    let why = "front: the camera delivers pictures, not H.264 or H.265 video; use /cameras/front/stream.mjpg";
    assert_eq!((answer.status, error(&answer).as_str()), (409, why));
}
