//! Sums up a time window of load. The viewers' counts and three samples of the server's process become rates, costs and
//! ages, as text for people and as JSON.

use std::{fmt, time::Duration};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::{client::Seen, proc::Sample, stats::percentile};

/// The number of bytes in one GB, the unit of "CPU seconds per GB".
const GB: f64 = 1e9;

/// The results of one time window of load.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// Length of the window in seconds.
    pub(crate) seconds: f64,
    /// Viewers that read as fast as pictures arrive.
    pub(crate) full: Viewers,
    /// Viewers that read at a fixed rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slow: Option<Viewers>,
    /// Viewers that never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stalled: Option<Stalled>,
    /// The load generator itself.
    pub(crate) load: LoadCpu,
    /// The server's process; `None` if its process id is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<ServerCost>,
}

/// What viewers of one kind received.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Viewers {
    /// The number of viewers.
    pub(crate) count: usize,
    /// Frames per second of the median viewer.
    pub(crate) fps_median: f64,
    /// Frames per second of the slowest viewer.
    pub(crate) fps_min: f64,
    /// Number of frames that all viewers received together.
    pub(crate) frames: u64,
    /// Number of bytes that all viewers received together, including response and part heads.
    pub(crate) bytes: u64,
    /// The median age of a picture when its last byte arrives, in milliseconds.
    pub(crate) age_p50_ms: f64,
    /// The 95th percentile of the ages, in milliseconds.
    pub(crate) age_p95_ms: f64,
    /// The 99th percentile of the ages, in milliseconds.
    pub(crate) age_p99_ms: f64,
    /// The largest age, in milliseconds.
    pub(crate) age_max_ms: f64,
    /// Median age in the last third of the window minus the median age in the first third, in milliseconds. The value
    /// is above zero if the delay grows.
    pub(crate) age_drift_ms: f64,
    /// Number of pictures that were sent again.
    pub(crate) repeats: u64,
    /// Number of pictures that are older than an earlier picture.
    pub(crate) reordered: u64,
    /// Number of pictures without SOI or EOI.
    pub(crate) corrupt: u64,
    /// Number of viewers whose connection the server closed.
    pub(crate) closed: usize,
}

/// Viewers that never read.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Stalled {
    count: usize,
    /// Number of viewers that noticed that the server closed their connection. A viewer with a full receive buffer
    /// might never notice.
    closed: usize,
}

/// How busy the load generator was. If the two values together are near 100 %, the load generator is the limit, not the
/// server.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct LoadCpu {
    /// Share of the time in which the load generator ran on its CPU, in percent.
    pub(crate) cpu_percent: f64,
    /// Share of the time in which the load generator waited because other processes used its CPU, in percent.
    pub(crate) waited_percent: f64,
}

impl LoadCpu {
    /// Computes the shares from the seconds of running and of waiting in a window of length `elapsed`.
    pub(crate) fn of((ran, waited): (f64, f64), elapsed: Duration) -> Self {
        let percent = 100.0 / elapsed.as_secs_f64();
        Self { cpu_percent: ran * percent, waited_percent: waited * percent }
    }
}

/// The resources that the server's process used.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ServerCost {
    /// CPU seconds used in the window.
    pub(crate) cpu_seconds: f64,
    /// CPU time as a share of one CPU, in percent.
    pub(crate) cpu_percent: f64,
    /// Share of the time in which the server's threads waited because other processes used the CPU, in percent.
    pub(crate) waited_percent: f64,
    /// CPU seconds for each GB (10^9 bytes) that viewers received.
    pub(crate) cpu_seconds_per_gb: f64,
    /// CPU microseconds for each frame that viewers received.
    pub(crate) cpu_us_per_frame: f64,
    /// Resident memory before the viewers connected, in KiB.
    pub(crate) rss_idle_kib: u64,
    /// Resident memory at the end of the window, in KiB.
    pub(crate) rss_kib: u64,
    /// Peak of the resident memory, in KiB.
    pub(crate) rss_peak_kib: u64,
    /// Number of open file descriptors before the viewers connected.
    pub(crate) descriptors_idle: usize,
    /// Number of open file descriptors at the end of the window.
    pub(crate) descriptors: usize,
}

