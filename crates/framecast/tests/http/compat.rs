//! The paths of other programs: byte for byte where their clients depend on it, with the requests and parsers of those
//! clients.

use std::io::{BufRead, Read};

use framecast::{Cameras, Drivers, Settings};
use framecast_testkit::blocking::{MultipartStream, read_head, request_head, send, send_request};
use serde_json::Value;

use crate::controls::Device;
use crate::{Server, error};

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";

/// The head of an answer as received, without the date, and the first bytes of the body.
fn raw(server: &Server, request: &str, headers: &[(&str, &str)], body: usize) -> (String, Vec<u8>) {
    let mut reader = send(server.address, &request_head(server.address, request, headers, "1.1"));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "closed within the head: {head}");
    }
    let mut bytes = vec![0; body];
    reader.read_exact(&mut bytes).unwrap();
    let kept = head.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
    (kept.collect(), bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The parts of a stream whose boundary is `boundarydonotcross`, cut at Content-Length as simple clients do.
struct Parts(std::io::BufReader<std::net::TcpStream>);

impl Parts {
    fn open(server: &Server, request: &str, headers: &[(&str, &str)]) -> Self {
        let mut reader = send(server.address, &request_head(server.address, request, headers, "1.1"));
        let head = read_head(&mut reader);
        assert_eq!(head.status, 200, "{head:?}");
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "--boundarydonotcross\r\n");
        Self(reader)
    }

    /// Headers and picture of the next part, and whether the boundary followed it.
    fn next(&mut self) -> (Vec<(String, String)>, Vec<u8>) {
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0);
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        let length = &headers.iter().find(|(name, _)| name == "Content-Length").unwrap().1;
        let mut picture = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut picture).unwrap();
        let mut boundary = [0; 24];
        self.0.read_exact(&mut boundary).unwrap();
        assert_eq!(text(&boundary), "\r\n--boundarydonotcross\r\n");
        (headers, picture)
    }
}

