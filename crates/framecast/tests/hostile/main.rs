//! Forty-five hostile servers as cameras of one Framecast, each of them watched: its memory stays bounded, it goes on
//! serving the camera beside them, and nothing of them is left when nobody watches any more.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod bodies;
mod heads;
mod logins;
mod parts;
mod process;
#[path = "../cli/program.rs"]
mod program;
#[path = "../cameras/server.rs"]
mod server;
#[path = "../cameras/site.rs"]
mod site;
mod talk;

use std::io::BufRead;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use framecast_testkit::client::{Stream, get, head_of, send};
use rustix::process::Signal;
use serde_json::Value;

use process::Usage;
use site::{Site, json};
use talk::{Fate, Kind};

/// How long all of them are watched.
const ATTACK: Duration = Duration::from_secs(20);

/// How long is waited for what must come; only a failing test reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What may be resident when all is over.
const MAX_RESIDENT_KIB: u64 = 64 * 1024;

/// What may be logged in all.
const MAX_LOG_BYTES: usize = 1 << 20;

/// How long a program may take to end, with a busy machine allowed for: it takes two seconds at most.
const MAX_END: Duration = Duration::from_secs(10);

/// The rate of the camera beside them.
const FPS: u64 = 10;

/// A viewer that takes all it is sent, and does not look at it.
struct Watcher {
    stream: TcpStream,
}

impl Watcher {
    fn new(address: SocketAddr, camera: &str) -> Self {
        let request = format!("GET /cameras/{camera}/stream.mjpg");
        let mut reader = send(address, &head_of(address, &request, &[], "1.1"));
        let stream = reader.get_ref().try_clone().unwrap();
        thread::spawn(move || {
            // The server or this end may close it at any time.
            while let Ok(len @ 1..) = reader.fill_buf().map(<[u8]>::len) {
                reader.consume(len);
            }
        });
        Self { stream }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // The server may have closed it already.
        self.stream.shutdown(Shutdown::Both).ok();
    }
}

/// Counts the pictures that a viewer of the camera `front` gets, until the program ends.
fn count_pictures(address: SocketAddr) -> Arc<AtomicU64> {
    let mut stream = Stream::open(address, "/cameras/front/stream.mjpg", &[]);
    for _ in 0..5 {
        assert!(stream.next().is_some());
    }
    let count = Arc::new(AtomicU64::new(0));
    let into = Arc::clone(&count);
    thread::spawn(move || {
        for part in stream {
            assert_eq!(part.header("x-framecast-notice"), None, "the camera beside them is not live");
            into.fetch_add(1, Ordering::Relaxed);
        }
    });
    count
}

fn all_kinds() -> Vec<Kind> {
    let kinds: Vec<Kind> =
        [heads::kinds(), bodies::kinds(), parts::kinds(), logins::kinds()].into_iter().flatten().collect();
    assert!(kinds.len() >= 45, "{} kinds", kinds.len());
    kinds
}

/// What is told of all cameras.
fn cameras(address: SocketAddr) -> Vec<Value> {
    json(address, "/api/cameras")["cameras"].as_array().unwrap().clone()
}

/// Waits until `look` finds what it looks for; what it finds instead is told when that takes too long.
fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(found) => assert!(Instant::now() < end, "waited in vain: {what}\n{found}"),
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// What is wrong with what is told of the cameras at `kinds`.
fn findings(kinds: &[Kind], cameras: &[Value]) -> Vec<String> {
    let mut findings = Vec::new();
    for kind in kinds {
        let camera = cameras.iter().find(|camera| camera["name"] == kind.name).unwrap();
        let (state, reason) = (&camera["state"], camera["reason"].as_str().unwrap_or_default());
        println!(
            "{:34} {state} {} pictures, {} broken; {reason}",
            kind.name, camera["frames"], camera["broken"]
        );
        if kind.fate == Fate::Lost && state != "lost" {
            findings.push(format!("{} is {state}", kind.name));
        }
        let is_told = !reason.trim().is_empty() && reason.len() < 1000 && !reason.contains(char::is_control);
        if state == "lost" && !is_told {
            findings.push(format!("{} is lost because of {reason:?}", kind.name));
        }
    }
    findings
}

#[test]
fn forty_five_hostile_servers_cost_neither_memory_nor_the_camera_beside_them() {
    let kinds = all_kinds();
    let front = ("front", format!("emulated:?fps={FPS}"), "");
    let hostile = kinds.iter().map(|kind| (kind.name, kind.start(), "idle_timeout = \"1s\""));
    let mut site = Site::start([front].into_iter().chain(hostile));
    let (address, process) = (site.address, site.program.id());
    let pictures = count_pictures(address);
    let before = Usage::of(process);
    let watch = || -> Vec<Watcher> { kinds.iter().map(|kind| Watcher::new(address, kind.name)).collect() };

    let watchers = watch();
    let (start, first) = (Instant::now(), pictures.load(Ordering::Relaxed));
    while start.elapsed() < ATTACK {
        assert_eq!(get(address, "/healthz").status, 200);
        thread::sleep(Duration::from_millis(500));
    }
    let (elapsed, shown) = (start.elapsed(), pictures.load(Ordering::Relaxed) - first);
    let during = Usage::of(process);
    let mut findings = findings(&kinds, &cameras(address));
    if (shown as f64) < 0.5 * FPS as f64 * elapsed.as_secs_f64() {
        findings.push(format!("{shown} pictures of the camera beside them in {elapsed:?}"));
    }

    drop(watchers);
    let is_idle = |camera: &Value| camera["name"] == "front" || camera["state"] == "idle";
    until("all are idle", || {
        let busy = cameras(address).into_iter().find(|camera| !is_idle(camera));
        busy.map_or(Ok(()), |camera| Err(camera.to_string()))
    });
    let after = until("threads and descriptors are what they were", || {
        let now = Usage::of(process);
        if now.is_down_to(&before) { Ok(now) } else { Err(format!("{before:?}\n{now:?}")) }
    });
    println!(
        "before {before:?}\nduring {during:?}\nafter  {after:?}\n{shown} pictures beside them in {elapsed:?}"
    );
    if after.resident_kib > MAX_RESIDENT_KIB {
        findings.push(format!("{} KiB are resident when all is over", after.resident_kib));
    }

    // It ends at once, although all of them are watched again.
    let watchers = watch();
    thread::sleep(Duration::from_secs(2));
    site.program.read_lines();
    let asked_at = Instant::now();
    site.program.signal(Signal::TERM);
    let (status, lines) = site.program.wait();
    let took = asked_at.elapsed();
    drop(watchers);
    let log_bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    println!("ended in {took:?} with {status}, {log_bytes} bytes of log");
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
    assert!(status.success() && took < MAX_END, "{status} after {took:?}");
    assert!(log_bytes < MAX_LOG_BYTES, "{log_bytes} bytes of log");
    let bad = lines.iter().find(|line| line.contains("panicked") || line.contains("does not let go"));
    assert_eq!(bad, None);
}
