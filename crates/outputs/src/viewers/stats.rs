//! Statistics of one viewer.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use framecast_hub::{Feed, Rendition};

use super::{CameraTotals, EndReason};

/// The value of an atomic that means "not known".
const NONE: u64 = u64::MAX;

/// How the server sends pictures to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A multipart stream.
    Mjpeg,
    /// A tile of `/api/live`.
    Live,
}

impl Transport {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mjpeg => "mjpeg",
            Self::Live => "live",
        }
    }
}

/// Statistics of one viewer. The sending task updates them with atomics, without locks for each frame; the API reads
/// them.
#[derive(Debug)]
pub struct ViewerStats {
    id: u64,
    feed: Arc<Feed>,
    peer: Option<IpAddr>,
    transport: Transport,
    since: SystemTime,
    totals: Arc<CameraTotals>,
    rendition: Mutex<Rendition>,
    writer_number: AtomicU32,
    frames: AtomicU64,
    bytes: AtomicU64,
    skipped: AtomicU64,
    age_us: AtomicU64,
    painted_age_us: AtomicU64,
    queue_bytes: AtomicU64,
    bytes_per_second: AtomicU64,
}

impl ViewerStats {
    pub(super) fn new(
        id: u64,
        feed: Arc<Feed>,
        peer: Option<IpAddr>,
        transport: Transport,
        since: SystemTime,
        totals: Arc<CameraTotals>,
    ) -> Self {
        let [frames, bytes, skipped] = [0; 3].map(AtomicU64::new);
        let [age_us, painted_age_us, queue_bytes, bytes_per_second] = [NONE; 4].map(AtomicU64::new);
        let (rendition, writer_number) = (Mutex::default(), AtomicU32::new(u32::MAX));
        Self {
            id,
            feed,
            peer,
            transport,
            since,
            totals,
            rendition,
            writer_number,
            frames,
            bytes,
            skipped,
            age_us,
            painted_age_us,
            queue_bytes,
            bytes_per_second,
        }
    }

    /// The viewer's number, unique on the server.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The camera that the viewer watches.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The viewer's address; `None` over a UNIX socket.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// How the server sends pictures to the viewer.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// When the viewer connected.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// Sets the total number of pictures and bytes sent. `age` is the age of the last picture; `None` if the last
    /// picture was a repeated one.
    pub(super) fn sent(&self, frames: u64, bytes: u64, age: Option<Duration>) {
        self.frames.store(frames, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        if let Some(age) = age {
            self.age_us.store(micros(age), Ordering::Relaxed);
        }
    }

    /// Sets how many frames the viewer has missed so far because newer ones replaced them.
    pub(super) fn skipped(&self, total: u64) {
        self.skipped.store(total, Ordering::Relaxed);
    }

    /// Sets how many bytes are in flight to the viewer: accepted by the kernel, but not acknowledged by the client.
    pub fn set_queue_bytes(&self, bytes: u64) {
        self.queue_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Sets the estimate of what the viewer's link carries, in bytes per second.
    pub fn set_bytes_per_second(&self, bytes_per_second: u64) {
        self.bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Records that the client has painted a picture, at most `age` after the picture's capture.
    pub fn painted(&self, age: Duration) {
        self.painted_age_us.store(micros(age), Ordering::Relaxed);
        self.totals.painted(age);
    }

    /// Records how the stream ended.
    pub(super) fn ended(&self, end_reason: EndReason) {
        self.totals.ended(end_reason);
    }

    /// Sets the rendition that the viewer receives from now on.
    pub fn set_rendition(&self, rendition: Rendition) {
        *self.rendition.lock().unwrap_or_else(PoisonError::into_inner) = rendition;
    }

    /// Sets the number of the writer that serves the viewer.
    pub fn set_writer_number(&self, writer_number: usize) {
        self.writer_number.store(u32::try_from(writer_number).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// The rendition that the viewer receives.
    pub fn rendition(&self) -> Rendition {
        *self.rendition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the writer that serves the viewer; `None` if the viewer has a task of its own.
    pub fn writer_number(&self) -> Option<u32> {
        Some(self.writer_number.load(Ordering::Relaxed)).filter(|writer_number| *writer_number != u32::MAX)
    }

    /// The number of pictures sent to the viewer.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// The number of bytes sent to the viewer, including the framing.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The number of frames that the viewer missed because newer ones replaced them.
    pub fn skipped_frames(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// The age of the last picture when the server gave it to the kernel.
    pub fn age(&self) -> Option<Duration> {
        known(&self.age_us).map(Duration::from_micros)
    }

    /// The age of the last picture when the client reported that it had painted the picture.
    pub fn painted_age(&self) -> Option<Duration> {
        known(&self.painted_age_us).map(Duration::from_micros)
    }

    /// The number of bytes in flight to the viewer, according to the last sample; `None` before the first sample.
    pub fn queue_bytes(&self) -> Option<u64> {
        known(&self.queue_bytes)
    }

    /// What the viewer's link carries, in bytes per second; `None` while the link has not been the bottleneck.
    pub fn bytes_per_second(&self) -> Option<u64> {
        known(&self.bytes_per_second)
    }
}

fn known(value: &AtomicU64) -> Option<u64> {
    Some(value.load(Ordering::Relaxed)).filter(|value| *value != NONE)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).map_or(NONE - 1, |micros| micros.min(NONE - 1))
}
