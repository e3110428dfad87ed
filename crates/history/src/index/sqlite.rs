//! The index in SQLite: in one file, or in memory.
//!
//! For a file, one thread writes and two threads read. Each thread has its own connection and takes jobs from a queue.
//! Each reading job reads one block, so a reader delays the checkpoint of the write-ahead log (WAL) only while it reads
//! a block. The tables are ordered by time and id, so a block is one scan. For an index in memory, one thread does
//! everything, and new events push out the oldest ones.

mod retain;

use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use framecast_hub::EventKind;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use rusqlite::types::{ToSql, ToSqlOutput};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, params, params_from_iter};
use tokio::sync::oneshot;
use tracing::error;

use super::block::DbRow;
use super::sql::{self, Select, SqlValue};
use super::{
    Block, BlockLimit, Evicted, IdClaim, IndexState, Pruned, Retention, ShiftProgress, TimeCorrection,
    VERSION, private,
};
use crate::Error;
use crate::entry::Entry;

/// The application id in the header of the database file, by which Framecast recognises its own files: "Fcst".
const APPLICATION_ID: i64 = 0x4663_7374;

/// The number of threads that read from the database file.
const READERS: usize = 2;

/// How long a write waits for another program that has locked the database file, before the write fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The niceness of the threads that read from the database file. Only people who look at tables wait for these threads,
/// so pictures and new events come first.
const READER_NICENESS: i32 = 10;

/// The size of SQLite's page cache for each connection, in KiB. It holds the upper pages of the trees and those that a
/// batch of events changes. The operating system caches the rest of the file. A larger cache would fill in half an hour,
/// so that the memory of the server would grow for so long.
const CACHE_KIB: i64 = 128;

