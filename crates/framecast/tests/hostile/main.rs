//! Hostile servers of about fifty kinds as cameras of one Framecast, all with viewers. Framecast goes on serving the
//! good camera beside them. After the last viewer has left, no thread, no descriptor and little memory of the hostile
//! cameras remain.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![warn(clippy::disallowed_methods)]

mod bodies;
mod heads;
mod logins;
mod parts;
mod talk;

use std::io::BufRead;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use framecast_testkit::blocking::{self, MultipartStream, get, pause, request_head, send};
use framecast_testkit_server::process::Usage;
use framecast_testkit_server::site::{Site, json};
use serde_json::Value;

use talk::{ExpectedState, Kind};

/// How long the test watches all hostile servers.
const ATTACK: Duration = Duration::from_secs(20);

/// Longer than any wait; only a failing test reaches it.
const PATIENCE: Duration = Duration::from_secs(40);

/// The limit on resident memory when all is over.
const MAX_RESIDENT_KIB: u64 = 64 * 1024;

/// The limit on the size of the whole log.
const MAX_LOG_BYTES: usize = 1 << 20;

/// A viewer that reads all bytes and ignores them.
struct Watcher {
    stream: TcpStream,
}

impl Watcher {
    fn new(address: SocketAddr, camera: &str) -> Self {
        let request = format!("GET /cameras/{camera}/stream.mjpg");
        let mut reader = send(address, &request_head(address, &request, &[], "1.1"));
        let stream = reader.get_ref().try_clone().unwrap();
        thread::spawn(move || {
            // Both the server and this end may close the connection at any time.
            while let Ok(len @ 1..) = reader.fill_buf().map(<[u8]>::len) {
                reader.consume(len);
            }
        });
        Self { stream }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // The server may have closed the connection already.
        self.stream.shutdown(Shutdown::Both).ok();
    }
}

/// Counts the pictures that a viewer of the camera `front` gets, to the end of the stream.
fn count_pictures(address: SocketAddr) -> Arc<AtomicU64> {
    let mut stream = MultipartStream::open(address, "/cameras/front/stream.mjpg", &[]);
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

fn watch(address: SocketAddr, kinds: &[Kind]) -> Vec<Watcher> {
    kinds.iter().map(|kind| Watcher::new(address, kind.name)).collect()
}

fn all_kinds() -> Vec<Kind> {
    let kinds: Vec<Kind> =
        [heads::kinds(), bodies::kinds(), parts::kinds(), logins::kinds()].into_iter().flatten().collect();
    assert!(kinds.len() >= 45, "{} kinds", kinds.len());
    kinds
}

/// The status of all cameras.
fn cameras(address: SocketAddr) -> Vec<Value> {
    json(address, "/api/cameras")["cameras"].as_array().unwrap().clone()
}

/// Waits until `holds`. If that takes too long, `found` describes the state.
fn until(what: &str, mut holds: impl FnMut() -> bool, found: impl FnOnce() -> String) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > end {
            return Some(format!("waited in vain until {what}: {}", found()));
        }
        pause(Duration::from_millis(100));
    }
    None
}

/// The camera at this kind of server.
fn of_kind<'a>(kind: &Kind, cameras: &'a [Value]) -> &'a Value {
    cameras.iter().find(|camera| camera["name"] == kind.name).unwrap()
}

/// The `kinds` whose camera must be lost and is not.
fn not_lost(kinds: &[Kind], cameras: &[Value]) -> Vec<&'static str> {
    let is_waited_for =
        |kind: &&Kind| kind.expected == ExpectedState::Lost && of_kind(kind, cameras)["state"] != "lost";
    kinds.iter().filter(is_waited_for).map(|kind| kind.name).collect()
}

/// Prints the status of the cameras at `kinds`, and returns the errors in it.
fn findings(kinds: &[Kind], cameras: &[Value]) -> Vec<String> {
    let mut findings = Vec::new();
    for kind in kinds {
        let camera = of_kind(kind, cameras);
        let (state, reason) = (&camera["state"], camera["reason"].as_str().unwrap_or_default());
        println!(
            "{:34} {state} {} pictures, {} broken; {reason}",
            kind.name, camera["frames"], camera["broken"]
        );
        let is_told = !reason.trim().is_empty() && reason.len() < 1000 && !reason.contains(char::is_control);
        if state == "lost" && !is_told {
            findings.push(format!("{} is lost because of {reason:?}", kind.name));
        }
    }
    findings
}

