//! A new version of the program takes over under load: connections that stay open, new ones all the time, and viewers who
//! come back. No connection is refused, each gets its answer, and the pictures come back.
//!
//! A few hundred connections by default; `FRAMECAST_OPEN_CONNECTIONS=10000 cargo test --test hand_over -- --nocapture` for
//! the full test, which needs as many descriptors (`ulimit -n`).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use framecast::CancellationToken;
use framecast_media::lock;
use framecast_testkit::{TestViewer, pause, soon};
use framecast_testkit_server::program::{Running, framecast};
use futures_util::{SinkExt, StreamExt};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

const CAMERAS: usize = 4;

/// Viewers of streams, and pages.
const VIEWERS: usize = 20;
const PAGES: usize = 5;

/// How soon the pictures of a page must be back after the start of the new version, in the full test.
const BACK_WITHIN: Duration = Duration::from_secs(1);

/// The pause after which a page opens its connection again: see `web/live.js`.
const PAGE_PAUSE: Duration = Duration::from_millis(300);

/// How much load the test makes.
struct Load {
    /// The connections that stay open.
    open: usize,
    /// The new connections of each second.
    new_per_second: u32,
    is_full: bool,
}

impl Load {
    fn of_environment() -> Self {
        let asked = std::env::var("FRAMECAST_OPEN_CONNECTIONS").ok().map(|text| text.parse().unwrap());
        let new_per_second = if asked.is_some() { 500 } else { 100 };
        Self { open: asked.unwrap_or(300), new_per_second, is_full: asked.is_some() }
    }
}

/// Raises the limit on descriptors, which each connection needs here too.
fn raise_descriptors(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.map_or(needed, |most| most.min(needed));
    if limit.current.is_some_and(|current| current < raised) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }).unwrap();
    }
    assert!(raised >= needed, "this needs {needed} descriptors: see ulimit -n");
}

/// Starts the program with cameras `cam0`, `cam1` … and places for `connections`.
fn start(folder: &Path, connections: usize) -> Running {
    let file = folder.join("site.toml");
    let mut text =
        format!("listen = \"127.0.0.1:0\"\nmax_connections = {connections}\nheader_timeout = \"10min\"\n");
    for n in 0..CAMERAS {
        text += &format!("[[camera]]\nname = \"cam{n}\"\nsource = \"test:?size=160x120&fps=10\"\n");
    }
    fs::write(&file, text).unwrap();
    Running::start(framecast(&["--config", file.to_str().unwrap()]).env("XDG_STATE_HOME", folder))
}

/// Connects from one of many addresses, so that the ports suffice, and no address has too many connections.
async fn connect(address: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let from = Ipv4Addr::new(127, 0, 1, u8::try_from(number % 100 + 1).unwrap());
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(address).await
}

/// Sends a request, and reads its answer. The server may close the connection afterwards, or leave it open.
async fn ask(stream: &mut TcpStream, address: SocketAddr) -> io::Result<()> {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                String::from_utf8_lossy(&answer).into_owned(),
            ));
        }
    }
    Ok(())
}

/// The connections that stay open, each after one answer. Returns them.
async fn open_connections(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut connections = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = soon("a connection", connect(address, number)).await.unwrap();
        soon("its answer", ask(&mut stream, address)).await.unwrap();
        connections.push(stream);
    }
    connections
}

/// Makes new connections until `is_over`, and sends a request on each. Returns how long each took, or how it failed.
async fn knock(
    address: SocketAddr,
    per_second: u32,
    is_over: CancellationToken,
) -> Vec<io::Result<Duration>> {
    let (mut clients, mut ticks) = (JoinSet::new(), interval(Duration::from_secs(1) / per_second));
    let mut number = 0;
    while is_over.run_until_cancelled(ticks.tick()).await.is_some() {
        number += 1;
        clients.spawn(async move {
            let since = Instant::now();
            let asking = async { ask(&mut connect(address, number).await?, address).await };
            soon("an answer", asking).await.map(|()| since.elapsed())
        });
    }
    soon("all have their answers", clients.join_all()).await
}

/// When a viewer or a page that had lost its pictures had them back.
#[derive(Clone, Default)]
struct Returns(Arc<Mutex<Vec<Instant>>>);

impl Returns {
    fn note(&self) {
        lock(&self.0).push(Instant::now());
    }

    /// The longest time since `start`.
    fn longest_since(&self, start: Instant) -> Duration {
        lock(&self.0).iter().map(|at| at.saturating_duration_since(start)).max().unwrap_or_default()
    }
}

