//! Measures what viewers of coded video cost Framecast, beside a bare send of the same bytes to as many viewers that
//! acknowledge as often.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::{
    crowd::VideoCrowd,
    file::{FPS, FileShape},
    site::{self, Stage, VideoOptions},
    viewer::{Door, Media},
};
use crate::{
    proc::{Sample, ThreadTime},
    setup::{self, CEILING},
    stats::Spread,
};

const SHAPE: FileShape = FileShape { width_px: 1280, height_px: 720, mbit_per_s: 3.0, keyframe_each_s: 4 };

const FRAMECAST: &str = "framecast";

/// The name of the row with one viewer, which shows what reading the camera costs.
const ONE_VIEWER: &str = "framecast, one viewer";

/// The name of the row with viewers of `stream.mp4`, who acknowledge nothing.
const STREAM: &str = "framecast, stream.mp4";

/// The pause from when each viewer has a frame until the measurement starts.
const WARM_UP: Duration = Duration::from_secs(2);

/// The share of the frames that the viewer with the fewest must get.
const MIN_SHARE: f64 = 0.95;

/// The options of the command `video cost`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    video: VideoOptions,
    /// Number of viewers.
    #[arg(long, default_value_t = 200)]
    viewers: usize,
    /// Number of passes; results are medians over the passes.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    when: setup::RunTime,
    video: String,
    runs: Vec<Run>,
}

/// The results of one server in one measurement.
#[derive(Debug, Serialize)]
struct Run {
    pass: u32,
    server: &'static str,
    viewers: usize,
    /// CPU microseconds of the server for each viewer and second.
    cpu_us_per_viewer_second: f64,
    cpu_percent: f64,
    waited_percent: f64,
    load_busy_percent: f64,
    mbit_per_viewer_second: f64,
    fps_min: f64,
    fps_max: f64,
    dropped: u64,
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// A server does not start, or closes a viewer, or a viewer gets too few frames. The report cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stage = Stage::new(&options.video, SHAPE)?;
    let mut runs = Vec::new();
    for pass in 0..options.runs {
        let all = options.viewers;
        let mut order = [(CEILING, all), (FRAMECAST, all), (STREAM, all), (ONE_VIEWER, 1)];
        if pass % 2 == 1 {
            order.reverse();
        }
        for (server, viewers) in order {
            let run = measure(options, &stage, pass, server, viewers).context(server)?;
            eprintln!(
                "pass {} {server}: {:.0} µs a viewer-second, CPU {:.1} %, load busy {:.0} %",
                pass + 1,
                run.cpu_us_per_viewer_second,
                run.cpu_percent,
                run.load_busy_percent
            );
            runs.push(run);
        }
    }
    let outcome = Outcome { when: stage.when.clone(), video: stage.video.clone(), runs };
    let markdown = markdown(options, &stage, &outcome);
    setup::publish(options.video.out.as_deref(), &stage.when, "video-cost", &markdown, &outcome)?;
    outcome.runs.iter().try_for_each(|run| {
        let (fps, pass) = (run.fps_min, run.pass + 1);
        let is_at_pace = fps >= MIN_SHARE * FPS as f64 && run.dropped == 0;
        ensure!(
            is_at_pace,
            "pass {pass}, {}: a viewer got {fps:.1} frames a second: the run is void",
            run.server
        );
        Ok(())
    })
}

fn measure(options: &Options, stage: &Stage, pass: u32, server: &'static str, viewers: usize) -> Result<Run> {
    if server == CEILING {
        let ceiling = stage.start_ceiling()?;
        return window(options, pass, server, viewers, ceiling.address(), ceiling.pid());
    }
    let site = stage.start(1, "10s")?;
    window(options, pass, server, viewers, site.address(), site.pid())
}

