//! The index is the database that stores events: one SQLite file, or a PostgreSQL database, with the same tables and
//! the same behaviour. If the database cannot be opened, events are kept in memory, in SQLite's tables, until it can be
//! opened.
//!
//! The tables hold events in the order of time and id. Events are read block by block. Each block begins after the
//! key (time and id) of the previous block's last row, so that a slow reader holds neither a transaction nor a connection.
//! Which events to store, and who reads them, does not belong here.

mod block;
#[cfg_attr(not(feature = "postgres"), path = "postgres_absent.rs")]
mod postgres;
mod private;
mod retention;
mod sql;
mod sqlite;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Error;
use crate::entry::{Entry, Key};
use crate::query::Query;

pub(crate) use block::{Block, BlockLimit, BlockSize};
pub use postgres::Address;
use postgres::Postgres;
pub(crate) use retention::{Aged, Pruned, Retention};
use sql::Select;
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

    /// Reads a block of the rows that `query` selects, beginning after the key `after`.
    pub(crate) async fn read(
        &self,
        query: &Query,
        after: Option<Key>,
        limit: BlockLimit,
    ) -> Result<Block, Error> {
        self.select(|placeholder| Select::new(query, after, limit.rows, placeholder), limit).await
    }

    /// Reads a block of events with ids above `id`, in the order of ids.
    pub(crate) async fn after_id(&self, id: i64, limit: BlockLimit) -> Result<Block, Error> {
        self.select(|placeholder| Select::after_id(id, limit.rows, placeholder), limit).await
    }

    /// Reads a block of the rows that `select` returns. The argument of `select` is the character before the number of
    /// an SQL parameter.
    async fn select(&self, select: impl FnOnce(char) -> Select, limit: BlockLimit) -> Result<Block, Error> {
        match self {
            Self::Sqlite(sqlite) => sqlite.read(select('?'), limit).await,
            Self::Postgres(postgres) => postgres.read(select('$'), limit).await,
        }
    }
}
