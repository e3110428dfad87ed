//! Sums up one measurement with simulated viewers. The viewers' counts and three samples of the server's process become
//! rates, costs and ages of pictures, as text for people and as JSON.

use std::{fmt, time::Duration};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::{client::Seen, proc::Sample, stats::percentile};

/// The number of bytes in one GB, the unit in "CPU seconds per GB".
const GB: f64 = 1e9;

/// The results of one measurement with simulated viewers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// Length of the measured time window in seconds.
    pub(crate) seconds: f64,
    /// What was received by the viewers that read as fast as pictures arrive.
    pub(crate) full: Viewers,
    /// What was received by the viewers that read a fixed number of bytes per second; `None` if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slow: Option<Viewers>,
    /// How many viewers never read, and how many connections of these viewers the server closed; `None` if there were
    /// no such viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stalled: Option<Stalled>,
    /// The CPU time that the load generator itself used.
    pub(crate) load: LoadCpu,
    /// The resources that the server's process used; `None` if its process id is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<ServerCost>,
}

/// What all viewers of one kind received in the measured time window.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Viewers {
    /// The number of viewers.
    pub(crate) count: usize,
    /// Frames per second that the median viewer received.
    pub(crate) fps_median: f64,
    /// Frames per second that the slowest viewer received.
    pub(crate) fps_min: f64,
    /// Number of frames that all viewers received together.
    pub(crate) frames: u64,
    /// Number of bytes that all viewers received together, including the HTTP heads and multipart header lines.
    pub(crate) bytes: u64,
    /// The median age of a picture when its last byte arrives (the time since its capture), in milliseconds.
    pub(crate) age_p50_ms: f64,
    /// The 95th percentile of the ages of pictures on arrival, in milliseconds.
    pub(crate) age_p95_ms: f64,
    /// The 99th percentile of the ages of pictures on arrival, in milliseconds.
    pub(crate) age_p99_ms: f64,
    /// The largest age of a picture on arrival, in milliseconds.
    pub(crate) age_max_ms: f64,
    /// Median age of the pictures in the last third of the time window minus the median age in the first third, in
    /// milliseconds. The value is above zero if the delay of the stream grows.
    pub(crate) age_drift_ms: f64,
    /// Number of pictures with the same timestamp as the newest picture received before.
    pub(crate) repeats: u64,
    /// Number of pictures whose timestamp is older than that of an earlier picture.
    pub(crate) reordered: u64,
    /// Number of pictures that do not start with the JPEG marker SOI or do not end with EOI.
    pub(crate) corrupt: u64,
    /// Number of viewers whose connection the server closed.
    pub(crate) closed: usize,
}

/// Counts of the viewers that send a request and then never read.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Stalled {
    count: usize,
    /// Number of viewers whose connection the server was seen to close. The close can remain unseen if the receive
    /// buffer is full.
    closed: usize,
}

/// How busy the load generator was. If the two percentages together are near 100 %, the load generator limits the
/// result, not the server.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct LoadCpu {
    /// Share of the measured time window in which the load generator ran on its CPU, in percent.
    pub(crate) cpu_percent: f64,
    /// Share of the measured time window in which the load generator waited because other processes used its CPU, in
    /// percent.
    pub(crate) waited_percent: f64,
}

impl LoadCpu {
    /// Computes both percentages from the seconds in which the load generator ran and waited, within a time window of
    /// the length `elapsed`.
    pub(crate) fn of((ran, waited): (f64, f64), elapsed: Duration) -> Self {
        let percent = 100.0 / elapsed.as_secs_f64();
        Self { cpu_percent: ran * percent, waited_percent: waited * percent }
    }
}

/// The resources that the server's process used in the measured time window, or holds at its end.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ServerCost {
    /// CPU seconds that the server's process used in the time window.
    pub(crate) cpu_seconds: f64,
    /// CPU time that the server's process used, in percent of one CPU.
    pub(crate) cpu_percent: f64,
    /// Time that the server's threads together waited for a CPU that other processes used, in percent of the time
    /// window.
    pub(crate) waited_percent: f64,
    /// CPU seconds for each GB (10^9 bytes) that viewers received.
    pub(crate) cpu_seconds_per_gb: f64,
    /// CPU microseconds for each frame that viewers received.
    pub(crate) cpu_us_per_frame: f64,
    /// Resident memory of the server before the viewers connected, in KiB.
    pub(crate) rss_idle_kib: u64,
    /// Resident memory of the server at the end of the time window, in KiB.
    pub(crate) rss_kib: u64,
    /// Peak of the server's resident memory, in KiB.
    pub(crate) rss_peak_kib: u64,
    /// Number of file descriptors that the server had open before the viewers connected.
    pub(crate) descriptors_idle: usize,
    /// Number of file descriptors that the server had open at the end of the time window.
    pub(crate) descriptors: usize,
}

impl Report {
    /// Returns the number of pictures that arrived broken or out of order, plus the number of viewers whose connection
    /// the server closed. The number does not include viewers that never read. It is zero in a valid measurement.
    pub(crate) fn faults(&self) -> u64 {
        let groups = std::iter::once(&self.full).chain(&self.slow);
        groups.map(|seen| seen.corrupt + seen.reordered + seen.closed as u64).sum()
    }

    /// Returns the number that `figure` selects from the resources of the server, or 0 if the server's process was not
    /// measured.
    pub(crate) fn of_server(&self, figure: impl FnOnce(&ServerCost) -> f64) -> f64 {
        self.server.as_ref().map_or(0.0, figure)
    }
}

impl Viewers {
    /// Returns the mean number of bytes received for each picture, including HTTP heads and multipart header lines.
    /// Returns 0 if there was no picture.
    pub(crate) fn mean_bytes(&self) -> f64 {
        if self.frames == 0 { 0.0 } else { self.bytes as f64 / self.frames as f64 }
    }
}

/// Returns an error if a report has faults: broken or reordered pictures, or closed connections.
///
/// # Errors
///
/// A report has such faults, so the measurement is not valid.
pub(crate) fn ensure_intact<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Result<()> {
    let faults: u64 = reports.into_iter().map(Report::faults).sum();
    ensure!(faults == 0, "{faults} pictures were torn or reordered, or viewers closed: the run is void");
    Ok(())
}

/// The counts of all viewers of one kind, from which their part of a report is computed.
#[derive(Debug)]
pub(crate) struct GroupSummary<'a> {
    /// What each viewer received.
    pub(crate) seen: Vec<&'a Seen>,
    /// Number of viewers whose connection the server closed.
    pub(crate) closed: usize,
}

/// Three samples of the server's process: before the viewers connected, at the start of the measured time window, and
/// at its end.
#[derive(Debug)]
pub(crate) struct Samples {
    /// The sample before the viewers connected.
    pub(crate) idle: Sample,
    /// The sample at the start of the measured time window.
    pub(crate) before: Sample,
    /// The sample at the end of the measured time window.
    pub(crate) after: Sample,
}

/// Computes the report of one measurement. `groups` are the viewers that read at full speed, those that read at a fixed
/// rate, and those that never read, in this order.
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
