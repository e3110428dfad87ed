//! One opening of a camera's source, as the subscribers are told of it.

use framecast_media::Anchor;

/// One opening of a camera's source. Frames of one epoch share a media time, and only frames of one epoch can depend on
/// each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// The number of the epoch, which grows with each opening of the camera.
    pub number: u64,
    /// The time of this machine's wall clock at media time zero. Within an epoch it changes only if the wall clock is
    /// set, even if the frames keep the time of an original capture.
    pub anchor: Anchor,
}
