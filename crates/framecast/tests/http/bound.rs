//! Clients that send too much, too slowly or too often.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use framecast::{App, CancellationToken, Delivery, DemandKind, Drivers, Settings};
use framecast_testkit::blocking::{MultipartStream, read_head, request_head, send};
use tokio::io::AsyncWriteExt;

use crate::{Server, error, soon};

#[test]
fn a_head_that_is_too_large_is_refused_politely() {
    let server = Server::with(|_| {});
    let long = "x".repeat(16 * 1024);
    for length in [16, 64, 1024] {
        let cookies = "x".repeat(length * 1024);
        let mut reader =
            send(server.address, &request_head(server.address, "GET /", &[("Cookie", &cookies)], "1.1"));
        let mut answer = read_head(&mut reader);
        assert_eq!(answer.status, 431);
        reader.read_to_end(&mut answer.body).unwrap();
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
        assert!(error(&answer).contains("Delete this host's cookies"), "{}", answer.text());
    }
    let many: Vec<(&str, &str)> = (0..200).map(|_| ("X", "x")).collect();
    let answer = read_head(&mut send(server.address, &request_head(server.address, "GET /", &many, "1.1")));
    assert_eq!(answer.status, 431);
    let answer = read_head(&mut send(
        server.address,
        &request_head(server.address, &format!("GET /{long}"), &[], "1.1"),
    ));
    assert!(matches!(answer.status, 414 | 431), "{}", answer.status);
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn cookies_of_other_programs_are_no_fault() {
    let server = Server::with(|_| {});
    let cookies = "x".repeat(15 * 1024 + 512);
    assert_eq!(server.ask("GET /healthz", &[("Cookie", &cookies)]).status, 200);
    // Many times on one connection, with bodies in between, and slowly.
    let mut connection = TcpStream::connect(server.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for (request, body) in
        [("GET /healthz", ""), ("POST /api/events", r#"{"label": "x"}"#), ("GET /healthz", "")]
    {
        let head = format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nCookie: {cookies}\r\n\r\n{body}",
            body.len()
        );
        for part in head.as_bytes().chunks(5000) {
            connection.write_all(part).unwrap();
        }
        let mut reader = BufReader::new(connection.try_clone().unwrap());
        let answer = read_head(&mut reader);
        assert!(matches!(answer.status, 200 | 201), "{request}: {}", answer.status);
        let length = answer.header("content-length").unwrap().parse().unwrap();
        reader.read_exact(&mut vec![0; length]).unwrap();
    }
    let too_long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {cookies}{cookies}\r\n\r\n");
    connection.write_all(too_long.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 ") && answer.contains("cookies"), "{answer}");
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
    // The server answers a partial request; it closes a connection without a request.
    for (stream, start) in [(&mut silent, ""), (&mut slow, "HTTP/1.1 408 Request Timeout\r\n")] {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut told = String::new();
        // The read ends with the connection, not with this test's timeout.
        stream.read_to_string(&mut told).unwrap();
        assert!(told.starts_with(start) && told.is_empty() == start.is_empty(), "{told}");
        if let Some((head, body)) = told.split_once("\r\n\r\n") {
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{told}");
            assert_eq!(body, r#"{"error":"the request's headers did not arrive in time"}"#);
        }
    }
}

#[test]
fn a_viewer_that_takes_nothing_does_not_outlive_the_server() {
    let mut settings = Settings::with_cameras([("front", "test:?size=640x480&fps=30")]).unwrap();
    settings.listen.set_port(0);
    settings.write_timeout = Duration::from_secs(3600);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let app = App::start(settings, Drivers::builtin()).await.unwrap();
        let (address, hub, shutdown) =
            (app.local_addr().unwrap(), app.hub().clone(), CancellationToken::new());
        let (token, mut tasks) = (shutdown.clone(), tokio::task::JoinSet::new());
        tasks.spawn(app.run(token));
        let mut viewer = tokio::net::TcpStream::connect(address).await.unwrap();
        viewer.write_all(b"GET /video_feed HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        // Far more than the kernel buffers for a client that does not read.
        let front = hub.get("front").unwrap();
        let mut reader = front.subscribe(Delivery::Latest, front.demand(DemandKind::Viewer));
        for _ in 0..30 {
            assert!(reader.next().await.is_some());
        }
        drop(reader);
        assert_eq!(front.main_channel().subscriber_count(), 1);
        shutdown.cancel();
        framecast_testkit::soon("the server ends", tasks.join_next()).await.unwrap().unwrap();
        assert_eq!(front.main_channel().subscriber_count(), 0, "its connection is still served");
    });
}

#[test]
fn connections_beyond_the_bound_are_told_so() {
    let server = Server::with(|settings| settings.max_connections = 2);
    let mut streams = [(); 2].map(|()| MultipartStream::open(server.address, "/video_feed", &[]));
    for stream in &mut streams {
        assert!(stream.next().is_some());
    }
    let answer = server.get("/");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(error(&answer), "all connections are in use; wait, or raise max_connections");
    // More than get their refusal with a wait; none has sent a request yet.
    let burst: Vec<_> = (0..300).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    for mut refused in burst {
        let mut told = String::new();
        refused.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        refused.read_to_string(&mut told).unwrap();
        assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    }
    drop(streams);
    // The clients' permits become free once the server sees that the clients have gone.
    soon("a place becomes free", || (server.get("/healthz").status != 503).then_some(()));
}