/// Watches a stream, and opens it again when it ends.
async fn watch_stream(address: SocketAddr, number: usize, seen: Returns) {
    loop {
        let from = Ipv4Addr::new(127, 0, 2, 1).into();
        let target = format!("/cameras/cam{}/stream.mjpg", number % CAMERAS);
        let mut viewer = TestViewer::open_from(from, address, &target).await.unwrap();
        if viewer.next_where(|picture| !picture.is_slate()).await.is_some() {
            seen.note();
        }
        while viewer.next().await.is_some() {}
    }
}

/// Watches all cameras as the page does, and opens the connection again when it ends.
async fn watch_page(address: SocketAddr, seen: Returns) {
    loop {
        let stream = soon("a connection", connect(address, 0)).await.unwrap();
        let opening = client_async(format!("ws://{address}/api/live"), stream);
        // A server that is about to end does not open it.
        if let Ok((mut page, _)) = soon("the WebSocket", opening).await {
            for tile in 0..CAMERAS {
                let ask =
                    format!("{{\"type\":\"subscribe\",\"tile\":{tile},\"camera\":\"cam{tile}\",\"fps\":10}}");
                page.send(Message::text(ask)).await.ok();
            }
            let mut has_picture = [false; CAMERAS];
            while let Some(Ok(message)) = soon("a message", page.next()).await {
                let Message::Binary(bytes) = message else { continue };
                let (is_slate, tile) = (bytes[1] & 1 == 1, usize::from(bytes[3]));
                let is_first = !is_slate && !has_picture[tile];
                has_picture[tile] |= is_first;
                if is_first && has_picture == [true; CAMERAS] {
                    seen.note();
                }
                let sequence = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
                let ack =
                    format!("{{\"type\":\"ack\",\"tile\":{tile},\"sequence\":{sequence},\"paint_ms\":1}}");
                page.send(Message::text(ack)).await.ok();
            }
        }
        pause(PAGE_PAUSE.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_takes_over_under_load_and_no_connection_is_refused() {
    let load = Load::of_environment();
    raise_descriptors(load.open as u64 + 4096);
    let folder = tempfile::tempdir().unwrap();
    let mut program = start(folder.path(), load.open + 8192);
    let address = program.address();
    let mut open = open_connections(address, load.open).await;
    let (viewers, pages, mut watching) = (Returns::default(), Returns::default(), JoinSet::new());
    for number in 0..VIEWERS {
        watching.spawn(watch_stream(address, number, viewers.clone()));
    }
    for _ in 0..PAGES {
        watching.spawn(watch_page(address, pages.clone()));
    }
    let count = |returns: &Returns| lock(&returns.0).len();
    let all_have = |rounds| count(&viewers) >= rounds * VIEWERS && count(&pages) >= rounds * PAGES;
    framecast_testkit::until("all have pictures", || all_have(1)).await;
    let is_over = CancellationToken::new();
    let knocking = tokio::spawn(knock(address, load.new_per_second, is_over.clone()));
    pause(Duration::from_secs(1)).await;

    program.signal(Signal::USR2);
    program.line_with("takes over");
    let told_at = Instant::now();
    program.line_with("the server stopped");
    let started_at = Instant::now();
    program.line_with("listening on");
    let listens_at = Instant::now();
    framecast_testkit::until("all have pictures again", || all_have(2)).await;
    pause(Duration::from_secs(1)).await;
    is_over.cancel();
    let answers = soon("the clients end", knocking).await.unwrap();
    let failed: Vec<&io::Error> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    let longest = answers.iter().filter_map(|answer| answer.as_ref().ok()).max().unwrap();
    let back = pages.longest_since(started_at);
    println!(
        "{} open connections and {} new ones a second: the old version needed {:.0?} to end, the new one {:.0?} to listen; \
         {} new connections, {} failed, the longest waited {longest:.0?} for its answer; after the start, all {PAGES} pages \
         had all pictures back within {back:.0?}, and all {VIEWERS} streams within {:.0?}",
        load.open,
        load.new_per_second,
        started_at - told_at,
        listens_at - started_at,
        answers.len(),
        failed.len(),
        viewers.longest_since(started_at),
    );
    assert!(failed.is_empty(), "{failed:?}");
    for stream in &mut open {
        // Its client sees that it ended, and not that something broke.
        assert_eq!(soon("the end", stream.read(&mut [0; 64])).await.unwrap(), 0);
    }
    assert!(!load.is_full || back < BACK_WITHIN, "{back:?}");
    watching.shutdown().await;
    assert_eq!(program.terminate().0.code(), Some(0));
}
