//! The frame: the unit of data that passes from cameras' drivers to viewers.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::{Format, Timestamp};

/// One coded picture. A frame is cheap to clone: all clones share the bytes, which are not copied again once the
/// camera's driver has created the frame.
///
/// Frames are made by [`new`](Self::new) and [`coded`](Self::coded).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Frame {
    /// The bytes of the coded picture. `format.codec` says how they are coded.
    pub data: Bytes,
    /// The presentation time: when to show the picture, in 90 kHz ticks of the source's media time.
    pub pts: Timestamp,
    /// The decoding time, in 90 kHz ticks of the source's media time. It never decreases from frame to frame of one
    /// opening of the source; slates have no place in that order. It equals `pts` unless the source sends pictures in
    /// another order than the order in which they are shown.
    pub dts: Timestamp,
    /// The wall-clock time of the capture, for latency measurement and recording. A server that relays frames of
    /// another server keeps the time of the original capture.
    pub captured_at: SystemTime,
    /// The time of this machine's wall clock at `pts`. It equals `captured_at`, unless the frame keeps the time of an
    /// original capture there. [`Anchor::of`](crate::Anchor::of) takes the relation of media time to the wall clock
    /// from it.
    pub wall_time: SystemTime,
    /// Whether a decoder can start at this frame; always true for pictures that stand alone, such as JPEG.
    pub is_keyframe: bool,
    /// Whether no other frame needs this frame, so that the frame can be dropped; always true for pictures that stand
    /// alone, such as JPEG.
    pub is_disposable: bool,
    /// The parameters that a decoder needs. The `Arc` points to a new `Format` when a parameter changes.
    pub format: Arc<Format>,
}

/// How a frame of coded video and the frames around it depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependency {
    /// A decoder can start here. The frames up to the next keyframe need this one.
    Keyframe,
    /// The frame needs earlier frames, and later frames need it.
    Reference,
    /// The frame needs earlier frames, but no frame needs it.
    Disposable,
}

impl Frame {
    /// Makes a frame of a picture that stands alone, such as a JPEG image or a raw picture: no frame needs another.
    pub fn new(data: Bytes, pts: Timestamp, captured_at: SystemTime, format: Arc<Format>) -> Self {
        let wall_time = captured_at;
        Self { data, pts, dts: pts, captured_at, wall_time, is_keyframe: true, is_disposable: true, format }
    }

    /// Makes a frame of coded video that is decoded in the order in which it is shown. For reordered frames, set
    /// [`dts`](Self::dts) afterwards.
    pub fn coded(
        data: Bytes,
        dependency: Dependency,
        pts: Timestamp,
        captured_at: SystemTime,
        format: Arc<Format>,
    ) -> Self {
        let is_keyframe = dependency == Dependency::Keyframe;
        let is_disposable = dependency == Dependency::Disposable;
        Self { is_keyframe, is_disposable, ..Self::new(data, pts, captured_at, format) }
    }
}
