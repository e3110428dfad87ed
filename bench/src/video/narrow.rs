//! Measures viewers of coded video that fall behind: one whose link carries a third of the stream for a while, and one
//! that stops reading for a while. Other viewers watch beside them, over loopback.

use std::{fmt::Write as _, net::Ipv4Addr, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::{
    crowd::VideoCrowd,
    file::FileShape,
    judge::Verdict,
    site::{self, SendTimes, Site, Stage, VideoOptions},
    viewer::{Door, Media, VideoSeen},
};
use crate::{
    link::{NEAR, Relay, Shape},
    load, netns, proc, setup,
    stats::percentile,
};

const SHAPE: FileShape = FileShape { width_px: 1280, height_px: 720, mbit_per_s: 3.0, keyframe_each_s: 4 };

/// The greatest age of a frame once there is room again, in milliseconds.
const FRESH_MS: f64 = 1000.0;

/// The link while it is wide: 30 Mbit/s with 20 ms of delay and a queue of 64 KiB.
const WIDE: Shape =
    Shape { bits_per_second: 30_000_000, delay: Duration::from_millis(20), queue_bytes: 64 * 1024 };

/// The options of the command `video narrow`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    video: VideoOptions,
    /// What the link carries while it is narrow, in Mbit/s.
    #[arg(long, default_value_t = 1.0, value_name = "MBIT_PER_S")]
    rate: f64,
    /// Seconds for which the link is narrow.
    #[arg(long, default_value = "60", value_name = "SECONDS", value_parser = load::seconds)]
    narrow: Duration,
    /// Seconds for which the other viewer does not read.
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = load::seconds)]
    stall: Duration,
    /// Seconds for which the others watch alone, and then the viewer before its trouble.
    #[arg(long, default_value = "15", value_name = "SECONDS", value_parser = load::seconds)]
    before: Duration,
    /// Seconds for which the viewer watches after its trouble; more than the time between two keyframes.
    #[arg(long, default_value = "15", value_name = "SECONDS", value_parser = load::seconds)]
    after: Duration,
    /// Number of other viewers.
    #[arg(long, default_value_t = 10)]
    others: usize,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    when: setup::RunTime,
    video: String,
    runs: Vec<Run>,
}

/// What happened to one viewer, and to the others meanwhile.
#[derive(Debug, Serialize)]
struct Run {
    door: Door,
    trouble: &'static str,
    verdict: Verdict,
    /// The ages of the frames that arrived while there was no room.
    without_room: Option<AgeSummary>,
    /// The time from when there was room until a frame arrived that was at most a second old.
    fresh_after_ms: f64,
    /// The ages of all frames that arrived after that.
    with_room: Option<AgeSummary>,
    others_alone: Option<AgeSummary>,
    others_beside: Option<AgeSummary>,
    /// How many frames the other viewers did not get.
    others_missing: u64,
}

/// Ages in milliseconds.
#[derive(Debug, Serialize)]
struct AgeSummary {
    frames: usize,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl AgeSummary {
    /// Sums up `ages`, which are in ascending order; `None` if there are none.
    fn of(ages: &[f64]) -> Option<Self> {
        let [p50_ms, p95_ms, p99_ms, max_ms] =
            [50.0, 95.0, 99.0, 100.0].map(|percent| percentile(ages, percent));
        (!ages.is_empty()).then_some(Self { frames: ages.len(), p50_ms, p95_ms, p99_ms, max_ms })
    }

    fn show(summary: Option<&Self>) -> String {
        match summary {
            Some(Self { p50_ms, p95_ms, max_ms, .. }) => format!("{p50_ms:.0} / {p95_ms:.0} / {max_ms:.0}"),
            None => "–".to_owned(),
        }
    }
}

/// When there was no room for a viewer's frames, in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    from_us: u64,
    to_us: u64,
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// Root privileges are missing. A viewer got a frame without its reference, ffmpeg complains of what was sent, or the
/// viewer was told of another number of dropped frames than are missing. The report cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    netns::enter()?;
    let stage = Stage::new(&options.video, SHAPE)?;
    let relay = Relay::start(WIDE)?;
    let mut runs = Vec::new();
    for door in Door::ALL {
        let site = stage.start_on(NEAR, 1, "10s", "")?;
        runs.push(measure(options, &stage, &site, door, "narrow link", |address| {
            relay.on_the_far_side(|| narrowed(options, &relay, address, door))
        })?);
        drop(site);
        let site = stage.start_on(Ipv4Addr::LOCALHOST.into(), 1, "10s", "")?;
        runs.push(measure(options, &stage, &site, door, "stall", |address| stalled(options, address, door))?);
    }
    let outcome = Outcome { when: stage.when.clone(), video: stage.video.clone(), runs };
    let markdown = markdown(options, &stage, &outcome);
    setup::publish(options.video.out.as_deref(), &stage.when, "video-narrow", &markdown, &outcome)?;
    outcome.runs.iter().try_for_each(ensure_whole)
}