fn window(
    options: &Options,
    pass: u32,
    server: &'static str,
    viewers: usize,
    address: SocketAddr,
    pid: u32,
) -> Result<Run> {
    let mut crowd = VideoCrowd::new()?;
    let door = if server == STREAM { Door::Stream } else { Door::Tile };
    crowd.join(address, vec![site::name(1); viewers], door, Media::Drop)?;
    crowd.watch_until_all_have_frames()?;
    crowd.watch(WARM_UP)?;
    crowd.reset();
    let (before, own, started) = (Sample::of(pid)?, ThreadTime::own(), Instant::now());
    crowd.watch(Duration::from_secs(options.seconds))?;
    let (after, (ran, waited)) = (Sample::of(pid)?, ThreadTime::own().seconds_since(own));
    let elapsed = started.elapsed().as_secs_f64();
    ensure!(crowd.closed() == 0, "the server closed {} viewers", crowd.closed());
    let frames = crowd.viewers.iter().map(|viewer| viewer.seen.arrivals.len());
    let (cpu, viewer_seconds) = (after.cpu_seconds_since(&before), viewers as f64 * elapsed);
    Ok(Run {
        pass,
        server,
        viewers,
        cpu_us_per_viewer_second: cpu * 1e6 / viewer_seconds,
        cpu_percent: 100.0 * cpu / elapsed,
        waited_percent: 100.0 * after.waited_seconds_since(&before) / elapsed,
        load_busy_percent: 100.0 * (ran + waited) / elapsed,
        mbit_per_viewer_second: crowd.bytes() as f64 * 8.0 / 1e6 / viewer_seconds,
        fps_min: crowd.min_frames() as f64 / elapsed,
        fps_max: frames.max().unwrap_or(0) as f64 / elapsed,
        dropped: crowd.viewers.iter().map(|viewer| viewer.seen.told_dropped).sum(),
    })
}

fn markdown(options: &Options, stage: &Stage, outcome: &Outcome) -> String {
    let method = format!(
        "{} tiles of `/api/live`, each on its own connection, which acknowledge four times a second. The ceiling is one \
         thread that sends one ready WebSocket message a frame to each viewer, with the same bytes, and reads the \
         acknowledgements. {} passes of {} s, servers in turns, median (min–max). Ratios are formed within each pass. The \
         viewers of `stream.mp4` acknowledge nothing. The row with one viewer shows what reading and packing the camera \
         costs: the last column has it taken away.",
        options.viewers, options.runs, options.seconds
    );
    let mut out = stage.head("What viewers of coded video cost", &method);
    out.push_str(
        "| server | CPU µs a viewer-second | CPU % | against the ceiling | Mbit/s a viewer | fps min | server waited % | \
         load busy % | without the camera |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    let of = |server: &'static str| outcome.runs.iter().filter(move |run| run.server == server);
    let seconds_of = |server| of(server).map(|run| (run.pass, run.cpu_percent));
    for server in [CEILING, FRAMECAST, STREAM, ONE_VIEWER] {
        let figure = |figure: fn(&Run) -> f64| Spread::of(of(server).map(figure));
        let ratio = Spread::of_ratios(seconds_of(server), seconds_of(CEILING)).show(3);
        let bare =
            of(server).zip(of(ONE_VIEWER)).map(|(run, one)| (run.pass, run.cpu_percent - one.cpu_percent));
        let bare = Spread::of_ratios(bare, seconds_of(CEILING)).show(3);
        writeln!(
            out,
            "| {server} | {} | {} | {ratio} | {} | {} | {} | {} | {} |",
            figure(|run| run.cpu_us_per_viewer_second).show(0),
            figure(|run| run.cpu_percent).show(1),
            figure(|run| run.mbit_per_viewer_second).show(2),
            figure(|run| run.fps_min).show(1),
            figure(|run| run.waited_percent).show(1),
            figure(|run| run.load_busy_percent).show(0),
            if [FRAMECAST, STREAM].contains(&server) { bare } else { "–".to_owned() },
        )
        .expect("a string takes all text");
    }
    out
}
