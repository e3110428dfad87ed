//! Tests of connections as a player sees them. The clock of the tests advances only when all tasks wait.
#![warn(clippy::disallowed_methods)]

use std::sync::Arc;
use std::time::SystemTime;

use framecast_hub::{CameraState, CameraStatus, Feed, ViewerLimits};
use framecast_media::container::fmp4::{FRAGMENT_HEAD_BYTES, Fmp4Reader, Sample};
use framecast_media::{Anchor, Dependency, Timestamp};
use framecast_testkit::{cut_short, decoded_by_ffmpeg, frame, has_ffmpeg, number_of, pause, soon};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::Transport;
use crate::publish::Publish;
use crate::video_camera::{VideoCamera, cropped};

/// The capacity of a pipe in bytes that is enough for all that these tests send.
const WIDE: usize = 1 << 22;

const ALL_CODECS: &str = "avc1.640029,hvc1.1.6.L153.B0,mp4a.40.2,flac,opus";

struct PlayerServer {
    sockets: PlayerSockets,
    door: Arc<Feed>,
}

impl PlayerServer {
    fn new() -> Self {
        let hub = Hub::new();
        let limits = ViewerLimits { max_viewers: Some(2), ..ViewerLimits::default() };
        let door = hub.add_with_limits("door", limits, SystemTime::UNIX_EPOCH).unwrap();
        door.set_status(CameraStatus::new(CameraState::Live, SystemTime::UNIX_EPOCH));
        let timeout = Duration::from_secs(10);
        let sockets = PlayerSockets::new(hub, Viewers::default(), timeout, CancellationToken::new());
        Self { sockets, door }
    }

    async fn player_of(&self, camera: &str) -> TestPlayer {
        let (client, server) = duplex(WIDE);
        let socket = PlayerSocket { sockets: self.sockets.clone(), camera: camera.to_owned() };
        tokio::spawn(async move { websocket::Handler::serve(socket, server, Bytes::new(), None).await });
        TestPlayer(WebSocketStream::from_raw_socket(client, Role::Client, None).await)
    }

    async fn player(&self) -> TestPlayer {
        self.player_of("door").await
    }

    fn viewer_count(&self) -> usize {
        self.sockets.viewers.list().len()
    }
}

struct TestPlayer(WebSocketStream<DuplexStream>);

