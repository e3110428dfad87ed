//! How long a camera may be silent before it is lost, and the message for that.
//!
//! Pure functions: measurements in, a limit or a message out. A limit in the configuration or in the source's URL
//! always takes precedence.

use std::time::Duration;

use framecast_drivers::SourceUrl;
use humantime::format_duration;

use super::frame_intervals::FrameIntervals;
use crate::config::CameraSettings;

/// The `stall_timeout` of a camera without a configured one, once its frame rate is known.
pub(crate) const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a camera may be silent at its opening, before its frame rate is known: some take this long for a first
/// picture.
const FIRST_PICTURE_TIMEOUT: Duration = Duration::from_secs(30);

/// After so many pictures a camera's frame rate is known.
const MIN_PICTURES: u64 = 3;

/// A camera may be silent for so many of its usual intervals.
const ALLOWED_INTERVALS: u32 = 4;

/// The longest silence that these intervals may allow.
const MAX_SILENCE: Duration = Duration::from_secs(600);

/// An opening takes a connection, a login, perhaps a redirect, and then the picture: each may take the `#timeout` of
/// the URL.
const OPENING_STEPS: u32 = 4;

/// The limits on the silence of one camera.
#[derive(Debug, Clone)]
pub(crate) struct StallPolicy {
    /// The camera's configured `stall_timeout`.
    configured: Option<Duration>,
    /// The `#timeout` in the source's URL.
    url_timeout: Option<Duration>,
    /// Whether the source's URL has a `#silence`.
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

    /// How long the camera may be silent before it is lost; `None` if the time between its pictures depends on outside
    /// events alone.
    pub(crate) fn lost_after(&self, intervals: &FrameIntervals) -> Option<Duration> {
        let allowed = self.max_frame_gap.checked_add(self.configured.unwrap_or(DEFAULT_STALL_TIMEOUT))?;
        Some(if self.configured.is_some() { allowed } else { allowed.max(self.measured_limit(intervals)) })
    }

    /// How long the camera may be silent before viewers get a slate: while its last picture might still pass for live.
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

    /// The message about a camera that was silent for too long.
    pub(crate) fn reason(&self, intervals: &FrameIntervals) -> String {
        let allowed = self.lost_after(intervals).unwrap_or(Duration::MAX);
        let (silence, advice) = (format!("no picture for {}", rounded(allowed)), self.advice(allowed));
        if self.is_configured() {
            return format!("{silence}; {advice}");
        }
        match intervals.interval().filter(|_| intervals.pictures() >= MIN_PICTURES) {
            Some(usual) => {
                format!("{silence}; the camera gave one every {} before; {advice}", rounded(usual))
            }
            None => format!("{silence}; if the camera needs longer to begin, {advice}"),
        }
    }

    /// Advice for a camera that needs longer than `allowed`.
    pub(crate) fn advice(&self, allowed: Duration) -> String {
        let more = rounded(allowed.saturating_mul(2));
        if self.has_url_silence && self.configured.is_none() {
            // A URL cannot contain the space.
            return format!("allow more with #silence={} in its URL", more.replace(' ', ""));
        }
        format!("allow more with stall_timeout = \"{more}\"")
    }

    /// Whether the configuration or the URL sets how long the camera may be silent.
    fn is_configured(&self) -> bool {
        self.configured.is_some() || self.has_url_silence
    }
}

/// The time in `option` behind the `#` of a network source's URL, if the URL has it.
fn url_option(source: &SourceUrl, option: &str) -> Option<Duration> {
    let address = source.rest().strip_prefix("//")?;
    let (_, fragment) = address.split_once('#')?;
    let mut pairs = fragment.split('&').filter_map(|pair| pair.split_once('='));
    // The last one counts, as in the driver.
    let (_, value) = pairs.rfind(|(name, _)| *name == option)?;
    humantime::parse_duration(value).ok()
}

/// A duration in the form of the configuration, rounded to meaningful digits.
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
                "no picture for 2s; allow more with stall_timeout = \"4s\""
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
        assert_eq!(reason, "no picture for 1m 5s; allow more with #silence=2m10s in its URL");
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
            "no picture for 40s; the camera gave one every 10s before; allow more with stall_timeout = \"1m 20s\""
        );
        assert_eq!(
            stall_policy.reason(&intervals(9, SECOND / 30)),
            "no picture for 5s; the camera gave one every 33ms before; allow more with stall_timeout = \"10s\""
        );
        assert_eq!(
            stall_policy.reason(&FrameIntervals::default()),
            "no picture for 30s; if the camera needs longer to begin, allow more with stall_timeout = \"1m\""
        );
    }
}
