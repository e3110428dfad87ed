//! Events of cameras and the server: an index that stores them, reads by key in pages, live listeners; and tables that
//! stream, however long.
//!
//! `hub` sends events → [`History`] gives each an id, holds the newest in memory, and one task writes them to the index
//! in batches → pages, exports and [`Listener`]s read them. HTTP, the configuration and pictures do not belong here.
//! The history knows a camera only by its name.

#![forbid(unsafe_code)]

mod clock;
mod entry;
mod error;
mod export;
mod history;
mod index;
mod listener;
pub mod query;
mod revision;
pub mod table;
mod timestamp;

pub use clock::{Clock, ClockReading, SystemClock};
pub use entry::{Entry, EntryRef, Key, TEXT_CHARS};
pub use error::Error;
pub use export::{Export, Row};
pub use history::{Config, History, HistoryStats, RecordError, RecordedEvent, StoredEvent, Tasks};
pub use index::{Address, Location};
pub use listener::{Listener, Notification};
pub use query::{BadParameter, EventRequest, Filter, Order, Query};
pub use timestamp::TimestampWriter;
