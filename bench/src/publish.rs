//! Measures how long it takes a camera's thread to pass a frame on, depending on how many subscribers wait for the
//! frame. Only the hub (the in-process channel between camera and viewers) is measured, without sockets.
//!
//! Each subscriber is an async task that waits for the next frame. The publisher is a separate thread, like the thread
//! that reads a camera. The publisher sends the next frame only after all subscribers have received the previous frame,
//! so at each publish all subscribers are waiting.

use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, ensure};
use framecast_hub::{Channel, Delivery, Epoch};
use framecast_media::{Anchor, Bytes, Codec, Format, Frame, Timestamp};
use serde::Serialize;

use crate::{
    setup,
    stats::{Spread, percentile},
};

/// The maximum time to wait until all subscribers have received a frame. A longer time means that some subscribers were
/// not woken.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The options of the command `publish`: how many subscribers, and how often to measure.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Numbers of subscribers to measure, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1000, 10_000])]
    subscribers: Vec<u64>,
    /// Number of passes; each pass measures each number of subscribers once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Number of frames in each pass.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..=100_000))]
    frames: u64,
    /// A line of text for the report.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Write DATE-HOSTCLASS-publish.md and .json to this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    when: setup::RunTime,
    frames: u64,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    pass: u32,
    subscribers: u64,
    publish_p50_us: f64,
    publish_p99_us: f64,
    publish_max_us: f64,
    /// The median time from the start of publishing a frame until the last subscriber has received the frame, in
    /// microseconds.
    all_have_it_p50_us: f64,
    all_have_it_p99_us: f64,
}

/// Measures, prints the report and, if `--out` names a folder, writes the report to that folder.
///
/// # Errors
///
/// Some subscribers do not receive a frame, or the report cannot be written to the folder.
pub(crate) fn run(options: &Options) -> Result<()> {
    let when = setup::RunTime::now(options.note.clone());
    let mut runs = Vec::new();
    for pass in 0..options.runs {
        for &subscribers in &options.subscribers {
            runs.push(measure(pass, subscribers, options.frames)?);
        }
    }
    let outcome = Outcome { when, frames: options.frames, runs };
    setup::publish(options.out.as_deref(), &outcome.when, "publish", &markdown(options, &outcome), &outcome)
}

fn measure(pass: u32, subscribers: u64, frames: u64) -> Result<Run> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let channel = Channel::new();
    let seen = Arc::new(AtomicU64::new(0));
    for _ in 0..subscribers {
        let (mut subscriber, seen) = (channel.subscribe(Delivery::Latest), Arc::clone(&seen));
        runtime.spawn(async move {
            while subscriber.next_update().await.is_some() {
                seen.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let publisher = channel.publisher();
    let epoch = Epoch { number: 1, anchor: Anchor::new(SystemTime::now()) };
    let (mut publish_us, mut all_us) = (Vec::new(), Vec::new());
    // The first tenth warms up.
    for number in 0..frames + frames / 10 {
        let frame = frame(number);
        let started = Instant::now();
        publisher.publish(frame, epoch);
        let published = started.elapsed();
        let wanted = subscribers * (number + 1);
        while seen.load(Ordering::Relaxed) < wanted {
            ensure!(
                started.elapsed() < TIMEOUT,
                "the subscribers saw {} of {wanted} frames in time",
                seen.load(Ordering::Relaxed)
            );
            std::thread::sleep(Duration::from_micros(100));
        }
        if number >= frames / 10 {
            publish_us.push(published.as_secs_f64() * 1e6);
            all_us.push(started.elapsed().as_secs_f64() * 1e6);
        }
    }
    publish_us.sort_by(f64::total_cmp);
    all_us.sort_by(f64::total_cmp);
    Ok(Run {
        pass,
        subscribers,
        publish_p50_us: percentile(&publish_us, 50.0),
        publish_p99_us: percentile(&publish_us, 99.0),
        publish_max_us: percentile(&publish_us, 100.0),
        all_have_it_p50_us: percentile(&all_us, 50.0),
        all_have_it_p99_us: percentile(&all_us, 99.0),
    })
}

fn frame(number: u64) -> Frame {
    Frame::new(
        Bytes::from_static(&[0xff, 0xd8, 0xff, 0xd9]),
        Timestamp::from_ticks(number as i64 * 3000),
        SystemTime::now(),
        Arc::new(Format::new(Codec::Jpeg, 16, 16)),
    )
}

fn markdown(options: &Options, outcome: &Outcome) -> String {
    let method = format!(
        "- Subscribers are tasks on a runtime of a thread per CPU; a separate thread publishes each frame once all \
         have seen the one before.\n- {} passes of {} frames; median (min–max) over the passes.\n",
        options.runs, options.frames
    );
    let mut out = outcome.when.head("What publishing costs", &method);
    out.push_str(
        "| subscribers | publish p50 µs | publish p99 µs | publish max µs | all have it p50 µs | p99 µs |\n\
         |---|---|---|---|---|---|\n",
    );
    for &subscribers in &options.subscribers {
        let figure = |figure: fn(&Run) -> f64| {
            Spread::of(outcome.runs.iter().filter(|run| run.subscribers == subscribers).map(figure)).show(0)
        };
        writeln!(
            out,
            "| {subscribers} | {} | {} | {} | {} | {} |",
            figure(|run| run.publish_p50_us),
            figure(|run| run.publish_p99_us),
            figure(|run| run.publish_max_us),
            figure(|run| run.all_have_it_p50_us),
            figure(|run| run.all_have_it_p99_us),
        )
        .expect("a string takes all text");
    }
    out
}
