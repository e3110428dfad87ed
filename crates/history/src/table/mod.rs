//! Tables that stream: a header, rows and a footer, written straight into the chunk that leaves next.
//!
//! A [`Record`] tells its cells, a [`Writer`] renders them in a [`Format`] and packs them in a [`Coding`], and a
//! [`Table`] does that for each record of a stream, as the body of an HTTP answer. How HTML looks is up to a [`Page`].
//! Memory is bounded by [`CHUNK_BYTES`], whatever the number of rows: who reads slowly makes the stream wait.
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
//! What does not belong here: what rows are about, and where they are read from.

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
