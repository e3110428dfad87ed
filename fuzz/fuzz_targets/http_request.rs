//! Any head of a request to the server: the server reads the client's address, the host name, the page's origin and the
//! password from it, and answers. No input may cause an internal error.
//!
//! The first line of the input is a byte for the method, one for the path, and the query. Each later line is a byte for
//! the header's name, and its value.
#![no_main]

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use framecast::{Cameras, Drivers, Settings};
use framecast_outputs::Peer;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

const CONFIG: &str = "\
history = 'temporary'
allowed_hosts = ['cam.example', 'cam.example:81']
cors_origins = ['https://page.example']
trusted_proxies = ['10.0.0.0/8', '2001:db8::/32']
user = 'user'

[[camera]]
name = 'front'
source = 'emulated'
";

const PASSWORD: &str = "a password, 1234";

const METHODS: [Method; 5] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS];

/// Paths that answer at once, one for each way of reading a request.
const PATHS: [&str; 12] = [
    "/",
    "/api/cameras",
    "/api/cameras/front/controls",
    "/api/devices",
    "/api/events",
    "/api/events/live",
    "/api/live",
    "/api/viewers",
    "/cameras/front",
    "/metrics",
    "/static/app.js",
    "/video_feed",
];

const HEADERS: [HeaderName; 18] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::FORWARDED,
    header::HOST,
    header::IF_NONE_MATCH,
    header::ORIGIN,
    header::REFERER,
    header::SEC_WEBSOCKET_VERSION,
    header::UPGRADE,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("x-forwarded-for"),
];

struct Server {
    runtime: Runtime,
    router: Router,
    _cameras: Cameras,
}

impl Server {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let drivers = Drivers::builtin();
        let settings = Settings::from_toml_with_password(CONFIG, &drivers, Some(PASSWORD)).unwrap();
        let cameras = runtime.block_on(Cameras::start(settings, drivers)).unwrap();
        Self { router: cameras.guarded_router(), runtime, _cameras: cameras }
    }
}

thread_local! {
    static SERVER: RefCell<Server> = RefCell::new(Server::start());
}

fn chosen<T>(from: &[T], by: u8) -> &T {
    &from[usize::from(by) % from.len()]
}

/// The request that `data` encodes, if any.
fn request(data: &[u8]) -> Option<Request<Body>> {
    let mut lines = data.split(|&byte| byte == b'\n');
    let [method, path, query @ ..] = lines.next()? else { return None };
    let target = format!("{}?{}", chosen(&PATHS, *path), std::str::from_utf8(query).ok()?);
    let mut request = Request::new(Body::empty());
    *request.method_mut() = chosen(&METHODS, *method).clone();
    *request.uri_mut() = target.parse::<Uri>().ok()?;
    for line in lines {
        let [name, value @ ..] = line else { continue };
        let value = HeaderValue::from_bytes(value).ok()?;
        request.headers_mut().append(chosen(&HEADERS, *name), value);
    }
    // Loopback is a trusted proxy, so the server reads its forwarding headers.
    request.extensions_mut().insert(Peer(Some(IpAddr::V4(Ipv4Addr::LOCALHOST))));
    Some(request)
}

fuzz_target!(|data: &[u8]| {
    let Some(request) = request(data) else { return };
    SERVER.with_borrow_mut(|server| {
        let answer = server.router.clone().oneshot(request);
        let status = server
            .runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(5), answer).await })
            .expect("an answer within five seconds")
            .unwrap()
            .status();
        assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "{status}");
    });
});
