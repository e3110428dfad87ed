//! Six hundred listeners that ask for past events and read nothing. The program's memory for them is limited in bytes,
//! and goes back to the system when they leave.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![warn(clippy::disallowed_methods)]

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use framecast_testkit::blocking::{get, pause, read_head, send};
use framecast_testkit_server::process::Usage;
use framecast_testkit_server::program::{Running, framecast};
use serde_json::Value;

/// How many marks the test sets, each with a thousand characters of four bytes.
const MARKS: usize = 5_200;

/// How many clients set marks at the same time, so that the history writes many in one transaction.
const MARKERS: usize = 16;

const LISTENERS: usize = 600;

/// How much more memory the program may use while they listen, and once they have left.
const MAX_MORE_KIB: u64 = 32 * 1024;
const MAX_LEFT_KIB: u64 = 8 * 1024;

/// How soon the memory must be back after the listeners have left.
const RETURN_TIME: Duration = Duration::from_secs(30);

/// Sets one client's share of the marks over one connection.
fn set_marks(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let body = format!("{{\"label\": \"{}\"}}", "🦀".repeat(1000));
    let len = body.len();
    let request =
        format!("POST /api/events HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len}\r\n\r\n{body}");
    for _ in 0..MARKS / MARKERS {
        stream.write_all(request.as_bytes()).unwrap();
        let head = read_head(&mut reader);
        assert!(matches!(head.status, 201 | 202), "{head:?}");
        let len: usize = head.header("content-length").unwrap().parse().unwrap();
        reader.read_exact(&mut vec![0; len]).unwrap();
    }
}

/// Waits until the program's usage satisfies `holds`; returns that usage.
fn until(program: &Running, what: &str, holds: impl Fn(&Usage) -> bool) -> Usage {
    let end = Instant::now() + RETURN_TIME;
    loop {
        let usage = Usage::of(program.id());
        if holds(&usage) {
            return usage;
        }
        assert!(Instant::now() < end, "waited in vain until {what}: {usage:?}");
        pause(Duration::from_millis(100));
    }
}

/// The program's usage once it has not grown for two seconds.
fn settled(program: &Running) -> Usage {
    let mut most = Usage::of(program.id());
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_secs(2) {
        pause(Duration::from_millis(100));
        let usage = Usage::of(program.id());
        if usage.resident_kib > most.resident_kib {
            (most, since) = (usage, Instant::now());
        }
    }
    most
}

/// Resets the kernel's record of peak memory.
fn forget_peak(program: &Running) {
    fs::write(format!("/proc/{}/clear_refs", program.id()), "5").unwrap();
}

fn listen(address: SocketAddr, headers: &str) -> BufReader<TcpStream> {
    let request = format!("GET /api/events/live?after=0 HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    send(address, &request)
}

#[test]
fn listeners_that_read_nothing_hold_little_and_leave_nothing() {
    const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("framecast.toml");
    let text = "listen = '127.0.0.1:0'\nmax_connections = 4096\nwrite_timeout = '120s'\nstate_dir = 'STATE'\n\
                [[camera]]\nname = 'front'\nsource = 'emulated:?size=64x64'\n";
    fs::write(&config, text.replace("STATE", &folder.path().join("state").display().to_string())).unwrap();
    let mut program = Running::start(&mut framecast(&["--config", config.to_str().unwrap()]));
    let address = program.address();
    thread::scope(|scope| (0..MARKERS).for_each(|_| drop(scope.spawn(|| set_marks(address)))));
    let page: Value = serde_json::from_slice(&get(address, "/api/events?limit=1000").body).unwrap();
    assert!(!page["events"].as_array().unwrap().is_empty());
    let idle = settled(&program);
    for (name, headers, status) in [("SSE", "", 200), ("WebSocket", UPGRADE, 101)] {
        forget_peak(&program);
        let mut listeners: Vec<_> = (0..LISTENERS).map(|_| listen(address, headers)).collect();
        for listener in &mut listeners {
            assert_eq!(read_head(listener).status, status);
        }
        let busy = settled(&program);
        let more_kib = busy.peak_kib.saturating_sub(idle.resident_kib);
        drop(listeners);
        let open = |usage: &Usage| usage.descriptors.values().sum::<usize>();
        let is_back = |usage: &Usage| {
            open(usage) <= open(&idle) && usage.resident_kib <= idle.resident_kib + MAX_LEFT_KIB
        };
        let left = until(&program, "memory is back", is_back);
        println!(
            "{name}: {} KiB idle, {more_kib} more at the most with {LISTENERS} listeners, {} once they left",
            idle.resident_kib, left.resident_kib
        );
        assert!(more_kib <= MAX_MORE_KIB, "{name}: {more_kib} KiB more");
    }
    let (status, lines) = program.terminate();
    assert!(status.success(), "{lines:#?}");
}
