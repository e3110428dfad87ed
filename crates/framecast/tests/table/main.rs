//! Tables as HTTP responses: the choice of format and compression, and how a table arrives.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

mod http;
mod negotiation;

use framecast::table::{CellWriter, Compression, PlainPage, Record, TableFormat, Writer};

/// A row with a cell of each kind.
struct Note {
    id: i64,
    text: &'static str,
}

impl Record for Note {
    const COLUMNS: &'static [&'static str] = &["id", "text", "value", "new"];

    fn write_cells<C: CellWriter>(&self, cells: &mut C) {
        cells.integer(self.id);
        cells.text(self.text);
        cells.float(0.5);
        cells.boolean(true);
    }
}

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

fn writer(format: TableFormat, compression: Compression) -> Writer<PlainPage> {
    Writer::new(format, compression, PlainPage::new("Notes"))
}
