//! Chaos: cameras die and come back, clients of all kinds come and go, and the file is edited, broken and reloaded, all
//! at once. At the end of each minute the load is the same: the same cameras, the same viewers. Then nothing may be left
//! of the chaos: neither memory nor descriptors, threads, tasks or processes. Each warning must have a cause.
//!
//! ```text
//! cargo test --workspace --test chaos -- --nocapture
//! FRAMECAST_CHAOS_MINUTES=45    how long; 3 without it
//! FRAMECAST_CHAOS_SEED=7        the same acts again, as far as the machine's timing allows
//! FRAMECAST_CHAOS_LOG=FILE      keeps the log of the program
//! ```
//!
//! Everything but memory must be as much as in minute 1. Memory is compared over five minutes, by its median, because
//! the allocator keeps some of what was freed: that of the last five may be 5 % more than that of minutes 5 to 9. If there
//! are too few minutes for that, no minute may have a fifth more than minute 1, when the program has not yet done each
//! thing once.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![warn(clippy::disallowed_methods)]

mod cameras;
mod causes;
mod load;
mod site;
mod visitors;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use framecast_testkit::{TestViewer, pause};
use rustix::process::Signal;
use tokio::task::JoinSet;

use load::{Load, median};
use site::{Figures, Site};

/// How long the chaos lasts in each minute. The rest is for the equal load.
const CHAOS: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

/// The most visitors at once.
const VISITORS: usize = 40;

/// The first of the minutes whose memory is compared with that of the last ones, and how many they are.
const WARM_MINUTE: usize = 5;
const COMPARED: usize = 5;

/// How much more memory the last minutes may have.
const MAX_GROWTH: f64 = 1.05;

/// The same if there are few minutes, compared with minute 1.
const MAX_EARLY_GROWTH: f64 = 1.2;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// What the test does to the server and to its cameras.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    /// Clients come.
    Visits,
    /// A web camera answers in another way.
    Upset,
    /// A process of a camera is killed or stopped.
    Strike,
    /// The file has other cameras.
    File,
    /// The file is empty or has errors.
    BadFile,
    /// Somebody writes the file in two steps.
    HalfFile,
    RemovedFile,
}

/// The chaos, and what it has done.
struct Chaos {
    site: Site,
    random: Rng,
    visitors: JoinSet<Option<String>>,
    acts: BTreeMap<Act, usize>,
}

impl Chaos {
    /// Acts at random for `time`, and then has all visitors leave.
    async fn rage(&mut self, time: Duration) {
        let since = Instant::now();
        while since.elapsed() < time {
            let act = self.act().await;
            *self.acts.entry(act).or_default() += 1;
            while let Some(answer) = self.visitors.try_join_next() {
                assert_eq!(answer.unwrap(), None, "an answer that says that the server has an error");
            }
            pause(Duration::from_millis(self.random.u64(5..150))).await;
        }
        self.visitors.shutdown().await;
    }

    /// Does one thing, and returns what it was.
    async fn act(&mut self) -> Act {
        match self.random.u8(..100) {
            0..60 => {
                for _ in 0..self.random.usize(1..5).min(VISITORS - self.visitors.len().min(VISITORS)) {
                    let random = self.random.fork();
                    self.visitors.spawn(visitors::visit(self.site.address, random));
                }
                Act::Visits
            }
            60..72 => {
                self.site.cameras.upset(&mut self.random);
                Act::Upset
            }
            72..80 => {
                self.site.strike(&mut self.random);
                Act::Strike
            }
            80..84 => {
                let bad = self.site.cameras.bad_file(&mut self.random);
                self.write(&bad);
                self.ask_for_reload().await;
                Act::BadFile
            }
            84 => {
                self.site.remove_file();
                self.ask_for_reload().await;
                Act::RemovedFile
            }
            85..88 => {
                let text = self.site.cameras.any_file(&mut self.random);
                self.site.overwrite(&text[..text.len() / 2]);
                pause(Duration::from_millis(self.random.u64(..2000))).await;
                self.site.overwrite(&text);
                Act::HalfFile
            }
            _ => {
                let text = self.site.cameras.any_file(&mut self.random);
                self.write(&text);
                self.ask_for_reload().await;
                Act::File
            }
        }
    }

    fn write(&mut self, text: &str) {
        if self.random.bool() { self.site.replace(text) } else { self.site.overwrite(text) }
    }

    /// Asks for a reload in one of the ways, or leaves it to the file's own change.
    async fn ask_for_reload(&mut self) {
        match self.random.u8(..6) {
            0 => self.site.program.signal(Signal::HUP),
            1 => {
                let answer = self.site.post_reload().await;
                assert!(matches!(answer.status, 200 | 422), "{}: {}", answer.status, answer.text());
            }
            2 => self.site.run_reload().await,
            _ => {}
        }
    }

