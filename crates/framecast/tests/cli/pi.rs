//! A Raspberry Pi's camera by a program on PATH, and the Flask app's names for cameras.

use std::fs;
use std::path::Path;
use std::process::Command;

use framecast_testkit::blocking::{MultipartStream, get, output_of};
use framecast_testkit_server::program::{Running, framecast, run};

const PICTURE: &[u8] = include_bytes!("../../../../testdata/ffmpeg-mjpeg.jpg");

/// Writes a `rpicam-vid` with this `script` into the folder; returns a `PATH` that begins with it.
fn path_with(folder: &Path, script: &str) -> String {
    fs::write(folder.join("picture.jpg"), PICTURE).unwrap();
    // A separate process writes the file. If this process did, a child that another test starts meanwhile could hold it
    // open for writing, and the system would then refuse to run it.
    let mut write = Command::new("sh");
    write
        .args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh"])
        .arg(format!("#!/bin/sh\ncd {}\n{script}\n", folder.display()))
        .arg(folder.join("rpicam-vid"));
    assert!(output_of(&mut write).status.success());
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

#[test]
fn camera_pi_shows_what_the_program_on_path_writes() {
    let folder = tempfile::tempdir().unwrap();
    let script = "case \"$*\" in *'--codec mjpeg'*) cat picture.jpg;; esac; exec sleep 1000";
    let path = path_with(folder.path(), script);
    let mut command = framecast(&["--listen", "127.0.0.1:0"]);
    let mut program = Running::start(command.env("PATH", path).env("CAMERA", "pi2"));
    let address = program.address();
    assert_eq!(get(address, "/cameras/camera/snapshot.jpg").body, PICTURE);
    assert!(program.terminate().0.success());
}

#[test]
fn a_camera_that_the_program_does_not_find_is_lost_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_with(folder.path(), "echo 'ERROR: *** no cameras available ***' >&2; exit 255");
    let mut program = Running::start(framecast(&["--listen", "127.0.0.1:0", "pi:"]).env("PATH", path));
    let address = program.address();
    let stream = MultipartStream::open(address, "/cameras/camera/stream.mjpg", &[]);
    program.line_with("lost");
    // The log has the message a moment before the API.
    let answer = loop {
        let answer = get(address, "/api/cameras/camera").text();
        if answer.contains("\"state\":\"lost\"") {
            break answer;
        }
    };
    assert!(
        answer.contains("Check the ribbon cable") && answer.contains("Its error output is in the log"),
        "{answer}"
    );
    drop(stream);
}

#[test]
fn the_names_of_the_flask_app_are_known() {
    let sources = |camera: &str, opencv: &str| {
        let mut command = framecast(&["check"]);
        let (_, stdout, stderr) = run(command.env("CAMERA", camera).env("OPENCV_CAMERA_SOURCE", opencv));
        format!("{stdout}{stderr}")
    };
    assert!(sources("pi", "").contains("  camera  pi:\n"));
    let url = sources("opencv", "rtsp://me:s3cret@cam/1");
    assert!(url.contains("  camera  rtsp://cam\n"), "{url}");
    let film = sources("opencv", "film.mp4");
    assert!(film.contains("  camera  exec:ffmpeg\n"), "{film}");
    for (camera, opencv, device) in [("v4l2", "", 0), ("opencv", "", 0), ("opencv", "3", 3)] {
        let told = sources(camera, opencv);
        assert!(told.contains(&format!("/dev/video{device}")), "{told}");
    }
}