fn names(headers: &[(String, String)]) -> Vec<&str> {
    headers.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn ustreamers_stream_has_its_head_and_its_parts() {
    let server = Server::with(|_| {});
    let (head, start) = raw(&server, "GET /stream", &[], 48);
    let cookie = head.split("stream_client=").nth(1).unwrap().split(';').next().unwrap();
    let (key, id) = cookie.split_once('/').unwrap();
    assert!(key == "0" && id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{cookie}");
    let expected = format!(
        "HTTP/1.0 200 OK\r\n\
         Cache-Control: no-store, no-cache, must-revalidate, proxy-revalidate, pre-check=0, post-check=0, max-age=0\r\n\
         Pragma: no-cache\r\n\
         Expires: Mon, 3 Jan 2000 12:34:56 GMT\r\n\
         Set-Cookie: stream_client={cookie}; path=/; max-age=30\r\n\
         Content-Type: multipart/x-mixed-replace;boundary=boundarydonotcross\r\n"
    );
    assert!(head.starts_with(&expected), "{head}");
    assert_eq!(text(&start), "--boundarydonotcross\r\nContent-Type: image/jpeg\r\n");
    let mut parts = Parts::open(&server, "GET /stream", &[]);
    for _ in 0..3 {
        let (headers, picture) = parts.next();
        assert_eq!(names(&headers), ["Content-Type", "Content-Length", "X-Timestamp"]);
        assert!(picture.starts_with(&[0xFF, 0xD8]) && picture.ends_with(&[0xFF, 0xD9]));
    }
}

#[test]
fn ustreamers_extra_headers_are_all_there_in_their_order() {
    let server = Server::with(|_| {});
    let mut parts = Parts::open(&server, "GET /stream?extra_headers=1", &[]);
    let (headers, picture) = parts.next();
    let expected = [
        "Content-Type",
        "Content-Length",
        "X-Timestamp",
        "X-UStreamer-Online",
        "X-UStreamer-Dropped",
        "X-UStreamer-Width",
        "X-UStreamer-Height",
        "X-UStreamer-Client-FPS",
        "X-UStreamer-Grab-Begin-Time",
        "X-UStreamer-Grab-End-Time",
        "X-UStreamer-Encode-Begin-Time",
        "X-UStreamer-Encode-End-Time",
        "X-UStreamer-Expose-Begin-Time",
        "X-UStreamer-Expose-Cmp-Time",
        "X-UStreamer-Expose-End-Time",
        "X-UStreamer-Send-Time",
        "X-UStreamer-Latency",
    ];
    assert_eq!(names(&headers), expected);
    assert!(picture.starts_with(&[0xFF, 0xD8]));
    // PiKVM's kvmd/clients/streamer.py expects whole numbers and `true`.
    let mut parts = std::iter::repeat_with(|| parts.next().0);
    let live = parts.find(|headers| headers[3].1 == "true").unwrap();
    assert_eq!((live[5].1.as_str(), live[6].1.as_str()), ("64", "64"));
    let seconds = |n: usize| live[n].1.parse::<f64>().unwrap();
    assert!((seconds(15) - seconds(8) - seconds(16)).abs() < 0.01, "{live:?}");
    for (name, value) in &live[8..] {
        assert_eq!(value.split_once('.').unwrap().1.len(), 6, "{name}: {value}");
    }
}

#[test]
fn ustreamers_zero_data_is_heads_alone() {
    let server = Server::with(|_| {});
    let mut parts = Parts::open(&server, "GET /stream?zero_data=1", &[]);
    for _ in 0..3 {
        let (headers, picture) = parts.next();
        assert_eq!(names(&headers), ["Content-Type", "Content-Length", "X-Timestamp"]);
        assert!(picture.is_empty());
    }
}

#[test]
fn ustreamers_advance_headers_come_before_the_picture_without_length() {
    let server = Server::with(|_| {});
    for path in ["/stream?advance_headers=1", "/?action=stream&advance_headers=1&extra_headers=1"] {
        let (_, start) = raw(&server, &format!("GET {path}"), &[], 61);
        let start = text(&start);
        assert!(
            start.starts_with("--boundarydonotcross\r\nContent-Type: image/jpeg\r\nX-Timestamp: "),
            "{start}"
        );
    }
}

#[test]
fn an_image_in_chromium_is_painted_at_once_and_a_script_finds_lengths() {
    let server = Server::with(|_| {});
    let start = |accept| {
        let headers = [("User-Agent", CHROME), ("Accept", accept)];
        text(&raw(&server, "GET /?action=stream", &headers, 300).1)
    };
    assert!(!start("image/avif,image/webp,image/*,*/*;q=0.8").contains("Content-Length"));
    // Mainsail (src/components/webcams/streamers/Mjpegstreamer.vue) splits the stream by `Content-Length`.
    assert!(start("*/*").contains("Content-Length"));
}

#[test]
fn ustreamers_snapshot_tells_its_numbers() {
    let server = Server::with(|_| {});
    let answer = server.get("/snapshot");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("image/jpeg"));
    assert_eq!(answer.header("expires"), Some("Mon, 3 Jan 2000 12:34:56 GMT"));
    // PiKVM's kvmd/clients/streamer.py parses these.
    assert_eq!(answer.header("x-ustreamer-online"), Some("true"));
    assert_eq!(answer.header("x-ustreamer-width"), Some("64"));
    assert_eq!(answer.header("x-ustreamer-height"), Some("64"));
    for name in ["grab-begin", "grab-end", "encode-begin", "encode-end", "send"] {
        let value =
            answer.header(&format!("x-ustreamer-{name}-timestamp")).unwrap_or_else(|| panic!("{name}"));
        assert!(value.parse::<f64>().unwrap() > 0.0, "{name}: {value}");
    }
    assert!(answer.header("x-timestamp").unwrap().parse::<f64>().unwrap() > 1.6e9);
    assert!(answer.body.starts_with(&[0xFF, 0xD8]));
}

#[test]
fn a_lost_camera_is_offline_in_ustreamers_words() {
    let settings = Settings::with_cameras([("front", "exec:false")]).unwrap();
    let server = Server::start(settings, Drivers::builtin());
    let answer = server.get("/snapshot");
    assert_eq!((answer.status, answer.header("x-ustreamer-online")), (200, Some("false")));
    assert!(answer.body.starts_with(&[0xFF, 0xD8]), "the drawn picture");
    assert_eq!(server.json("/state")["result"]["source"]["online"], false);
    assert_eq!(server.get("/?action=snapshot").status, 503);
}

#[test]
fn ustreamers_state_has_every_field_and_true_values() {
    let server = Server::with(|settings| settings.cameras[0].quality = 70);
    // A camera that is closed because it has no viewer has no fault.
    let idle = server.json("/state");
    assert_eq!(idle["ok"], true);
    assert_eq!(idle["result"]["source"]["online"], true);
    assert_eq!(idle["result"]["stream"]["clients"], 0);
    assert_eq!(server.json("/api/cameras/front")["opened"], 0, "asking opens nothing");

    let mut stream =
        Parts::open(&server, "GET /stream?key=wall%2F1&extra_headers=1&dual_final_frames=1", &[]);
    let mut plain = MultipartStream::open(server.address, "/video_feed", &[]);
    server.wait_for("front", "state", "live");
    stream.next();
    plain.next();
    while server.json("/state")["result"]["source"]["captured_fps"].as_u64() < Some(10) {
        stream.next();
    }
    let state = server.json("/state")["result"].clone();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&state), ["encoder", "instance_id", "source", "stream"]);
    assert_eq!((&state["encoder"]["type"], &state["encoder"]["quality"]), (&"HW".into(), &70.into()));
    assert_eq!(state["source"]["resolution"], serde_json::json!({"width": 64, "height": 64}));
    assert_eq!(state["source"]["online"], true);
    assert!(state["source"]["desired_fps"].is_u64());
    assert!(state["stream"]["queued_fps"].as_u64().unwrap() >= 10);
    assert_eq!(state["stream"]["clients"], 2);
    let clients = state["stream"]["clients_stat"].as_object().unwrap();
    assert_eq!(clients.len(), 2);
    let ours = clients.values().find(|client| client["key"] == "wall%2F1").unwrap();
    assert_eq!(
        (&ours["extra_headers"], &ours["advance_headers"], &ours["dual_final_frames"], &ours["zero_data"]),
        (&true.into(), &false.into(), &true.into(), &false.into())
    );
    assert!(ours["fps"].is_u64());
    drop((stream, plain));
    server.until("/state", |state| state["result"]["stream"]["clients"] == 0);
}