impl Report {
    /// Counts the pictures that arrived torn or in the wrong order, and the viewers whose connection the server closed.
    /// The count is zero in a valid run.
    pub(crate) fn faults(&self) -> u64 {
        let groups = std::iter::once(&self.full).chain(&self.slow);
        groups.map(|seen| seen.corrupt + seen.reordered + seen.closed as u64).sum()
    }

    /// Returns a figure of the server, or 0 if the server's process was not measured.
    pub(crate) fn of_server(&self, figure: impl FnOnce(&ServerCost) -> f64) -> f64 {
        self.server.as_ref().map_or(0.0, figure)
    }
}

impl Viewers {
    /// Returns the mean size of a picture in bytes, including heads.
    pub(crate) fn mean_bytes(&self) -> f64 {
        if self.frames == 0 { 0.0 } else { self.bytes as f64 / self.frames as f64 }
    }
}

/// Checks that no report contains faults.
///
/// # Errors
///
/// A report contains faults, so the run is void.
pub(crate) fn ensure_intact<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Result<()> {
    let faults: u64 = reports.into_iter().map(Report::faults).sum();
    ensure!(faults == 0, "{faults} pictures were torn or reordered, or viewers closed: the run is void");
    Ok(())
}

/// The viewers of one kind, to be summed up.
#[derive(Debug)]
pub(crate) struct GroupSummary<'a> {
    /// What each viewer received.
    pub(crate) seen: Vec<&'a Seen>,
    /// Number of viewers whose connection the server closed.
    pub(crate) closed: usize,
}

/// Samples of the server's process: before the viewers connected, at the start of the window and at its end.
#[derive(Debug)]
pub(crate) struct Samples {
    /// The sample before the viewers connected.
    pub(crate) idle: Sample,
    /// The sample at the start of the window.
    pub(crate) before: Sample,
    /// The sample at the end of the window.
    pub(crate) after: Sample,
}

