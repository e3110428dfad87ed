//! Statistics of one camera since the start of the server.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use framecast_media::lock;

/// The statistics of a camera since the start of the server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// The number of frames that arrived from the camera.
    pub frames: u64,
    /// The number of broken pictures. These are dropped, so viewers do not get them.
    pub broken: u64,
    /// A description of what was wrong with the last broken picture, with the byte offset; `None` if no picture was
    /// broken.
    pub last_broken: Option<String>,
    /// The number of pictures that the server repaired, because stray bytes surrounded them or their end was missing.
    /// Viewers get the repaired pictures.
    pub repaired: u64,
    /// The number of pictures that the server dropped because they arrived faster than the camera's `max_fps`.
    pub over_rate: u64,
    /// The number of frames that the device itself lost, as the gaps in the sequence numbers of its frames show.
    pub dropped_by_device: u64,
    /// The number of pictures that the server encoded, for the main channel and all renditions together.
    pub encoded: u64,
    /// The number of frames that an encoder skipped because a newer frame had arrived.
    pub encode_skipped: u64,
    /// The total time that the server spent on encoding, summed over all threads.
    pub encode_time: Duration,
    /// How often the camera was opened.
    pub opened: u64,
    /// How often the camera was closed after it had been opened.
    pub closed: u64,
    /// The camera's current frame rate; `None` if the camera is not live or has delivered fewer than three frames.
    pub frames_per_second: Option<f64>,
}

/// The counts behind the [`Stats`] of one camera.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) repaired: AtomicU64,
    pub(crate) over_rate: AtomicU64,
    pub(crate) dropped_by_device: AtomicU64,
    pub(crate) encoded: AtomicU64,
    pub(crate) encode_skipped: AtomicU64,
    pub(crate) encode_nanos: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
    broken: AtomicU64,
    last_broken: Mutex<Option<String>>,
}

impl Counters {
    /// Adds one to the number of broken pictures. `problem` describes what is wrong with the picture.
    pub(crate) fn count_broken(&self, problem: String) {
        self.broken.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last_broken) = Some(problem);
    }

    /// Returns the statistics of a camera that has delivered `frames` frames, with its current frame rate.
    pub(crate) fn stats(&self, frames: u64, frames_per_second: Option<f64>) -> Stats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            frames,
            broken: count(&self.broken),
            last_broken: lock(&self.last_broken).clone(),
            repaired: count(&self.repaired),
            over_rate: count(&self.over_rate),
            dropped_by_device: count(&self.dropped_by_device),
            encoded: count(&self.encoded),
            encode_skipped: count(&self.encode_skipped),
            encode_time: Duration::from_nanos(count(&self.encode_nanos)),
            opened: count(&self.opened),
            closed: count(&self.closed),
            frames_per_second,
        }
    }
}
