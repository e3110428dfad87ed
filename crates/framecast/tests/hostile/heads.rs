//! Heads without end, redirects that lead nowhere, and servers with another protocol.

use framecast_testkit_server::camera_server::answer;

use crate::talk::{Kind, always, asked, begin, drip, flood, hold};

pub(crate) fn kinds() -> Vec<Kind> {
    [lines(), redirects(), protocols()].into_iter().flatten().collect()
}

fn lines() -> Vec<Kind> {
    vec![
        Kind::lost("endless-status-line", |connection, wire| {
            begin(connection, wire, "HTTP/1.1 200 ")?;
            flood(wire, "OK ")
        }),
        Kind::lost("endless-header-line", |connection, wire| {
            begin(connection, wire, "HTTP/1.1 200 OK\r\nX: ")?;
            flood(wire, "x")
        }),
        Kind::lost("endless-head", |connection, wire| {
            begin(connection, wire, "HTTP/1.1 200 OK\r\n")?;
            flood(wire, "X-Line: one more\r\n")
        }),
        Kind::lost("early-hints-for-ever", |connection, wire| {
            asked(connection, wire)?;
            flood(wire, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
        }),
        Kind::any("continue-and-nothing", |connection, wire| {
            begin(connection, wire, "HTTP/1.1 100 Continue\r\n\r\n")?;
            hold(wire)
        }),
        Kind::any("head-a-byte-a-second", |connection, wire| {
            asked(connection, wire)?;
            drip(wire, b"HTTP/1.1 200 OK\r\nX: ")
        }),
        Kind::any("silence", |_, wire| hold(wire)),
        Kind::any("cookie-of-a-megabyte", |connection, wire| {
            let cookie = format!("Set-Cookie: a={}\r\n", "x".repeat(1 << 20));
            always(connection, wire, answer("200 OK", &cookie, b"no picture"))
        }),
        Kind::any("ten-thousand-cookies", |connection, wire| {
            let cookies: String = (0..10_000).map(|n| format!("Set-Cookie: n{n}={n}\r\n")).collect();
            always(connection, wire, answer("200 OK", &cookies, b"no picture"))
        }),
    ]
}

fn redirects() -> Vec<Kind> {
    /// A redirect to `location`.
    fn to(location: &str) -> Vec<u8> {
        answer("302 Found", &format!("Location: {location}\r\n"), b"")
    }
    vec![
        Kind::lost("redirect-to-itself", |connection, wire| always(connection, wire, to("?again"))),
        Kind::lost("redirects-in-a-circle", |connection, wire| {
            loop {
                let request = asked(connection, wire)?;
                wire.send(to(if request.target == "/0" { "/1" } else { "/0" }))?;
            }
        }),
        Kind::lost("redirects-to-ever-more", |connection, wire| {
            loop {
                let request = asked(connection, wire)?;
                // Each redirect makes the URL longer and sets a new cookie.
                let cookie = format!("Set-Cookie: n{}=1\r\n", request.number);
                let location = format!("Location: {}/{}\r\n", request.target, "x".repeat(500));
                wire.send(answer("307 Temporary Redirect", &(cookie + &location), b""))?;
            }
        }),
        Kind::lost("redirect-to-and-fro", |connection, wire| {
            loop {
                let request = asked(connection, wire)?;
                let port = wire.tcp.local_addr()?.port();
                let is_here = request.header("Host").is_some_and(|host| host.starts_with("127."));
                let host = if is_here { "localhost" } else { "127.0.0.1" };
                wire.send(to(&format!("http://{host}:{port}/0")))?;
            }
        }),
        Kind::lost("redirect-to-metadata", |connection, wire| {
            always(connection, wire, to("http://169.254.169.254/latest/meta-data/"))
        }),
        Kind::lost("redirect-to-a-file", |connection, wire| {
            always(connection, wire, to("file:///etc/hostname"))
        }),
        Kind::lost("endless-location", |connection, wire| {
            begin(connection, wire, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/")?;
            flood(wire, "far/")
        }),
    ]
}

fn protocols() -> Vec<Kind> {
    vec![
        Kind::any("answers-before-it-is-asked", |_, wire| {
            wire.send(answer("200 OK", "", b"no picture"))?;
            hold(wire)
        }),
        Kind::lost("no-head-at-all", |connection, wire| {
            asked(connection, wire)?;
            flood(wire, "<html>as HTTP/0.9 had it</html>")
        }),
        Kind::lost("settings-of-http-2", |connection, wire| {
            begin(
                connection,
                wire,
                b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\x01\0\0\0\x05\0\0\x40\0",
            )?;
            hold(wire)
        }),
        Kind::lost("alert-of-tls", |connection, wire| begin(connection, wire, b"\x15\x03\x01\0\x02\x02\x46")),
        Kind::lost("garbage-over-tls", |_, wire| flood(wire, [0x16, 3, 3, 0x40, 0, 1, 2, 3])).over_tls(),
        Kind::lost("answer-of-rtsp", |connection, wire| {
            always(connection, wire, "RTSP/1.0 400 Bad Request\r\nCSeq: 0\r\n\r\n")
        }),
        Kind::lost("banner-of-another-service", |connection, wire| {
            let is_odd = connection % 2 == 1;
            wire.send(if is_odd { "SSH-2.0-OpenSSH_9.2\r\n" } else { "220 FTP server ready.\r\n" })?;
            hold(wire)
        }),
    ]
}
