//! Tests of tiles of cameras with a sub stream.
#![warn(clippy::disallowed_methods)]

use super::*;
use crate::live::stream_choice::{SUB_PATIENCE, SUB_PAUSE};

/// A server whose camera `door` has a sub stream of 96x64 pixels. Neither is live.
fn with_sub() -> (Server, Arc<Feed>) {
    let server = Server::new();
    let sub = server.live.hub.add_sub(&server.door, SystemTime::UNIX_EPOCH);
    for feed in [&server.door, &sub] {
        feed.set_status(CameraStatus::new(CameraState::Idle, SystemTime::UNIX_EPOCH));
    }
    (server, sub)
}

fn set_state(feed: &Feed, state: CameraState) {
    feed.set_status(CameraStatus::new(state, SystemTime::UNIX_EPOCH));
}

/// Makes `feed` live with one GOP of its own format.
fn play(feed: &Feed, format: Arc<Format>, others: usize) -> VideoCamera {
    let mut camera = VideoCamera::open(feed);
    camera.format = format;
    camera.publish_gop(others);
    set_state(feed, CameraState::Live);
    camera
}

impl Client {
    /// Asks for video in this width; without a size for `None`.
    async fn ask_video(&mut self, width: Option<u32>) {
        self.subscribe(1, "door", json!({"video": "mp4", "width": width})).await;
    }

    /// Receives the announcement of video and the init segment. Returns which stream it is.
    async fn begin_stream(&mut self) -> String {
        let told = self.text().await;
        assert_eq!((&told["type"], self.part().await.flags), (&json!("video"), INIT));
        told["stream"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_tile_gets_the_sub_stream_and_a_large_one_the_main_stream_from_its_keyframe_on() {
    let (server, sub) = with_sub();
    let mut sub_camera = play(&sub, baseline(), 1);
    let mut client = server.client().await;
    client.ask_video(Some(96)).await;
    assert_eq!(client.begin_stream().await, "sub");
    assert_eq!(numbers(&client.all_parts().await), [0, 1]);
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (0, 1), "the main stream stays closed");
    client.ask_video(None).await;
    sub_camera.publish(Dependency::Reference);
    assert_eq!(numbers(&client.all_parts().await), [2]);
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (1, 1));
    let mut camera = VideoCamera::open(&server.door);
    camera.format = cropped();
    camera.publish(Dependency::Reference);
    set_state(&server.door, CameraState::Live);
    sub_camera.publish(Dependency::Reference);
    assert_eq!(numbers(&client.all_parts().await), [3], "the main stream has no keyframe yet");
    let keyframe = camera.publish(Dependency::Keyframe);
    assert_eq!(client.begin_stream().await, "main");
    let first = client.part().await;
    assert_eq!((first.flags, first.number()), (KEYFRAME, coded_number(&keyframe)));
    client.ack_part(&first).await;
    sub_camera.publish(Dependency::Reference);
    camera.publish(Dependency::Reference);
    assert_eq!(numbers(&client.all_parts().await), [2]);
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (1, 0));
    client.ask_video(Some(96)).await;
    assert_eq!(client.begin_stream().await, "sub");
    assert_eq!(numbers(&client.all_parts().await), [0, 1, 2, 3, 4], "all that a decoder needs");
    assert_eq!(server.door.viewer_count(), 0);
    assert_eq!(server.live.viewers.list().len(), 1, "it is one viewer all the time");
}

