//! Tests of tiles that show coded video.
#![warn(clippy::disallowed_methods)]

mod sub;

use framecast_media::container::fmp4::{FRAGMENT_HEAD_BYTES, Fmp4Reader, Sample};
use framecast_media::{Anchor, Codec, Dependency, Format, Frame, Timestamp};
use framecast_testkit::{CodedDecoder, CodedStream, coded_number, decoded_by_ffmpeg, has_ffmpeg};

use super::*;
use crate::video_camera::{VideoCamera, baseline, cropped};

const KEYFRAME: u8 = 2 | 8;
const FRAGMENT: u8 = 2;
const INIT: u8 = 4;
const SLATE: u8 = 1;

/// A binary message of coded video.
#[derive(Debug)]
struct ReceivedPart {
    tile: u16,
    sequence: u32,
    flags: u8,
    payload: Vec<u8>,
}

impl ReceivedPart {
    /// Returns the number of the frame of a [`CodedStream`] in a fragment.
    fn number(&self) -> u64 {
        assert!(self.flags & FRAGMENT != 0, "{self:?}");
        u64::from_be_bytes(self.payload[FRAGMENT_HEAD_BYTES..][..8].try_into().unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn subscribe_to_video(&mut self, camera: &str) {
        self.subscribe(1, camera, json!({"video": "mp4"})).await;
    }

    async fn part(&mut self) -> ReceivedPart {
        let message = self.next().await;
        let Message::Binary(bytes) = &message else { panic!("{message:?}") };
        ReceivedPart {
            tile: u16::from_be_bytes(bytes[2..4].try_into().unwrap()),
            sequence: u32::from_be_bytes(bytes[4..8].try_into().unwrap()),
            flags: bytes[1],
            payload: bytes[16..].to_vec(),
        }
    }

    /// Receives the next frame, which needs no other message before it, and acknowledges it.
    async fn video_number(&mut self) -> u64 {
        let part = self.part().await;
        self.ack_part(&part).await;
        part.number()
    }

    async fn ack_part(&mut self, part: &ReceivedPart) {
        self.send(json!({"type": "ack", "tile": part.tile, "sequence": part.sequence})).await;
    }

    /// Receives all that comes until the server waits.
    async fn all_parts(&mut self) -> Vec<ReceivedPart> {
        let mut parts = Vec::new();
        while let Some(part) = cut_short(Duration::from_millis(1), self.part()).await {
            parts.push(part);
        }
        parts
    }

    /// Receives the format and the init segment with which coded video begins.
    async fn begin_video(&mut self) {
        assert_eq!(self.text().await["type"], "video");
        assert_eq!(self.part().await.flags, INIT);
    }
}

fn numbers(parts: &[ReceivedPart]) -> Vec<u64> {
    parts.iter().map(ReceivedPart::number).collect()
}

#[tokio::test(start_paused = true)]
async fn a_tile_of_coded_video_begins_with_all_that_a_player_needs_and_the_newest_keyframe() {
    let server = Server::new();
    let mut camera = VideoCamera::open(&server.door);
    camera.publish_gop(5);
    let keyframe = camera.publish(Dependency::Keyframe);
    camera.publish(Dependency::Reference);
    let mut client = server.client().await;
    client.subscribe_to_video("door").await;
    let told = client.text().await;
    let content_type = "video/mp4; codecs=\"avc1.42C00A\"";
    let expected = json!({"type": "video", "tile": 1, "content_type": content_type, "codec": "H.264",
        "width": 96, "height": 64, "stream": "main"});
    assert_eq!(told, expected);
    let init = client.part().await;
    assert_eq!((init.sequence, init.flags, init.tile, &init.payload[4..8]), (1, INIT, 1, &b"ftyp"[..]));
    let first = client.part().await;
    assert_eq!((first.sequence, first.flags, &first.payload[4..8]), (2, KEYFRAME, &b"moof"[..]));
    assert_eq!(first.payload[FRAGMENT_HEAD_BYTES..], keyframe.data[..]);
    let second = client.part().await;
    assert_eq!((second.sequence, second.flags, second.number()), (3, FRAGMENT, 7));
    for number in 8..30 {
        camera.publish(Dependency::Reference);
        assert_eq!(client.part().await.number(), number, "no window holds it back");
    }
    let stats = &server.live.viewers.list()[0];
    assert_eq!((stats.frames(), stats.skipped_frames()), (24, 0), "the init segment is no frame");
    assert_eq!((server.door.viewer_count(), server.door.main_channel().subscriber_count()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_plays_no_video_gets_pictures_and_so_does_one_whose_camera_has_none() {
    let server = Server::new();
    VideoCamera::open(&server.door).publish_gop(1);
    server.yard.publish(frame(1));
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({})).await;
    assert!(client.is_quiet().await, "nobody makes pictures here");
    assert_eq!(server.door.main_channel().subscriber_count(), 1);
    client.subscribe(2, "yard", json!({"video": "mp4"})).await;
    assert_eq!(client.number().await, 1);
    assert_eq!(server.yard.main_channel().subscriber_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tile_says_what_it_gets_and_how_long_it_waited_for_it_while_it_was_shown() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({"video": "mp4", "priority": 0})).await;
    pause(Duration::from_secs(5)).await;
    client.subscribe_to_video("door").await;
    server.door.publish_slate(frame(99));
    assert!(client.picture().await.is_slate);
    let viewer = Arc::clone(&server.live.viewers.list()[0]);
    assert_eq!((viewer.codec(), viewer.first_picture()), (None, None));
    pause(Duration::from_millis(400)).await;
    VideoCamera::open(&server.door).publish_gop(1);
    client.begin_video().await;
    let parts = client.all_parts().await;
    client.ack_part(&parts[1]).await;
    let waited = viewer.first_picture().unwrap();
    assert!((400..450).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(viewer.codec(), Some(Codec::H264));
    server.door.publish(frame(1));
    assert_eq!(client.number().await, 1);
    assert_eq!((viewer.codec(), viewer.first_picture()), (Some(Codec::Jpeg), Some(waited)));
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_is_not_open_yet_shows_its_slate_and_then_its_video() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe_to_video("door").await;
    server.door.publish_slate(frame(99));
    let slate = client.picture().await;
    assert_eq!((slate.number, slate.is_slate), (Some(99), true));
    assert_eq!(server.door.viewer_count(), 1);
    assert_eq!(server.door.main_channel().subscriber_count(), 0, "nobody needs pictures of the video");
    let mut camera = VideoCamera::open(&server.door);
    camera.publish_gop(2);
    client.begin_video().await;
    assert_eq!(numbers(&client.all_parts().await), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_tile_changes_with_what_its_camera_delivers() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe(1, "door", json!({"video": "mp4", "width": 320})).await;
    let mut camera = VideoCamera::open(&server.door);
    camera.publish_gop(0);
    client.begin_video().await;
    assert_eq!(client.video_number().await, 0);
    assert_eq!(server.live.viewers.list()[0].rendition(), Rendition::default());
    server.door.publish(frame(1));
    assert!(client.is_quiet().await);
    let (rendition, made) = server.door.renditions().borrow()[0].clone();
    assert_eq!(rendition, Rendition::default().with_width(320));
    made.publish(frame(320));
    assert_eq!(client.number().await, 320);
    assert_eq!(server.live.viewers.list()[0].rendition(), rendition);
    let mut camera = VideoCamera::open(&server.door);
    camera.publish_gop(1);
    client.begin_video().await;
    assert_eq!(numbers(&client.all_parts().await), [0, 1]);
    assert!(server.door.close_rendition(rendition), "nobody watches it");
    client.subscribe(1, "door", json!({"video": "mp4", "priority": 0})).await;
    camera.publish_gop(1);
    assert!(client.is_quiet().await);
    assert_eq!(server.door.viewer_count(), 0);
    client.subscribe_to_video("door").await;
    client.begin_video().await;
    assert_eq!(numbers(&client.all_parts().await), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_is_told_what_was_dropped_and_goes_on_at_the_newest_keyframe() {
    let server = Server::new();
    let mut camera = VideoCamera::open(&server.door);
    camera.publish(Dependency::Keyframe);
    let mut client = server.client().await;
    client.subscribe_to_video("door").await;
    client.begin_video().await;
    let (mut sent, mut last) = (Vec::new(), 2);
    // Five seconds without an acknowledgement, at 30 frames and one keyframe a second.
    for n in 1..150 {
        camera.publish(if n % 30 == 0 { Dependency::Keyframe } else { Dependency::Reference });
        pause(Duration::from_millis(33)).await;
        let parts = client.all_parts().await;
        last = parts.last().map_or(last, |part| part.sequence);
        sent.extend(numbers(&parts));
    }
    assert!((25..=32).contains(&sent.len()), "a second's frames are sent ahead: {}", sent.len());
    client.send(json!({"type": "ack", "tile": 1, "sequence": last})).await;
    let told = client.text().await;
    let dropped = 120 - sent.len();
    assert_eq!(told, json!({"type": "dropped", "tile": 1, "frames": dropped}));
    let parts = client.all_parts().await;
    assert_eq!(numbers(&parts), (120..150).collect::<Vec<_>>());
    assert_eq!(parts[0].flags, KEYFRAME);
    assert_eq!(server.live.viewers.list()[0].skipped_frames(), dropped as u64);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_late_loses_disposable_frames_first_and_needs_none_that_it_did_not_get() {
    let server = Server::new();
    let mut camera = VideoCamera::open(&server.door);
    let mut frames = vec![camera.publish(Dependency::Keyframe)];
    let mut client = server.client().await;
    client.subscribe_to_video("door").await;
    client.begin_video().await;
    let first = client.part().await;
    pause(Duration::from_millis(1100)).await;
    // Two seconds that the server keeps back, because nothing was acknowledged.
    for n in 0..60 {
        frames.push(camera.publish(if n % 2 == 0 { Dependency::Disposable } else { Dependency::Reference }));
    }
    assert!(client.is_quiet().await);
    client.ack_part(&first).await;
    let mut decoder = CodedDecoder::default();
    decoder.decode(&frames[0]).unwrap();
    let (mut dropped, mut got) = (Vec::new(), Vec::new());
    while let Some(message) = cut_short(Duration::from_millis(1), client.next()).await {
        if let Message::Text(text) = &message {
            dropped.push(serde_json::from_str::<Value>(text).unwrap()["frames"].as_u64().unwrap());
            continue;
        }
        let data = message.into_data();
        let number = u64::from_be_bytes(data[16 + FRAGMENT_HEAD_BYTES..][..8].try_into().unwrap());
        decoder.decode(&frames[number as usize]).unwrap();
        got.push(number);
    }
    let old: Vec<u64> = got.iter().copied().filter(|number| *number <= 44).collect();
    assert_eq!(old, (2..=44).step_by(2).collect::<Vec<_>>(), "the last half second is complete");
    assert_eq!((&dropped[..], got.len()), (&[22][..], 60 - 22));
}

#[tokio::test(start_paused = true)]
async fn a_slate_covers_the_video_and_the_next_frame_is_a_keyframe() {
    let server = Server::new();
    let mut camera = VideoCamera::open(&server.door);
    camera.publish_gop(1);
    let mut client = server.client().await;
    client.subscribe_to_video("door").await;
    client.begin_video().await;
    assert_eq!(numbers(&client.all_parts().await), [0, 1]);
    let slates = server.door.slate_publisher();
    slates.publish(frame(99));
    let slate = client.part().await;
    assert_eq!((slate.flags, number_of(&slate.payload)), (SLATE, Some(99)));
    // The camera goes on where it was.
    camera.publish(Dependency::Reference);
    let init = client.part().await;
    assert_eq!(init.flags, INIT);
    let parts = client.all_parts().await;
    assert_eq!((numbers(&parts), parts[0].flags), (vec![0, 1, 2], KEYFRAME));
    server.door.suspend();
    server.door.slate_publisher().publish(frame(100));
    assert_eq!(client.part().await.flags, SLATE);
    let mut camera = VideoCamera::open(&server.door);
    camera.publish(Dependency::Reference);
    assert!(client.is_quiet().await);
    camera.publish_gop(0);
    assert_eq!(client.part().await.flags, INIT);
    assert_eq!(client.video_number().await, 1);
    server.door.end_with(&frame(101));
    let last = client.part().await;
    assert_eq!((last.flags, number_of(&last.payload)), (SLATE, Some(101)));
    assert_eq!(client.text().await["message"], "camera `door` was removed");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_before_the_camera_was_lost_does_not_pass_for_live() {
    let server = Server::new();
    let mut camera = VideoCamera::open(&server.door);
    camera.publish(Dependency::Keyframe);
    let mut client = server.client().await;
    client.subscribe_to_video("door").await;
    client.begin_video().await;
    let first = client.part().await;
    pause(Duration::from_millis(1100)).await;
    (0..10).for_each(|_| drop(camera.publish(Dependency::Reference)));
    server.door.suspend();
    client.ack_part(&first).await;
    assert!(client.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn another_format_is_told_and_begins_with_an_init_segment() {
    let server = Server::new();
    let mut camera = VideoCamera::open(&server.door);
    camera.publish_gop(1);
    let mut client = server.client().await;
    client.subscribe_to_video("door").await;
    client.begin_video().await;
    assert_eq!(numbers(&client.all_parts().await), [0, 1]);
    camera.format = cropped();
    camera.publish_gop(1);
    let told = client.text().await;
    let size = (u64::from(camera.format.width_px), u64::from(camera.format.height_px));
    assert_eq!((told["width"].as_u64().unwrap(), told["height"].as_u64().unwrap()), size);
    assert_eq!(client.part().await.flags, INIT);
    assert_eq!(numbers(&client.all_parts().await), [2, 3]);
    // Video that does not go into MP4 ends the tile.
    camera.format = Arc::new(Format::new(Codec::H264, 16, 16));
    camera.publish_gop(1);
    let told = client.text().await;
    let message = "the video of camera `door` cannot be sent: ";
    assert!(told["message"].as_str().unwrap().starts_with(message), "{told}");
    assert_eq!(server.door.viewer_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn video_does_not_hold_back_the_pictures_of_another_tile() {
    let server = Server::new();
    let mut camera = VideoCamera::open(&server.door);
    camera.publish_gop(100);
    let mut client = server.client().await;
    client.subscribe_to_video("door").await;
    client.begin_video().await;
    assert_eq!(client.all_parts().await.len(), 101);
    client.subscribe(2, "yard", json!({})).await;
    for n in 1..=2 {
        server.yard.publish(frame_of_len(60_000, n));
    }
    assert_eq!(client.picture().await.number, Some(2), "the budget of pictures is free");
}

/// Video of ffmpeg with 20 frames, of which the first is a keyframe and some are disposable.
const WITH_B_FRAMES: &[u8] = include_bytes!("../../../../../testdata/ffmpeg-fmp4-x264-bframes-aac.mp4");

/// Returns the frames of `file`, which is fragmented MP4, repeated `times` times.
fn frames_in_a_loop(file: &[u8], times: i64) -> Vec<Frame> {
    let mut reader = Fmp4Reader::default();
    reader.push(file);
    let samples: Vec<Sample> = std::iter::from_fn(|| reader.next_sample().unwrap()).collect();
    let count = times * samples.len() as i64;
    let again = samples.into_iter().cycle().zip(0..count).map(|(sample, n)| {
        let mut frame = sample.into_frame(SystemTime::UNIX_EPOCH);
        let offset = frame.pts.ticks() - frame.dts.ticks();
        frame.dts = Timestamp::from_ticks(n * 3600);
        frame.pts = Timestamp::from_ticks(n * 3600 + offset);
        frame.captured_at = Anchor::new(SystemTime::UNIX_EPOCH).time_of(frame.dts);
        frame
    });
    again.collect()
}

#[tokio::test(start_paused = true)]
async fn all_that_a_client_gets_that_stalls_again_and_again_is_decoded_by_ffmpeg() {
    if !has_ffmpeg() {
        return;
    }
    let server = Server::new();
    let mut publisher = server.door.begin_epoch(Anchor::new(SystemTime::UNIX_EPOCH));
    let mut client = server.client().await;
    client.subscribe_to_video("door").await;
    let (mut stream, mut fragments, mut dropped, mut last) = (Vec::new(), 0, 0, None);
    let frames = frames_in_a_loop(WITH_B_FRAMES, 30);
    for (frame, n) in frames.iter().zip(0..) {
        assert!(publisher.publish(frame.clone()));
        while let Some(message) = cut_short(Duration::from_millis(1), client.next()).await {
            match message {
                Message::Binary(bytes) => {
                    fragments += usize::from(bytes[1] & FRAGMENT != 0);
                    last = Some(u32::from_be_bytes(bytes[4..8].try_into().unwrap()));
                    stream.extend_from_slice(&bytes[16..]);
                }
                message => {
                    let told: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
                    dropped += told["frames"].as_u64().unwrap_or_default();
                }
            }
        }
        // In each three seconds the client acknowledges for one, and then nothing for two.
        if let Some(sequence) = last.filter(|_| n % 75 < 25) {
            client.send(json!({"type": "ack", "tile": 1, "sequence": sequence})).await;
        }
        pause(Duration::from_millis(39)).await;
    }
    let unsent = frames.len() - fragments - dropped as usize;
    assert!(dropped > 100 && unsent < 75, "{fragments} sent, {dropped} dropped");
    assert_eq!(decoded_by_ffmpeg(&stream), (fragments, String::new()));
}

#[test]
fn the_numbers_of_coded_frames_are_where_a_part_looks_for_them() {
    let frame = CodedStream::default().next(Dependency::Keyframe, 100);
    let payload = [&[0; FRAGMENT_HEAD_BYTES][..], &frame.data].concat();
    let part = ReceivedPart { tile: 1, sequence: 1, flags: KEYFRAME, payload };
    assert_eq!(part.number(), coded_number(&frame));
}
