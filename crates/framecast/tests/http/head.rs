//! HEAD: the same head as GET, without any action.

use framecast_testkit::blocking::{Response, send_request};
use serde_json::Value;

use crate::controls::Device;

/// One path of each kind, including those of other programs.
const PATHS: [&str; 40] = [
    "/",
    "/video_feed",
    "/snapshot.jpg",
    "/cameras/front",
    "/cameras/front/stream.mjpg",
    "/cameras/front/stream.mp4",
    "/cameras/front/snapshot.jpg",
    "/static/app.js",
    "/favicon.ico",
    "/api/cameras",
    "/api/cameras/front",
    "/api/cameras/front/controls",
    "/api/cameras/front/controls/kept",
    "/api/devices",
    "/api/events",
    "/api/events.csv",
    "/api/events.ndjson",
    "/api/events.json",
    "/api/events/live",
    "/api/live",
    "/api/viewers",
    "/history",
    "/metrics",
    "/healthz",
    "/readyz",
    "/stream",
    "/snapshot",
    "/state",
    "/program.json",
    "/input.json",
    "/input_0.json",
    "/output.json",
    "/status",
    "/option",
    "/control",
    "/video",
    "/1/mjpg/stream",
    "/1/static/stream",
    "/api/frame.jpeg",
    "/api/stream.mjpeg",
];

/// Queries that some path could take for a command.
const ORDERS: [&str; 4] = [
    "action=command&id=brightness&value=7&dest=0&plugin=0&group=1",
    "key=brightness&value=7",
    "brightness=7",
    "persist&label=x&brightness=7",
];

#[test]
fn head_carries_nothing_out_wherever_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new();
    let server = device.serve(|settings| settings.state_dir = Some(folder.path().to_owned()));
    for path in PATHS {
        for order in ORDERS {
            send_request(server.address, &format!("HEAD {path}?{order}"), &[]);
        }
    }
    assert_eq!((device.set(), device.asked()), (Vec::new(), 0), "not even asked");
    let events = server.json("/api/events?kind=controls,mark");
    assert_eq!(events["events"], Value::Array(Vec::new()));
    for path in ["/api/devices", "/api/cameras/front/controls", "/input.json", "/input_0.json", "/option"] {
        let (head, got) = (send_request(server.address, &format!("HEAD {path}"), &[]), server.get(path));
        let of = |answer: &Response| (answer.status, answer.header("content-type").map(str::to_owned));
        assert_eq!(of(&head), of(&got), "{path}");
    }
    assert_eq!(device.asked(), 5, "by GET alone");
    // The same request by GET does run the command.
    for request in
        [format!("/?{}", ORDERS[0]), format!("/option?{}", ORDERS[1]), format!("/option?{}", ORDERS[2])]
    {
        assert_eq!(send_request(server.address, &format!("HEAD {request}"), &[]).status, 403, "{request}");
        assert_eq!(server.get(&request).status, 200, "{request}");
    }
    assert_eq!(device.set(), ["brightness 7"; 3]);
}
