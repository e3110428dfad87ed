//! Where events are stored: in one SQLite file, or in a PostgreSQL database, with the same tables and the same
//! behaviour. If the database cannot be opened, events are stored in memory, in SQLite's tables, until it can be.
//!
//! The tables hold events in the order of time and id. Reads go page by page. A page continues after the key (time and
//! id) of the last row, so that a slow reader holds neither a transaction nor a connection. Which events to store, and
//! who reads them, does not belong here.

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

/// The version of the tables. Older tables are migrated to this version.
const VERSION: i64 = 3;

/// The maximum number of events whose times are corrected in one step. The limit keeps writes from waiting long.
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

/// Receives rows as they are read from the database.
pub(crate) trait EntrySink: Send + 'static {
    /// Receives one row. Returns `Break` to receive no more rows for now.
    fn take(&mut self, entry: &EntryRef<'_>) -> ControlFlow<()>;
}

/// Collects events until their total size reaches a limit in bytes. Collects at least one event.
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

/// How far a page reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageEnd {
    /// The key of the page's last row; `None` if the page has no rows.
    pub(crate) last: Option<Key>,
    /// Whether no rows follow the page.
    pub(crate) is_end: bool,
}

/// A request to reserve a range of ids, which a history makes at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdClaim {
    /// All reserved ids must be higher than this id.
    pub(crate) above: i64,
    /// The number of ids to reserve.
    pub(crate) count: i64,
}

impl IdClaim {
    /// Creates a claim of `count` ids that start at a thousand for each second since 1970. So the ids are higher than
    /// those that clients remember from an older database, which the current one might have replaced. Ids of this size
    /// are exact even in programs that store integers as floats.
    pub(crate) fn now(count: i64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { above: i64::try_from(since.as_secs()).unwrap_or(0).saturating_mul(1000), count }
    }
}

/// The state of the index when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IndexState {
    /// The highest id that might have been assigned before.
    pub(crate) reserved: i64,
    /// The highest id of the removed events.
    pub(crate) pruned: i64,
    /// The names of all cameras that have stored events.
    pub(crate) cameras: Vec<String>,
    /// The last trusted time of the wall clock, in milliseconds since 1970. `None` if no clock was ever trusted and no
    /// event is stored.
    pub(crate) trusted_ms: Option<i64>,
    /// The number of removals for age that no event has reported yet.
    pub(crate) unreported: i64,
    /// The time of the newest event that reports removals, in milliseconds since 1970. `None` if there is no such
    /// event.
    pub(crate) reported_ms: Option<i64>,
    /// The pending time corrections.
    pub(crate) shifts: Vec<TimeCorrection>,
}

impl IndexState {
    /// Returns the number of removals for age that no event has reported yet.
    pub(crate) fn unreported(&self) -> u64 {
        u64::try_from(self.unreported).unwrap_or(0)
    }
}

/// A time correction: a range of events whose times must be changed because a wrong clock stamped them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeCorrection {
    /// The id of the first event.
    pub(crate) first: i64,
    /// The id of the last event.
    pub(crate) last: i64,
    /// How much to add to each time, in milliseconds.
    pub(crate) by_ms: i64,
    /// The time on the trusted clock right after it was set, in milliseconds since 1970.
    pub(crate) seen_ms: i64,
}

impl TimeCorrection {
    /// Returns the corrected time of the event `id` with the time `at_ms`. Returns `None` if this correction does not
    /// cover the event.
    pub(crate) fn moved(&self, id: i64, at_ms: i64) -> Option<i64> {
        (self.first..=self.last).contains(&id).then(|| at_ms.saturating_add(self.by_ms).max(0))
    }
}

/// The events that were evicted to make room for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Evicted {
    pub(crate) rows: u64,
    /// The number of evicted events that are stored nowhere else.
    pub(crate) lost: u64,
    /// The highest id of the evicted events; 0 if no event was evicted.
    pub(crate) up_to: i64,
}

/// The result of one step of applying time corrections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShiftProgress {
    /// The number of events whose time was changed in this step.
    pub(crate) moved: u64,
    /// Whether no time correction is pending any more.
    pub(crate) is_done: bool,
}

/// The database with the events. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Index {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

impl Index {
    /// Opens the database for this process alone, and creates or migrates its tables. Also reserves the ids of `claim`,
    /// above all ids that were assigned before.
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

    /// Stores all events of `batch` or none. Events that are already stored stay unchanged. No id up to `reserved` will
    /// be assigned again. An index in memory can evict events to make room for the batch. Events with ids up to
    /// `relocated_up_to` are also stored elsewhere.
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

    /// Removes some of the events that exceed `retention`.
    pub(crate) async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.prune(retention).await,
            Self::Postgres(postgres) => postgres.prune(retention).await,
        }
    }

    /// Stores the time corrections `shifts` until they are applied. Replaces all pending time corrections.
    pub(crate) async fn plan(&self, shifts: Vec<TimeCorrection>) -> Result<(), Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.plan(shifts, 0).await,
            Self::Postgres(postgres) => postgres.plan(shifts, 0).await,
        }
    }

    /// Takes over from another index. Stores the time corrections `shifts` in place of all pending ones, and adds
    /// `unreported` to the number of removals for age that no event has reported yet.
    pub(crate) async fn adopt(&self, shifts: Vec<TimeCorrection>, unreported: u64) -> Result<(), Error> {
        let unreported = i64::try_from(unreported).unwrap_or(i64::MAX);
        match self {
            Self::Sqlite(sqlite) => sqlite.plan(shifts, unreported).await,
            Self::Postgres(postgres) => postgres.plan(shifts, unreported).await,
        }
    }

    /// Applies some of the pending time corrections. A correction that was applied is no longer pending, even if the
    /// call fails later.
    pub(crate) async fn apply_shifts(&self) -> Result<ShiftProgress, Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.apply_shifts().await,
            Self::Postgres(postgres) => postgres.apply_shifts().await,
        }
    }

    /// Gives `sink` at most `limit` rows of `query`, beginning with the row that follows `after`. Returns the sink with
    /// the rows that it received, even after an error. Returns no sink only if the thread that used it was lost.
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

    /// Returns at most `limit` events with ids above `id`, in the order of ids, and the last id that was read. A page
    /// ends when its events have `max_bytes`, but has at least one event.
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

/// Counts the rows of a page while they are read.
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

    /// Gives a row to `sink`. Skips a row whose kind of event this program does not know.
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
