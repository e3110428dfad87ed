//! Measures what viewers see of a camera over UDP whose packets are lost at random on the way to Framecast. The kernel
//! drops the packets, in a network namespace of this program.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::Ipv4Addr,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::{
    crowd::VideoCrowd,
    file::FileShape,
    judge::Verdict,
    site::{self, Stage, VideoOptions},
    viewer::{Door, Media},
};
use crate::{netns, setup};

/// Small frames and many keyframes, so that frames arrive whole although packets are lost.
const SHAPE: FileShape = FileShape { width_px: 640, height_px: 360, mbit_per_s: 0.5, keyframe_each_s: 1 };

/// The options of the command `video loss`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    video: VideoOptions,
    /// Of a thousand packets, how many are lost.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..1000))]
    per_mille: u32,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    when: setup::RunTime,
    video: String,
    lost_packets: u64,
    sent_packets: u64,
    sessions: u64,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    door: Door,
    verdict: Verdict,
    /// Whether the server ended the stream, because no frame came for too long.
    has_ended: bool,
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// Root privileges or nft are missing. No packet was lost, a viewer got a frame without its reference, or ffmpeg complains
/// of what was sent. The report cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    netns::enter()?;
    let stage = Stage::new(&options.video, SHAPE)?;
    let site = stage.start_on(Ipv4Addr::LOCALHOST.into(), 1, "10s", "#transport=udp")?;
    let mut crowd = VideoCrowd::new()?;
    for door in Door::ALL {
        crowd.join(site.address(), [site::name(1)], door, Media::Keep)?;
    }
    crowd.watch_until_all_have_frames()?;
    lose_packets(options.per_mille)?;
    crowd.watch(Duration::from_secs(options.seconds))?;
    let (lost_packets, counts) = (lost_packets()?, site.cameras.counts());
    let runs = crowd.viewers.iter().zip(Door::ALL).map(|(viewer, door)| {
        let has_ended = !viewer.is_open;
        // A player of a stream learns from its end that the camera has stopped; a tile is told.
        ensure!(!has_ended || matches!(door, Door::Stream), "the server closed the WebSocket of a tile");
        Ok(Run { door, verdict: Verdict::of(&viewer.seen, stage.work())?, has_ended })
    });
    let outcome = Outcome {
        when: stage.when.clone(),
        video: stage.video.clone(),
        lost_packets,
        sent_packets: counts.packets,
        sessions: counts.sessions,
        runs: runs.collect::<Result<_>>()?,
    };
    let markdown = markdown(options, &stage, &outcome);
    setup::publish(options.video.out.as_deref(), &stage.when, "video-loss", &markdown, &outcome)?;
    ensure!(outcome.lost_packets > 0, "no packet was lost");
    outcome.runs.iter().try_for_each(|run| run.verdict.ensure_whole(run.door.name()))
}

/// Makes the kernel drop this many of a thousand UDP packets that arrive in this namespace, at random.
fn lose_packets(per_mille: u32) -> Result<()> {
    let rules = format!(
        "table inet bench {{\n chain input {{\n type filter hook input priority 0\n \
         meta l4proto udp numgen random mod 1000 < {per_mille} counter drop\n }}\n}}\n"
    );
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run nft (Debian: nftables)")?;
    nft.stdin.take().context("nft has no input")?.write_all(rules.as_bytes())?;
    let output = nft.wait_with_output()?;
    ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Returns how many packets the kernel has dropped.
fn lost_packets() -> Result<u64> {
    let output = Command::new("nft").args(["list", "table", "inet", "bench"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let count = text.split("counter packets ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    count.with_context(|| format!("nft shows no counter: {text}"))
}

fn markdown(options: &Options, stage: &Stage, outcome: &Outcome) -> String {
    let method = format!(
        "The camera sends over UDP. For {} s, the kernel (nftables, `numgen random`) drops {} of 1000 packets: {} of {} in \
         {} sessions. A frame that lacks a packet, and all that follow up to the next keyframe, must not be sent. A frame \
         without its reference is one that came after a gap and is no keyframe.",
        options.seconds, options.per_mille, outcome.lost_packets, outcome.sent_packets, outcome.sessions
    );
    let mut out = stage.head("Packets that are lost on the way from a camera", &method);
    out.push_str(
        "| way | frames | missing | gaps | without reference | decoded | ffmpeg complains | ended early |\n|---|---|---|---|---|---|---|---|\n",
    );
    for Run { door, verdict, has_ended } in &outcome.runs {
        let Verdict { frames, missing, gaps, without_reference, decoded, complaints, .. } = verdict;
        let complaints = if complaints.is_empty() { "no" } else { complaints };
        writeln!(
            out,
            "| {} | {frames} | {missing} | {gaps} | {without_reference} | {decoded} | {complaints} | {} |",
            door.name(),
            if *has_ended { "yes" } else { "no" }
        )
        .expect("a string takes all text");
    }
    out
}
