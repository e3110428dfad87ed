//! Statistics of one viewer.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use framecast_hub::{Feed, Rendition};
use framecast_media::{Codec, lock};
use tokio::time::Instant;

use super::{CameraTotals, EndReason};

/// The value of an atomic statistic that is not known yet.
const NONE: u64 = u64::MAX;

/// How the server sends pictures to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// As a multipart stream over HTTP.
    Mjpeg,
    /// As fragmented MP4 over HTTP.
    Mp4,
    /// As a tile (one camera's place on the client's page) of the WebSocket `/api/live`.
    Live,
    /// Over the WebSocket of go2rtc's players, as pictures or fragmented MP4.
    Go2rtc,
}

impl Transport {
    /// All transports.
    pub const ALL: [Self; 4] = [Self::Mjpeg, Self::Mp4, Self::Live, Self::Go2rtc];

    /// Returns the transport's name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mjpeg => "mjpeg",
            Self::Mp4 => "mp4",
            Self::Live => "live",
            Self::Go2rtc => "go2rtc",
        }
    }
}

/// A viewer's first picture.
#[derive(Debug, Clone, Copy)]
enum FirstPicture {
    /// The viewer asked for pictures then, and has had none yet.
    AwaitedSince(Instant),
    /// The viewer had it after this time.
    CameAfter(Duration),
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
    first_picture: Mutex<FirstPicture>,
    codec: Mutex<Option<Codec>>,
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
        let (rendition, codec, writer_number) =
            (Mutex::default(), Mutex::default(), AtomicU32::new(u32::MAX));
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
            first_picture: Mutex::new(FirstPicture::AwaitedSince(Instant::now())),
            codec,
        }
    }

    /// Returns the viewer's number, unique on the server.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the camera that the viewer watches.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Returns the viewer's address; `None` over a UNIX socket.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Returns how the server sends pictures to the viewer.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns when the viewer connected.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// Sets the total number of pictures and bytes sent so far. `age` is the age of the last picture when it was sent;
    /// `None` if that picture had been sent before.
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

    /// Sets the estimate of how many bytes per second the viewer's link can transfer.
    pub fn set_bytes_per_second(&self, bytes_per_second: u64) {
        self.bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Records that the client has painted a picture, at most `age` after the picture's capture.
    pub fn painted(&self, age: Duration) {
        self.painted_age_us.store(micros(age), Ordering::Relaxed);
        self.totals.painted(age);
    }

    /// Adds one to the number of the camera's streams that ended for the reason `end_reason`.
    pub(super) fn ended(&self, end_reason: EndReason) {
        self.totals.ended(end_reason);
    }

    /// Sets the rendition (size, quality and frame rate) that the viewer receives from now on.
    pub fn set_rendition(&self, rendition: Rendition) {
        *lock(&self.rendition) = rendition;
    }

    /// Sets the number of the writer thread that serves the viewer.
    pub fn set_writer_number(&self, writer_number: usize) {
        self.writer_number.store(u32::try_from(writer_number).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Sets the codec of the frames that the viewer gets from now on.
    pub(super) fn set_codec(&self, codec: Codec) {
        *lock(&self.codec) = Some(codec);
    }

    /// Records that the viewer has its first picture now. Returns how long the viewer waited for it.
    pub(super) fn first_picture_came(&self) -> Duration {
        let mut first_picture = lock(&self.first_picture);
        let waited = match *first_picture {
            FirstPicture::AwaitedSince(since) => since.elapsed(),
            FirstPicture::CameAfter(waited) => waited,
        };
        *first_picture = FirstPicture::CameAfter(waited);
        waited
    }

    /// Records that the viewer asks for pictures only now, unless it has had one.
    #[cfg(feature = "live")]
    pub(super) fn asks(&self) {
        let mut first_picture = lock(&self.first_picture);
        if let FirstPicture::AwaitedSince(since) = &mut *first_picture {
            *since = Instant::now();
        }
    }

    /// Returns the codec of the last frame that the viewer got: JPEG, or that of the camera's coded video. `None` before
    /// the first frame; slates do not count.
    pub fn codec(&self) -> Option<Codec> {
        *lock(&self.codec)
    }

    /// Returns the time from the viewer's request to the first frame that was given to its connection; `None` before
    /// that.
    pub fn first_picture(&self) -> Option<Duration> {
        match *lock(&self.first_picture) {
            FirstPicture::AwaitedSince(_) => None,
            FirstPicture::CameAfter(waited) => Some(waited),
        }
    }

    /// Returns the rendition (size, quality and frame rate) that the viewer receives.
    pub fn rendition(&self) -> Rendition {
        *lock(&self.rendition)
    }

    /// Returns the number of the writer thread that serves the viewer; `None` if the viewer has a task of its own
    /// instead.
    pub fn writer_number(&self) -> Option<u32> {
        Some(self.writer_number.load(Ordering::Relaxed)).filter(|writer_number| *writer_number != u32::MAX)
    }

    /// Returns the number of pictures sent to the viewer.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes sent to the viewer, including the framing.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of frames that the viewer missed because newer ones replaced them.
    pub fn skipped_frames(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Returns the age of the last picture when the server gave it to the kernel; `None` before the first picture.
    pub fn age(&self) -> Option<Duration> {
        known(&self.age_us).map(Duration::from_micros)
    }

    /// Returns the age of the last picture when the client reported that it had painted the picture; `None` before the
    /// first report.
    pub fn painted_age(&self) -> Option<Duration> {
        known(&self.painted_age_us).map(Duration::from_micros)
    }

    /// Returns the number of bytes that the kernel has accepted but the client has not acknowledged, when this was last
    /// measured; `None` before the first measurement.
    pub fn queue_bytes(&self) -> Option<u64> {
        known(&self.queue_bytes)
    }

    /// Returns the estimate of how many bytes per second the viewer's link can transfer; `None` while there is no
    /// estimate, for example because the link was never the bottleneck.
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
