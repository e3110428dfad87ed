//! `/readyz`, and who may read it, `/healthz` and `/metrics`.

use framecast::{Account, AddressRanges, Secret, Settings};
use framecast_testkit::blocking::{MultipartStream, until};

use crate::{QUICK, Server, error};

const PATHS: [&str; 3] = ["/metrics", "/healthz", "/readyz"];
const TOKEN: &str = "0123456789abcdef";

fn addresses(texts: &[&str]) -> Option<AddressRanges> {
    let mut addresses = AddressRanges::none();
    for text in texts {
        addresses.add(text).unwrap();
    }
    Some(addresses)
}

/// The status of each path, asked with these headers.
fn statuses(server: &Server, headers: &[(&str, &str)]) -> [u16; 3] {
    PATHS.map(|path| server.ask(&format!("GET {path}"), headers).status)
}

#[test]
fn a_server_is_ready_when_its_required_cameras_work() {
    let server = Server::with(|settings| {
        settings.add_camera("dead", "images:/nonexistent").unwrap();
        settings.add_camera("back", QUICK).unwrap();
    });
    assert_eq!((server.get("/readyz").status, server.get("/readyz").text()), (200, "ready\n".to_owned()));
    drop(server);

    let server = Server::with(|settings| {
        settings.add_camera("dead", "images:/nonexistent").unwrap();
        for camera in &mut settings.cameras {
            camera.required = true;
            camera.probe = Some(None);
        }
    });
    let answer = server.get("/readyz");
    let unchecked = "camera `front` was not checked yet\ncamera `dead` was not checked yet\n".to_owned();
    assert_eq!((answer.status, answer.text()), (503, unchecked));
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[]);
    stream.next();
    let mut dead = MultipartStream::open(server.address, "/cameras/dead/stream.mjpg", &[]);
    dead.next();
    server.wait_for("dead", "state", "lost");
    let answer = server.get("/readyz");
    let text = answer.text();
    assert!(text.starts_with("camera `dead` is lost: ") && text.lines().count() == 1, "{text}");
    assert_eq!((answer.status, server.get("/healthz").status), (503, 200));
}

#[test]
fn a_required_camera_that_works_makes_the_server_ready() {
    let server = Server::with(|settings| settings.cameras[0].required = true);
    assert_eq!(server.get("/readyz").status, 503);
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[]);
    stream.next();
    assert_eq!((server.get("/readyz").status, server.get("/readyz").text()), (200, "ready\n".to_owned()));
}

#[test]
fn a_required_camera_is_checked_without_a_setting() {
    let server = Server::with(|settings| settings.cameras[0].required = true);
    assert_eq!(server.json("/api/cameras/front")["probe_s"], 60);
    assert_eq!(server.json("/api/cameras/front")["required"], true);
}

#[test]
fn the_servers_interval_is_for_network_cameras() {
    let mut settings = Settings::with_cameras([
        ("usb", "emulated"),
        ("http", "http://127.0.0.1:1/"),
        ("rtsp", "rtsp://127.0.0.1:1/"),
        ("never", "http://127.0.0.1:1/"),
        ("own", "emulated"),
    ])
    .unwrap();
    settings.probe = Some(std::time::Duration::from_secs(90));
    settings.cameras[3].probe = Some(None);
    settings.cameras[4].probe = Some(Some(std::time::Duration::from_secs(20)));
    let server = Server::start(settings, framecast::Drivers::builtin());
    let all = server.json("/api/cameras");
    let intervals: Vec<_> =
        all["cameras"].as_array().unwrap().iter().map(|camera| camera["probe_s"].as_u64()).collect();
    assert_eq!(intervals, [None, Some(90), Some(90), None, Some(20)]);
}

