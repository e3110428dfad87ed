//! No line that the program prints contains a password.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};

use framecast_testkit::blocking::get;
use framecast_testkit_server::program::{Running, framecast, run};
use tokio_tungstenite::tungstenite::{Message, client};

const SECRET: &str = "s3cr3t";

/// A port without a listener: bound here, and closed again.
fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

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
    let closed = closed();
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

#[test]
fn neither_log_nor_api_nor_check_show_the_password_of_a_sub_stream() {
    let folder = tempfile::tempdir().unwrap();
    let (file, closed) = (folder.path().join("site.toml"), closed());
    let source = format!("rtsp://me:s3cr3t@{closed}/video?token=s3cr3t");
    fs::write(&file, format!("[[camera]]\nname = \"far\"\nsource = \"emulated\"\nsub = \"{source}\"\n"))
        .unwrap();
    let (code, stdout, stderr) = run(framecast(&["check", "--config"]).arg(&file));
    assert_eq!(
        (code, stdout.lines().last()),
        (0, Some(&*format!("  far (sub)  rtsp://{closed}"))),
        "{stderr}"
    );
    assert!(
        stderr.contains("the source of camera `far` holds a login") && !stderr.contains(SECRET),
        "{stderr}"
    );
    let arguments = ["--listen", "127.0.0.1:0", "--log", "trace", "--config"];
    let mut program = Running::start(framecast(&arguments).arg(&file));
    let address = program.address();
    let (mut page, _) =
        client(format!("ws://{address}/api/live"), TcpStream::connect(address).unwrap()).unwrap();
    let ask = r#"{"type": "subscribe", "tile": 1, "camera": "far", "video": "mp4", "width": 320}"#;
    page.send(Message::text(ask)).unwrap();
    let lost = program.line_with("lost");
    assert!(lost.contains("far (sub)"), "{lost}");
    for path in
        ["/api/cameras", "/api/cameras/far", "/cameras/far", "/api/viewers", "/metrics", "/api/events"]
    {
        let answer = get(address, path);
        assert!(!answer.text().contains(SECRET), "{path}: {}", answer.text());
    }
    drop(page);
    let (_, lines) = program.terminate();
    assert_eq!(lines.iter().find(|line| line.contains(SECRET)), None);
}
