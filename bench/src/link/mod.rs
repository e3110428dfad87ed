//! Measures one viewer behind a slow link: how old the pictures are on arrival, and how many arrive per second. The
//! stream is requested without adaptation, and with `?adapt`, which lets the server reduce the pictures to what the
//! link can carry.
//!
//! The link joins two network namespaces of this machine. This program simulates the rate, delay and queue of the link,
//! which needs root privileges.

mod pipe;
mod relay;

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, Result};
use serde::Serialize;

use self::{
    pipe::Shape,
    relay::{PacketCounts, Relay},
};
use crate::{
    load,
    report::{self, Report},
    setup::{self, RunContext, Setup},
    stats::Spread,
};

/// The options of the command `link`: the properties of the link, and how long to measure.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: setup::Options,
    /// Rate in each direction in Mbit/s.
    #[arg(long, default_value_t = 2.0, value_name = "MBIT_PER_S")]
    rate: f64,
    /// Delay in each direction in milliseconds.
    #[arg(long, default_value_t = 20, value_name = "MS")]
    delay: u64,
    /// Size of the queue at each end in KiB; packets are dropped when the queue is full.
    #[arg(long, default_value_t = 32, value_name = "KIB")]
    queue: usize,
    /// Query, such as "?adapt", to append to the path of Framecast's stream in additional measurements.
    #[arg(long, value_name = "QUERY", default_values_t = ["?adapt".to_owned()])]
    query: Vec<String>,
    /// Number of passes; each pass measures every server with every query once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Seconds before each measurement, in which the size and quality of the viewer's pictures can settle.
    #[arg(long, default_value_t = 10)]
    warmup: u64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    about: RunContext,
    bits_per_second: u64,
    delay_ms: u64,
    queue_bytes: usize,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    pass: u32,
    server: String,
    query: String,
    to_the_viewer: PacketCounts,
    report: Report,
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// Root privileges are missing. A server does not start or does not respond. Pictures arrive broken or out of order, or
/// the server closes the connection of the viewer. The report cannot be written to the folder.
pub(crate) fn run(options: &Options) -> Result<()> {
    crate::netns::enter()?;
    let shape = Shape {
        bits_per_second: (options.rate * 1e6) as u64,
        delay: Duration::from_millis(options.delay),
        queue_bytes: options.queue * 1024,
    };
    let mut setup = Setup::new(&options.setup)?;
    let relay = Relay::start(shape)?;
    setup.listen_on(relay::NEAR);
    let mut runs = Vec::new();
    for pass in 0..options.runs {
        for candidate in setup.turns(pass) {
            let further = options.query.iter().filter(|_| candidate.is_framecast());
            for query in std::iter::once("").chain(further.map(String::as_str)) {
                let server = setup.start(candidate)?;
                let url = format!("{}{query}", server.url());
                let load = load::Options {
                    warmup: Duration::from_secs(options.warmup),
                    ..load::Options::full(url, 1, options.seconds, server.pid())
                };
                let name = format!("{}{query}", candidate.name);
                let before = relay.to_the_far_side();
                let report = relay.on_the_far_side(|| load::run(&load)).context(name.clone())?;
                eprintln!("pass {} {name}: {report}", pass + 1);
                let to_the_viewer = relay.to_the_far_side().since(before);
                let (server, query) = (candidate.name.clone(), query.to_owned());
                runs.push(Run { pass, server, query, to_the_viewer, report });
            }
        }
    }
    let outcome = Outcome {
        about: setup.about,
        bits_per_second: shape.bits_per_second,
        delay_ms: options.delay,
        queue_bytes: shape.queue_bytes,
        runs,
    };
    let markdown = markdown(options, shape, &outcome);
    setup::publish(options.setup.out.as_deref(), &outcome.about.when, "link", &markdown, &outcome)?;
    report::ensure_intact(outcome.runs.iter().map(|run| &run.report))
}

fn markdown(options: &Options, shape: Shape, outcome: &Outcome) -> String {
    let mut out = outcome.about.head("One viewer behind a slow link");
    let frame_ms = shape.time_for(outcome.about.mean_picture_bytes).as_secs_f64() * 1000.0;
    let round_trip_ms = 2.0 * options.delay as f64;
    writeln!(
        out,
        "The link: {} Mbit/s, {} ms each way, a queue of {} KiB that drops what does not fit, each way; {} passes of {} s \
         after {} s. One frame takes {frame_ms:.0} ms on it, headers not counted; twice that and a round trip are {:.0} ms. \
         Age is from capture to the last byte.\n\n\
         | server | pictures a second | age p50 ms | age p95 ms | age max ms | drift ms | KB a picture | dropped on the way % |\n\
         |---|---|---|---|---|---|---|---|",
        options.rate,
        options.delay,
        options.queue,
        options.runs,
        options.seconds,
        options.warmup,
        2.0 * frame_ms + round_trip_ms,
    )
    .expect("a string takes all text");
    let mut cases: Vec<(&str, &str)> = Vec::new();
    for run in &outcome.runs {
        if !cases.contains(&(&run.server, &run.query)) {
            cases.push((&run.server, &run.query));
        }
    }
    for (server, query) in cases {
        let figure = |decimals: usize, figure: fn(&Run) -> f64| {
            let runs = outcome.runs.iter().filter(|run| run.server == server && run.query == query);
            Spread::of(runs.map(figure)).show(decimals)
        };
        writeln!(
            out,
            "| {server}{query} | {} | {} | {} | {} | {} | {} | {} |",
            figure(1, |run| run.report.full.fps_median),
            figure(0, |run| run.report.full.age_p50_ms),
            figure(0, |run| run.report.full.age_p95_ms),
            figure(0, |run| run.report.full.age_max_ms),
            figure(0, |run| run.report.full.age_drift_ms),
            figure(1, |run| run.report.full.mean_bytes() / 1000.0),
            figure(1, |run| run.to_the_viewer.percent_dropped()),
        )
        .expect("a string takes all text");
    }
    out
}
