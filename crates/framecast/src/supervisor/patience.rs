//! How long a camera may be silent before it is lost, and the message for that.
//!
//! Pure functions: measurements in, a limit or a message out. A limit in the configuration or in the source's URL
//! always takes precedence.

use std::time::Duration;

use framecast_drivers::SourceUrl;
use humantime::format_duration;

use super::rhythm::Rhythm;
use crate::config::CameraSettings;

/// The `stall_timeout` of a camera without a configured one, once its frame rate is known.
pub(crate) const USUAL: Duration = Duration::from_secs(5);

/// How long a camera may be silent at its opening, before its frame rate is known: some take this long for a first
/// picture.
const AT_FIRST: Duration = Duration::from_secs(30);

/// After so many pictures a camera's frame rate is known.
const KNOWN_FROM: u64 = 3;

/// A camera may be silent for so many of its usual intervals.
const INTERVALS: u32 = 4;

/// The longest silence that these intervals may allow.
const LONGEST: Duration = Duration::from_secs(600);

/// An opening takes a connection, a login, perhaps a redirect, and then the picture: each may take the `#timeout` of
/// the URL.
const STEPS: u32 = 4;

/// The limits on the silence of one camera.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    /// The camera's configured `stall_timeout`.
    stated: Option<Duration>,
    /// The `#timeout` in the source's URL.
    timeout: Option<Duration>,
    /// Whether the source's URL has a `#silence`.
    has_silence: bool,
    /// The longest normal time between two pictures, as the source itself reports it.
    longest_pause: Duration,
}

impl Patience {
    pub(crate) fn of(settings: &CameraSettings) -> Self {
        let own = |option| own_duration(&settings.source, option);
        Self {
            stated: settings.stall_timeout,
            timeout: own("timeout"),
            has_silence: own("silence").is_some(),
            longest_pause: Duration::ZERO,
        }
    }

    /// Sets the longest normal time between two pictures, as the current source reports it.
    pub(crate) fn set_longest_pause(&mut self, longest_pause: Duration) {
        self.longest_pause = longest_pause;
    }

    /// How long the camera may be silent before it is lost; `None` if the time between its pictures depends on outside
    /// events alone.
    pub(crate) fn until_lost(&self, rhythm: &Rhythm) -> Option<Duration> {
        let allowed = self.longest_pause.checked_add(self.stated.unwrap_or(USUAL))?;
        Some(if self.stated.is_some() { allowed } else { allowed.max(self.measured(rhythm)) })
    }

    /// How long the camera may be silent before viewers get a slate: while its last picture might still pass for live.
    pub(crate) fn until_told(&self) -> Option<Duration> {
        self.longest_pause.checked_add(self.stated.unwrap_or(USUAL) / 2)
    }

    fn measured(&self, rhythm: &Rhythm) -> Duration {
        let usual = (rhythm.pictures() >= KNOWN_FROM).then(|| rhythm.interval()).flatten();
        match usual {
            Some(usual) => usual.saturating_mul(INTERVALS).min(LONGEST),
            None => AT_FIRST.max(self.timeout.unwrap_or_default() * STEPS),
        }
    }

    /// The message about a camera that was silent for too long.
    pub(crate) fn reason(&self, rhythm: &Rhythm) -> String {
        let allowed = self.until_lost(rhythm).unwrap_or(Duration::MAX);
        let (silence, advice) = (format!("no picture for {}", shown(allowed)), self.advice(allowed));
        if self.is_stated() {
            return format!("{silence}; {advice}");
        }
        match rhythm.interval().filter(|_| rhythm.pictures() >= KNOWN_FROM) {
            Some(usual) => format!("{silence}; the camera gave one every {} before; {advice}", shown(usual)),
            None => format!("{silence}; if the camera needs longer to begin, {advice}"),
        }
    }

    /// Advice for a camera that needs longer than `allowed`.
    pub(crate) fn advice(&self, allowed: Duration) -> String {
        let more = shown(allowed.saturating_mul(2));
        if self.has_silence && self.stated.is_none() {
            // A URL cannot contain the space.
            return format!("allow more with #silence={} in its URL", more.replace(' ', ""));
        }
        format!("allow more with stall_timeout = \"{more}\"")
    }

    /// Whether the configuration or the URL sets how long the camera may be silent.
    fn is_stated(&self) -> bool {
        self.stated.is_some() || self.has_silence
    }
}

/// The time in `option` behind the `#` of a network source's URL, if the URL has it.
fn own_duration(source: &SourceUrl, option: &str) -> Option<Duration> {
    let address = source.rest().strip_prefix("//")?;
    let (_, fragment) = address.split_once('#')?;
    let mut pairs = fragment.split('&').filter_map(|pair| pair.split_once('='));
    // The last one counts, as in the driver.
    let (_, value) = pairs.rfind(|(name, _)| *name == option)?;
    humantime::parse_duration(value).ok()
}

