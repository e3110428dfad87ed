//! What all measurements of coded video need: fake RTSP cameras in this program, and a Framecast that reads them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use framecast_testkit::rtsp::{FakeCamera, FakeRtsp};
use tempfile::TempDir;

use super::{
    file::{self, FPS, FileShape},
    viewer::Arrival,
};
use crate::{
    netns, proc,
    server::{Candidate, LOAD_CPU, SERVER_CPU, Server},
    setup::RunTime,
};

const TIMEOUT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// The options that all measurements of coded video share.
#[derive(Debug, Clone, clap::Args)]
// The options of each command already form a clap group with the same name.
#[group(skip)]
pub(crate) struct VideoOptions {
    /// Path of the Framecast program, and arguments separated by blanks.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) server: String,
    /// File of H.264 with start codes and 25 pictures a second; without it, ffmpeg makes one.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// Run in a separate network namespace, whose loopback has an MTU of 1500 and whose congestion control is reno
    /// (needs root, unshare and ip).
    #[arg(long)]
    pub(crate) netns: bool,
    /// A line of text for the report, such as the revision that was built.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// Write DATE-HOSTCLASS-COMMAND.md and .json to this folder without replacing existing files.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// The file and the folder of a measurement.
#[derive(Debug)]
pub(crate) struct Stage {
    work: TempDir,
    pub(crate) file: PathBuf,
    candidate: Candidate,
    pub(crate) when: RunTime,
    /// What the cameras send, in words.
    pub(crate) video: String,
}

impl Stage {
    /// Enters a network namespace if the options ask for that, and makes the file.
    ///
    /// # Errors
    ///
    /// The program of the server or ffmpeg is missing, or the namespace cannot be made.
    pub(crate) fn new(options: &VideoOptions, shape: FileShape) -> Result<Self> {
        if options.netns {
            netns::enter()?;
        }
        let candidate = Candidate::framecast(&options.server)?;
        let work = tempfile::tempdir().context("cannot make a temporary folder")?;
        let (file, video) = match &options.file {
            Some(file) => (file.clone(), format!("the file {}", file.display())),
            None => (shape.make(work.path())?, shape.describe()),
        };
        Ok(Self { work, file, candidate, when: RunTime::now(options.note.clone()), video })
    }

    /// Returns the folder for files of the measurement.
    pub(crate) fn work(&self) -> &Path {
        self.work.path()
    }

    /// Starts `count` cameras, and a Framecast on its own CPU that closes each camera after `idle_timeout`.
    ///
    /// # Errors
    ///
    /// The cameras or the server do not start.
    pub(crate) fn start(&self, count: usize, idle_timeout: &'static str) -> Result<Site> {
        self.start_on(Ipv4Addr::LOCALHOST.into(), count, idle_timeout, "")
    }

    /// Does the same, but the server listens on `address`, and `suffix` follows the URL of each camera.
    ///
    /// # Errors
    ///
    /// The cameras or the server do not start.
    pub(crate) fn start_on(
        &self,
        address: IpAddr,
        count: usize,
        idle_timeout: &'static str,
        suffix: &str,
    ) -> Result<Site> {
        if proc::cpu_count() > 1 {
            // The cameras belong to the load.
            proc::pin_to_cpu(LOAD_CPU)?;
        }
        let cameras = FakeRtsp::builder(file::read(&self.file)?).cameras(count).start()?;
        let urls = cameras.cameras().iter().map(|camera| format!("{}{suffix}", camera.url())).collect();
        let candidate = self.candidate.reading(urls, idle_timeout);
        // The server shows no pictures, so the folder of pictures is not used.
        let server = Server::start(&candidate, address, self.work(), FPS as u32, self.work())?;
        Ok(Site { cameras, server })
    }

    /// Starts the server that sends the bare messages of the file's video.
    ///
    /// # Errors
    ///
    /// The server does not start.
    pub(crate) fn start_ceiling(&self) -> Result<Server> {
        let candidate = Candidate::video_ceiling(&self.file)?;
        Server::start(&candidate, Ipv4Addr::LOCALHOST.into(), self.work(), FPS as u32, self.work())
    }

    /// Formats the first lines of a report. `method` says what was measured.
    pub(crate) fn head(&self, title: &str, method: &str) -> String {
        let method = format!(
            "- Video: {}, from fake RTSP cameras on CPU {LOAD_CPU}, where the viewers are too; Framecast is on CPU \
             {SERVER_CPU}.\n- {method}\n",
            self.video
        );
        self.when.head(title, &method)
    }
}

/// Running cameras, and a Framecast that reads them. Its cameras are called `bench-1`, `bench-2` and so on.
pub(crate) struct Site {
    pub(crate) cameras: FakeRtsp,
    server: Server,
}

impl Site {
    /// Returns the address of the server.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the process id of the server.
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Waits until no session of any camera is open.
    ///
    /// # Errors
    ///
    /// A session is still open after 15 s.
    pub(crate) fn await_closed(&self) -> Result<()> {
        let give_up = Instant::now() + TIMEOUT;
        let open = || self.cameras.cameras().iter().map(|camera| camera.counts().open).sum::<usize>();
        while open() > 0 {
            ensure!(Instant::now() < give_up, "{} sessions are open without a viewer", open());
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

/// Returns the name of the server's camera with this number, from 1.
pub(crate) fn name(number: usize) -> String {
    format!("bench-{number}")
}

/// When the frames of a camera's newest session were sent.
#[derive(Debug)]
pub(crate) struct SendTimes(Vec<u64>);

impl SendTimes {
    /// Returns those of `camera`, so far.
    pub(crate) fn of(camera: &FakeCamera) -> Self {
        let sent = camera.sent();
        let newest = sent.last().map_or(0, |picture| picture.session);
        let of_session = sent.iter().filter(|picture| picture.session == newest);
        let since = |picture: &framecast_testkit::rtsp::SentPicture| {
            picture.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
        };
        Self(of_session.map(since).collect())
    }

    /// Returns when the first frame of the session was sent, in microseconds since 1970.
    pub(crate) fn first_us(&self) -> Option<u64> {
        self.0.first().copied()
    }

    /// Returns the age of a frame in milliseconds when it arrived: the time since the camera began to send it.
    pub(crate) fn age_ms(&self, arrival: &Arrival) -> Option<f64> {
        let sent_us = self.0.get(arrival.number as usize)?;
        Some(arrival.at_us.saturating_sub(*sent_us) as f64 / 1000.0)
    }

    /// Returns the ages of `arrivals` in milliseconds, in ascending order.
    pub(crate) fn ages_ms<'a>(&self, arrivals: impl IntoIterator<Item = &'a Arrival>) -> Vec<f64> {
        let mut ages: Vec<f64> = arrivals.into_iter().filter_map(|arrival| self.age_ms(arrival)).collect();
        ages.sort_by(f64::total_cmp);
        ages
    }
}
