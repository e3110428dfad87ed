//! Typed values of the file: durations and sizes as people write them.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// A duration: `"10s"`, `"200ms"`, `"1min 30s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationValue(pub Duration);

impl<'de> Deserialize<'de> for DurationValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A duration, or `"never"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutValue(pub Option<Duration>);

impl<'de> Deserialize<'de> for TimeoutValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "never" {
            return Ok(Self(None));
        }
        parse_duration(&text)
            .map(|duration| Self(Some(duration)))
            .map_err(|error| serde::de::Error::custom(format!("{error}, or \"never\"")))
    }
}

/// A size in bytes: `"16MiB"`, `"500kB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeValue(pub usize);

impl<'de> Deserialize<'de> for SizeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<bytesize::ByteSize>()
            .ok()
            .and_then(|size| usize::try_from(size.as_u64()).ok())
            .map(Self)
            .ok_or_else(|| {
                serde::de::Error::custom(format!("`{text}` is no size; write it like \"16MiB\" or \"500kB\""))
            })
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is no duration; write it like \"10s\", \"200ms\" or \"5min\""))
}
