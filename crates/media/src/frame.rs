//! The frame: the unit of data that passes from cameras' drivers to viewers.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::{Format, Timestamp};

/// One coded picture. A frame is cheap to clone: all clones share the bytes, which are not copied again once the
/// camera's driver has created the frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The bytes of the coded picture. `format.codec` says how they are coded.
    pub data: Bytes,
    /// The presentation time, in 90 kHz ticks since the start of the channel (the camera's sequence of frames). It
    /// never decreases within a channel.
    pub pts: Timestamp,
    /// The wall-clock time of the capture, for latency measurement and recording. A server that relays frames of
    /// another server keeps the time of the original capture.
    pub captured_at: SystemTime,
    /// Whether a decoder can start at this frame; always true for JPEG.
    pub is_keyframe: bool,
    /// The parameters that a decoder needs. The `Arc` points to a new `Format` when a parameter changes.
    pub format: Arc<Format>,
}
