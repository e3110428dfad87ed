//! Measures viewers that read slowly, together with viewers that read as fast as pictures arrive. The results are how
//! old the pictures of the slow viewers are on arrival, whether that age grows, and how many frames per second the
//! others receive.
//!
//! The kernel chooses the sizes of the viewers' receive buffers, as it does for a browser.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    load,
    report::{self, Report, Viewers},
    setup::{self, RunContext, Setup},
    stats::Spread,
};

/// The options of the command `slow`: how many viewers, how slow, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: setup::Options,
    /// Number of viewers that read as fast as pictures arrive.
    #[arg(long, default_value_t = 50)]
    viewers: usize,
    /// Number of additional viewers that read --rate bytes per second.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    slow: u16,
    /// Bytes per second that each slow viewer reads.
    #[arg(long, default_value_t = 300_000, value_name = "BYTES_PER_S")]
    rate: u32,
    /// Number of passes; each pass measures every server once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Seconds before each measurement, in which the buffers fill.
    #[arg(long, default_value_t = 5)]
    warmup: u64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    about: RunContext,
    slow: u16,
    rate_bytes_per_second: u32,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    pass: u32,
    server: String,
    report: Report,
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// A server does not start or does not respond. Pictures arrive broken or out of order, or the server closes the
/// connection of a viewer. The report cannot be written to the folder.
pub(crate) fn run(options: &Options) -> Result<()> {
    let setup = Setup::new(&options.setup)?;
    let mut runs = Vec::new();
    for pass in 0..options.runs {
        for candidate in setup.turns(pass) {
            let server = setup.start(candidate)?;
            let load = load::Options {
                slow: options.slow.into(),
                rate: options.rate,
                warmup: Duration::from_secs(options.warmup),
                ..load::Options::full(server.url(), options.viewers, options.seconds, server.pid())
            };
            let report = load::run(&load).with_context(|| candidate.name.clone())?;
            eprintln!("pass {} {}: {report}", pass + 1, candidate.name);
            runs.push(Run { pass, server: candidate.name.clone(), report });
        }
    }
    let outcome =
        Outcome { about: setup.about, slow: options.slow, rate_bytes_per_second: options.rate, runs };
    let markdown = markdown(options, &outcome);
    setup::publish(options.setup.out.as_deref(), &outcome.about.when, "slow", &markdown, &outcome)?;
    report::ensure_intact(outcome.runs.iter().map(|run| &run.report))
}

fn markdown(options: &Options, outcome: &Outcome) -> String {
    let mut out = outcome.about.head("Slow viewers beside full ones");
    writeln!(
        out,
        "{} full viewers and {} that read {} bytes a second, with the receive buffers that the kernel chooses; {} passes \
         of {} s. A frame alone takes {:.0} ms at that rate. Age is from capture to the last byte; drift is its median in the \
         last third of a window less that in the first.\n\n\
         | server | slow: fps | age p50 ms | age p95 ms | age max ms | drift ms | full: fps min | age p50 ms | CPU % | server waited % |\n\
         |---|---|---|---|---|---|---|---|---|---|",
        options.viewers,
        options.slow,
        options.rate,
        options.runs,
        options.seconds,
        1000.0 * outcome.about.mean_picture_bytes as f64 / f64::from(options.rate),
    )
    .expect("a string takes all text");
    for server in &outcome.about.servers {
        let runs = || outcome.runs.iter().filter(|run| run.server == *server);
        let slow = |figure: fn(&Viewers) -> f64| {
            Spread::of(runs().filter_map(|run| run.report.slow.as_ref()).map(figure)).show(0)
        };
        let figure = |figure: fn(&Report) -> f64| Spread::of(runs().map(|run| figure(&run.report))).show(1);
        writeln!(
            out,
            "| {server} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            Spread::of(runs().filter_map(|run| run.report.slow.as_ref()).map(|slow| slow.fps_median)).show(1),
            slow(|slow| slow.age_p50_ms),
            slow(|slow| slow.age_p95_ms),
            slow(|slow| slow.age_max_ms),
            slow(|slow| slow.age_drift_ms),
            figure(|report| report.full.fps_min),
            figure(|report| report.full.age_p50_ms),
            figure(|report| report.of_server(|server| server.cpu_percent)),
            figure(|report| report.of_server(|server| server.waited_percent)),
        )
        .expect("a string takes all text");
    }
    out
}
