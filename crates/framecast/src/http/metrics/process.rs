//! The metrics of the server's process, under the names that all client libraries of Prometheus use.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::single;

/// The folder with what Linux knows about the calling process.
const PROC_SELF: &str = "/proc/self";

/// What a process uses at one moment. A value that the system does not tell is `None`.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProcessUsage {
    /// The CPU time of all threads since the start, in seconds.
    cpu_seconds: f64,
    virtual_bytes: Option<u64>,
    resident_bytes: Option<u64>,
    descriptors: Option<u64>,
    max_descriptors: Option<u64>,
    threads: Option<u64>,
    started_at: SystemTime,
}

impl ProcessUsage {
    /// Reads what this process, which started at `started_at`, uses now. Blocks for some milliseconds if thousands of
    /// descriptors are open.
    pub(super) fn now(started_at: SystemTime) -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let statm = fs::read_to_string(format!("{PROC_SELF}/statm")).unwrap_or_default();
        let mut pages = statm.split_ascii_whitespace().map(|pages| pages.parse::<u64>().ok());
        let mut bytes = || Some(pages.next()?? * rustix::param::page_size() as u64);
        Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            virtual_bytes: bytes(),
            resident_bytes: bytes(),
            // One of them is the listing itself.
            descriptors: entries("fd").map(|count| count - 1),
            max_descriptors: getrlimit(Resource::Nofile).current,
            threads: entries("task"),
            started_at,
        }
    }
}

impl Collector for ProcessUsage {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        single(encoder, "cpu_seconds", "CPU time of all threads", ConstCounter::new(self.cpu_seconds))?;
        let started = self.started_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        single(encoder, "start_time_seconds", "Start time in Unix time", ConstGauge::new(started))?;
        for (name, help, value) in [
            ("resident_memory_bytes", "Resident memory", self.resident_bytes),
            ("virtual_memory_bytes", "Virtual memory", self.virtual_bytes),
            ("open_fds", "Open file descriptors", self.descriptors),
            ("max_fds", "The most file descriptors that may be open", self.max_descriptors),
            ("threads", "Threads", self.threads),
        ] {
            if let Some(value) = value {
                single(encoder, name, help, ConstGauge::new(value as f64))?;
            }
        }
        Ok(())
    }
}

/// Returns the number of entries in a folder of [`PROC_SELF`].
fn entries(folder: &str) -> Option<u64> {
    Some(fs::read_dir(format!("{PROC_SELF}/{folder}")).ok()?.count() as u64)
}
