//! Tables that stream: a header, rows and a footer, written straight into the next chunk to send.
//!
//! A [`Record`] writes its cells. A [`Writer`] renders the cells in a [`TableFormat`] and applies a [`Compression`]. A
//! [`Table`] does both for each record of a stream. An [`HtmlPage`] decides how HTML looks. [`CHUNK_BYTES`] limits the
//! memory for any number of rows, because the stream waits for a slow reader.
//!
//! ```
//! use framecast_history::table::{CellWriter, Compression, PlainPage, Record, TableFormat, Writer};
//!
//! struct Reading<'a> {
//!     sensor: &'a str,
//!     celsius: f64,
//! }
//!
//! impl Record for Reading<'_> {
//!     const COLUMNS: &'static [&'static str] = &["sensor", "celsius"];
//!
//!     fn write_cells<C: CellWriter>(&self, cells: &mut C) {
//!         cells.text(self.sensor);
//!         cells.float(self.celsius);
//!     }
//! }
//!
//! let mut writer = Writer::new(TableFormat::Csv, Compression::None, PlainPage::new("Readings"));
//! writer.begin::<Reading<'_>>();
//! writer.row(&Reading { sensor: "=door", celsius: -4.5 });
//! assert_eq!(writer.end::<Reading<'_>>(), "sensor,celsius\r\n'=door,-4.5\r\n");
//! ```
//!
//! What the rows contain, where they are read from, and how a table reaches a client, does not belong here.

mod chunk;
mod compression;
mod csv;
mod encoder;
mod format;
mod html;
mod json;
mod page;
mod record;
mod stream;
mod writer;

pub use chunk::{CHUNK_BYTES, Chunk};
pub use compression::Compression;
pub use format::TableFormat;
pub use page::{HtmlPage, PlainPage, TableEnd};
pub use record::{CellWriter, Record};
pub use stream::{FLUSH_AFTER, Table, TruncatedTable};
pub use writer::Writer;
