//! Measures many short visits per second: each visitor connects, receives one picture and leaves. Other viewers (called
//! steady) stay connected all the time. The results are how long each visitor waits for a picture, and how much less
//! the steady viewers receive during the visits than without them.

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, EventData, EventFlags},
    },
    io::Errno,
};
use serde::Serialize;

use crate::{
    client::{Bodies, ReadOutcome as Read, Viewer},
    load::{self, Load, Window},
    proc::{self, Sample},
    report::{self, Report},
    server::Server,
    setup::{self, RunContext, Setup},
    stats::{Spread, percentile},
};

/// The epoll token of events for the viewers that stay connected; every other token is the number of a short visit.
const STEADY: u64 = u64::MAX;

/// The maximum time that a visitor waits for a picture. If none arrives in this time, the visit has failed.
const TIMEOUT: Duration = Duration::from_secs(5);

const SCRATCH_BYTES: usize = 256 * 1024;

/// The options of the command `churn`: the rate of short visits, and the number of viewers that stay connected.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: setup::Options,
    /// Number of viewers that stay connected.
    #[arg(long, default_value_t = 50)]
    viewers: usize,
    /// Number of short visits per second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    connects: u32,
    #[command(flatten)]
    passes: setup::Passes,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    about: RunContext,
    connects_per_second: u32,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    pass: u32,
    server: String,
    /// What the viewers that stay connected received before the short visits began.
    alone: Report,
    /// What the viewers that stay connected received during the short visits.
    beside: Report,
    guests: ShortViewers,
}