/// Watches all hostile servers for a while; returns the errors meanwhile.
fn attack(address: SocketAddr, kinds: &[Kind], pictures: &AtomicU64) -> Vec<String> {
    let watchers = watch(address, kinds);
    let shown = || pictures.load(Ordering::Relaxed);
    let (start, first) = (Instant::now(), shown());
    let mut stopped = None;
    while start.elapsed() < ATTACK && stopped.is_none() {
        assert_eq!(get(address, "/healthz").status, 200);
        pause(Duration::from_millis(500));
        let seen = shown();
        let goes_on = || shown() > seen;
        stopped = until("the camera beside them goes on", goes_on, || format!("{seen} pictures"));
    }
    println!("{} pictures of the camera beside them in {:?}", shown() - first, start.elapsed());
    let waited = || not_lost(kinds, &cameras(address));
    let not_lost = until("those that must be lost are", || waited().is_empty(), || format!("{:?}", waited()));
    let mut findings = findings(kinds, &cameras(address));
    findings.extend(stopped.into_iter().chain(not_lost));
    drop(watchers);
    findings
}

/// Waits until the hostile cameras hold no resources any more; returns the resources that they still hold.
fn let_go(address: SocketAddr, process: u32, before: &Usage) -> Vec<String> {
    let is_busy = |camera: &Value| camera["name"] != "front" && camera["state"] != "idle";
    let busy = || cameras(address).into_iter().filter(is_busy).collect::<Vec<_>>();
    let is_back = || Usage::of(process).is_down_to(before);
    let now = || format!("{before:?}, and now {:?}", Usage::of(process));
    let is_small = || Usage::of(process).resident_kib <= MAX_RESIDENT_KIB;
    let findings: Vec<String> = [
        until("all are idle", || busy().is_empty(), || format!("{:?}", busy())),
        until("there are as few threads and descriptors as before", is_back, now),
        until("memory is back", is_small, now),
    ]
    .into_iter()
    .flatten()
    .collect();
    let after = Usage::of(process);
    println!(
        "{} KiB resident before, {} at the peak, {} when all is over",
        before.resident_kib, after.peak_kib, after.resident_kib
    );
    findings
}

/// Ends the program while all cameras have viewers; returns the errors in its shutdown and in its log.
fn end(site: Site, kinds: &[Kind]) -> Vec<String> {
    let watchers = watch(site.address, kinds);
    let is_watched = |camera: &Value| camera["viewers"] != 0 && camera["state"] != "idle";
    blocking::until("all cameras are watched", || cameras(site.address).iter().all(is_watched));
    let asked_at = Instant::now();
    let (status, lines) = site.program.terminate();
    let took = asked_at.elapsed();
    drop(watchers);
    let log_bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    // On a busy machine this is no error, because the wait above shows that the driver does close its device.
    let late = lines.iter().filter(|line| line.contains("did not close its device in time")).count();
    println!("ended in {took:?} with {status}, {log_bytes} bytes of log, {late} times a driver let go late");
    let mut findings: Vec<String> = lines.iter().filter(|line| line.contains("panicked")).cloned().collect();
    if !status.success() || took > PATIENCE {
        findings.push(format!("{status} after {took:?}"));
    }
    if log_bytes > MAX_LOG_BYTES {
        findings.push(format!("{log_bytes} bytes of log"));
    }
    findings
}

#[test]
fn hostile_servers_of_all_kinds_cost_neither_memory_nor_the_camera_beside_them() {
    let kinds = all_kinds();
    let front = ("front", "emulated:?fps=10".to_owned(), "");
    let hostile = kinds.iter().map(|kind| (kind.name, kind.start(), "idle_timeout = \"1s\""));
    let site = Site::start([front].into_iter().chain(hostile));
    let (address, process) = (site.address, site.program.id());
    let pictures = count_pictures(address);
    let before = Usage::of(process);
    let mut findings = attack(address, &kinds, &pictures);
    findings.extend(let_go(address, process, &before));
    findings.extend(end(site, &kinds));
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}
