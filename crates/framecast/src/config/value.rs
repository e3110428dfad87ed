//! Typed values of the file: durations and sizes as people write them.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::config_messages::redacted;

/// A duration, such as `"10s"`, `"200ms"` or `"1min 30s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DurationValue(pub(super) Duration);

impl<'de> Deserialize<'de> for DurationValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expected: EXPECTED_DURATION,
            parse: |text: &str| duration(text).map(Self),
        })
    }
}

/// A duration, or `"never"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeoutValue(pub(super) Option<Duration>);

impl<'de> Deserialize<'de> for TimeoutValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| match text {
            "never" => Some(Self(None)),
            _ => duration(text).map(|duration| Self(Some(duration))),
        };
        deserializer.deserialize_str(Text { expected: EXPECTED_TIMEOUT, parse })
    }
}

/// A maximum age: a duration of up to a hundred years, or `"never"` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AgeValue(pub(super) Option<Duration>);

impl<'de> Deserialize<'de> for AgeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| match text {
            "never" => Some(Self(None)),
            _ => {
                humantime::parse_duration(text).ok().filter(|age| *age <= MAX_AGE).map(|age| Self(Some(age)))
            }
        };
        deserializer.deserialize_str(Text { expected: EXPECTED_AGE, parse })
    }
}

/// A size in bytes, such as `"16MiB"` or `"500kB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SizeValue(pub(super) usize);

impl<'de> Deserialize<'de> for SizeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| {
            let size = text.parse::<bytesize::ByteSize>().ok()?;
            usize::try_from(size.as_u64()).ok().map(Self)
        };
        deserializer.deserialize_str(Text { expected: EXPECTED_SIZE, parse })
    }
}

const EXPECTED_DURATION: &str = "a duration like \"10s\", \"200ms\" or \"5min\"";
const EXPECTED_TIMEOUT: &str = "a duration like \"10s\", \"200ms\" or \"5min\", or \"never\"";
const EXPECTED_AGE: &str = "an age like \"90d\" or \"2y\", or \"never\"";
const EXPECTED_SIZE: &str = "a size like \"16MiB\" or \"500kB\"";

/// The maximum duration. A longer time would mean "never" in practice, and adding it to the current time could
/// overflow.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

/// The largest [`AgeValue`]: a hundred years.
const MAX_AGE: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| *duration <= MAX_DURATION)
}

/// A Serde visitor that parses a value from text. If the value in the file is not text, the error says what was
/// expected.
struct Text<P> {
    expected: &'static str,
    parse: P,
}

impl<T, P: FnOnce(&str) -> Option<T>> Visitor<'_> for Text<P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let expected = self.expected;
        (self.parse)(text)
            .ok_or_else(|| E::custom(format!("found `{}`, expected {expected}", redacted(text))))
    }
}
