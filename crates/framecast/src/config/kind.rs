//! The kinds of values that a key of the file can have: how each is read, checked, and shown in `docs/config.md`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::DeValue;

use super::reader::{FileReader, ReadContext};

/// A kind of values.
pub(super) trait ValueKind {
    /// The value in the settings. A setting of this type, or an `Option` of it, can have this kind.
    type Value;

    /// Reads a value of the file. Returns `None` if it is wrong, and then tells `reader` why. Need not do what
    /// [`check`](Self::check) does.
    fn read(&self, value: Spanned<DeValue<'_>>, reader: &mut FileReader<'_>) -> Option<Self::Value>;

    /// Checks a value of the key `key`, which the file or code has set.
    fn check(&self, _key: &str, _value: &Self::Value) -> Result<(), String> {
        Ok(())
    }

    /// Returns a value as it is written in the file; `None` if this kind has no such form.
    fn write(&self, _value: &Self::Value) -> Option<String> {
        None
    }

    /// Returns the smallest and the largest value as they are written in the file; `None` if there are no such limits
    /// that a user needs to know.
    fn range(&self) -> Option<(String, String)> {
        None
    }
}

/// `true` or `false`.
pub(super) struct Switch;

impl ValueKind for Switch {
    type Value = bool;

    fn read(&self, value: Spanned<DeValue<'_>>, reader: &mut FileReader<'_>) -> Option<bool> {
        reader.read(value)
    }

    fn write(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }
}

/// A number in a range.
pub(super) struct Number<T> {
    low: T,
    /// The largest number; `None` for no limit but that of the type.
    high: Option<T>,
}

impl<T: Copy> Number<T> {
    pub(super) fn at_least(low: T) -> Self {
        Self { low, high: None }
    }

    pub(super) fn between(range: &RangeInclusive<T>) -> Self {
        Self { low: *range.start(), high: Some(*range.end()) }
    }
}

impl<T: Copy + Display + PartialOrd + DeserializeOwned> ValueKind for Number<T> {
    type Value = T;

    fn read(&self, value: Spanned<DeValue<'_>>, reader: &mut FileReader<'_>) -> Option<T> {
        let range = match self.high {
            Some(high) => format!(" from {} to {high}", self.low),
            None => format!(" of at least {}", self.low),
        };
        reader.read_number(value, &range)
    }

    fn check(&self, key: &str, value: &T) -> Result<(), String> {
        let low = self.low;
        match self.high {
            // Not a number is in no range.
            Some(high) if !(low..=high).contains(value) => Err(format!("{key} must be from {low} to {high}")),
            None if *value < low => Err(format!("{key} must be at least {low}")),
            _ => Ok(()),
        }
    }

    fn write(&self, value: &T) -> Option<String> {
        Some(value.to_string())
    }

    fn range(&self) -> Option<(String, String)> {
        self.high.map(|high| (self.low.to_string(), high.to_string()))
    }
}

/// The maximum duration. A longer time would mean "never" in practice, and adding it to the current time could
/// overflow.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

/// The maximum age of stored events: a hundred years.
#[cfg(feature = "history")]
const MAX_AGE: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// The shortest and the longest latency budget. A writer thread sends to its viewers in turns, so it cannot keep a budget that is
/// shorter than one turn. A longer budget would not limit anything in practice.
const LATENCY_BUDGET: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));

/// The shortest and the longest interval between two probes of a camera. Each probe opens and closes the camera, which
/// takes a network camera seconds.
const PROBE_INTERVAL: (Duration, Duration) = (Duration::from_secs(10), MAX_DURATION);

/// A duration, such as `"10s"`, `"200ms"` or `"1min 30s"`.
pub(super) struct Time {
    expected: &'static str,
    shortest: Shortest,
    longest: Duration,
}

/// The lower limit of a duration.
enum Shortest {
    Exactly(Duration),
    AboveZero,
}

impl Time {
    /// A duration of up to 366 days, which may be zero.
    pub(super) fn any() -> Self {
        let expected = "a duration like \"10s\", \"200ms\" or \"5min\"";
        Self { expected, shortest: Shortest::Exactly(Duration::ZERO), longest: MAX_DURATION }
    }

    /// A duration of up to 366 days, but longer than zero.
    pub(super) fn positive() -> Self {
        Self { shortest: Shortest::AboveZero, ..Self::any() }
    }

    /// A latency budget.
    pub(super) fn latency_budget() -> Self {
        Self::between(LATENCY_BUDGET)
    }

    /// The interval between two probes of a camera.
    pub(super) fn probe_interval() -> Self {
        Self { expected: "a duration like \"1min\" or \"30s\"", ..Self::between(PROBE_INTERVAL) }
    }

    fn between((shortest, longest): (Duration, Duration)) -> Self {
        Self { shortest: Shortest::Exactly(shortest), longest, ..Self::any() }
    }

    /// An age of up to a hundred years, but longer than zero.
    #[cfg(feature = "history")]
    pub(super) fn age() -> Self {
        let expected = "an age like \"90d\" or \"2y\"";
        Self { expected, shortest: Shortest::AboveZero, longest: MAX_AGE }
    }

    fn parse(text: &str) -> Option<Duration> {
        humantime::parse_duration(text).ok()
    }
}

impl ValueKind for Time {
    type Value = Duration;

    fn read(&self, value: Spanned<DeValue<'_>>, reader: &mut FileReader<'_>) -> Option<Duration> {
        reader.read_text(value, self.expected, Self::parse)
    }

