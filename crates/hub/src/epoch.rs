//! One opening of a camera's source, as the subscribers are told of it.

use framecast_media::Anchor;

/// One opening of a camera's source. Frames of one epoch share a media time, and only frames of one epoch can depend on
/// each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// The number of the epoch, which grows with each opening of the camera.
    pub number: u64,
    /// The wall-clock time of media time zero. It changes within an epoch if the wall clock is set.
    pub anchor: Anchor,
}