impl TestPlayer {
    async fn ask(&mut self, kind: &str, value: impl Into<Value>) {
        let message = json!({"type": kind, "value": value.into()});
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Returns the next message, and answers the pings before it.
    async fn next(&mut self) -> Message {
        loop {
            let message = soon("a message", self.0.next()).await.unwrap().unwrap();
            match message {
                Message::Ping(_) => self.0.flush().await.unwrap(),
                message => return message,
            }
        }
    }

    async fn told(&mut self) -> Value {
        serde_json::from_str(self.next().await.to_text().unwrap()).unwrap()
    }

    async fn bytes(&mut self) -> Bytes {
        let message = self.next().await;
        assert!(message.is_binary(), "{message:?}");
        message.into_data()
    }

    async fn fragment(&mut self) -> PlayedFragment {
        PlayedFragment::of(&self.bytes().await)
    }

    /// Asks for video, and receives what comes before the first fragment.
    async fn begin(&mut self) {
        self.ask("mse", ALL_CODECS).await;
        assert_eq!(self.told().await["type"], "mse");
        assert_eq!(self.bytes().await[4..8], *b"ftyp");
    }

    /// Receives all fragments that come until the server waits.
    async fn fragments(&mut self) -> Vec<PlayedFragment> {
        let mut fragments = Vec::new();
        while let Some(fragment) = cut_short(Duration::from_millis(1), self.fragment()).await {
            fragments.push(fragment);
        }
        fragments
    }

    async fn is_quiet(&mut self) -> bool {
        pause(Duration::from_millis(1)).await;
        self.0.next().now_or_never().is_none()
    }

    async fn end(&mut self) -> (u16, String) {
        let Message::Close(Some(frame)) = self.next().await else { panic!("no close frame") };
        (frame.code.into(), frame.reason.to_string())
    }
}

/// What a player needs to know of a fragment: the number of the frame in it, and when to decode it.
#[derive(Debug, PartialEq, Eq)]
struct PlayedFragment {
    number: u64,
    dts_90k: u64,
}

impl PlayedFragment {
    fn of(bytes: &[u8]) -> Self {
        assert_eq!(bytes[4..8], *b"moof");
        let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        Self { number: word(FRAGMENT_HEAD_BYTES), dts_90k: word(72) }
    }
}

fn numbers(fragments: &[PlayedFragment]) -> Vec<u64> {
    fragments.iter().map(|fragment| fragment.number).collect()
}

#[tokio::test(start_paused = true)]
async fn a_player_gets_the_type_the_init_segment_and_the_video_from_the_newest_keyframe() {
    let server = PlayerServer::new();
    let mut camera = VideoCamera::open(&server.door);
    camera.publish_gop(5);
    let keyframe = camera.publish(Dependency::Keyframe);
    camera.publish(Dependency::Reference);
    let mut player = server.player().await;
    player.ask("mse", ALL_CODECS).await;
    let content_type = "video/mp4; codecs=\"avc1.42C00A\"";
    assert_eq!(player.told().await, json!({"type": "mse", "value": content_type}));
    assert_eq!(player.bytes().await[4..8], *b"ftyp");
    let first = player.bytes().await;
    assert_eq!(first[FRAGMENT_HEAD_BYTES..], keyframe.data[..]);
    assert_eq!(PlayedFragment::of(&first), PlayedFragment { number: 6, dts_90k: 0 });
    assert_eq!(player.fragment().await.number, 7);
    for number in 8..100 {
        camera.publish(Dependency::Reference);
        assert_eq!(player.fragment().await.number, number);
    }
    let stats = &server.sockets.viewers.list()[0];
    assert_eq!((stats.frames(), stats.skipped_frames(), stats.transport()), (94, 0, Transport::Go2rtc));
    assert_eq!((server.door.viewer_count(), server.door.main_channel().subscriber_count()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_camera_with_pictures_says_so_and_shows_them_to_a_player_that_asks_again() {
    let server = PlayerServer::new();
    server.door.publish(frame(1));
    let mut player = server.player().await;
    player.ask("mse", ALL_CODECS).await;
    let why = "mse: door: the camera delivers pictures, not H.264 or H.265 video; ask for mjpeg";
    assert_eq!(player.told().await, json!({"type": "error", "value": why}));
    assert_eq!(server.viewer_count(), 0);
    player.ask("mjpeg", Value::Null).await;
    assert_eq!(player.told().await, json!({"type": "mjpeg"}));
    assert_eq!(number_of(&player.bytes().await), Some(1));
    // Players ask again for each error that they are told.
    player.ask("mjpeg", Value::Null).await;
    server.door.publish(frame(2));
    assert_eq!(number_of(&player.bytes().await), Some(2));
    server.door.slate_publisher().publish(frame(99));
    assert_eq!(number_of(&player.bytes().await), Some(99), "a slate is a picture");
    assert_eq!(server.viewer_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_this_server_does_not_have_is_refused_by_name_and_disturbs_nothing() {
    let server = PlayerServer::new();
    let mut camera = VideoCamera::open(&server.door);
    camera.publish_gop(0);
    let mut player = server.player().await;
    player.begin().await;
    assert_eq!(player.fragment().await.number, 0);
    let offer = "v=0\r\n".repeat(3000);
    for (kind, value) in [
        ("webrtc/offer", json!(offer)),
        ("webrtc/candidate", json!("")),
        ("webrtc", json!({"type": "offer", "sdp": offer})),
        ("hls", json!("")),
        ("mp4", json!("avc1.640029")),
        ("dance", json!(7)),
    ] {
        player.ask(kind, value).await;
        let told = player.told().await;
        assert_eq!(told["type"], "error");
        assert!(told["value"].as_str().unwrap().starts_with(&format!("{kind}: ")), "{told}");
        camera.publish(Dependency::Reference);
        player.fragment().await;
    }
    player.ask("mse", "hvc1.1.6.L153.B0,mp4a.40.2").await;
    let why = "mse: door: the camera sends video/mp4; codecs=\"avc1.42C00A\", which is not in the player's list; \
               ask for mjpeg";
    assert_eq!(player.told().await, json!({"type": "error", "value": why}));
    assert_eq!(server.viewer_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_camera_is_a_stall_and_the_video_goes_on_at_a_keyframe_without_a_gap() {
    let server = PlayerServer::new();
    let mut camera = VideoCamera::open(&server.door);
    camera.publish_gop(1);
    let mut player = server.player().await;
    player.begin().await;
    let before = player.fragments().await;
    assert_eq!(numbers(&before), [0, 1]);
    server.door.suspend();
    server.door.slate_publisher().publish(frame(99));
    assert!(player.is_quiet().await);
    let mut camera = VideoCamera::open(&server.door);
    camera.format = cropped();
    camera.publish(Dependency::Reference);
    assert!(player.is_quiet().await, "a decoder cannot begin here");
    camera.publish_gop(1);
    assert_eq!(player.bytes().await[4..8], *b"ftyp");
    let after = player.fragments().await;
    assert_eq!(numbers(&after), [1, 2]);
    let gap = after[0].dts_90k - before[1].dts_90k;
    assert!((1..=3600).contains(&gap), "{gap} ticks");
    server.door.end();
    assert_eq!(player.end().await, (1001, "door: the camera was removed".to_owned()));
    assert_eq!(server.viewer_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_is_not_open_yet_is_opened_and_one_that_fails_says_why() {
    let server = PlayerServer::new();
    let mut player = server.player().await;
    player.ask("mse", ALL_CODECS).await;
    assert!(player.is_quiet().await);
    assert_eq!((server.door.viewer_count(), server.viewer_count()), (1, 1));
    VideoCamera::open(&server.door).publish_gop(0);
    assert_eq!(player.told().await["type"], "mse");
    drop(player);
    server.door.suspend();
    let mut status = CameraStatus::new(CameraState::Lost, SystemTime::UNIX_EPOCH);
    status.reason = Some("no route to the camera".to_owned());
    server.door.set_status(status);
    server.door.slate_publisher().publish(frame(99));
    let mut player = server.player().await;
    player.ask("mse", ALL_CODECS).await;
    let why = "mse: door: no route to the camera";
    assert_eq!(player.told().await, json!({"type": "error", "value": why}));
    let mut other = server.player_of("porch").await;
    for kind in ["mse", "mjpeg"] {
        other.ask(kind, "").await;
        let why = format!("{kind}: unknown camera `porch`; known cameras: door");
        assert_eq!(other.told().await, json!({"type": "error", "value": why}));
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_on_viewers_holds_here_too() {
    let server = PlayerServer::new();
    VideoCamera::open(&server.door).publish_gop(0);
    let mut players = Vec::new();
    for _ in 0..2 {
        let mut player = server.player().await;
        player.begin().await;
        players.push(player);
    }
    let mut player = server.player().await;
    for kind in ["mse", "mjpeg"] {
        player.ask(kind, "").await;
        let why = format!("{kind}: viewer limit reached (2 for camera `door`)");
        assert_eq!(player.told().await, json!({"type": "error", "value": why}));
    }
    // A player that asks for something else has its own place.
    players[0].ask("mjpeg", "").await;
    while !players[0].next().await.is_text() {}
    assert_eq!(server.viewer_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_player_that_answers_no_ping_gets_a_second_and_then_the_newest_keyframe() {
    let server = PlayerServer::new();
    let mut camera = VideoCamera::open(&server.door);
    camera.publish(Dependency::Keyframe);
    let mut player = server.player().await;
    player.begin().await;
    // Five seconds in which the player reads nothing, at 30 frames and one keyframe a second.
    for n in 1..150 {
        camera.publish(if n % 30 == 0 { Dependency::Keyframe } else { Dependency::Reference });
        pause(Duration::from_millis(33)).await;
    }
    let got = numbers(&player.fragments().await);
    let sent_ahead = got.iter().position(|number| *number == 120).expect("the newest keyframe");
    assert!((30..=45).contains(&sent_ahead), "{got:?}");
    assert_eq!(got[..sent_ahead], (0..sent_ahead as u64).collect::<Vec<_>>());
    assert_eq!(got[sent_ahead..], (120..150).collect::<Vec<_>>());
    let skipped = server.sockets.viewers.list()[0].skipped_frames();
    assert_eq!(skipped, 120 - sent_ahead as u64);
}

#[tokio::test(start_paused = true)]
async fn messages_that_break_the_rules_end_the_connection_with_a_reason() {
    let server = PlayerServer::new();
    let long = Message::text("x".repeat(MAX_PLAYER_MESSAGE_BYTES + 1));
    for (message, code, reason) in [
        (Message::text("mse"), 1008, "the message is not a JSON object with a `type`: expected value"),
        (Message::binary(vec![0]), 1003, "the client sent a binary message; it may send text only"),
        (long, 1009, "the client sent a message of more than 65536 bytes"),
    ] {
        let mut player = server.player().await;
        player.0.send(message).await.unwrap();
        let (told_code, told_reason) = player.end().await;
        assert_eq!(told_code, code);
        assert!(told_reason.starts_with(reason), "{told_reason}");
    }
    let mut player = server.player().await;
    player.begin().now_or_never();
    server.sockets.shutdown.cancel();
    assert_eq!(player.end().await, (1001, "the server is shutting down".to_owned()));
}

/// Video of ffmpeg with 20 frames, of which the first is a keyframe and some are shown before earlier ones.
const WITH_B_FRAMES: &[u8] = include_bytes!("../../../../testdata/ffmpeg-fmp4-x264-bframes-aac.mp4");

#[tokio::test(start_paused = true)]
async fn all_that_a_player_gets_that_stalls_again_and_again_is_decoded_by_ffmpeg() {
    if !has_ffmpeg() {
        return;
    }
    let server = PlayerServer::new();
    let mut reader = Fmp4Reader::default();
    reader.push(WITH_B_FRAMES);
    let samples: Vec<Sample> = std::iter::from_fn(|| reader.next_sample().unwrap()).collect();
    let mut publisher = server.door.begin_epoch(Anchor::new(SystemTime::UNIX_EPOCH));
    let mut player = server.player().await;
    player.ask("mse", "").await;
    let (mut stream, mut fragments) = (Vec::new(), 0);
    for (sample, n) in samples.into_iter().cycle().zip(0..600) {
        let mut frame = sample.into_frame(SystemTime::UNIX_EPOCH);
        let offset = frame.pts.ticks() - frame.dts.ticks();
        frame.dts = Timestamp::from_ticks(n * 3600);
        frame.pts = Timestamp::from_ticks(n * 3600 + offset);
        frame.captured_at = Anchor::new(SystemTime::UNIX_EPOCH).time_of(frame.dts);
        assert!(publisher.publish(frame));
        // In each four seconds the player reads for one, and then nothing for three.
        let is_reading = n % 100 < 25;
        while is_reading && let Some(message) = cut_short(Duration::from_millis(1), player.next()).await {
            if let Message::Binary(bytes) = message {
                fragments += usize::from(bytes[4..8] == *b"moof");
                stream.extend_from_slice(&bytes);
            }
        }
        pause(Duration::from_millis(39)).await;
    }
    let dropped = server.sockets.viewers.list()[0].skipped_frames();
    assert!(dropped > 100 && fragments > 100, "{fragments} sent, {dropped} dropped");
    assert_eq!(decoded_by_ffmpeg(&stream), (fragments, String::new()));
}
