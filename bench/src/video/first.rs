//! Measures how long a new viewer waits for the first frame that a decoder can use: from a camera that runs, and from a
//! camera that nobody watched.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::{
    crowd::VideoCrowd,
    file::FileShape,
    site::{self, SendTimes, Site, Stage, VideoOptions},
    viewer::{Door, Media},
};
use crate::{setup, stats::percentile};

const SHAPE: FileShape = FileShape { width_px: 1280, height_px: 720, mbit_per_s: 3.0, keyframe_each_s: 4 };

/// The numbers of the camera that runs all the time, and of the one that is opened for each viewer.
const RUNNING: usize = 1;
const IDLE: usize = 2;

/// How long Framecast shows the last frames of a camera that it has closed, and some more.
const AFTER_CLOSING: Duration = Duration::from_secs(3);

/// The options of the command `video first`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    video: VideoOptions,
    /// Number of viewers that come to the running camera, one after the other, by each way.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    joins: u32,
    /// Number of viewers that come to the idle camera, by each way.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=100))]
    openings: u32,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    when: setup::RunTime,
    video: String,
    running: Vec<Joins>,
    idle: Vec<Openings>,
}

/// How long the viewers of the running camera waited for a whole keyframe, in milliseconds and in ascending order.
#[derive(Debug, Serialize)]
struct Joins {
    door: Door,
    since_request_ms: Vec<f64>,
    since_connecting_ms: Vec<f64>,
}

/// How long the viewers of the idle camera waited for its first keyframe, in milliseconds and in ascending order.
#[derive(Debug, Serialize)]
struct Openings {
    door: Door,
    since_request_ms: Vec<f64>,
    /// The time since the camera began to send the keyframe.
    since_keyframe_ms: Vec<f64>,
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// A viewer gets no frame, or its first frame is no keyframe. The report cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stage = Stage::new(&options.video, SHAPE)?;
    let site = stage.start(2, "1s")?;
    let running = Door::ALL.map(|door| joins(&site, door, options.joins));
    let idle = Door::ALL.map(|door| openings(&site, door, options.openings));
    let outcome = Outcome {
        when: stage.when.clone(),
        video: stage.video.clone(),
        running: running.into_iter().collect::<Result<_>>()?,
        idle: idle.into_iter().collect::<Result<_>>()?,
    };
    let markdown = markdown(&stage, &outcome);
    setup::publish(options.video.out.as_deref(), &stage.when, "video-first", &markdown, &outcome)
}

fn joins(site: &Site, door: Door, count: u32) -> Result<Joins> {
    let mut steady = VideoCrowd::new()?;
    steady.join(site.address(), [site::name(RUNNING)], Door::Tile, Media::Drop)?;
    steady.watch_until_all_have_frames()?;
    let mut joins = Joins { door, since_request_ms: Vec::new(), since_connecting_ms: Vec::new() };
    for number in 0..count {
        // Steps of the golden ratio of a GOP, so that the joins spread over all of it.
        let phase = f64::from(number + 1) * 0.618 % 1.0;
        steady.watch(Duration::from_secs_f64(0.2 + phase * SHAPE.keyframe_each_s as f64 / 4.0))?;
        let join = join(site, RUNNING, door)?;
        joins.since_request_ms.push(join.since_request_ms);
        joins.since_connecting_ms.push(join.since_connecting_ms);
    }
    joins.since_request_ms.sort_by(f64::total_cmp);
    joins.since_connecting_ms.sort_by(f64::total_cmp);
    ensure!(steady.closed() == 0, "the viewer that stays was closed");
    Ok(joins)
}

fn openings(site: &Site, door: Door, count: u32) -> Result<Openings> {
    let camera = &site.cameras.cameras()[IDLE - 1];
    let mut openings = Openings { door, since_request_ms: Vec::new(), since_keyframe_ms: Vec::new() };
    for _ in 0..count {
        site.await_closed()?;
        // Until then, a viewer gets the last frames of the session before.
        std::thread::sleep(AFTER_CLOSING);
        let join = join(site, IDLE, door)?;
        let sent_us = SendTimes::of(camera).first_us().context("the camera has sent nothing")?;
        openings.since_request_ms.push(join.since_request_ms);
        openings.since_keyframe_ms.push(ms_between(sent_us, join.at_us));
    }
    openings.since_request_ms.sort_by(f64::total_cmp);
    openings.since_keyframe_ms.sort_by(f64::total_cmp);
    Ok(openings)
}

/// The first frame of a viewer.
struct Join {
    at_us: u64,
    since_request_ms: f64,
    since_connecting_ms: f64,
}

fn join(site: &Site, camera: usize, door: Door) -> Result<Join> {
    let mut crowd = VideoCrowd::new()?;
    crowd.join(site.address(), [site::name(camera)], door, Media::Keep)?;
    crowd.watch_until_all_have_frames()?;
    let viewer = &crowd.viewers[0];
    let first = viewer.seen.arrivals[0];
    ensure!(first.is_keyframe, "the first frame of a viewer is no keyframe");
    Ok(Join {
        at_us: first.at_us,
        since_request_ms: ms_between(viewer.requested_us, first.at_us),
        since_connecting_ms: ms_between(viewer.connecting_us, first.at_us),
    })
}

fn ms_between(from_us: u64, to_us: u64) -> f64 {
    to_us.saturating_sub(from_us) as f64 / 1000.0
}

fn markdown(stage: &Stage, outcome: &Outcome) -> String {
    let method = "Each viewer reads until it has its first keyframe whole. Of `/api/live`, the request is `subscribe`. \
                  The viewers come at phases that spread over the GOP.";
    let mut out = stage.head("The first frame of coded video", method);
    let row = |out: &mut String, name: &str, what: &str, ms: &[f64]| {
        let [p50, p95, max] = [50.0, 95.0, 100.0].map(|percent| percentile(ms, percent));
        writeln!(out, "| {name} | {what} | {} | {p50:.1} | {p95:.1} | {max:.1} |", ms.len())
            .expect("a string takes all text");
    };
    out.push_str("| camera, way | time to a whole keyframe since | viewers | p50 ms | p95 ms | max ms |\n");
    out.push_str("|---|---|---|---|---|---|\n");
    for joins in &outcome.running {
        let name = format!("running, {}", joins.door.name());
        row(&mut out, &name, "the request", &joins.since_request_ms);
        row(&mut out, &name, "the viewer began to connect", &joins.since_connecting_ms);
    }
    for openings in &outcome.idle {
        let name = format!("idle, {}", openings.door.name());
        row(&mut out, &name, "the camera sent it", &openings.since_keyframe_ms);
        row(&mut out, &name, "the request", &openings.since_request_ms);
    }
    out
}
