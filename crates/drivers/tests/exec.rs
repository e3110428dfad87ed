//! `exec:` with real programs.
#![warn(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use framecast_drivers::{Drivers, Error, ErrorKind, OpenContext, Source, SourceUrl};
use framecast_media::container::multipart::format_unix_seconds;
use framecast_testkit::blocking::output_of;
use framecast_testkit::{cut_short, soon, until};
use tempfile::TempDir;
use tracing::Instrument;

const PICTURE: &[u8] = include_bytes!("../../../testdata/ffmpeg-mjpeg.jpg");

/// A folder with a picture in it, for scripts that run there.
struct ScriptFolder(TempDir);

impl ScriptFolder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("picture.jpg"), PICTURE).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn open(&self, script: &str) -> Box<dyn Source> {
        let folder = self.0.path().display();
        open(&format!("exec:sh -c 'cd {folder}; {script}'")).await.unwrap()
    }

    /// The process id that the script wrote into the file `name`.
    async fn pid(&self, name: &str) -> String {
        let read = || std::fs::read_to_string(self.path(name)).ok().filter(|pid| pid.ends_with('\n'));
        let mut pid = None;
        until("the script writes its process id", || {
            pid = read();
            pid.is_some()
        })
        .await;
        pid.unwrap().trim().to_owned()
    }
}

async fn open(url: &str) -> Result<Box<dyn Source>, Error> {
    let (drivers, context) = (Drivers::builtin(), OpenContext::default());
    soon("the source opens", drivers.open(&context, &SourceUrl::parse(url).unwrap())).await
}

async fn picture(source: &mut Box<dyn Source>) {
    let frame = soon("a picture", source.next_frame()).await.unwrap().unwrap();
    assert_eq!(frame.data, PICTURE);
}

/// Whether the process exists and is not a zombie that waits for its parent.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

fn exists(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

#[tokio::test]
async fn pictures_back_to_back_are_yielded_and_then_the_source_ends() {
    let scripts = ScriptFolder::new();
    let mut source = scripts.open("cat picture.jpg picture.jpg").await;
    picture(&mut source).await;
    picture(&mut source).await;
    assert!(source.next_frame().await.unwrap().is_none());
}

#[tokio::test]
async fn the_picture_that_was_written_last_does_not_wait_for_the_next() {
    let scripts = ScriptFolder::new();
    let mut source = scripts.open("cat picture.jpg; sleep 1000").await;
    picture(&mut source).await;
}

#[tokio::test]
async fn a_multipart_stream_keeps_its_times_of_capture() {
    let scripts = ScriptFolder::new();
    let told = format_unix_seconds(SystemTime::now() - Duration::from_secs(30));
    let mut body = format!("--x\r\nContent-Type: image/jpeg\r\nX-Timestamp: {told}\r\n\r\n").into_bytes();
    body.extend_from_slice(PICTURE);
    body.extend_from_slice(b"\r\n--x--\r\n");
    std::fs::write(scripts.path("body"), body).unwrap();
    let mut source = scripts.open("cat body").await;
    let frame = soon("a picture", source.next_frame()).await.unwrap().unwrap();
    assert_eq!(frame.data, PICTURE);
    assert_eq!(format_unix_seconds(frame.captured_at), told);
    assert!(source.next_frame().await.unwrap().is_none());
}

#[tokio::test]
async fn a_broken_picture_is_an_error_of_its_own_and_the_next_one_comes() {
    let scripts = ScriptFolder::new();
    let mut source = scripts.open("cat picture.jpg; head -c 2000 picture.jpg; cat picture.jpg").await;
    picture(&mut source).await;
    let error = source.next_frame().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Frame, "{error}");
    picture(&mut source).await;
    assert!(source.next_frame().await.unwrap().is_none());
}

#[tokio::test]
async fn all_pictures_of_a_flood_come_through() {
    let scripts = ScriptFolder::new();
    let mut source =
        scripts.open("for i in 1 2 3 4 5 6 7 8 9 10; do cat $(yes picture.jpg | head -n 100); done").await;
    for _ in 0..1000 {
        picture(&mut source).await;
    }
    assert!(source.next_frame().await.unwrap().is_none());
}

