//! Measures what it costs Framecast to read network cameras: Framecast keeps many `http:` streams open all the time. If
//! several Framecast programs are given, they are measured one after the other in each pass.
//!
//! The ceiling server (a minimal streaming server, which is part of this program) simulates the cameras, on the CPU of
//! the load generator. Each camera is a separate connection to the ceiling server. By default there are no viewers, so
//! the run measures only how pictures get into Framecast. With `--watched`, each camera has one viewer, so the run
//! measures each picture's whole way through Framecast.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::{
    api,
    load::Load,
    proc::Sample,
    server::Candidate,
    setup::{self, RunContext, Setup},
    stats::Spread,
};

/// The share of the sent frames that must arrive from each camera: 29 of 30. One frame fewer is allowed, because a
/// measured window begins and ends between two frames.
const MIN_SHARE: f64 = 29.0 / 30.0;

/// The maximum time to wait until each camera has delivered its first picture.
const TIMEOUT: Duration = Duration::from_secs(15);

const POLL: Duration = Duration::from_millis(50);

/// The pause from the moment when every camera has delivered a picture until the measurement starts.
const WARM_UP: Duration = Duration::from_secs(1);

/// The options of the command `cameras`: the number of cameras and of passes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: setup::Options,
    /// Number of cameras.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    cameras: u32,
    /// Connect one viewer to each camera. Without this option, the server keeps the cameras open without viewers.
    #[arg(long)]
    watched: bool,
    #[command(flatten)]
    passes: setup::Passes,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    about: RunContext,
    cameras: u32,
    watched: bool,
    runs: Vec<Run>,
}

/// The results of one server in one measurement.
#[derive(Debug, Serialize)]
struct Run {
    pass: u32,
    server: String,
    /// Length of the measurement in seconds.
    seconds: f64,
    /// CPU seconds that the server's process used, per second of the measurement.
    cpu_share: f64,
    /// CPU microseconds that the server's process used for each frame that it received from a camera.
    cpu_us_per_frame: f64,
    /// Seconds that the server's threads together waited for a CPU that other processes used, per second of the
    /// measurement.
    waited_share: f64,
    rss_kib: u64,
    /// Growth of the server's resident memory for each camera, in KiB: from before the cameras have viewers to the end
    /// of the measurement. `None` if the cameras are open without viewers.
    kib_per_camera: Option<f64>,
    threads: usize,
    /// Frames per second of the viewer that received the fewest; `None` without viewers.
    viewer_fps_min: Option<f64>,
    /// Frames per second that arrived from each camera, in ascending order.
    fps: Vec<f64>,
    /// Number of broken pictures, plus the number of times that a camera's stream had to be opened again, over all
    /// cameras. The number is zero in a valid run.
    faults: u64,
}

impl Run {
    fn fps_min(&self) -> f64 {
        self.fps.first().copied().unwrap_or_default()
    }

    /// Returns whether enough frames arrived from the slowest camera, and at the slowest viewer. `fps` is the rate at
    /// which the cameras send.
    fn is_at_pace(&self, fps: f64) -> bool {
        let slowest = self.viewer_fps_min.unwrap_or(f64::INFINITY).min(self.fps_min());
        slowest * self.seconds + 1.0 >= MIN_SHARE * fps * self.seconds
    }
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// `--server` is missing. A server does not start or does not read its cameras. Too few frames or broken frames arrive
/// from a camera, or its stream had to be opened again. The report cannot be written to the folder.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(
        !options.setup.server.is_empty(),
        "--server is missing: pass it once for each server; the first one is the baseline"
    );
    let setup = Setup::with(&options.setup, Candidate::framecasts(&options.setup.server)?)?;
    let mut runs = Vec::new();
    for pass in 0..options.passes.runs {
        for candidate in setup.turns(pass) {
            let run = measure(options, &setup, candidate, pass).with_context(|| candidate.name.clone())?;
            eprintln!(
                "pass {} {}: CPU {:.1} %, {:.0} µs/frame, fps min {:.1}, {} threads",
                pass + 1,
                run.server,
                100.0 * run.cpu_share,
                run.cpu_us_per_frame,
                run.fps_min(),
                run.threads
            );
            runs.push(run);
        }
    }
    let outcome = Outcome { about: setup.about, cameras: options.cameras, watched: options.watched, runs };
    let markdown = markdown(options, &outcome);
    setup::publish(options.setup.out.as_deref(), &outcome.about.when, "cameras", &markdown, &outcome)?;
    ensure_whole(&outcome)
}

