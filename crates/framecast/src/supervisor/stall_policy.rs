//! The limit on how long a camera can deliver no picture before it counts as lost, and the message about a camera that
//! exceeds the limit.
//!
//! The functions are pure: they compute a limit or a message from measurements. A limit that the configuration or the
//! source's URL sets always takes precedence.

use std::time::Duration;

use framecast_drivers::SourceUrl;
use humantime::format_duration;

use super::frame_intervals::FrameIntervals;
use crate::config::CameraSettings;

/// The default of `stall_timeout`, which applies once the camera's frame rate is known.
pub(crate) const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a camera can deliver no picture after its opening, while its frame rate is not known. Some cameras take
/// this long for their first picture.
const FIRST_PICTURE_TIMEOUT: Duration = Duration::from_secs(30);

/// The number of pictures after which a camera's frame rate counts as known.
const MIN_PICTURES: u64 = 3;

/// The number of a camera's usual picture intervals that can pass without a picture before the camera counts as lost.
const ALLOWED_INTERVALS: u32 = 4;

/// The longest time without a picture that a camera is allowed because its pictures usually arrive at long intervals.
const MAX_SILENCE: Duration = Duration::from_secs(600);

/// The number of steps in an opening: a connection, a login, perhaps a redirect, and the picture. Each step can take as
/// long as the `#timeout` of the URL.
const OPENING_STEPS: u32 = 4;

/// The limits on how long one camera can deliver no picture.
#[derive(Debug, Clone)]
pub(crate) struct StallPolicy {
    /// The value of `stall_timeout` in the camera's configuration; `None` if the configuration does not set it.
    configured: Option<Duration>,
    /// The `#timeout` option in the source's URL; `None` if the URL does not contain it.
    url_timeout: Option<Duration>,
    /// Whether the source's URL has a `#silence` option, which sets how long the camera can deliver no picture.
    has_url_silence: bool,
    /// The longest normal time between two pictures, as the source itself reports it.
    max_frame_gap: Duration,
}

impl StallPolicy {
    pub(crate) fn of(settings: &CameraSettings) -> Self {
        let own = |option| url_option(&settings.source, option);
        Self {
            configured: settings.stall_timeout,
            url_timeout: own("timeout"),
            has_url_silence: own("silence").is_some(),
            max_frame_gap: Duration::ZERO,
        }
    }

    /// Sets the longest normal time between two pictures, as the current source reports it.
    pub(crate) fn set_max_frame_gap(&mut self, max_frame_gap: Duration) {
        self.max_frame_gap = max_frame_gap;
    }

    /// Returns how long the camera can deliver no picture before it counts as lost. Returns `None` if only outside
    /// events decide when a picture arrives, as in a watched folder.
    pub(crate) fn lost_after(&self, intervals: &FrameIntervals) -> Option<Duration> {
        let allowed = self.max_frame_gap.checked_add(self.configured.unwrap_or(DEFAULT_STALL_TIMEOUT))?;
        Some(if self.configured.is_some() { allowed } else { allowed.max(self.measured_limit(intervals)) })
    }

    /// Returns how long the camera can deliver no picture before viewers get a slate (a picture with a text): short
    /// enough that they do not mistake the last picture for a live picture. Returns `None` if only outside events
    /// decide when a picture arrives, as in a watched folder.
    pub(crate) fn slate_after(&self) -> Option<Duration> {
        self.max_frame_gap.checked_add(self.configured.unwrap_or(DEFAULT_STALL_TIMEOUT) / 2)
    }

    fn measured_limit(&self, intervals: &FrameIntervals) -> Duration {
        let usual = (intervals.pictures() >= MIN_PICTURES).then(|| intervals.interval()).flatten();
        match usual {
            Some(usual) => usual.saturating_mul(ALLOWED_INTERVALS).min(MAX_SILENCE),
            None => FIRST_PICTURE_TIMEOUT.max(self.url_timeout.unwrap_or_default() * OPENING_STEPS),
        }
    }

    /// Returns the message that the camera delivered no picture for too long, and what the user can do.
    pub(crate) fn reason(&self, intervals: &FrameIntervals) -> String {
        let allowed = self.lost_after(intervals).unwrap_or(Duration::MAX);
        let (silence, advice) = (format!("no picture for {}", rounded(allowed)), self.advice(allowed));
        if self.is_configured() {
            return format!("{silence}; {advice}");
        }
        match intervals.interval().filter(|_| intervals.pictures() >= MIN_PICTURES) {
            Some(usual) => {
                format!("{silence}; the camera delivered one every {} before; {advice}", rounded(usual))
            }
            None => format!("{silence}; if the camera needs longer to begin, {advice}"),
        }
    }

    /// Returns advice for the user of a camera that needs more time for a picture than `allowed`.
    pub(crate) fn advice(&self, allowed: Duration) -> String {
        let more = rounded(allowed.saturating_mul(2));
        if self.has_url_silence && self.configured.is_none() {
            // A URL cannot contain the space.
            return format!("allow more time with #silence={} in its URL", more.replace(' ', ""));
        }
        format!("allow more time with stall_timeout = \"{more}\"")
    }

    /// Returns whether the configuration or the URL sets how long the camera can deliver no picture.
    fn is_configured(&self) -> bool {
        self.configured.is_some() || self.has_url_silence
    }
}

/// Returns the value of the option called `option`, which stands after the `#` in a network source's URL. Returns
/// `None` if the URL does not contain the option.
fn url_option(source: &SourceUrl, option: &str) -> Option<Duration> {
    let address = source.rest().strip_prefix("//")?;
    let (_, fragment) = address.split_once('#')?;
    let mut pairs = fragment.split('&').filter_map(|pair| pair.split_once('='));
    // The last occurrence counts, as in the driver.
    let (_, value) = pairs.rfind(|(name, _)| *name == option)?;
    humantime::parse_duration(value).ok()
}

