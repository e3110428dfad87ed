//! Measures Framecast beside the least that a server can do, the ceiling, so that claims of performance have
//! figures under them. How to run it and how to read what it prints is in `bench/README.md`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod ceiling;
mod client;
mod compare;
mod encode;
mod http;
mod load;
mod parts;
mod pictures;
mod proc;
mod report;
mod server;
mod stats;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Measures servers of Motion JPEG over HTTP on this machine.
#[derive(Debug, Parser)]
#[command(version)]
enum Cli {
    /// Compare Framecast with the ceiling, in turns; prints tables.
    Compare(compare::Options),
    /// Load one server that runs already.
    Load(load::Options),
    /// Run the ceiling server.
    Ceiling(ceiling::Options),
    /// Measure the JPEG encoder beside the tools of libjpeg-turbo; prints a table.
    Encode(encode::Options),
    /// Make the source pictures.
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
        Cli::Load(options) => {
            let report = load::run(options)?;
            if options.json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                println!("{report}");
            }
        }
        Cli::Ceiling(options) => ceiling::run(options)?,
        Cli::Encode(options) => encode::run(options)?,
        Cli::Pictures(options) => {
            let mean_bytes = pictures::run(options)?;
            println!("{} pictures, {mean_bytes} bytes in the mean", options.count);
        }
    }
    Ok(())
}