fn ensure_whole(outcome: &Outcome) -> Result<()> {
    let sent = f64::from(outcome.about.fps);
    for run in &outcome.runs {
        let Run { pass, server, faults, .. } = run;
        let pass = pass + 1;
        ensure!(
            *faults == 0,
            "pass {pass}, {server}: {faults} broken pictures or reopened cameras: the run is void"
        );
        ensure!(
            run.is_at_pace(sent),
            "pass {pass}, {server}: a camera delivered {:.1} frames a second, and a viewer got {:.1}, instead of {:.1}: \
             the run is void",
            run.fps_min(),
            run.viewer_fps_min.unwrap_or(sent),
            MIN_SHARE * sent
        );
    }
    Ok(())
}

fn measure(options: &Options, setup: &Setup, candidate: &Candidate, pass: u32) -> Result<Run> {
    let source = setup.start_on_load_cpu(&Candidate::ceiling(setup::CEILING)?)?;
    let streams = (1..=options.cameras).map(|number| format!("{}camera-{number}", source.url())).collect();
    let idle_timeout = if options.watched { "10s" } else { "never" };
    let server = setup.start(&candidate.reading(streams, idle_timeout))?;
    let idle = Sample::of(server.pid())?;
    let mut load = options.watched.then(|| watch_each(server.address(), options.cameras)).transpose()?;
    match &mut load {
        Some(load) => load.warm_up(WARM_UP)?,
        None => {
            await_pictures(server.address(), options.cameras as usize)?;
            std::thread::sleep(WARM_UP);
        }
    }
    let first = CameraCounts::at(server.address())?;
    let (started, before) = (Instant::now(), Sample::of(server.pid())?);
    let period = Duration::from_secs(options.passes.seconds);
    match &mut load {
        Some(load) => {
            load.reset();
            load.run_until(started + period)?;
        }
        None => std::thread::sleep(period),
    }
    let (elapsed, after) = (started.elapsed().as_secs_f64(), Sample::of(server.pid())?);
    let last = CameraCounts::at(server.address())?;
    let mut fps = last.fps_since(&first);
    fps.sort_by(f64::total_cmp);
    let cpu_share = after.cpu_seconds_since(&before) / elapsed;
    let grown_kib = after.rss_kib as f64 - idle.rss_kib as f64;
    Ok(Run {
        pass,
        server: candidate.name.clone(),
        seconds: last.seconds_since(&first),
        cpu_share,
        cpu_us_per_frame: cpu_share * 1e6 / fps.iter().sum::<f64>().max(1.0),
        waited_share: after.waited_seconds_since(&before) / elapsed,
        rss_kib: after.rss_kib,
        kib_per_camera: options.watched.then(|| grown_kib / f64::from(options.cameras)),
        threads: after.thread_count(),
        viewer_fps_min: load.map(|load| load.min_frames() as f64 / elapsed),
        fps,
        faults: last.faults,
    })
}

/// Connects one viewer to each of the server's `count` cameras.
fn watch_each(server: SocketAddr, count: u32) -> Result<Load> {
    let paths: Vec<_> = (1..=count).map(|number| format!("/cameras/bench-{number}/stream.mjpg")).collect();
    Load::connect_each(server, &paths)
}

/// Waits until the server has received a picture from each of its `count` cameras.
fn await_pictures(server: SocketAddr, count: usize) -> Result<()> {
    let give_up = Instant::now() + TIMEOUT;
    loop {
        let CameraCounts { frames, .. } = CameraCounts::at(server)?;
        ensure!(frames.len() == count, "the server has {} cameras instead of {count}", frames.len());
        let without = frames.iter().filter(|frames| **frames == 0).count();
        if without == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < give_up, "{without} of {count} cameras delivered no picture");
        std::thread::sleep(POLL);
    }
}

/// The counts that a server's `/api/cameras` reports at one moment.
#[derive(Debug)]
struct CameraCounts {
    at: Instant,
    /// Number of pictures that the server has received from each camera since the server started.
    frames: Vec<u64>,
    faults: u64,
}

