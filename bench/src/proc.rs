//! Reads data from the kernel: the CPU time, memory and file descriptors of a process, and a description of the
//! machine. Also changes two properties of this process: the CPU that the calling thread runs on, and the maximum
//! number of file descriptors.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use rustix::{
    process::{Resource, Rlimit},
    thread::CpuSet,
};

/// The length in nanoseconds of one tick, the unit of CPU times in `/proc/PID/stat`. `USER_HZ` is 100 on every Linux
/// system.
const TICK_NS: u64 = 10_000_000;

/// The resources that a process has used or holds at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// How long each thread has run on a CPU and waited for a CPU, by thread id. Only threads that exist at the moment
    /// of the sample are included.
    threads: HashMap<String, ThreadTime>,
    /// CPU time that the whole process has used, including its ended threads, in ticks.
    ticks: u64,
    /// Resident memory in KiB.
    pub(crate) rss_kib: u64,
    /// Peak of the resident memory since it was last reset, in KiB.
    pub(crate) rss_peak_kib: u64,
    /// Number of open file descriptors.
    pub(crate) descriptors: usize,
}

impl Sample {
    /// Samples the process with the id `pid` now.
    ///
    /// # Errors
    ///
    /// The process does not exist or belongs to another user.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let dir = format!("/proc/{pid}");
        let dir = Path::new(&dir);
        let context = || format!("cannot read /proc/{pid}");
        let status = fs::read_to_string(dir.join("status")).with_context(context)?;
        let stat = fs::read_to_string(dir.join("stat")).with_context(context)?;
        let mut threads = HashMap::new();
        for thread in fs::read_dir(dir.join("task")).with_context(context)? {
            let thread = thread?;
            // A thread can end between the listing and the reading.
            if let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) {
                let name = thread.file_name().to_string_lossy().into_owned();
                threads.insert(name, ThreadTime::parse(&text));
            }
        }
        Ok(Self {
            threads,
            ticks: process_ticks(&stat),
            rss_kib: status_kib(&status, "VmRSS:"),
            rss_peak_kib: status_kib(&status, "VmHWM:"),
            descriptors: fs::read_dir(dir.join("fd")).with_context(context)?.count(),
        })
    }

    /// Returns the number of threads.
    pub(crate) fn thread_count(&self) -> usize {
        self.threads.len()
    }

    /// Returns the CPU seconds that the process used between the sample `earlier` and this sample.
    ///
    /// The kernel reports the CPU time of each thread in nanoseconds, but only until the thread ends. It reports the
    /// CPU time of the process with its ended threads, but in ticks. The result is the sum over the threads, unless the
    /// process's time exceeds this sum by more than rounding to ticks explains; then it is the process's time.
    pub(crate) fn cpu_seconds_since(&self, earlier: &Self) -> f64 {
        let threads_ns = self.sum_since(earlier, |time| time.ran_ns);
        let process_ns = self.ticks.saturating_sub(earlier.ticks) * TICK_NS;
        let cpu_ns = if process_ns > threads_ns + 4 * TICK_NS { process_ns } else { threads_ns };
        cpu_ns as f64 / 1e9
    }

    /// Returns how many seconds the threads of this sample together waited since `earlier`, because other processes
    /// used the CPU.
    pub(crate) fn waited_seconds_since(&self, earlier: &Self) -> f64 {
        self.sum_since(earlier, |time| time.waited_ns) as f64 / 1e9
    }

    fn sum_since(&self, earlier: &Self, figure: fn(&ThreadTime) -> u64) -> u64 {
        let grown = |(id, now): (&String, &ThreadTime)| {
            let then = earlier.threads.get(id).map_or(0, figure);
            figure(now).saturating_sub(then)
        };
        self.threads.iter().map(grown).sum()
    }
}

/// Parses the content of `/proc/PID/stat` and returns the sum of user and system time in ticks: fields 14 and 15. The
/// fields are counted from the end of the process name, which can contain spaces.
fn process_ticks(stat: &str) -> u64 {
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    behind_name.split_ascii_whitespace().skip(11).take(2).map(first_number).sum()
}

fn status_kib(status: &str, field: &str) -> u64 {
    status.lines().find_map(|line| line.strip_prefix(field)).map_or(0, first_number)
}

fn first_number(text: &str) -> u64 {
    text.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// How long a thread has run on a CPU, and has waited for a CPU, since it started. Both are in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ThreadTime {
    ran_ns: u64,
    waited_ns: u64,
}

impl ThreadTime {
    /// Returns the times of the calling thread, or zeros if the kernel does not record them.
    pub(crate) fn own() -> Self {
        Self::parse(&fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default())
    }

    fn parse(schedstat: &str) -> Self {
        let mut numbers = schedstat.split_ascii_whitespace().map(first_number);
        Self { ran_ns: numbers.next().unwrap_or(0), waited_ns: numbers.next().unwrap_or(0) }
    }

    /// Returns two numbers of seconds since `earlier`: how long the thread ran, and how long it waited because other
    /// processes used the CPU.
    pub(crate) fn seconds_since(self, earlier: Self) -> (f64, f64) {
        let seconds = |now: u64, then: u64| now.saturating_sub(then) as f64 / 1e9;
        (seconds(self.ran_ns, earlier.ran_ns), seconds(self.waited_ns, earlier.waited_ns))
    }
}

