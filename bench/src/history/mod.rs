//! Measures what long tables of events cost: downloads of whole tables compared with the databases' own programs, many
//! simultaneous downloads while viewers watch a camera, and new events sent to many listeners.
//!
//! Framecast creates the tables. Then this command inserts the same rows by SQL into a SQLite file, and into a
//! PostgreSQL server that the command starts. The rows of every download are counted.

mod crowd;
mod download;
mod listeners;
mod store;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    pictures::{self, Options as PictureOptions},
    server::{Candidate, Server},
    setup::{self, RunTime},
    stats::Spread,
};
use download::Download;
use store::Store;

/// The options of the command `history`: what to measure, and with how many rows.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Path of the Framecast program.
    #[arg(long, value_name = "PROGRAM")]
    server: PathBuf,
    /// Number of rows in the tables.
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// Number of passes; each pass reads the whole table once in each way.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Databases to measure, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = ["sqlite".to_owned(), "postgres".to_owned()],
        value_parser = ["sqlite", "postgres"])]
    databases: Vec<String>,
    /// Number of simultaneous downloads, a fifth of them slow; 0 skips this measurement.
    #[arg(long, default_value_t = 50)]
    downloads: usize,
    /// Seconds of the simultaneous downloads.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Number of listeners that receive events live; 0 skips this measurement.
    #[arg(long, default_value_t = 1000)]
    listeners: usize,
    /// A line of text for the report.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Write DATE-HOSTCLASS-history.md and .json to this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    when: RunTime,
    rows: u64,
    downloads: Vec<Download>,
    crowds: Vec<crowd::DownloadLoad>,
    listeners: Vec<listeners::Listeners>,
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// A program is missing, a download has too few or too many rows, or the report cannot be written to the folder.
pub(crate) fn run(options: &Options) -> Result<()> {
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let pictures = work.path().join("pictures");
    pictures::run(&PictureOptions::standard(pictures.clone()))?;
    let mut outcome = Outcome {
        when: RunTime::now(options.note.clone()),
        rows: options.rows,
        downloads: Vec::new(),
        crowds: Vec::new(),
        listeners: Vec::new(),
    };
    for database in &options.databases {
        let store = Store::new(database, work.path())?;
        let program = options.server.display().to_string();
        let candidate = Candidate::framecast(&program)?.with_settings(database, &store.settings());
        let start = || {
            let server = Server::start_unpinned(&candidate, &pictures, 30, work.path())?;
            // The server listens before its tables exist.
            download::ask(server.address(), "/healthz")?;
            Ok(server)
        };
        // The first start creates the tables.
        drop(start()?);
        eprintln!("{database}: inserting {} rows", options.rows);
        store.fill(options.rows)?;
        for pass in 0..options.runs {
            for what in download::VARIANTS {
                let measured = download::measure(pass, what, &store, options.rows, &start)?;
                eprintln!("{measured:?}");
                outcome.downloads.push(measured);
            }
        }
        if options.downloads > 0 {
            let measured = crowd::measure(&store, options.downloads, options.seconds, &start)?;
            eprintln!("{measured:?}");
            outcome.crowds.push(measured);
        }
        if options.listeners > 0 {
            let measured = listeners::measure(&store, options.listeners, &start)?;
            eprintln!("{measured:?}");
            outcome.listeners.push(measured);
        }
    }
    let markdown = markdown(&outcome, options);
    setup::publish(options.out.as_deref(), &outcome.when, "history", &markdown, &outcome)
}

fn markdown(outcome: &Outcome, options: &Options) -> String {
    let method = format!(
        "- Offered: {} events in 20 cameras, newest first; `sqlite3 -csv` and `psql --csv` read the same columns in the same \
         order. Rows are counted by one reader at the end of a pipe (`curl -s` for Framecast).\n",
        outcome.rows
    );
    let mut out = outcome.when.head("Tables that stream", &method);
    writeln!(
        out,
        "Whole tables, {} passes in turns, median (min–max); the ratio is formed within each pass.\n",
        options.runs
    )
    .expect("a string takes all text");
    out.push_str(
        "| database | what | rows a second | beside its own program | first byte ms | added memory MiB | MB |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for database in &options.databases {
        for what in download::VARIANTS {
            row(&mut out, outcome, database, what);
        }
    }
    crowd::write(&mut out, &outcome.crowds);
    listeners::write(&mut out, &outcome.listeners);
    out
}

fn row(out: &mut String, outcome: &Outcome, database: &str, what: &str) {
    let of = |what: &str| -> Vec<&Download> {
        let chosen = outcome.downloads.iter().filter(|run| run.database == database && run.what == what);
        chosen.collect()
    };
    let (runs, peers) = (of(what), of(download::PEER));
    let spread = |figure: fn(&Download) -> f64| Spread::of(runs.iter().map(|run| figure(run)));
    let ratio = Spread::of(runs.iter().filter_map(|run| {
        let peer = peers.iter().find(|peer| peer.pass == run.pass)?;
        Some(run.rows_per_second / peer.rows_per_second)
    }));
    let (rate, first, memory) =
        (spread(|run| run.rows_per_second), spread(|run| run.first_byte_ms), spread(|run| run.added_mib));
    writeln!(
        out,
        "| {database} | {what} | {:.0} ({:.0}–{:.0}) | {:.2} ({:.2}–{:.2}) | {:.1} | {:.1} ({:.1}–{:.1}) | {:.0} |",
        rate.median,
        rate.min,
        rate.max,
        ratio.median,
        ratio.min,
        ratio.max,
        first.median,
        memory.median,
        memory.min,
        memory.max,
        spread(|run| run.bytes as f64 / 1e6).median,
    )
    .expect("a string takes all text");
}
