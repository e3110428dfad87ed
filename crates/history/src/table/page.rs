//! What an HTML page with a table looks like.

use std::fmt;

use askama::Template;

use super::chunk::Chunk;
use super::html;
use super::record::Record;

/// An HTML page that contains a table. Each method writes a part of the page into the chunk to send next, most simply
/// with a template's `render_into(out)`. If a method returns an error, nothing of its part is sent, and the table
/// breaks off.
pub trait HtmlPage<R> {
    /// Writes everything before the first row. This text is sent at once, before there is a row.
    ///
    /// # Errors
    /// If the header cannot be rendered.
    fn header(&mut self, out: &mut Chunk) -> fmt::Result;

    /// Writes one row of the table.
    ///
    /// # Errors
    /// If the row cannot be rendered.
    fn row(&mut self, record: &R, out: &mut Chunk) -> fmt::Result;

    /// Writes everything after the last row. If `end` says that the table broke off, first writes a last row that says
    /// so.
    ///
    /// # Errors
    /// If the footer cannot be rendered.
    fn footer(&mut self, end: &TableEnd<'_>, out: &mut Chunk) -> fmt::Result;
}

/// How a table ended: complete or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableEnd<'a> {
    /// The table is complete: all rows were written.
    Whole {
        /// The number of written rows.
        rows: u64,
    },
    /// A failure ended the table early. How many rows are missing is not known.
    BrokenOff {
        /// The number of written rows.
        rows: u64,
        /// What failed, as a text for people.
        reason: &'a str,
    },
}

/// A simple page that has only a title and the table, for records of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainPage {
    /// The title of the page, and the caption of the table.
    pub title: String,
}

#[derive(Template)]
#[template(path = "table/header.html")]
struct Header<'a> {
    title: &'a str,
    columns: &'static [&'static str],
}

#[derive(Template)]
#[template(path = "table/footer.html")]
struct Footer {
    rows: u64,
}

#[derive(Template)]
#[template(path = "table/broken_off.html")]
struct BrokenOff<'a> {
    rows: u64,
    reason: &'a str,
    columns: usize,
}

impl PlainPage {
    /// Creates a page with the title `title`.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into() }
    }
}

impl<R: Record> HtmlPage<R> for PlainPage {
    fn header(&mut self, out: &mut Chunk) -> fmt::Result {
        Ok(Header { title: &self.title, columns: R::COLUMNS }.render_into(out)?)
    }

    #[inline]
    fn row(&mut self, record: &R, out: &mut Chunk) -> fmt::Result {
        html::row(record, out)
    }

    fn footer(&mut self, end: &TableEnd<'_>, out: &mut Chunk) -> fmt::Result {
        match *end {
            TableEnd::Whole { rows } => Ok(Footer { rows }.render_into(out)?),
            TableEnd::BrokenOff { rows, reason } => {
                let columns = R::COLUMNS.len().max(1);
                Ok(BrokenOff { rows, reason, columns }.render_into(out)?)
            }
        }
    }
}
