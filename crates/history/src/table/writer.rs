//! Turns records into the bytes of a table, in the table's format and compression.

use std::{fmt, io};

use bytes::Bytes;

use super::chunk::{CHUNK_BYTES, Chunk};
use super::compression::Compression;
use super::encoder::Encoder;
use super::format::TableFormat;
use super::json::JsonKeys;
use super::page::{HtmlPage, TableEnd};
use super::record::Record;
use super::{csv, html, json};

/// Writes records as rows of a table into a buffer, the chunk to send next. The writer neither waits nor sends; its
/// owner does both.
///
/// Call `begin`, then `row` for each record, and then `end` or `break_off`. Call [`take`](Self::take) in between to get
/// the bytes to send. Writing a row allocates no memory.
pub struct Writer<P> {
    format: TableFormat,
    page: P,
    has_byte_order_mark: bool,
    chunk: Chunk,
    encoder: Encoder,
    keys: JsonKeys,
    rows: u64,
    stage: WriterStage,
    failure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriterStage {
    New,
    Begun,
    Ended,
}

impl<P> Writer<P> {
    /// Creates a writer for a new table. Only the HTML format uses `page`.
    pub fn new(format: TableFormat, compression: Compression, page: P) -> Self {
        Self {
            format,
            page,
            has_byte_order_mark: false,
            chunk: Chunk::default(),
            encoder: Encoder::new(compression),
            keys: JsonKeys::default(),
            rows: 0,
            stage: WriterStage::New,
            failure: None,
        }
    }

    /// Returns this writer, set to begin a CSV table with a byte order mark, by which Excel recognises UTF-8. Tables in
    /// other formats get no such mark.
    pub fn with_byte_order_mark(self) -> Self {
        Self { has_byte_order_mark: true, ..self }
    }

    /// Returns the format in which the table is written.
    pub fn format(&self) -> TableFormat {
        self.format
    }

    /// Returns how the table is compressed.
    pub fn compression(&self) -> Compression {
        self.encoder.compression()
    }

    /// Writes everything before the table's first row, if it has not been written yet.
    pub fn begin<R: Record>(&mut self)
    where
        P: HtmlPage<R>,
    {
        if self.stage != WriterStage::New {
            return;
        }
        self.stage = WriterStage::Begun;
        self.chunk.allocate();
        match self.format {
            TableFormat::Html => self.render("the header", P::header),
            TableFormat::Csv => {
                if self.has_byte_order_mark {
                    csv::byte_order_mark(&mut self.chunk);
                }
                csv::header::<R>(&mut self.chunk);
            }
            TableFormat::Ndjson => self.keys = JsonKeys::of::<R>(),
            TableFormat::Json => {
                self.keys = JsonKeys::of::<R>();
                self.chunk.push("[");
            }
        }
    }

    /// Writes `record` as a row of the table. Writes nothing after the end of the table or after a
    /// [failure](Self::failure).
    #[inline]
    pub fn row<R: Record>(&mut self, record: &R)
    where
        P: HtmlPage<R>,
    {
        if self.stage != WriterStage::Begun {
            self.begin::<R>();
        }
        if self.stage == WriterStage::Ended || self.failure.is_some() {
            return;
        }
        match self.format {
            TableFormat::Html => {
                self.render("a row", |page, out| page.row(record, out));
                if self.failure.is_some() {
                    return;
                }
            }
            TableFormat::Csv => csv::row(record, &mut self.chunk),
            TableFormat::Ndjson => {
                json::object(record, &self.keys, &mut self.chunk);
                self.chunk.push("\n");
            }
            TableFormat::Json => {
                self.chunk.push(if self.rows == 0 { "\n" } else { ",\n" });
                json::object(record, &self.keys, &mut self.chunk);
            }
        }
        self.rows += 1;
    }

    /// Returns whether the buffer has [`CHUNK_BYTES`] of text or more. The caller should then [`take`](Self::take) the
    /// text and send it.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.chunk.len() >= CHUNK_BYTES
    }

    /// Returns whether the buffer has no text to send.
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty()
    }

    /// Returns the number of rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the first error of writing or compressing the table, as a text; `None` if all went well. After a
    /// failure, only [`break_off`](Self::break_off) can end the table.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Returns the text in the buffer, compressed so that a client can decode all of it at once, and empties the
    /// buffer.
    pub fn take(&mut self) -> Bytes {
        if self.chunk.is_empty() {
            return Bytes::new();
        }
        let bytes = self.encoder.flush(&mut self.chunk);
        self.or_fail(bytes)
    }

    /// Writes everything after the table's last row, ends the compressed stream, and returns all bytes that were not
    /// taken yet. If the table has [failed](Self::failure), breaks the table off instead.
    pub fn end<R: Record>(&mut self) -> Bytes
    where
        P: HtmlPage<R>,
    {
        self.begin::<R>();
        if self.stage == WriterStage::Ended {
            return Bytes::new();
        }
        if self.format == TableFormat::Html && self.failure.is_none() {
            let end = TableEnd::Whole { rows: self.rows };
            self.render("the footer", |page, out| page.footer(&end, out));
        }
        if let Some(failure) = self.failure.clone() {
            return self.break_off::<R>(&failure);
        }
        if self.format == TableFormat::Json {
            self.chunk.push("\n]\n");
        }
        self.stage = WriterStage::Ended;
        let bytes = self.encoder.finish(&mut self.chunk);
        self.or_fail(bytes)
    }

    /// Ends a table that is incomplete because of `reason`, and returns all bytes that were not taken yet. The
    /// compressed stream and a JSON array stay without an end, so that a client notices. HTML gets a last row with the
    /// reason.
    pub fn break_off<R: Record>(&mut self, reason: &str) -> Bytes
    where
        P: HtmlPage<R>,
    {
        self.begin::<R>();
        if self.stage == WriterStage::Ended {
            return Bytes::new();
        }
        self.stage = WriterStage::Ended;
        if self.format == TableFormat::Html {
            let end = TableEnd::BrokenOff { rows: self.rows, reason };
            self.render("the footer", |page, out| page.footer(&end, out));
        }
        self.take()
    }

    /// Lets the HTML page write one of its parts, named `part` in errors, into the buffer. If that fails, removes what
    /// was written and remembers the failure.
    #[inline]
    fn render(&mut self, part: &str, write: impl FnOnce(&mut P, &mut Chunk) -> fmt::Result) {
        let start = self.chunk.len();
        if write(&mut self.page, &mut self.chunk).is_ok() {
            html::replace_nul(&mut self.chunk, start);
        } else {
            self.chunk.bytes().truncate(start);
            self.failure = Some(format!("{part} could not be rendered"));
        }
    }

    /// Returns the bytes that the compressor returned. If the compressor failed, returns no bytes, remembers the
    /// failure and ends the table. The compressed stream is then unusable, because a client would decode further bytes
    /// wrongly.
    fn or_fail(&mut self, bytes: io::Result<Bytes>) -> Bytes {
        bytes.unwrap_or_else(|error| {
            self.stage = WriterStage::Ended;
            self.chunk.clear();
            self.failure = Some(format!("the server could not compress the table: {error}"));
            Bytes::new()
        })
    }
}

impl<P: fmt::Debug> fmt::Debug for Writer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("format", &self.format)
            .field("compression", &self.compression())
            .field("page", &self.page)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}
