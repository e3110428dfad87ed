//! Tests the reading through ffmpeg with scripts in place of ffmpeg and ffprobe. The tests with the real programs are in `e2e/`.
#![warn(clippy::disallowed_methods)]

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use framecast_media::Frame;
use framecast_testkit::soon;
use tempfile::TempDir;

use super::*;
use crate::program::fake_program;

const PICTURE: &[u8] = include_bytes!("../../../../../testdata/ffmpeg-mjpeg.jpg");
const CAMERA: &str = "rtsp://me:s3cret@cam/1";

/// A folder with a fake ffmpeg and a fake ffprobe. Each appends its arguments and its input to a log file, `ffmpeg.log`
/// or `ffprobe.log`.
struct FakeFfmpeg {
    folder: TempDir,
    reader: Ffmpeg,
}

impl FakeFfmpeg {
    fn new(ffprobe: &str, ffmpeg: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("picture.jpg"), PICTURE).unwrap();
        let reader = Ffmpeg { folder: Some(folder.path().to_owned()), ..Ffmpeg::default() };
        let fake = Self { folder, reader };
        fake.program("ffprobe", ffprobe);
        fake.program("ffmpeg", ffmpeg);
        fake
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn program(&self, name: &str, script: &str) {
        let script = format!("echo \"{name} $*\" >>{name}.log\ncat >>{name}.log\n{script}");
        fake_program::write(&self.path().join(name), &script);
    }

    async fn open(&self, url: &str) -> Result<Box<dyn Source>, Error> {
        let (context, url) = (OpenContext::default(), SourceUrl::parse(url).unwrap());
        let target = RtspTarget::parse(&url)?;
        soon("the opening", self.reader.open(&context, &url, target)).await
    }