/// The SQL that creates the tables of version 1. The table `events` is stored in the order of time and id, in which it
/// is read. Each of its indexes has this order within a camera and kind.
const TABLES: &str = "
CREATE TABLE events (
    at INTEGER NOT NULL,
    id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    camera TEXT,
    text TEXT,
    count INTEGER,
    PRIMARY KEY (at, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX events_id ON events (id);
CREATE INDEX events_kind ON events (kind, at, id);
CREATE INDEX events_camera ON events (camera, kind, at, id) WHERE camera IS NOT NULL;
CREATE TABLE state (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO state VALUES ('reserved', 0), ('rows', 0), ('pruned', 0);
";

/// The SQL that changes tables of version 1 to version 2. It adds the number of events of the kind `mark`, the number
/// of events that were removed for their age and not reported yet, and the time corrections that are still to be
/// applied.
const TABLES_2: &str = "
INSERT INTO state SELECT 'marks', count(*) FROM events WHERE kind = 'mark';
INSERT INTO state VALUES ('untold', 0);
CREATE TABLE shifts (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    by_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL
);
";

/// The SQL that changes tables of version 2 to version 3. It adds the last time at which the server trusted the wall
/// clock.
const TABLES_3: &str = "INSERT INTO state VALUES ('believed', 0);";

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// An open SQLite database, in a file or in memory.
#[derive(Debug)]
pub(crate) struct Sqlite {
    path: PathBuf,
    writer: Worker,
    /// The threads that read; `None` for a database in memory, where the writing thread reads too.
    readers: Option<Worker>,
    /// The lock that keeps other Framecast servers from using the database file while this one has it open.
    _lock: Option<File>,
}

impl Sqlite {
    pub(super) async fn open(path: PathBuf, claim: IdClaim) -> Result<(Self, IndexState), Error> {
        let opening = tokio::task::spawn_blocking(move || Self::open_blocking(path, claim));
        opening.await.unwrap_or(Err(Error::Closed))
    }

    fn open_blocking(path: PathBuf, claim: IdClaim) -> Result<(Self, IndexState), Error> {
        if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
            private::make_folder(folder).map_err(|source| unwritable(&path, source))?;
        }
        let lock = lock(&path)?;
        // SQLite gives its log the permissions of the file. If the file cannot be created here, SQLite's error below is
        // clearer.
        private::open_file(&path).ok();
        let failed = |source| failed(&path, source);
        let mut connection = connect(&path, false).map_err(failed)?;
        check(&path, &connection)?;
        migrate(&mut connection).map_err(failed)?;
        let found = claim_ids(&mut connection, claim).map_err(failed)?;
        let mut readers = Vec::new();
        for _ in 0..READERS {
            readers.push(connect(&path, true).map_err(failed)?);
        }
        let writer = Worker::start("history-write", vec![connection], 0)?;
        let readers = Worker::start("history-read", readers, READER_NICENESS)?;
        Ok((Self { path, writer, readers: Some(readers), _lock: Some(lock) }, found))
    }

    pub(super) fn open_in_memory(claim: IdClaim) -> Result<(Self, IndexState), Error> {
        // There is no file to name in an error.
        let path = PathBuf::from("memory");
        let failed = |source| failed(&path, source);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_in_memory_with_flags(flags).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        migrate(&mut connection).map_err(failed)?;
        let found = claim_ids(&mut connection, claim).map_err(failed)?;
        let writer = Worker::start("history-memory", vec![connection], 0)?;
        Ok((Self { path, writer, readers: None, _lock: None }, found))
    }

    pub(super) async fn write(
        &self,
        batch: Vec<Arc<Entry>>,
        reserved: i64,
        relocated_up_to: i64,
    ) -> Result<Evicted, Error> {
        let is_in_memory = self.readers.is_none();
        let written = self.writer.run(move |connection| {
            let transaction = connection.transaction()?;
            insert(&transaction, &batch)?;
            set(&transaction, "reserved", reserved)?;
            let evicted =
                if is_in_memory { retain::evict(&transaction, relocated_up_to)? } else { Evicted::default() };
            transaction.commit()?;
            Ok(evicted)
        });
        self.map_error(written.await)
    }

    pub(super) async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        let pruned = self.writer.run(move |connection| {
            let transaction = connection.transaction()?;
            let pruned = retain::prune(&transaction, retention)?;
            transaction.commit()?;
            Ok(pruned)
        });
        self.map_error(pruned.await)
    }

    /// Stores the time corrections `shifts`, which are still to be applied to events, in place of all corrections in
    /// the database. Adds `unreported` to the number of events that were removed for their age and not reported yet.
    pub(super) async fn plan(&self, shifts: Vec<TimeCorrection>, unreported: i64) -> Result<(), Error> {
        let planned = self.writer.run(move |connection| {
            let transaction = connection.transaction()?;
            retain::plan(&transaction, &shifts)?;
            add(&transaction, "untold", unreported)?;
            transaction.commit()
        });
        self.map_error(planned.await)
    }

    pub(super) async fn apply_shifts(&self) -> Result<ShiftProgress, Error> {
        let shifted = self.writer.run(|connection| {
            let transaction = connection.transaction()?;
            let shifted = retain::apply_shifts(&transaction)?;
            transaction.commit()?;
            Ok(shifted)
        });
        self.map_error(shifted.await)
    }

    pub(super) async fn read(&self, select: Select, limit: BlockLimit) -> Result<Block, Error> {
        let readers = self.readers.as_ref().unwrap_or(&self.writer);
        self.map_error(readers.run(move |connection| read(connection, &select, limit)).await)
    }

    fn map_error<T>(&self, result: Result<T, rusqlite::Error>) -> Result<T, Error> {
        result.map_err(|source| failed(&self.path, source))
    }
}

/// Threads that take database jobs from one queue. Each thread has its own connection.
#[derive(Debug)]
struct Worker(Option<mpsc::Sender<Job>>, Vec<thread::JoinHandle<()>>);

impl Worker {
    fn start(name: &str, connections: Vec<Connection>, niceness: i32) -> Result<Self, Error> {
        let (sender, jobs) = mpsc::channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        let mut threads = Vec::new();
        for mut connection in connections {
            let jobs = Arc::clone(&jobs);
            let work = move || {
                if niceness != 0 {
                    // If the system does not allow it, reads run at normal priority.
                    rustix::process::setpriority_process(None, niceness).ok();
                }
                loop {
                    let job = framecast_media::lock(&jobs).recv();
                    let Ok(job) = job else { break };
                    // If a job panics, its caller gets an error, and the thread continues with the next job.
                    if catch_unwind(AssertUnwindSafe(|| job(&mut connection))).is_err() {
                        error!("a history database task panicked");
                    }
                }
            };
            let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
            threads.push(spawned.map_err(|source| Error::Thread { source })?);
        }
        Ok(Self(Some(sender), threads))
    }

    /// Runs `work` on the connection of one of the threads, and returns the result. If the caller drops the future
    /// before a thread begins the job, `work` does not run.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        let (sender, done) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            if !sender.is_closed() {
                // The caller might have dropped its future meanwhile.
                sender.send(work(connection)).ok();
            }
        });
        let gone = || rusqlite::Error::InvalidQuery;
        self.0.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)?;
        done.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Waits for the threads to finish their current jobs, so that the file is complete and closed afterwards.