#[test]
fn head_and_options_open_nothing() {
    let server = Server::with(|_| {});
    let paths = [
        "/stream",
        "/stream?extra_headers=1",
        "/snapshot",
        "/state",
        "/?action=stream",
        "/?action=snapshot",
        "/1/mjpg/stream",
        "/1/static/stream",
        "/api/frame.jpeg?src=front",
        "/api/stream.mjpeg?src=front",
    ];
    for path in paths {
        let head = send_request(server.address, &format!("HEAD {path}"), &[]);
        assert_eq!(head.status, 200, "{path}");
    }
    for path in ["/stream", "/snapshot", "/state"] {
        let answer = send_request(server.address, &format!("OPTIONS {path}"), &[]);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
    }
    assert_eq!(server.json("/api/cameras/front")["opened"], 0);
}

#[test]
fn mjpg_streamers_stream_and_snapshot_take_a_number_and_ignore_the_rest() {
    let settings = Settings::with_cameras([
        ("front", "emulated:?fps=20&size=64x64"),
        ("back", "emulated:?fps=20&size=128x64"),
    ]);
    let server = Server::start(settings.unwrap(), Drivers::builtin());
    let (head, start) = raw(&server, "GET /?action=stream", &[], 22);
    let expected = "HTTP/1.0 200 OK\r\n\
         Cache-Control: no-store, no-cache, must-revalidate, pre-check=0, post-check=0, max-age=0\r\n\
         Pragma: no-cache\r\n\
         Expires: Mon, 3 Jan 2000 12:34:56 GMT\r\n\
         Content-Type: multipart/x-mixed-replace;boundary=boundarydonotcross\r\n";
    assert!(head.starts_with(expected), "{head}");
    assert_eq!(text(&start), "--boundarydonotcross\r\n");
    // OctoPrint's cache buster is a bare number after an ampersand (classicwebcam.js); Mainsail's has a name.
    for (query, width) in [
        ("snapshot", 64),
        ("snapshot_0", 64),
        ("snapshot_1", 128),
        ("snapshot&1700000000000", 64),
        ("snapshot_1&ignored.jpg", 128),
        // Many OpenCV examples have this for the stream.
        ("snapshot?dummy=param.jpg", 64),
        ("snapshot_1?dummy=param.jpg", 128),
        ("snapshot&camera=back", 128),
        ("snapshot&bypassCache=1700000000000", 64),
    ] {
        let answer = server.get(&format!("/?action={query}"));
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.header("content-type"), Some("image/jpeg"));
        assert!(answer.header("x-timestamp").is_some());
        assert_eq!(width_of(&answer.body), width, "{query}");
    }
    let (headers, picture) = Parts::open(&server, "GET /?action=stream_1&ignored.mjpg", &[]).next();
    assert_eq!(names(&headers), ["Content-Type", "Content-Length", "X-Timestamp"]);
    assert!(!picture.is_empty());
    let (_, start) = raw(&server, "POST /stream", &[("Content-Length", "0")], 22);
    assert_eq!(text(&start), "--boundarydonotcross\r\n");
    let answer = server.get("/?action=snapshot_2");
    assert_eq!(
        (answer.status, error(&answer).as_str()),
        (404, "no camera 2; this server has 2, counted from 0")
    );
    assert_eq!(server.get("/?action=take&filename=x").status, 404);
}

