//! The index (the database of events) in PostgreSQL.
//!
//! One connection writes, and holds the lock that keeps other Framecast servers out. A few other connections read, one
//! block at a time, and are opened when needed. All connections run on threads of their own, so that decoding rows
//! delays nothing else in the server. A connection that failed is dropped, and the next call opens a new one. The
//! caller decides which calls to retry.

mod address;
mod certificate_hash;
mod connection;
mod encryption;
mod retain;
mod tls;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use framecast_media::lock;
use futures_util::TryStreamExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement, Transaction};
use tokio_util::sync::CancellationToken;

use super::block::DbRow;
use super::sql::{self, Select, SqlValue};
use super::{
    Block, BlockLimit, IdClaim, IndexState, Pruned, Retention, ShiftProgress, TimeCorrection, VERSION,
};
use crate::Error;
use crate::entry::Entry;

pub use address::Address;

/// The maximum number of connections that read at the same time.
const READERS: usize = 4;

/// The maximum number of prepared statements of a connection.
const MAX_STATEMENTS: usize = 32;

/// The number of threads that run all connections to the database.
const THREADS: usize = 2;

/// The niceness of the threads that run the connections, so that pictures come first. The threads that read from SQLite
/// have the same niceness.
const NICENESS: i32 = 10;

/// The time limit of a call to the database. If a call takes longer, it fails and its connection is dropped. Reading a
/// block, or writing a batch of events, normally takes milliseconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The time limit of migrating the tables to a newer version. The migration counts the events of the kind `mark`, of
/// which there can be millions.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(600);

/// How long to wait for the lock on the database. A Framecast server that was killed can still hold it for a while.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The key of the advisory lock that a Framecast server holds in its database while it runs: "Framcast" as bytes.
const LOCK: i64 = 0x4672_616d_6361_7374;

/// The maximum number of event ids that the database can have reserved without this process knowing. That happens if a
/// batch was committed but PostgreSQL's confirmation was lost.
const MAX_UNCONFIRMED_IDS: i64 = 20_000;

/// The SQL that creates the tables of version 1: those of SQLite, with PostgreSQL's types and in a separate schema.
const TABLES: &str = "
CREATE TABLE events (
    at bigint NOT NULL,
    id bigint NOT NULL,
    kind text NOT NULL,
    camera text,
    text text,
    count bigint,
    PRIMARY KEY (at, id)
);
CREATE UNIQUE INDEX events_id ON events (id);
CREATE INDEX events_kind ON events (kind, at, id);
CREATE INDEX events_camera ON events (camera, kind, at, id) WHERE camera IS NOT NULL;
CREATE TABLE state (key text PRIMARY KEY, value bigint NOT NULL);
INSERT INTO state VALUES ('reserved', 0), ('rows', 0), ('pruned', 0);
UPDATE version SET number = 1;
";

/// The SQL that changes tables of version 1 to version 2. See the constant of the same name for SQLite.
const TABLES_2: &str = "
INSERT INTO state SELECT 'marks', count(*) FROM events WHERE kind = 'mark';
INSERT INTO state VALUES ('untold', 0);
CREATE TABLE shifts (
    first bigint PRIMARY KEY,
    last bigint NOT NULL,
    by_ms bigint NOT NULL,
    seen_ms bigint NOT NULL
);
";

/// The SQL that changes tables of version 2 to version 3. See the constant of the same name for SQLite.
const TABLES_3: &str = "
INSERT INTO state VALUES ('believed', 0);
UPDATE version SET number = 3;
";

/// An open PostgreSQL database, with its connections.
#[derive(Debug)]
pub(crate) struct Postgres {
    shared: Arc<PostgresShared>,
    /// The Tokio runtime whose threads run the connections. `None` only while this value is being dropped: `drop` takes
    /// the runtime out so as not to wait for it.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct PostgresShared {
    address: Address,
    writer: tokio::sync::Mutex<Option<Client>>,
    readers: Mutex<Vec<Reader>>,
    reader_permits: Semaphore,
    /// The last event id that this process knows to have reserved in the database.
    reserved: AtomicI64,
}