    fn check(&self, key: &str, value: &Duration) -> Result<(), String> {
        let Self { shortest, longest, .. } = self;
        let is_long_enough = match shortest {
            Shortest::Exactly(shortest) => value >= shortest,
            Shortest::AboveZero => !value.is_zero(),
        };
        if is_long_enough && value <= longest {
            return Ok(());
        }
        Err(match shortest {
            Shortest::Exactly(shortest) => {
                format!("{key} must be from {} to {}", time(*shortest), time(*longest))
            }
            Shortest::AboveZero => format!("{key} must be longer than 0s, and at most {}", time(*longest)),
        })
    }

    fn write(&self, value: &Duration) -> Option<String> {
        Some(quoted(time(*value)))
    }

    fn range(&self) -> Option<(String, String)> {
        match self.shortest {
            Shortest::Exactly(shortest) if !shortest.is_zero() => {
                Some((quoted(time(shortest)), quoted(time(self.longest))))
            }
            _ => None,
        }
    }
}

/// A duration, or `"never"`.
pub(super) struct OrNever(pub(super) Time);

impl ValueKind for OrNever {
    type Value = Option<Duration>;

    fn read(&self, value: Spanned<DeValue<'_>>, reader: &mut FileReader<'_>) -> Option<Option<Duration>> {
        let Self(time) = self;
        let parse = |text: &str| if text == "never" { Some(None) } else { Time::parse(text).map(Some) };
        reader.read_text(value, &format!("{}, or \"never\"", time.expected), parse)
    }

    fn check(&self, key: &str, value: &Option<Duration>) -> Result<(), String> {
        let checked = value.as_ref().map_or(Ok(()), |value| self.0.check(key, value));
        checked.map_err(|problem| format!("{problem}, or \"never\""))
    }

    fn write(&self, value: &Option<Duration>) -> Option<String> {
        Some(value.map_or_else(|| quoted("never"), |value| quoted(time(value))))
    }

    fn range(&self) -> Option<(String, String)> {
        self.0.range()
    }
}

/// A size in bytes, such as `"16MiB"` or `"500kB"`, in this range.
pub(super) struct Size(pub(super) RangeInclusive<usize>);

impl ValueKind for Size {
    type Value = usize;

    fn read(&self, value: Spanned<DeValue<'_>>, reader: &mut FileReader<'_>) -> Option<usize> {
        let parse = |text: &str| {
            let size = text.parse::<bytesize::ByteSize>().ok()?;
            usize::try_from(size.as_u64()).ok()
        };
        reader.read_text(value, "a size like \"16MiB\" or \"500kB\"", parse)
    }

    fn check(&self, key: &str, value: &usize) -> Result<(), String> {
        let message = || format!("{key} must be from {} to {}", size(*self.0.start()), size(*self.0.end()));
        self.0.contains(value).then_some(()).ok_or_else(message)
    }

    fn write(&self, value: &usize) -> Option<String> {
        Some(quoted(size(*value)))
    }

    fn range(&self) -> Option<(String, String)> {
        Some((quoted(size(*self.0.start())), quoted(size(*self.0.end()))))
    }
}

/// A text with a meaning, such as an address.
pub(super) struct Text<T> {
    parse: fn(&str, &ReadContext<'_>) -> Result<T, String>,
    check: fn(&T) -> Result<(), String>,
}

impl<T> Text<T> {
    pub(super) fn new(parse: fn(&str, &ReadContext<'_>) -> Result<T, String>) -> Self {
        Self { parse, check: |_| Ok(()) }
    }

    /// Also checks each value with `check`, even one that code has set.
    pub(super) fn checked(self, check: fn(&T) -> Result<(), String>) -> Self {
        Self { check, ..self }
    }
}

impl<T> ValueKind for Text<T> {
    type Value = T;

    fn read(&self, value: Spanned<DeValue<'_>>, reader: &mut FileReader<'_>) -> Option<T> {
        let text: Spanned<String> = reader.read(value)?;
        let parsed = (self.parse)(text.get_ref(), &reader.context);
        reader.keep(text.span(), parsed)
    }

    fn check(&self, _key: &str, value: &T) -> Result<(), String> {
        (self.check)(value)
    }
}

/// A list of texts, each with a meaning.
pub(super) struct Texts<T>(pub(super) fn(&str, &ReadContext<'_>) -> Result<T, String>);

impl<T> ValueKind for Texts<T> {
    type Value = Vec<T>;

    fn read(&self, value: Spanned<DeValue<'_>>, reader: &mut FileReader<'_>) -> Option<Vec<T>> {
        reader.read_texts(value, self.0)
    }
}

fn quoted(text: impl Display) -> String {
    format!("\"{text}\"")
}

/// Writes a duration in the largest unit in which it is a whole number, from days to milliseconds.
fn time(duration: Duration) -> String {
    let (millis, seconds) = (duration.as_millis(), duration.as_secs());
    if millis % 1000 != 0 {
        return format!("{millis}ms");
    }
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    let unit = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}

/// Writes a size in the largest unit in which it is a whole number.
fn size(bytes: usize) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes}B"), |(unit, name)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_written_in_the_largest_unit() {
        for (millis, written) in [
            (0, "0s"),
            (10, "10ms"),
            (1500, "1500ms"),
            (90_000, "90s"),
            (60_000, "1min"),
            (7_200_000, "2h"),
            (90 * 86_400_000, "90d"),
        ] {
            assert_eq!(time(Duration::from_millis(millis)), written);
        }
        for (bytes, written) in
            [(1, "1B"), (1024, "1KiB"), (1536, "1536B"), (16 << 20, "16MiB"), (1 << 30, "1GiB")]
        {
            assert_eq!(size(bytes), written);
        }
    }
}