/// Pins the calling thread to one CPU. Threads and processes that this thread starts from now on are pinned too.
///
/// # Errors
///
/// The machine does not have this CPU, or the system does not allow pinning to it.
pub(crate) fn pin_to_cpu(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("cannot bind to CPU {cpu}"))
}

/// Lets the calling thread run on every CPU. This also applies to threads and processes that it starts from now on.
///
/// # Errors
///
/// The system does not allow it.
pub(crate) fn pin_to_any_cpu() -> Result<()> {
    let mut set = CpuSet::new();
    (0..cpu_count()).for_each(|cpu| set.set(cpu));
    rustix::thread::sched_setaffinity(None, &set).context("cannot run on all CPUs")
}

/// Makes the kernel record the peak of a process's resident memory anew from now on.
///
/// # Errors
///
/// The process does not exist or belongs to another user.
pub(crate) fn reset_peak(pid: u32) -> Result<()> {
    // See clear_refs in proc_pid_clear_refs(5): 5 resets VmHWM.
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
        .with_context(|| format!("cannot reset the memory peak of process {pid}"))
}

/// Raises the number of files that this process may have open to the maximum that the system allows.
pub(crate) fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: maximum, maximum };
    // If the limit is not raised, a later call fails with "too many open files".
    let _ = rustix::process::setrlimit(Resource::Nofile, wanted);
}

/// Returns the wall-clock time in microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Returns the number of CPUs of the machine, even if this thread is pinned to fewer CPUs.
pub(crate) fn cpu_count() -> usize {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpuinfo.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

/// The machine on which a run was made.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Host {
    /// Instruction set and number of CPUs, such as `x86_64-4cpu`. The names of reports contain it, because only reports
    /// with the same value are compared.
    pub(crate) class: String,
    cpu: String,
    kernel: String,
    congestion_control: String,
    loopback_mtu: u64,
    load_average: String,
}

impl Host {
    /// Inspects this machine. If this process runs in its own network namespace, `loopback_mtu` is the MTU of the
    /// loopback in that namespace.
    pub(crate) fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let cpu = cpuinfo
            .lines()
            .find(|line| line.starts_with("model name") || line.starts_with("Model"))
            .and_then(|line| line.split_once(':'))
            .map_or("unknown", |(_, name)| name.trim());
        let load = read("/proc/loadavg");
        Self {
            class: format!("{}-{}cpu", std::env::consts::ARCH, cpu_count()),
            cpu: cpu.to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control").trim().to_owned(),
            loopback_mtu: loopback_mtu(),
            load_average: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        }
    }

    /// Describes the machine in one line for a report.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} ({}), kernel {}, {}, loopback MTU {}, load average {} at the start",
            self.class, self.cpu, self.kernel, self.congestion_control, self.loopback_mtu, self.load_average
        )
    }
}

/// Returns the MTU of the loopback device in bytes, or 0 if it is unknown. The program `ip` is asked, because the files
/// under `/sys` show the network namespace in which `/sys` was mounted, not that of this process.
fn loopback_mtu() -> u64 {
    let output = std::process::Command::new("ip").args(["-o", "link", "show", "lo"]).output();
    let text =
        output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.split_once(" mtu ").map_or(0, |(_, rest)| first_number(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_name_with_spaces_and_brackets() {
        let stat = "42 (a b) c) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0 20 0";
        assert_eq!(process_ticks(stat), 100);
    }

    #[test]
    fn memory_is_read_from_its_own_line() {
        let status = "Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t  800 kB\n";
        assert_eq!(status_kib(status, "VmRSS:"), 800);
        assert_eq!(status_kib(status, "VmHWM:"), 900);
        assert_eq!(status_kib(status, "VmSwap:"), 0);
    }

    #[test]
    fn a_thread_that_ended_is_counted_by_the_clock_of_its_process() {
        let sample = |threads: &[(&str, u64)], ticks| Sample {
            threads: threads
                .iter()
                .map(|&(id, ran_ns)| (id.to_owned(), ThreadTime { ran_ns, waited_ns: 0 }))
                .collect(),
            ticks,
            rss_kib: 0,
            rss_peak_kib: 0,
            descriptors: 0,
        };
        let before = sample(&[("1", 1_000_000_000), ("2", 500_000_000)], 150);
        let both = sample(&[("1", 1_500_000_000), ("2", 501_000_000)], 200);
        let one = sample(&[("1", 1_500_000_000)], 300);
        assert_eq!(both.cpu_seconds_since(&before), 0.501);
        assert_eq!(one.cpu_seconds_since(&before), 1.5);
    }

    #[test]
    fn this_process_shows_memory_descriptors_and_cpu_time() {
        let before = Sample::of(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while Sample::of(std::process::id()).unwrap().cpu_seconds_since(&before) <= 0.0 {
            sum = (0..100_000).fold(sum, u64::wrapping_add);
        }
        assert!(before.rss_kib > 0 && before.rss_peak_kib >= before.rss_kib);
        assert!(before.descriptors >= 3);
    }
}