    /// Makes the load equal and measures. If more is in use than in `baseline`, looks again: an end may take a while.
    async fn checkpoint(&mut self, baseline: Option<&Figures>) -> Figures {
        self.site.settle().await;
        let load = Load::start(self.site.address).await;
        let (mut figures, mut usage) = load::measure(&self.site).await;
        for _ in 0..3 {
            if baseline.is_some_and(|baseline| !has_same_counts(&figures, baseline)) {
                println!("unlike the baseline, so the test looks again: {figures:?} {usage:?}");
                (figures, usage) = load::measure(&self.site).await;
            }
        }
        load.end().await;
        self.site.program.read_lines();
        figures
    }
}

fn has_same_counts(one: &Figures, other: &Figures) -> bool {
    let counts = |of: &Figures| (of.descriptors, of.threads, of.tasks, of.groups);
    counts(one) == counts(other)
}

/// Watches the first camera all the time. Counts how often its stream ends, which happens only if a reload touches it.
async fn watch_faithfully(address: SocketAddr, ends: Arc<AtomicUsize>) {
    loop {
        let mut viewer = TestViewer::open(address, "/cameras/yard/stream.mjpg").await.unwrap();
        if viewer.status() == Some(200) {
            while viewer.next().await.is_some() {}
            ends.fetch_add(1, Ordering::Relaxed);
        }
        pause(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_chaos_and_each_warning_has_a_cause() {
    let minutes = setting("FRAMECAST_CHAOS_MINUTES").unwrap_or(3);
    let seed = setting("FRAMECAST_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("FRAMECAST_CHAOS_SEED={seed}");
    let site = Site::start();
    let ends = Arc::new(AtomicUsize::new(0));
    let faithful = tokio::spawn(watch_faithfully(site.address, Arc::clone(&ends)));
    let mut chaos =
        Chaos { site, random: Rng::with_seed(seed), visitors: JoinSet::new(), acts: BTreeMap::new() };
    let (started, mut minutely, mut failures, mut told) = (Instant::now(), Vec::new(), Vec::new(), 0);
    for minute in 1..=minutes {
        chaos.rage(CHAOS).await;
        let figures = chaos.checkpoint(minutely.first()).await;
        println!("minute {minute} ({:.0?}): {figures:?}", started.elapsed());
        if minutely.first().is_some_and(|first| !has_same_counts(&figures, first)) {
            failures.push(format!("minute {minute} is unlike minute 1: {figures:?}"));
        }
        minutely.push(figures);
        let (_, unexplained) = causes::of_lines(&chaos.site.program.seen[told..], &chaos.acts);
        if !unexplained.is_empty() {
            println!("without a known cause: {unexplained:#?}");
        }
        told = chaos.site.program.seen.len();
        pause((MINUTE * u32::try_from(minute).unwrap()).saturating_sub(started.elapsed())).await;
    }
    println!("{:?}", chaos.acts);
    failures.extend(too_much_memory(&minutely));
    assert!(!faithful.is_finished(), "the server failed a viewer that stays");
    faithful.abort();
    finish(chaos, failures, ends.load(Ordering::Relaxed)).await;
}

/// Says how the memory grew, if it grew too much.
fn too_much_memory(minutely: &[Figures]) -> Option<String> {
    let kib: Vec<usize> = minutely.iter().map(|figures| figures.resident_kib).collect();
    let (before, after, max_growth) = match kib.get(WARM_MINUTE - 1..) {
        Some(warm) if warm.len() >= 2 * COMPARED => {
            let last = &warm[warm.len() - COMPARED..];
            (median(warm[..COMPARED].to_vec()), median(last.to_vec()), MAX_GROWTH)
        }
        _ => (*kib.first()?, *kib.iter().max()?, MAX_EARLY_GROWTH),
    };
    let growth = after as f64 / before as f64;
    let said = format!("the memory grew {growth:.3} times, from {before} KiB to {after} KiB");
    println!("{said}");
    (growth > max_growth).then_some(said)
}

/// Ends the program, and looks at what it leaves.
async fn finish(chaos: Chaos, mut failures: Vec<String>, ends: usize) {
    let (status, lines) = chaos.site.end().await;
    if let Some(file) = std::env::var_os("FRAMECAST_CHAOS_LOG") {
        std::fs::write(file, lines.join("\n")).unwrap();
    }
    let (counts, unexplained) = causes::of_lines(&lines, &chaos.acts);
    println!("warnings and errors by cause: {counts:#?}");
    failures.extend(unexplained.iter().map(|line| format!("without a known cause: {line}")));
    let touched = lines.iter().filter(|line| causes::touches_yard(line)).count();
    println!("the stream of a viewer that stays ended {ends} times; {touched} reloads touched its camera");
    assert!(ends <= touched, "a reload ended a stream of a camera that it did not touch");
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(status.code(), Some(0));
}