/// Sums up a time window of load, separately for full, slow and stalled viewers.
pub(crate) fn sum_up(
    groups: [GroupSummary<'_>; 3],
    server: Option<&Samples>,
    load: LoadCpu,
    elapsed: Duration,
) -> Report {
    let seconds = elapsed.as_secs_f64();
    let [full, slow, stalled] = groups;
    let slow = (!slow.seen.is_empty()).then(|| viewers(&slow, seconds));
    let full = viewers(&full, seconds);
    let bytes = full.bytes + slow.as_ref().map_or(0, |slow| slow.bytes);
    let frames = full.frames + slow.as_ref().map_or(0, |slow| slow.frames);
    Report {
        seconds,
        full,
        slow,
        stalled: (!stalled.seen.is_empty())
            .then_some(Stalled { count: stalled.seen.len(), closed: stalled.closed }),
        load,
        server: server.map(|looks| cost(looks, seconds, bytes, frames)),
    }
}

fn viewers(group: &GroupSummary<'_>, seconds: f64) -> Viewers {
    let sum = |count: fn(&Seen) -> u64| group.seen.iter().map(|seen| count(seen)).sum();
    let fps = sorted(group.seen.iter().map(|seen| seen.frames as f64 / seconds));
    let mut by_arrival: Vec<(u64, u64)> =
        group.seen.iter().flat_map(|seen| seen.ages_us.iter().copied()).collect();
    by_arrival.sort_unstable();
    let ages = sorted_ages_ms(&by_arrival);
    let third = by_arrival.len() / 3;
    let early = sorted_ages_ms(&by_arrival[..third]);
    let late = sorted_ages_ms(&by_arrival[by_arrival.len() - third..]);
    Viewers {
        count: group.seen.len(),
        fps_median: percentile(&fps, 50.0),
        fps_min: percentile(&fps, 0.0),
        frames: sum(|seen| seen.frames),
        bytes: sum(|seen| seen.bytes),
        age_p50_ms: percentile(&ages, 50.0),
        age_p95_ms: percentile(&ages, 95.0),
        age_p99_ms: percentile(&ages, 99.0),
        age_max_ms: percentile(&ages, 100.0),
        age_drift_ms: percentile(&late, 50.0) - percentile(&early, 50.0),
        repeats: sum(|seen| seen.repeats),
        reordered: sum(|seen| seen.reordered),
        corrupt: sum(|seen| seen.corrupt),
        closed: group.closed,
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn sorted_ages_ms(ages_us: &[(u64, u64)]) -> Vec<f64> {
    sorted(ages_us.iter().map(|&(_, age_us)| age_us as f64 / 1000.0))
}

fn cost(looks: &Samples, seconds: f64, bytes: u64, frames: u64) -> ServerCost {
    let cpu_seconds = looks.after.cpu_seconds_since(&looks.before);
    let per = |count: f64| if count > 0.0 { cpu_seconds / count } else { 0.0 };
    ServerCost {
        cpu_seconds,
        cpu_percent: 100.0 * cpu_seconds / seconds,
        waited_percent: 100.0 * looks.after.waited_seconds_since(&looks.before) / seconds,
        cpu_seconds_per_gb: per(bytes as f64 / GB),
        cpu_us_per_frame: per(frames as f64 / 1e6),
        rss_idle_kib: looks.idle.rss_kib,
        rss_kib: looks.after.rss_kib,
        rss_peak_kib: looks.after.rss_peak_kib,
        descriptors_idle: looks.idle.descriptors,
        descriptors: looks.after.descriptors,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "full: {}", self.full)?;
        if let Some(slow) = &self.slow {
            write!(f, "\nslow: {slow}, drift {:.0} ms", slow.age_drift_ms)?;
        }
        if let Some(stalled) = &self.stalled {
            let Stalled { count, closed } = stalled;
            write!(f, "\nstalled: {count} viewers, {closed} closed")?;
        }
        if let Some(server) = &self.server {
            write!(f, "\nserver: {server}")?;
        }
        let LoadCpu { cpu_percent, waited_percent } = self.load;
        write!(f, "\nload: CPU {cpu_percent:.0} %, waited for it {waited_percent:.0} %")
    }
}

impl fmt::Display for Viewers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} viewers, fps {:.1} (min {:.1}), age ms p50 {:.1} p95 {:.1} p99 {:.1} max {:.1}, \
             {} frames, {} repeats, {} reordered, {} corrupt, {} closed",
            self.count,
            self.fps_median,
            self.fps_min,
            self.age_p50_ms,
            self.age_p95_ms,
            self.age_p99_ms,
            self.age_max_ms,
            self.frames,
            self.repeats,
            self.reordered,
            self.corrupt,
            self.closed
        )
    }
}

impl fmt::Display for ServerCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CPU {:.1} %, waited for it {:.1} %, {:.2} s/GB, {:.0} µs/frame, RSS KiB {} -> {} (peak {}), descriptors {} -> {}",
            self.cpu_percent,
            self.waited_percent,
            self.cpu_seconds_per_gb,
            self.cpu_us_per_frame,
            self.rss_idle_kib,
            self.rss_kib,
            self.rss_peak_kib,
            self.descriptors_idle,
            self.descriptors
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(frames: u64, ages_us: &[(u64, u64)]) -> Seen {
        Seen { frames, bytes: frames * 1000, ages_us: ages_us.to_vec(), ..Seen::default() }
    }

    #[test]
    fn the_worst_viewer_shows_beside_the_middle_one() {
        let (a, b, c) = (seen(60, &[]), seen(58, &[]), seen(10, &[]));
        let group = |seen| GroupSummary { seen, closed: 0 };
        let groups = [group(vec![&a, &b, &c]), group(vec![]), group(vec![])];
        let report = sum_up(groups, None, LoadCpu::default(), Duration::from_secs(2));
        assert_eq!((report.full.fps_median, report.full.fps_min), (29.0, 5.0));
        assert_eq!((report.full.frames, report.full.bytes), (128, 128_000));
        assert!(report.slow.is_none() && report.stalled.is_none() && report.server.is_none());
    }

    #[test]
    fn pictures_that_grow_older_show_as_drift() {
        let ages: Vec<_> = (0..9).map(|at| (at, at * 1000)).collect();
        let one = seen(9, &ages);
        let group = GroupSummary { seen: vec![&one], closed: 0 };
        let viewers = viewers(&group, 1.0);
        assert_eq!(viewers.age_p50_ms, 4.0);
        assert_eq!(viewers.age_drift_ms, 6.0);
    }
}
