//! Measures the resident memory that a server needs for each viewer: the increase from few viewers to many, divided by
//! the number of additional viewers.
//!
//! The frame rate is low, so that any machine can serve the many viewers; a viewer needs the same memory at any rate.
//! The kernel's socket buffers are not part of a process's resident memory.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::{
    load,
    report::{self, Report},
    setup::{self, RunContext, Setup},
    stats::Spread,
};

/// The options of the command `memory`: the two numbers of viewers between which the memory is compared.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: setup::Options,
    /// The two numbers of viewers, separated by a comma.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    viewers: Vec<usize>,
    #[command(flatten)]
    passes: setup::Passes,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    about: RunContext,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    pass: u32,
    server: String,
    few: Report,
    many: Report,
    kib_per_viewer: f64,
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// A server does not start or does not respond. Pictures arrive broken or out of order, or the server closes the
/// connection of a viewer. The report cannot be written to the folder.
pub(crate) fn run(options: &Options) -> Result<()> {
    let &[few, many] = options.viewers.as_slice() else {
        anyhow::bail!("--viewers needs two numbers, such as 100,1000");
    };
    ensure!(few < many, "--viewers needs the smaller number first");
    let setup = Setup::new(&options.setup)?;
    let mut runs = Vec::new();
    for pass in 0..options.passes.runs {
        for candidate in setup.turns(pass) {
            let measure = |viewers| {
                let server = setup.start(candidate)?;
                load::run(&load::Options::full(server.url(), viewers, options.passes.seconds, server.pid()))
                    .with_context(|| format!("{} with {viewers} viewers", candidate.name))
            };
            let (less, more) = (measure(few)?, measure(many)?);
            let kib_per_viewer = (rss_kib(&more) - rss_kib(&less)) / (many - few) as f64;
            eprintln!("pass {} {}: {kib_per_viewer:.2} KiB a viewer", pass + 1, candidate.name);
            let server = candidate.name.clone();
            runs.push(Run { pass, server, few: less, many: more, kib_per_viewer });
        }
    }
    let outcome = Outcome { about: setup.about, runs };
    let markdown = markdown(options, few, many, &outcome);
    setup::publish(options.setup.out.as_deref(), &outcome.about.when, "memory", &markdown, &outcome)?;
    report::ensure_intact(outcome.runs.iter().flat_map(|run| [&run.few, &run.many]))
}

fn rss_kib(report: &Report) -> f64 {
    report.of_server(|server| server.rss_kib as f64)
}

fn markdown(options: &Options, few: usize, many: usize, outcome: &Outcome) -> String {
    let mut out = outcome.about.head("Memory of a viewer");
    writeln!(
        out,
        "Resident memory at the end of windows of {} s, a new server for each; {} passes, median (min–max).\n\n\
         | server | RSS KiB, no viewer | {few} viewers | {many} viewers | KiB a viewer | fps min at {many} |\n\
         |---|---|---|---|---|---|",
        options.passes.seconds, options.passes.runs,
    )
    .expect("a string takes all text");
    for server in &outcome.about.servers {
        let figure = |decimals, figure: fn(&Run) -> f64| {
            Spread::of(outcome.runs.iter().filter(|run| run.server == *server).map(figure)).show(decimals)
        };
        writeln!(
            out,
            "| {server} | {} | {} | {} | {} | {} |",
            figure(0, |run| run.few.of_server(|server| server.rss_idle_kib as f64)),
            figure(0, |run| rss_kib(&run.few)),
            figure(0, |run| rss_kib(&run.many)),
            figure(2, |run| run.kib_per_viewer),
            figure(1, |run| run.many.full.fps_min),
        )
        .expect("a string takes all text");
    }
    out
}
