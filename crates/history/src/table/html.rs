//! Writes the rows of a table as HTML.

use std::fmt;

use askama::filters::{Escaper, Html};
use framecast_media::escape_hidden_multiline;
use memchr::memchr;

use super::chunk::Chunk;
use super::record::{CellWriter, Record, write_cells};

/// Writes a row of an HTML table, with a `td` element for each cell.
#[inline]
pub(super) fn row<R: Record>(record: &R, out: &mut Chunk) -> fmt::Result {
    out.push("<tr>");
    let mut result = Ok(());
    write_cells(record, HtmlCellWriter { out, result: &mut result });
    out.push("</tr>\n");
    result
}

/// Replaces each NUL in `out`, from the byte `start` to the end, with U+FFFD, as browsers do. NUL is not allowed in
/// HTML.
#[inline]
pub(super) fn replace_nul(out: &mut Chunk, start: usize) {
    let bytes = out.bytes();
    if memchr(0, &bytes[start..]).is_some() {
        let text = bytes.split_off(start);
        for (index, part) in text.split(|&byte| byte == 0).enumerate() {
            if index > 0 {
                bytes.extend_from_slice("\u{fffd}".as_bytes());
            }
            bytes.extend_from_slice(part);
        }
    }
}

struct HtmlCellWriter<'a> {
    out: &'a mut Chunk,
    result: &'a mut fmt::Result,
}

/// Returns whether `text` can be written to HTML without escapes. Returns false for any text with characters beyond
/// ASCII, because some of them are hidden and must be escaped. Reads all bytes, several at a time, instead of stopping
/// at the first match.
#[inline]
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |is, byte| {
        let is_printable = byte.wrapping_sub(b' ') < 0x7F - b' ';
        is & is_printable
            & (byte != b'<')
            & (byte != b'>')
            & (byte != b'&')
            & (byte != b'"')
            & (byte != b'\'')
    })
}

impl CellWriter for HtmlCellWriter<'_> {
    #[inline]
    fn text(&mut self, text: &str) {
        self.out.push("<td>");
        if is_plain(text) {
            self.out.push(text);
        } else if let Err(error) = Html.write_escaped_str(&mut *self.out, &escape_hidden_multiline(text)) {
            *self.result = Err(error);
        }
        self.out.push("</td>");
    }

    #[inline]
    fn integer(&mut self, value: i64) {
        self.out.push("<td>");
        self.out.push_integer(value);
        self.out.push("</td>");
    }

    #[inline]
    fn float(&mut self, value: f64) {
        self.out.push("<td>");
        self.out.push_float(value);
        self.out.push("</td>");
    }

    #[inline]
    fn boolean(&mut self, value: bool) {
        self.out.push(if value { "<td>true</td>" } else { "<td>false</td>" });
    }

    #[inline]
    fn null(&mut self) {
        self.out.push("<td></td>");
    }
}
