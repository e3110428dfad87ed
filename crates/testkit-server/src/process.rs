//! A process's resources, from the kernel.

use std::collections::BTreeMap;
use std::fs;

/// Memory, threads and descriptors of a process at one moment.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Resident memory.
    pub resident_kib: u64,
    /// The peak of resident memory.
    pub peak_kib: u64,
    /// The number of threads by name.
    pub threads: BTreeMap<String, usize>,
    /// The number of descriptors by kind: sockets, pipes, and files by their paths.
    pub descriptors: BTreeMap<String, usize>,
}

impl Usage {
    /// The usage of the process with this id.
    pub fn of(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        // A thread or descriptor may be gone before this reads it.
        let threads = entries(process, "task")
            .filter_map(|path| Some(fs::read_to_string(path.join("comm")).ok()?.trim_end().to_owned()));
        let descriptors = entries(process, "fd").filter_map(|path| {
            let target = fs::read_link(path).ok()?.display().to_string();
            Some(target.split(":[").next().unwrap_or_default().to_owned())
        });
        Self {
            resident_kib: number("VmRSS:"),
            peak_kib: number("VmHWM:"),
            threads: count(threads),
            descriptors: count(descriptors),
        }
    }

    /// Whether there are no more threads and descriptors than in `other`.
    pub fn is_down_to(&self, other: &Self) -> bool {
        let sum = |counts: &BTreeMap<String, usize>| counts.values().sum::<usize>();
        sum(&self.threads) <= sum(&other.threads) && sum(&self.descriptors) <= sum(&other.descriptors)
    }
}

fn entries(process: u32, folder: &str) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = fs::read_dir(format!("/proc/{process}/{folder}")).unwrap();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

fn count(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}
