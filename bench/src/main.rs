//! Measures the speed and the resource use of Framecast, so that claims about them rest on figures. Framecast is
//! compared with the ceiling server, a reference server that does only the minimum. `bench/README.md` says how to run
//! the measurements and how to read the results.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod abuse;
mod api;
mod body_server;
mod cameras;
mod capacity;
mod ceiling;
mod churn;
mod client;
mod compare;
mod comparison;
mod encode;
mod history;
mod http;
mod link;
mod load;
mod memory;
mod netns;
mod parts;
mod pictures;
mod proc;
mod publish;
mod report;
mod server;
mod setup;
mod shards;
mod slow;
mod stats;
mod table;
mod tables;
mod video;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Measures servers of Motion JPEG over HTTP on this machine.
#[derive(Debug, Parser)]
#[command(version)]
enum Cli {
    /// Compare Framecast with the ceiling server, a minimal reference server, in turns, and print tables.
    Compare(compare::Options),
    /// Search for the number of viewers that one core can serve at the full frame rate.
    Capacity(capacity::Options),
    /// Measure the resident memory that each viewer costs.
    Memory(memory::Options),
    /// Measure what it costs Framecast to read many network cameras.
    Cameras(cameras::Options),
    /// Measure many short visits, while other viewers stay connected.
    Churn(churn::Options),
    /// Run hostile clients of all kinds together with ordinary viewers; fails if the viewers suffer, or if the server
    /// keeps too much memory.
    Abuse(abuse::Options),
    /// Compare Framecast with one writer thread and with two on one core; writer threads send pictures to viewers.
    Shards(shards::Options),
    /// Measure how old the pictures are that slow viewers receive, while other viewers read at full speed.
    Slow(slow::Options),
    /// Measure a viewer behind a slow link between two network namespaces (needs root).
    Link(link::Options),
    /// Measure how long it takes to pass a frame from a camera's thread to subscribers, depending on their number.
    Publish(publish::Options),
    /// Run simulated viewers of one server that is already running, and print what they received.
    Load(load::Options),
    /// Run the ceiling server, a minimal reference server.
    Ceiling(ceiling::Options),
    /// Run a program that embeds Framecast and serves the streams by an HTTP server of its own, as response bodies.
    Body(body_server::Options),
    /// Measure downloads of long tables, many simultaneous downloads, and events sent to many listeners (needs sqlite3,
    /// curl, and PostgreSQL).
    History(history::Options),
    /// Measure how fast Framecast renders tables of events, without a database.
    Tables(tables::Options),
    /// Measure the JPEG encoder and compare it with the tools of libjpeg-turbo; prints a table.
    Encode(encode::Options),
    /// Measure coded video, from fake RTSP cameras to its viewers (needs ffmpeg).
    #[command(subcommand)]
    Video(video::Measurement),
    /// Make the pictures that the measured servers send.
    Pictures(pictures::Options),
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    match cli {
        Cli::Compare(options) => compare::run(options)?,
        Cli::Capacity(options) => capacity::run(options)?,
        Cli::Memory(options) => memory::run(options)?,
        Cli::Cameras(options) => cameras::run(options)?,
        Cli::Churn(options) => churn::run(options)?,
        Cli::Abuse(options) => abuse::run(options)?,
        Cli::Shards(options) => shards::run(options)?,
        Cli::Slow(options) => slow::run(options)?,
        Cli::Link(options) => link::run(options)?,
        Cli::Publish(options) => publish::run(options)?,
        Cli::Load(options) => {
            let report = load::run(options)?;
            if options.json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                println!("{report}");
            }
        }
        Cli::Ceiling(options) => ceiling::run(options)?,
        Cli::Body(options) => body_server::run(options)?,
        Cli::Tables(options) => tables::run(options)?,
        Cli::History(options) => history::run(options)?,
        Cli::Encode(options) => encode::run(options)?,
        Cli::Video(measurement) => video::run(measurement)?,
        Cli::Pictures(options) => {
            let mean_bytes = pictures::run(options)?;
            println!("{} pictures, {mean_bytes} bytes on average", options.count);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_and_their_options_fit_together() {
        Cli::command().debug_assert();
    }
}
