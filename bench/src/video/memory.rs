//! Measures the memory that viewers of coded video cost Framecast, and whether it stays when they come and go.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{
    crowd::VideoCrowd,
    file::FileShape,
    site::{self, Site, Stage, VideoOptions},
    viewer::{Door, Media},
};
use crate::{load, proc::Sample, setup};

const SHAPE: FileShape = FileShape { width_px: 1280, height_px: 720, mbit_per_s: 3.0, keyframe_each_s: 4 };

/// How long the memory may settle before it is read.
const SETTLE: Duration = Duration::from_secs(1);

/// The options of the command `video memory`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    video: VideoOptions,
    /// Number of viewers that come and go together.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2000))]
    viewers: u32,
    /// How many times they come and go.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds for which one viewer watches before the first round: two GOPs, so that the ring has been full once.
    #[arg(long, default_value = "9", value_name = "SECONDS", value_parser = load::seconds)]
    warmup: Duration,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    when: setup::RunTime,
    video: String,
    viewers: u32,
    /// Resident memory with one viewer, once the ring is full.
    alone_kib: u64,
    rounds: Vec<Round>,
}

/// Resident memory in one round, in KiB.
#[derive(Debug, Serialize)]
struct Round {
    with_viewers_kib: u64,
    after_kib: u64,
    descriptors: usize,
}

impl Outcome {
    /// Returns the growth from one viewer to all of the first round, for each viewer, in KiB. Later rounds use memory
    /// again that is free by then.
    fn kib_per_viewer(&self) -> f64 {
        let with = self.rounds.iter().map(|round| round.with_viewers_kib).max().unwrap_or(0);
        (with as f64 - self.alone_kib as f64) / f64::from(self.viewers)
    }
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// The server closes a viewer, or keeps file descriptors. The report cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stage = Stage::new(&options.video, SHAPE)?;
    let site = stage.start(1, "10s")?;
    let mut steady = VideoCrowd::new()?;
    steady.join(site.address(), [site::name(1)], Door::Tile, Media::Drop)?;
    steady.watch_until_all_have_frames()?;
    steady.watch(options.warmup)?;
    let alone_kib = Sample::of(site.pid())?.rss_kib;
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        let round = round(options, &site, &mut steady)?;
        let Round { with_viewers_kib, after_kib, descriptors } = round;
        eprintln!("round {number}: {with_viewers_kib} KiB, then {after_kib} KiB, {descriptors} descriptors");
        rounds.push(round);
    }
    let outcome = Outcome {
        when: stage.when.clone(),
        video: stage.video.clone(),
        viewers: options.viewers,
        alone_kib,
        rounds,
    };
    let markdown = markdown(&stage, &outcome);
    setup::publish(options.video.out.as_deref(), &stage.when, "video-memory", &markdown, &outcome)?;
    let descriptors = |round: Option<&Round>| round.map_or(0, |round| round.descriptors);
    let (first, last) = (descriptors(outcome.rounds.first()), descriptors(outcome.rounds.last()));
    ensure!(last <= first, "the server kept {} file descriptors", last - first);
    Ok(())
}

/// Lets the viewers come, watch and go.
fn round(options: &Options, site: &Site, steady: &mut VideoCrowd) -> Result<Round> {
    let mut crowd = VideoCrowd::new()?;
    crowd.join(site.address(), vec![site::name(1); options.viewers as usize], Door::Tile, Media::Drop)?;
    crowd.watch_until_all_have_frames()?;
    crowd.watch(SETTLE)?;
    ensure!(crowd.closed() == 0, "the server closed {} viewers", crowd.closed());
    let with_viewers_kib = Sample::of(site.pid())?.rss_kib;
    drop(crowd);
    steady.watch(SETTLE)?;
    ensure!(steady.closed() == 0, "the server closed the viewer that stays");
    let after = Sample::of(site.pid())?;
    Ok(Round { with_viewers_kib, after_kib: after.rss_kib, descriptors: after.descriptors })
}

fn markdown(stage: &Stage, outcome: &Outcome) -> String {
    let method = format!(
        "One viewer stays. {} viewers come together, watch for a second, and go, {} times. Memory is what is resident; the \
         kernel's socket buffers are not part of it.",
        outcome.viewers,
        outcome.rounds.len()
    );
    let mut out = stage.head("The memory of viewers of coded video", &method);
    writeln!(
        out,
        "{:.1} KiB a viewer: from {} KiB with one viewer to the most of any round with all.\n\n\
         | round | with viewers KiB | after them KiB | descriptors |\n|---|---|---|---|",
        outcome.kib_per_viewer(),
        outcome.alone_kib
    )
    .expect("a string takes all text");
    for (number, round) in outcome.rounds.iter().enumerate() {
        let Round { with_viewers_kib, after_kib, descriptors } = round;
        writeln!(out, "| {} | {with_viewers_kib} | {after_kib} | {descriptors} |", number + 1)
            .expect("a string takes all text");
    }
    out
}
