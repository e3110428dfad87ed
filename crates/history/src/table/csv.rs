//! Writes the rows of a table as comma-separated values (RFC 4180), so that a spreadsheet runs no text as a formula.

use framecast_media::is_hidden;
use memchr::memchr_iter;

use super::chunk::Chunk;
use super::record::{CellWriter, Record, write_cells};

/// Writes a byte order mark, by which Excel recognises UTF-8; without the mark, Excel assumes the system's encoding.
/// Programs that do not know the mark would read it as part of the first column's name.
pub(super) fn byte_order_mark(out: &mut Chunk) {
    out.push("\u{feff}");
}

pub(super) fn header<R: Record>(out: &mut Chunk) {
    let start = out.len();
    let mut cells = CsvCellWriter::new(out);
    for column in R::COLUMNS {
        cells.text(column);
    }
    finish::<R>(out, start);
}

#[inline]
pub(super) fn row<R: Record>(record: &R, out: &mut Chunk) {
    let start = out.len();
    write_cells(record, CsvCellWriter::new(out));
    finish::<R>(out, start);
}

/// Ends the row whose text began at byte `start` of `out`.
#[inline]
fn finish<R: Record>(out: &mut Chunk, start: usize) {
    // Readers skip empty lines.
    if out.len() == start && R::COLUMNS.len() == 1 {
        out.push("\"\"");
    }
    out.push("\r\n");
}

struct CsvCellWriter<'a> {
    out: &'a mut Chunk,
    is_first: bool,
}

impl<'a> CsvCellWriter<'a> {
    #[inline]
    fn new(out: &'a mut Chunk) -> Self {
        Self { out, is_first: true }
    }

    #[inline]
    fn separate(&mut self) {
        if !self.is_first {
            self.out.push(",");
        }
        self.is_first = false;
    }
}

/// Returns whether `text` needs quotes in CSV. Reads all bytes, several at a time, instead of stopping at the first
/// match.
#[inline]
fn must_be_quoted(text: &str) -> bool {
    text.bytes()
        .fold(false, |is, byte| is | (byte == b',') | (byte == b'"') | (byte == b'\n') | (byte == b'\r'))
}

/// Returns whether a spreadsheet might read `text` as a formula. Some programs skip leading blanks. Some accept the
/// full-width signs of East Asian keyboards in place of `=`, `+`, `-` and `@`.
#[inline]
fn is_formula(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n') => true,
        Some(b' ' | 0..0x20 | 0x7F..) => begins_formula(text),
        _ => false,
    }
}

/// Returns whether the first visible character of `text` is one with which formulas begin.
#[cold]
fn begins_formula(text: &str) -> bool {
    let mut seen = text.chars().skip_while(|c| c.is_whitespace() || is_hidden(*c) || is_zero_width(*c));
    matches!(seen.next(), Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠'))
}

/// Returns whether `c` is a zero-width space or joiner, or the soft hyphen.
fn is_zero_width(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{ad}')
}

impl CellWriter for CsvCellWriter<'_> {
    #[inline]
    fn text(&mut self, text: &str) {
        self.separate();
        let defused = if is_formula(text) { "'" } else { "" };
        if !must_be_quoted(text) {
            self.out.push(defused);
            self.out.push(text);
            return;
        }
        self.out.push("\"");
        self.out.push(defused);
        let mut from = 0;
        for quote in memchr_iter(b'"', text.as_bytes()) {
            self.out.push(&text[from..=quote]);
            from = quote;
        }
        self.out.push(&text[from..]);
        self.out.push("\"");
    }

    #[inline]
    fn integer(&mut self, value: i64) {
        self.separate();
        self.out.push_integer(value);
    }

    #[inline]
    fn float(&mut self, value: f64) {
        self.separate();
        self.out.push_float(value);
    }

    #[inline]
    fn boolean(&mut self, value: bool) {
        self.separate();
        self.out.push(if value { "true" } else { "false" });
    }

    #[inline]
    fn null(&mut self) {
        self.separate();
    }
}
