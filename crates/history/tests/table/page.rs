//! How tables look as HTML.

use std::fmt::{self, Write};

use framecast_history::table::{Chunk, Compression, HtmlPage, TableEnd, TableFormat, Writer};

use crate::{Note, render};

#[test]
fn the_plain_page_is_a_whole_and_accessible_document() {
    let html = render(TableFormat::Html, &[Note::new(1, "a"), Note::new(2, "b")]);
    assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">\n"));
    assert!(html.ends_with("</html>\n"));
    for part in [
        "<meta charset=\"utf-8\">",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
        "<meta name=\"color-scheme\" content=\"light dark\">",
        "<title>Notes</title>",
        "<caption>Notes</caption>",
        "<thead>\n<tr><th scope=\"col\">id</th><th scope=\"col\">text</th>",
        "<tbody>\n<tr><td>1</td><td>a</td><td>0.5</td><td>true</td></tr>\n<tr>",
        "</tbody>\n</table>\n<p>2 rows</p>",
    ] {
        assert_eq!(html.matches(part).count(), 1, "{part} in {html}");
    }
}

/// A custom page for records that borrow; it fails on some of them.
struct List;

impl<'a> HtmlPage<Note<'a>> for List {
    fn header(&mut self, out: &mut Chunk) -> fmt::Result {
        write!(out, "<ul>")
    }

    fn row(&mut self, record: &Note<'a>, out: &mut Chunk) -> fmt::Result {
        write!(out, "<li>{}", record.text)?;
        if record.id < 0 { Err(fmt::Error) } else { Ok(()) }
    }

    fn footer(&mut self, end: &TableEnd<'_>, out: &mut Chunk) -> fmt::Result {
        match end {
            TableEnd::Whole { rows } => write!(out, "</ul>{rows}"),
            TableEnd::BrokenOff { rows, reason } => write!(out, "<li>{rows}, {reason}"),
        }
    }
}

#[test]
fn a_page_of_ones_own_writes_records_that_borrow() {
    let mut writer = Writer::new(TableFormat::Html, Compression::None, List);
    for id in 0..3 {
        let text = format!("{id}\0");
        writer.row(&Note::new(id, &text));
    }
    assert_eq!(writer.end::<Note<'_>>(), "<ul><li>0\u{fffd}<li>1\u{fffd}<li>2\u{fffd}</ul>3");
    assert_eq!(writer.failure(), None);
}

#[test]
fn a_row_that_cannot_be_rendered_breaks_the_table_off_before_it() {
    let mut writer = Writer::new(TableFormat::Html, Compression::None, List);
    for id in [1, -1, 2] {
        writer.row(&Note::new(id, "x"));
    }
    assert_eq!((writer.rows(), writer.failure()), (1, Some("a row could not be rendered")));
    assert_eq!(writer.end::<Note<'_>>(), "<ul><li>x<li>1, a row could not be rendered");
    assert!(writer.failure().is_some());
}
