//! Host names and origins: foreign pages can neither read nor change anything.

use std::io::Read;

use framecast_testkit::blocking::{read_head, send};

use crate::{Server, error};

#[test]
fn addresses_and_names_that_no_stranger_can_have_pass() {
    let server = Server::with(|settings| settings.allowed_hosts = vec!["cam.example".to_owned()]);
    for host in [
        "127.0.0.1",
        "127.0.0.1:81",
        "192.168.1.7:5000",
        "[::1]:5000",
        "[fe80::1]",
        "localhost",
        "LOCALHOST:5000",
        "front.localhost:5000",
        "cam.example",
        "Cam.Example:8080",
        "cam.example.",
        "mjpgstreamer1",
        "octopi.local",
        "OctoPi.local.:8080",
        "cam.lan:80",
        "cam.home.arpa",
        "cam.house.internal",
    ] {
        assert_eq!(server.ask("GET /api/cameras", &[("Host", host)]).status, 200, "{host}");
    }
}

#[test]
fn other_names_are_refused_everywhere_and_told_what_to_do() {
    let server = Server::with(|settings| settings.allowed_hosts = vec!["cam.example".to_owned()]);
    for host in [
        "evil.example",
        "evil.example:5000",
        "cam.example.evil.org",
        "127.0.0.1.evil.org",
        "x.local.evil.org",
        "",
    ] {
        for path in ["/", "/video_feed", "/snapshot.jpg", "/api/cameras", "/static/app.js", "/nowhere"] {
            let answer = server.ask(&format!("GET {path}"), &[("Host", host)]);
            assert_eq!(answer.status, 421, "{host} {path}");
            let told = error(&answer);
            assert!(told.contains("allowed_hosts") && told.contains("--allowed-host"), "{told}");
        }
    }
    // The error page can load its style and icon.
    for path in ["/static/style.css", "/static/icon.svg"] {
        assert_eq!(server.ask(&format!("GET {path}"), &[("Host", "evil.example")]).status, 200, "{path}");
    }
    let answer = server.ask("GET /", &[("Host", "$(reboot).example")]);
    assert!(error(&answer).ends_with("--allowed-host NAME"), "{}", error(&answer));
    // If the request line has a host, that one counts.
    let answer = server.ask("GET http://evil.example/api/cameras", &[("Host", "localhost")]);
    assert_eq!(answer.status, 421);
}

#[test]
fn an_image_by_another_name_is_a_picture_that_says_so() {
    let server = Server::with(|_| {});
    let mut pictures = Vec::new();
    for (host, header) in [
        ("evil.example", ("Accept", "image/avif,image/webp,*/*;q=0.8")),
        ("other.example", ("Sec-Fetch-Dest", "image")),
    ] {
        for path in ["/video_feed", "/snapshot.jpg", "/?action=stream"] {
            let answer = server.ask(&format!("GET {path}"), &[("Host", host), header]);
            assert_eq!((answer.status, answer.header("content-type")), (421, Some("image/jpeg")), "{path}");
            assert!(answer.body.starts_with(b"\xFF\xD8\xFF") && answer.body.ends_with(b"\xFF\xD9"));
            pictures.push(answer.body);
        }
    }
    // The server draws the picture once, for any number of names.
    assert!(pictures.iter().all(|picture| *picture == pictures[0]));
}

#[test]
fn one_place_is_the_same_with_and_without_its_schemes_port() {
    let server = Server::with(|_| {});
    for (host, origin) in
        [("cam.lan:80", "http://cam.lan"), ("cam.lan", "http://cam.lan"), ("cam.lan:443", "https://cam.lan")]
    {
        let answer = server.ask("POST /api/cameras", &[("Host", host), ("Origin", origin)]);
        assert_eq!(answer.status, 405, "{host} {origin}");
    }
    for (host, origin) in [("cam.lan:81", "http://cam.lan"), ("cam.lan:80", "https://cam.lan")] {
        let answer = server.ask("POST /api/cameras", &[("Host", host), ("Origin", origin)]);
        assert_eq!(answer.status, 403, "{host} {origin}");
    }
}

#[test]
fn a_request_names_its_host_once() {
    let server = Server::with(|_| {});
    for (version, hosts, status) in [
        ("1.1", "", 400),
        ("1.1", "Host: localhost\r\nHost: localhost\r\n", 400),
        ("1.0", "Host: localhost\r\nHost: evil.example\r\n", 400),
        ("1.1", "Host: localhost\r\n", 200),
        ("1.0", "", 200),
    ] {
        let request = format!("GET /healthz HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        let mut reader = send(server.address, &request);
        let mut answer = read_head(&mut reader);
        assert_eq!(answer.status, status, "{request}");
        reader.read_to_end(&mut answer.body).unwrap();
        if status == 400 {
            assert!(error(&answer).contains("Host header"), "{}", answer.text());
        }
    }
}

#[test]
fn a_long_host_is_not_sent_back_whole() {
    let server = Server::with(|_| {});
    let answer = server.ask("GET /", &[("Host", &format!("{}.example", "x".repeat(4000)))]);
    assert_eq!(answer.status, 421);
    assert!(answer.body.len() < 500);
}

#[test]
fn changing_requests_of_other_origins_are_refused() {
    let server = Server::with(|_| {});
    let own = format!("http://{}", server.address);
    for header in [
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://127.0.0.1:1"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = server.ask(&format!("{method} /api/cameras"), &[header]);
            assert_eq!(answer.status, 403, "{method} {header:?}");
            assert!(error(&answer).contains("cors_origins"));
        }
        // The browser protects against reading: it shows pictures to other pages and hides answers from their scripts.
        assert_eq!(server.ask("GET /healthz", &[header]).status, 200);
    }
    for headers in [&[("Origin", own.as_str())][..], &[("Sec-Fetch-Site", "same-origin")], &[]] {
        assert_eq!(server.ask("POST /api/cameras", headers).status, 405, "{headers:?}");
    }
}
