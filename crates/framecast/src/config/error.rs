//! Errors in a configuration, with their position.

use std::fmt;
use std::ops::Range;

/// A configuration that the server cannot use: what is wrong and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file; `None` for settings from elsewhere.
    pub file: Option<String>,
    /// Line and column, both from 1.
    pub position: Option<(usize, usize)>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl ConfigError {
    /// An error without a position.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { file: None, position: None, message: message.into() }
    }

    /// An error at the bytes `span` of `text`.
    pub(crate) fn at(text: &str, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let position = span.map(|span| line_and_column(text, span.start));
        Self { file: None, position, message: message.into() }
    }

    /// The same error with the name of its `file`.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }
}

/// Line and column of a byte offset, both from 1; the column counts characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some((line, column)) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if self.file.is_some() || self.position.is_some() {
            f.write_str(" ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}
