//! `exec:` with programs that write coded video.
#![warn(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;

use framecast_drivers::{Drivers, Error, ErrorKind, OpenContext, Source, SourceUrl};
use framecast_media::{Codec, Frame};
use framecast_testkit::blocking::output_of;
use framecast_testkit::{not_run, soon};

const H264: &[u8] = include_bytes!("../../../testdata/x264-baseline.h264");

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

async fn open_with(context: OpenContext, command: &str) -> Box<dyn Source> {
    let (drivers, url) = (Drivers::builtin(), SourceUrl::parse(&format!("exec:{command}")).unwrap());
    soon("the source opens", drivers.open(&context, &url)).await.unwrap()
}

async fn open(command: &str) -> Box<dyn Source> {
    open_with(OpenContext::default(), command).await
}

async fn next(source: &mut Box<dyn Source>) -> Result<Option<Frame>, Error> {
    soon("the next frame", source.next_frame()).await
}

async fn frame(source: &mut Box<dyn Source>) -> Frame {
    next(source).await.unwrap().unwrap()
}

/// Reads all frames of a file.
async fn frames_of(name: &str) -> Vec<Frame> {
    let mut source = open(&format!("cat {}", testdata(name).display())).await;
    let mut frames = Vec::new();
    while let Some(frame) = next(&mut source).await.unwrap() {
        frames.push(frame);
    }
    assert_eq!(source.dropped_frames(), 0);
    frames
}

fn keyframes(frames: &[Frame]) -> String {
    frames.iter().map(|frame| if frame.is_keyframe { 'K' } else { '-' }).collect()
}

#[tokio::test]
async fn byte_streams_are_passed_on_as_they_come_until_the_program_ends() {
    for (name, codec, expected) in [
        ("x264-baseline.h264", Codec::H264, "K--K--"),
        ("x264-slices.h264", Codec::H264, "K-K-"),
        ("x265-main10-cropped.h265", Codec::H265, "K--"),
    ] {
        let frames = frames_of(name).await;
        assert_eq!(keyframes(&frames), expected, "{name}");
        assert!(frames.iter().all(|frame| frame.format.codec == codec && frame.dts <= frame.pts));
        assert!(frames.windows(2).all(|pair| pair[0].dts < pair[1].dts), "{name}");
    }
}

#[tokio::test]
async fn fragmented_mp4_keeps_its_own_times() {
    let frames = frames_of("ffmpeg-fmp4-x264-bframes-aac.mp4").await;
    assert_eq!(frames.len(), 20);
    let order: Vec<_> =
        frames.iter().map(|frame| (frame.pts.ticks() - frames[0].pts.ticks()) / 9000).collect();
    assert_eq!(order, [0, 4, 2, 1, 3, 8, 6, 5, 7, 9, 10, 14, 12, 11, 13, 18, 16, 15, 17, 19]);
    assert!(frames.windows(2).all(|pair| pair[0].dts < pair[1].dts));
    assert!(frames.iter().all(|frame| frame.dts <= frame.pts && frame.dts.ticks() >= 0));
}

#[tokio::test]
async fn mp4_that_is_not_fragmented_says_what_to_write() {
    let mut source = open(&format!("cat {}", testdata("ffmpeg-mp4-unfragmented.mp4").display())).await;
    let error = next(&mut source).await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Frame);
    assert!(error.to_string().contains("-movflags frag_every_frame+empty_moov"), "{error}");
}

#[tokio::test]
async fn a_byte_stream_with_b_frames_says_what_to_write() {
    for name in ["x264-main-bframes.h264", "x265-bframes.h265"] {
        let mut source = open(&format!("cat {}", testdata(name).display())).await;
        let error = loop {
            if let Err(error) = next(&mut source).await {
                break error;
            }
        };
        assert_ne!(error.kind(), ErrorKind::Frame);
        for advice in ["`-bf 0`", "frag_every_frame+empty_moov"] {
            assert!(error.to_string().contains(advice), "{error}");
        }
    }
}

#[tokio::test]
async fn the_last_frame_of_a_live_stream_does_not_wait_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let starts: Vec<_> = frames_at(H264);
    for (number, start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(H264.len());
        std::fs::write(folder.path().join(number.to_string()), &H264[*start..end]).unwrap();
    }
    // Pauses that this process does not notice, because it has no time, are no fault.
    let script =
        "for i in 1 2 3 4 5 6; do for f in 0 1 2 3 4 5; do cat $f; sleep 0.03; done; done; sleep 1000";
    let mut source = open(&format!("sh -c 'cd {}; {script}'", folder.path().display())).await;
    for number in 0..36 {
        assert_eq!(frame(&mut source).await.is_keyframe, number % 3 == 0);
    }
    assert_eq!(source.dropped_frames(), 0);
}

/// Returns where the frames of a stream begin that has a sequence parameter set before each keyframe, and one slice for
/// each frame.
fn frames_at(stream: &[u8]) -> Vec<usize> {
    let starts = (0..stream.len() - 4).filter(|&at| stream[at..].starts_with(&[0, 0, 0, 1]));
    starts.filter(|&at| matches!(stream[at + 4] & 0x1F, 1 | 7)).collect()
}

#[tokio::test]
async fn a_frame_over_the_limit_is_an_error_and_the_next_frame_is_a_keyframe() {
    let file = testdata("x264-baseline.h264");
    let frames = frames_of("x264-baseline.h264").await;
    let largest = frames.iter().map(|frame| frame.data.len()).max().unwrap();
    let context = OpenContext::default().with_max_picture_bytes(largest - 1);
    let mut source = open_with(context, &format!("cat {}", file.display())).await;
    let (mut errors, mut found) = (Vec::new(), Vec::new());
    loop {
        match next(&mut source).await {
            Ok(Some(frame)) => found.push(frame),
            Err(error) if error.kind() == ErrorKind::Frame => errors.push(error.to_string()),
            _ => break,
        }
    }
    assert!(!errors.is_empty() && errors[0].contains("larger than"), "{errors:?}");
    assert!(found.first().is_none_or(|frame| frame.is_keyframe), "{}", keyframes(&found));
    assert_eq!(found.len() as u64 + source.dropped_frames(), frames.len() as u64);
}

#[tokio::test]
async fn what_ffmpeg_codes_live_comes_as_it_is() {
    if output_of(Command::new("ffmpeg").arg("-version")).status.code() != Some(0) {
        return not_run("without ffmpeg");
    }
    let mp4 = "-movflags frag_every_frame+empty_moov+default_base_moof -f mp4";
    for (codec, output) in [("libx264", "-f h264"), ("libx264", mp4), ("libx265", "-f hevc")] {
        let mut source = open(&format!(
            "ffmpeg -v error -re -f lavfi -i testsrc=size=96x64:rate=50 -c:v {codec} -tune zerolatency \
             -x265-params log-level=error -g 10 -pix_fmt yuv420p {output} -"
        ))
        .await;
        let mut frames = Vec::new();
        for _ in 0..50 {
            frames.push(frame(&mut source).await);
        }
        assert_eq!(keyframes(&frames), "K---------".repeat(5), "{output}");
        assert!(frames.windows(2).all(|pair| pair[0].pts < pair[1].pts), "{output}");
        let seconds = (frames[49].pts.ticks() - frames[0].pts.ticks()) as f64 / 90_000.0;
        assert!((0.5..30.0).contains(&seconds), "{output}: {seconds}");
    }
}