impl Drop for Worker {
    fn drop(&mut self) {
        self.0 = None;
        for thread in self.1.drain(..) {
            // The panic of a thread has been logged already.
            thread.join().ok();
        }
    }
}

/// Locks the database file for this process, because two servers that write to one file would assign the same event
/// ids. The lock is on a separate lock file, since SQLite's own locks last only for a transaction.
fn lock(path: &Path) -> Result<File, Error> {
    let unwritable = |source| unwritable(path, source);
    // Resolve links, so that the lock is the same for every name of the file.
    let real = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(_) => {
            let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
            fs::canonicalize(folder).map_err(unwritable)?.join(path.file_name().unwrap_or_default())
        }
    };
    let mut name = real.into_os_string();
    name.push(".lock");
    let file = private::open_file(Path::new(&name)).map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { place: path.display().to_string() }),
        Err(TryLockError::Error(source)) => Err(unwritable(source)),
    }
}

fn connect(path: &Path, is_reader: bool) -> rusqlite::Result<Connection> {
    let access = if is_reader {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
    };
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    configure(&connection)?;
    Ok(connection)
}

/// Limits the memory of a connection. Also stops the connection from creating temporary files, which would need a
/// writable folder.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{CACHE_KIB};"))
}

/// Checks that Framecast created the database file, and that its version is not newer than this program supports.
fn check(path: &Path, connection: &Connection) -> Result<(), Error> {
    let number = |text: &str| {
        connection.query_row(text, [], |row| row.get::<_, i64>(0)).map_err(|source| failed(path, source))
    };
    let (application, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(Error::NotOurs { path: path.to_owned() });
    }
    if version > VERSION {
        let place = path.display().to_string();
        return Err(Error::Newer { place, found: version, known: VERSION });
    }
    Ok(())
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    // Checkpoint after about 4 MiB of log. Events that are acknowledged are on the disk.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216;",
    )?;
    let transaction = connection.transaction()?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version < 1 {
        transaction.execute_batch(TABLES)?;
        transaction.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}"))?;
    }
    if version < 2 {
        transaction.execute_batch(TABLES_2)?;
    }
    if version < 3 {
        transaction.execute_batch(TABLES_3)?;
        transaction.execute_batch(&format!("PRAGMA user_version = {VERSION}"))?;
    }
    transaction.commit()
}

