//! Tests the decoder with scripts in place of ffmpeg. The tests with the real program are in the package `framecast`.
#![warn(clippy::disallowed_methods)]

use std::fs;

use framecast_media::Timestamp;
use framecast_testkit::{cut_short, soon};
use tempfile::TempDir;

use super::*;
use crate::frame_parser::FrameParser;
use crate::program::fake_program;

/// H.264 of 96x64 pixels without B-frames: 6 frames.
const VIDEO: &[u8] = include_bytes!("../../../../testdata/x264-baseline.h264");
const PICTURE: &[u8] = include_bytes!("../../../../testdata/ffmpeg-mjpeg.jpg");

/// Reads all frames and makes no pictures of them, but keeps the output open.
const MAKE_NOTHING: &str = "exec cat 3>&1 >/dev/null";

/// A running script in place of ffmpeg. What it keeps with each frame is the frame's number.
struct Fake {
    decoder: VideoDecoder<i64>,
    input: DecoderInput<i64>,
    video: Vec<Frame>,
    written: i64,
    _folder: TempDir,
}

impl Fake {
    async fn start(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("picture.jpg"), PICTURE).unwrap();
        fake_program::write(&folder.path().join("ffmpeg"), script);
        let context = OpenContext::default();
        let mut parser = FrameParser::new(&context);
        parser.push(VIDEO);
        parser.finish();
        let video: Vec<Frame> = std::iter::from_fn(|| parser.next_frame().unwrap()).collect();
        let starting = VideoDecoder::start_in(Some(folder.path()), &context, &video[0].format);
        let (decoder, input) = soon("the start", starting).await.unwrap();
        Self { decoder, input, video, written: 0, _folder: folder }
    }

    async fn write(&mut self, count: usize) {
        for _ in 0..count {
            let mut frame = self.video[self.written as usize % self.video.len()].clone();
            frame.pts = Timestamp::from_ticks(self.written * 3600);
            self.input.write(&frame, self.written).await.unwrap();
            self.written += 1;
        }
    }

    fn awaited(&self) -> usize {
        lock(&self.decoder.awaited).frames.len()
    }
}

fn message(result: Result<Option<(Frame, i64)>, Error>) -> String {
    result.map(|next| next.is_some()).unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn an_ffmpeg_that_reads_and_makes_no_picture_fails_and_few_frames_are_kept_for_it() {
    let mut fake = Fake::start(MAKE_NOTHING).await;
    fake.write(50).await;
    assert_eq!(fake.awaited(), MAX_KEPT_FRAMES);
    let failure = message(soon("the failure", fake.decoder.next_picture()).await);
    assert_eq!(failure, "`ffmpeg`: no data for 10s while waiting for a picture of the video");
}

#[tokio::test(start_paused = true)]
async fn an_ffmpeg_that_reads_nothing_fails() {
    let mut fake = Fake::start("exec sleep 1000").await;
    // More than a pipe holds.
    let video = fake.video.clone();
    let writing = async {
        for frame in video.iter().cycle() {
            fake.input.write(frame, 0).await.unwrap();
        }
    };
    let failure = tokio::select! {
        failure = soon("the failure", fake.decoder.next_picture()) => message(failure),
        () = writing => unreachable!("the video has no end"),
    };
    assert_eq!(failure, "`ffmpeg`: no data for 10s while waiting for a picture of the video");
}

#[tokio::test]
async fn an_ffmpeg_that_hangs_after_a_picture_fails_sooner() {
    let mut fake = Fake::start(&format!("cat picture.jpg; {MAKE_NOTHING}")).await;
    fake.write(1).await;
    let (_, number) = soon("a picture", fake.decoder.next_picture()).await.unwrap().unwrap();
    assert_eq!(number, 0);
    tokio::time::pause();
    fake.write(50).await;
    let failure = message(soon("the failure", fake.decoder.next_picture()).await);
    assert_eq!(failure, "`ffmpeg`: no data for 2.5s while waiting for a picture of the video");
}

#[tokio::test(start_paused = true)]
async fn frames_that_ffmpeg_may_keep_are_waited_for_as_long_as_the_camera_sends_no_more() {
    let mut fake = Fake::start(MAKE_NOTHING).await;
    fake.write(MAX_KEPT_FRAMES).await;
    let an_hour = Duration::from_secs(3600);
    assert!(cut_short(an_hour, fake.decoder.next_picture()).await.is_none());
}
