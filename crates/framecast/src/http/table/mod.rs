//! Tables that stream, as HTTP responses: which format and compression a request wants, and the response with a table as
//! its body.
//!
//! A [`Record`] writes its cells. A [`Writer`] renders the cells in a [`TableFormat`] and compresses them. A [`Table`]
//! does both for each record of a stream, and [`respond`] makes an HTTP response of it. An [`HtmlPage`] decides how HTML
//! looks. The memory for any number of rows is limited, because the stream waits for a slow reader.
//!
//! The code that renders tables is in the crate `framecast_history`. What the rows contain does not belong here.

mod drained;
mod negotiation;
mod qvalue;
mod response;

pub use framecast_history::table::{
    CHUNK_BYTES, CellWriter, Chunk, Compression, FLUSH_AFTER, HtmlPage, PlainPage, Record, Table, TableEnd,
    TableFormat, TruncatedTable, Writer,
};
pub use negotiation::{UnknownFormat, choose_compression, choose_format, content_encoding, content_type};
pub use response::respond;
