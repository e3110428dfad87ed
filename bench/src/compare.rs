//! The main command: compares Framecast with the ceiling server (a minimal reference server, which is part of this
//! program). The servers are measured one after the other in each pass. The results are tables.
//!
//! Each measurement starts a new server process, so that the measured memory belongs to that measurement only. The
//! server runs on one CPU and the load generator on another.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{
    comparison::{Comparison, Method, Run},
    load, report,
    setup::{self, Setup},
    table,
};

/// The options of the command `compare`: which servers and numbers of viewers, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: setup::Options,
    /// Numbers of viewers to measure, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 400])]
    viewers: Vec<usize>,
    /// Number of passes; results are medians over the passes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// Seconds of warm-up before each measurement; the warm-up lasts at least until each viewer has received a picture.
    #[arg(long, default_value = "0.5", value_name = "SECONDS", value_parser = load::seconds)]
    warmup: Duration,
    /// How many times each pass measures the ceiling server; 2 also shows the noise of the machine. The default is 1 if
    /// --server is given once, and 2 otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=2))]
    ceilings: Option<u8>,
}

impl Options {
    fn has_ceiling_again(&self) -> bool {
        self.ceilings.map_or(self.setup.server.len() != 1, |ceilings| ceilings == 2)
    }
}

/// Measures, prints the tables and, if `--out` names a folder, writes them to that folder.
///
/// # Errors
///
/// A server does not start or does not respond. Pictures arrive broken or out of order, or the server closes the
/// connection of a viewer. The tables cannot be written to the folder.
pub(crate) fn run(options: &Options) -> Result<()> {
    let comparison = compare(options)?;
    let markdown = table::markdown(&comparison);
    setup::publish(options.setup.out.as_deref(), &comparison.about.when, "", &markdown, &comparison)?;
    report::ensure_intact(comparison.runs.iter().map(|run| &run.report))
}

fn compare(options: &Options) -> Result<Comparison> {
    let candidates = setup::candidates_in_order(&options.setup.server, options.has_ceiling_again())?;
    let setup = Setup::with(&options.setup, candidates)?;
    let mut runs = Vec::new();
    for pass in 0..options.runs {
        for &viewers in &options.viewers {
            for candidate in setup.turns(pass) {
                let measure = || {
                    let server = setup.start(candidate)?;
                    load::run(&load::Options {
                        warmup: options.warmup,
                        ..load::Options::full(server.url(), viewers, options.seconds, server.pid())
                    })
                };
                let report =
                    measure().with_context(|| format!("{} with {viewers} viewers", candidate.name))?;
                eprintln!("pass {} {}: {report}", pass + 1, candidate.name);
                runs.push(Run { pass, viewers, server: candidate.name.clone(), report });
            }
        }
    }
    let method = Method {
        viewers: options.viewers.clone(),
        runs: options.runs,
        seconds: options.seconds,
        warmup_seconds: options.warmup.as_secs_f64(),
    };
    Ok(Comparison { about: setup.about, method, runs })
}
