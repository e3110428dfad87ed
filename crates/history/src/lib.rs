//! What happened to cameras and the server: events and the index that keeps them, read by key in pages, told as they
//! happen; and tables that stream, however long.
//!
//! `hub` tells events → [`History`] gives each an id, keeps the newest at hand, and one task writes them to the index in
//! batches → pages, exports and [`Listener`]s read them. HTTP, the configuration and pictures do not belong here, nor
//! what a camera is.

mod clock;
mod edition;
mod entry;
mod error;
mod export;
mod history;
mod index;
mod listener;
mod moment;
pub mod query;
pub mod table;

pub use clock::{Clock, Now, SystemClock};
pub use entry::{Entry, EntryRef, Key, TEXT_CHARS};
pub use error::Error;
pub use export::{Export, Row};
pub use history::{Figures, History, Kept, NotKept, Recorded, Settings, Tasks};
pub use index::{Address, Location};
pub use listener::{Heard, Listener};
pub use moment::Stamp;
pub use query::{BadParameter, Filter, Order, Query, Request};
