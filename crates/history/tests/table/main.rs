//! Tables that stream: their formats, how they are compressed, and how they are sent.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

mod compression;
mod page;
mod stream;
mod text;

use framecast_history::table::{CellWriter, Compression, PlainPage, Record, TableFormat, Writer};

/// A row with a cell of each kind, which borrows its text.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Note<'a> {
    id: i64,
    text: &'a str,
    value: f64,
    is_new: bool,
}

impl<'a> Note<'a> {
    fn new(id: i64, text: &'a str) -> Self {
        Self { id, text, value: 0.5, is_new: true }
    }
}

impl Record for Note<'_> {
    const COLUMNS: &'static [&'static str] = &["id", "text", "value", "new"];

    fn write_cells<C: CellWriter>(&self, cells: &mut C) {
        cells.integer(self.id);
        cells.text(self.text);
        cells.float(self.value);
        cells.boolean(self.is_new);
    }
}

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

fn writer(format: TableFormat, compression: Compression) -> Writer<PlainPage> {
    Writer::new(format, compression, PlainPage::new("Notes"))
}

/// A whole table of `records` as text.
fn render<R: Record>(format: TableFormat, records: &[R]) -> String {
    let mut writer = writer(format, Compression::None);
    writer.begin::<R>();
    for record in records {
        writer.row(record);
    }
    String::from_utf8(writer.end::<R>().to_vec()).unwrap()
}

/// Cells of an HTML table's rows, as a browser reads them.
fn html_cells(html: &str) -> Vec<String> {
    let cells = html.split("<td>").skip(1).map(|rest| rest.split("</td>").next().unwrap());
    cells.map(unescape).collect()
}

fn unescape(html: &str) -> String {
    assert!(!html.contains(['<', '>', '"', '\'', '\0']), "{html:?} is not escaped");
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('&') {
        let (code, after) = after.strip_prefix('#').unwrap().split_once(';').unwrap();
        text.push_str(before);
        text.push(char::from_u32(code.parse().unwrap()).unwrap());
        rest = after;
    }
    text + rest
}
