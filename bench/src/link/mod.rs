//! Measures one viewer behind a slow link: how old the pictures are on arrival, and how many arrive per second. The
//! stream is requested without adaptation, and with `?adapt`, which lets the server reduce the pictures to what the
//! link can carry. All transports are measured: the plain socket, the WebSocket, and response bodies over HTTP/1,
//! HTTP/2 and TLS.
//!
//! The link joins two network namespaces of this machine. This program simulates the rate, delay and queue of the link,
//! which needs root privileges.

mod pipe;
mod relay;
mod viewer;

use std::{fmt::Write as _, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde::Serialize;

pub(crate) use self::{
    pipe::Shape,
    relay::{NEAR, Relay},
};
use self::{
    relay::PacketCounts,
    viewer::{Protocol, Target},
};
use crate::{
    load,
    report::{self, Report},
    server::{CERTIFICATE, Candidate, Server},
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
    /// Name of a row of the table, to measure only this row; repeat the option for several rows.
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
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
    to_the_viewer: PacketCounts,
    report: Report,
}

/// One row of the table: a server, and how its viewer watches.
#[derive(Debug, Clone)]
struct LinkCase {
    candidate: Candidate,
    /// The name of the row.
    name: String,
    query: String,
    /// How the viewer speaks; `None` for a viewer of the load generator, which speaks plain HTTP/1.
    protocol: Option<Protocol>,
}

impl LinkCase {
    fn new(candidate: &Candidate, query: &str) -> Self {
        let (name, query) = (format!("{}{query}", candidate.name), query.to_owned());
        Self { candidate: candidate.clone(), name, query, protocol: None }
    }

    fn with(self, way: &str, protocol: Protocol) -> Self {
        Self { name: format!("{}{way}", self.name), protocol: Some(protocol), ..self }
    }
}

/// Returns the rows for the server `candidate`.
fn cases_of(candidate: &Candidate, queries: &[String]) -> Vec<LinkCase> {
    let mut cases = vec![LinkCase::new(candidate, "")];
    if candidate.is_framecast() {
        cases.extend(queries.iter().map(|query| LinkCase::new(candidate, query)));
        for (way, is_adaptive) in [(", WebSocket", false), (", WebSocket, adapt", true)] {
            cases.push(LinkCase::new(candidate, "").with(way, Protocol::WebSocket { is_adaptive }));
        }
    }
    cases
}

/// Returns the rows for the streams that are response bodies.
///
/// # Errors
///
/// The path of this program is unknown.
fn cases_of_bodies(queries: &[String]) -> Result<Vec<LinkCase>> {
    let body = Candidate::body("body", &[])?;
    let mut cases = vec![LinkCase::new(&body, "")];
    cases.extend(queries.iter().map(|query| LinkCase::new(&body, query)));
    cases.push(LinkCase::new(&Candidate::body("body, not tuned", &["--untuned"])?, ""));
    for (is_http2, is_tls) in [(true, false), (false, true), (true, true)] {
        let [http2, tls] =
            [("--http2", is_http2), ("--tls", is_tls)].map(|(flag, is_on)| is_on.then_some(flag));
        let flags: Vec<&str> = http2.into_iter().chain(tls).collect();
        let ways = [(", HTTP/2", is_http2), (", TLS", is_tls)];
        let name: String = ways.iter().filter(|(_, is_on)| *is_on).map(|(way, _)| *way).collect();
        let candidate = Candidate::body(&format!("body{name}"), &flags)?;
        cases.push(LinkCase::new(&candidate, "").with("", Protocol::Http { is_http2, is_tls }));
    }
    Ok(cases)
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
    setup.listen_on(NEAR);
    let mut runs = Vec::new();
    for pass in 0..options.runs {
        let mut cases: Vec<LinkCase> = Vec::new();
        for candidate in setup.turns(pass) {
            cases.extend(cases_of(candidate, &options.query));
        }
        cases.extend(cases_of_bodies(&options.query)?);
        cases.retain(|case| options.only.is_empty() || options.only.contains(&case.name));
        for case in cases {
            let server = setup.start(&case.candidate)?;
            let before = relay.to_the_far_side();
            let report = relay.on_the_far_side(|| measure(options, &case, &server, setup.work()));
            let report = report.with_context(|| case.name.clone())?;
            eprintln!("pass {} {}: {report}", pass + 1, case.name);
            let to_the_viewer = relay.to_the_far_side().since(before);
            runs.push(Run { pass, server: case.name, to_the_viewer, report });
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

fn measure(options: &Options, case: &LinkCase, server: &Server, work: &Path) -> Result<Report> {
    let warmup = Duration::from_secs(options.warmup);
    let url = format!("{}{}", server.url(), case.query);
    let Some(protocol) = case.protocol else {
        let load = load::Options { warmup, ..load::Options::full(url, 1, options.seconds, server.pid()) };
        return load::run(&load);
    };
    let (address, path) = load::parse_url(&url)?;
    let certificate = work.join(CERTIFICATE);
    let target = Target { address, path: &path, pid: server.pid(), certificate: &certificate };
    viewer::run(protocol, target, warmup, Duration::from_secs(options.seconds))
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
    let mut names: Vec<&str> = Vec::new();
    for run in &outcome.runs {
        if !names.contains(&run.server.as_str()) {
            names.push(&run.server);
        }
    }
    for name in names {
        let figure = |decimals: usize, figure: fn(&Run) -> f64| {
            let runs = outcome.runs.iter().filter(|run| run.server == name);
            Spread::of(runs.map(figure)).show(decimals)
        };
        writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} | {} | {} |",
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
