//! Prepares what all commands that measure servers need: the servers and the pictures. Also writes the results to
//! files.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    netns,
    pictures::{self, Options as PictureOptions},
    proc::Host,
    server::{Candidate, LOAD_CPU, SERVER_CPU, Server},
};

/// The name of the ceiling server (a minimal reference server) in tables.
pub(crate) const CEILING: &str = "ceiling";

/// The name in tables of the ceiling server when it is measured a second time in each pass. The difference between the
/// two results is the noise of the machine.
pub(crate) const CEILING_AGAIN: &str = "ceiling again";

/// The options that all commands which measure servers share: what to measure, and where to write the results.
#[derive(Debug, Clone, clap::Args)]
// The options of each command already form a clap group with the same name.
#[group(skip)]
pub(crate) struct Options {
    /// Path of the Framecast program, and arguments separated by blanks; repeat the option to compare several programs.
    /// Without this option, the ceiling server is compared with itself, which shows the noise of the machine.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) server: Vec<String>,
    /// Frames per second that each server sends to each viewer that keeps up.
    #[arg(long, default_value_t = 30)]
    pub(crate) fps: u32,
    /// Folder with the pictures to use; without it, the standard pictures are made.
    #[arg(long)]
    pub(crate) pictures: Option<PathBuf>,
    /// Run in a separate network namespace, whose loopback has an MTU of 1500 and whose congestion control is reno
    /// (needs root, unshare and ip).
    #[arg(long)]
    pub(crate) netns: bool,
    /// A line of text for the report, such as the revision that was built.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// Write DATE-HOSTCLASS.md and .json to this folder without replacing existing files. The name includes the
    /// command, unless the command is compare.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// The options for the number and the length of measurements, which several commands share.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Passes {
    /// Number of passes; results are medians over the passes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) runs: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub(crate) seconds: u64,
}

/// The pictures and the servers for a command's measurements, ready to use.
#[derive(Debug)]
pub(crate) struct Setup {
    work: TempDir,
    pictures: PathBuf,
    candidates: Vec<Candidate>,
    address: IpAddr,
    fps: u32,
    /// When, on which machine and with which servers the measurements were made, for the report.
    pub(crate) about: RunContext,
}

/// When and on which machine the measurements of a report were made.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunTime {
    /// The time when the measurements began, in UTC.
    pub(crate) started: String,
    /// A note by the person who made the measurements, from the option `--note`.
    pub(crate) note: Option<String>,
    /// The machine on which the measurements were made.
    pub(crate) host: Host,
}

/// When, on which machine, and with which servers and pictures the measurements of a report were made.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunContext {
    #[serde(flatten)]
    pub(crate) when: RunTime,
    /// Frames per second that each server sends to each viewer that keeps up.
    pub(crate) fps: u32,
    /// The mean size of a picture in bytes.
    pub(crate) mean_picture_bytes: usize,
    /// The names in tables of the servers, in the order in which they were given. If the ceiling server was measured,
    /// it is the first.
    pub(crate) servers: Vec<String>,
}

impl Setup {
    /// Enters a new network namespace if `--netns` is given, makes the pictures and finds the programs of the servers.
    ///
    /// # Errors
    ///
    /// A program is missing, the namespace cannot be created, or a folder cannot be written.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        Self::with(options, candidates_in_order(&options.server, options.server.is_empty())?)
    }

    /// Does the same as [`new`](Self::new), but with the servers in `candidates` instead of those that the options
    /// name.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](Self::new).
    pub(crate) fn with(options: &Options, candidates: Vec<Candidate>) -> Result<Self> {
        if options.netns {
            netns::enter()?;
        }
        let work = tempfile::tempdir().context("cannot make a temporary folder")?;
        let pictures = match &options.pictures {
            Some(dir) => fs::canonicalize(dir)
                .with_context(|| format!("cannot find the folder of pictures {}", dir.display()))?,
            None => {
                let dir = work.path().join("pictures");
                pictures::run(&PictureOptions::standard(dir.clone()))?;
                dir
            }
        };
        let about = RunContext {
            when: RunTime::now(options.note.clone()),
            fps: options.fps,
            mean_picture_bytes: mean_size(&pictures)?,
            servers: candidates.iter().map(|candidate| candidate.name.clone()).collect(),
        };
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Ok(Self { work, pictures, candidates, address, fps: options.fps, about })
    }

    /// Makes all servers that are started from now on listen on the IP address `address`.
    pub(crate) fn listen_on(&mut self, address: IpAddr) {
        self.address = address;
    }

    /// Returns the servers in the order in which the pass with the number `pass` measures them. The order is reversed
    /// in every second pass, so that noise of the machine affects all servers alike.
    pub(crate) fn turns(&self, pass: u32) -> Vec<&Candidate> {
        let mut order: Vec<&Candidate> = self.candidates.iter().collect();
        if pass % 2 == 1 {
            order.reverse();
        }
        order
    }

    /// Starts a new process of the server `candidate`.
    ///
    /// # Errors
    ///
    /// The server does not start.
    pub(crate) fn start(&self, candidate: &Candidate) -> Result<Server> {
        Server::start(candidate, self.address, &self.pictures, self.fps, self.work.path())
    }

    /// Returns the folder with the files of the servers.
    pub(crate) fn work(&self) -> &Path {
        self.work.path()
    }

    /// Starts the server `candidate` on the CPU of the load generator, as an additional server that is not itself
    /// measured.
    ///
    /// # Errors
    ///
    /// The server does not start.
    pub(crate) fn start_on_load_cpu(&self, candidate: &Candidate) -> Result<Server> {
        Server::start_on(LOAD_CPU, candidate, self.address, &self.pictures, self.fps, self.work.path())
    }
}

