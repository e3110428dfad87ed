//! Where events are kept: one SQLite file, or a PostgreSQL database, with the same tables and the same behaviour; or, as
//! long as neither can be had, the memory, with SQLite's tables.
//!
//! Events stand in the order of time and id, and are read by key in pages, so that a slow reader holds neither a
//! transaction nor a connection. Which events come, and who reads them, does not belong here.

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

/// The version of the tables. A migration brings older ones to it.
const VERSION: i64 = 3;

/// How many events are moved to their right time in one go, so that writing never waits long for it.
const SHIFT_ROWS: i64 = 5_000;

/// Where the events are.
#[derive(Debug, Clone, PartialEq)]
pub enum Location {
    /// A file, made where it is not there.
    File(PathBuf),
    /// A PostgreSQL database.
    Postgres(Address),
    /// Nowhere but in memory, 16 MiB at most: the oldest events make room for new ones, and all end with the process.
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

/// Takes rows as they are read.
pub(crate) trait Sink: Send + 'static {
    /// Takes one; `Break` when it wants no more for now.
    fn take(&mut self, entry: &EntryRef<'_>) -> ControlFlow<()>;
}

/// Events that are gathered until they have so many bytes, and one at least.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) entries: Vec<Entry>,
    max_bytes: usize,
    bytes: usize,
}

impl Gathered {
    pub(crate) fn up_to(max_bytes: usize) -> Self {
        Self { max_bytes, ..Self::default() }
    }
}

impl Sink for Gathered {
    fn take(&mut self, entry: &EntryRef<'_>) -> ControlFlow<()> {
        let entry = entry.to_entry();
        self.bytes += entry.weight_bytes();
        self.entries.push(entry);
        if self.bytes < self.max_bytes { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// How far a page went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filled {
    /// The last row that was taken.
    pub(crate) last: Option<Key>,
    /// Whether there is nothing after it.
    pub(crate) is_end: bool,
}

/// The ids that a history takes at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// None is given up to this one.
    pub(crate) above: i64,
    /// How many are taken.
    pub(crate) count: i64,
}

impl Claim {
    /// `count` ids above those that an older database, which this one may have replaced, has come to: clients remember them. A
    /// thousand for each second since 1970; programs that know whole numbers as floating ones can hold them.
    pub(crate) fn now(count: i64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { above: i64::try_from(since.as_secs()).unwrap_or(0).saturating_mul(1000), count }
    }
}

/// What was found at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The highest id that may have been given before.
    pub(crate) reserved: i64,
    /// The highest id of those that were taken away.
    pub(crate) pruned: i64,
    /// The names of all cameras that events are kept of.
    pub(crate) cameras: Vec<String>,
    /// What the clock last showed when age counted by it, in milliseconds since 1970; `None` where it never did and there is no
    /// event.
    pub(crate) believed_ms: Option<i64>,
    /// How many went for their age of which no event tells yet.
    pub(crate) untold: i64,
    /// The time of the newest event that tells of that.
    pub(crate) told_ms: Option<i64>,
    /// Shifts that wait.
    pub(crate) shifts: Vec<Shift>,
}

impl Found {
    /// How many went for their age of which no event tells yet.
    pub(crate) fn untold(&self) -> u64 {
        u64::try_from(self.untold).unwrap_or(0)
    }
}

/// Events whose times are to be moved, because another clock than the right one stamped them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shift {
    /// The first id.
    pub(crate) first: i64,
    /// The last id.
    pub(crate) last: i64,
    /// By how much, in milliseconds.
    pub(crate) by_ms: i64,
    /// What the clock that is taken for the right one showed when it was set.
    pub(crate) seen_ms: i64,
}

impl Shift {
    /// Where an event of the time `at_ms` with this id belongs.
    pub(crate) fn moved(&self, id: i64, at_ms: i64) -> Option<i64> {
        (self.first..=self.last).contains(&id).then(|| at_ms.saturating_add(self.by_ms).max(0))
    }
}

/// Events that had to make room for those of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Displaced {
    pub(crate) rows: u64,
    /// How many of them are not kept elsewhere.
    pub(crate) lost: u64,
    /// The highest of their ids; 0 where there were none.
    pub(crate) up_to: i64,
}

