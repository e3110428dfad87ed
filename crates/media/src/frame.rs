//! The unit of data that passes from drivers to viewers.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::{Format, Timestamp};

/// One coded picture. Cheap to clone: the bytes are shared, never copied again after the driver.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The coded picture; its framing is fixed by `format.codec`.
    pub data: Bytes,
    /// Media time in 90 kHz ticks since the channel's epoch; never decreases within a channel.
    pub pts: Timestamp,
    /// Wall clock at capture, for latency and recording. A relay keeps the time of the first capture.
    pub captured_at: SystemTime,
    /// Whether a decoder can start here; always true for JPEG.
    pub is_keyframe: bool,
    /// What a decoder must know first; the pointer changes when the parameters change.
    pub format: Arc<Format>,
}
