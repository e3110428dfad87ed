//! Measures how old the frames of coded video are when they arrive at a viewer, minute by minute. It shows whether a
//! stream that lasts falls behind.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{
    crowd::VideoCrowd,
    file::FileShape,
    site::{self, SendTimes, Stage, VideoOptions},
    viewer::{Door, Media},
};
use crate::{setup, stats::percentile};

const SHAPE: FileShape = FileShape { width_px: 1280, height_px: 720, mbit_per_s: 3.0, keyframe_each_s: 4 };

/// The length of a row of the table.
const ROW: Duration = Duration::from_secs(60);

/// The options of the command `video delay`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    video: VideoOptions,
    /// Seconds of the measurement; a camera remembers the times of an hour.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3900))]
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    when: setup::RunTime,
    video: String,
    rows: Vec<Minute>,
}

/// What arrived at one viewer in one minute.
#[derive(Debug, Serialize)]
struct Minute {
    door: Door,
    from_s: u64,
    frames: usize,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// The server closes a viewer. The report cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stage = Stage::new(&options.video, SHAPE)?;
    let site = stage.start(1, "10s")?;
    let mut crowd = VideoCrowd::new()?;
    for door in Door::ALL {
        crowd.join(site.address(), [site::name(1)], door, Media::Drop)?;
    }
    crowd.watch_until_all_have_frames()?;
    crowd.watch(Duration::from_secs(1))?;
    let mut rows = Vec::new();
    let mut from_s = 0;
    while from_s < options.seconds {
        crowd.reset();
        let length_s = ROW.as_secs().min(options.seconds - from_s);
        crowd.watch(Duration::from_secs(length_s))?;
        ensure!(crowd.closed() == 0, "the server closed a viewer");
        let times = SendTimes::of(&site.cameras);
        for (viewer, door) in crowd.viewers.iter().zip(Door::ALL) {
            let ages = times.ages_ms(&viewer.seen.arrivals);
            let [p50_ms, p95_ms, p99_ms, max_ms] =
                [50.0, 95.0, 99.0, 100.0].map(|percent| percentile(&ages, percent));
            rows.push(Minute { door, from_s, frames: ages.len(), p50_ms, p95_ms, p99_ms, max_ms });
        }
        from_s += length_s;
    }
    let outcome = Outcome { when: stage.when.clone(), video: stage.video.clone(), rows };
    let markdown = markdown(&stage, &outcome);
    setup::publish(options.video.out.as_deref(), &stage.when, "video-delay", &markdown, &outcome)
}

fn markdown(stage: &Stage, outcome: &Outcome) -> String {
    let method = "One viewer by each way. The age of a frame is the time from when the camera begins to send it until \
                  its last byte is at the viewer.";
    let mut out = stage.head("The delay of coded video", method);
    out.push_str(
        "| way | from second | frames | p50 ms | p95 ms | p99 ms | max ms |\n|---|---|---|---|---|---|---|\n",
    );
    for row in &outcome.rows {
        let Minute { door, from_s, frames, p50_ms, p95_ms, p99_ms, max_ms } = row;
        let name = door.name();
        writeln!(
            out,
            "| {name} | {from_s} | {frames} | {p50_ms:.1} | {p95_ms:.1} | {p99_ms:.1} | {max_ms:.1} |"
        )
        .expect("a string takes all text");
    }
    out
}