/// The results of all short visits of one measurement.
#[derive(Debug, Serialize)]
struct ShortViewers {
    /// Number of visits that received a picture.
    served: usize,
    /// Number of visits that could not connect, whose connection the server closed, or that received no picture within
    /// 5 s.
    failed: usize,
    /// Number of pictures that arrived without the start or the end of a JPEG, over all visits.
    torn: u64,
    /// The median time of a visit, from the start of connecting to the last byte of the first picture, in milliseconds.
    first_p50_ms: f64,
    first_p95_ms: f64,
    first_p99_ms: f64,
    first_max_ms: f64,
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// A server does not start or does not respond. A short visit fails. Pictures arrive broken or out of order, or the
/// server closes the connection of a viewer. The report cannot be written to the folder.
pub(crate) fn run(options: &Options) -> Result<()> {
    proc::raise_descriptor_limit();
    let setup = Setup::new(&options.setup)?;
    let mut runs = Vec::new();
    for pass in 0..options.passes.runs {
        for candidate in setup.turns(pass) {
            let server = setup.start(candidate)?;
            let (alone, beside, guests) = measure(options, &server).context(candidate.name.clone())?;
            eprintln!(
                "pass {} {}: {} guests, first picture p50 {:.1} ms, {} failed; {beside}",
                pass + 1,
                candidate.name,
                guests.served,
                guests.first_p50_ms,
                guests.failed
            );
            runs.push(Run { pass, server: candidate.name.clone(), alone, beside, guests });
        }
    }
    let outcome = Outcome { about: setup.about, connects_per_second: options.connects, runs };
    let markdown = markdown(options, &outcome);
    setup::publish(options.setup.out.as_deref(), &outcome.about.when, "churn", &markdown, &outcome)?;
    report::ensure_intact(outcome.runs.iter().flat_map(|run| [&run.alone, &run.beside]))?;
    let faults: u64 = outcome.runs.iter().map(|run| run.guests.torn + run.guests.failed as u64).sum();
    ensure!(faults == 0, "{faults} guests failed or got a torn picture");
    Ok(())
}

fn measure(options: &Options, server: &Server) -> Result<(Report, Report, ShortViewers)> {
    let time = Duration::from_secs(options.passes.seconds);
    let idle = Some(Sample::of(server.pid())?);
    let load = load::Options::full(server.url(), options.viewers, options.passes.seconds, server.pid());
    let (address, path) = load::parse_url(&load.url)?;
    let mut steady = Load::connect(address, &path, &load)?;
    steady.warm_up(Duration::from_secs(1))?;
    let window = Window::open(&mut steady, Some(server.pid()), idle.clone())?;
    steady.run_until(Instant::now() + time)?;
    let alone = window.close(&steady)?;
    let mut churn = Churn::new(address, path, steady)?;
    let window = Window::open(&mut churn.steady, Some(server.pid()), idle)?;
    churn.run(options.connects, time)?;
    let beside = window.close(&churn.steady)?;
    churn.finish_pending()?;
    Ok((alone, beside, churn.guests()))
}

/// The short visits, and the viewers that stay connected, on one epoll.
struct Churn {
    address: SocketAddr,
    path: String,
    steady: Load,
    epoll: std::os::fd::OwnedFd,
    /// The visits that have not received a picture yet, by number, each with the time when it began to connect.
    here: HashMap<u64, (Viewer, Instant)>,
    came: u64,
    failed: usize,
    torn: u64,
    first_ms: Vec<f64>,
    scratch: Vec<u8>,
}

impl Churn {
    fn new(address: SocketAddr, path: String, steady: Load) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, steady.epoll(), EventData::new_u64(STEADY), EventFlags::IN)?;
        Ok(Self {
            address,
            path,
            steady,
            epoll,
            here: HashMap::new(),
            came: 0,
            failed: 0,
            torn: 0,
            first_ms: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    fn run(&mut self, connects_per_second: u32, time: Duration) -> Result<()> {
        let started = Instant::now();
        let interval = Duration::from_secs(1) / connects_per_second;
        let mut next = started;
        while started.elapsed() < time {
            if Instant::now() >= next {
                self.accept_viewer()?;
                next += interval;
            }
            self.turn(next.saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }

    /// Waits until every visit that has begun has received its picture. A visit without a picture after 5 s has failed.
    fn finish_pending(&mut self) -> Result<()> {
        let give_up = Instant::now() + TIMEOUT;
        while !self.here.is_empty() && Instant::now() < give_up {
            self.turn(Duration::from_millis(10))?;
        }
        self.failed += self.here.len();
        Ok(())
    }

    fn accept_viewer(&mut self) -> Result<()> {
        let began = Instant::now();
        self.came += 1;
        let Ok(viewer) = Viewer::connect(self.address, &self.path, None) else {
            self.failed += 1;
            return Ok(());
        };
        epoll::add(&self.epoll, viewer.socket(), EventData::new_u64(self.came), EventFlags::IN)?;
        self.here.insert(self.came, (viewer, began));
        Ok(())
    }

    fn turn(&mut self, longest: Duration) -> Result<()> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: longest.subsec_nanos().into() };
        let mut events = Vec::with_capacity(256);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events {
            match event.data.u64() {
                STEADY => self.steady.turn(Duration::ZERO)?,
                short_viewer => self.read(short_viewer)?,
            }
        }
        Ok(())
    }

    /// Reads the bytes that have arrived for the visit with this number. The visit ends once a whole picture has
    /// arrived.
    fn read(&mut self, short_viewer: u64) -> Result<()> {
        let Some((viewer, began)) = self.here.get_mut(&short_viewer) else {
            return Ok(());
        };
        let outcome = viewer.read(Bodies::Drop, usize::MAX, &mut self.scratch)?;
        if viewer.seen.frames > 0 {
            self.first_ms.push(began.elapsed().as_secs_f64() * 1000.0);
            self.torn += viewer.seen.corrupt;
        } else if outcome == Read::Closed || began.elapsed() > TIMEOUT {
            self.failed += 1;
        } else {
            return Ok(());
        }
        self.here.remove(&short_viewer);
        Ok(())
    }

    fn guests(mut self) -> ShortViewers {
        self.first_ms.sort_by(f64::total_cmp);
        ShortViewers {
            served: self.first_ms.len(),
            failed: self.failed,
            torn: self.torn,
            first_p50_ms: percentile(&self.first_ms, 50.0),
            first_p95_ms: percentile(&self.first_ms, 95.0),
            first_p99_ms: percentile(&self.first_ms, 99.0),
            first_max_ms: percentile(&self.first_ms, 100.0),
        }
    }
}

fn markdown(options: &Options, outcome: &Outcome) -> String {
    let mut out = outcome.about.head("Viewers who come and go beside steady ones");
    writeln!(
        out,
        "{} steady viewers, by themselves and then beside {} connections a second that take one picture each; {} passes of \
         {} s each. The first picture's time is from before connecting to its last byte. Median (min–max) over the passes.\n\n\
         | server | guests served | failed | first picture p50 ms | p99 ms | steady: fps min, alone | beside \
         | age p50 ms, alone | beside | age p99 ms, alone | beside | CPU %, alone | beside | server waited % |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        options.viewers,
        options.connects,
        options.passes.runs,
        options.passes.seconds,
    )
    .expect("a string takes all text");
    for server in &outcome.about.servers {
        let runs = || outcome.runs.iter().filter(|run| run.server == *server);
        let guests = |decimals, figure: fn(&ShortViewers) -> f64| {
            Spread::of(runs().map(|run| figure(&run.guests))).show(decimals)
        };
        let both = |figure: fn(&Report) -> f64| {
            let alone = Spread::of(runs().map(|run| figure(&run.alone))).show(1);
            let beside = Spread::of(runs().map(|run| figure(&run.beside))).show(1);
            format!("{alone} | {beside}")
        };
        let waited = |run: &Run| run.beside.of_server(|server| server.waited_percent);
        writeln!(
            out,
            "| {server} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            guests(0, |guests| guests.served as f64),
            guests(0, |guests| guests.failed as f64),
            guests(2, |guests| guests.first_p50_ms),
            guests(1, |guests| guests.first_p99_ms),
            both(|report| report.full.fps_min),
            both(|report| report.full.age_p50_ms),
            both(|report| report.full.age_p99_ms),
            both(|report| report.of_server(|server| server.cpu_percent)),
            Spread::of(runs().map(waited)).show(1),
        )
        .expect("a string takes all text");
    }
    out
}
