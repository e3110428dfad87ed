//! Reads the values of the file, and collects what is wrong with them.
//!
//! The errors have two kinds. A wrong type is a key that does not exist or is missing, or a value that is, for example,
//! a number in place of a text: the first such error ends the check, because errors after it may be its consequences.
//! A wrong value has the right type, but means nothing or is out of range: all such errors are told.

use std::fmt;
use std::ops::Range;

use framecast_drivers::Drivers;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::ConfigError;
use super::config_messages::{explain, redacted, with_key};

/// What the meaning of a value can depend on, beside the value.
pub(super) struct ReadContext<'a> {
    pub(super) drivers: &'a Drivers,
    /// The password of the account.
    pub(super) password: Option<&'a str>,
    /// The names of all cameras in the file.
    #[cfg(feature = "webhook")]
    pub(super) cameras: Vec<String>,
}

/// Reads values of one file, and collects errors and warnings.
pub(super) struct FileReader<'a> {
    /// The whole file.
    text: &'a str,
    pub(super) context: ReadContext<'a>,
    wrong_types: Vec<ConfigError>,
    wrong_values: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
}

impl<'a> FileReader<'a> {
    pub(super) fn new(text: &'a str, context: ReadContext<'a>) -> Self {
        Self { text, context, wrong_types: Vec::new(), wrong_values: Vec::new(), warnings: Vec::new() }
    }

    /// Returns the number of the line that contains the byte `at`, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    /// Adds an error of type at the bytes `span` of the file.
    pub(super) fn wrong_type(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.wrong_types.push(ConfigError::at(self.text, Some(span), message));
    }

    /// Adds an error of meaning at the bytes `span` of the file.
    pub(super) fn wrong_value(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.wrong_values.push(ConfigError::at(self.text, Some(span), message));
    }

    /// Adds a warning about the bytes `span` of the file.
    pub(super) fn warn(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.warnings.push(ConfigError::at(self.text, Some(span), message));
    }

    /// Returns the value of `result`. Adds its error, which is about the bytes `span`, as one of meaning.
    pub(super) fn keep<T>(&mut self, span: Range<usize>, result: Result<T, String>) -> Option<T> {
        result.map_err(|problem| self.wrong_value(span, problem)).ok()
    }

    /// Reads a value of a type that Serde knows.
    pub(super) fn read<'de, T: Deserialize<'de>>(&mut self, value: Spanned<DeValue<'de>>) -> Option<T> {
        self.read_with(value, T::deserialize, explain)
    }

    /// Reads a whole number or a number. `range` says which numbers are allowed, as in `from 1 to 100`.
    pub(super) fn read_number<'de, T: Deserialize<'de>>(
        &mut self,
        value: Spanned<DeValue<'de>>,
        range: &str,
    ) -> Option<T> {
        let explain =
            |message: &str| explain(message).replace("a whole number", &format!("a whole number{range}"));
        self.read_with(value, T::deserialize, explain)
    }

    /// Reads a value that is written as text, such as a duration. `expected` names what the text should be.
    pub(super) fn read_text<T>(
        &mut self,
        value: Spanned<DeValue<'_>>,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.read_with(value, |value| value.deserialize_str(TextVisitor { expected, parse }), explain)
    }

    /// Reads the entries of a list of texts. Passes each text to `parse`; adds the error of each entry at its place.
    pub(super) fn read_texts<T>(
        &mut self,
        value: Spanned<DeValue<'_>>,
        mut parse: impl FnMut(&str, &ReadContext<'_>) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let texts: Vec<Spanned<String>> = self.read(value)?;
        let read = texts.into_iter().map(|text| {
            let parsed = parse(text.get_ref(), &self.context);
            self.keep(text.span(), parsed)
        });
        // Each entry is read, so that each has its error.
        let read: Vec<Option<T>> = read.collect();
        read.into_iter().collect()
    }

    fn read_with<'de, T>(
        &mut self,
        value: Spanned<DeValue<'de>>,
        read: impl FnOnce(ValueDeserializer<'de>) -> Result<T, toml::de::Error>,
        explain: impl FnOnce(&str) -> String,
    ) -> Option<T> {
        let whole = value.span();
        match read(ValueDeserializer::from(value)) {
            Ok(value) => Some(value),
            Err(error) => {
                let span = error.span().unwrap_or(whole);
                let message = with_key(self.text, span.clone(), explain(error.message()));
                match error.message().starts_with("invalid type") {
                    true => self.wrong_type(span, message),
                    false => self.wrong_value(span, message),
                }
                None
            }
        }
    }

    /// Returns the warnings in the order of the file.
    ///
    /// # Errors
    /// The first error of type or, if there is none, all errors of meaning in the order of the file.
    pub(super) fn finish(mut self) -> Result<Vec<ConfigError>, Vec<ConfigError>> {
        self.warnings.sort_by_key(|warning| warning.position);
        self.wrong_values.sort_by_key(|error| error.position);
        match self.wrong_types.into_iter().min_by_key(|error| error.position) {
            Some(error) => Err(vec![error]),
            None if self.wrong_values.is_empty() => Ok(self.warnings),
            None => Err(self.wrong_values),
        }
    }
}

/// A Serde visitor that parses a value from text. If the value in the file is not text, the error says what was
/// expected.
struct TextVisitor<'e, P> {
    expected: &'e str,
    parse: P,
}

impl<T, P: FnOnce(&str) -> Option<T>> Visitor<'_> for TextVisitor<'_, P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        let expected = self.expected;
        (self.parse)(text)
            .ok_or_else(|| E::custom(format!("found `{}`, expected {expected}", redacted(text))))
    }
}
