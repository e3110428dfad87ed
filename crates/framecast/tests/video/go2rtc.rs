//! Players of go2rtc watch cameras with H.264 and H.265.

use std::time::Duration;

use framecast::{CameraState, Drivers};
use framecast_testkit::rtsp::{Clip, FakeRtsp, Fault};
use framecast_testkit::{decoded_by_ffmpeg, has_ffmpeg, soon, until};
use framecast_testkit_server::server::{SOON_STALLED, Server, camera_settings, settings};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// H.264 of 96x64 pixels: 6 frames, a keyframe each 3.
const H264: &[u8] = include_bytes!("../../../../testdata/x264-baseline.h264");
/// H.265 of 96x64 pixels with B-frames: 12 frames.
const H265: &[u8] = include_bytes!("../../../../testdata/x265-bframes.h265");

/// A player that has asked for video, and what it has got.
struct MsePlayer {
    socket: WebSocketStream<TcpStream>,
    stream: Vec<u8>,
    inits: usize,
    fragments: usize,
}

impl MsePlayer {
    /// Opens the WebSocket, and asks for video in any of `codecs`. Returns what the player is told.
    async fn open(server: &Server, codecs: &str) -> (Self, Value) {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let address = format!("ws://{}/api/ws?src=front", server.address);
        let mut socket = client_async(address, stream).await.unwrap().0;
        let ask = json!({"type": "mse", "value": codecs}).to_string();
        socket.send(Message::text(ask)).await.unwrap();
        let mut player = Self { socket, stream: Vec::new(), inits: 0, fragments: 0 };
        let told = player.next().await;
        let told = serde_json::from_str(told.to_text().unwrap()).unwrap();
        (player, told)
    }

    async fn next(&mut self) -> Message {
        soon("a message", self.socket.next()).await.expect("the connection goes on").unwrap()
    }

    /// Receives `count` more fragments.
    async fn play(&mut self, count: usize) {
        let end = self.fragments + count;
        while self.fragments < end {
            let Message::Binary(bytes) = self.next().await else { continue };
            let is_init = bytes[4..8] == *b"ftyp";
            assert!(is_init || bytes[4..8] == *b"moof");
            self.inits += usize::from(is_init);
            self.fragments += usize::from(!is_init);
            self.stream.extend_from_slice(&bytes);
        }
    }
}

async fn server(camera: &FakeRtsp) -> Server {
    let mut settings = settings(&[]);
    let mut front = camera_settings("front", &camera.url());
    front.stall_timeout = Some(SOON_STALLED * 4);
    settings.cameras = vec![front];
    Server::start_with(settings, Drivers::builtin()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_gets_h264_and_h265_and_ffmpeg_decodes_all_of_it() {
    for (file, codec, name) in [(H264, "avc1.42C00A", "H264"), (H265, "hvc1.1.6.L30.90", "H265")] {
        let camera = FakeRtsp::builder(Clip::from_annex_b(file)).start().unwrap();
        let server = server(&camera).await;
        let (mut player, told) = MsePlayer::open(&server, "avc1.640029,hvc1.1.6.L153.B0,mp4a.40.2").await;
        assert_eq!(told, json!({"type": "mse", "value": format!("video/mp4; codecs=\"{codec}\"")}));
        player.play(50).await;
        let streams = framecast_testkit::get(server.address, "/api/streams").await.unwrap();
        let streams: Value = serde_json::from_slice(&streams.body).unwrap();
        let media = format!("video, recvonly, {name}");
        assert_eq!(streams["front"]["producers"][0]["medias"], json!([media]));
        let viewers = framecast_testkit::get(server.address, "/api/viewers?camera=front").await.unwrap();
        let viewers: Value = serde_json::from_slice(&viewers.body).unwrap();
        let viewer = &viewers["viewers"][0];
        let coding = if file == H264 { "H.264" } else { "H.265" };
        assert_eq!((&viewer["via"], &viewer["codec"]), (&"go2rtc".into(), &coding.into()));
        assert!(viewer["first_picture_ms"].as_f64().is_some(), "{viewer}");
        let described = framecast_testkit::get(server.address, "/api/cameras/front").await.unwrap();
        let described: Value = serde_json::from_slice(&described.body).unwrap();
        assert_eq!(described["video"]["viewers"], 1);
        assert_eq!((camera.counts().open, player.inits), (1, 1));
        if has_ffmpeg() {
            assert_eq!(decoded_by_ffmpeg(&player.stream), (player.fragments, String::new()));
        }
        drop(player);
        until("the session ends", || camera.counts().teardowns == 1).await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_that_cannot_play_the_video_is_told_which_mode_it_can_try() {
    let camera = FakeRtsp::builder(Clip::from_annex_b(H265)).start().unwrap();
    let server = server(&camera).await;
    let (_player, told) = MsePlayer::open(&server, "avc1.640029,mp4a.40.2").await;
    let why = "mse: front: the camera sends video/mp4; codecs=\"hvc1.1.6.L30.90\", which is not in the player's list; \
               ask for mjpeg";
    assert_eq!(told, json!({"type": "error", "value": why}));
    until("nobody watches", || server.feed("front").viewer_count() == 0).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_video_goes_on_in_the_same_connection_when_a_lost_camera_is_back() {
    let camera = FakeRtsp::builder(Clip::from_annex_b(H264)).start().unwrap();
    let server = server(&camera).await;
    let (mut player, _) = MsePlayer::open(&server, "").await;
    player.play(10).await;
    camera.set_faults(&[Fault::Silence(Duration::ZERO)]);
    server.wait_state("front", CameraState::Lost).await;
    camera.set_faults(&[]);
    while player.inits < 2 {
        player.play(1).await;
    }
    player.play(10).await;
    if has_ffmpeg() {
        assert_eq!(decoded_by_ffmpeg(&player.stream), (player.fragments, String::new()));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_video_comes_as_one_stream_too() {
    let camera = FakeRtsp::builder(Clip::from_annex_b(H264)).start().unwrap();
    let server = server(&camera).await;
    let (mut stream, mut head) = (TcpStream::connect(server.address).await.unwrap(), vec![0; 2000]);
    let request = "GET /api/stream.mp4?src=front HTTP/1.1\r\nHost: localhost\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    let reading = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut head);
    soon("the head and the first boxes", reading).await.unwrap();
    let text = String::from_utf8_lossy(&head);
    assert!(
        text.starts_with("HTTP/1.0 200 ") && text.contains("video/mp4") && text.contains("ftyp"),
        "{text}"
    );
    drop(stream);
    server.stop().await;
}
