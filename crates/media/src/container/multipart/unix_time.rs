//! Seconds since 1970 as decimal text, the format of the `X-Timestamp` header of uStreamer, mjpg-streamer and
//! Framecast.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Parses seconds since 1970 with an optional fraction, such as `1700000000.123456`. Returns `None` for any other text.
///
/// The parser uses no floating point, so a time that [`format_unix_seconds`] wrote is exact to the microsecond. Digits
/// after the ninth digit of the fraction are dropped.
pub fn parse_unix_seconds(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if seconds.is_empty() || !is_digits(seconds) || !is_digits(fraction) {
        return None;
    }
    let nanos = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0, |sum, b| sum * 10 + u32::from(b - b'0'));
    UNIX_EPOCH.checked_add(Duration::new(seconds.parse().ok()?, nanos))
}

/// Formats a time as seconds since 1970 with six digits after the point. A time before 1970 becomes zero.
pub fn format_unix_seconds(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:06}", since.as_secs(), since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_survive_the_round_trip_exactly() {
        for micros in [0, 1, 999_999, 1_700_000_000_123_456, 1_999_999_999_999_999] {
            let time = UNIX_EPOCH + Duration::from_micros(micros);
            assert_eq!(parse_unix_seconds(&format_unix_seconds(time)), Some(time), "{micros}");
        }
    }

    #[test]
    fn short_fractions_and_whole_seconds_are_read() {
        assert_eq!(parse_unix_seconds("12"), Some(UNIX_EPOCH + Duration::from_secs(12)));
        assert_eq!(parse_unix_seconds(" 12.5 "), Some(UNIX_EPOCH + Duration::from_millis(12_500)));
        assert_eq!(parse_unix_seconds("12.0000000019"), Some(UNIX_EPOCH + Duration::new(12, 1)));
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in [
            "",
            ".",
            ".5",
            "-1",
            "+1",
            "1e9",
            "1.-5",
            "12 13",
            "1.2.3",
            "99999999999999999999",
            "18446744073709551615",
        ] {
            assert_eq!(parse_unix_seconds(text), None, "{text}");
        }
    }
}
