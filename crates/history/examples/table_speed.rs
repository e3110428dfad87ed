//! How many rows one core renders in a second, in each format and coding, and what fifty tables at once hold.
//!
//! ```sh
//! cargo run --release -p framecast-history --example table_speed [ROWS]
//! ```
#![expect(clippy::print_stdout, reason = "prints what it has measured")]

use std::time::Instant;

use framecast_history::table::{Cells, Coding, Format, Plain, Record, Writer};

const CODINGS: [Coding; 3] = [Coding::Identity, Coding::Gzip, Coding::Zstd];

/// Six short cells.
struct Event<'a> {
    id: i64,
    camera: &'a str,
    kind: &'a str,
    area: f64,
    seconds: i64,
    is_seen: bool,
}

impl Record for Event<'_> {
    const COLUMNS: &'static [&'static str] = &["id", "camera", "kind", "area", "seconds", "seen"];

    fn tell<C: Cells>(&self, cells: &mut C) {
        cells.integer(self.id);
        cells.text(self.camera);
        cells.text(self.kind);
        cells.real(self.area);
        cells.integer(self.seconds);
        cells.boolean(self.is_seen);
    }
}

fn event(id: i64) -> Event<'static> {
    Event {
        id,
        camera: ["front door", "yard", "workshop"][usize::try_from(id % 3).unwrap_or_default()],
        kind: if id % 5 == 0 { "connection lost" } else { "motion" },
        area: (id * 7919 % 10_000) as f64 / 100.0,
        seconds: 1_790_000_000 + id * 13,
        is_seen: id % 2 == 0,
    }
}

fn measure(rows: i64, format: Format, coding: Coding) {
    let start = Instant::now();
    let mut writer = Writer::new(format, coding, Plain::new("Events"));
    let mut bytes = 0;
    for id in 0..rows {
        writer.row(&event(id));
        if writer.is_full() {
            bytes += writer.take().len();
        }
    }
    bytes += writer.end::<Event<'_>>().len();
    let seconds = start.elapsed().as_secs_f64();
    let (million_rows, mib) = (rows as f64 / seconds / 1e6, bytes as f64 / f64::from(1 << 20));
    println!("{:8} {:10} {million_rows:6.2} million rows/s {mib:8.1} MiB", format.extension(), name(coding));
}

fn name(coding: Coding) -> &'static str {
    coding.content_encoding().unwrap_or("identity")
}

/// Memory of this process, in KiB; where there is no `/proc`, none.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

/// What a table holds while it waits for its client, in the middle of its rows.
fn hold(coding: Coding) {
    let before = resident_kib();
    let mut writers = Vec::new();
    for _ in 0..50 {
        let mut writer = Writer::new(Format::Csv, coding, Plain::new("Events"));
        for id in 0..50_000 {
            writer.row(&event(id));
            if writer.is_full() {
                drop(writer.take());
            }
        }
        writers.push(writer);
    }
    let held = resident_kib().saturating_sub(before);
    println!("50 tables, {}: {} KiB each", name(coding), held / 50);
}

fn main() {
    let rows = std::env::args().nth(1).and_then(|rows| rows.parse().ok()).unwrap_or(3_000_000);
    for coding in CODINGS {
        hold(coding);
    }
    for coding in CODINGS {
        for format in Format::ALL {
            measure(rows, format, coding);
        }
    }
}