#[tokio::test]
async fn a_program_that_fails_is_reported_with_its_status_and_its_words_are_in_the_log() {
    let scripts = ScriptFolder::new();
    let mut source = scripts
        .open("cat picture.jpg; echo starting >&2; echo no lens at rtsp://me:s3cret@cam/1 >&2; echo >&2; exit 3")
        .await;
    picture(&mut source).await;
    let error = source.next_frame().await.unwrap_err();
    assert_eq!(error.to_string(), "`sh` ended: exit status: 3; its error output is in the log");
}

#[tokio::test]
async fn a_program_that_ends_without_a_picture_has_failed_whatever_it_says() {
    let mut source = open("exec:true").await.unwrap();
    let error = source.next_frame().await.unwrap_err();
    assert!(matches!(&error, Error::Exited { status, .. } if status.success()), "{error}");
    assert!(error.to_string().contains("must stay in the foreground"), "{error}");
}

#[tokio::test]
async fn a_signal_that_ended_the_program_is_named() {
    let scripts = ScriptFolder::new();
    let mut source = scripts.open("cat picture.jpg; kill -9 $$").await;
    picture(&mut source).await;
    let error = source.next_frame().await.unwrap_err().to_string();
    assert!(error.contains("signal: 9"), "{error}");
}

#[tokio::test]
async fn output_that_is_no_picture_is_named() {
    let mut source = open("exec:seq 1 5000").await.unwrap();
    let error = source.next_frame().await.unwrap_err();
    assert!(matches!(error, Error::Stream(_)), "{error}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let error = open("exec:framecast-no-such-program -x").await.err().unwrap();
    assert!(error.to_string().starts_with("cannot run `framecast-no-such-program`: "), "{error}");
    assert!(error.to_string().ends_with("; install it, or give its full path"), "{error}");
}

#[tokio::test]
async fn words_that_cannot_be_split_and_no_word_at_all_are_refused_before_running() {
    for bad in ["exec:sh -c 'unended", "exec:", "exec:  ", "exec:''"] {
        let url = SourceUrl::parse(bad).unwrap();
        assert!(matches!(Drivers::builtin().find(&url).err(), Some(Error::BadUrl { .. })), "{bad}");
    }
}

#[tokio::test]
async fn dropping_the_source_ends_the_program_and_reaps_it() {
    let scripts = ScriptFolder::new();
    let mut source = scripts.open("echo $$ >pid; cat picture.jpg; exec sleep 1000").await;
    picture(&mut source).await;
    let pid = scripts.pid("pid").await;
    assert!(runs(&pid));
    drop(source);
    assert!(!exists(&pid), "neither running nor a zombie");
}

#[tokio::test]
async fn dropping_the_source_ends_children_and_grandchildren() {
    let scripts = ScriptFolder::new();
    let script = "(sleep 1000 & echo $! >grandchild; wait) & echo $! >child; cat picture.jpg; wait";
    let mut source = scripts.open(script).await;
    picture(&mut source).await;
    let (child, grandchild) = (scripts.pid("child").await, scripts.pid("grandchild").await);
    drop(source);
    assert!(!runs(&child) && !runs(&grandchild));
}

#[tokio::test]
async fn a_program_that_ignores_its_termination_is_killed_with_its_children() {
    let scripts = ScriptFolder::new();
    let script =
        "trap \"\" TERM; sleep 1000 & echo $! >child; echo $$ >pid; cat picture.jpg; while :; do wait; done";
    let mut source = scripts.open(script).await;
    picture(&mut source).await;
    let (pid, child) = (scripts.pid("pid").await, scripts.pid("child").await);
    drop(source);
    assert!(!exists(&pid) && !runs(&child));
}

#[tokio::test]
async fn a_program_that_has_much_to_say_at_its_end_is_heard_out() {
    let scripts = ScriptFolder::new();
    // More than a pipe holds; the script starts no process for it, so this is quick.
    let script =
        "trap \"printf %0300000d 7 >&2; echo >ended; exit\" TERM; cat picture.jpg; sleep 1000 & wait";
    let mut source = scripts.open(script).await;
    picture(&mut source).await;
    drop(source);
    assert!(scripts.path("ended").exists());
}

#[tokio::test]
async fn a_program_that_floods_us_ends_when_the_source_is_dropped() {
    let scripts = ScriptFolder::new();
    let mut source = scripts.open("echo $$ >pid; while :; do cat picture.jpg; done").await;
    picture(&mut source).await;
    let pid = scripts.pid("pid").await;
    drop(source);
    assert!(!exists(&pid));
}

#[tokio::test]
async fn the_end_of_the_program_counts_even_while_a_child_holds_its_output() {
    let scripts = ScriptFolder::new();
    // The child ignores SIGTERM, so that it still holds the pipe when the driver reads the exit status.
    let script = "(trap \"\" TERM; echo ready >ready; exec sleep 1000) & echo $! >child; \
                  until [ -e ready ]; do sleep 0.01; done; cat picture.jpg; exit 7";
    let mut source = scripts.open(script).await;
    picture(&mut source).await;
    let child = scripts.pid("child").await;
    let error = source.next_frame().await.unwrap_err().to_string();
    assert!(error.contains("exit status: 7"), "{error}");
    assert!(runs(&child));
    drop(source);
    assert!(!runs(&child));
}

#[tokio::test]
async fn a_program_that_closes_its_output_and_runs_on_is_told_so() {
    let scripts = ScriptFolder::new();
    let mut source = scripts.open("cat picture.jpg; exec >/dev/null; exec sleep 1000").await;
    picture(&mut source).await;
    let error = source.next_frame().await.unwrap_err().to_string();
    assert!(error.contains("closed its standard output"), "{error}");
}

/// The log of a test.
#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn standard_error_is_logged_with_the_name_of_the_camera_and_a_flood_of_it_is_counted() {
    let log = LogBuffer::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let scripts = ScriptFolder::new();
    let script = "echo warming up >&2; yes complaint | head -n 200 >&2; cat picture.jpg; exit 1";
    let mut source = scripts.open(script).instrument(tracing::info_span!("camera", name = "front")).await;
    picture(&mut source).await;
    source.next_frame().await.unwrap_err();
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // The driver masks what a program repeats of its arguments.
    assert!(log.contains("name=\"front\"}") && log.contains("sh: *** up"), "{log}");
    assert!(log.contains("lines left out") && log.lines().count() < 100, "{log}");
}

