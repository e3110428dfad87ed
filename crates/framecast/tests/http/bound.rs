//! Clients that ask too much, too slowly or too often.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use framecast_testkit::client::{Stream, head_of, read_head, send};

use crate::{Server, error};

#[test]
fn a_head_that_is_too_large_is_refused_politely() {
    let server = Server::with(|_| {});
    let long = "x".repeat(16 * 1024);
    let answer =
        read_head(&mut send(server.address, &head_of(server.address, "GET /", &[("X", &long)], "1.1")));
    assert_eq!(answer.status, 431);
    let many: Vec<(&str, &str)> = (0..200).map(|_| ("X", "x")).collect();
    let answer = read_head(&mut send(server.address, &head_of(server.address, "GET /", &many, "1.1")));
    assert_eq!(answer.status, 431);
    let answer =
        read_head(&mut send(server.address, &head_of(server.address, &format!("GET /{long}"), &[], "1.1")));
    assert!(matches!(answer.status, 414 | 431), "{}", answer.status);
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn nonsense_is_refused_and_hurts_nobody() {
    let server = Server::with(|_| {});
    for request in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}\r\n\r\n"] {
        let mut answer = String::new();
        send(server.address, request).read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 505 "),
            "{request:?}: {answer}"
        );
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_head_that_does_not_come_to_its_end_is_given_up() {
    let server = Server::with(|settings| settings.header_timeout = Duration::from_millis(200));
    let mut silent = TcpStream::connect(server.address).unwrap();
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    for stream in [&mut silent, &mut slow] {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // The end of the connection, and not of the patience of this test.
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
}

#[test]
fn connections_beyond_the_bound_are_told_so() {
    let server = Server::with(|settings| settings.max_connections = 2);
    let mut streams = [(); 2].map(|()| Stream::open(server.address, "/video_feed", &[]));
    for stream in &mut streams {
        assert!(stream.next().is_some());
    }
    let answer = server.get("/");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(error(&answer), "all connections are in use; wait");
    drop(streams);
    // Their places become free as soon as they are known to have gone.
    while server.get("/healthz").status == 503 {}
}