/// The width in a JPEG's frame header.
fn width_of(jpeg: &[u8]) -> u16 {
    let at = jpeg.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0 | 0xC2])).unwrap();
    u16::from_be_bytes([jpeg[at + 7], jpeg[at + 8]])
}

#[test]
fn what_is_asked_for_with_a_slip_is_told_what_there_is() {
    let server = Server::with(|_| {});
    for (path, status, told) in [
        ("/?action=strem", 404, "unknown action `strem`; known actions: stream, snapshot "),
        ("/?action=stream_x", 404, "unknown action `stream_x`"),
        ("/9/mjpg/stream", 404, "no camera 9; this server has 1, counted from 1"),
        ("/9/static/stream", 404, "no camera 9; this server has 1, counted from 1"),
        ("/input_9.json", 404, "no camera 9; this server has 1, counted from 0"),
        ("/input_x.json", 404, "there is nothing at /input_x.json"),
        ("/1/mjpg/none", 404, "there is nothing at /1/mjpg/none"),
        ("/1/mpegts/stream", 501, "this server has no video at this path"),
        ("/video", 501, "this server has no video at this path"),
        ("/api/stream.m3u8?src=front", 501, "this server has no WebRTC, HLS and MPEG-TS"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert!(error(&answer).starts_with(told), "{path}: {}", error(&answer));
    }
    let answer = server.get("/option?key=brightness&value=3");
    assert!(answer.text().contains("unknown control; this camera has none"), "{}", answer.text());
}

#[test]
fn a_page_without_an_action_is_the_page() {
    let server = Server::with(|_| {});
    for path in ["/", "/?x=1", "/?action", "/?action="] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("text/html; charset=utf-8")),
            "{path}"
        );
    }
}

