//! The log: one line per event on standard error, as text or as JSON. No task waits for the reader of standard error.

mod line;
mod panic;
mod queue;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use clap::ValueEnum;
use framecast::LostLines;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The names of our own crates in filters.
const CRATES: [&str; 5] =
    ["framecast", "framecast_drivers", "framecast_hub", "framecast_media", "framecast_outputs"];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Human,
    /// One JSON object a line
    Json,
}

/// Parses a filter, as in `info` or `warn,framecast_drivers=debug`.
///
/// # Errors
/// The filter cannot be parsed.
pub(crate) fn filter(filter: &str) -> anyhow::Result<EnvFilter> {
    let refused = || anyhow!("--log {filter}: write error, warn, info, debug or trace, or PART=LEVEL,…");
    for directive in filter.split(',') {
        match directive.split_once('=') {
            // The parser would take a misspelt level for the name of a module, which then logs nothing.
            None if !directive.is_empty() && !is_level(directive) => return Err(refused()),
            Some((part, _)) => check_crate(filter, part)?,
            None => {}
        }
    }
    // The parser's own message names text that the user did not write.
    EnvFilter::builder().parse(filter).map_err(|_| refused())
}

fn is_level(word: &str) -> bool {
    word.parse::<LevelFilter>().is_ok()
}

/// Refuses a name that is probably a misspelt crate of ours, and not a module of another program.
fn check_crate(filter: &str, part: &str) -> anyhow::Result<()> {
    let name = part.split([':', '[']).next().unwrap_or_default();
    let nearest = CRATES.iter().min_by_key(|known| strsim::damerau_levenshtein(name, known));
    match nearest.map(|known| (strsim::damerau_levenshtein(name, known), known)) {
        Some((1..=2, known)) => bail!("--log {filter}: there is no part `{name}`; did you mean `{known}`?"),
        _ => Ok(()),
    }
}

/// How long the log may take to write the lines of a panic that ends the program.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The running log. At the end of the program, [`finish`](Self::finish) waits for its lines.
#[derive(Debug)]
pub(crate) struct Log {
    queue_end: queue::QueueEnd,
    lost: LostLines,
}

impl Log {
    /// Counts the lines that standard error did not take.
    pub(crate) fn lost(&self) -> &LostLines {
        &self.lost
    }

    /// Waits until all lines are written, until `deadline` at the latest.
    pub(crate) fn finish(self, deadline: Instant) {
        self.queue_end.wait_until(deadline);
    }
}

/// If the main thread panics, the log must still write the panic.
impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue_end.wait_until(Instant::now() + FLUSH_TIMEOUT);
        }
    }
}

/// Starts the log with [`filter`], and logs panics there.
///
/// # Errors
/// The filter cannot be parsed.
pub(crate) fn init(filter: &str, format: LogFormat) -> anyhow::Result<Log> {
    let filter = self::filter(filter)?;
    let has_colours = format == LogFormat::Human && std::io::stderr().is_terminal();
    let (queue, queue_end) = queue::to_standard_error(format, has_colours);
    let lost = queue.lost().clone();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(queue)
        .with_target(false)
        // The queue counts the lines that it loses.
        .log_internal_errors(false)
        .with_ansi(has_colours);
    match format {
        LogFormat::Human => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    panic::install_hook(format);
    Ok(Log { queue_end, lost })
}