impl CameraCounts {
    fn at(server: SocketAddr) -> Result<Self> {
        let answer = api::get(server, "/api/cameras")?;
        let at = Instant::now();
        let cameras = answer["cameras"].as_array().context("/api/cameras contains no list of cameras")?;
        let count = |camera: &Value, field: &str| {
            camera[field].as_u64().with_context(|| format!("a camera in /api/cameras has no {field}"))
        };
        let mut look = Self { at, frames: Vec::new(), faults: 0 };
        for camera in cameras {
            look.frames.push(count(camera, "frames")?);
            look.faults += count(camera, "broken")? + count(camera, "opened")?.saturating_sub(1);
        }
        Ok(look)
    }

    fn seconds_since(&self, earlier: &Self) -> f64 {
        self.at.duration_since(earlier.at).as_secs_f64()
    }

    /// Returns, for each camera, the frames per second between `earlier` and these counts.
    fn fps_since(&self, earlier: &Self) -> Vec<f64> {
        let seconds = self.seconds_since(earlier);
        self.frames
            .iter()
            .zip(&earlier.frames)
            .map(|(now, then)| now.saturating_sub(*then) as f64 / seconds)
            .collect()
    }
}

fn markdown(options: &Options, outcome: &Outcome) -> String {
    let mut out = outcome.about.head("Reading network cameras");
    writeln!(
        out,
        "{} cameras by `http:`, {}; {} passes of {} s, servers in turns, median (min–max). The ratio is formed within \
         each pass.\n\n\
         | server | CPU % | CPU µs/frame | CPU against the first row | fps min | RSS MiB | KiB/camera | threads | server \
         waited % |\n\
         |---|---|---|---|---|---|---|---|---|",
        outcome.cameras,
        if outcome.watched { "one viewer each" } else { "read all the time, without viewers" },
        options.passes.runs,
        options.passes.seconds,
    )
    .expect("a string takes all text");
    let of = |name: &String| outcome.runs.iter().filter(|run| run.server == *name).collect::<Vec<_>>();
    let costs = |name: &String| of(name).into_iter().map(|run| (run.pass, run.cpu_us_per_frame));
    for server in &outcome.about.servers {
        let figure = |figure: fn(&Run) -> f64| Spread::of(of(server).into_iter().map(figure));
        writeln!(
            out,
            "| {server} | {} | {} | {} | {} | {} | {} | {} | {} |",
            figure(|run| 100.0 * run.cpu_share).show(1),
            figure(|run| run.cpu_us_per_frame).show(0),
            Spread::of_ratios(costs(server), costs(&outcome.about.servers[0])).show(3),
            figure(Run::fps_min).show(1),
            figure(|run| run.rss_kib as f64 / 1024.0).show(1),
            if outcome.watched {
                figure(|run| run.kib_per_camera.unwrap_or_default()).show(0)
            } else {
                "–".to_owned()
            },
            figure(|run| run.threads as f64).show(0),
            figure(|run| 100.0 * run.waited_share).show(1),
        )
        .expect("a string takes all text");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_camera_decides_and_each_has_its_own_rate() {
        let at = Instant::now();
        let first = CameraCounts { at, frames: vec![10, 100, 7], faults: 0 };
        let last = CameraCounts { at: at + Duration::from_secs(2), frames: vec![70, 160, 65], faults: 0 };
        assert_eq!(last.fps_since(&first), [30.0, 30.0, 29.0]);
    }

    #[test]
    fn a_frame_just_outside_the_window_does_not_void_a_run() {
        let is_at_pace = |frames: f64, seconds: f64| {
            let (server, fps) = ("framecast".to_owned(), vec![frames / seconds]);
            let (cpu_share, cpu_us_per_frame, waited_share) = (0.0, 0.0, 0.0);
            Run {
                pass: 0,
                server,
                seconds,
                cpu_share,
                cpu_us_per_frame,
                waited_share,
                rss_kib: 0,
                kib_per_camera: None,
                threads: 0,
                viewer_fps_min: None,
                fps,
                faults: 0,
            }
            .is_at_pace(30.0)
        };
        assert!(is_at_pace(29.0, 1.005) && is_at_pace(58.0, 2.005) && is_at_pace(290.0, 10.005));
        assert!(!is_at_pace(28.0, 1.005) && !is_at_pace(57.0, 2.005) && !is_at_pace(289.0, 10.005));
    }
}
