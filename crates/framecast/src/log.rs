//! The log: one line per event on standard error, for people or as JSON.

use std::io::IsTerminal;

use anyhow::anyhow;
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    Human,
    /// One JSON object a line
    Json,
}

/// What `filter` lets through, as in `info` or `warn,framecast_drivers=debug`.
///
/// # Errors
/// A filter that cannot be read.
pub(crate) fn filter(filter: &str) -> anyhow::Result<EnvFilter> {
    // What the parser says of it names what no one wrote.
    EnvFilter::builder()
        .parse(filter)
        .map_err(|_| anyhow!("--log {filter}: write error, warn, info, debug or trace, or PART=LEVEL,…"))
}

/// Starts the log with [`filter`].
///
/// # Errors
/// A filter that cannot be read.
pub(crate) fn init(filter: &str, format: Format) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(self::filter(filter)?)
        .with_writer(std::io::stderr)
        .with_target(false)
        // A log that nobody takes, a closed pipe or a full disk, must not stop the cameras: what cannot be written is lost.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        Format::Human => builder.init(),
        Format::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
