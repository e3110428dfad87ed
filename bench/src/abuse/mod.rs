//! Runs simulated hostile clients of all kinds at once, together with ordinary viewers of a video stream. The results
//! are the frame rate that the viewers still receive, and how much memory the server keeps afterwards.
//!
//! The command fails if the viewers or the server exceed the limits in this module.

mod kinds;

use std::{
    fmt::Write as _,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use serde::Serialize;

use crate::{
    load::{self, Load, Window},
    proc::{self, Sample},
    report::{self, Report},
    server::{Candidate, Server},
    setup::{self, RunContext, Setup},
};
use kinds::{AbuseKind, Client, Expectation, KINDS};

/// The user name of the only account on the measured server. `LOGIN` is the header line that contains this name and the
/// password in Base64.
const USER: &str = "owner";
const PASSWORD: &str = "correct horse";
const LOGIN: &str = "Authorization: Basic b3duZXI6Y29ycmVjdCBob3JzZQ==\r\n";

/// The number of ordinary viewers that watch during the attacks.
const VIEWERS: usize = 20;

/// The minimum frame rate that each ordinary viewer must receive, in frames per second. The camera delivers 30.
const MIN_FPS: f64 = 29.0;

/// The pause between the last attack and the second measurement of the server's memory. The first measurement is before
/// the attacks.
const RECOVERY: Duration = Duration::from_secs(60);

/// How much larger the server's resident memory is allowed to be after the attacks than before them, in KiB.
const MAX_GROWTH_KIB: u64 = 8 * 1024;

/// The pause before the server's memory is measured for the first time.
const SETTLE: Duration = Duration::from_secs(12);

/// The options of the command `abuse`: the duration of the attacks, and the server.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: setup::Options,
    /// Number of seconds in which the hostile clients attack.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..=3600))]
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    about: RunContext,
    seconds: u64,
    /// What the ordinary viewers received during the attacks.
    viewers: Report,
    /// How the server responded to the attacks, for each kind of attack.
    kinds: Vec<KindResult>,
    before: ProcessState,
    after: ProcessState,
}

#[derive(Debug, Serialize)]
struct KindResult {
    kind: &'static str,
    turns: u64,
    /// Number of attacks whose first response had the status 101 or 2xx.
    served: u64,
    /// Number of attacks whose first response had a status other than 101 and 2xx.
    refused: u64,
    /// Number of attacks that ended with an I/O error, for example because the server closed the connection.
    failed: u64,
}

/// The memory, file descriptors and child processes that the server's process holds at one moment.
#[derive(Debug, Clone, Copy, Serialize)]
struct ProcessState {
    rss_kib: u64,
    descriptors: usize,
    children: usize,
}

