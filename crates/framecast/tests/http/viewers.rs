//! The viewers: limits, `/api/viewers` and `/metrics`.

use framecast::AddressRanges;
use framecast_testkit::blocking::{MultipartStream, send, until};
use serde_json::Value;

use crate::Server;
use crate::api::keys;

const VIEWER_KEYS: [&str; 16] = [
    "address",
    "age_ms",
    "bytes",
    "bytes_per_second",
    "camera",
    "codec",
    "first_picture_ms",
    "frames",
    "id",
    "painted_age_ms",
    "queue_bytes",
    "rendition",
    "shard",
    "since",
    "skipped",
    "via",
];

const API_DOCUMENT: &str = include_str!("../../../../docs/api.md");
const METRICS_DOCUMENT: &str = include_str!("../../../../docs/monitoring.md");

#[test]
fn each_viewer_is_told_of_as_long_as_it_watches() {
    let server = Server::with(|_| {});
    let before = server.json("/api/viewers");
    assert_eq!(before["viewers"], Value::Array(Vec::new()));
    let mut stream = MultipartStream::open(server.address, "/video_feed?width=32&height=32", &[]);
    stream.next();
    stream.next();
    let all = server.json("/api/viewers");
    assert_eq!(keys(&all), ["limits", "now", "refused", "viewers"]);
    let viewer = &all["viewers"][0];
    assert_eq!(keys(viewer), VIEWER_KEYS);
    for key in VIEWER_KEYS {
        assert!(API_DOCUMENT.contains(&format!("`{key}`")), "{key} is not in docs/api.md");
    }
    assert_eq!((&viewer["camera"], &viewer["via"]), (&"front".into(), &"mjpeg".into()));
    assert_eq!(viewer["rendition"], "width=160&height=120");
    assert!(viewer["frames"].as_u64() >= Some(2) && viewer["bytes"].as_u64() > Some(100), "{viewer}");
    assert!(viewer["age_ms"].as_f64().is_some());
    assert_eq!(viewer["codec"], "JPEG");
    assert!(viewer["first_picture_ms"].as_f64().is_some());
    drop(stream);
    server.until("/api/viewers", |all| all["viewers"] == Value::Array(Vec::new()));
}

#[test]
fn the_viewers_of_one_camera_can_be_asked_for() {
    let server = Server::with(|settings| settings.add_camera("back", crate::QUICK).unwrap());
    let _streams = ["front", "back", "back"].map(|camera| {
        let mut stream =
            MultipartStream::open(server.address, &format!("/cameras/{camera}/stream.mjpg"), &[]);
        stream.next();
        stream
    });
    for (query, count) in [("", 3), ("?camera=front", 1), ("?camera=back&other=1", 2)] {
        let all = server.json(&format!("/api/viewers{query}"));
        assert_eq!(all["viewers"].as_array().unwrap().len(), count, "{query}");
    }
    assert_eq!(server.get("/api/viewers?camera=porch").status, 404);
}

#[test]
fn a_viewer_beyond_the_limit_is_told_so_and_a_page_is_shown_it() {
    let server = Server::with(|settings| settings.max_viewers = Some(1));
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[]);
    stream.next();
    let answer = server.get("/video_feed");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(answer.text(), "{\"error\":\"viewer limit reached (1 for this server)\"}");
    for headers in [[("Accept", "image/avif,image/webp,*/*")], [("Sec-Fetch-Dest", "image")]] {
        let answer = server.ask("GET /video_feed", &headers);
        assert_eq!((answer.status, answer.header("content-type")), (503, Some("image/jpeg")));
        assert!(answer.body.starts_with(b"\xFF\xD8") && answer.body.ends_with(b"\xFF\xD9"));
    }
    assert_eq!(server.json("/api/viewers")["refused"]["server"], 3);
    drop(stream);
    server.until("/api/viewers", |all| all["viewers"] == Value::Array(Vec::new()));
    MultipartStream::open(server.address, "/video_feed", &[]).next();
}

