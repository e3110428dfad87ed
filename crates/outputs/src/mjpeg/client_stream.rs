//! What is sent to one client: a stream of multipart parts, or one of fragmented MP4. What writes it to the socket need
//! not know which.

use std::time::Duration;

use bytes::Bytes;
use framecast_hub::{ChangeListener, Subscriber};
#[cfg(target_os = "linux")]
use framecast_hub::{ReadySet, WakeRegistration};
use tokio::time::Instant;

use super::part_stream::{Next, PartStream};
use super::video_stream::VideoStream;
use crate::EndReason;
use crate::viewers::{ViewerGuard, ViewerStats};

/// The stream of one client.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most streams are of pictures, and a writer reads each for every frame"
)]
pub(crate) enum ClientStream {
    /// Multipart parts, each with a picture.
    Parts(PartStream),
    /// Fragmented MP4.
    Video(Box<VideoStream>),
}

impl ClientStream {
    /// Makes each part be in one buffer, to which the picture is copied.
    pub(crate) fn in_one_buffer(self) -> Self {
        match self {
            Self::Parts(parts) => Self::Parts(parts.in_one_buffer()),
            video => video,
        }
    }

    /// Returns the bytes to send before the first picture or frame.
    pub(crate) fn opening(&self) -> Bytes {
        match self {
            Self::Parts(parts) => parts.opening(),
            Self::Video(video) => video.opening(),
        }
    }

    /// Returns the bytes to send after the last picture or frame.
    pub(crate) fn closing(&self) -> Bytes {
        match self {
            Self::Parts(parts) => parts.closing(),
            Self::Video(_) => Bytes::new(),
        }
    }

    /// Returns what to do next.
    pub(crate) fn next(&mut self, now: Instant) -> Next {
        match self {
            Self::Parts(parts) => parts.next(now),
            Self::Video(video) => video.next(),
        }
    }

    /// Returns whether [`next`](Self::next) may return a further part right after one. A stream of pictures sends the
    /// newest, so after that there is none.
    #[cfg(target_os = "linux")]
    pub(crate) fn has_more(&mut self) -> bool {
        match self {
            Self::Parts(_) => false,
            Self::Video(video) => video.has_next(),
        }
    }

    /// Returns when to call [`next`](Self::next) again after a part was sent, even if no new frame is published until
    /// then.
    #[cfg(target_os = "linux")]
    pub(crate) fn wake_at(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Parts(parts) => parts.wake_at(now),
            Self::Video(_) => None,
        }
    }

    /// Changes to pictures of another size if the client requested adaptation and the link requires the change. Returns
    /// whether the stream now reads another channel.
    pub(crate) fn adapt(&mut self, now: Instant, bytes_per_second: Option<u64>) -> bool {
        match self {
            Self::Parts(parts) => parts.adapt(now, bytes_per_second),
            Self::Video(_) => false,
        }
    }

    /// Returns a subscriber of the channel that the stream reads.
    fn channel(&self) -> &Subscriber {
        match self {
            Self::Parts(parts) => parts.channel(),
            Self::Video(video) => video.channel(),
        }
    }

    /// Creates a listener that waits until something is published in the channel that this stream reads, or until the
    /// channel ends.
    pub(crate) fn change_listener(&self) -> ChangeListener {
        self.channel().change_listener()
    }

    /// Arranges that `ready_set` reports `token` each time a frame is published in the channel that this stream reads.
    /// This ends when the returned registration is dropped.
    #[cfg(target_os = "linux")]
    pub(crate) fn register(&self, ready_set: &ReadySet, token: usize) -> WakeRegistration {
        self.channel().register(ready_set, token)
    }

    /// Returns whether `registration` was made with the channel (sequence of frames) that this stream reads now.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_same_channel(&self, registration: &WakeRegistration) -> bool {
        registration.is_same_channel(self.channel())
    }

    /// Returns the camera's latency budget: the maximum time that the link should need for the bytes in flight.
    pub(crate) fn latency_budget(&self) -> Duration {
        self.stats().feed().latency_budget()
    }

    /// Sets why the stream ends if it is dropped from now on. When the stream is dropped, the camera's count for this
    /// reason goes up by one.
    pub(crate) fn set_end_reason(&mut self, end_reason: EndReason) {
        self.viewer().set_end_reason(end_reason);
    }

    /// Returns the guard that registers the stream as a viewer.
    pub(crate) fn viewer(&mut self) -> &mut ViewerGuard {
        match self {
            Self::Parts(parts) => parts.viewer(),
            Self::Video(video) => video.viewer(),
        }
    }

    /// Returns the viewer's statistics, which the writer thread updates.
    pub(crate) fn stats(&self) -> &ViewerStats {
        match self {
            Self::Parts(parts) => parts.stats(),
            Self::Video(video) => video.shared_viewer(),
        }
    }
}

impl From<PartStream> for ClientStream {
    fn from(parts: PartStream) -> Self {
        Self::Parts(parts)
    }
}