/// Formats a duration as it is written in the configuration file, rounded to meaningful digits.
pub(super) fn rounded(duration: Duration) -> String {
    let rounded = if duration >= Duration::from_secs(10) {
        Duration::from_secs((duration + Duration::from_millis(500)).as_secs())
    } else {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(if millis >= 1000 { millis / 100 * 100 } else { millis })
    };
    format_duration(rounded).to_string()
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn stall_policy(source: &str, configured: Option<Duration>) -> StallPolicy {
        let mut settings = CameraSettings::new("door", SourceUrl::parse(source).unwrap());
        settings.stall_timeout = configured;
        StallPolicy::of(&settings)
    }

    fn intervals(pictures: u32, every: Duration) -> FrameIntervals {
        let (mut intervals, start) = (FrameIntervals::default(), Instant::now());
        (0..pictures).for_each(|n| intervals.record(start + every * n));
        intervals
    }

    #[test]
    fn until_three_pictures_came_thirty_seconds_are_allowed_and_then_five() {
        let stall_policy = stall_policy("http://cam/", None);
        for pictures in 0..3 {
            assert_eq!(
                stall_policy.lost_after(&intervals(pictures, SECOND / 30)),
                Some(SECOND * 30),
                "{pictures}"
            );
        }
        assert_eq!(stall_policy.lost_after(&intervals(3, SECOND / 30)), Some(SECOND * 5));
    }

    #[test]
    fn a_timeout_in_the_url_holds_until_the_pace_is_known() {
        let stall_policy = stall_policy("http://cam/#timeout=20s", None);
        for pictures in 0..3 {
            assert_eq!(
                stall_policy.lost_after(&intervals(pictures, SECOND)),
                Some(SECOND * 80),
                "{pictures}"
            );
        }
        assert_eq!(stall_policy.lost_after(&intervals(3, SECOND)), Some(SECOND * 5));
    }

    #[test]
    fn a_slow_camera_is_allowed_four_of_its_intervals_up_to_ten_minutes() {
        let stall_policy = stall_policy("http://cam/", None);
        assert_eq!(stall_policy.lost_after(&intervals(3, SECOND * 10)), Some(SECOND * 40));
        assert_eq!(stall_policy.lost_after(&intervals(9, SECOND)), Some(SECOND * 5));
        assert_eq!(stall_policy.lost_after(&intervals(9, SECOND * 3600)), Some(SECOND * 600));
    }

    #[test]
    fn a_stated_stall_timeout_holds_from_the_start_and_as_it_is() {
        let stall_policy = stall_policy("http://cam/", Some(SECOND * 2));
        for intervals in [FrameIntervals::default(), intervals(9, SECOND * 10)] {
            assert_eq!(stall_policy.lost_after(&intervals), Some(SECOND * 2));
            assert_eq!(
                stall_policy.reason(&intervals),
                "no picture for 2s; allow more time with stall_timeout = \"4s\""
            );
        }
    }

    #[test]
    fn viewers_are_told_at_half_of_stall_timeout_however_slow_the_camera_is() {
        let mut by_default = stall_policy("http://cam/", None);
        assert_eq!(by_default.slate_after(), Some(SECOND * 5 / 2));
        assert_eq!(stall_policy("http://cam/", Some(SECOND * 20)).slate_after(), Some(SECOND * 10));
        by_default.set_max_frame_gap(SECOND * 7);
        assert_eq!(by_default.slate_after(), Some(SECOND * 19 / 2));
    }

    #[test]
    fn what_the_source_says_of_itself_is_allowed_besides() {
        let mut stall_policy = stall_policy("http://cam/#silence=1min&timeout=20s", None);
        assert_eq!(
            stall_policy.lost_after(&FrameIntervals::default()),
            Some(SECOND * 80),
            "while it is opened"
        );
        stall_policy.set_max_frame_gap(SECOND * 60);
        let intervals = intervals(9, SECOND);
        assert_eq!(stall_policy.lost_after(&intervals), Some(SECOND * 65));
        let reason = stall_policy.reason(&intervals);
        assert_eq!(reason, "no picture for 1m 5s; allow more time with #silence=2m10s in its URL");
        stall_policy.set_max_frame_gap(Duration::MAX);
        assert_eq!((stall_policy.lost_after(&intervals), stall_policy.slate_after()), (None, None));
    }

    #[test]
    fn options_are_read_from_the_fragment_of_a_network_source_alone() {
        let own = |source: &str| url_option(&SourceUrl::parse(source).unwrap(), "timeout");
        assert_eq!(own("http://cam/?timeout=1s#fps=2&timeout=9s"), Some(SECOND * 9));
        assert_eq!(own("rtsp://cam/1#timeout=4s"), Some(SECOND * 4));
        assert_eq!(own("http://cam/#timeout=soon"), None);
        assert_eq!(own("exec:camera #timeout=9s"), None);
    }

    #[test]
    fn the_reason_tells_what_was_usual_and_what_to_write() {
        let stall_policy = stall_policy("http://cam/", None);
        assert_eq!(
            stall_policy.reason(&intervals(9, Duration::from_millis(10_012))),
            "no picture for 40s; the camera delivered one every 10s before; allow more time with \
             stall_timeout = \"1m 20s\""
        );
        assert_eq!(
            stall_policy.reason(&intervals(9, SECOND / 30)),
            "no picture for 5s; the camera delivered one every 33ms before; allow more time with \
             stall_timeout = \"10s\""
        );
        assert_eq!(
            stall_policy.reason(&FrameIntervals::default()),
            "no picture for 30s; if the camera needs longer to begin, allow more time with \
             stall_timeout = \"1m\""
        );
    }
}
