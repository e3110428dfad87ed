//! Tables that stream: a header, rows and a footer, written straight into the next chunk to send.
//!
//! A [`Record`] writes its cells. A [`Writer`] renders the cells in a [`TableFormat`] and compresses them with a
//! [`ContentEncoding`]. A [`Table`] does both for each record of a stream, as the body of an HTTP response. An
//! [`HtmlPage`] decides how HTML looks. [`CHUNK_BYTES`] limits the memory for any number of rows, because the stream
//! waits for a slow reader.
//!
//! ```
//! use framecast_history::table::{CellWriter, ContentEncoding, TableFormat, PlainPage, Record, Writer};
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
//! let mut writer = Writer::new(TableFormat::Csv, ContentEncoding::Identity, PlainPage::new("Readings"));
//! writer.begin::<Reading<'_>>();
//! writer.row(&Reading { sensor: "=door", celsius: -4.5 });
//! assert_eq!(writer.end::<Reading<'_>>(), "sensor,celsius\r\n'=door,-4.5\r\n");
//! ```
//!
//! What the rows contain, and where they are read from, does not belong here.

mod body;
mod chunk;
mod content_encoding;
mod csv;
mod drain_wait;
mod encoder;
mod format;
mod html;
mod json;
mod page;
mod qvalue;
mod record;
mod writer;

pub use body::{FLUSH_AFTER, Table, TruncatedTable};
pub use chunk::{CHUNK_BYTES, Chunk};
pub use content_encoding::ContentEncoding;
pub(crate) use drain_wait::DrainWait;
pub use format::{TableFormat, UnknownFormat};
pub use page::{HtmlPage, PlainPage, TableEnd};
pub use record::{CellWriter, Record};
pub use writer::Writer;
