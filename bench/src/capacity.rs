//! Measures how many viewers one core can serve at the full frame rate. The number of viewers is searched in steps. If
//! several servers are given, they are measured one after the other in each pass.
//!
//! A server can serve a number of viewers if the median viewer receives the full rate and the slowest viewer receives
//! at least 29 of 30 frames. The first pass searches in large steps; each further pass starts at the result of the
//! previous pass.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::{
    load,
    report::{self, Report},
    server::Candidate,
    setup::{self, RunContext, Setup},
    stats::Spread,
};

/// The share of the sent frames that the median viewer must receive. The share is below 1, because the measured window
/// can miss a frame at each end.
const FULL_RATE: f64 = 0.99;

/// The share of the sent frames that the slowest viewer must receive: 29 of 30.
const MIN_SLOWEST_SHARE: f64 = 29.0 / 30.0;

/// The options of the command `capacity`: where the search begins and ends, and its precision.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: setup::Options,
    /// Number of viewers at which the search begins.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    from: u32,
    /// Maximum number of viewers to try.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    to: u32,
    /// Precision of the search, in percent of the number of viewers.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=50))]
    step: u32,
    #[command(flatten)]
    passes: setup::Passes,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    about: RunContext,
    runs: Vec<Run>,
}

/// The largest number of viewers that a server could serve at the full rate, as found in one pass.
#[derive(Debug, Serialize)]
struct Run {
    pass: u32,
    server: String,
    viewers: u32,
    report: Report,
}

/// Searches, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// A server does not start or does not respond, or cannot serve a single viewer at the full rate. Pictures arrive
/// broken or out of order, or the server closes a connection. The report cannot be written to the folder.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.from <= options.to, "--from must not be greater than --to");
    let setup = Setup::new(&options.setup)?;
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    let mut runs = Vec::new();
    for pass in 0..options.passes.runs {
        for candidate in setup.turns(pass) {
            let attempt = |viewers: u32| attempt(options, &setup, candidate, viewers);
            let (viewers, report) = match last.get(&candidate.name) {
                None => search(options, attempt),
                Some(&near) => search_near(options, near, attempt),
            }
            .with_context(|| candidate.name.clone())?;
            eprintln!("pass {} {} holds {viewers}: {report}", pass + 1, candidate.name);
            last.insert(candidate.name.clone(), viewers);
            runs.push(Run { pass, server: candidate.name.clone(), viewers, report });
        }
    }
    let outcome = Outcome { about: setup.about, runs };
    let markdown = markdown(options, &outcome);
    setup::publish(options.setup.out.as_deref(), &outcome.about.when, "capacity", &markdown, &outcome)?;
    report::ensure_intact(outcome.runs.iter().map(|run| &run.report))
}

/// Measures the server `candidate` with this many viewers. Returns what the viewers received, or `None` if some viewers
/// did not receive the full frame rate.
fn attempt(options: &Options, setup: &Setup, candidate: &Candidate, viewers: u32) -> Result<Option<Report>> {
    let server = setup.start(candidate)?;
    let load = load::Options::full(server.url(), viewers as usize, options.passes.seconds, server.pid());
    let report = load::run(&load).with_context(|| format!("{viewers} viewers"))?;
    let rate = f64::from(options.setup.fps);
    let holds = report.full.fps_median >= rate * FULL_RATE && report.full.fps_min >= rate * MIN_SLOWEST_SHARE;
    eprintln!(
        "{} {} {viewers}: fps {:.1} (min {:.1})",
        candidate.name,
        if holds { "holds" } else { "does not hold" },
        report.full.fps_median,
        report.full.fps_min
    );
    Ok(holds.then_some(report))
}

/// Finds the largest number of viewers that receive the full frame rate. Begins at `--from` viewers, and halves the
/// number as long as it is too large. Then multiplies the number by 1.5 until it is too large, and bisects between the
/// largest number that worked and the smallest that did not. Returns the number, and the report of its measurement.
fn search(
    options: &Options,
    mut attempt: impl FnMut(u32) -> Result<Option<Report>>,
) -> Result<(u32, Report)> {
    let mut viewers = options.from;
    let mut fails = options.to + 1;
    let mut best = loop {
        match attempt(viewers)? {
            Some(report) => break (viewers, report),
            None => fails = viewers,
        }
        viewers /= 2;
        ensure!(viewers > 0, "the server cannot serve a single viewer at the full rate");
    };
    while best.0 * 3 / 2 < fails && best.0 < options.to {
        let viewers = (best.0 * 3 / 2).max(best.0 + 1).min(options.to);
        match attempt(viewers)? {
            Some(report) => best = (viewers, report),
            None => fails = viewers,
        }
    }
    while fails - best.0 > step(options, best.0) {
        let viewers = (fails + best.0) / 2;
        match attempt(viewers)? {
            Some(report) => best = (viewers, report),
            None => fails = viewers,
        }
    }
    Ok(best)
}

