//! The index is the database that stores events: one SQLite file, or a PostgreSQL database, with the same tables and
//! the same behaviour. If the database cannot be opened, events are kept in memory, in SQLite's tables, until it can be
//! opened.
//!
//! The tables hold events in the order of time and id. Events are read page by page. Each page begins after the key
//! (time and id) of the previous page's last row, so that a slow reader holds neither a transaction nor a connection.
//! Which events to store, and who reads them, does not belong here.

mod postgres;
mod private;
mod retention;
mod sql;
mod sqlite;

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use framecast_hub::EventKind;

use crate::Error;
use crate::entry::{Entry, EntryRef, Key};
use crate::query::Query;

pub use postgres::Address;
use postgres::Postgres;
pub(crate) use retention::{Aged, Pruned, Retention};
use sqlite::Sqlite;

/// The version of the database tables that this program uses. Tables of an older version are converted to this one.
const VERSION: i64 = 3;

/// The maximum number of events whose times are corrected in one transaction. The limit keeps writes from waiting long.
const SHIFT_ROWS: i64 = 5_000;

/// Where events are stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Location {
    /// A SQLite file, created if it does not exist.
    File(PathBuf),
    /// A PostgreSQL database.
    Postgres(Address),
    /// Memory only, at most 16 MiB. New events evict the oldest events, and all events are lost when the process ends.
    Memory,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(address) => address.fmt(f),
            Self::Memory => f.write_str("memory"),
        }
    }
}

/// Receives the rows of events as they are read from the database.
pub(crate) trait EntrySink: Send + 'static {
    /// Receives one row. Returns `Break` to end the page: then no more rows are passed.
    fn take(&mut self, entry: &EntryRef<'_>) -> ControlFlow<()>;
}

/// Collects events until their total size reaches `max_bytes`. Collects at least one event.
#[derive(Debug, Default)]
pub(crate) struct EntryBuffer {
    pub(crate) entries: Vec<Entry>,
    max_bytes: usize,
    bytes: usize,
}

impl EntryBuffer {
    pub(crate) fn up_to(max_bytes: usize) -> Self {
        Self { max_bytes, ..Self::default() }
    }
}

impl EntrySink for EntryBuffer {
    fn take(&mut self, entry: &EntryRef<'_>) -> ControlFlow<()> {
        let entry = entry.to_entry();
        self.bytes += entry.size_bytes();
        self.entries.push(entry);
        if self.bytes < self.max_bytes { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Where a page, the rows that were read at once, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageEnd {
    /// The key (time and id) of the last row that was read; `None` if no row was read.
    pub(crate) last: Option<Key>,
    /// Whether no more rows follow this page.
    pub(crate) is_end: bool,
}

/// A request to reserve a range of event ids in the database, which a history makes at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdClaim {
    /// All reserved ids must be higher than this id.
    pub(crate) above: i64,
    /// The number of ids to reserve.
    pub(crate) count: i64,
}

impl IdClaim {
    /// Creates a request to reserve `count` ids, all above a thousand times the number of seconds since 1970. So the
    /// ids are higher than those that clients remember from an older database, which the current one might have
    /// replaced. Numbers of this size are exact even in programs that store integers as floats.
    pub(crate) fn now(count: i64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { above: i64::try_from(since.as_secs()).unwrap_or(0).saturating_mul(1000), count }
    }
}

/// What the database contained when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IndexState {
    /// This run of the server assigns only event ids above this one, because earlier runs might have assigned any id up
    /// to it.
    pub(crate) reserved: i64,
    /// The highest id of all events that were ever removed from the database.
    pub(crate) pruned: i64,
    /// The names of all cameras that have stored events.
    pub(crate) cameras: Vec<String>,
    /// The last time at which the server trusted the wall clock to be right, in milliseconds since 1970. If the
    /// database has no such time yet, the time of the newest stored event; `None` if there is no event either.
    pub(crate) trusted_ms: Option<i64>,
    /// How many events were removed for their age and not reported yet by an event of the history.
    pub(crate) unreported: i64,
    /// The time of the newest stored event that reports how many events were removed for their age, in milliseconds
    /// since 1970. `None` if there is no such event.
    pub(crate) reported_ms: Option<i64>,
    /// The time corrections that are still to be applied to stored events.
    pub(crate) shifts: Vec<TimeCorrection>,
}

impl IndexState {
    /// Returns how many events were removed for their age and not reported yet by an event of the history.
    pub(crate) fn unreported(&self) -> u64 {
        u64::try_from(self.unreported).unwrap_or(0)
    }
}

/// A time correction: a range of event ids, and how to change the times of these events, because a wrong clock stamped
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeCorrection {
    /// The id of the first event to correct.
    pub(crate) first: i64,
    /// The id of the last event to correct.
    pub(crate) last: i64,
    /// How much to add to the time of each event, in milliseconds.
    pub(crate) by_ms: i64,
    /// The time that the wall clock showed just after somebody last set it, in milliseconds since 1970. The server
    /// assumes that this setting of the clock is right.
    pub(crate) seen_ms: i64,
}

impl TimeCorrection {
    /// Returns the corrected time of the event with the id `id`, whose time was `at_ms` so far. Returns `None` if this
    /// correction does not apply to the event.
    pub(crate) fn moved(&self, id: i64, at_ms: i64) -> Option<i64> {
        (self.first..=self.last).contains(&id).then(|| at_ms.saturating_add(self.by_ms).max(0))
    }
}

/// The events that were removed from an index in memory to make room for new events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Evicted {
    pub(crate) rows: u64,
    /// The number of removed events that are lost, because they are not in a database either.
    pub(crate) lost: u64,
    /// The highest id of the removed events; 0 if none were removed.
    pub(crate) up_to: i64,
}