#[derive(Debug, Default)]
struct TurnCounts {
    turns: AtomicU64,
    served: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// Runs the attacks, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// The server does not start or does not respond. A viewer receives too few frames, or broken ones. The server responds
/// to a kind of attack otherwise than expected. After the attacks, the server holds more memory than allowed, or its
/// number of file descriptors or child processes has changed.
pub(crate) fn run(options: &Options) -> Result<()> {
    proc::raise_descriptor_limit();
    ensure!(options.setup.server.len() == 1, "give --server exactly once");
    let candidate = Candidate::framecast(&options.setup.server[0])?;
    let name = candidate.name.clone();
    let candidate = candidate.with_settings(&name, &format!("user = {USER:?}")).with_password(PASSWORD);
    let setup = Setup::with(&options.setup, vec![candidate])?;
    let server = setup.start(setup.turns(0)[0])?;
    let outcome = measure(options, setup.about.clone(), &server)?;
    setup::publish(
        options.setup.out.as_deref(),
        &outcome.about.when,
        "abuse",
        &markdown(&outcome),
        &outcome,
    )?;
    check_limits(&outcome)
}

fn measure(options: &Options, about: RunContext, server: &Server) -> Result<Outcome> {
    let watch = |seconds| load::Options {
        header: Some(LOGIN.trim_end().to_owned()),
        ..load::Options::full(server.url(), VIEWERS, seconds, server.pid())
    };
    // A first run of the viewers makes the server allocate the memory that viewers need, so that this memory does not
    // count as growth.
    load::run(&watch(5))?;
    thread::sleep(SETTLE);
    let before = ProcessState::of(server.pid())?;
    kinds::log_in(server.address(), LOGIN)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let counts: Arc<Vec<TurnCounts>> = Arc::new(KINDS.iter().map(|_| TurnCounts::default()).collect());
    let clients = start(server, &is_over, &counts)?;
    let viewers = watch_for(&watch(options.seconds), server);
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().map_err(|_| anyhow!("a client panicked"))?;
    }
    let viewers = viewers?;
    eprintln!("the hostile clients have stopped; the server rests for {} s", RECOVERY.as_secs());
    thread::sleep(RECOVERY);
    let after = ProcessState::of(server.pid())?;
    let tally = |(kind, counts): (&AbuseKind, &TurnCounts)| KindResult {
        kind: kind.name,
        turns: counts.turns.load(Ordering::Relaxed),
        served: counts.served.load(Ordering::Relaxed),
        refused: counts.refused.load(Ordering::Relaxed),
        failed: counts.failed.load(Ordering::Relaxed),
    };
    let kinds = KINDS.iter().zip(counts.iter()).map(tally).collect();
    Ok(Outcome { about, seconds: options.seconds, viewers, kinds, before, after })
}

fn watch_for(options: &load::Options, server: &Server) -> Result<Report> {
    let (address, path) = load::parse_url(&options.url)?;
    let idle = Some(Sample::of(server.pid())?);
    let mut load = Load::connect(address, &path, options)?;
    load.warm_up(Duration::from_secs(1))?;
    let window = Window::open(&mut load, Some(server.pid()), idle)?;
    load.run_until(Instant::now() + Duration::from_secs(options.seconds))?;
    window.close(&load)
}

/// Starts one thread for each hostile client of each kind. Each client attacks again and again until `is_over` is true.
fn start(
    server: &Server,
    is_over: &Arc<AtomicBool>,
    counts: &Arc<Vec<TurnCounts>>,
) -> Result<Vec<JoinHandle<()>>> {
    let mut clients = Vec::new();
    for (kind, AbuseKind { name, clients: number, pause, act, .. }) in KINDS.into_iter().enumerate() {
        for first in 0..number {
            let (is_over, counts) = (Arc::clone(is_over), Arc::clone(counts));
            let mut client = Client { server: server.address(), login: LOGIN.to_owned(), turn: first * 1000 };
            let work = move || {
                while !is_over.load(Ordering::Relaxed) {
                    let counts = &counts[kind];
                    counts.turns.fetch_add(1, Ordering::Relaxed);
                    let count = match act(&client) {
                        Ok(Some(101 | 200..=299)) => Some(&counts.served),
                        Ok(Some(_)) => Some(&counts.refused),
                        Ok(None) => None,
                        // A server is allowed to refuse by closing the connection.
                        Err(_) => Some(&counts.failed),
                    };
                    if let Some(count) = count {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    client.turn += 1;
                    thread::sleep(pause);
                }
            };
            clients.push(thread::Builder::new().name(name.to_owned()).spawn(work)?);
        }
    }
    Ok(clients)
}

impl ProcessState {
    fn of(pid: u32) -> Result<Self> {
        let sample = Sample::of(pid)?;
        let mut children = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let text = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            children += text.split_ascii_whitespace().count();
        }
        Ok(Self { rss_kib: sample.rss_kib, descriptors: sample.descriptors, children })
    }
}

