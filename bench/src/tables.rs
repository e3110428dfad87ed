//! Measures what it costs to render tables of events: how many rows per second one CPU renders in each format and
//! content coding, and how much memory a table holds while it is rendered in part and its client does not read. No
//! database and no sockets are involved.

use std::{fmt::Write as _, path::PathBuf, time::Instant};

use anyhow::Result;
use framecast_history::table::{CellWriter, Compression, PlainPage, Record, TableFormat, Writer};
use serde::Serialize;

use crate::{
    proc::{Sample, pin_to_cpu},
    server::LOAD_CPU,
    setup,
    stats::Spread,
};

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

/// The number of tables, each rendered in part, whose memory is measured together.
const HALF_RENDERED_TABLES: usize = 50;

/// The number of rows that are rendered in each table before its memory is measured.
const HELD_ROWS: i64 = 50_000;

/// The options of the command `tables`: how many rows, and how often to measure.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Number of rows in each table.
    #[arg(long, default_value_t = 3_000_000, value_parser = clap::value_parser!(i64).range(1..))]
    rows: i64,
    /// Number of passes; each pass measures every format with every content coding once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// A line of text for the report.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Write DATE-HOSTCLASS-tables.md and .json to this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    when: setup::RunTime,
    rows: i64,
    runs: Vec<Run>,
    held: Vec<Held>,
}

#[derive(Debug, Serialize)]
struct Run {
    pass: u32,
    format: &'static str,
    coding: &'static str,
    million_rows_per_second: f64,
    bytes: usize,
}

#[derive(Debug, Serialize)]
struct Held {
    coding: &'static str,
    kib: f64,
}

/// One row of the table that is rendered: six short cells.
struct EventRow<'a> {
    id: i64,
    camera: &'a str,
    kind: &'a str,
    area: f64,
    seconds: i64,
    is_seen: bool,
}

impl Record for EventRow<'_> {
    const COLUMNS: &'static [&'static str] = &["id", "camera", "kind", "area", "seconds", "seen"];

    fn write_cells<C: CellWriter>(&self, cells: &mut C) {
        cells.integer(self.id);
        cells.text(self.camera);
        cells.text(self.kind);
        cells.float(self.area);
        cells.integer(self.seconds);
        cells.boolean(self.is_seen);
    }
}

fn event(id: i64) -> EventRow<'static> {
    EventRow {
        id,
        camera: ["front door", "yard", "workshop"][(id % 3).unsigned_abs() as usize],
        kind: if id % 5 == 0 { "connection lost" } else { "motion" },
        area: (id * 7919 % 10_000) as f64 / 100.0,
        seconds: 1_790_000_000 + id * 13,
        is_seen: id % 2 == 0,
    }
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// The process cannot be pinned to the CPU, or the report cannot be written to the folder.
pub(crate) fn run(options: &Options) -> Result<()> {
    pin_to_cpu(LOAD_CPU)?;
    let when = setup::RunTime::now(options.note.clone());
    let held = COMPRESSIONS.map(hold).into_iter().collect::<Result<_>>()?;
    let mut runs = Vec::new();
    for pass in 0..options.runs {
        for coding in COMPRESSIONS {
            runs.extend(TableFormat::ALL.map(|format| measure(pass, options.rows, format, coding)));
        }
    }
    let outcome = Outcome { when, rows: options.rows, runs, held };
    let markdown = markdown(&outcome);
    setup::publish(options.out.as_deref(), &outcome.when, "tables", &markdown, &outcome)
}

/// Renders `rows` rows with `writer`, and takes the output whenever the writer's buffer is full. Returns the number of
/// bytes that were taken.
fn render(writer: &mut Writer<PlainPage>, rows: i64) -> usize {
    let mut bytes = 0;
    for id in 0..rows {
        writer.row(&event(id));
        if writer.is_full() {
            bytes += writer.take().len();
        }
    }
    bytes
}

fn measure(pass: u32, rows: i64, format: TableFormat, coding: Compression) -> Run {
    let begun = Instant::now();
    let mut writer = Writer::new(format, coding, PlainPage::new("Events"));
    let bytes = render(&mut writer, rows) + writer.end::<EventRow<'_>>().len();
    let million_rows_per_second = rows as f64 / begun.elapsed().as_secs_f64() / 1e6;
    Run { pass, format: format.extension(), coding: name(coding), million_rows_per_second, bytes }
}

fn name(coding: Compression) -> &'static str {
    match coding {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    }
}

/// Measures how much memory a table holds when only some of its rows have been rendered with the content coding
/// `coding`. The result is the mean over several tables, in KiB.
fn hold(coding: Compression) -> Result<Held> {
    let pid = std::process::id();
    let before = Sample::of(pid)?.rss_kib;
    let writers: Vec<_> = (0..HALF_RENDERED_TABLES)
        .map(|_| {
            let mut writer = Writer::new(TableFormat::Csv, coding, PlainPage::new("Events"));
            render(&mut writer, HELD_ROWS);
            writer
        })
        .collect();
    let kib = Sample::of(pid)?.rss_kib.saturating_sub(before) as f64 / writers.len() as f64;
    Ok(Held { coding: name(coding), kib })
}

fn markdown(outcome: &Outcome) -> String {
    let method = format!("- Rendered: {} rows of six short cells, on CPU {LOAD_CPU} alone.\n", outcome.rows);
    let mut out = outcome.when.head("Rendering tables", &method);
    out.push_str("| coding | format | million rows a second | MB | a table that waits, as CSV, KiB |\n|---|---|---|---|---|\n");
    for coding in COMPRESSIONS.map(name) {
        let held = outcome.held.iter().find(|held| held.coding == coding).map_or(0.0, |held| held.kib);
        for format in TableFormat::ALL.map(TableFormat::extension) {
            let of = || outcome.runs.iter().filter(move |run| run.coding == coding && run.format == format);
            let Spread { median, min, max } = Spread::of(of().map(|run| run.million_rows_per_second));
            let megabytes = Spread::of(of().map(|run| run.bytes as f64 / 1e6)).median;
            writeln!(
                out,
                "| {coding} | {format} | {median:.1} ({min:.1}–{max:.1}) | {megabytes:.0} | {held:.0} |"
            )
            .expect("a string takes all text");
        }
    }
    out
}
