//! Tests the driver with a script in place of `rpicam-vid`. The script replays output and errors of the real
//! program.
#![warn(clippy::disallowed_methods)]

use std::fs;
use std::path::Path;

use framecast_media::Codec;
use tempfile::TempDir;

use super::*;
use crate::ErrorKind;
use crate::program::fake_program;

const PICTURE: &[u8] = include_bytes!("../../../../testdata/ffmpeg-mjpeg.jpg");

const VIDEO: &[u8] = include_bytes!("../../../../testdata/x264-baseline.h264");

/// A folder with a fake program, which writes its arguments to the file `arguments` and then runs the script of the
/// test.
struct FakeLibcamera {
    folder: TempDir,
    driver: Libcamera,
}

impl FakeLibcamera {
    fn new(program: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("picture.jpg"), PICTURE).unwrap();
        let driver = Libcamera { folder: Some(folder.path().to_owned()), ..Libcamera::new("libcamera") };
        fake_program::write(&folder.path().join(program), &format!("echo \"$*\" >arguments\n{script}"));
        Self { folder, driver }
    }

    async fn open(&self, url: &str) -> Result<Box<dyn Source>, Error> {
        self.driver.open(&OpenContext::default(), &SourceUrl::parse(url).unwrap()).await
    }

    /// Returns the error with which opening `url` fails or, if opening succeeds, the error in place of the first
    /// picture.
    async fn failure(&self, url: &str) -> String {
        let error = match self.open(url).await {
            Ok(mut source) => source.next_frame().await.unwrap_err(),
            Err(error) => error,
        };
        assert_ne!(error.kind(), ErrorKind::Fatal);
        error.to_string()
    }

    fn arguments(&self) -> String {
        fs::read_to_string(Path::new(self.folder.path()).join("arguments")).unwrap()
    }
}

const PICTURES: &str =
    "echo '[0:00:52.077980292] [981]  INFO Camera camera_manager.cpp:326 libcamera v0.5.0' >&2
cat picture.jpg picture.jpg
exec sleep 1000";

#[tokio::test]
async fn pictures_are_read_and_what_was_given_is_told_beside_what_was_asked() {
    let fake = FakeLibcamera::new("rpicam-vid", PICTURES);
    let mut source = fake.open("libcamera:?camera=1&size=640x480&fps=10").await.unwrap();
    assert_eq!(source.capture(), None);
    for _ in 0..2 {
        assert_eq!(source.next_frame().await.unwrap().unwrap().data, PICTURE);
    }
    let arguments = fake.arguments();
    assert!(arguments.contains("--camera 1 --width 640 --height 480 --framerate 10 "), "{arguments}");
    let capture = source.capture().unwrap();
    assert_eq!((capture.asked.width, capture.asked.fps), (Some(640), Some(10.0)));
    assert_eq!(capture.given.format.as_deref(), Some("mjpeg"));
    assert!(capture.given.width.is_some());
}

#[tokio::test]
async fn h264_is_passed_on_as_the_camera_codes_it() {
    let fake = FakeLibcamera::new("rpicam-vid", "cat video.h264");
    fs::write(fake.folder.path().join("video.h264"), VIDEO).unwrap();
    let mut source = fake.open("pi:?codec=h264").await.unwrap();
    for is_keyframe in [true, false, false, true] {
        let frame = source.next_frame().await.unwrap().unwrap();
        assert_eq!((frame.format.codec, frame.is_keyframe), (Codec::H264, is_keyframe));
    }
    assert!(fake.arguments().contains("--codec h264 "), "{}", fake.arguments());
    let capture = source.capture().unwrap();
    assert_eq!((capture.given.format.as_deref(), capture.given.width), (Some("h264"), Some(96)));
    assert_eq!(capture.asked.format.as_deref(), Some("h264"));
}

#[tokio::test]
async fn the_older_name_of_the_program_serves_as_well() {
    let fake = FakeLibcamera::new("libcamera-vid", PICTURES);
    let mut source = fake.open("libcamera").await.unwrap();
    source.next_frame().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_missing_program_is_named_with_its_package() {
    let failure = FakeLibcamera::new("another", PICTURES).failure("libcamera").await;
    assert!(failure.starts_with("`rpicam-vid` is not installed; "), "{failure}");
    for package in ["`apt install rpicam-apps`", "`apt install libcamera-apps`"] {
        assert!(failure.contains(package), "{failure}");
    }
}

/// Uses messages that users reported from their devices on GitHub (issues 244 and 496 of raspberrypi/rpicam-apps, issue
/// 4 of Gordon999/Pi_LIbCamera_GUI).
#[tokio::test]
async fn what_the_program_says_comes_with_what_to_do() {
    for (lines, advice) in [
        (
            "[0:15:00.576343596] [6374] INFO Camera camera_manager.cpp:299 libcamera v0.0.4+22-923f5d70\n\
             ERROR: *** no cameras available ***",
            "found no camera. Check the ribbon cable",
        ),
        (
            "[0:19:06.419783286] [2746]  INFO Camera camera.cpp:839 Pipeline handler in use by another process\n\
             ERROR: *** failed to acquire camera /base/soc/i2c0mux/i2c@1/ov5647@36 ***",
            "another program uses it, and only one can at a time. Stop that program",
        ),
        ("ERROR: *** selected camera is not available ***", "`rpicam-vid` found no camera with this number"),
        (
            "ERROR: the system appears to be configured for the legacy camera stack",
            "switch off Legacy Camera",
        ),
        (
            "ERROR: rpicam-apps currently only supports the Raspberry Pi platforms.\n\
             Contributions for other platforms are welcome at https://github.com/raspberrypi/rpicam-apps.",
            "v4l2:/dev/video0",
        ),
        ("ERROR: *** unrecognised option '--nope' ***", "does not know an option"),
        (
            "dmaHeap allocation failure for rpicam-apps2\n\
             ERROR: *** failed to allocate capture buffers for stream ***",
            "too little memory",
        ),
        ("ERROR: *** something new ***", "`rpicam-vid` ended: exit status: 255"),
    ] {
        let script = format!("cat >&2 <<'END'\n{lines}\nEND\nexit 255");
        let failure = FakeLibcamera::new("rpicam-vid", &script).failure("libcamera").await;
        assert!(
            failure.contains(advice) && failure.to_lowercase().contains("error output is in the log"),
            "{failure}"
        );
        assert!(!failure.contains("***"), "{failure}");
    }
}

#[tokio::test]
async fn cameras_are_listed_once_for_both_names_of_the_driver() {
    let list = "echo 'Available cameras'; echo '0 : imx219 [3280x2464 10-bit RGGB] (/base/x@10)'";
    let fake = FakeLibcamera::new("rpicam-vid", list);
    let devices = fake.driver.devices().await;
    assert_eq!(devices.len(), 1);
    assert_eq!(fake.arguments(), "--list-cameras\n");
    assert!(Libcamera { scheme: "pi", ..fake.driver }.devices().await.is_empty());
    assert!(FakeLibcamera::new("another", "").driver.devices().await.is_empty());
}
