//! Measures how soon a stored event reaches all clients that listen for events (Server-Sent Events).

use std::{
    fmt::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};

use super::{crowd::post, store::Store};
use crate::{proc, server::Server, stats::percentile};

/// The number of events that are stored during the measurement, one after the other.
const EVENTS: usize = 20;

/// The maximum time to wait until an event has reached all listeners.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How soon events reached all listeners, for one database.
#[derive(Debug, Serialize)]
pub(crate) struct Listeners {
    database: String,
    listeners: usize,
    events: usize,
    /// The median time in milliseconds from the start of the request that stores an event until a listener had read the
    /// event, over all listeners and events.
    p50_ms: f64,
    p95_ms: f64,
    max_ms: f64,
}

/// Measures how soon events reach `count` listeners of a Framecast that `start` starts.
pub(crate) fn measure(store: &Store, count: usize, start: &dyn Fn() -> Result<Server>) -> Result<Listeners> {
    proc::raise_descriptor_limit();
    let server = start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut times = runtime.block_on(measure_delays(server.address(), count))?;
    times.sort_by(f64::total_cmp);
    Ok(Listeners {
        database: store.name.clone(),
        listeners: count,
        events: EVENTS,
        p50_ms: percentile(&times, 50.0),
        p95_ms: percentile(&times, 95.0),
        max_ms: times.last().copied().unwrap_or_default(),
    })
}

async fn measure_delays(address: SocketAddr, count: usize) -> Result<Vec<f64>> {
    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for _ in 0..count {
        let lines = listen(address).await?;
        tasks.push(tokio::spawn(record_arrivals(lines, arrivals.clone())));
    }
    let mut times = Vec::with_capacity(count * EVENTS);
    for n in 0..EVENTS {
        let begun = Instant::now();
        let label = format!("bench {n}");
        let posting = tokio::task::spawn_blocking(move || post(address, &label));
        for _ in 0..count {
            let at: Instant = timeout(TIMEOUT, arrived.recv())
                .await
                .context("an event did not reach all listeners")?
                .context("a listener ended too early")?;
            times.push(at.duration_since(begun).as_secs_f64() * 1e3);
        }
        let status = posting.await??;
        ensure!(status == "201", "the answer to a mark is {status} instead of 201");
    }
    for task in tasks {
        task.abort();
    }
    Ok(times)
}

/// Subscribes to new events with a label (marks), waits until the response has begun, and returns a reader of its
/// lines. The listener receives every mark that is stored after that.
async fn listen(address: SocketAddr) -> Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /api/events/live?kind=mark HTTP/1.0\r\n\r\n").await?;
    let mut lines = BufReader::with_capacity(1024, stream);
    let mut line = String::new();
    while !line.starts_with("retry:") {
        line.clear();
        let read = timeout(TIMEOUT, lines.read_line(&mut line))
            .await
            .context("the server does not answer a listener")??;
        ensure!(read > 0, "the server refused a listener");
    }
    Ok(lines)
}

async fn record_arrivals(mut lines: BufReader<TcpStream>, arrivals: mpsc::UnboundedSender<Instant>) {
    let mut line = String::new();
    while lines.read_line(&mut line).await.is_ok_and(|read| read > 0) {
        if line.starts_with("data:") && arrivals.send(Instant::now()).is_err() {
            return;
        }
        line.clear();
    }
}

/// Appends a table to the report `out`, with a row for each of `all`.
pub(crate) fn write(out: &mut String, all: &[Listeners]) {
    if all.is_empty() {
        return;
    }
    out.push_str(
        "\nMarks told to listeners (Server-Sent Events), from before a mark is sent until a listener has read it, over all \
         listeners and marks.\n\n| database | listeners | marks | p50 ms | p95 ms | max ms |\n|---|---|---|---|---|---|\n",
    );
    for one in all {
        writeln!(
            out,
            "| {} | {} | {} | {:.1} | {:.1} | {:.1} |",
            one.database, one.listeners, one.events, one.p50_ms, one.p95_ms, one.max_ms
        )
        .expect("a string takes all text");
    }
}