#[test]
fn mjpg_streamers_descriptions_are_text_throughout() {
    let server = Device::new().serve(|_| {});
    let program = server.get("/program.json");
    assert_eq!(program.header("content-type"), Some("application/x-javascript"));
    assert_eq!(
        serde_json::from_slice::<Value>(&program.body).unwrap(),
        serde_json::json!({
            "inputs": [
                {"id": "0", "name": "front", "plugin": "dials", "args": ""},
                {"id": "1", "name": "plain", "plugin": "emulated", "args": ""},
            ],
            "outputs": [{"id": "0", "name": "HTTP output plugin", "plugin": "output_http.so", "args": ""}],
        })
    );
    for path in ["/input.json", "/input_0.json"] {
        let answer = server.get(path);
        assert_eq!(answer.header("content-type"), Some("application/x-javascript"));
        let input: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            input["controls"][0],
            serde_json::json!({
                "name": "BRIGHTNESS", "id": "1", "type": "1", "min": "0", "max": "255", "step": "1",
                "default": "127", "value": "127", "dest": "0", "flags": "0", "group": "1",
            })
        );
        assert_eq!(input["controls"][4]["menu"], serde_json::json!({"0": "Off", "2": "60 Hz"}));
        assert_eq!(input["formats"], serde_json::json!([]), "not opened yet");
    }
    assert_eq!(server.get("/?action=snapshot_1").status, 200);
    let plain = server.json("/input_1.json");
    assert_eq!(plain["controls"], serde_json::json!([]));
    assert_eq!(plain["formats"][0]["current"], "true");
    assert_eq!(plain["formats"][0]["currentResolution"], "0");
    assert!(plain["formats"][0]["resolutions"]["0"].as_str().unwrap().contains('x'));
    assert_eq!(server.json("/output_0.json"), serde_json::json!({"controls": []}));
    assert_eq!(server.get("/input_2.json").status, 404);
}

#[test]
fn a_command_sets_a_control_by_number_or_by_name() {
    let device = Device::new();
    let server = device.serve(|_| {});
    let command = |query: &str| server.get(&format!("/?action=command&{query}"));
    for (query, reply) in [
        ("dest=0&plugin=0&id=1&group=1&value=7", "1: 0"),
        ("id=gain&value=9", "gain: 0"),
        ("id=auto&value=0&group=1", "auto: 0"),
        ("id=1&value=999", "1: -1"),
        ("id=77&value=1", "77: -1"),
        ("id=1&value=7&plugin=1", "1: -1"),
        ("id=1&value=7&plugin=9", "1: -1"),
        ("id=1&value=7&dest=1", "1: -1"),
        ("id=1&value=7&group=3", "1: -1"),
        ("id=%3Cb%3Ehi&value=1", "bhi: -1"),
    ] {
        let answer = command(query);
        assert_eq!((answer.status, answer.text().as_str()), (200, reply), "{query}");
        assert_eq!(answer.header("content-type"), Some("text/plain"));
    }
    assert_eq!(device.set(), ["brightness 7", "gain 9", "auto 0"]);
    assert_eq!(command("value=1").status, 400);
    // The command has the effect of a PATCH: the value is there at the next opening.
    assert_eq!(server.json("/api/cameras/front/controls")["controls"][0]["value"], 7);
}

#[test]
fn a_get_of_a_page_whose_origin_is_named_sets_controls() {
    const DASHBOARD: &str = "https://dashboard.example";
    let device = Device::new();
    let server = device.serve(|settings| settings.cors_origins = vec![DASHBOARD.parse().unwrap()]);
    for request in ["GET /?action=command&id=1&value=7", "GET /option?brightness=7"] {
        for (origin, status) in [(DASHBOARD, 200), ("https://evil.example", 403)] {
            let headers = [("User-Agent", CHROME), ("Origin", origin), ("Sec-Fetch-Site", "cross-site")];
            assert_eq!(server.ask(request, &headers).status, status, "{request} {origin}");
        }
    }
    assert_eq!(device.set(), ["brightness 7", "brightness 7"]);
}

#[test]
fn a_get_of_another_sites_page_changes_nothing() {
    let device = Device::new();
    let server = device.serve(|_| {});
    let own = format!("http://{}/control.htm", server.address);
    for request in ["GET /?action=command&id=1&value=7", "GET /option?brightness=7"] {
        for headers in [
            &[("Sec-Fetch-Site", "cross-site")][..],
            &[("Origin", "http://evil.example")],
            &[("User-Agent", CHROME), ("Referer", "http://evil.example/")],
            &[("User-Agent", CHROME)],
        ] {
            let answer = server.ask(request, headers);
            assert_eq!(answer.status, 403, "{request} {headers:?}");
            assert!(error(&answer).contains("own pages"), "{}", error(&answer));
        }
        assert_eq!(device.set(), [""; 0]);
    }
    for headers in [&[][..], &[("User-Agent", CHROME), ("Referer", own.as_str())]] {
        assert_eq!(server.ask("GET /?action=command&id=1&value=7", headers).status, 200);
    }
    assert_eq!(device.set(), ["brightness 7", "brightness 7"]);
}

