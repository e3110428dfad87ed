//! Viewers of JPEG watch a camera with H.264 while ffmpeg, which makes the JPEG, hangs. A script stands in for ffmpeg.

use std::fs;
use std::process::Command;

use framecast_testkit::blocking::{MultipartStream, get, output_of};
use framecast_testkit::rtsp::{Clip, FakeRtsp};
use framecast_testkit_server::program::{Running, framecast};
use tempfile::TempDir;

const VIDEO: &[u8] = include_bytes!("../../../../testdata/x264-baseline.h264");
const PICTURE: &[u8] = include_bytes!("../../../../testdata/ffmpeg-mjpeg.jpg");

/// A server of a camera with H.264, called `front`.
struct Site {
    program: Running,
    _camera: FakeRtsp,
    _folder: TempDir,
}

impl Site {
    /// Starts the server with `script` in place of ffmpeg.
    fn start(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        fs::write(folder.path().join("picture.jpg"), PICTURE).unwrap();
        // A separate process writes the file. If this process did, a child that another test starts meanwhile could hold
        // it open for writing, and the system would then refuse to run it.
        let mut write = Command::new("sh");
        write
            .args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh"])
            .arg(format!("#!/bin/sh\ncd {path}\n{script}\n"))
            .arg(folder.path().join("ffmpeg"));
        assert!(output_of(&mut write).status.success());
        let camera = FakeRtsp::builder(Clip::from_annex_b(VIDEO)).start().unwrap();
        let source = format!("front={}", camera.url());
        let path = format!("{path}:{}", std::env::var("PATH").unwrap());
        let mut command = framecast(&["--listen", "127.0.0.1:0", &source]);
        let program = Running::start(command.env("PATH", path));
        Self { program, _camera: camera, _folder: folder }
    }
}

#[test]
fn an_ffmpeg_that_hangs_is_replaced_and_viewers_are_told_meanwhile() {
    let mut site = Site::start(
        "if mkdir hung 2>/dev/null; then cat picture.jpg; exec cat 3>&1 >/dev/null; fi
        while cat picture.jpg; do sleep 0.1; done &
        exec cat >/dev/null",
    );
    let address = site.program.address();
    let mut stream = MultipartStream::open(address, "/video_feed", &[]);
    assert!(stream.any(|part| part.body == PICTURE));
    let slate = stream.find(|part| part.header("x-framecast-notice").is_some()).unwrap();
    assert_ne!(slate.body, PICTURE);
    let state = get(address, "/api/cameras/front").text();
    assert!(state.contains("\"state\":\"live\"") && state.contains("for a picture of the video"), "{state}");
    assert!(stream.any(|part| part.body == PICTURE), "another ffmpeg makes pictures");
    let (status, lines) = site.program.terminate();
    let told = lines.iter().filter(|line| line.contains("cannot make pictures of the video")).count();
    assert!(status.success() && told == 1, "{lines:#?}");
}