/// The result of one step of applying time corrections to stored events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShiftProgress {
    /// The number of events whose times were changed in this step.
    pub(crate) moved: u64,
    /// Whether all time corrections have been applied.
    pub(crate) is_done: bool,
}

/// The database that stores the events: SQLite or PostgreSQL. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Index {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

impl Index {
    /// Opens the database so that no other process can use it to store events, and creates or migrates its tables. Also
    /// reserves the event ids that `claim` asks for, above all ids that were assigned before.
    pub(crate) async fn open(location: &Location, claim: IdClaim) -> Result<(Self, IndexState), Error> {
        match location {
            Location::File(path) => {
                let (sqlite, found) = Sqlite::open(path.clone(), claim).await?;
                Ok((Self::Sqlite(Arc::new(sqlite)), found))
            }
            Location::Postgres(address) => {
                let (postgres, found) = Postgres::open(address.clone(), claim).await?;
                Ok((Self::Postgres(Arc::new(postgres)), found))
            }
            Location::Memory => {
                let (sqlite, found) = Sqlite::open_in_memory(claim)?;
                Ok((Self::Sqlite(Arc::new(sqlite)), found))
            }
        }
    }

    /// Stores all events of `batch`, or none if the write fails. Events that are already stored stay unchanged. Also
    /// reserves the ids up to `reserved`, so that no later run of the server assigns them. An index in memory can
    /// remove old events to make room for the batch. Events with ids up to `relocated_up_to` are then not lost, because
    /// they are also in the database that replaces the index in memory.
    pub(crate) async fn write(
        &self,
        batch: Vec<Arc<Entry>>,
        reserved: i64,
        relocated_up_to: i64,
    ) -> Result<Evicted, Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(batch, reserved, relocated_up_to).await,
            Self::Postgres(postgres) => postgres.write(batch, reserved).await.map(|()| Evicted::default()),
        }
    }

    /// Removes some of the events that are too old or too many according to `retention`.
    pub(crate) async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.prune(retention).await,
            Self::Postgres(postgres) => postgres.prune(retention).await,
        }
    }

    /// Stores the time corrections `shifts`, which are still to be applied to events, in place of all corrections
    /// in the database.
    pub(crate) async fn plan(&self, shifts: Vec<TimeCorrection>) -> Result<(), Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.plan(shifts, 0).await,
            Self::Postgres(postgres) => postgres.plan(shifts, 0).await,
        }
    }

    /// Prepares this database to take over from an index in memory, after the events were copied. Replaces the time
    /// corrections in the database by `shifts`, which are still to be applied to events. Adds `unreported` to the
    /// number of events that were removed for their age and not reported yet.
    pub(crate) async fn adopt(&self, shifts: Vec<TimeCorrection>, unreported: u64) -> Result<(), Error> {
        let unreported = i64::try_from(unreported).unwrap_or(i64::MAX);
        match self {
            Self::Sqlite(sqlite) => sqlite.plan(shifts, unreported).await,
            Self::Postgres(postgres) => postgres.plan(shifts, unreported).await,
        }
    }

    /// Applies a part of the time corrections that are stored in the database to the events. The same transaction
    /// removes this part from the stored corrections, so that nothing is applied twice.
    pub(crate) async fn apply_shifts(&self) -> Result<ShiftProgress, Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.apply_shifts().await,
            Self::Postgres(postgres) => postgres.apply_shifts().await,
        }
    }

    /// Reads at most `limit` rows that `query` selects, beginning after the key `after`, and passes each to `sink`.
    /// Returns `sink`, even after an error, with the end of the page. Returns `None` in place of the sink only if the
    /// thread that used the sink was lost.
    pub(crate) async fn fill<S: EntrySink>(
        &self,
        query: &Query,
        after: Option<Key>,
        limit: usize,
        sink: S,
    ) -> (Option<S>, Result<PageEnd, Error>) {
        match self {
            Self::Sqlite(sqlite) => {
                let select = sql::Select::new(query, after, limit, '?');
                sqlite.fill(select, limit, sink).await
            }
            Self::Postgres(postgres) => {
                let select = sql::Select::new(query, after, limit, '$');
                postgres.fill(select, limit, sink).await
            }
        }
    }

    /// Returns at most `limit` events with ids above `id`, in the order of ids, and the id of the last row that was
    /// read. Stops when the total size of the events reaches `max_bytes`, but returns at least one event if there is
    /// one.
    pub(crate) async fn after_id(
        &self,
        id: i64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<(Vec<Entry>, Option<i64>), Error> {
        let sink = EntryBuffer::up_to(max_bytes);
        let (buffer, page_end) = match self {
            Self::Sqlite(sqlite) => sqlite.fill(sql::Select::after_id(id, limit, '?'), limit, sink).await,
            Self::Postgres(postgres) => {
                postgres.fill(sql::Select::after_id(id, limit, '$'), limit, sink).await
            }
        };
        let last = page_end?.last.map(|key| key.id);
        Ok((buffer.unwrap_or_default().entries, last))
    }
}

