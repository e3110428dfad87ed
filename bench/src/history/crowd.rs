//! Measures many simultaneous downloads of the table of events, some of them slow. Meanwhile, viewers watch a camera,
//! and one client stores events with a label ("marks").

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use serde::Serialize;

use super::{download::quiet, store::Store};
use crate::{
    load,
    proc::{self, Sample},
    server::Server,
};

/// The number of viewers that watch a camera during the downloads.
const VIEWERS: usize = 50;

/// The rate of a slow download in bytes per second.
const SLOW_BYTES_PER_S: usize = 100_000;

/// The pause between a stored mark (an event with a label) and the next.
const MARK_EVERY: Duration = Duration::from_millis(100);

/// The results for one database under many simultaneous downloads.
#[derive(Debug, Serialize)]
pub(crate) struct DownloadLoad {
    database: String,
    downloads: usize,
    seconds: u64,
    /// How much resident memory the downloads added at most, in MiB: the server's peak during the downloads, minus the
    /// server's resident memory when it had only served viewers.
    added_mib: f64,
    viewer_fps_median: f64,
    viewer_fps_min: f64,
    viewer_age_p99_ms: f64,
    /// Megabytes (10^6 bytes) that all downloads together received, slow downloads included.
    megabytes: f64,
    marks: u64,
    mark_p95_ms: f64,
}

/// Runs `downloads` simultaneous downloads for `seconds` seconds, from a Framecast that `start` starts, and measures
/// them.
pub(crate) fn measure(
    store: &Store,
    downloads: usize,
    seconds: u64,
    start: &dyn Fn() -> Result<Server>,
) -> Result<DownloadLoad> {
    let server = start()?;
    let address = server.address();
    // The measured memory must not include the memory that viewers need.
    let warm = load::Options::full(server.url(), VIEWERS, 2, server.pid());
    load::run(&warm)?;
    let idle = quiet(server.pid())?;
    let is_over = Arc::new(AtomicBool::new(false));
    let taken = Arc::new(AtomicU64::new(0));
    let crowd: Vec<_> = (0..downloads)
        .map(|n| {
            let (is_over, taken) = (Arc::clone(&is_over), Arc::clone(&taken));
            let path = ["/api/events.csv", "/api/events.ndjson", "/history"][n % 3];
            let is_slow = n % 5 == 0;
            thread::spawn(move || download(address, path, is_slow, &is_over, &taken))
        })
        .collect();
    let marking = thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || mark(address, &is_over)
    });
    proc::pin_to_any_cpu()?;
    let report = load::run(&load::Options::full(server.url(), VIEWERS, seconds, server.pid()))?;
    is_over.store(true, Ordering::Relaxed);
    for thread in crowd {
        thread.join().map_err(|_| anyhow!("a download panicked"))??;
    }
    let mut times = marking.join().map_err(|_| anyhow!("the task that sends marks panicked"))??;
    times.sort_by(f64::total_cmp);
    let peak = Sample::of(server.pid())?.rss_peak_kib;
    Ok(DownloadLoad {
        database: store.name.clone(),
        downloads,
        seconds,
        added_mib: peak.saturating_sub(idle) as f64 / 1024.0,
        viewer_fps_median: report.full.fps_median,
        viewer_fps_min: report.full.fps_min,
        viewer_age_p99_ms: report.full.age_p99_ms,
        megabytes: taken.load(Ordering::Relaxed) as f64 / 1e6,
        marks: times.len() as u64,
        mark_p95_ms: crate::stats::percentile(&times, 95.0),
    })
}

fn download(
    address: SocketAddr,
    path: &str,
    is_slow: bool,
    is_over: &AtomicBool,
    taken: &AtomicU64,
) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    while !is_over.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nAccept: text/html\r\n\r\n")?;
        let turn = if is_slow { SLOW_BYTES_PER_S / 10 } else { buffer.len() };
        while !is_over.load(Ordering::Relaxed) {
            let read = stream.read(&mut buffer[..turn])?;
            taken.fetch_add(read as u64, Ordering::Relaxed);
            if read == 0 {
                break;
            }
            if is_slow {
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
    Ok(())
}

/// Stores marks (events with a label) one after the other until `is_over` is true. Returns, for each mark, the
/// milliseconds from the request until the server confirmed that the mark is on the disk.
fn mark(address: SocketAddr, is_over: &AtomicBool) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let status = post(address, "bench")?;
        ensure!(status == "201", "the answer to a mark is {status} instead of 201");
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        thread::sleep(MARK_EVERY);
    }
    Ok(times)
}

/// Stores one event with this label (a mark) on the server. Returns the status code of the response.
pub(crate) fn post(address: SocketAddr, label: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let body = format!("{{\"label\":\"{label}\"}}");
    write!(stream, "POST /api/events HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1).unwrap_or_default().to_owned())
}

/// Appends a table to the report `out`, with a row for each of `crowds`.
pub(crate) fn write(out: &mut String, crowds: &[DownloadLoad]) {
    if crowds.is_empty() {
        return;
    }
    out.push_str(&format!(
        "\nMany downloads at once, CSV, NDJSON and HTML in turns, a fifth of them at {SLOW_BYTES_PER_S} bytes a second, \
         beside {VIEWERS} viewers at 30 frames a second and ten marks a second. Memory is the peak above the server's with its \
         viewers.\n\n\
         | database | downloads | seconds | added memory MiB | viewers: fps median | fps min | age p99 ms | MB in all | marks \
         | mark on disk p95 ms |\n|---|---|---|---|---|---|---|---|---|---|\n"
    ));
    for crowd in crowds {
        writeln!(
            out,
            "| {} | {} | {} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {} | {:.0} |",
            crowd.database,
            crowd.downloads,
            crowd.seconds,
            crowd.added_mib,
            crowd.viewer_fps_median,
            crowd.viewer_fps_min,
            crowd.viewer_age_p99_ms,
            crowd.megabytes,
            crowd.marks,
            crowd.mark_p95_ms,
        )
        .expect("a string takes all text");
    }
}
