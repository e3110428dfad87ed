//! Tables that stream: a header, rows and a footer, written straight into the next chunk to send.
//!
//! A [`Record`] writes its cells, a [`Writer`] renders them in a [`Format`] and compresses them with a [`Coding`], and
//! a [`Table`] does that for each record of a stream, as the body of an HTTP answer. A [`Page`] decides how HTML looks.
//! [`CHUNK_BYTES`] bounds the memory for any number of rows: a slow reader makes the stream wait.
//!
//! ```
//! use framecast_history::table::{Cells, Coding, Format, Plain, Record, Writer};
//!
//! struct Reading<'a> {
//!     sensor: &'a str,
//!     celsius: f64,
//! }
//!
//! impl Record for Reading<'_> {
//!     const COLUMNS: &'static [&'static str] = &["sensor", "celsius"];
//!
//!     fn tell<C: Cells>(&self, cells: &mut C) {
//!         cells.text(self.sensor);
//!         cells.real(self.celsius);
//!     }
//! }
//!
//! let mut writer = Writer::new(Format::Csv, Coding::Identity, Plain::new("Readings"));
//! writer.begin::<Reading<'_>>();
//! writer.row(&Reading { sensor: "=door", celsius: -4.5 });
//! assert_eq!(writer.end::<Reading<'_>>(), "sensor,celsius\r\n'=door,-4.5\r\n");
//! ```
//!
//! What rows are about, and where they are read from, does not belong here.

mod body;
mod chunk;
mod coding;
mod csv;
mod departure;
mod encoder;
mod format;
mod html;
mod json;
mod page;
mod record;
mod weight;
mod writer;

pub use body::{Broken, FLUSH_AFTER, Table};
pub use chunk::{CHUNK_BYTES, Chunk};
pub use coding::Coding;
pub(crate) use departure::Departure;
pub use format::{Format, UnknownFormat};
pub use page::{End, Page, Plain};
pub use record::{Cells, Record};
pub use writer::Writer;