#[test]
fn a_camera_and_an_address_have_limits_of_their_own() {
    let server = Server::with(|settings| settings.cameras[0].max_viewers = Some(1));
    let _stream = MultipartStream::open(server.address, "/video_feed", &[]);
    assert!(server.get("/video_feed").text().contains("for camera `front`)"));
    let server = Server::with(|settings| settings.max_viewers_per_address = Some(1));
    let _stream = MultipartStream::open(server.address, "/video_feed", &[]);
    assert!(server.get("/video_feed").text().contains("viewer limit reached (1 for address 127.0.0.1)"));
    assert_eq!(server.json("/api/viewers")["viewers"][0]["address"], "127.0.0.1");
}

#[test]
fn who_asks_through_a_proxy_is_not_told_where_viewers_are() {
    let server = Server::with(|_| {});
    let _stream = MultipartStream::open(server.address, "/video_feed", &[]);
    assert_eq!(server.json("/api/viewers")["viewers"][0]["address"], "127.0.0.1");
    for name in ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"] {
        let answer = server.ask("GET /api/viewers", &[(name, "192.0.2.7")]);
        let all: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(all["viewers"][0]["address"], Value::Null, "{name}");
    }
}

#[test]
fn who_asks_by_a_name_that_a_proxy_may_have_sent_is_not_told_either() {
    let server = Server::with(|_| {});
    let _stream = MultipartStream::open(server.address, "/video_feed", &[]);
    for (host, address) in [
        ("localhost", Value::from("127.0.0.1")),
        ("mjpgstreamer1", Value::Null),
        ("octopi.local", Value::Null),
    ] {
        let answer = server.ask("GET /api/viewers", &[("Host", host)]);
        let all: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(all["viewers"][0]["address"], address, "{host}");
    }
}

#[test]
fn the_clients_of_a_trusted_proxy_are_told_apart() {
    let server = Server::with(|settings| settings.max_viewers_per_address = Some(1));
    let open =
        |client: &str| MultipartStream::open(server.address, "/video_feed", &[("X-Forwarded-For", client)]);
    let status = |client: &str| server.ask("HEAD /video_feed", &[("X-Forwarded-For", client)]).status;
    let _streams = [open("192.0.2.7"), open("192.0.2.8"), open("2001:db8:0:1::7")];
    for client in ["192.0.2.7", "2001:db8:0:1::8"] {
        let answer = server.ask("GET /video_feed", &[("X-Forwarded-For", client)]);
        assert!(answer.text().contains(&format!("for address {client})")), "{}", answer.text());
    }
    let _other = open("2001:db8:0:2::7");
    assert_eq!(status("192.0.2.9"), 200);
    let server = Server::with(|settings| {
        settings.max_viewers_per_address = Some(1);
        settings.trusted_proxies = AddressRanges::none();
    });
    let _stream = MultipartStream::open(server.address, "/video_feed", &[("X-Forwarded-For", "192.0.2.7")]);
    let answer = server.ask("GET /video_feed", &[("X-Forwarded-For", "192.0.2.8")]);
    assert!(answer.text().contains("for address 127.0.0.1)"), "{}", answer.text());
}