#[test]
fn camera_streamers_clients_are_told_what_there_is() {
    let device = Device::new();
    let server = device.serve(|_| {});
    let status = server.json("/status");
    assert_eq!(status["endpoints"]["webrtc"]["enabled"], false);
    assert_eq!(status["endpoints"]["stream"]["enabled"], true);
    assert_eq!(status["endpoints"]["stream"]["uri"], format!("http://{}/stream", server.address));
    let snapshot = server.json("/status?camera=plain")["endpoints"]["snapshot"]["uri"].clone();
    assert_eq!(
        server.get(snapshot.as_str().unwrap().split_once(&server.address.to_string()).unwrap().1).status,
        200
    );
    for path in ["/video", "/video.mp4", "/webrtc"] {
        let answer = server.get(path);
        assert_eq!(answer.status, 501, "{path}");
        assert!(error(&answer).contains("/stream"));
    }
    let answer = server.get("/option?device=CAMERA&key=brightness&value=9");
    assert_eq!((answer.status, answer.text().as_str()), (200, "The 'brightness' was set to '9'.\r\n"));
    assert_eq!(server.ask("POST /option?Gain=3", &[("Content-Length", "0")]).status, 200);
    assert_eq!(server.get("/option?brightness=999").status, 422);
    assert_eq!(server.get("/option").status, 404);
    assert_eq!(device.set(), ["brightness 9", "gain 3"]);
    assert_eq!(server.get("/control").header("location"), Some("cameras/front"));
    // The health checks of Crowsnest and new OctoPi ask for a picture with a maximum age in milliseconds.
    assert_eq!(server.get("/snapshot?max_delay=0&camera=plain").status, 200);
}