/// Reserves the event ids that `claim` asks for, and returns what the database contains at the start of this run.
fn claim_ids(connection: &mut Connection, claim: IdClaim) -> rusqlite::Result<IndexState> {
    let transaction = connection.transaction()?;
    let highest: Option<i64> = transaction.query_row("SELECT max(id) FROM events", [], |row| row.get(0))?;
    let reserved = get(&transaction, "reserved")?.max(highest.unwrap_or(0)).max(claim.above);
    set(&transaction, "reserved", reserved + claim.count)?;
    let (pruned, unreported) = (get(&transaction, "pruned")?, get(&transaction, "untold")?);
    transaction.execute(sql::INIT_TRUSTED_CLOCK, [])?;
    let trusted_ms = Some(get(&transaction, "believed")?).filter(|at_ms| *at_ms > 0);
    let reported_ms = transaction.query_row(sql::LAST_REPORT, [], |row| row.get(0))?;
    let shifts = retain::shifts(&transaction)?;
    let mut cameras = Vec::new();
    {
        let mut statement = transaction.prepare(sql::CAMERAS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            cameras.push(row.get(0)?);
        }
    }
    transaction.commit()?;
    Ok(IndexState { reserved, pruned, cameras, trusted_ms, unreported, reported_ms, shifts })
}

fn get(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<i64> {
    let mut statement = transaction.prepare_cached("SELECT value FROM state WHERE key = ?1")?;
    statement.query_row([key], |row| row.get(0))
}

fn set(transaction: &Transaction<'_>, key: &str, value: i64) -> rusqlite::Result<()> {
    let mut statement =
        transaction.prepare_cached("UPDATE state SET value = max(value, ?2) WHERE key = ?1")?;
    statement.execute(params![key, value]).map(drop)
}

fn add(transaction: &Transaction<'_>, key: &str, count: i64) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached("UPDATE state SET value = value + ?2 WHERE key = ?1")?;
    statement.execute(params![key, count]).map(drop)
}

fn insert(transaction: &Transaction<'_>, batch: &[Arc<Entry>]) -> rusqlite::Result<()> {
    let text =
        "INSERT OR IGNORE INTO events (at, id, kind, camera, text, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = transaction.prepare_cached(text)?;
    let (mut rows, mut marks, mut reported) = (0, 0, 0);
    for entry in batch {
        let Entry { id, at_ms, kind, camera, text, count } = &**entry;
        if statement.execute(params![at_ms, id, kind.as_str(), camera, text, count])? == 0 {
            continue;
        }
        rows += 1;
        match kind {
            EventKind::Mark => marks += 1,
            EventKind::Pruned => reported += count.unwrap_or(0),
            _ => {}
        }
    }
    add(transaction, "rows", rows)?;
    add(transaction, "marks", marks)?;
    add(transaction, "untold", -reported)
}

impl ToSql for SqlValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Integer(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}

fn read(connection: &Connection, select: &Select, limit: BlockLimit) -> rusqlite::Result<Block> {
    let mut statement = connection.prepare_cached(&select.text)?;
    let mut rows = statement.query(params_from_iter(&select.values))?;
    let mut block = Block::new(limit);
    while let Some(row) = rows.next()? {
        let row = DbRow {
            at_ms: row.get(0)?,
            id: row.get(1)?,
            kind: row.get_ref(2)?.as_str_or_null()?.unwrap_or_default(),
            camera: row.get_ref(3)?.as_str_or_null()?,
            text: row.get_ref(4)?.as_str_or_null()?,
            count: row.get(5)?,
        };
        if block.push(&row).is_break() {
            break;
        }
    }
    Ok(block.finished())
}

fn unwritable(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { path },
        _ => Error::Unwritable { path, source },
    }
}

/// Converts an error of SQLite into an error whose text tells the user what to do.
fn failed(path: &Path, source: rusqlite::Error) -> Error {
    let path = path.to_owned();
    // The shared-memory file beside the database (-shm) could not grow.
    let has_no_room = source.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_IOERR_SHMSIZE);
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full { path },
        Some(ErrorCode::SystemIoFailure) if has_no_room => Error::Full { path },
        Some(ErrorCode::NotADatabase) => Error::NotADatabase { path },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            let source = io::Error::other(source);
            Error::Unwritable { path, source }
        }
        _ => Error::Sqlite { path, source },
    }
}
