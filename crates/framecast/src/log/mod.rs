//! The log: one line per event on standard error, as text or as JSON. Logging never blocks a task, even if nobody reads
//! standard error.

mod line;
mod panic;
mod queue;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;
use framecast::LostLines;
use framecast_drivers::nearest;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

/// The names of the project's own crates, as users write them in log filters.
const CRATES: [&str; 5] =
    ["framecast", "framecast_drivers", "framecast_hub", "framecast_media", "framecast_outputs"];

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Human,
    /// One JSON object per line
    Json,
}

/// The log filter if the user gives none, or an empty one, as an environment variable without a value is.
pub(crate) const DEFAULT_FILTER: &str = "info";

/// Parses a log filter such as `info` or `warn,framecast_drivers=debug`.
///
/// # Errors
/// The filter cannot be parsed.
pub(crate) fn filter(filter: &str) -> anyhow::Result<Targets> {
    let refused = || anyhow!("--log {filter}: must be error, warn, info, debug or trace, or PART=LEVEL,…");
    // The parser would treat an empty directive as the level error.
    let directives: Vec<&str> = filter.split(',').filter(|directive| !directive.is_empty()).collect();
    for directive in &directives {
        match directive.split_once('=') {
            // The parser would treat a misspelt level, or a span, as the name of a module, and then log nothing.
            None if !is_level(directive) => return Err(refused()),
            Some((part, _)) if part.contains('[') => return Err(refused()),
            Some((part, _)) => check_crate(filter, part)?,
            None => {}
        }
    }
    let given = if directives.is_empty() { DEFAULT_FILTER.to_owned() } else { directives.join(",") };
    // The parser's own message names text that the user did not write.
    given.parse().map_err(|_| refused())
}

fn is_level(word: &str) -> bool {
    word.parse::<LevelFilter>().is_ok()
}

/// Returns an error if `part`, a name in the log filter `filter`, is probably a misspelt name from [`CRATES`]. Accepts
/// other names, because they might be modules of other crates.
fn check_crate(filter: &str, part: &str) -> anyhow::Result<()> {
    let name = part.split(':').next().unwrap_or_default();
    match nearest(name, &CRATES).filter(|known| *known != name) {
        Some(known) => bail!("--log {filter}: unknown part `{name}`; did you mean `{known}`?"),
        None => Ok(()),
    }
}

/// How long the program waits for the log to write its last lines, after a panic that ends the program.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The running log. [`finish`](Self::finish) must be called at the end of the program, to wait for the last lines.
#[derive(Debug)]
pub(crate) struct Log {
    queue_end: queue::QueueFlush,
    lost: LostLines,
}

impl Log {
    /// Returns the counter of the lines that were lost because standard error did not accept them.
    pub(crate) fn lost(&self) -> &LostLines {
        &self.lost
    }

    /// Waits until the lines so far are written to standard error, but not beyond `deadline`.
    pub(crate) fn flush(&self, deadline: Instant) {
        self.queue_end.wait_until(deadline);
    }

    /// Waits until all lines are written to standard error, but not beyond `deadline`.
    pub(crate) fn finish(self, deadline: Instant) {
        self.queue_end.wait_until(deadline);
    }
}

/// If the main thread panics, dropping the log waits until the message of the panic is written to standard error.
impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue_end.wait_until(Instant::now() + FLUSH_TIMEOUT);
        }
    }
}

/// Starts the log, which records panics and the events that `filter` selects, such as `info` or
/// `warn,framecast_drivers=debug`.
///
/// # Errors
/// The filter cannot be parsed.
pub(crate) fn init(filter: &str, format: LogFormat) -> anyhow::Result<Log> {
    let filter = self::filter(filter)?;
    let has_colours = format == LogFormat::Human && std::io::stderr().is_terminal();
    let (queue, queue_end) =
        queue::to_standard_error(format, has_colours).context("cannot start the thread of the log")?;
    let lost = queue.lost().clone();
    let lines = fmt::layer()
        .with_writer(queue)
        .with_target(false)
        // The queue counts the lines that it loses.
        .log_internal_errors(false)
        .with_ansi(has_colours);
    match format {
        LogFormat::Human => registry().with(filter).with(lines).init(),
        LogFormat::Json => registry().with(filter).with(lines.json().flatten_event(true)).init(),
    }
    panic::install_hook(format);
    Ok(Log { queue_end, lost })
}