#[test]
fn motions_paths_count_cameras_from_one() {
    let settings = Settings::with_cameras([
        ("front", "emulated:?fps=20&size=640x480"),
        ("back", "emulated:?fps=20&size=128x64"),
        ("closed", "emulated:?fps=20&size=640x480"),
    ]);
    let server = Server::start(settings.unwrap(), Drivers::builtin());
    let half = MultipartStream::open(server.address, "/3/mjpg/substream", &[]).next().unwrap();
    assert_eq!(width_of(&half.body), 320, "of a camera that nobody has watched yet");
    for (path, width) in [
        ("/1/static/stream", 640),
        ("/2/static/main", 128),
        ("/0/static/source", 640),
        ("/1/static/substream", 320),
    ] {
        let answer = server.get(path);
        assert_eq!((answer.status, width_of(&answer.body)), (200, width), "{path}");
    }
    for path in ["/0/mjpg/stream", "/1/mjpg/stream", "/1/mjpg/substream", "/2/mjpg/source"] {
        assert!(MultipartStream::open(server.address, path, &[]).next().is_some(), "{path}");
    }
    assert_eq!(
        error(&server.get("/1/mjpg/motion")),
        "the picture `motion` is not supported: this server detects no motion"
    );
    for path in ["/4/mjpg/stream", "/1/mjpg/other", "/x/mjpg/stream"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
}

#[test]
fn go2rtcs_clients_ask_by_src() {
    let server = Server::with(|settings| settings.add_camera("hall-way", "emulated:?size=640x480").unwrap());
    let frame = server.get("/api/frame.jpeg?src=hall%2Dway");
    assert_eq!((frame.status, frame.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(frame.header("content-length").unwrap().parse(), Ok(frame.body.len()));
    assert_eq!(width_of(&frame.body), 640);
    for size in ["w=320", "width=320", "h=240"] {
        let frame = server.get(&format!("/api/frame.jpeg?src=hall-way&{size}"));
        assert_eq!(width_of(&frame.body), 320, "{size}");
    }
    assert_eq!(server.get("/api/frame.jpeg?src=front&cache=10s").status, 200);
    assert!(MultipartStream::open(server.address, "/api/stream.mjpeg?src=front", &[]).next().is_some());
    // go2rtc_client of Home Assistant expects a map of streams, each with its producers' URLs.
    let streams = server.json("/api/streams");
    assert_eq!(streams["front"]["producers"][0]["url"], "emulated:");
    assert!(streams["hall-way"]["consumers"].is_array());
    assert_eq!(server.json("/api/streams?src=front")["producers"][0]["url"], "emulated:");
    for path in [
        "/api/frame.jpeg",
        "/api/frame.jpeg?src=none",
        "/api/stream.mjpeg?src=rtsp://x/",
        "/api/streams?src=x",
    ] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    assert_eq!(server.get("/api/frame.jpeg?src=front&w=1").status, 400);
}

#[test]
fn one_switch_turns_all_of_it_off() {
    let server = Server::with(|settings| settings.drop_in = false);
    for path in [
        "/stream",
        "/snapshot",
        "/state",
        "/program.json",
        "/input_0.json",
        "/status",
        "/option",
        "/video",
        "/0/mjpg/stream",
        "/api/frame.jpeg?src=front",
        "/api/streams",
    ] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    let answer = server.get("/?action=snapshot");
    assert_eq!(answer.status, 404);
    assert_eq!(
        error(&answer),
        "the paths of other programs are turned off: drop_in is false in the configuration"
    );
    assert_eq!(server.get("/snapshot.jpg").status, 200);
}

#[test]
fn a_camera_may_be_called_like_any_of_these_paths() {
    let names = ["stream", "mjpg", "static", "0", "state", "input_0.json"];
    let settings = Settings::with_cameras(names.map(|name| (name, "emulated:?fps=20&size=64x64"))).unwrap();
    let server = Server::start(settings, Drivers::builtin());
    for name in names {
        assert_eq!(server.get(&format!("/cameras/{name}/snapshot.jpg")).status, 200, "{name}");
        assert!(
            MultipartStream::open(server.address, &format!("/cameras/{name}/stream.mjpg"), &[])
                .next()
                .is_some()
        );
        assert_eq!(server.json(&format!("/api/cameras/{name}"))["name"], name);
        assert_eq!(
            server.get(&format!("/cameras/{name}")).header("content-type"),
            Some("text/html; charset=utf-8")
        );
    }
}

#[tokio::test]
async fn they_work_below_a_prefix_too() {
    let settings = Settings::with_cameras([("front", crate::QUICK)]).unwrap();
    let cameras = Cameras::start(settings, Drivers::builtin()).await.unwrap();
    let router = axum::Router::new().nest_service("/webcam", cameras.router());
    for path in [
        "/webcam/?action=snapshot",
        "/webcam?action=snapshot",
        "/webcam/snapshot",
        "/webcam/1/static/stream",
        "/webcam/api/frame.jpeg?src=front",
    ] {
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let answer = tower::ServiceExt::oneshot(router.clone(), request).await.unwrap();
        let content_type = answer.headers().get("content-type").unwrap();
        assert_eq!((answer.status().as_u16(), content_type.as_bytes()), (200, &b"image/jpeg"[..]), "{path}");
    }
    cameras.close().await;
}

#[test]
fn a_full_server_says_so_here_too() {
    let server = Server::with(|settings| settings.max_viewers = Some(1));
    let held = Parts::open(&server, "GET /stream?extra_headers=1", &[]);
    for path in ["/stream", "/stream?extra_headers=1", "/?action=stream", "/1/mjpg/stream"] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{path}");
        let answer = server.ask(&format!("GET {path}"), &[("Accept", "image/*")]);
        assert_eq!((answer.status, answer.header("content-type")), (503, Some("image/jpeg")), "{path}");
    }
    drop(held);
    server.until("/state", |state| state["result"]["stream"]["clients"] == 0);
    Parts::open(&server, "GET /stream", &[]).next();
}

#[test]
fn the_account_guards_these_paths_too() {
    let server = Server::with(|settings| settings.account = framecast::Account::new("me", "pw").ok());
    for path in
        ["/stream", "/snapshot", "/state", "/?action=snapshot", "/1/mjpg/stream", "/api/streams", "/status"]
    {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
}
