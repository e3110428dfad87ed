//! What to make of a picture that arrives from a server or a program: whether the capture time that the sender states is
//! plausible.

use std::time::{Duration, SystemTime};

use crate::{CaptureTime, ClockReading};

/// The maximum plausible age of a picture on arrival. A capture time that makes a picture older is a sender's mistake:
/// mjpg-streamer sends the time since its machine's start.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The maximum time by which a sender's capture time can be ahead of this machine's clock and still be plausible, as
/// even synchronized clocks differ. A capture time further in the future comes from a wrong clock.
const MAX_AHEAD: Duration = Duration::from_secs(5);

/// Returns the capture time of a picture that arrived at `now`: the sender's time `told`, unchanged, if it is
/// plausible; otherwise the time of arrival.
///
/// A sender with a slow clock states a time that is too early. Such a time is accepted too: it looks like the correct
/// time of a picture that a relay passed on late, and that time must be kept unchanged.
pub(crate) fn capture_time(told: Option<SystemTime>, now: ClockReading) -> CaptureTime {
    told.filter(|time| match now.wall.duration_since(*time) {
        Ok(age) => age <= MAX_AGE,
        Err(ahead) => ahead.duration() <= MAX_AHEAD,
    })
    .map_or(CaptureTime::Monotonic(now.monotonic), CaptureTime::Original)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_an_uptime_or_yet_to_come_is_not_believed() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let now = ClockReading { monotonic: Duration::from_secs(9), wall: at(1_800_000_000) };
        for plausible in [at(1_799_999_990), at(1_799_997_000), at(1_800_000_001)] {
            assert_eq!(capture_time(Some(plausible), now), CaptureTime::Original(plausible));
        }
        for odd in [None, Some(at(86_400)), Some(at(1_800_000_006)), Some(at(1_800_004_000))] {
            assert_eq!(capture_time(odd, now), CaptureTime::Monotonic(now.monotonic), "{odd:?}");
        }
    }
}