fn is_as_expected(expects: Expectation, tally: &KindResult) -> bool {
    let KindResult { turns, served, refused, failed, .. } = *tally;
    let went_through = turns > 0 && failed < turns;
    went_through
        && match expects {
            Expectation::Nothing => true,
            Expectation::Service => served * 2 > turns,
            Expectation::SomeService => served > 0 && (served + refused) * 2 > turns,
            Expectation::Refusal => served == 0 && refused > 0,
        }
}

/// Returns an error unless the viewers, the responses to the attacks and the server's resources are all within the
/// limits.
fn check_limits(outcome: &Outcome) -> Result<()> {
    report::ensure_intact([&outcome.viewers])?;
    for (kind, tally) in KINDS.iter().zip(&outcome.kinds) {
        ensure!(
            is_as_expected(kind.expects, tally),
            "{}: expected {:?}, got {tally:?}",
            kind.name,
            kind.expects
        );
    }
    let slowest = outcome.viewers.full.fps_min;
    ensure!(slowest >= MIN_FPS, "the slowest viewer got {slowest:.2} frames a second instead of {MIN_FPS}");
    let (before, after) = (outcome.before, outcome.after);
    let more = after.rss_kib.saturating_sub(before.rss_kib);
    ensure!(
        more <= MAX_GROWTH_KIB,
        "the server uses {more} KiB more than before; the limit is {MAX_GROWTH_KIB} KiB"
    );
    ensure!(
        after.descriptors == before.descriptors,
        "the number of open descriptors changed from {} to {}",
        before.descriptors,
        after.descriptors
    );
    ensure!(
        after.children == before.children,
        "the number of child processes changed from {} to {}",
        before.children,
        after.children
    );
    Ok(())
}

fn markdown(outcome: &Outcome) -> String {
    let mut out = outcome.about.head("Hostile clients of all kinds beside viewers");
    let (full, ProcessState { rss_kib, descriptors, children }) = (&outcome.viewers.full, outcome.before);
    let after = outcome.after;
    write!(
        out,
        "{VIEWERS} viewers for {} s beside hostile clients; then {} s of rest.\n\n\
         | viewers: fps median | fps min | age p99 ms | server CPU % | RSS MiB before | after | descriptors before | after \
         | children before | after |\n|---|---|---|---|---|---|---|---|---|---|\n\
         | {:.2} | {:.2} | {:.0} | {:.0} | {:.1} | {:.1} | {descriptors} | {} | {children} | {} |\n\n\
         | kind | turns | served | refused | ended with an error |\n|---|---|---|---|---|\n",
        outcome.seconds,
        RECOVERY.as_secs(),
        full.fps_median,
        full.fps_min,
        full.age_p99_ms,
        outcome.viewers.of_server(|server| server.cpu_percent),
        rss_kib as f64 / 1024.0,
        after.rss_kib as f64 / 1024.0,
        after.descriptors,
        after.children,
    )
    .expect("a string takes all text");
    for KindResult { kind, turns, served, refused, failed } in &outcome.kinds {
        writeln!(out, "| {kind} | {turns} | {served} | {refused} | {failed} |")
            .expect("a string takes all text");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_that_is_refused_as_a_whole_shows_nothing() {
        let tally = |served, refused| KindResult { kind: "tables", turns: 100, served, refused, failed: 0 };
        assert!(is_as_expected(Expectation::Service, &tally(60, 40)));
        assert!(!is_as_expected(Expectation::Service, &tally(1, 99)));
        assert!(is_as_expected(Expectation::SomeService, &tally(1, 99)));
        assert!(!is_as_expected(Expectation::SomeService, &tally(0, 100)));
        assert!(is_as_expected(Expectation::Refusal, &tally(0, 100)));
        assert!(!is_as_expected(Expectation::Refusal, &tally(1, 99)), "a guess that is right is none");
        let failed = KindResult { failed: 100, ..tally(0, 0) };
        assert!(!is_as_expected(Expectation::Nothing, &failed));
    }
}
