//! The one command: our server beside the ceiling, in turns, and what came out as a table.
//!
//! Each measurement starts its server anew (so that memory is that run's own) on one CPU and loads it from another.
//! Servers take turns within each pass, and every other pass goes the other way round, so that a neighbour's noise
//! falls on all of them alike.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    load,
    pictures::{self, Options as PictureOptions},
    proc::Host,
    report::Report,
    server::{Candidate, Server},
    table,
};

/// Set in the process that runs inside the network namespace, so that it does not make another.
const INSIDE_NETNS: &str = "FRAMECAST_BENCH_INSIDE_NETNS";

/// Set because the machine's default differs between machines, and some of them (bbr) cost CPU of their own; reno is
/// allowed in every namespace.
const NETNS_CONGESTION_CONTROL: &str = "reno";

/// What a real network's links carry at once; loopback's own 64 KiB would flatter every server.
const NETNS_MTU: &str = "1500";

/// What to compare, and how long.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Framecast's program, and arguments for it separated by blanks; several are compared together. Without one,
    /// the ceiling is compared with itself, which shows how far the machine's noise goes.
    #[arg(long, value_name = "PROGRAM")]
    server: Vec<String>,
    /// Numbers of viewers.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 400])]
    viewers: Vec<usize>,
    /// Passes; figures are medians over them.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Seconds measured each time.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// Frames a second that the servers offer.
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// Folder with pictures to use instead of making the standard ones.
    #[arg(long)]
    pictures: Option<PathBuf>,
    /// Run in a network namespace of its own, its loopback with an MTU of 1500 and reno for congestion
    /// control (needs root, unshare and ip).
    #[arg(long)]
    netns: bool,
    /// A line for the report, such as the revision that was built.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Write DATE-HOSTCLASS.md and .json to this folder, beside what is there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// When, in UTC.
    pub(crate) started: String,
    /// What the person who ran it has to say.
    pub(crate) note: Option<String>,
    /// Where.
    pub(crate) host: Host,
    /// What was offered and for how long.
    pub(crate) method: Method,
    /// Names of the servers, the ceiling first.
    pub(crate) servers: Vec<String>,
    /// Each run of each server.
    pub(crate) runs: Vec<Run>,
}

/// What was offered and for how long.
#[derive(Debug, Serialize)]
pub(crate) struct Method {
    pub(crate) viewers: Vec<usize>,
    pub(crate) runs: u32,
    pub(crate) seconds: u64,
    pub(crate) fps: u32,
    pub(crate) mean_picture_bytes: usize,
}

/// One measurement.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) pass: u32,
    pub(crate) viewers: usize,
    pub(crate) server: String,
    pub(crate) report: Report,
}

/// Compares, prints the tables and writes them where they are wanted.
///
/// # Errors
///
/// A server that does not start or serve, or a folder that cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.netns && std::env::var_os(INSIDE_NETNS).is_none() {
        return enter_netns();
    }
    let comparison = compare(options)?;
    let markdown = table::markdown(&comparison);
    println!("{markdown}");
    if let Some(dir) = &options.out {
        let (markdown_path, json_path) = free_paths(dir, &comparison)?;
        let json = serde_json::to_string_pretty(&comparison)?;
        fs::write(&markdown_path, markdown).context("cannot write the table")?;
        fs::write(&json_path, json + "\n").context("cannot write the figures")?;
        eprintln!("wrote {} and {}", markdown_path.display(), json_path.display());
    }
    Ok(())
}

/// Becomes the same command inside a fresh network namespace; returns only if that fails.
fn enter_netns() -> Result<()> {
    let error = Command::new("unshare")
        .args(["--net", "--", "sh", "-c"])
        .arg(format!(
            "ip link set lo mtu {NETNS_MTU} up \
             && echo {NETNS_CONGESTION_CONTROL} > /proc/sys/net/ipv4/tcp_congestion_control \
             && exec \"$0\" \"$@\""
        ))
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE_NETNS, "1")
        .exec();
    Err(error).context("cannot run unshare, of util-linux")
}

fn compare(options: &Options) -> Result<Comparison> {
    let work = tempfile::tempdir().context("cannot make a folder to work in")?;
    let picture_dir = match &options.pictures {
        Some(dir) => fs::canonicalize(dir).context("cannot find the pictures")?,
        None => {
            let dir = work.path().join("pictures");
            pictures::run(&PictureOptions::standard(dir.clone()))?;
            dir
        }
    };
    let candidates = candidates(&options.server)?;
    let host = Host::here();
    let started = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut runs = Vec::new();
    for pass in 0..options.runs {
        for &viewers in &options.viewers {
            let mut order: Vec<&Candidate> = candidates.iter().collect();
            if pass % 2 == 1 {
                order.reverse();
            }
            for candidate in order {
                let log = work.path().join("server.log");
                let report = measure(options, candidate, viewers, &picture_dir, &log)
                    .with_context(|| format!("{} with {viewers} viewers", candidate.name))?;
                eprintln!("pass {} {}: {report}", pass + 1, candidate.name);
                runs.push(Run { pass, viewers, server: candidate.name.clone(), report });
            }
        }
    }
    Ok(Comparison {
        started,
        note: options.note.clone(),
        host,
        method: Method {
            viewers: options.viewers.clone(),
            runs: options.runs,
            seconds: options.seconds,
            fps: options.fps,
            mean_picture_bytes: mean_size(&picture_dir)?,
        },
        servers: candidates.into_iter().map(|candidate| candidate.name).collect(),
        runs,
    })
}

fn candidates(servers: &[String]) -> Result<Vec<Candidate>> {
    let mut candidates = vec![Candidate::ceiling("ceiling")?];
    for server in servers {
        candidates.push(Candidate::framecast(server)?);
    }
    if servers.is_empty() {
        candidates.push(Candidate::ceiling("ceiling again")?);
    }
    Ok(candidates)
}

fn measure(
    options: &Options,
    candidate: &Candidate,
    viewers: usize,
    pictures: &Path,
    log: &Path,
) -> Result<Report> {
    let server = Server::start(candidate, pictures, options.fps, log)?;
    load::run(&load::Options::full(server.url(), viewers, options.seconds, server.pid()))
}

fn mean_size(pictures: &Path) -> Result<usize> {
    let mut total = 0;
    let mut count = 0;
    for entry in fs::read_dir(pictures)? {
        total += entry?.metadata()?.len() as usize;
        count += 1;
    }
    Ok(total / count.max(1))
}

/// Names for the two files that nobody has used yet.
fn free_paths(dir: &Path, comparison: &Comparison) -> Result<(PathBuf, PathBuf)> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let date = comparison.started.split('T').next().unwrap_or_default();
    let stem = format!("{date}-{}", comparison.host.class);
    let taken = |stem: &String| ["md", "json"].iter().any(|end| dir.join(format!("{stem}.{end}")).exists());
    let stem = std::iter::once(stem.clone())
        .chain((2..).map(|number| format!("{stem}-{number}")))
        .find(|stem| !taken(stem))
        .expect("there are more numbers than files");
    Ok((dir.join(format!("{stem}.md")), dir.join(format!("{stem}.json"))))
}
