//! A camera's missing device, file, folder or program: a warning from `check` and at the start.

use std::fs;

use framecast_testkit::blocking::{MultipartStream, get, until};
use framecast_testkit_server::program::{Running, framecast, run};

#[test]
fn what_is_missing_is_a_warning_with_the_camera_and_what_to_do_and_no_error() {
    for (source, expected) in [
        ("exec:no-such-program --fast", "cannot run `no-such-program`: "),
        ("images:/no/such/folder?watch", "cannot find /no/such/folder: "),
        ("images:/no/such/*/*.jpg?watch", "cannot find /no/such: "),
        ("/no/such/picture.jpg", "cannot find /no/such/picture.jpg: "),
        ("v4l2:usb=ffff:fffe", " is not plugged in"),
        ("/dev/video987", " is not plugged in"),
    ] {
        let camera = format!("front={source}");
        let (code, stdout, stderr) = run(&mut framecast(&["check", &camera]));
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.starts_with("nothing wrong in "), "{stdout}");
        assert!(stderr.starts_with("warning: camera `front`: ") && stderr.contains(expected), "{stderr}");
        assert!(stderr.contains("the server looks again when someone watches"), "{stderr}");
        let mut program = Running::start(&mut framecast(&["--listen", "127.0.0.1:0", &camera]));
        let line = program.line_with(expected);
        assert!(line.contains("WARN") && line.contains("camera `front`"), "{line}");
        assert!(program.terminate().0.success());
    }
}

#[test]
fn a_program_that_other_sources_need_is_missed_too() {
    let native =
        "`ffmpeg` is not installed; if the camera sends H.264 or H.265, its video plays without ffmpeg";
    let only_ffmpeg = "`ffmpeg` is not installed; Framecast reads this camera with ffmpeg";
    for (source, expected) in [
        ("rtsp://cam.example/1", native),
        ("rtsps://cam.example/1", only_ffmpeg),
        ("rtsp://cam.example/1#fps=5", only_ffmpeg),
        ("pi:", "`rpicam-vid` is not"),
    ] {
        let (code, _, stderr) = run(framecast(&["check", source]).env("PATH", "/no/such/folder"));
        assert_eq!(code, 0);
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn what_is_there_is_no_warning() {
    let folder = tempfile::tempdir().unwrap();
    for source in ["exec:sh -c true", "emulated", folder.path().to_str().unwrap()] {
        let (code, _, stderr) = run(&mut framecast(&["check", source]));
        assert_eq!((code, stderr.as_str()), (0, ""), "{source}");
    }
}

#[test]
fn viewers_of_a_folder_without_pictures_are_told_so_and_then_shown_the_first() {
    // The name is short, so that it does not count as a token.
    let folder = tempfile::Builder::new().prefix("al").rand_bytes(5).tempdir().unwrap();
    let source = format!("front=images:{}?watch", folder.path().display());
    let mut program = Running::start(&mut framecast(&["--listen", "127.0.0.1:0", &source]));
    let address = program.address();
    let mut stream = MultipartStream::open(address, "/cameras/front/stream.mjpg", &[]);
    program.line_with("no JPEG in ");
    let told = format!("no JPEG in {} yet", folder.path().display());
    // The log has the message a moment before the API.
    until("the API has it", || get(address, "/api/cameras/front").text().contains(&told));
    let picture = include_bytes!("../../../../testdata/ffmpeg-mjpeg.jpg");
    fs::write(folder.path().join("first.jpg"), picture).unwrap();
    until("the first picture", || stream.next().unwrap().body == picture[..]);
    let (_, lines) = program.terminate();
    assert!(!lines.iter().any(|line| line.contains("lost")), "{lines:#?}");
}