fn ensure_whole(run: &Run) -> Result<()> {
    let whose = format!("{}, {}", run.trouble, run.door.name());
    run.verdict.ensure_whole(&whose)?;
    let Verdict { missing, told_dropped, .. } = run.verdict;
    let is_told = run.door == Door::Stream || missing == told_dropped;
    ensure!(is_told, "{whose}: {missing} frames are missing, and the viewer was told of {told_dropped}");
    ensure!(run.others_missing == 0, "{whose}: the other viewers lack {} frames", run.others_missing);
    Ok(())
}

/// Lets the other viewers watch alone, and then beside the viewer that `troubled` runs.
fn measure(
    options: &Options,
    stage: &Stage,
    site: &Site,
    door: Door,
    trouble: &'static str,
    troubled: impl FnOnce(std::net::SocketAddr) -> Result<(VideoSeen, Trouble)> + Send,
) -> Result<Run> {
    let mut others = VideoCrowd::new()?;
    others.join(site.address(), vec![site::name(1); options.others], Door::Tile, Media::Drop)?;
    others.watch_until_all_have_frames()?;
    others.watch(Duration::from_secs(1))?;
    others.reset();
    others.watch(options.before)?;
    let (alone, missing_alone) = ages_of(&others, site)?;
    others.reset();
    let (seen, time) = thread::scope(|scope| {
        let address = site.address();
        let troubled = scope.spawn(move || troubled(address));
        while !troubled.is_finished() {
            others.watch(Duration::from_millis(100))?;
        }
        troubled.join().expect("the viewer does not panic")
    })?;
    let (beside, missing_beside) = ages_of(&others, site)?;
    let verdict = Verdict::of(&seen, stage.work())?;
    let times = SendTimes::of(&site.cameras);
    let without: Vec<_> =
        seen.arrivals.iter().filter(|at| (time.from_us..time.to_us).contains(&at.at_us)).collect();
    let mut after = seen.arrivals.iter().filter(|at| at.at_us >= time.to_us).peekable();
    while after.next_if(|&at| times.age_ms(at).is_none_or(|age| age > FRESH_MS)).is_some() {}
    let fresh = after.peek().context("no frame was in time after the trouble")?;
    let fresh_after_ms = (fresh.at_us - time.to_us) as f64 / 1000.0;
    Ok(Run {
        door,
        trouble,
        verdict,
        without_room: AgeSummary::of(&times.ages_ms(without)),
        fresh_after_ms,
        with_room: AgeSummary::of(&times.ages_ms(after)),
        others_alone: AgeSummary::of(&alone),
        others_beside: AgeSummary::of(&beside),
        others_missing: missing_alone + missing_beside,
    })
}