/// A connection that reads from the database, with its prepared statements.
#[derive(Debug)]
struct Reader {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl Postgres {
    pub(super) async fn open(address: Address, claim: IdClaim) -> Result<(Self, IndexState), Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("history-postgres")
            .on_thread_start(|| {
                // If the system does not allow it, reads run at normal priority.
                rustix::process::setpriority_process(None, NICENESS).ok();
            })
            .enable_all()
            .build()
            .map_err(|source| Error::Thread { source })?;
        let shared = Arc::new(PostgresShared {
            address,
            writer: tokio::sync::Mutex::default(),
            readers: Mutex::default(),
            reader_permits: Semaphore::new(READERS),
            reserved: AtomicI64::new(0),
        });
        let postgres = Self { shared, runtime: Some(runtime) };
        let found = postgres
            .run(move |shared| async move {
                let (client, found) = shared.open_writer(claim).await?;
                shared.reserved.store(found.reserved + claim.count, Ordering::Relaxed);
                *shared.writer.lock().await = Some(client);
                Ok(found)
            })
            .await?;
        Ok((postgres, found))
    }

    /// Runs `work` on the threads that run the connections, and returns the result.
    async fn run<T, W>(&self, work: impl FnOnce(Arc<PostgresShared>) -> W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let runtime = self.runtime.as_ref().ok_or(Error::Closed)?;
        let task = runtime.spawn(work(Arc::clone(&self.shared)));
        task.await.unwrap_or(Err(Error::Closed))
    }

    pub(super) async fn write(&self, batch: Vec<Arc<Entry>>, reserved: i64) -> Result<(), Error> {
        self.run(move |shared| async move {
            shared.with_writer(async |transaction| write(transaction, &batch, reserved).await).await?;
            shared.reserved.fetch_max(reserved, Ordering::Relaxed);
            Ok(())
        })
        .await
    }

