//! The values of the headers in which the camera server uStreamer says where a picture comes from and when it was
//! taken.

use std::time::{Duration, SystemTime};

use framecast_hub::Update;
use rustix::time::{ClockId, clock_gettime};

/// Returns whether the camera took the picture of `update`: `true`, or `false` for a slate.
pub(super) fn online(update: &Update) -> &'static str {
    if update.is_slate { "false" } else { "true" }
}

/// Converts `time` to the system's monotonic clock, and formats it in seconds with six decimals.
pub(super) fn monotonic(time: SystemTime) -> String {
    let now = clock_gettime(ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default());
    let age = SystemTime::now().duration_since(time).unwrap_or_default();
    let at = now.saturating_sub(age);
    format!("{}.{:06}", at.as_secs(), at.subsec_micros())
}