#[test]
fn a_bearer_token_reads_what_is_for_monitors_alone() {
    let server = Server::with(|settings| {
        settings.account = Some(Account::new("me", "password").unwrap());
        settings.monitor_token = Some(Secret::new(TOKEN));
    });
    for right in [format!("Bearer {TOKEN}"), format!("bEARER  {TOKEN} ")] {
        assert_eq!(statuses(&server, &[("Authorization", &right)]), [200; 3], "{right}");
        assert_eq!(server.ask("GET /api/cameras", &[("Authorization", &right)]).status, 401);
        let elsewhere = server.ask("GET /metrics/", &[("Authorization", &right)]);
        assert_eq!((elsewhere.status, error(&elsewhere).contains("token does not open")), (401, true));
    }
    let wrong = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        TOKEN.to_owned(),
        format!("Basic {TOKEN}"),
        format!("Bearer {TOKEN}0"),
        format!("Bearer {}", &TOKEN[1..]),
        format!("Bearer {}", TOKEN.to_uppercase()),
    ];
    for wrong in wrong {
        assert_eq!(statuses(&server, &[("Authorization", &wrong)]), [401; 3], "{wrong}");
    }
    assert_eq!(error(&server.ask("GET /metrics", &[("Authorization", "Bearer 0123")])), "wrong token");
    assert_eq!(statuses(&server, &[("Authorization", "Basic bWU6cGFzc3dvcmQ=")]), [200; 3]);
}

#[test]
fn without_an_account_the_rules_close_these_paths_alone() {
    let server = Server::with(|settings| settings.monitor_token = Some(Secret::new(TOKEN)));
    assert_eq!(statuses(&server, &[]), [401; 3]);
    let answer = server.get("/metrics");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"Framecast\""));
    assert!(error(&answer).contains("FRAMECAST_MONITOR_TOKEN"));
    assert_eq!(statuses(&server, &[("Authorization", &format!("Bearer {TOKEN}"))]), [200; 3]);
    assert_eq!(server.get("/api/cameras").status, 200);
    drop(server);

    let server = Server::with(|settings| settings.monitor_addresses = addresses(&["10.0.0.0/8"]));
    assert_eq!(statuses(&server, &[]), [403; 3]);
    let refusal = error(&server.get("/readyz"));
    assert!(refusal.contains("monitor_addresses") && refusal.ends_with("from 127.0.0.1"), "{refusal}");
    assert_eq!(server.get("/snapshot.jpg").status, 200);
}

#[test]
fn an_address_range_needs_no_account() {
    let server = Server::with(|settings| {
        settings.account = Some(Account::new("me", "password").unwrap());
        settings.monitor_addresses = addresses(&["127.0.0.0/8", "10.0.0.0/8"]);
    });
    assert_eq!(statuses(&server, &[]), [200; 3]);
    assert_eq!(server.get("/api/cameras").status, 401);
    // A hostile page, by DNS rebinding, in the browser of somebody at such an address.
    assert_eq!(statuses(&server, &[("Host", "evil.example")]), [401; 3]);
    assert_eq!(statuses(&server, &[("Host", "cam.lan:5000")]), [200; 3]);
    // The trusted proxy on this machine names its clients.
    assert_eq!(statuses(&server, &[("X-Forwarded-For", "10.1.2.3")]), [200; 3]);
    assert_eq!(statuses(&server, &[("X-Forwarded-For", "192.0.2.1")]), [401; 3]);
    assert_eq!(statuses(&server, &[("X-Forwarded-For", "10.1.2.3, 192.0.2.1")]), [401; 3]);
    assert_eq!(statuses(&server, &[("Via", "1.1 proxy")]), [401; 3], "it does not name its client");
    drop(server);

    let server = Server::with(|settings| {
        settings.account = Some(Account::new("me", "password").unwrap());
        settings.trusted_proxies = AddressRanges::none();
        settings.monitor_addresses = addresses(&["loopback"]);
    });
    until("it answers", || server.get("/healthz").status == 200);
    assert_eq!(statuses(&server, &[("X-Forwarded-For", "127.0.0.1")]), [401; 3], "the proxy is not trusted");
}
