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
    decoders: VideoDecoders,
    decoder: VideoDecoder<i64>,
    input: DecoderInput<i64>,
    video: Vec<Frame>,
    written: i64,
    folder: TempDir,
}

impl Fake {
    async fn start(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("picture.jpg"), PICTURE).unwrap();
        fake_program::write(&folder.path().join("ffmpeg"), script);
        let decoders = VideoDecoders { folder: Some(folder.path().to_owned()), hardware: Vec::new() };
        let context = OpenContext::default();
        let mut parser = FrameParser::new(&context);
        parser.push(VIDEO);
        parser.finish();
        let video: Vec<Frame> = std::iter::from_fn(|| parser.next_frame().unwrap()).collect();
        let (decoder, input) = started(&decoders, &video[0].format).await;
        Self { decoders, decoder, input, video, written: 0, folder }
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

async fn started(decoders: &VideoDecoders, format: &Format) -> (VideoDecoder<i64>, DecoderInput<i64>) {
    soon("the start", decoders.start(&OpenContext::default(), format)).await.unwrap()
}

fn message(result: Result<Option<(Frame, i64)>, Error>) -> String {
    result.map(|next| next.is_some()).unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn an_ffmpeg_that_reads_and_makes_no_picture_fails_and_few_frames_are_kept_for_it() {
    let mut fake = Fake::start(MAKE_NOTHING).await;
    fake.write(1000).await;
    assert!(fake.awaited() <= MAX_AWAITED_FRAMES, "{}", fake.awaited());
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

#[tokio::test]
async fn pictures_have_the_times_of_their_own_frames_while_more_frames_lie_in_the_pipe() {
    let mut fake = Fake::start("cat picture.jpg; exec sleep 1000").await;
    fake.write(20).await;
    let (_, number) = soon("a picture", fake.decoder.next_picture()).await.unwrap().unwrap();
    assert_eq!(number, 0);
}

#[tokio::test(start_paused = true)]
async fn frames_that_ffmpeg_may_keep_are_waited_for_as_long_as_the_camera_sends_no_more() {
    let mut fake = Fake::start(MAKE_NOTHING).await;
    fake.write(MAX_KEPT_FRAMES).await;
    let an_hour = Duration::from_secs(3600);
    assert!(cut_short(an_hour, fake.decoder.next_picture()).await.is_none());
}

#[tokio::test]
async fn after_a_failure_with_hardware_ffmpeg_decodes_in_software_and_after_another_there_is_no_more_to_try()
{
    let mut fake =
        Fake::start("case \"$*\" in *-hwaccel*) exit 1;; esac; cat picture.jpg; exec sleep 1000").await;
    fake.decoders.hardware = vec!["-hwaccel".to_owned(), "cuda".to_owned()];
    (fake.decoder, fake.input) = started(&fake.decoders, &fake.video[0].format).await;
    let failure = message(soon("the failure", fake.decoder.next_picture()).await);
    assert!(failure.starts_with("`ffmpeg` ended: exit status: 1"), "{failure}");
    assert!(fake.decoders.give_up_hardware());
    (fake.decoder, fake.input) = started(&fake.decoders, &fake.video[0].format).await;
    fake.write(1).await;
    assert!(soon("a picture", fake.decoder.next_picture()).await.unwrap().is_some());
    assert!(!fake.decoders.give_up_hardware());
}

#[test]
fn the_options_for_hardware_come_before_the_input_and_without_hardware_there_are_none() {
    let options = ["-hwaccel".to_owned(), "cuda".to_owned()];
    for (hardware, place) in [(&options[..], Some("-hwaccel cuda")), (&[], None)] {
        let arguments = arguments(Codec::H264, false, hardware).join(" ");
        let (before, _) = arguments.split_once(" -i pipe:0 ").unwrap();
        assert_eq!(before.find("-hwaccel").map(|at| &before[at..at + 13]), place);
    }
}

#[tokio::test]
async fn a_panic_of_the_task_that_decodes_ends_ffmpeg() {
    let fake = Fake::start("echo $$ >pid; exec sleep 1000").await;
    let id = fake_program::wait_for_id(fake.folder.path()).await;
    let task = tokio::spawn(async move {
        let _decoder = fake.decoder;
        panic!("a task that fails, as the test asked for");
    });
    assert!(soon("the end of the task", task).await.unwrap_err().is_panic());
    assert!(fake_program::is_gone(id));
}

#[tokio::test]
async fn a_camera_that_falls_silent_after_a_picture_is_waited_for() {
    let mut fake = Fake::start(&format!("head -c 1 >/dev/null; cat picture.jpg; {MAKE_NOTHING}")).await;
    fake.write(50).await;
    assert!(soon("a picture", fake.decoder.next_picture()).await.unwrap().is_some());
    tokio::time::pause();
    let an_hour = Duration::from_secs(3600);
    assert!(cut_short(an_hour, fake.decoder.next_picture()).await.is_none());
}