    /// Returns the error with which opening `url` fails or, if opening succeeds, the error in place of the first
    /// picture.
    async fn failure(&self, url: &str) -> String {
        let error = match self.open(url).await {
            Ok(mut source) => next(&mut source).await.unwrap_err(),
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

async fn next(source: &mut Box<dyn Source>) -> Result<Option<Frame>, Error> {
    soon("the next picture", source.next_frame()).await
}

const H264: &str = "echo 'codec_name=h264|codec_type=video'";
const PICTURES: &str = "cat picture.jpg picture.jpg; exec sleep 1000";

#[tokio::test]
async fn a_camera_is_asked_for_its_codec_once_and_then_read() {
    let fake = FakeFfmpeg::new(H264, PICTURES);
    for _ in 0..2 {
        let mut source = fake.open(CAMERA).await.unwrap();
        assert_eq!(next(&mut source).await.unwrap().unwrap().data, PICTURE);
    }
    assert_eq!(fake.probes(), 1);
    let log = fake.log("ffmpeg");
    assert!(log.contains("-c:v copy") && log.contains("\nfile 'rtsp://me:s3cret@cam/1'\n"), "{log}");
}

#[tokio::test]
async fn closing_lets_ffmpeg_say_goodbye_to_the_camera() {
    let says_goodbye = "trap 'echo TEARDOWN >goodbye; exit 255' TERM; cat picture.jpg
        while :; do sleep 0.01; done";
    let fake = FakeFfmpeg::new(H264, says_goodbye);
    let mut source = fake.open(CAMERA).await.unwrap();
    next(&mut source).await.unwrap().unwrap();
    soon("the source is closed", source.close()).await;
    assert_eq!(fs::read_to_string(fake.path().join("goodbye")).unwrap(), "TEARDOWN\n");
}

#[tokio::test]
async fn an_ffmpeg_that_does_not_end_when_asked_is_gone_once_the_source_is_closed() {
    let fake = FakeFfmpeg::new(H264, "trap '' TERM; echo $$ >pid; cat picture.jpg; exec sleep 1000");
    let mut source = fake.open(CAMERA).await.unwrap();
    next(&mut source).await.unwrap().unwrap();
    let id = fake_program::wait_for_id(fake.path()).await;
    soon("the source is closed", source.close()).await;
    assert!(fake_program::is_gone(id));
}

#[tokio::test]
async fn an_opening_that_is_cancelled_ends_ffprobe() {
    let fake = FakeFfmpeg::new("echo $$ >pid; exec sleep 1000", PICTURES);
    let id = tokio::select! {
        _ = fake.open(CAMERA) => unreachable!("ffprobe does not answer"),
        id = fake_program::wait_for_id(fake.path()) => id,
    };
    assert!(fake_program::is_gone(id));
}

#[tokio::test]
async fn no_argument_of_either_program_has_the_password() {
    let fake = FakeFfmpeg::new(H264, PICTURES);
    let mut source = fake.open(CAMERA).await.unwrap();
    next(&mut source).await.unwrap();
    for name in ["ffprobe", "ffmpeg"] {
        let log = fake.log(name);
        let arguments = log.lines().next().unwrap();
        assert!(arguments.starts_with(name) && !arguments.contains("s3cret"), "{arguments}");
    }
}

#[tokio::test]
async fn an_opening_that_fails_has_the_codec_asked_for_again() {
    let refused = "echo '[rtsp @ 0x1] method DESCRIBE failed: 404 Not Found' >&2; exit 1";
    let fake = FakeFfmpeg::new(H264, refused);
    for probes in 1..=2 {
        let failure = fake.failure(CAMERA).await;
        assert!(
            failure.starts_with("rtsp://cam: the server answered 404 Not Found; check the path"),
            "{failure}"
        );
        assert_eq!(fake.probes(), probes);
    }
}

#[tokio::test]
async fn a_stream_that_its_server_ends_has_ended_and_the_codec_stays_known() {
    let fake = FakeFfmpeg::new(H264, "cat picture.jpg");
    for _ in 0..2 {
        let mut source = fake.open(CAMERA).await.unwrap();
        next(&mut source).await.unwrap().unwrap();
        assert!(next(&mut source).await.unwrap().is_none());
    }
    assert_eq!(fake.probes(), 1);
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_an_error() {
    for (end, told) in [
        ("echo 'pipe:0: Connection timed out' >&2", "no data for 4s while waiting for the next picture"),
        ("echo 'pipe:0: Connection reset by peer' >&2", "the connection to the camera broke"),
        ("echo 'pipe:0: Input/output error' >&2; exit 1", "the connection to the camera broke"),
        ("exit 1", "ffmpeg failed; its error output is in the log at level debug"),
    ] {
        let fake = FakeFfmpeg::new(H264, &format!("cat picture.jpg; {end}"));
        let mut source = fake.open(CAMERA).await.unwrap();
        next(&mut source).await.unwrap().unwrap();
        let error = next(&mut source).await.unwrap_err().to_string();
        assert_eq!(error, format!("rtsp://cam: {told}"));
    }
}

#[tokio::test]
async fn a_camera_without_pictures_is_named() {
    let fake = FakeFfmpeg::new("echo 'codec_name=pcm_alaw|codec_type=audio'", PICTURES);
    let failure = fake.failure(CAMERA).await;
    assert!(failure.contains("the camera sends no video at this address, only sound"), "{failure}");
}

#[tokio::test]
async fn a_wrong_password_is_named_and_shown_nowhere() {
    let refused = "echo '[rtsp @ 0x1] method DESCRIBE failed: 401 Unauthorized' >&2
        echo \"[concat @ 0x2] Impossible to open 'rtsp://me:s3cret@cam/1'\" >&2; exit 1";
    let failure = FakeFfmpeg::new(refused, PICTURES).failure(CAMERA).await;
    assert!(failure.contains("401 Unauthorized; user or password is wrong"), "{failure}");
    assert!(!failure.contains("s3cret"), "{failure}");
}

#[tokio::test]
async fn a_camera_that_does_not_answer_is_given_up() {
    let fake = FakeFfmpeg::new("exec sleep 1000", PICTURES);
    let failure = fake.failure("rtsp://cam/1#timeout=50ms").await;
    assert_eq!(failure, "rtsp://cam: no data for 50ms while waiting for the camera's answer");
}

#[tokio::test]
async fn a_missing_ffmpeg_is_named_with_its_package() {
    let mut fake = FakeFfmpeg::new(H264, PICTURES);
    for name in ["ffmpeg", "ffprobe"] {
        fs::remove_file(fake.path().join(name)).unwrap();
        fake.reader.probe_cache = ProbeCache::default();
        let failure = fake.failure(CAMERA).await;
        assert!(failure.starts_with(&format!("`{name}` is not installed; ")), "{failure}");
        assert!(failure.contains("`apt install ffmpeg`"), "{failure}");
    }
}

/// Returns the script of an ffprobe that finds a codec only over UDP. Over TCP, it prints `words` as the camera's
/// refusal.
fn over_udp_alone(words: &str) -> String {
    format!(
        "tail -n 8 ffprobe.log | grep -q 'rtsp_transport udp' || {{ echo '{words}' >&2; exit 1; }}; {H264}"
    )
}

const REFUSED: &str = "[rtsp @ 0x1] method SETUP failed: 461 Unsupported Transport";
const OTHER: &str = "[rtsp @ 0x1] Nonmatching transport in server reply";

#[tokio::test]
async fn a_camera_that_refuses_tcp_is_read_over_udp_and_not_asked_for_tcp_again() {
    for words in [REFUSED, OTHER] {
        let fake = FakeFfmpeg::new(&over_udp_alone(words), PICTURES);
        for _ in 0..2 {
            let mut source = fake.open(CAMERA).await.unwrap();
            assert_eq!(next(&mut source).await.unwrap().unwrap().data, PICTURE);
        }
        assert_eq!(fake.probes(), 2, "one for each transport, at the first opening");
        let log = fake.log("ffmpeg");
        assert_eq!(log.matches("rtsp_transport udp").count(), 2, "{log}");
    }
}

#[tokio::test]
async fn a_transport_that_fails_is_forgotten() {
    let fake = FakeFfmpeg::new(&over_udp_alone(REFUSED), "echo 'pipe:0: Connection timed out' >&2; exit 1");
    for probes in [2, 4] {
        fake.failure(CAMERA).await;
        assert_eq!(fake.probes(), probes, "TCP is tried first again");
    }
}

#[tokio::test]
async fn a_transport_that_the_url_names_is_the_only_one_that_is_tried() {
    let fake = FakeFfmpeg::new(&over_udp_alone(REFUSED), PICTURES);
    let failure = fake.failure("rtsp://cam/1#transport=tcp").await;
    assert!(failure.ends_with("refuses TCP; leave `#transport=tcp` out"), "{failure}");
    assert_eq!(fake.probes(), 1);
    let mut source = fake.open("rtsp://cam/1#transport=udp").await.unwrap();
    next(&mut source).await.unwrap().unwrap();
    assert_eq!(fake.probes(), 2);
    // The saved probe result for UDP does not help a source that requires TCP.
    let failure = fake.failure("rtsp://cam/1#transport=tcp").await;
    assert!(failure.contains("refuses TCP"), "{failure}");
}

#[tokio::test]
async fn a_camera_that_refuses_both_transports_is_told_so() {
    let fake = FakeFfmpeg::new(&format!("echo '{REFUSED}' >&2; exit 1"), PICTURES);
    let failure = fake.failure(CAMERA).await;
    assert!(failure.contains("the camera answered, but refuses both TCP and UDP"), "{failure}");
}

#[tokio::test]
async fn datagrams_that_do_not_come_are_told_in_the_log_and_awaited_as_long_as_the_reader_likes() {
    let log = LogBuffer::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    for url in [CAMERA, "rtsp://cam/1#timeout=50s"] {
        let fake = FakeFfmpeg::new(&over_udp_alone(REFUSED), "exec sleep 1000");
        let mut source = fake.open(url).await.unwrap();
        tokio::time::pause();
        for _ in 0..2 {
            let waited = framecast_testkit::cut_short(Duration::from_secs(30), source.next_frame()).await;
            assert!(waited.is_none(), "{url}: {waited:?}");
        }
        tokio::time::resume();
        let told = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
        let warning = "the camera answered, but no data came over UDP within 25s; a firewall may block it";
        assert_eq!(told.matches(warning).count(), 1, "{told}");
    }
}

/// Collects the log of a test.
#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The script of an ffprobe that finds a codec only if its timeout is 20 s.
const SLOW: &str =
    "grep -q 'option timeout 20000000' ffprobe.log || { echo 'pipe:0: Connection timed out' >&2; exit 1; }
    echo 'codec_name=h264|codec_type=video'";

#[tokio::test]
async fn a_camera_that_is_there_and_slow_to_answer_is_asked_again_with_more_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rtsp://{}/1", listener.local_addr().unwrap());
    let fake = FakeFfmpeg::new(SLOW, PICTURES);
    next(&mut fake.open(&url).await.unwrap()).await.unwrap().unwrap();
    assert_eq!(fake.probes(), 2);
    let fake = FakeFfmpeg::new(SLOW, PICTURES);
    let failure = fake.failure(&format!("{url}#timeout=3s")).await;
    assert!(failure.contains("no data for 3s while"), "{failure}");
    assert_eq!(fake.probes(), 1, "a time that is stated holds");
    drop(listener);
    let fake = FakeFfmpeg::new(SLOW, PICTURES);
    let failure = fake.failure(&url).await;
    assert!(failure.contains("no data for 4s while"), "{failure}");
    assert_eq!(fake.probes(), 1, "nobody is there");
}

#[tokio::test]
async fn a_camera_that_was_there_before_and_takes_no_connection_now_is_told_before_the_first_picture_is_given_up()
 {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("rtsp://127.0.0.1:{port}/1#timeout=500ms");
    let fake = FakeFfmpeg::new(H264, PICTURES);
    next(&mut fake.open(&url).await.unwrap()).await.unwrap().unwrap();
    fake.program("ffmpeg", "exec sleep 1000");
    let failure = fake.failure(&url).await;
    assert!(failure.contains("the camera is no longer reachable"), "{failure}");
    assert_eq!(fake.probes(), 1);
    fake.open(&url).await.unwrap();
    assert_eq!(fake.probes(), 2, "what was known is forgotten");
}
