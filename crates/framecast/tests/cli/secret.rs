//! No line that the program prints contains a password.

use framecast_testkit::blocking::get;
use framecast_testkit_server::program::{Running, framecast, run};

const SECRET: &str = "s3cr3t";

#[test]
fn a_check_shows_sources_without_their_passwords() {
    for (source, shown) in [
        ("http://me:s3cr3t@cam.example/video", "http://cam.example"),
        ("http://cam.example:81/video?p=s3cr3t", "http://cam.example:81"),
        ("exec:/opt/ffmpeg -i rtsp://me:s3cr3t@cam.example/live -f mjpeg -", "exec:ffmpeg"),
        ("/dev/video0?size=640x480", "/dev/video0"),
    ] {
        let (code, stdout, stderr) = run(&mut framecast(&["check", source]));
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(stdout, format!("nothing wrong in the command line\n  camera  {shown}\n"));
        // ffmpeg may be missing.
        assert!(!stderr.contains(SECRET), "{stderr}");
    }
}

#[test]
fn log_page_and_api_show_no_password() {
    // A port without a listener: bound here, and closed again.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = format!("far=http://me:s3cr3t@{closed}/video?token=s3cr3t");
    let arguments = ["--listen", "127.0.0.1:0", "--log", "trace", "--user", "me", &source];
    let mut program = Running::start(framecast(&arguments).env("FRAMECAST_PASSWORD", "pass-s3cr3t"));
    let address = program.address();
    let headers = [("Authorization", "Basic bWU6cGFzcy1zM2NyM3Q=")];
    let stream =
        framecast_testkit::blocking::MultipartStream::open(address, "/cameras/far/stream.mjpg", &headers);
    program.line_with("lost");
    for path in ["/", "/api/cameras", "/api/cameras/far", "/cameras/far", "/cameras/nobody", "/nowhere"] {
        let answer = framecast_testkit::blocking::send_request(address, &format!("GET {path}"), &headers);
        assert!(!answer.text().contains(SECRET), "{path}: {}", answer.text());
        let refused = get(address, path);
        assert_eq!(refused.status, 401);
        assert!(!refused.text().contains(SECRET));
    }
    drop(stream);
    let (_, lines) = program.terminate();
    for line in lines {
        assert!(!line.contains(SECRET) && !line.contains("bWU6cGFzcy1zM2NyM3Q"), "{line}");
    }
}
