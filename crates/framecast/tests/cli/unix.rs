//! A UNIX socket: streams over it, and its file from start to end.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use framecast_media::container::multipart::{Parser, ParserEvent};
use framecast_testkit_server::program::{Running, framecast, run};
use rustix::process::Signal;
use tempfile::TempDir;

fn listen(path: &Path) -> String {
    format!("unix:{}", path.display())
}

fn start(path: &Path) -> Running {
    let mut program = Running::start(&mut framecast(&["--listen", &listen(path), "emulated:?fps=20"]));
    let told = program.line_with("listening on unix:");
    assert!(told.contains(&format!("curl --unix-socket {} http://localhost/", path.display())), "{told}");
    program
}

fn ask(path: &Path, request: &str) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn answer(path: &Path, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    ask(path, &request).read_to_string(&mut answer).unwrap();
    answer
}

/// Reads `pictures` pictures of a stream.
fn watch(stream: &mut UnixStream, pictures: usize) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.0 200 OK\r\n"), "{}", String::from_utf8_lossy(&head));
    let mut parser = Parser::new(Some("frame"));
    let mut piece = vec![0; 65536];
    let mut seen = 0;
    while seen < pictures {
        match parser.next_event().unwrap() {
            Some(ParserEvent::Part(part)) => {
                assert!(part.body.starts_with(b"\xFF\xD8") && part.body.ends_with(b"\xFF\xD9"));
                seen += 1;
            }
            Some(ParserEvent::End) => panic!("the stream ended"),
            None => {
                let len = stream.read(&mut piece).unwrap();
                assert!(len > 0, "the connection ended");
                parser.push(&piece[..len]);
            }
        }
    }
}

#[test]
fn streams_and_answers_come_over_a_unix_socket_and_its_file_goes_with_the_server() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("http.sock");
    let program = start(&path);
    for version in ["1.0", "1.1"] {
        let mut stream = ask(&path, &format!("GET /video_feed HTTP/{version}\r\nHost: localhost\r\n\r\n"));
        watch(&mut stream, 5);
        let viewers = answer(&path, "/api/viewers");
        // A writer serves the stream, so the answer has the writer's number.
        assert!(viewers.contains("\"shard\":0") || viewers.contains("\"shard\":1"), "{viewers}");
    }
    assert!(answer(&path, "/healthz").ends_with("ok\n"));
    let (status, lines) = program.terminate();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert!(!path.exists(), "the file was left behind");
}

#[test]
fn the_clients_of_a_proxy_over_a_unix_socket_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let (path, file) = (folder.path().join("http.sock"), folder.path().join("site.toml"));
    std::fs::write(&file, "max_viewers_per_address = 1\n").unwrap();
    let arguments = ["--listen", &listen(&path), "--config", file.to_str().unwrap(), "emulated:?fps=20"];
    let mut program = Running::start(&mut framecast(&arguments));
    program.line_with("listening on unix:");
    let stream = |client: &str| {
        let head =
            format!("GET /video_feed HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}\r\n\r\n");
        ask(&path, &head)
    };
    let mut streams = [stream("192.0.2.7"), stream("192.0.2.8")];
    for stream in &mut streams {
        watch(stream, 2);
    }
    let mut status = [0; 12];
    stream("192.0.2.7").read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 503");
    program.terminate();
}

#[test]
fn the_socket_of_a_killed_server_is_replaced_and_one_in_use_is_not() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("http.sock");
    let first = start(&path);
    let (code, _, errors) = run(&mut framecast(&["--listen", &listen(&path), "emulated"]));
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("another server listens there"), "{errors}");
    assert!(answer(&path, "/healthz").ends_with("ok\n"), "the first one still listens");
    first.signal(Signal::KILL);
    first.wait();
    assert!(path.exists());
    let second = start(&path);
    assert!(answer(&path, "/healthz").ends_with("ok\n"));
    second.terminate();
}

#[test]
fn what_is_no_socket_is_left_alone_and_so_is_that_of_a_successor() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("http.sock");
    std::fs::write(&path, "precious").unwrap();
    let (code, _, errors) = run(&mut framecast(&["--listen", &listen(&path), "emulated"]));
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("the file there is not a socket"), "{errors}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    let nowhere = folder.path().join("nowhere/http.sock");
    let (_, _, errors) = run(&mut framecast(&["--listen", &listen(&nowhere), "emulated"]));
    assert!(errors.contains("its folder does not exist: create it"), "{errors}");

    std::fs::remove_file(&path).unwrap();
    let program = start(&path);
    std::fs::remove_file(&path).unwrap();
    let _successor = UnixListener::bind(&path).unwrap();
    program.terminate();
    assert!(path.exists(), "another server's socket was removed");
}