#[test]
fn metrics_are_what_was_counted() {
    let server = Server::with(|_| {});
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[]);
    stream.next();
    stream.next();
    assert_eq!(server.get("/snapshot.jpg").status, 200);
    let answer = server.get("/metrics");
    assert!(
        answer.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0")
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in [
        "# TYPE framecast_build info",
        "framecast_camera_live{camera=\"front\"} 1",
        "framecast_camera_state{camera=\"front\",state=\"live\"} 1",
        "framecast_camera_state{camera=\"front\",state=\"lost\"} 0",
        "framecast_camera_lost_seconds{camera=\"front\"} 0",
        "framecast_camera_checked_timestamp_seconds{camera=\"front\"} ",
        "framecast_camera_frame_age_seconds{camera=\"front\"} ",
        "# TYPE process_cpu_seconds counter",
        "# TYPE process_start_time_seconds gauge",
        "# TYPE process_max_fds gauge",
        "framecast_camera_openings_total{camera=\"front\"} 1",
        "framecast_viewers{via=\"mjpeg\"} 1",
        "# TYPE framecast_first_picture_seconds histogram",
        "framecast_first_picture_seconds_count{via=\"mjpeg\"} 1",
        "framecast_first_picture_seconds_count{via=\"snapshot\"} 1",
        "framecast_first_picture_seconds_count{via=\"live\"} 0",
        "framecast_refused_viewers_total{limit=\"server\"} 0",
        "# TYPE framecast_frame_age_seconds histogram",
        "# TYPE framecast_viewer_skipped_ratio gaugehistogram",
        "framecast_viewer_skipped_ratio_gcount 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let sent =
        text.lines().find_map(|line| line.strip_prefix("framecast_sent_frames_total{camera=\"front\"} "));
    assert!(sent.unwrap().parse::<u64>().unwrap() >= 2);
    for name in ["framecast_frame_age_seconds", "framecast_painted_age_seconds"] {
        let value = |start: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{name}_{start}")));
        let of_all = value("bucket{le=\"+Inf\",camera=\"front\"} ");
        assert!(of_all.is_some() && of_all == value("count{camera=\"front\"} "), "{name} in\n{text}");
    }
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = name.split(' ').next().unwrap();
        assert!(METRICS_DOCUMENT.contains(name), "{name} is not in docs/monitoring.md");
    }
}

#[test]
fn the_process_is_measured() {
    let server = Server::with(|_| {});
    let read = |name: &str| {
        let text = server.get("/metrics").text();
        let value =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::parse::<f64>);
        value.unwrap_or_else(|| panic!("{name} is not in\n{text}")).unwrap()
    };
    let descriptors = read("process_open_fds");
    let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    // Other tests of this process open and close descriptors too, but not that many at once.
    assert!(read("process_open_fds") > descriptors + 25.0);
    drop(files);
    assert!(read("process_threads") >= 3.0 && read("process_max_fds") > descriptors);
    assert!(read("framecast_runtime_tasks") >= 1.0, "the request itself");
    assert!(read("process_virtual_memory_bytes") > read("process_resident_memory_bytes"));
    assert!(read("process_resident_memory_bytes") > 1e6);
    let used = read("process_cpu_seconds_total");
    until("CPU time passes", || {
        std::hint::black_box((0..1_000_000_u64).sum::<u64>());
        read("process_cpu_seconds_total") > used
    });
}

#[test]
fn only_a_live_camera_has_frames_that_grow_old() {
    let server = Server::with(|settings| {
        settings.cameras[0].idle_timeout = Some(std::time::Duration::ZERO);
        settings.add_camera("dead", "images:/nonexistent").unwrap();
    });
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[]);
    stream.next();
    drop(stream);
    server.wait_for("front", "state", "idle");
    let mut dead = MultipartStream::open(server.address, "/cameras/dead/stream.mjpg", &[]);
    dead.next();
    server.wait_for("dead", "state", "lost");
    let text = server.get("/metrics").text();
    assert!(!text.contains("framecast_camera_frame_age_seconds{"), "{text}");
    assert!(text.contains("framecast_camera_state{camera=\"dead\",state=\"lost\"} 1"), "{text}");
    until("the time passes", || {
        let text = server.get("/metrics").text();
        let name = "framecast_camera_lost_seconds{camera=\"dead\"} ";
        let seconds = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        seconds.parse::<f64>().unwrap() > 0.0
    });
}

#[test]
fn connections_that_end_badly_are_counted_by_why() {
    let server = Server::with(|settings| settings.header_timeout = std::time::Duration::from_millis(200));
    for (sent, why) in [("NO HTTP\r\n\r\n", "bad_request"), ("GET / HTTP/1.1\r\nHost:", "late_head")] {
        let mut answer = send(server.address, sent);
        std::io::copy(&mut answer, &mut std::io::sink()).unwrap();
        let line = format!("framecast_failed_connections_total{{why=\"{why}\"}} 1\n");
        let text = server.get("/metrics").text();
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}
