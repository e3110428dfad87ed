//! The driver with scripts in place of ffmpeg and ffprobe. The real ones are in `e2e/`.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::program::stand_in;

const PICTURE: &[u8] = include_bytes!("../../../../testdata/ffmpeg-mjpeg.jpg");
const CAMERA: &str = "rtsp://me:s3cret@cam/1";

/// A folder with programs. Each appends its arguments and its input to a file of its name with `.log` behind it.
struct Stage {
    folder: TempDir,
    driver: Rtsp,
}

impl Stage {
    fn new(ffprobe: &str, ffmpeg: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("picture.jpg"), PICTURE).unwrap();
        let driver = Rtsp { folder: Some(folder.path().to_owned()), ..Rtsp::new("rtsp") };
        let stage = Self { folder, driver };
        stage.program("ffprobe", ffprobe);
        stage.program("ffmpeg", ffmpeg);
        stage
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn program(&self, name: &str, script: &str) {
        let script = format!("echo \"{name} $*\" >>{name}.log\ncat >>{name}.log\n{script}");
        stand_in::write(&self.path().join(name), &script);
    }

    async fn open(&self, url: &str) -> Result<Box<dyn Source>, Error> {
        self.driver.open(&SourceUrl::parse(url).unwrap()).await
    }

    /// How opening, or else the first picture, fails.
    async fn failure(&self, url: &str) -> String {
        let error = match self.open(url).await {
            Ok(mut source) => source.next_frame().await.unwrap_err(),
            Err(error) => error,
        };
        error.to_string()
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    fn probes(&self) -> usize {
        self.log("ffprobe").matches("ffprobe -v").count()
    }
}

const H264: &str = "echo 'codec_name=h264|codec_type=video'";
const PICTURES: &str = "cat picture.jpg picture.jpg; exec sleep 1000";

#[tokio::test]
async fn a_camera_is_asked_for_its_codec_once_and_then_read() {
    let stage = Stage::new(H264, PICTURES);
    for _ in 0..2 {
        let mut source = stage.open(CAMERA).await.unwrap();
        assert_eq!(source.next_frame().await.unwrap().unwrap().data, PICTURE);
    }
    assert_eq!(stage.probes(), 1);
    let log = stage.log("ffmpeg");
    assert!(log.contains("-c:v mjpeg") && log.contains("\nfile 'rtsp://me:s3cret@cam/1'\n"), "{log}");
}

#[tokio::test]
async fn no_argument_of_either_program_has_the_password() {
    let stage = Stage::new(H264, PICTURES);
    let mut source = stage.open(CAMERA).await.unwrap();
    source.next_frame().await.unwrap();
    for name in ["ffprobe", "ffmpeg"] {
        let log = stage.log(name);
        let arguments = log.lines().next().unwrap();
        assert!(arguments.starts_with(name) && !arguments.contains("s3cret"), "{arguments}");
    }
}

#[tokio::test]
async fn an_opening_that_fails_has_the_codec_asked_for_again() {
    let refused = "echo '[rtsp @ 0x1] method DESCRIBE failed: 404 Not Found' >&2; exit 1";
    let stage = Stage::new(H264, refused);
    for probes in 1..=2 {
        let failure = stage.failure(CAMERA).await;
        assert!(
            failure.starts_with("rtsp://me:***@cam/1: answered 404 Not Found; check the path"),
            "{failure}"
        );
        assert_eq!(stage.probes(), probes);
    }
}

#[tokio::test]
async fn a_stream_that_ends_is_an_error_and_the_codec_stays_known() {
    let stage = Stage::new(H264, "cat picture.jpg");
    for _ in 0..2 {
        let mut source = stage.open(CAMERA).await.unwrap();
        source.next_frame().await.unwrap().unwrap();
        let error = source.next_frame().await.unwrap_err().to_string();
        assert_eq!(error, "rtsp://me:***@cam/1: the camera has ended the stream");
    }
    assert_eq!(stage.probes(), 1);
}

#[tokio::test]
async fn a_camera_without_pictures_is_named() {
    let stage = Stage::new("echo 'codec_name=pcm_alaw|codec_type=audio'", PICTURES);
    let failure = stage.failure(CAMERA).await;
    assert!(failure.contains("there is no stream of pictures, only sound"), "{failure}");
}

#[tokio::test]
async fn a_wrong_password_is_named_and_shown_nowhere() {
    let refused = "echo '[rtsp @ 0x1] method DESCRIBE failed: 401 Unauthorized' >&2
        echo \"[concat @ 0x2] Impossible to open 'rtsp://me:s3cret@cam/1'\" >&2; exit 1";
    let failure = Stage::new(refused, PICTURES).failure(CAMERA).await;
    assert!(failure.contains("401 Unauthorized; user or password is wrong"), "{failure}");
    assert!(!failure.contains("s3cret"), "{failure}");
}

#[tokio::test]
async fn a_camera_that_does_not_answer_is_given_up() {
    let stage = Stage::new("exec sleep 1000", PICTURES);
    let failure = stage.failure("rtsp://cam/1#timeout=50ms").await;
    assert_eq!(failure, "rtsp://cam/1#timeout=50ms: nothing for 50ms while waiting for the camera's answer");
}

#[tokio::test]
async fn a_missing_ffmpeg_is_named_with_its_package() {
    let stage = Stage::new(H264, PICTURES);
    for name in ["ffmpeg", "ffprobe"] {
        fs::remove_file(stage.path().join(name)).unwrap();
        stage.driver.codecs.lock().unwrap().clear();
        let failure = stage.failure(CAMERA).await;
        assert!(failure.starts_with(&format!("`{name}` is not installed; ")), "{failure}");
        assert!(failure.contains("`apt install ffmpeg`"), "{failure}");
    }
}
