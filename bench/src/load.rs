//! The load generator: simulated viewers on one thread and one epoll. Within a time window, it measures what the
//! viewers receive and what the server's process uses.
//!
//! There are three kinds of viewers. "Full" viewers read as fast as pictures arrive, "slow" viewers read a fixed number
//! of bytes per second, and "stalled" viewers send a request and never read. A warm-up precedes the time window and
//! lasts at least until each full viewer has received a picture.

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, EventData, EventFlags},
    },
    io::Errno,
};

use crate::{
    client::{Bodies, ReadOutcome, Viewer},
    proc::{self, Sample, ThreadTime},
    report::{self, Report},
};

/// The interval between two reads of a viewer that reads a fixed number of bytes per second.
const SLOW_TURN: Duration = Duration::from_millis(10);

/// The maximum time to wait after the warm-up until each viewer that reads at full speed has received a picture.
const FIRST_PICTURE_TIMEOUT: Duration = Duration::from_secs(10);

/// The size of the read buffer in bytes. If the kernel discards the bytes of the pictures, most of the buffer is never
/// touched.
const SCRATCH_BYTES: usize = 256 * 1024;

/// The options of the load generator: the server, the viewers and the measured time window.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// URL of the stream, as http://ADDRESS:PORT/PATH.
    #[arg(long)]
    pub(crate) url: String,
    /// Number of viewers that read as fast as pictures arrive.
    #[arg(long, default_value_t = 1)]
    pub(crate) viewers: usize,
    /// Number of additional viewers that read --rate bytes per second.
    #[arg(long, default_value_t = 0)]
    pub(crate) slow: usize,
    /// Bytes per second that each slow viewer reads.
    #[arg(long, default_value_t = 300_000, value_name = "BYTES_PER_S")]
    pub(crate) rate: u32,
    /// Number of additional viewers that never read.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) stall: usize,
    /// Length of the measured time window in seconds.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// Seconds of warm-up before the measured time window.
    #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) warmup: Duration,
    /// Copy every byte, as a browser does, instead of letting the kernel discard most of each picture.
    #[arg(long)]
    pub(crate) read_all: bool,
    /// Process id of the server, to measure its CPU time and memory.
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// A header line that each viewer sends, such as "Authorization: Basic …".
    #[arg(long, value_name = "NAME: VALUE")]
    pub(crate) header: Option<String>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// Creates options for `viewers` viewers that read at full speed, with a time window of `seconds` seconds.
    pub(crate) fn full(url: String, viewers: usize, seconds: u64, server_pid: u32) -> Self {
        Self {
            url,
            viewers,
            slow: 0,
            rate: 1,
            stall: 0,
            seconds,
            warmup: Duration::from_secs(1),
            read_all: false,
            server_pid: Some(server_pid),
            header: None,
            json: false,
        }
    }
}

/// Connects the viewers to the server, measures, and returns what the viewers received.
///
/// # Errors
///
/// The server cannot be reached, or responds with something else than a stream of pictures. Or a viewer that reads at
/// full speed receives no picture within 10 s after the warm-up.
pub(crate) fn run(options: &Options) -> Result<Report> {
    run_and(options, || Ok(())).map(|(report, ())| report)
}

/// Does the same as [`run`], but also calls `at_end` at the end of the time window, while all viewers are still
/// connected. Returns both results.
///
/// # Errors
///
/// The errors of [`run`] and of `at_end`.
pub(crate) fn run_and<T>(options: &Options, at_end: impl FnOnce() -> Result<T>) -> Result<(Report, T)> {
    proc::raise_descriptor_limit();
    let (server, path) = parse_url(&options.url)?;
    let idle = options.server_pid.map(Sample::of).transpose()?;
    let mut load = Load::connect(server, &path, options)?;
    load.warm_up(options.warmup)?;
    let window = Window::open(&mut load, options.server_pid, idle)?;
    load.run_until(window.started + Duration::from_secs(options.seconds))?;
    let report = window.close(&load)?;
    Ok((report, at_end()?))
}

/// The time window of a measurement, while it lasts.
#[derive(Debug)]
pub(crate) struct Window {
    started: Instant,
    own: ThreadTime,
    server: Option<(u32, Sample, Sample)>,
}

impl Window {
    /// Sets the counts of all viewers to zero and begins to measure. `idle` is a sample of the server's process from
    /// before the viewers connected; without it, the process is not measured.
    ///
    /// # Errors
    ///
    /// The server's process does not exist or belongs to another user.
    pub(crate) fn open(load: &mut Load, server_pid: Option<u32>, idle: Option<Sample>) -> Result<Self> {
        load.reset();
        let server = match (server_pid, idle) {
            (Some(pid), Some(idle)) => Some((pid, idle, Sample::of(pid)?)),
            _ => None,
        };
        Ok(Self { server, own: ThreadTime::own(), started: Instant::now() })
    }