    pub(super) async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        self.run(move |shared| async move {
            shared.with_writer(async |transaction| retain::prune(transaction, retention).await).await
        })
        .await
    }

    /// Stores the time corrections `shifts`, which are still to be applied to events, in place of all corrections in
    /// the database. Adds `unreported` to the number of events that were removed for their age and not reported yet.
    pub(super) async fn plan(&self, shifts: Vec<TimeCorrection>, unreported: i64) -> Result<(), Error> {
        self.run(move |shared| async move {
            let plan = async |transaction: &Transaction<'_>| {
                retain::plan(transaction, &shifts).await?;
                add(transaction, "untold", unreported).await
            };
            shared.with_writer(plan).await
        })
        .await
    }

    pub(super) async fn apply_shifts(&self) -> Result<ShiftProgress, Error> {
        self.run(|shared| async move {
            shared.with_writer(async |transaction| retain::apply_shifts(transaction).await).await
        })
        .await
    }

    pub(super) async fn read(&self, select: Select, limit: BlockLimit) -> Result<Block, Error> {
        // The caller might stop to poll its future, because the client of its table pauses. So the caller must not wait
        // for the permit, which it would then hold without using it. If the caller drops its future, the wait ends. A
        // read that has started runs to the end of its block.
        let left = CancellationToken::new();
        let _left_on_drop = left.clone().drop_guard();
        self.run(move |shared| async move {
            let permit =
                left.run_until_cancelled(timeout(CALL_TIMEOUT, shared.reader_permits.acquire())).await;
            let permit = permit.ok_or(Error::Closed)?.map_err(|_| shared.timed_out(CALL_TIMEOUT))?;
            let _permit = permit.map_err(|_| Error::Closed)?;
            shared.read(&select, limit).await
        })
        .await
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl PostgresShared {
    fn failed(&self, source: tokio_postgres::Error) -> Error {
        Error::Postgres { place: self.address.to_string(), source }
    }

    /// Returns the result of `call`, or an error if `call` takes longer than [`CALL_TIMEOUT`].
    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        self.within(CALL_TIMEOUT, call).await
    }

    /// Returns the result of `call`, or an error if `call` takes longer than `limit`.
    async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        match timeout(limit, call).await {
            Ok(result) => result.map_err(|source| self.failed(source)),
            Err(_) => Err(self.timed_out(limit)),
        }
    }

    fn timed_out(&self, limit: Duration) -> Error {
        Error::Timeout { place: self.address.to_string(), seconds: limit.as_secs() }
    }

    async fn connect(&self) -> Result<Client, Error> {
        let connector = self.address.connector()?;
        let connecting = async {
            let client = connection::connect(&self.address.config(), connector).await?;
            // A mark that is acknowledged is on the disk, whatever the default of this account is.
            client.batch_execute("SET search_path TO framecast; SET synchronous_commit TO on").await?;
            Ok(client)
        };
        self.in_time(connecting).await
    }

    /// Opens the connection that writes, takes the lock that keeps other Framecast servers out, and creates or migrates
    /// the tables. Returns the connection, and what the database contains.
    async fn open_writer(&self, claim: IdClaim) -> Result<(Client, IndexState), Error> {
        let mut client = self.connect().await?;
        self.lock(&client).await?;
        let encoding = self.in_time(client.query_one("SHOW server_encoding", &[])).await?;
        if encoding.get::<_, &str>(0) != "UTF8" {
            let encoding = encoding.get(0);
            return Err(Error::Encoding { place: self.address.to_string(), encoding });
        }
        let found_version = self.in_time(version(&client)).await?;
        if found_version > VERSION {
            let place = self.address.to_string();
            return Err(Error::Newer { place, found: found_version, known: VERSION });
        }
        let opening = async {
            let transaction = client.transaction().await?;
            if found_version < 1 {
                transaction.batch_execute(TABLES).await?;
            }
            if found_version < 2 {
                transaction.batch_execute(TABLES_2).await?;
            }
            if found_version < 3 {
                transaction.batch_execute(TABLES_3).await?;
            }
            let found = claim_ids(&transaction, claim).await?;
            transaction.commit().await?;
            Ok(found)
        };
        let limit = if found_version < VERSION { MIGRATION_TIMEOUT } else { CALL_TIMEOUT };
        let found = self.within(limit, opening).await?;
        Ok((client, found))
    }

    async fn lock(&self, client: &Client) -> Result<(), Error> {
        let trying = async {
            loop {
                let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]);
                if self.in_time(row).await?.get(0) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let locked = timeout(LOCK_TIMEOUT, trying).await;
        locked.unwrap_or_else(|_| Err(Error::Locked { place: self.address.to_string() }))
    }

    /// Opens a new connection that writes, and takes the lock that keeps other Framecast servers out. Fails if another
    /// server took the lock after the last connection was lost, because that server would have assigned ids that this
    /// process had reserved.
    async fn connect_again(&self) -> Result<Client, Error> {
        let client = self.connect().await?;
        self.lock(&client).await?;
        let text = "SELECT value FROM state WHERE key = 'reserved'";
        let reserved: i64 = self.in_time(client.query_one(text, &[])).await?.get(0);
        // A batch whose commit was not confirmed has reserved more ids, but at most `MAX_UNCONFIRMED_IDS`.
        if reserved > self.reserved.load(Ordering::Relaxed) + MAX_UNCONFIRMED_IDS {
            return Err(Error::Locked { place: self.address.to_string() });
        }
        Ok(client)
    }

    /// Runs `work` in a transaction of the connection that writes, and returns the result. Drops the connection after
    /// an error.
    async fn with_writer<T>(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Error> {
        let mut writer = self.writer.lock().await;
        let mut client = match writer.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.connect_again().await?,
        };
        let working = async {
            let transaction = client.transaction().await?;
            let result = work(&transaction).await?;
            transaction.commit().await?;
            Ok(result)
        };
        let result = self.in_time(working).await?;
        *writer = Some(client);
        Ok(result)
    }

    async fn read(&self, select: &Select, limit: BlockLimit) -> Result<Block, Error> {
        loop {
            let kept = lock(&self.readers).pop();
            let (mut reader, is_kept) = match kept.filter(|reader| !reader.client.is_closed()) {
                Some(reader) => (reader, true),
                None => (Reader { client: self.connect().await?, statements: HashMap::new() }, false),
            };
            let mut block = Block::new(limit);
            match self.in_time(reader.read(select, &mut block)).await {
                Ok(()) => {
                    lock(&self.readers).push(reader);
                    return Ok(block.finished());
                }
                // A pooled connection might have ended because the server was restarted. Try a new connection.
                Err(error) if is_kept && block.is_untouched() && error.is_transient() => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Returns the version of the database tables; 0 if they do not exist yet.
async fn version(client: &Client) -> Result<i64, tokio_postgres::Error> {
    // Check first: `CREATE SCHEMA` needs a permission even if the schema exists.
    let there = client.query_one("SELECT to_regclass('framecast.version') IS NOT NULL", &[]).await?;
    if !there.get::<_, bool>(0) {
        client
            .batch_execute(
                "CREATE SCHEMA IF NOT EXISTS framecast;
                 CREATE TABLE version (number bigint NOT NULL);
                 INSERT INTO version VALUES (0)",
            )
            .await?;
    }
    Ok(client.query_one("SELECT number FROM version", &[]).await?.get(0))
}

/// Reserves the event ids that `claim` asks for, and returns what the database contains at the start of this run.
async fn claim_ids(
    transaction: &Transaction<'_>,
    claim: IdClaim,
) -> Result<IndexState, tokio_postgres::Error> {
    let text =
        "SELECT greatest((SELECT value FROM state WHERE key = 'reserved'), (SELECT max(id) FROM events), $1)";
    let reserved: i64 = transaction.query_one(text, &[&claim.above]).await?.get(0);
    set_reserved(transaction, reserved + claim.count).await?;
    let (pruned, unreported) = (get(transaction, "pruned").await?, get(transaction, "untold").await?);
    transaction.execute(sql::INIT_TRUSTED_CLOCK, &[]).await?;
    let trusted_ms = Some(get(transaction, "believed").await?).filter(|at_ms| *at_ms > 0);
    let reported_ms = transaction.query_one(sql::LAST_REPORT, &[]).await?.get(0);
    let shifts = retain::shifts(transaction).await?;
    let rows = transaction.query(sql::CAMERAS, &[]).await?;
    let cameras = rows.iter().map(|row| row.get(0)).collect();
    Ok(IndexState { reserved, pruned, cameras, trusted_ms, unreported, reported_ms, shifts })
}

async fn get(transaction: &Transaction<'_>, key: &str) -> Result<i64, tokio_postgres::Error> {
    Ok(transaction.query_one("SELECT value FROM state WHERE key = $1", &[&key]).await?.get(0))
}

async fn set_reserved(transaction: &Transaction<'_>, reserved: i64) -> Result<(), tokio_postgres::Error> {
    transaction
        .execute("UPDATE state SET value = greatest(value, $1) WHERE key = 'reserved'", &[&reserved])
        .await
        .map(drop)
}

async fn add(transaction: &Transaction<'_>, key: &str, count: i64) -> Result<(), tokio_postgres::Error> {
    let text = "UPDATE state SET value = value + $2 WHERE key = $1";
    transaction.execute(text, &[&key, &count]).await.map(drop)
}

/// Writes the events of `batch` to the database. An event can already be there, because PostgreSQL's confirmation of an
/// earlier attempt was lost. It is then not written twice, since ids are unique.
async fn write(
    transaction: &Transaction<'_>,
    batch: &[Arc<Entry>],
    reserved: i64,
) -> Result<(), tokio_postgres::Error> {
    let at: Vec<i64> = batch.iter().map(|entry| entry.at_ms).collect();
    let id: Vec<i64> = batch.iter().map(|entry| entry.id).collect();
    let kind: Vec<&str> = batch.iter().map(|entry| entry.kind.as_str()).collect();
    let camera: Vec<Option<&str>> = batch.iter().map(|entry| entry.camera.as_deref()).collect();
    let texts: Vec<Option<&str>> = batch.iter().map(|entry| entry.text.as_deref()).collect();
    let count: Vec<Option<i64>> = batch.iter().map(|entry| entry.count).collect();
    let text = "WITH written AS (
            INSERT INTO events (at, id, kind, camera, text, count)
            SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[])
            ON CONFLICT DO NOTHING RETURNING kind, count
        ) SELECT count(*), count(*) FILTER (WHERE kind = 'mark'),
            coalesce(sum(count) FILTER (WHERE kind = 'pruned'), 0)::bigint FROM written";
    let written = transaction.query_one(text, &[&at, &id, &kind, &camera, &texts, &count]).await?;
    add(transaction, "rows", written.get(0)).await?;
    add(transaction, "marks", written.get(1)).await?;
    add(transaction, "untold", -written.get::<_, i64>(2)).await?;
    set_reserved(transaction, reserved).await
}

impl Reader {
    /// Reads the rows that `select` returns into `block`, until the block is full.
    async fn read(&mut self, select: &Select, block: &mut Block) -> Result<(), tokio_postgres::Error> {
        let values = select.values.iter().map(|value| match value {
            SqlValue::Integer(number) => number as &(dyn ToSql + Sync),
            SqlValue::Text(text) => text as &(dyn ToSql + Sync),
        });
        let values: Vec<&(dyn ToSql + Sync)> = values.collect();
        let statement = self.statement(&select.text).await?;
        let mut rows = pin!(self.client.query_raw(&statement, values).await?);
        while let Some(row) = rows.try_next().await? {
            let row = DbRow {
                at_ms: row.try_get(0)?,
                id: row.try_get(1)?,
                kind: row.try_get(2)?,
                camera: row.try_get(3)?,
                text: row.try_get(4)?,
                count: row.try_get(5)?,
            };
            if block.push(&row).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Returns the prepared statement for the SQL `text`. The statement is prepared only once, because all blocks of a
    /// query have the same SQL.
    async fn statement(&mut self, text: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.get(text) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(text).await?;
        if self.statements.len() >= MAX_STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(text.to_owned(), statement.clone());
        Ok(statement)
    }
}
