//! The JSON API, and the names of cameras in URLs.

use std::time::Duration;

use framecast::{Drivers, Settings};
use framecast_testkit::blocking::{MultipartStream, pause};
use serde_json::Value;

use crate::{QUICK, Server, error};

pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

const CAMERA_KEYS: [&str; 35] = [
    "age_ms",
    "broken",
    "capture",
    "checked",
    "closed",
    "default",
    "demand",
    "driver",
    "encode_ms",
    "encode_skipped",
    "encoded",
    "fps",
    "frames",
    "height",
    "last_broken",
    "lost",
    "name",
    "next_try",
    "open_for",
    "opened",
    "over_rate",
    "page",
    "probe_s",
    "reason",
    "renditions",
    "repaired",
    "required",
    "since",
    "snapshot",
    "state",
    "stream",
    "sub",
    "video",
    "viewers",
    "width",
];

#[test]
fn all_cameras_and_one_camera_have_the_documented_shape() {
    let server = Server::with(|settings| settings.add_camera("back", QUICK).unwrap());
    let all = server.json("/api/cameras");
    assert_eq!(keys(&all), ["cameras", "now", "server"]);
    assert_eq!(keys(&all["server"]), ["codec", "marks", "started_at", "version"]);
    assert_eq!(keys(&all["cameras"][0]), CAMERA_KEYS);
    let mut one = CAMERA_KEYS.to_vec();
    one.extend(["now", "server"]);
    one.sort_unstable();
    assert_eq!(keys(&server.json("/api/cameras/back")), one);
}

/// The section of `docs/api.md` about the state of cameras.
fn documentation() -> &'static str {
    let text = include_str!("../../../../docs/api.md");
    text.split_once("\n## State\n").unwrap().1.split_once("\n## ").unwrap().0
}

/// The number of keys in `value`, with those of the objects in it.
fn key_count(value: &Value) -> usize {
    match value {
        Value::Object(entries) => entries.len() + entries.values().map(key_count).sum::<usize>(),
        Value::Array(values) => values.iter().map(key_count).sum(),
        _ => 0,
    }
}

#[test]
fn the_example_in_the_documentation_has_each_field_of_a_real_answer_once() {
    let text = documentation().split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
    let example: Value = serde_json::from_str(text).unwrap();
    assert_eq!(text.matches("\":").count(), key_count(&example), "a key is there twice: {text}");
    let server = Server::with(|_| {});
    let _stream = MultipartStream::open(server.address, "/cameras/front/stream.mjpg?width=32", &[]);
    server.wait_for("front", "state", "live");
    let all = server.json("/api/cameras");
    let real = &all["cameras"][0];
    assert_eq!((keys(&example), keys(&example["server"])), (keys(&all), keys(&all["server"])));
    let example = &example["cameras"][0];
    assert_eq!(keys(example), CAMERA_KEYS);
    assert_eq!(keys(&example["demand"]), keys(&real["demand"]));
    assert_eq!(keys(&example["renditions"][0]), keys(&real["renditions"][0]));
    for key in CAMERA_KEYS {
        let (shown, real) = (&example[key], &real[key]);
        let is_alike = std::mem::discriminant(shown) == std::mem::discriminant(real);
        assert!(is_alike || shown.is_null() || real.is_null(), "{key}: {shown} or {real}");
    }
}

#[test]
fn the_table_in_the_documentation_has_each_field_once() {
    let rows = documentation().lines().filter_map(|line| line.strip_prefix("| `"));
    let fields = rows.flat_map(|row| row.split(" |").next().unwrap().split('`'));
    let mut fields: Vec<&str> = fields.filter(|field| !["", ", "].contains(field)).collect();
    fields.sort_unstable();
    let explained_elsewhere = ["default", "driver", "height", "name", "page", "snapshot", "stream", "width"];
    let expected = CAMERA_KEYS.iter().copied().chain(["server"]);
    let mut expected: Vec<&str> = expected.filter(|key| !explained_elsewhere.contains(key)).collect();
    expected.sort_unstable();
    assert_eq!(fields, expected);
}

#[test]
fn a_camera_is_idle_and_unknown_until_someone_watches() {
    let server = Server::with(|_| {});
    let camera = server.json("/api/cameras/front");
    assert_eq!(camera["state"], "idle");
    for key in [
        "reason",
        "next_try",
        "checked",
        "probe_s",
        "open_for",
        "fps",
        "width",
        "height",
        "age_ms",
        "last_broken",
        "capture",
    ] {
        assert_eq!(camera[key], Value::Null, "{key}");
    }
    for key in [
        "viewers",
        "frames",
        "broken",
        "repaired",
        "over_rate",
        "lost",
        "encoded",
        "encode_skipped",
        "opened",
        "closed",
    ] {
        assert_eq!(camera[key], 0, "{key}");
    }
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[]);
    stream.next();
    let camera = server.json("/api/cameras/front");
    assert_eq!((&camera["state"], &camera["viewers"]), (&"live".into(), &1.into()));
    assert_eq!((&camera["width"], &camera["height"]), (&64.into(), &64.into()));
    assert_eq!((&camera["opened"], &camera["closed"]), (&1.into(), &0.into()));
    assert!(camera["video"].is_null(), "{camera}");
    assert!(camera["checked"].is_string(), "{camera}");
}

