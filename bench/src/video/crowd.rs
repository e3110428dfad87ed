//! Simulated viewers of coded video on one thread and one epoll.

use std::{
    net::SocketAddr,
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

use super::viewer::{Door, Media, VideoSeen, VideoViewer};
use crate::proc;

/// The interval at which viewers to whom nothing comes acknowledge what came last.
const SWEEP_EACH: Duration = Duration::from_millis(100);

const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(15);
const SCRATCH_BYTES: usize = 256 * 1024;

/// Viewers of coded video.
#[derive(Debug)]
pub(crate) struct VideoCrowd {
    epoll: OwnedFd,
    pub(crate) viewers: Vec<VideoViewer>,
    swept_at: Instant,
    scratch: Vec<u8>,
}

impl VideoCrowd {
    /// Creates a crowd without viewers.
    ///
    /// # Errors
    ///
    /// The system refuses an epoll.
    pub(crate) fn new() -> Result<Self> {
        proc::raise_descriptor_limit();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, viewers: Vec::new(), swept_at: Instant::now(), scratch: vec![0; SCRATCH_BYTES] })
    }

    /// Connects a viewer to each of `cameras`.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, or refuses a viewer.
    pub(crate) fn join(
        &mut self,
        server: SocketAddr,
        cameras: impl IntoIterator<Item = String>,
        door: Door,
        media: Media,
    ) -> Result<()> {
        for camera in cameras {
            let viewer = VideoViewer::connect(server, &camera, door, media)
                .with_context(|| format!("viewer {} of {camera}", self.viewers.len() + 1))?;
            let data = EventData::new_u64(self.viewers.len() as u64);
            epoll::add(&self.epoll, viewer.socket(), data, EventFlags::IN | EventFlags::RDHUP)?;
            self.viewers.push(viewer);
            // Viewers that are already connected must not fall behind while the others connect.
            self.turn(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Lets the viewers watch for `time`.
    ///
    /// # Errors
    ///
    /// A viewer received something else than coded video.
    pub(crate) fn watch(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.turn(left)?;
        }
    }

    /// Lets the viewers watch until each has a frame.
    ///
    /// # Errors
    ///
    /// A viewer has no frame after 15 s, or received something else than coded video.
    pub(crate) fn watch_until_all_have_frames(&mut self) -> Result<()> {
        let give_up = Instant::now() + FIRST_FRAME_TIMEOUT;
        loop {
            let without = self.viewers.iter().filter(|viewer| viewer.seen.arrivals.is_empty()).count();
            if without == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < give_up, "{without} of {} viewers got no frame", self.viewers.len());
            self.turn(Duration::from_millis(50))?;
        }
    }

    /// Forgets what the viewers have seen.
    pub(crate) fn reset(&mut self) {
        for viewer in &mut self.viewers {
            viewer.seen = VideoSeen::default();
        }
    }

    /// Returns how many of the viewers the server has left.
    pub(crate) fn closed(&self) -> usize {
        self.viewers.iter().filter(|viewer| !viewer.is_open).count()
    }

    /// Returns how many bytes all viewers have received.
    pub(crate) fn bytes(&self) -> u64 {
        self.viewers.iter().map(|viewer| viewer.seen.bytes).sum()
    }

    /// Returns the number of frames that the viewer with the fewest frames has received.
    pub(crate) fn min_frames(&self) -> usize {
        self.viewers.iter().map(|viewer| viewer.seen.arrivals.len()).min().unwrap_or(0)
    }

    fn turn(&mut self, longest: Duration) -> Result<()> {
        let longest = longest.min(SWEEP_EACH);
        let timeout = Timespec { tv_sec: 0, tv_nsec: longest.subsec_nanos().into() };
        let mut events = Vec::with_capacity(256);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events {
            let viewer = &mut self.viewers[event.data.u64() as usize];
            viewer.read(&mut self.scratch)?;
            if !viewer.is_open {
                epoll::delete(&self.epoll, viewer.socket())?;
            }
        }
        if self.swept_at.elapsed() >= SWEEP_EACH {
            self.swept_at = Instant::now();
            for viewer in &mut self.viewers {
                viewer.acknowledge(false)?;
            }
        }
        Ok(())
    }
}
