//! The events of the cameras and the server: stored in a database, read page by page or as tables of any length, and
//! followed live.
//!
//! The crate `hub` sends events → [`History`] assigns each event an id and keeps the newest events in memory, and one
//! task writes events to the index (the database) in batches → pages, [`Rows`] and [`Listener`]s read the events. HTTP,
//! the configuration and pictures do not belong here. The history identifies a camera only by its name.

#![forbid(unsafe_code)]

mod clock;
mod entry;
mod error;
mod history;
mod index;
#[cfg(feature = "postgres")]
mod postgres_error;
pub mod query;
mod revision;
mod rows;
pub mod table;
mod timestamp;

pub use clock::{Clock, ClockReading, SystemClock};
pub use entry::{Entry, EntryRef, Key, TEXT_CHARS};
pub use error::Error;
pub use history::{
    Config, History, HistoryStats, Listener, Notification, RecordError, RecordedEvent, StoredEvent, Tasks,
};
pub use index::{Address, Location};
pub use query::{Filter, Order, Query};
pub use rows::{Row, Rows};
pub use timestamp::TimestampWriter;