/// Finds the largest number of viewers that receive the full frame rate, beginning at `near`, the result of the
/// previous pass. If the server can serve `near` viewers, increases the number by small steps until the server
/// cannot. Otherwise decreases the number until the server can. Returns the number, and the report of its measurement.
fn search_near(
    options: &Options,
    near: u32,
    mut attempt: impl FnMut(u32) -> Result<Option<Report>>,
) -> Result<(u32, Report)> {
    let mut viewers = near;
    let mut best = None;
    loop {
        match (attempt(viewers)?, best.is_some()) {
            (Some(report), _) => {
                best = Some((viewers, report));
                if viewers >= options.to || viewers < near {
                    break;
                }
                viewers = (viewers + step(options, viewers)).min(options.to);
            }
            (None, true) => break,
            (None, false) => {
                ensure!(
                    viewers > near / 2,
                    "the server cannot serve half as many viewers as in the previous pass"
                );
                viewers -= step(options, viewers);
            }
        }
    }
    best.context("the server cannot serve any viewer at the full rate")
}

fn step(options: &Options, viewers: u32) -> u32 {
    (viewers * options.step / 100).max(1)
}

fn markdown(options: &Options, outcome: &Outcome) -> String {
    let mut out = outcome.about.head("How many viewers one core holds");
    writeln!(
        out,
        "Searched to {} %, up to {} viewers; {} passes, {} s each try, pictures dropped in the kernel. Held: the \
         median viewer gets {:.0} % of the rate and the slowest {:.1} %. Each row shows the most viewers that were \
         held, median (min–max) over the passes.\n\n\
         | server | viewers held | against the ceiling | fps median | fps min | CPU % | CPU s/GB | RSS MiB | age p50 ms | age p99 ms \
         | server waited % | load busy % |\n|---|---|---|---|---|---|---|---|---|---|---|---|",
        options.step,
        options.to,
        options.passes.runs,
        options.passes.seconds,
        100.0 * FULL_RATE,
        100.0 * MIN_SLOWEST_SHARE,
    )
    .expect("a string takes all text");
    let ceiling = &outcome.about.servers[0];
    for server in &outcome.about.servers {
        let runs = || outcome.runs.iter().filter(|run| run.server == *server);
        let ratios = runs().filter_map(|run| {
            let base = outcome.runs.iter().find(|base| base.server == *ceiling && base.pass == run.pass)?;
            Some(f64::from(run.viewers) / f64::from(base.viewers))
        });
        let figure = |decimals, figure: fn(&Report) -> f64| {
            Spread::of(runs().map(|run| figure(&run.report))).show(decimals)
        };
        writeln!(
            out,
            "| {server} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            Spread::of(runs().map(|run| f64::from(run.viewers))).show(0),
            Spread::of(ratios).show(2),
            figure(1, |report| report.full.fps_median),
            figure(1, |report| report.full.fps_min),
            figure(0, |report| report.of_server(|server| server.cpu_percent)),
            figure(2, |report| report.of_server(|server| server.cpu_seconds_per_gb)),
            figure(1, |report| report.of_server(|server| server.rss_kib as f64 / 1024.0)),
            figure(1, |report| report.full.age_p50_ms),
            figure(1, |report| report.full.age_p99_ms),
            figure(1, |report| report.of_server(|server| server.waited_percent)),
            figure(0, |report| report.load.cpu_percent + report.load.waited_percent),
        )
        .expect("a string takes all text");
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Options {
        Cli::parse_from(std::iter::once(&"capacity").chain(arguments)).options
    }

    fn report() -> Report {
        let none = || report::GroupSummary { seen: Vec::new(), closed: 0 };
        report::sum_up([none(), none(), none()], None, report::LoadCpu::default(), Duration::from_secs(1))
    }

    /// The result of a search on a simulated server with this capacity, and the number of tries.
    fn found(
        holds: u32,
        search: impl FnOnce(&mut dyn FnMut(u32) -> Result<Option<Report>>) -> u32,
    ) -> (u32, u32) {
        let mut tries = 0;
        let mut attempt = |viewers| {
            tries += 1;
            Ok((viewers <= holds).then(report))
        };
        let found = search(&mut attempt);
        (found, tries)
    }

    #[test]
    fn what_a_server_holds_is_found_to_a_step_from_below_and_from_near() {
        let options = options(&[]);
        for holds in [30, 399, 400, 401, 777, 1000, 2345, 3999, 4000, 9000] {
            let (from_below, tries) = found(holds, |attempt| search(&options, attempt).unwrap().0);
            let wanted = holds.min(4000);
            let near_enough = |found: u32| found <= wanted && found + wanted * 4 / 100 + 2 > wanted;
            assert!(near_enough(from_below), "{holds}: {from_below}");
            assert!(tries < 16, "{tries} tries");
            for near in [wanted * 9 / 10, wanted, (wanted * 11 / 10).min(4000)] {
                let (from_near, _) = found(holds, |attempt| search_near(&options, near, attempt).unwrap().0);
                assert!(near_enough(from_near), "{holds}: {from_near} from {near}");
            }
        }
    }

    #[test]
    fn a_server_that_holds_too_few_is_an_error_not_an_endless_search() {
        let options = options(&[]);
        assert!(search(&options, |_| Ok(None)).is_err());
        assert!(search_near(&options, 1000, |_| Ok(None)).is_err());
    }
}
