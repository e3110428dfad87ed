//! Measures the download of one whole table of events, piped into a program that counts its rows.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use memchr::memmem;
use serde::Serialize;

use super::store::Store;
use crate::{
    proc::{self, Sample},
    server::Server,
};

/// The name of the variant in which the database's own program (`sqlite3` or `psql`) reads the table, without
/// Framecast.
pub(crate) const PEER: &str = "its own program";

/// The ways to read the whole table, in the order in which they are measured: the database's own program, and three
/// formats from Framecast.
pub(crate) const VARIANTS: [&str; 4] = [PEER, "csv", "ndjson", "html"];

/// The results of reading a whole table once.
#[derive(Debug, Serialize)]
pub(crate) struct Download {
    pub(crate) database: String,
    pub(crate) pass: u32,
    pub(crate) what: String,
    pub(crate) rows_per_second: f64,
    pub(crate) first_byte_ms: f64,
    /// How much resident memory the download added at most, in MiB: the server's peak during the download, minus the
    /// resident memory of the idle server. Zero if the database's own program read the table.
    pub(crate) added_mib: f64,
    pub(crate) bytes: u64,
}

/// Reads the whole table once and measures it. `what` is one of [`VARIANTS`]: either the database's own program reads
/// the table, or it is downloaded from a Framecast that `start` starts.
pub(crate) fn measure(
    pass: u32,
    what: &str,
    store: &Store,
    rows: u64,
    start: &dyn Fn() -> Result<Server>,
) -> Result<Download> {
    let server = if what == PEER { None } else { Some(start()?) };
    let mut command = match &server {
        None => store.peer(),
        Some(server) => curl(server, what),
    };
    let idle = server.as_ref().map(|server| quiet(server.pid())).transpose()?;
    let needle: &[u8] = if what == "html" { b"<tr id=" } else { b"\n" };
    let begun = Instant::now();
    let read = count(&mut command, needle, begun)?;
    let seconds = begun.elapsed().as_secs_f64();
    let own_rows = if matches!(what, "html" | "ndjson") { read.found } else { read.found - 1 };
    // The start of the server is an event too.
    ensure!(own_rows >= rows && own_rows < rows + 100, "{what}: {own_rows} rows arrived instead of {rows}");
    let added = match (&server, idle) {
        (Some(server), Some(idle)) => Sample::of(server.pid())?.rss_peak_kib.saturating_sub(idle),
        _ => 0,
    };
    Ok(Download {
        database: store.name.clone(),
        pass,
        what: what.to_owned(),
        rows_per_second: own_rows as f64 / seconds,
        first_byte_ms: read.first_byte_ms,
        added_mib: added as f64 / 1024.0,
        bytes: read.bytes,
    })
}

fn curl(server: &Server, what: &str) -> Command {
    let path = match what {
        "html" => "/history".to_owned(),
        format => format!("/api/events.{format}"),
    };
    let mut command = Command::new("curl");
    command
        .args(["-s", "--fail", "-H", "Accept: text/html"])
        .arg(format!("http://{}{path}", server.address()));
    command
}

/// Sends a GET request for `path` and returns the whole response, head and body.
pub(crate) fn ask(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Waits until the server with the process id `pid` is idle, and resets the peak of its resident memory. Returns its
/// present resident memory in KiB.
pub(crate) fn quiet(pid: u32) -> Result<u64> {
    // Waits for the server to become idle. The server has already answered a request, so the figure of the table
    // excludes the memory that any request needs.
    std::thread::sleep(std::time::Duration::from_millis(500));
    proc::reset_peak(pid)?;
    Ok(Sample::of(pid)?.rss_kib)
}

struct DownloadCount {
    found: u64,
    bytes: u64,
    first_byte_ms: f64,
}

fn count(command: &mut Command, needle: &[u8], begun: Instant) -> Result<DownloadCount> {
    let shown = format!("{command:?}");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {shown}"))?;
    let mut out = child.stdout.take().expect("it is piped");
    let finder = memmem::Finder::new(needle);
    let mut counted = DownloadCount { found: 0, bytes: 0, first_byte_ms: 0.0 };
    let mut buffer = vec![0; 256 << 10];
    let mut kept = 0;
    loop {
        let read = out.read(&mut buffer[kept..])?;
        if read == 0 {
            break;
        }
        if counted.bytes == 0 {
            counted.first_byte_ms = begun.elapsed().as_secs_f64() * 1e3;
        }
        counted.bytes += read as u64;
        let filled = kept + read;
        counted.found += finder.find_iter(&buffer[..filled]).count() as u64;
        // The last bytes can be the beginning of another match.
        let begin = filled.saturating_sub(needle.len() - 1);
        buffer.copy_within(begin..filled, 0);
        kept = filled - begin;
    }
    let status = child.wait()?;
    ensure!(status.success(), "{shown} ended with {status}");
    Ok(counted)
}