/// What moving events came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shifted {
    /// How many were moved this time.
    pub(crate) moved: u64,
    /// Whether no shift waits any more.
    pub(crate) is_done: bool,
}

/// The events in their database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Index {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

impl Index {
    /// Opens the database, with its tables made or brought up to date, for this process alone. The ids of `claim` are taken at
    /// once, above those that were given before.
    pub(crate) async fn open(location: &Location, claim: Claim) -> Result<(Self, Found), Error> {
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

    /// Keeps `batch`, all of it or nothing; events that are kept already are left as they are. No id up to `reserved` is
    /// given again. In memory others may have to make room for it; those up to the id `brought` are kept elsewhere.
    pub(crate) async fn write(
        &self,
        batch: Vec<Arc<Entry>>,
        reserved: i64,
        brought: i64,
    ) -> Result<Displaced, Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(batch, reserved, brought).await,
            Self::Postgres(postgres) => postgres.write(batch, reserved).await.map(|()| Displaced::default()),
        }
    }

    /// Takes some of what is not to be kept away.
    pub(crate) async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.prune(retention).await,
            Self::Postgres(postgres) => postgres.prune(retention).await,
        }
    }

    /// Keeps `shifts`, in place of all that wait, until they are made.
    pub(crate) async fn plan(&self, shifts: Vec<Shift>) -> Result<(), Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.plan(shifts, 0).await,
            Self::Postgres(postgres) => postgres.plan(shifts, 0).await,
        }
    }

    /// Takes over from another index: `shifts` in place of all that wait, and `untold` more events that went for their age of
    /// which no event tells yet.
    pub(crate) async fn adopt(&self, shifts: Vec<Shift>, untold: u64) -> Result<(), Error> {
        let untold = i64::try_from(untold).unwrap_or(i64::MAX);
        match self {
            Self::Sqlite(sqlite) => sqlite.plan(shifts, untold).await,
            Self::Postgres(postgres) => postgres.plan(shifts, untold).await,
        }
    }

    /// Makes some of the shifts that wait. What was made does not wait any more, whatever happens next.
    pub(crate) async fn shift(&self) -> Result<Shifted, Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.shift().await,
            Self::Postgres(postgres) => postgres.shift().await,
        }
    }

    /// Gives `sink` at most `limit` rows of `query` after `after`. The sink comes back with what it took, also after an
    /// error; it is lost only with the thread that read.
    pub(crate) async fn fill<S: Sink>(
        &self,
        query: &Query,
        after: Option<Key>,
        limit: usize,
        sink: S,
    ) -> (Option<S>, Result<Filled, Error>) {
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

    /// At most `limit` events whose id is above `id`, in the order of their ids, and the last id that was looked at. There
    /// are fewer where they have `max_bytes`, but one at least.
    pub(crate) async fn after_id(
        &self,
        id: i64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<(Vec<Entry>, Option<i64>), Error> {
        let sink = Gathered::up_to(max_bytes);
        let (gathered, filled) = match self {
            Self::Sqlite(sqlite) => sqlite.fill(sql::Select::after_id(id, limit, '?'), limit, sink).await,
            Self::Postgres(postgres) => {
                postgres.fill(sql::Select::after_id(id, limit, '$'), limit, sink).await
            }
        };
        let last = filled?.last.map(|key| key.id);
        Ok((gathered.unwrap_or_default().entries, last))
    }
}

/// Counts what a page has given.
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

    /// Gives a row to `sink`; one of a kind that this program does not know is passed over.
    fn give(&mut self, row: Row<'_>, sink: &mut impl Sink) -> ControlFlow<()> {
        let Row { at_ms, id, kind, camera, text, count } = row;
        self.rows += 1;
        self.last = Some(Key { at_ms, id });
        let Some(kind) = EventKind::from_name(kind) else { return ControlFlow::Continue(()) };
        let flow = sink.take(&EntryRef { id, at_ms, kind, camera, text, count });
        self.is_broken_off = flow.is_break();
        flow
    }

    fn filled(&self) -> Filled {
        Filled { last: self.last, is_end: self.rows < self.limit && !self.is_broken_off }
    }
}

/// The columns of a row, in their order.
struct Row<'a> {
    at_ms: i64,
    id: i64,
    kind: &'a str,
    camera: Option<&'a str>,
    text: Option<&'a str>,
    count: Option<i64>,
}
