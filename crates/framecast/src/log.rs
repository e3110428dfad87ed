//! The log: one line per event on standard error, for people or as JSON.

use std::io::IsTerminal;

use anyhow::{anyhow, bail};
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The parts that are ours.
const PARTS: [&str; 5] =
    ["framecast", "framecast_drivers", "framecast_hub", "framecast_media", "framecast_outputs"];

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
    let refused = || anyhow!("--log {filter}: write error, warn, info, debug or trace, or PART=LEVEL,…");
    for directive in filter.split(',') {
        match directive.split_once('=') {
            // The parser would take a slip for the name of a part, of which there is then nothing to log.
            None if !directive.is_empty() && !is_level(directive) => return Err(refused()),
            Some((part, _)) => check_part(filter, part)?,
            None => {}
        }
    }
    // What the parser says of it names what no one wrote.
    EnvFilter::builder().parse(filter).map_err(|_| refused())
}

fn is_level(word: &str) -> bool {
    word.parse::<LevelFilter>().is_ok()
}

/// Refuses what is hardly the name of another program's part, but one of ours with a slip.
fn check_part(filter: &str, part: &str) -> anyhow::Result<()> {
    let name = part.split([':', '[']).next().unwrap_or_default();
    let nearest = PARTS.iter().min_by_key(|known| strsim::damerau_levenshtein(name, known));
    match nearest.map(|known| (strsim::damerau_levenshtein(name, known), known)) {
        Some((1..=2, known)) => bail!("--log {filter}: there is no part `{name}`; did you mean `{known}`?"),
        _ => Ok(()),
    }
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