#[tokio::test]
async fn a_flood_on_standard_error_does_not_hold_up_the_pictures() {
    let scripts = ScriptFolder::new();
    let mut source =
        scripts.open("yes complaint | head -n 30000 >&2; cat picture.jpg; exec sleep 1000").await;
    picture(&mut source).await;
}

#[tokio::test]
async fn the_servers_own_variables_are_not_handed_on() {
    // The variable can only be set for a new process: this test runs itself once more.
    if std::env::var_os("FRAMECAST_PASSWORD").is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again
            .args(["--exact", "the_servers_own_variables_are_not_handed_on"])
            .env("FRAMECAST_PASSWORD", "s3cret")
            .env("FRAMECAST_WEBHOOK_SECRET", "s3cret")
            .env("FRAMECAST_OF_TOMORROW", "s3cret")
            .env("NOTIFY_SOCKET", "/run/systemd/notify");
        let output = output_of(&mut again);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains(" 1 passed"), "{told}");
        return;
    }
    let scripts = ScriptFolder::new();
    let mut source = scripts.open("env >environment; cat picture.jpg").await;
    picture(&mut source).await;
    let environment = std::fs::read_to_string(scripts.path("environment")).unwrap();
    assert!(environment.contains("PATH=") && !environment.contains("FRAMECAST_"), "{environment}");
    assert!(!environment.contains("NOTIFY_SOCKET"), "{environment}");
}

#[tokio::test]
async fn next_frame_can_be_cancelled_at_any_time() {
    let scripts = ScriptFolder::new();
    let mut source = scripts.open("for i in 1 2 3 4 5; do cat picture.jpg; sleep 0.02; done").await;
    let mut pictures = 0;
    loop {
        match cut_short(Duration::from_millis(1), source.next_frame()).await {
            None => {}
            Some(Ok(Some(_))) => pictures += 1,
            Some(Ok(None)) => break,
            Some(Err(error)) => panic!("{error}"),
        }
    }
    assert_eq!(pictures, 5);
}