#[tokio::test(start_paused = true)]
async fn a_sub_stream_that_is_lost_is_replaced_by_the_main_stream_until_it_is_back() {
    let (server, sub) = with_sub();
    play(&sub, baseline(), 0);
    let mut client = server.client().await;
    client.ask_video(Some(96)).await;
    assert_eq!(client.begin_stream().await, "sub");
    assert_eq!(client.video_number().await, 0);
    set_state(&sub, CameraState::Lost);
    sub.suspend();
    sub.slate_publisher().publish(frame(99));
    assert!(client.is_quiet().await, "the main stream is awaited");
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (1, 0));
    let mut camera = play(&server.door, cropped(), 0);
    assert_eq!(client.begin_stream().await, "main");
    assert_eq!(client.video_number().await, 0);
    set_state(&sub, CameraState::Idle);
    for _ in 0..SUB_PAUSE.as_secs() {
        pause(Duration::from_secs(1)).await;
        camera.publish(Dependency::Keyframe);
        client.video_number().await;
    }
    pause(Duration::from_secs(1)).await;
    camera.publish(Dependency::Keyframe);
    client.video_number().await;
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (1, 1), "the sub stream is tried again");
    play(&sub, baseline(), 0);
    assert_eq!(client.begin_stream().await, "sub");
    assert_eq!(client.video_number().await, 0);
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_sub_stream_that_never_delivers_is_given_up() {
    let (server, sub) = with_sub();
    let mut client = server.client().await;
    client.ask_video(Some(96)).await;
    set_state(&sub, CameraState::Opening);
    sub.slate_publisher().publish(frame(98));
    let slate = client.picture().await;
    assert_eq!((slate.number, slate.is_slate), (Some(98), true));
    client.ack(&slate).await;
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (0, 1));
    pause(SUB_PATIENCE).await;
    sub.slate_publisher().publish(frame(99));
    play(&server.door, cropped(), 0);
    assert_eq!(client.begin_stream().await, "main");
    assert_eq!(client.video_number().await, 0);
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_sub_stream_of_pictures_is_not_used() {
    let (server, sub) = with_sub();
    sub.publish(frame(1));
    set_state(&sub, CameraState::Live);
    play(&server.door, cropped(), 0);
    let mut client = server.client().await;
    client.ask_video(Some(96)).await;
    assert_eq!(client.begin_stream().await, "main");
    assert_eq!(client.video_number().await, 0);
    assert_eq!(sub.viewer_count(), 0);
    client.subscribe(1, "door", json!({"width": 96})).await;
    assert!(client.is_quiet().await);
    assert_eq!(
        (server.door.viewer_count(), sub.viewer_count()),
        (1, 0),
        "pictures are made of the main stream"
    );
}

#[tokio::test(start_paused = true)]
async fn a_large_tile_begins_with_the_sub_stream_if_only_that_is_open() {
    let (server, sub) = with_sub();
    play(&sub, baseline(), 0);
    let mut client = server.client().await;
    client.ask_video(None).await;
    assert_eq!(client.begin_stream().await, "sub");
    assert_eq!(client.video_number().await, 0);
    play(&server.door, cropped(), 0);
    assert_eq!(client.begin_stream().await, "main");
    assert_eq!(client.video_number().await, 0);
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lacks_the_codec_of_the_main_stream_gets_the_sub_stream() {
    let (server, sub) = with_sub();
    let mut h265 = (*cropped()).clone();
    h265.codec = Codec::H265;
    play(&server.door, Arc::new(h265), 0);
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({"video": "mp4", "codecs": ["H.264"]})).await;
    assert!(client.is_quiet().await);
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (0, 1));
    play(&sub, baseline(), 0);
    assert_eq!(client.begin_stream().await, "sub");
    assert_eq!(client.video_number().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_the_client_lacks_and_that_is_seen_only_now_is_never_announced() {
    let (server, sub) = with_sub();
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({"video": "mp4", "codecs": ["H.264"]})).await;
    assert!(client.is_quiet().await);
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (1, 0));
    let mut h265 = (*cropped()).clone();
    h265.codec = Codec::H265;
    play(&server.door, Arc::new(h265), 0);
    assert!(client.is_quiet().await);
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (0, 1));
    play(&sub, baseline(), 0);
    assert_eq!(client.begin_stream().await, "sub");
}

