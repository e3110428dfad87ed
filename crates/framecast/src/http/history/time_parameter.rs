//! Parses the times that clients send in the filters of a query string.

use std::ops::RangeInclusive;

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, civil};

/// The first and the last year of the times that a client can filter by. 1970 is the year of a clock that was never
/// set. 9998 is a year that every program can represent.
const YEARS: RangeInclusive<i16> = 1970..=9998;

const EXPECTED: &str =
    "must be a time with a zone, as in 2026-11-23T14:00:00Z or 2026-11-23T15:00:00%2B01:00";

/// Parses `text`, a time in RFC 3339 with its offset from UTC. If there is a `zone`, `text` can also be a date, or a
/// date and a time of day, in that time zone. Returns milliseconds since 1970.
///
/// # Errors
/// A text that says what is wrong, and what a valid time looks like.
pub(super) fn parse(text: &str, zone: Option<&TimeZone>) -> Result<i64, String> {
    // A plus that was not written as %2B arrives as a space.
    let zoned = text.rsplit_once(' ').map(|(time, offset)| format!("{time}+{offset}"));
    let parsed = text.parse::<Timestamp>();
    let parsed = parsed.or_else(|error| zoned.ok_or(error).and_then(|text| text.parse::<Timestamp>()));
    let at = match (parsed, zone) {
        (Ok(at), _) => at,
        (Err(_), Some(zone)) => civil_time(text)
            .and_then(|there| zone.to_ambiguous_timestamp(there).compatible().ok())
            .ok_or_else(|| EXPECTED.to_owned())?,
        (Err(_), None) if civil_time(text).is_some() => {
            return Err(format!("has no time zone: {EXPECTED}"));
        }
        (Err(_), None) => return Err(EXPECTED.to_owned()),
    };
    let year = Offset::UTC.to_datetime(at).year();
    if !YEARS.contains(&year) {
        return Err(format!("must be in the years {} to {}", YEARS.start(), YEARS.end()));
    }
    Ok(at.as_millisecond())
}

fn civil_time(text: &str) -> Option<civil::DateTime> {
    let there = text.parse::<civil::DateTime>().ok();
    there.or_else(|| text.parse::<civil::Date>().ok().map(|date| date.at(0, 0, 0, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_its_zone_and_a_year_that_can_be_meant() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(parse("2026-11-23T14:00:00Z", None), Ok(1_795_442_400_000));
        assert_eq!(parse("2026-11-23T15:00:00.5+01:00", None), Ok(1_795_442_400_500));
        assert_eq!(parse("2026-11-23T15:00:00 01:00", None), Ok(1_795_442_400_000));
        assert_eq!(parse("2026-11-23T15:00", Some(&berlin)), Ok(1_795_442_400_000));
        assert_eq!(parse("2026-11-23", Some(&berlin)), Ok(1_795_388_400_000));
        for (text, told) in [
            ("2026-11-23T14:00:00", "has no time zone: must be a time"),
            ("2026-11-23", "has no time zone"),
            ("yesterday", "must be a time with a zone, as in 2026-11-23T14:00:00Z"),
            ("", "must be a time"),
            ("0000-01-01T00:00:00Z", "must be in the years 1970 to 9998"),
            ("9999-06-01T00:00:00Z", "must be in the years"),
            ("99999-01-01T00:00:00Z", "must be a time"),
            ("2026-02-30T00:00:00Z", "must be a time"),
        ] {
            let problem = parse(text, None).unwrap_err();
            assert!(problem.starts_with(told), "{text}: {problem}");
        }
        assert!(parse("0000-01-01", Some(&berlin)).unwrap_err().starts_with("must be in the years"));
    }
}