    /// Ends the time window and sums up what the viewers received within it.
    ///
    /// # Errors
    ///
    /// The server's process no longer exists.
    pub(crate) fn close(self, load: &Load) -> Result<Report> {
        let (own, elapsed) = (ThreadTime::own().seconds_since(self.own), self.started.elapsed());
        let server = match self.server {
            Some((pid, idle, before)) => Some(report::Samples { idle, before, after: Sample::of(pid)? }),
            None => None,
        };
        Ok(report::sum_up(
            [&load.full, &load.slow, &load.stalled].map(ViewerGroup::summary),
            server.as_ref(),
            report::LoadCpu::of(own, elapsed),
            elapsed,
        ))
    }
}

/// Parses a number of seconds, such as `0.5`, for a command-line option.
///
/// # Errors
///
/// The text is not a number, is negative, or is too large for a [`Duration`].
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().map_err(|_| format!("{text} is not a number of seconds"))?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

/// Splits `http://HOST:PORT/PATH` into the server's address and the path.
pub(crate) fn parse_url(url: &str) -> Result<(SocketAddr, String)> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} does not begin with http://"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let server = authority
        .to_socket_addrs()
        .with_context(|| format!("{authority} is not HOST:PORT"))?
        .next()
        .with_context(|| format!("{authority} has no IP address"))?;
    Ok((server, format!("/{path}")))
}

/// All viewers of one kind (full speed, fixed rate or never reading), and whether each is still connected.
#[derive(Debug, Default)]
struct ViewerGroup {
    viewers: Vec<Viewer>,
    open: Vec<bool>,
}

impl ViewerGroup {
    fn push(&mut self, viewer: Viewer) {
        self.viewers.push(viewer);
        self.open.push(true);
    }

    fn summary(&self) -> report::GroupSummary<'_> {
        report::GroupSummary {
            seen: self.viewers.iter().map(|viewer| &viewer.seen).collect(),
            closed: self.open.iter().filter(|open| !**open).count(),
        }
    }
}

/// The simulated viewers that are connected to one server.
#[derive(Debug)]
pub(crate) struct Load {
    epoll: OwnedFd,
    full: ViewerGroup,
    slow: ViewerGroup,
    stalled: ViewerGroup,
    pace: Pace,
    bodies: Bodies,
    scratch: Vec<u8>,
}

impl Load {
    /// Connects as many viewers of each kind as `options` says.
    ///
    /// # Errors
    ///
    /// The server cannot be reached.
    pub(crate) fn connect(server: SocketAddr, path: &str, options: &Options) -> Result<Self> {
        let total = options.viewers + options.slow + options.stall;
        ensure!(total > 0, "the number of viewers is 0");
        let mut load = Self::new(options.rate, if options.read_all { Bodies::Read } else { Bodies::Drop })?;
        for number in 0..total {
            let viewer = Viewer::connect(server, path, options.header.as_deref())
                .with_context(|| format!("viewer {} of {total}", number + 1))?;
            if number < options.viewers {
                load.watch(&viewer, number, EventFlags::IN | EventFlags::RDHUP)?;
                load.full.push(viewer);
            } else if number < options.viewers + options.slow {
                load.slow.push(viewer);
            } else {
                load.watch(&viewer, number - options.slow, EventFlags::RDHUP)?;
                load.stalled.push(viewer);
            }
            // Viewers that are already connected must not fall behind while the others connect.
            load.turn(Duration::ZERO)?;
        }
        Ok(load)
    }

    /// Connects one viewer that reads at full speed to each of `paths`.
    ///
    /// # Errors
    ///
    /// The server cannot be reached.
    pub(crate) fn connect_each(server: SocketAddr, paths: &[String]) -> Result<Self> {
        proc::raise_descriptor_limit();
        let mut load = Self::new(1, Bodies::Drop)?;
        for (number, path) in paths.iter().enumerate() {
            let viewer =
                Viewer::connect(server, path, None).with_context(|| format!("a viewer of {path}"))?;
            load.watch(&viewer, number, EventFlags::IN | EventFlags::RDHUP)?;
            load.full.push(viewer);
            load.turn(Duration::ZERO)?;
        }
        Ok(load)
    }

    /// Creates a load without viewers. Slow viewers will read `rate` bytes per second.
    fn new(rate: u32, bodies: Bodies) -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            full: ViewerGroup::default(),
            slow: ViewerGroup::default(),
            stalled: ViewerGroup::default(),
            pace: Pace::new(rate),
            bodies,
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    /// Returns the number of frames that the viewer with the fewest frames has received since the counts were last set
    /// to zero, of those that read at full speed.
    pub(crate) fn min_frames(&self) -> u64 {
        self.full.viewers.iter().map(|viewer| viewer.seen.frames).min().unwrap_or(0)
    }

    fn watch(&self, viewer: &Viewer, number: usize, flags: EventFlags) -> Result<()> {
        let data = EventData::new_u64(number as u64);
        epoll::add(&self.epoll, viewer.socket(), data, flags).context("cannot watch a socket")
    }