#[test]
fn a_camera_tells_why_it_is_open() {
    let server = Server::with(|settings| {
        settings.add_camera("back", QUICK).unwrap();
        settings.cameras[0].idle_timeout = Some(Duration::from_secs(3600));
        settings.cameras[1].idle_timeout = None;
    });
    server.wait_for("back", "state", "live");
    assert_eq!(server.json("/api/cameras/back")["open_for"], "always");
    assert_eq!(server.json("/api/cameras/front")["open_for"], Value::Null);
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[]);
    stream.next();
    assert_eq!(server.json("/api/cameras/front")["open_for"], "viewers");
    drop(stream);
    server.wait_for("front", "open_for", "idle_timeout");
    let camera = server.json("/api/cameras/front");
    assert_eq!(camera["demand"], serde_json::json!({"viewers": 0, "snapshots": 0, "probes": 0}));
    assert_eq!(camera["state"], "live");
}

#[test]
fn pictures_with_something_around_them_are_shown_and_counted_as_repaired() {
    let picture = [b"\xFF", &framecast_testkit::jpeg(64, 64, 1)[..]].concat();
    let drivers = Drivers::builtin().with_frames("odd", move |_| {
        let picture = picture.clone();
        std::iter::repeat_with(move || {
            pause(Duration::from_millis(10));
            picture.clone()
        })
    });
    let server = Server::start(Settings::with_cameras([("front", "odd:")]).unwrap(), drivers);
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[]);
    stream.next();
    let camera = server.json("/api/cameras/front");
    assert_eq!((&camera["state"], &camera["broken"]), (&"live".into(), &0.into()));
    assert!(camera["repaired"].as_u64().is_some_and(|repaired| repaired >= 1), "{camera}");
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(metrics.contains("framecast_camera_repaired_frames_total{camera=\"front\"}"), "{metrics}");
}

#[test]
fn times_are_utc_with_milliseconds_and_answers_are_not_kept() {
    let server = Server::with(|_| {});
    let answer = server.get("/api/cameras");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let all: Value = serde_json::from_slice(&answer.body).unwrap();
    for time in [&all["now"], &all["server"]["started_at"], &all["cameras"][0]["since"]] {
        let time = time.as_str().unwrap();
        assert!(time.len() == "2026-11-23T14:20:10.238Z".len() && time.ends_with('Z'), "{time}");
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }
}

#[test]
fn a_lost_camera_tells_why_since_when_and_until_when() {
    let drivers = Drivers::builtin().with_frames("broken", |_| [Err::<Vec<u8>, _>("no such device")]);
    let server = Server::start(Settings::with_cameras([("front", "broken:")]).unwrap(), drivers);
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[]);
    server.wait_for("front", "state", "lost");
    let camera = server.json("/api/cameras/front");
    assert_eq!(camera["reason"], "no such device");
    assert!(camera["since"].is_string() && camera["fps"].is_null(), "{camera}");
    // Meanwhile its viewers see a slate, marked as such.
    let slate = stream.find(|part| part.header("x-framecast-notice").is_some()).unwrap();
    assert_eq!(slate.header("x-framecast-notice"), Some("1"));
}

#[test]
fn an_unknown_camera_is_404_everywhere_and_tells_no_secret() {
    let settings = Settings::with_cameras([("front", "http://me:s3cr3t@127.0.0.1:1/?token=s3cr3t")]);
    let server = Server::start(settings.unwrap(), Drivers::builtin());
    for path in [
        "/cameras/nobody",
        "/cameras/nobody/stream.mjpg",
        "/cameras/nobody/snapshot.jpg",
        "/api/cameras/nobody",
        "/cameras/..",
        "/cameras/FRONT",
        "/cameras/%00",
        "/cameras/a%2Fb",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        let text = error(&answer);
        assert!(text.starts_with("unknown camera `") && text.ends_with("`; known cameras: front"), "{text}");
    }
    for path in ["/cameras/%FF", "/cameras/%FF/stream.mjpg", "/cameras/%C3/snapshot.jpg", "/api/cameras/%ff"]
    {
        let answer = server.get(path);
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(error(&answer), format!("the address {path} is not UTF-8 text"));
    }
}

#[test]
fn a_name_beyond_ascii_is_percent_encoded_in_addresses() {
    let settings = Settings::with_cameras([("küche", QUICK), ("Tür-2_b.x", QUICK)]).unwrap();
    let server = Server::start(settings, Drivers::builtin());
    let all = server.json("/api/cameras");
    let camera = &all["cameras"][0];
    assert_eq!(camera["name"], "küche");
    assert_eq!(camera["page"], "/cameras/k%C3%BCche");
    assert_eq!(camera["stream"], "/cameras/k%C3%BCche/stream.mjpg");
    assert_eq!(camera["snapshot"], "/cameras/k%C3%BCche/snapshot.jpg");
    for camera in all["cameras"].as_array().unwrap() {
        for key in ["page", "snapshot"] {
            let path = camera[key].as_str().unwrap();
            assert!(path.is_ascii());
            assert_eq!(server.get(path).status, 200, "{path}");
        }
        let mut stream = MultipartStream::open(server.address, camera["stream"].as_str().unwrap(), &[]);
        assert!(stream.next().is_some());
    }
    // Some programs send it unencoded, and some browsers encode too much.
    assert_eq!(server.get("/cameras/küche/snapshot.jpg").status, 200);
    assert_eq!(server.get("/cameras/%6b%c3%bcche/snapshot.jpg").status, 200);
}