/// A duration in the form of the configuration, rounded to meaningful digits.
pub(super) fn shown(duration: Duration) -> String {
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

    fn patience(source: &str, stated: Option<Duration>) -> Patience {
        let mut settings = CameraSettings::new("door", SourceUrl::parse(source).unwrap());
        settings.stall_timeout = stated;
        Patience::of(&settings)
    }

    fn rhythm(pictures: u32, every: Duration) -> Rhythm {
        let (mut rhythm, start) = (Rhythm::default(), Instant::now());
        (0..pictures).for_each(|n| rhythm.note(start + every * n));
        rhythm
    }

    #[test]
    fn until_three_pictures_came_thirty_seconds_are_allowed_and_then_five() {
        let patience = patience("http://cam/", None);
        for pictures in 0..3 {
            assert_eq!(patience.until_lost(&rhythm(pictures, SECOND / 30)), Some(SECOND * 30), "{pictures}");
        }
        assert_eq!(patience.until_lost(&rhythm(3, SECOND / 30)), Some(SECOND * 5));
    }

    #[test]
    fn a_timeout_in_the_url_holds_until_the_pace_is_known() {
        let patience = patience("http://cam/#timeout=20s", None);
        for pictures in 0..3 {
            assert_eq!(patience.until_lost(&rhythm(pictures, SECOND)), Some(SECOND * 80), "{pictures}");
        }
        assert_eq!(patience.until_lost(&rhythm(3, SECOND)), Some(SECOND * 5));
    }

    #[test]
    fn a_slow_camera_is_allowed_four_of_its_intervals_up_to_ten_minutes() {
        let patience = patience("http://cam/", None);
        assert_eq!(patience.until_lost(&rhythm(3, SECOND * 10)), Some(SECOND * 40));
        assert_eq!(patience.until_lost(&rhythm(9, SECOND)), Some(SECOND * 5));
        assert_eq!(patience.until_lost(&rhythm(9, SECOND * 3600)), Some(SECOND * 600));
    }

    #[test]
    fn a_stated_stall_timeout_holds_from_the_start_and_as_it_is() {
        let patience = patience("http://cam/", Some(SECOND * 2));
        for rhythm in [Rhythm::default(), rhythm(9, SECOND * 10)] {
            assert_eq!(patience.until_lost(&rhythm), Some(SECOND * 2));
            assert_eq!(patience.reason(&rhythm), "no picture for 2s; allow more with stall_timeout = \"4s\"");
        }
    }

    #[test]
    fn viewers_are_told_at_half_of_stall_timeout_however_slow_the_camera_is() {
        let mut by_default = patience("http://cam/", None);
        assert_eq!(by_default.until_told(), Some(SECOND * 5 / 2));
        assert_eq!(patience("http://cam/", Some(SECOND * 20)).until_told(), Some(SECOND * 10));
        by_default.set_longest_pause(SECOND * 7);
        assert_eq!(by_default.until_told(), Some(SECOND * 19 / 2));
    }

    #[test]
    fn what_the_source_says_of_itself_is_allowed_besides() {
        let mut patience = patience("http://cam/#silence=1min&timeout=20s", None);
        assert_eq!(patience.until_lost(&Rhythm::default()), Some(SECOND * 80), "while it is opened");
        patience.set_longest_pause(SECOND * 60);
        let rhythm = rhythm(9, SECOND);
        assert_eq!(patience.until_lost(&rhythm), Some(SECOND * 65));
        let reason = patience.reason(&rhythm);
        assert_eq!(reason, "no picture for 1m 5s; allow more with #silence=2m10s in its URL");
        patience.set_longest_pause(Duration::MAX);
        assert_eq!((patience.until_lost(&rhythm), patience.until_told()), (None, None));
    }

    #[test]
    fn options_are_read_from_the_fragment_of_a_network_source_alone() {
        let own = |source: &str| own_duration(&SourceUrl::parse(source).unwrap(), "timeout");
        assert_eq!(own("http://cam/?timeout=1s#fps=2&timeout=9s"), Some(SECOND * 9));
        assert_eq!(own("rtsp://cam/1#timeout=4s"), Some(SECOND * 4));
        assert_eq!(own("http://cam/#timeout=soon"), None);
        assert_eq!(own("exec:camera #timeout=9s"), None);
    }

    #[test]
    fn the_reason_tells_what_was_usual_and_what_to_write() {
        let patience = patience("http://cam/", None);
        assert_eq!(
            patience.reason(&rhythm(9, Duration::from_millis(10_012))),
            "no picture for 40s; the camera gave one every 10s before; allow more with stall_timeout = \"1m 20s\""
        );
        assert_eq!(
            patience.reason(&rhythm(9, SECOND / 30)),
            "no picture for 5s; the camera gave one every 33ms before; allow more with stall_timeout = \"10s\""
        );
        assert_eq!(
            patience.reason(&Rhythm::default()),
            "no picture for 30s; if the camera needs longer to begin, allow more with stall_timeout = \"1m\""
        );
    }
}
