//! Measures what it costs to encode one picture as JPEG: our encoder compared with libjpeg-turbo's own programs, with a
//! conversion by way of RGB pixels, and with a codec in pure Rust.
//!
//! All methods encode the same picture on one CPU, one after the other in each pass. Our own figures are CPU time of
//! the thread, but the external programs report only wall-clock time. So runs whose results are committed to the
//! repository are made under `chrt --fifo`, and the report says how long our own methods had to wait for the CPU.

mod case;
mod tool;

use std::{fmt::Write as _, fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use framecast_transcode::Backend;

use self::case::Case;
use crate::{
    pictures,
    proc::{Host, ThreadTime, pin_to_cpu},
    stats::Spread,
};

/// The JPEG quality with which all methods encode; it is also Framecast's default for cameras.
const QUALITY: u8 = 80;

/// The number of times that each method encodes the picture in one pass. The result of the pass is the median, because
/// the first time is slow (cold caches).
const PER_PASS: usize = 7;

/// The options of the command `encode`: what to measure, and how often.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Number of passes; results are medians over the passes.
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..=999))]
    runs: u32,
    /// Size in bytes that the 1280x720 picture should have at quality 75; noise is added to reach this size.
    #[arg(long, default_value_t = 76_000)]
    target_bytes: usize,
    /// Measure only the methods within this process whose names contain TEXT, and no external programs.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Number of the CPU to run on.
    #[arg(long, default_value_t = 1)]
    cpu: usize,
    /// A line of text for the report, such as the revision that was built.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Write the table to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// One row of the table: the name of the method, the milliseconds for one picture in each pass, and the size of the
/// encoded image in bytes.
#[derive(Debug)]
struct Row {
    name: String,
    ms: Vec<f64>,
    bytes: usize,
}

/// Measures, prints the table and, if `--out` names a file, writes the table to that file.
///
/// # Errors
///
/// The process cannot be pinned to the CPU, the picture cannot be made or encoded, or the file cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    pin_to_cpu(options.cpu)?;
    let host = Host::here();
    let started = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let picture = |width: u32, height: u32| {
        let target_bytes = options.target_bytes * (width * height) as usize / (1280 * 720);
        let out = PathBuf::new();
        pictures::middle(&pictures::Options { out, count: 30, width, height, target_bytes })
    };
    let (hd, full_hd) = (picture(1280, 720)?, picture(1920, 1080)?);
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let ppm = tool::write_ppm(work.path(), &hd)?;
    let mut cases = case::all(Backend::best(), &hd, &full_hd, QUALITY)?;
    cases.retain(|case| options.only.as_deref().is_none_or(|only| case.name().contains(only)));
    let mut rows = Vec::new();
    let (mut ran, mut waited) = (0.0, 0.0);
    for pass in 0..options.runs {
        let before = ThreadTime::own();
        for case in &mut cases {
            let (ms, bytes) = measure(case)?;
            add(&mut rows, case.name(), ms, bytes);
        }
        let (this_ran, this_waited) = ThreadTime::own().seconds_since(before);
        (ran, waited) = (ran + this_ran, waited + this_waited);
        for (name, figure) in options.only.is_none().then(|| tool::all(&ppm, QUALITY)).into_iter().flatten() {
            let (ms, bytes) = figure?;
            add(&mut rows, name, ms, bytes);
        }
        eprintln!("pass {} of {}", pass + 1, options.runs);
    }
    let mut table = head(options, &host, &started, 100.0 * waited / (ran + waited));
    write_rows(&mut table, &rows)?;
    println!("{table}");
    if let Some(path) = &options.out {
        fs::write(path, table).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Runs the method several times on its picture. Returns the median milliseconds of one run, and the number of bytes of
/// the result.
fn measure(case: &mut Case) -> Result<(f64, usize)> {
    let mut bytes = 0;
    let mut times = Vec::new();
    for _ in 0..PER_PASS {
        let started = thread_cpu();
        bytes = case.run()?;
        times.push((thread_cpu() - started).as_secs_f64() * 1e3);
    }
    Ok((Spread::of(times).median, bytes))
}

fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // The clock of a thread starts at zero.
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

fn add(rows: &mut Vec<Row>, name: &str, ms: f64, bytes: usize) {
    match rows.iter_mut().find(|row| row.name == name) {
        Some(row) => row.ms.push(ms),
        None => rows.push(Row { name: name.to_owned(), ms: vec![ms], bytes }),
    }
}

fn head(options: &Options, host: &Host, started: &str, waited: f64) -> String {
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let note = options.note.as_deref().map_or_else(String::new, |note| format!("\n{note}\n"));
    format!(
        "# Encoding, {started}\n\n\
         - `framecast-bench {command}`\n\
         - Machine: {}\n\
         - {}.\n\
         - Quality {QUALITY}, one picture of 1280x720 (1920x1080 where it says so), CPU {}; this process \
         waited {waited:.1} % of its time for it.\n\
         - {} passes in turns; milliseconds a picture: thread CPU time, or the wall clock where the row says so.\n\
         {note}\n",
        host.describe(),
        Backend::best(),
        options.cpu,
        options.runs,
    )
}

/// Appends a row to `table` for each method. The row also has the ratio of the method's time to the time of `tjbench`
/// in the same pass.
fn write_rows(table: &mut String, rows: &[Row]) -> Result<()> {
    let reference = rows.iter().find(|row| row.name == tool::COMP_FROM_YUV);
    let own = rows.iter().find(|row| row.name == case::LIBRARY_ALONE);
    writeln!(
        table,
        "| | ms median (min–max) | image KB | beside tjbench | beside the library alone | at 30 a second |"
    )?;
    writeln!(table, "|---|---|---|---|---|---|")?;
    for row in rows {
        let ms = Spread::of(row.ms.iter().copied());
        let beside = |other: Option<&Row>| {
            other.map_or_else(String::new, |other| {
                let ratios = Spread::of(row.ms.iter().zip(&other.ms).map(|(ms, other)| ms / other));
                format!("{:.2} ({:.2}–{:.2})", ratios.median, ratios.min, ratios.max)
            })
        };
        writeln!(
            table,
            "| {} | {:.2} ({:.2}–{:.2}) | {:.1} | {} | {} | {:.0} % of a core |",
            row.name,
            ms.median,
            ms.min,
            ms.max,
            row.bytes as f64 / 1e3,
            beside(reference),
            beside(own),
            ms.median * 3.0,
        )?;
    }
    Ok(())
}