/// Counts the rows of a page, and remembers the last row, while the page is read.
struct Progress {
    limit: usize,
    rows: usize,
    last: Option<Key>,
    is_broken_off: bool,
}

impl Progress {
    fn new(limit: usize) -> Self {
        Self { limit, rows: 0, last: None, is_broken_off: false }
    }

    /// Passes a row to `sink`. Does not pass a row whose kind of event this program does not know.
    fn give(&mut self, row: DbRow<'_>, sink: &mut impl EntrySink) -> ControlFlow<()> {
        let DbRow { at_ms, id, kind, camera, text, count } = row;
        self.rows += 1;
        self.last = Some(Key { at_ms, id });
        let Some(kind) = EventKind::from_name(kind) else { return ControlFlow::Continue(()) };
        let flow = sink.take(&EntryRef { id, at_ms, kind, camera, text, count });
        self.is_broken_off = flow.is_break();
        flow
    }

    fn page_end(&self) -> PageEnd {
        PageEnd { last: self.last, is_end: self.rows < self.limit && !self.is_broken_off }
    }
}

/// The columns of a row, in the order in which they are selected.
struct DbRow<'a> {
    at_ms: i64,
    id: i64,
    kind: &'a str,
    camera: Option<&'a str>,
    text: Option<&'a str>,
    count: Option<i64>,
}
