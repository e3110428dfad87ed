//! A camera as its viewers see it: its channel, its status and its counts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use framecast_media::Frame;
use tokio::sync::watch;

use crate::channel::lock;
use crate::rate::Rate;
use crate::{Channel, State, Status};

/// A camera as its viewers see it.
#[derive(Debug)]
pub struct Feed {
    name: String,
    channel: Channel,
    status: watch::Sender<Status>,
    rate: Mutex<Rate>,
    counts: Counts,
    last_broken: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Counts {
    frames: AtomicU64,
    broken: AtomicU64,
    over_rate: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
}

/// What was counted since the start of the server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames published.
    pub frames: u64,
    /// Pictures that were broken and not published.
    pub broken: u64,
    /// Why the last broken picture was, with the byte offset.
    pub last_broken: Option<String>,
    /// Pictures left out because they came faster than the camera's `max_fps`.
    pub over_rate: u64,
    /// How often the camera was opened.
    pub opened: u64,
    /// How often the camera was closed after it had been opened.
    pub closed: u64,
    /// Frames per second now, of a live camera.
    pub frames_per_second: Option<f64>,
}

impl Feed {
    pub(crate) fn new(name: String, now: SystemTime) -> Self {
        Self {
            name,
            channel: Channel::new(),
            status: watch::Sender::new(Status::new(State::Idle, now)),
            rate: Mutex::default(),
            counts: Counts::default(),
            last_broken: Mutex::default(),
        }
    }

    /// The camera's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The camera's main channel.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// What the camera is doing now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// What the camera is doing, as it changes.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Tells what the camera is doing from now on.
    pub fn set_status(&self, status: Status) {
        if status.state != State::Live {
            lock(&self.rate).reset();
        }
        self.status.send_replace(status);
    }

    /// Publishes a frame of the camera and counts it.
    pub fn publish(&self, frame: Frame) {
        self.counts.frames.fetch_add(1, Ordering::Relaxed);
        lock(&self.rate).record(frame.pts);
        self.channel.publish(frame);
    }

    /// Counts a broken picture, with what is wrong with it.
    pub fn count_broken(&self, problem: String) {
        self.counts.broken.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last_broken) = Some(problem);
    }

    /// Counts a picture that came too early for the camera's `max_fps`.
    pub fn count_over_rate(&self) {
        self.counts.over_rate.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an opening of the camera.
    pub fn count_opened(&self) {
        self.counts.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a closing of the camera.
    pub fn count_closed(&self) {
        self.counts.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        Stats {
            frames: self.counts.frames.load(Ordering::Relaxed),
            broken: self.counts.broken.load(Ordering::Relaxed),
            last_broken: lock(&self.last_broken).clone(),
            over_rate: self.counts.over_rate.load(Ordering::Relaxed),
            opened: self.counts.opened.load(Ordering::Relaxed),
            closed: self.counts.closed.load(Ordering::Relaxed),
            frames_per_second: lock(&self.rate).frames_per_second(),
        }
    }
}
