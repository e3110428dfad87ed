//! The bytes of a stream, as clients receive them.

use std::io::Read;

use framecast::{Drivers, Settings};
use framecast_testkit::blocking::{MultipartStream, read_head, request_head, send};

use crate::{Server, error};

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

#[test]
fn a_stream_is_what_the_article_made_it() {
    let server = Server::with(|_| {});
    for path in ["/video_feed", "/cameras/front/stream.mjpg"] {
        let stream = MultipartStream::open(server.address, path, &[]);
        let header = |name| stream.head.header(name).unwrap_or_default();
        assert_eq!(header("content-type"), "multipart/x-mixed-replace; boundary=frame");
        assert!(header("cache-control").contains("no-store"));
        assert_eq!(header("x-accel-buffering"), "no");
        assert_eq!(stream.head.header("transfer-encoding"), None);
        assert_eq!(stream.head.header("content-length"), None);
    }
}

#[test]
fn each_part_has_type_length_and_time_with_six_decimals() {
    let server = Server::with(|_| {});
    for client in [&[("User-Agent", FIREFOX)][..], &[("User-Agent", "curl/8.0")], &[]] {
        let mut stream = MultipartStream::open(server.address, "/video_feed", client);
        let mut earlier = 0.0;
        for part in stream.by_ref().take(3) {
            let names: Vec<&str> = part.headers.iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["Content-Type", "Content-Length", "X-Timestamp"]);
            assert_eq!(part.header("content-type"), Some("image/jpeg"));
            assert_eq!(part.header("content-length").unwrap().parse(), Ok(part.body.len()));
            let time = part.header("x-timestamp").unwrap();
            assert_eq!(time.split_once('.').unwrap().1.len(), 6, "{time}");
            let time: f64 = time.parse().unwrap();
            assert!(time > earlier, "{time}");
            earlier = time;
            assert!(part.body.starts_with(&[0xFF, 0xD8]) && part.body.ends_with(&[0xFF, 0xD9]));
        }
    }
}

#[test]
fn chromium_gets_the_next_headers_in_advance_and_no_length() {
    let server = Server::with(|_| {});
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[("User-Agent", CHROME)]);
    assert_eq!(stream.raw(35), b"--frame\r\nContent-Type: image/jpeg\r\n");
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[("User-Agent", CHROME)]);
    for part in stream.by_ref().take(3) {
        let names: Vec<&str> = part.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Content-Type"]);
        assert!(part.body.starts_with(&[0xFF, 0xD8]) && part.body.ends_with(&[0xFF, 0xD9]));
    }
}

#[test]
fn the_parameter_decides_over_the_browser() {
    let server = Server::with(|_| {});
    let asked = [(CHROME, "=0", true), (FIREFOX, "=1", false), (CHROME, "=off", true), (FIREFOX, "", false)];
    for (agent, value, has_length) in asked {
        let path = format!("/video_feed?advance_headers{value}");
        let part = MultipartStream::open(server.address, &path, &[("User-Agent", agent)]).next().unwrap();
        assert_eq!(part.header("content-length").is_some(), has_length, "{path} for {agent}");
    }
}

#[test]
fn the_boundary_follows_the_picture_at_once() {
    // One picture and no more, so a client that needs the next part would wait for ever.
    let picture = framecast::codec::jpeg::encode(&framecast::codec::RgbImage::new(64, 64), 80).unwrap();
    let drivers = Drivers::builtin().with_frame_stream("one", move |_| {
        futures_util::StreamExt::chain(
            futures_util::stream::iter([picture.clone()]),
            futures_util::stream::pending(),
        )
    });
    let server = Server::start(Settings::with_cameras([("one", "one:")]).unwrap(), drivers);
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[]);
    let first = stream.next().unwrap();
    // The server repeats it after a while, so that a lost connection is detected.
    let again = stream.next().unwrap();
    assert_eq!(first.header("x-timestamp"), again.header("x-timestamp"));
    assert_eq!(first.body, again.body);
}

#[test]
fn an_http_1_0_client_gets_a_body_that_ends_with_the_connection() {
    let mut server = Server::with(|_| {});
    let request = request_head(server.address, "GET /video_feed", &[], "1.0");
    let mut reader = send(server.address, &request);
    let head = read_head(&mut reader);
    assert_eq!((&*head.version, head.status), ("HTTP/1.0", 200));
    assert_eq!(head.header("transfer-encoding"), None);
    assert_ne!(head.header("connection"), Some("keep-alive"));
    let mut start = [0; 9];
    reader.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"--frame\r\n");
    server.end();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"--frame--\r\n"), "{:?}", String::from_utf8_lossy(&rest[rest.len() - 20..]));
}

#[test]
fn a_rate_that_is_asked_for_is_kept() {
    let server = Server::with(|_| {});
    let stream = MultipartStream::open(server.address, "/video_feed?fps=5", &[]);
    let times = stream.take(6).map(|part| part.header("x-timestamp").unwrap().parse::<f64>().unwrap());
    let times: Vec<f64> = times.collect();
    // Five pauses of 200 ms, while the camera's are 50 ms. The limit is far from both, for busy machines.
    assert!(times[5] - times[0] > 0.6, "{times:?}");
}

#[test]
fn a_bad_parameter_is_400_with_its_range() {
    let server = Server::with(|_| {});
    for (path, expected) in [
        ("/video_feed?fps=0", "fps=0: must be a number from 0.01 to 1000"),
        ("/video_feed?fps=nan", "fps=nan: must be a number from 0.01 to 1000"),
        ("/video_feed?fps", "fps=: must be a number from 0.01 to 1000"),
        ("/cameras/front/stream.mjpg?fps=1e9", "fps=1e9: must be a number from 0.01 to 1000"),
        ("/video_feed?width=0", "width=0: must be pixels from 16 to 8192"),
        ("/video_feed?height=100000", "height=100000: must be pixels from 16 to 8192"),
        ("/snapshot.jpg?width=abc", "width=abc: must be pixels from 16 to 8192"),
        ("/snapshot.jpg?quality=0", "quality=0: must be a whole number from 1 to 100"),
    ] {
        let answer = server.get(path);
        assert_eq!((answer.status, error(&answer).as_str()), (400, expected), "{path}");
    }
    assert_eq!(server.json("/api/cameras/front")["opened"], 0);
}

#[test]
fn all_spellings_of_yes_and_no_are_accepted_by_pages_streams_and_tables() {
    const PROBLEM: &str = "must have no value, or one of 1, true, yes, on, 0, false, no, off";
    let server = Server::with(|_| {});
    for (path, name) in [
        ("/", "embed"),
        ("/cameras/front", "embed"),
        ("/video_feed", "adapt"),
        ("/cameras/front/stream.mjpg", "advance_headers"),
        ("/api/events.csv", "bom"),
    ] {
        for value in ["", "=", "=1", "=true", "=yes", "=on", "=0", "=false", "=no", "=off", "=On"] {
            let answer = server.ask(&format!("HEAD {path}?{name}{value}"), &[]);
            assert_eq!(answer.status, 200, "{path}?{name}{value}");
        }
        let answer = server.get(&format!("{path}?{name}=perhaps"));
        assert_eq!((answer.status, error(&answer)), (400, format!("{name}=perhaps: {PROBLEM}")), "{path}");
    }
}

#[test]
fn an_unknown_parameter_does_no_harm() {
    let server = Server::with(|_| {});
    // Pages add a parameter against the browser's cache.
    assert!(MultipartStream::open(server.address, "/video_feed?t=1700000000&x", &[]).next().is_some());
}