#[tokio::test(start_paused = true)]
async fn a_paused_tile_needs_neither_stream() {
    let (server, sub) = with_sub();
    play(&sub, baseline(), 0);
    let mut client = server.client().await;
    client.ask_video(None).await;
    assert_eq!(client.begin_stream().await, "sub");
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (1, 1));
    client.subscribe(1, "door", json!({"video": "mp4", "priority": 0})).await;
    client.all_parts().await;
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (0, 0));
}

/// Video of ffmpeg without B-frames.
const WITHOUT_B_FRAMES: &[u8] = include_bytes!("../../../../../../testdata/ffmpeg-fmp4-x264.mp4");

#[tokio::test(start_paused = true)]
async fn all_that_a_client_gets_that_changes_between_streams_is_decoded_by_ffmpeg() {
    if !has_ffmpeg() {
        return;
    }
    let (server, sub) = with_sub();
    let streams = [(&server.door, WITH_B_FRAMES), (&sub, WITHOUT_B_FRAMES)].map(|(feed, file)| {
        set_state(feed, CameraState::Live);
        (feed.begin_epoch(Anchor::new(SystemTime::UNIX_EPOCH)), frames_in_a_loop(file, 30))
    });
    let [(mut main_publisher, main_frames), (mut sub_publisher, sub_frames)] = streams;
    let mut client = server.client().await;
    // What came since each init segment, and how many frames that were.
    let mut parts: Vec<(Vec<u8>, usize)> = Vec::new();
    for ((main_frame, sub_frame), n) in main_frames.into_iter().zip(sub_frames).take(300).zip(0..) {
        if n % 35 == 0 {
            client.ask_video((n % 70 == 0).then_some(96)).await;
        }
        assert!(main_publisher.publish(main_frame) && sub_publisher.publish(sub_frame));
        while let Some(message) = cut_short(Duration::from_millis(1), client.next()).await {
            let Message::Binary(bytes) = message else { continue };
            if bytes[1] == INIT {
                parts.push((Vec::new(), 0));
            }
            let (stream, fragments) = parts.last_mut().unwrap();
            stream.extend_from_slice(&bytes[16..]);
            *fragments += usize::from(bytes[1] & FRAGMENT != 0);
            let sequence = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
            client.send(json!({"type": "ack", "tile": 1, "sequence": sequence})).await;
        }
        pause(Duration::from_millis(39)).await;
    }
    assert_eq!(parts.len(), 9, "it has changed eight times");
    for (stream, fragments) in parts {
        assert_eq!(decoded_by_ffmpeg(&stream), (fragments, String::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_tile_whose_link_is_too_slow_for_the_main_stream_gets_the_sub_stream_and_tries_again_later() {
    let (server, sub) = with_sub();
    let (mut camera, mut sub_camera) = (play(&server.door, cropped(), 0), play(&sub, baseline(), 0));
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({"video": "mp4", "adapt": true})).await;
    let (mut streams, mut last) = (Vec::new(), 0);
    for tenths in 0..600 {
        let dependency = if tenths % 10 == 0 { Dependency::Keyframe } else { Dependency::Reference };
        camera.publish(dependency);
        sub_camera.publish(dependency);
        while let Some(message) = cut_short(Duration::from_millis(1), client.next()).await {
            match message {
                Message::Binary(bytes) => last = u32::from_be_bytes(bytes[4..8].try_into().unwrap()),
                message => {
                    let told: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
                    streams.extend(told["stream"].as_str().map(str::to_owned));
                }
            }
        }
        // For the first twelve seconds, a link that stands for three seconds in each four.
        if tenths > 120 || tenths % 40 == 0 {
            client.send(json!({"type": "ack", "tile": 1, "sequence": last})).await;
        }
        pause(Duration::from_millis(99)).await;
    }
    assert_eq!(streams, ["main", "sub", "main"]);
    assert_eq!((server.door.viewer_count(), sub.viewer_count()), (1, 0));
}
