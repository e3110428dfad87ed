//! Writes the times of events as text, fast enough for millions of rows.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

const MINUTE_MS: i64 = 60_000;

/// Writes times as text, one after another. Reuses the text of the previous time except for its seconds, because
/// neighbouring rows of a table usually share the rest.
#[derive(Debug, Clone)]
pub struct TimestampWriter {
    zone: Option<TimeZone>,
    minute: i64,
    text: Vec<u8>,
    /// The byte offset of the seconds in `text`.
    seconds_at: usize,
}

impl TimestampWriter {
    /// Creates a writer of times in RFC 3339 and UTC, as in `2026-11-23T14:03:22.250Z`.
    pub fn utc() -> Self {
        Self { zone: None, minute: i64::MIN, text: Vec::new(), seconds_at: 0 }
    }

    /// Creates a writer of local times for people in `zone`, as in `2026-11-23 15:03:22.250 +01:00`.
    pub fn local(zone: TimeZone) -> Self {
        Self { zone: Some(zone), ..Self::utc() }
    }

    /// Returns `at_ms`, a time in milliseconds since 1970, as text. A time that the calendar library cannot represent
    /// becomes the library's first or last time.
    pub fn text(&mut self, at_ms: i64) -> &str {
        let minute = at_ms.div_euclid(MINUTE_MS);
        if minute != self.minute {
            self.begin(minute);
        }
        let ms = u32::try_from(at_ms.rem_euclid(MINUTE_MS)).unwrap_or_default();
        let digit = |n: u32| b'0' + (n % 10) as u8;
        let seconds =
            [digit(ms / 10_000), digit(ms / 1_000), b'.', digit(ms / 100), digit(ms / 10), digit(ms)];
        self.text[self.seconds_at..self.seconds_at + seconds.len()].copy_from_slice(&seconds);
        str::from_utf8(&self.text).expect("digits and signs are ASCII")
    }

    /// Does the same as [`text`](Self::text), and returns a copy of the text.
    pub(crate) fn utc_text(&mut self, at_ms: i64) -> UtcText {
        let text = self.text(at_ms).as_bytes();
        let mut copy = UtcText { bytes: [0; UTC_TEXT_BYTES], length: text.len().min(UTC_TEXT_BYTES) };
        copy.bytes[..copy.length].copy_from_slice(&text[..copy.length]);
        copy
    }

    fn begin(&mut self, minute: i64) {
        let (least, most) = (Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
        let ms = minute.saturating_mul(MINUTE_MS).clamp(least, most);
        let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let (offset, between) = match &self.zone {
            Some(zone) => (zone.to_offset(at), ' '),
            None => (Offset::UTC, 'T'),
        };
        let there = offset.to_datetime(at);
        let (date, time) = (there.date(), there.time());
        let before = format!("{date}{between}{:02}:{:02}:", time.hour(), time.minute());
        let after = self.zone.as_ref().map_or("Z".to_owned(), |_| format!(" {}", UtcOffset(offset)));
        self.minute = minute;
        self.seconds_at = before.len();
        self.text = format!("{before}00.000{after}").into_bytes();
    }
}

/// The size of the buffer for a time in UTC, in bytes. The longest text is `-009999-01-01T00:00:00.000Z`.
const UTC_TEXT_BYTES: usize = 32;

/// A time in RFC 3339 and UTC, as text without an allocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UtcText {
    bytes: [u8; UTC_TEXT_BYTES],
    length: usize,
}

impl UtcText {
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).expect("digits and signs are ASCII")
    }
}

/// An offset from UTC, written as in `+01:00`.
#[derive(Debug, Clone, Copy)]
struct UtcOffset(Offset);

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_library_writes_them() {
        let mut utc = TimestampWriter::utc();
        let mut at_ms = 0;
        for step in [1, 999, 59_000, 61_001, 3_600_000, 86_400_000, 31_557_600_123, 1_700_000_000_000] {
            at_ms += step;
            let expected = format!("{:.3}", Timestamp::from_millisecond(at_ms).unwrap());
            assert_eq!(utc.text(at_ms), expected);
            assert_eq!(utc.text(at_ms), expected, "the same again");
        }
        assert_eq!(utc.text(-1), "1969-12-31T23:59:59.999Z");
        for at_ms in [i64::MIN, -1, i64::MAX] {
            let text = utc.text(at_ms).to_owned();
            assert_eq!((utc.utc_text(at_ms).as_str(), text.ends_with('Z')), (text.as_str(), true));
        }
    }

    #[test]
    fn local_times_tell_their_offset() {
        let mut berlin = TimestampWriter::local(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap());
        assert_eq!(berlin.text(1_795_000_000_042), "2026-11-18 12:06:40.042 +01:00");
        assert_eq!(berlin.text(1_780_000_000_000), "2026-05-28 22:26:40.000 +02:00");
        let mut nepal = TimestampWriter::local(TimeZone::fixed(Offset::from_seconds(-12_600).unwrap()));
        assert_eq!(nepal.text(0), "1969-12-31 20:30:00.000 -03:30");
    }
}
