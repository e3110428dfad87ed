//! Errors in the configuration, with their position in the file.

use std::fmt;
use std::ops::Range;

/// An error in the configuration: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's path; `None` for settings that do not come from a file.
    pub file: Option<String>,
    /// Line and column, both counted from 1; `None` if the error has no position.
    pub position: Option<(usize, usize)>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl ConfigError {
    /// Creates an error without a position.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { file: None, position: None, message: message.into() }
    }

    /// Creates an error at the bytes `span` of `text`, the whole file.
    pub(crate) fn at(text: &str, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let position = span.map(|span| line_and_column(text, span.start));
        Self { file: None, position, message: message.into() }
    }

    /// Returns this error with the path of the file in which the error occurred.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }
}

/// Returns the line and column of a byte offset, both counted from 1. The column counts characters.
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
