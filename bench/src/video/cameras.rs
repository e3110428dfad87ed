//! Measures what it costs Framecast to read many cameras with coded video: with one viewer each, and with none.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{
    crowd::VideoCrowd,
    file::{FPS, FileShape},
    site::{self, Site, Stage, VideoOptions},
    viewer::{Door, Media},
};
use crate::{
    proc::{Sample, ThreadTime},
    setup,
};

const SHAPE: FileShape = FileShape { width_px: 1920, height_px: 1080, mbit_per_s: 4.0, keyframe_each_s: 4 };

/// The pause from when each viewer has a frame until the measurement starts: the rings have been full once.
const WARM_UP: Duration = Duration::from_secs(9);

/// How long no camera may send anything once nobody watches.
const UNWATCHED: Duration = Duration::from_secs(3);

/// The share of the frames that the viewer with the fewest must get.
const MIN_SHARE: f64 = 0.95;

/// The options of the command `video cameras`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    video: VideoOptions,
    /// Number of cameras.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=200))]
    cameras: u32,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    when: setup::RunTime,
    video: String,
    cameras: u32,
    cpu_percent: f64,
    waited_percent: f64,
    load_busy_percent: f64,
    /// Resident memory before the first viewer, and at the end of the window.
    idle_kib: u64,
    watched_kib: u64,
    threads: usize,
    /// What all viewers received together.
    mbit_per_s: f64,
    fps_min: f64,
    /// Sessions that are open, and packets that came, after the last viewer has gone.
    sessions_unwatched: usize,
    packets_unwatched: u64,
    teardowns: u64,
}

impl Outcome {
    /// Returns the most memory that there may be, in MiB.
    fn limit_mib(&self) -> u32 {
        64 + 4 * self.cameras
    }
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// A viewer gets too few frames, or a camera is read although nobody watches. The report cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stage = Stage::new(&options.video, SHAPE)?;
    let site = stage.start(options.cameras as usize, "2s")?;
    let outcome = measure(options, &stage, &site)?;
    let markdown = markdown(options, &stage, &outcome);
    setup::publish(options.video.out.as_deref(), &stage.when, "video-cameras", &markdown, &outcome)?;
    let fps = outcome.fps_min;
    ensure!(fps >= MIN_SHARE * FPS as f64, "a viewer got {fps:.1} frames a second: the run is void");
    ensure!(outcome.packets_unwatched == 0, "cameras send although nobody watches");
    Ok(())
}

fn measure(options: &Options, stage: &Stage, site: &Site) -> Result<Outcome> {
    let idle = Sample::of(site.pid())?;
    let mut crowd = VideoCrowd::new()?;
    crowd.join(site.address(), (1..=options.cameras as usize).map(site::name), Door::Stream, Media::Drop)?;
    crowd.watch_until_all_have_frames()?;
    crowd.watch(WARM_UP)?;
    crowd.reset();
    let (before, own, started) = (Sample::of(site.pid())?, ThreadTime::own(), Instant::now());
    crowd.watch(Duration::from_secs(options.seconds))?;
    let (after, (ran, waited)) = (Sample::of(site.pid())?, ThreadTime::own().seconds_since(own));
    let elapsed = started.elapsed().as_secs_f64();
    ensure!(crowd.closed() == 0, "the server closed {} viewers", crowd.closed());
    let (bytes, frames) = (crowd.bytes(), crowd.min_frames());
    drop(crowd);
    site.await_closed()?;
    let packets = || site.cameras.cameras().iter().map(|camera| camera.counts().packets).sum::<u64>();
    let packets_before = packets();
    std::thread::sleep(UNWATCHED);
    let counts = || site.cameras.cameras().iter().map(|camera| camera.counts());
    Ok(Outcome {
        when: stage.when.clone(),
        video: stage.video.clone(),
        cameras: options.cameras,
        cpu_percent: 100.0 * after.cpu_seconds_since(&before) / elapsed,
        waited_percent: 100.0 * after.waited_seconds_since(&before) / elapsed,
        load_busy_percent: 100.0 * (ran + waited) / elapsed,
        idle_kib: idle.rss_kib,
        watched_kib: after.rss_kib,
        threads: after.thread_count(),
        mbit_per_s: bytes as f64 * 8.0 / 1e6 / elapsed,
        fps_min: frames as f64 / elapsed,
        sessions_unwatched: counts().map(|counts| counts.open).sum(),
        packets_unwatched: packets() - packets_before,
        teardowns: counts().map(|counts| counts.teardowns).sum(),
    })
}

fn markdown(options: &Options, stage: &Stage, outcome: &Outcome) -> String {
    let method = format!(
        "{} cameras, each with one viewer of `stream.mp4`, for {} s. Then the viewers go, and the cameras are looked at \
         for {} s. The load's time is that of the viewers; the cameras run beside them on the same CPU.",
        options.cameras,
        options.seconds,
        UNWATCHED.as_secs()
    );
    let mib = |kib: u64| kib as f64 / 1024.0;
    let row = |what: &str, figure: String, bound: &str| format!("| {what} | {figure} | {bound} |\n");
    let rows = [
        row("CPU % of one core", format!("{:.1}", outcome.cpu_percent), "100"),
        row("server waited %", format!("{:.1}", outcome.waited_percent), ""),
        row("RSS before the viewers, MiB", format!("{:.1}", mib(outcome.idle_kib)), ""),
        row(
            "RSS with them, MiB",
            format!("{:.1}", mib(outcome.watched_kib)),
            &outcome.limit_mib().to_string(),
        ),
        row("threads", outcome.threads.to_string(), ""),
        row("Mbit/s to all viewers", format!("{:.1}", outcome.mbit_per_s), ""),
        row("fps min", format!("{:.1}", outcome.fps_min), &FPS.to_string()),
        row("viewers busy %", format!("{:.1}", outcome.load_busy_percent), ""),
        row("open sessions, unwatched", outcome.sessions_unwatched.to_string(), "0"),
        row("packets, unwatched", outcome.packets_unwatched.to_string(), "0"),
        row("TEARDOWN", outcome.teardowns.to_string(), &outcome.cameras.to_string()),
    ];
    let head = stage.head("Reading many cameras with coded video", &method);
    format!("{head}| figure | is | bound |\n|---|---|---|\n{}", rows.concat())
}
