//! How many connections and renditions an address may have, directly or through a proxy on this machine.

use std::io::Write;
use std::net::TcpStream;

use framecast_testkit::blocking::{MultipartStream, Response, read_response, request_head, send};

use crate::{Server, error, soon};

const KEY: &str = "max_connections_per_address";

/// A connection that stays open after its request, with the answer.
fn kept(server: &Server, address: &str) -> (std::io::BufReader<TcpStream>, Response) {
    let head = request_head(server.address, "GET /healthz", &[("X-Forwarded-For", address)], "1.1");
    let mut connection = send(server.address, &head.replace("Connection: close\r\n", ""));
    let answer = read_response(&mut connection);
    (connection, answer)
}

fn ask(server: &Server, address: &str) -> Response {
    server.ask("GET /healthz", &[("X-Forwarded-For", address)])
}

/// Waits until the request of `ask` gets a permit.
fn until_free(ask: impl Fn() -> Response) {
    soon("a place becomes free", || (ask().status != 503).then_some(()));
}

#[test]
fn streams_through_a_proxy_hold_the_places_of_their_client_to_their_end() {
    let server = Server::with(|settings| settings.max_connections_per_address = Some(2));
    let open =
        |address| MultipartStream::open(server.address, "/video_feed", &[("X-Forwarded-For", address)]);
    let mut streams = [open("192.0.2.1"), open("192.0.2.1")];
    for stream in &mut streams {
        assert!(stream.next().is_some());
    }
    let answer = ask(&server, "192.0.2.1");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert!(error(&answer).contains(KEY), "{}", error(&answer));
    assert_eq!(ask(&server, "192.0.2.2").status, 200);
    // Further pictures do not return the permit.
    assert!(streams[0].nth(20).is_some());
    assert_eq!(ask(&server, "192.0.2.1").status, 503);
    drop(streams);
    until_free(|| ask(&server, "192.0.2.1"));
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("framecast_failed_connections_total{why=\"refused_address\"}"), "{metrics}");
}

#[test]
fn a_websocket_through_a_proxy_holds_its_place() {
    let server = Server::with(|settings| settings.max_connections_per_address = Some(1));
    let upgrade = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    for path in ["/api/live", "/api/events/live"] {
        let head = request_head(server.address, &format!("GET {path}"), &upgrade, "1.1");
        let head = head.replace("Connection: close", "Connection: Upgrade");
        let mut socket = send(server.address, &head);
        assert_eq!(framecast_testkit::blocking::read_head(&mut socket).status, 101, "{path}");
        assert_eq!(ask(&server, "192.0.2.1").status, 503, "{path}");
        drop(socket);
        until_free(|| ask(&server, "192.0.2.1"));
    }
}

#[test]
fn connections_that_a_proxy_keeps_are_nobodys_while_nothing_is_asked() {
    let server = Server::with(|settings| settings.max_connections_per_address = Some(1));
    let pool: Vec<_> = (0..8).map(|_| kept(&server, "192.0.2.1")).collect();
    assert!(pool.iter().all(|(_, answer)| answer.status == 200));
    assert_eq!(ask(&server, "192.0.2.1").status, 200);
}

#[test]
fn this_machine_has_any_number_of_connections_unless_a_bound_is_set() {
    let free = Server::with(|settings| settings.max_connections = 16);
    let held: Vec<_> = (0..12).map(|_| TcpStream::connect(free.address).unwrap()).collect();
    assert_eq!(free.get("/healthz").status, 200);
    drop(held);
    let bound = Server::with(|settings| settings.max_connections_per_address = Some(3));
    let mut held: Vec<_> = (0..3).map(|_| TcpStream::connect(bound.address).unwrap()).collect();
    let answer = bound.get("/healthz");
    assert_eq!(answer.status, 503);
    assert!(error(&answer).contains(KEY), "{}", error(&answer));
    held[0].write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    until_free(|| bound.get("/healthz"));
}

#[test]
fn an_address_that_is_no_proxys_is_refused_before_it_asks() {
    let server = Server::with(|settings| {
        settings.trusted_proxies = framecast::AddressRanges::none();
        settings.max_connections_per_address = Some(1);
    });
    let stream = MultipartStream::open(server.address, "/video_feed", &[]);
    // The proxy is not trusted, so the server ignores its `X-Forwarded-For`.
    let answer = ask(&server, "192.0.2.1");
    assert_eq!(answer.status, 503);
    assert!(error(&answer).contains(KEY), "{}", error(&answer));
    drop(stream);
    until_free(|| ask(&server, "192.0.2.1"));
}

#[test]
fn an_address_watches_half_of_the_renditions_and_leaves_the_others_to_others() {
    let server = Server::with(|_| {});
    let path = |quality: u32| format!("/video_feed?quality={quality}");
    let open = |quality, address| {
        MultipartStream::open(server.address, &path(quality), &[("X-Forwarded-For", address)])
    };
    let held = [30, 40, 50, 60].map(|quality| open(quality, "192.0.2.1"));
    for path in [path(70), "/snapshot.jpg?quality=70".to_owned()] {
        let refused = server.ask(&format!("GET {path}"), &[("X-Forwarded-For", "192.0.2.1")]);
        assert_eq!(refused.status, 503, "{path}");
        assert!(error(&refused).contains("for this address"), "{}", error(&refused));
    }
    let _others = [70, 80, 90, 95].map(|quality| open(quality, "192.0.2.2"));
    drop(held);
}
