//! Measures what a second writer thread costs Framecast; writer threads send the pictures to the viewers. Framecast
//! runs with one writer thread and with two, on the same core. The results also show how evenly the two threads share
//! the viewers.

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::{
    api, load,
    report::{self, Report},
    server::Candidate,
    setup::{self, RunContext, Setup},
    stats::Spread,
};

/// The options of the command `shards`: how many viewers and writer threads, and how often to measure.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: setup::Options,
    /// Number of viewers.
    #[arg(long, default_value_t = 400)]
    viewers: usize,
    /// Numbers of writer threads, separated by commas; the first is compared with the others.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    writers: Vec<u32>,
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
    /// The number of viewers that each writer thread sends to, by the thread's number.
    shards: BTreeMap<u64, usize>,
    report: Report,
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// `--server` is missing or given more than once. A server does not start or does not respond, or reports no writer
/// threads. Pictures arrive broken or out of order, or the server closes the connection of a viewer. The report cannot
/// be written to the folder.
pub(crate) fn run(options: &Options) -> Result<()> {
    let [program] = options.setup.server.as_slice() else {
        anyhow::bail!("give --server exactly once");
    };
    let candidates = options
        .writers
        .iter()
        .map(|writers| {
            let settings = format!("writer_threads = {writers}");
            Ok(Candidate::framecast(program)?.with_settings(&settings, &settings))
        })
        .collect::<Result<Vec<_>>>()?;
    let setup = Setup::with(&options.setup, candidates)?;
    let mut runs = Vec::new();
    for pass in 0..options.passes.runs {
        for candidate in setup.turns(pass) {
            let server = setup.start(candidate)?;
            let load =
                load::Options::full(server.url(), options.viewers, options.passes.seconds, server.pid());
            let (report, shards) =
                load::run_and(&load, || shards(server.address())).with_context(|| candidate.name.clone())?;
            eprintln!("pass {} {} {shards:?}: {report}", pass + 1, candidate.name);
            runs.push(Run { pass, server: candidate.name.clone(), shards, report });
        }
    }
    let outcome = Outcome { about: setup.about, runs };
    let markdown = markdown(options, &outcome);
    setup::publish(options.setup.out.as_deref(), &outcome.about.when, "shards", &markdown, &outcome)?;
    report::ensure_intact(outcome.runs.iter().map(|run| &run.report))
}

/// Returns how many viewers each writer thread sends to, by the thread's number, as `/api/viewers` reports it.
fn shards(server: SocketAddr) -> Result<BTreeMap<u64, usize>> {
    let counts = count_shards(&api::get(server, "/api/viewers")?);
    ensure!(!counts.is_empty(), "no viewer in /api/viewers has a shard");
    Ok(counts)
}

/// Counts the viewers of each writer thread in the JSON of `/api/viewers`. The list of viewers can be anywhere in the
/// JSON.
fn count_shards(answer: &Value) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    let mut left = vec![answer];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(values) => left.extend(values),
            Value::Object(fields) => {
                if let Some(shard) = fields.get("shard").and_then(Value::as_u64) {
                    *counts.entry(shard).or_default() += 1;
                }
                left.extend(fields.values());
            }
            _ => {}
        }
    }
    counts
}

fn markdown(options: &Options, outcome: &Outcome) -> String {
    let mut out = outcome.about.head("Two shards against one");
    writeln!(
        out,
        "{} viewers, writer threads as the row says, all on one CPU; {} passes of {} s, median (min–max). The ratio is \
         formed within each pass.\n\n\
         | server | CPU s/GB | against the first row | share of the smallest shard % | of the largest % | fps min | age p50 ms | server waited % |\n\
         |---|---|---|---|---|---|---|---|",
        options.viewers, options.passes.runs, options.passes.seconds,
    )
    .expect("a string takes all text");
    let first = &outcome.about.servers[0];
    let cost = |report: &Report| report.of_server(|server| server.cpu_seconds_per_gb);
    for server in &outcome.about.servers {
        let of = |name: &String| outcome.runs.iter().filter(|run| run.server == *name).collect::<Vec<_>>();
        let runs = || of(server).into_iter();
        let costs = |name: &String| of(name).into_iter().map(|run| (run.pass, cost(&run.report)));
        let share = |choose: fn(&BTreeMap<u64, usize>) -> Option<usize>| {
            Spread::of(runs().map(|run| {
                let all: usize = run.shards.values().sum();
                100.0 * choose(&run.shards).unwrap_or_default() as f64 / all.max(1) as f64
            }))
        };
        let figure = |figure: fn(&Report) -> f64| Spread::of(runs().map(|run| figure(&run.report))).show(1);
        writeln!(
            out,
            "| {server} | {} | {} | {} | {} | {} | {} | {} |",
            Spread::of(runs().map(|run| cost(&run.report))).show(3),
            Spread::of_ratios(costs(server), costs(first)).show(2),
            share(|shards| shards.values().min().copied()).show(0),
            share(|shards| shards.values().max().copied()).show(0),
            figure(|report| report.full.fps_min),
            figure(|report| report.full.age_p50_ms),
            figure(|report| report.of_server(|server| server.waited_percent)),
        )
        .expect("a string takes all text");
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn viewers_are_counted_by_their_shard_and_those_without_one_are_not() {
        let answer =
            json!({"viewers": [{"shard": 0}, {"shard": 1}, {"camera": "x", "shard": 1}, {"shard": null}]});
        assert_eq!(count_shards(&answer), BTreeMap::from([(0, 1), (1, 2)]));
        assert_eq!(count_shards(&answer["viewers"]), BTreeMap::from([(0, 1), (1, 2)]));
    }
}