/// Returns the ages of what a crowd has received, and how many frames are missing in it.
fn ages_of(crowd: &VideoCrowd, site: &Site) -> Result<(Vec<f64>, u64)> {
    ensure!(crowd.closed() == 0, "the server closed {} of the other viewers", crowd.closed());
    let times = SendTimes::of(&site.cameras);
    let missing = crowd.viewers.iter().map(|viewer| {
        let numbers = [viewer.seen.arrivals.first(), viewer.seen.arrivals.last()];
        let [first, last] = numbers.map(|at| at.map_or(0, |at| at.number));
        (last - first + 1).saturating_sub(viewer.seen.arrivals.len() as u64)
    });
    let missing = missing.sum();
    Ok((times.ages_ms(crowd.viewers.iter().flat_map(|viewer| &viewer.seen.arrivals)), missing))
}

/// Watches over a link that becomes narrow and wide again.
fn narrowed(
    options: &Options,
    relay: &Relay,
    address: std::net::SocketAddr,
    door: Door,
) -> Result<(VideoSeen, Trouble)> {
    let mut viewer = VideoCrowd::new()?;
    viewer.join(address, [site::name(1)], door, Media::Keep)?;
    viewer.watch(options.before)?;
    relay.set_rate((options.rate * 1e6) as u64);
    let from_us = proc::now_us();
    let watched = viewer.watch(options.narrow);
    relay.set_rate(WIDE.bits_per_second);
    let to_us = proc::now_us();
    watched?;
    viewer.watch(options.after)?;
    ensure!(viewer.closed() == 0, "the server closed the viewer behind the narrow link");
    Ok((viewer.viewers.remove(0).seen, Trouble { from_us, to_us }))
}

/// Watches, does nothing for a while, and goes on.
fn stalled(options: &Options, address: std::net::SocketAddr, door: Door) -> Result<(VideoSeen, Trouble)> {
    let mut viewer = VideoCrowd::new()?;
    viewer.join(address, [site::name(1)], door, Media::Keep)?;
    viewer.watch(options.before)?;
    let from_us = proc::now_us();
    thread::sleep(options.stall);
    let to_us = proc::now_us();
    viewer.watch(options.after)?;
    ensure!(viewer.closed() == 0, "the server closed the viewer that stalled");
    Ok((viewer.viewers.remove(0).seen, Trouble { from_us, to_us }))
}

fn markdown(options: &Options, stage: &Stage, outcome: &Outcome) -> String {
    let method = format!(
        "The narrow link carries {} Mbit/s for {:.0} s, and {} Mbit/s before and after, with {} ms of delay and a queue \
         of {} KiB each way. The viewer that stalls neither reads nor acknowledges for {:.0} s. {} other viewers watch \
         over loopback. Ages are from when the camera begins to send a frame to its last byte at the viewer: p50 / p95 / \
         max in ms. After the trouble, \"in time again\" is when a frame arrives that is at most a second old.",
        options.rate,
        options.narrow.as_secs_f64(),
        WIDE.bits_per_second / 1_000_000,
        WIDE.delay.as_millis(),
        WIDE.queue_bytes / 1024,
        options.stall.as_secs_f64(),
        options.others,
    );
    let mut out = stage.head("Viewers of coded video that fall behind", &method);
    out.push_str(
        "| trouble, way | ages during it | in time again after ms | ages from then on | frames | missing | told | \
         without reference | decoded | ffmpeg complains | others alone | others beside | others miss |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for run in &outcome.runs {
        let Verdict { frames, missing, told_dropped, without_reference, decoded, complaints, .. } =
            &run.verdict;
        let told = if run.door == Door::Tile { told_dropped.to_string() } else { "–".to_owned() };
        let [during, after, alone, beside] =
            [&run.without_room, &run.with_room, &run.others_alone, &run.others_beside]
                .map(|summary| AgeSummary::show(summary.as_ref()));
        let complaints = if complaints.is_empty() { "no" } else { complaints };
        writeln!(
            out,
            "| {}, {} | {during} | {:.0} | {after} | {frames} | {missing} | {told} | {without_reference} | {decoded} | \
             {complaints} | {alone} | {beside} | {} |",
            run.trouble,
            run.door.name(),
            run.fresh_after_ms,
            run.others_missing,
        )
        .expect("a string takes all text");
    }
    out
}