/// Returns the servers to measure: the ceiling server, a Framecast for each command in `servers`, and, if
/// `has_ceiling_again`, the ceiling server a second time.
///
/// # Errors
///
/// The program of a server does not exist.
pub(crate) fn candidates_in_order(servers: &[String], has_ceiling_again: bool) -> Result<Vec<Candidate>> {
    let mut candidates = vec![Candidate::ceiling(CEILING)?];
    candidates.extend(Candidate::framecasts(servers)?);
    if has_ceiling_again {
        candidates.push(Candidate::ceiling(CEILING_AGAIN)?);
    }
    Ok(candidates)
}

impl RunTime {
    /// Returns the current time and the description of this machine, for a report.
    pub(crate) fn now(note: Option<String>) -> Self {
        let started = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Self { started, note, host: Host::here() }
    }

    /// Formats the first lines of a report: title, time, machine, and `method`, which is a list of what was measured
    /// and how.
    pub(crate) fn head(&self, title: &str, method: &str) -> String {
        let note = self.note.as_ref().map(|note| format!("{note}\n\n")).unwrap_or_default();
        format!("# {title}, {}\n\n- Machine: {}.\n{method}\n{note}", self.started, self.host.describe())
    }
}

impl RunContext {
    /// Formats the first lines of a report: title, time, machine, pictures and CPUs.
    pub(crate) fn head(&self, title: &str) -> String {
        let method = format!(
            "- Offered: JPEGs of {:.1} KB on average at {} frames a second; each server is a new process on CPU {}, \
             the load comes from CPU {}.\n",
            self.mean_picture_bytes as f64 / 1000.0,
            self.fps,
            SERVER_CPU,
            LOAD_CPU,
        );
        self.when.head(title, &method)
    }
}

/// Prints the report `markdown`. If `out` names a folder, also writes the report and its `figures` to that folder, as
/// `DATE-HOSTCLASS-WHAT.md` and `.json`.
///
/// # Errors
///
/// The files cannot be written to the folder.
pub(crate) fn publish(
    out: Option<&Path>,
    when: &RunTime,
    what: &str,
    markdown: &str,
    figures: &impl Serialize,
) -> Result<()> {
    println!("{markdown}");
    let Some(dir) = out else {
        return Ok(());
    };
    let (markdown_path, json_path) = free_paths(dir, when, what)?;
    fs::write(&markdown_path, markdown).context("cannot write the table")?;
    fs::write(&json_path, serde_json::to_string_pretty(figures)? + "\n")
        .context("cannot write the results")?;
    eprintln!("wrote {} and {}", markdown_path.display(), json_path.display());
    Ok(())
}

/// Returns the paths in the folder `dir` for the two files of a report (Markdown and JSON). No file exists yet at
/// either path.
fn free_paths(dir: &Path, when: &RunTime, what: &str) -> Result<(PathBuf, PathBuf)> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let date = when.started.split('T').next().unwrap_or_default();
    let dash = if what.is_empty() { "" } else { "-" };
    let stem = format!("{date}-{}{dash}{what}", when.host.class);
    let taken = |stem: &String| ["md", "json"].iter().any(|end| dir.join(format!("{stem}.{end}")).exists());
    let stem = std::iter::once(stem.clone())
        .chain((2..).map(|number| format!("{stem}-{number}")))
        .find(|stem| !taken(stem))
        .expect("there are more numbers than files");
    Ok((dir.join(format!("{stem}.md")), dir.join(format!("{stem}.json"))))
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