    /// Returns the epoll descriptor, so that the caller can poll it. It is readable when [`turn`](Self::turn) has bytes
    /// to read for a viewer that reads at full speed.
    pub(crate) fn epoll(&self) -> &OwnedFd {
        &self.epoll
    }

    /// Lets the viewers read for `time`, or longer until each viewer that reads at full speed has received a picture.
    ///
    /// # Errors
    ///
    /// A viewer that reads at full speed has received no picture 10 s after `time`.
    pub(crate) fn warm_up(&mut self, time: Duration) -> Result<()> {
        self.run_until(Instant::now() + time)?;
        let give_up = Instant::now() + FIRST_PICTURE_TIMEOUT;
        loop {
            let without = self.full.viewers.iter().filter(|viewer| viewer.seen.frames == 0).count();
            if without == 0 {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up,
                "{without} of {} viewers got no picture",
                self.full.viewers.len()
            );
            self.turn(SLOW_TURN)?;
        }
    }

    /// Sets the counts of all viewers to zero.
    pub(crate) fn reset(&mut self) {
        for group in [&mut self.full, &mut self.slow, &mut self.stalled] {
            for viewer in &mut group.viewers {
                viewer.seen = Default::default();
            }
        }
    }

    /// Lets the viewers read until the time `end`.
    ///
    /// # Errors
    ///
    /// A response is not a stream of pictures.
    pub(crate) fn run_until(&mut self, end: Instant) -> Result<()> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let longest = if self.slow.viewers.is_empty() { left } else { left.min(SLOW_TURN) };
            self.turn(longest)?;
        }
    }

    /// Waits at most `longest` for data, and reads the data that has arrived for any viewer.
    pub(crate) fn turn(&mut self, longest: Duration) -> Result<()> {
        let timeout =
            Timespec { tv_sec: longest.as_secs() as i64, tv_nsec: i64::from(longest.subsec_nanos()) };
        let mut events = Vec::with_capacity(256);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events {
            let number = event.data.u64() as usize;
            match number.checked_sub(self.full.viewers.len()) {
                None => self.read_full(number)?,
                Some(stalled) => {
                    self.stalled.open[stalled] = false;
                    epoll::delete(&self.epoll, self.stalled.viewers[stalled].socket())?;
                }
            }
        }
        self.read_slow()
    }

    fn read_full(&mut self, number: usize) -> Result<()> {
        let viewer = &mut self.full.viewers[number];
        if viewer.read(self.bodies, usize::MAX, &mut self.scratch)? == ReadOutcome::Closed {
            self.full.open[number] = false;
            epoll::delete(&self.epoll, viewer.socket())?;
        }
        Ok(())
    }

    fn read_slow(&mut self) -> Result<()> {
        if self.slow.viewers.is_empty() {
            return Ok(());
        }
        let credit = self.pace.credit(Instant::now());
        for (viewer, open) in self.slow.viewers.iter_mut().zip(&mut self.slow.open) {
            if *open && credit > 0 {
                let outcome = viewer.read(self.bodies, credit, &mut self.scratch)?;
                *open = outcome != ReadOutcome::Closed;
            }
        }
        Ok(())
    }
}

/// Computes how many bytes each viewer with a fixed rate is allowed to read now. An allowance that was not used is
/// lost, as on a real link.
#[derive(Debug)]
struct Pace {
    bytes_per_second: f64,
    last: Instant,
}

impl Pace {
    fn new(bytes_per_second: u32) -> Self {
        Self { bytes_per_second: f64::from(bytes_per_second), last: Instant::now() }
    }

    fn credit(&mut self, now: Instant) -> usize {
        let since = now.duration_since(self.last);
        if since < SLOW_TURN {
            return 0;
        }
        self.last = now;
        (self.bytes_per_second * since.as_secs_f64()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_an_address_and_a_path() {
        let (server, path) = parse_url("http://127.0.0.1:5000/cameras/bench/stream.mjpg").unwrap();
        assert_eq!(server, "127.0.0.1:5000".parse().unwrap());
        assert_eq!(path, "/cameras/bench/stream.mjpg");
        assert_eq!(parse_url("http://127.0.0.1:80").unwrap().1, "/");
        assert!(parse_url("https://127.0.0.1:80/").is_err());
        assert!(parse_url("http://127.0.0.1/").is_err());
    }

    #[test]
    fn seconds_need_not_be_whole_and_are_a_length_of_time() {
        assert_eq!(seconds("1"), Ok(Duration::from_secs(1)));
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("soon"), Err("soon is not a number of seconds".to_owned()));
        assert!(seconds("-1").is_err() && seconds("1e40").is_err() && seconds("NaN").is_err());
    }

    #[test]
    fn a_slow_viewer_is_given_its_rate_and_no_arrears() {
        let mut pace = Pace::new(100_000);
        let start = pace.last;
        assert_eq!(pace.credit(start + Duration::from_millis(20)), 2000);
        assert_eq!(pace.credit(start + Duration::from_millis(25)), 0);
        assert_eq!(pace.credit(start + Duration::from_millis(40)), 2000);
    }
}
