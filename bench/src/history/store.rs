//! A database that holds Framecast's table of events, and the command that reads the table with the database's own
//! program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use framecast_testkit::Postgres;

/// Milliseconds from the time of one event to the time of the next. Ten million events cover a month.
const STEP_MS: u64 = 260;

/// The time of the first event, in milliseconds since 1970.
const FIRST_MS: u64 = 1_790_000_000_000;

/// The columns of the table of events that the database's own program reads.
const COLUMNS: &str = "id, at, kind, camera, text, count";

/// A SQLite file or a PostgreSQL server that holds the events of a Framecast.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) name: String,
    work: PathBuf,
    postgres: Option<Postgres>,
}

impl Store {
    /// Creates an empty database, in which Framecast will create the tables. `name` is `sqlite` (a file in the folder
    /// `work`) or `postgres` (a server that this function starts).
    pub(crate) fn new(name: &str, work: &Path) -> Result<Self> {
        let postgres = (name == "postgres").then(Postgres::start);
        let work = work.join(name);
        fs::create_dir_all(&work).context("cannot make a folder for the database")?;
        Ok(Self { name: name.to_owned(), work, postgres })
    }

    /// Returns the lines of Framecast's configuration that make Framecast use this database.
    pub(crate) fn settings(&self) -> String {
        let history = match &self.postgres {
            Some(postgres) => postgres.url(),
            None => self.file().display().to_string(),
        };
        format!(
            "state_dir = {:?}\nhistory = {history:?}\nhistory_max_age = \"never\"\nhistory_max_rows = 1000000000",
            self.work.display().to_string()
        )
    }

    fn file(&self) -> PathBuf {
        self.work.join("bench.db")
    }

    /// Replaces all rows of the table of events with `rows` generated events.
    pub(crate) fn fill(&self, rows: u64) -> Result<()> {
        let text = "CASE n % 10 WHEN 0 THEN 'no answer from 192.168.1.' || (n % 200) END";
        let kind = "CASE n % 10 WHEN 0 THEN 'lost' WHEN 1 THEN 'opened' WHEN 2 THEN 'mark' ELSE 'live' END";
        let select = format!(
            "SELECT {FIRST_MS} + n * {STEP_MS}, n, {kind}, 'camera-' || (n % 20), {text}, NULL FROM numbers"
        );
        let state = format!(
            "UPDATE state SET value = {rows} WHERE key = 'rows'; UPDATE state SET value = {rows} WHERE key = 'reserved';
             UPDATE state SET value = (SELECT count(*) FROM events WHERE kind = 'mark') WHERE key = 'marks';"
        );
        match &self.postgres {
            Some(postgres) => {
                postgres.query(&format!(
                    "SET search_path TO framecast; DELETE FROM events;
                     INSERT INTO events WITH numbers AS (SELECT generate_series(1, {rows}::bigint) AS n) {select};
                     {state}"
                ));
                // VACUUM must run outside a transaction. Without it, PostgreSQL's automatic clean-up would run during a
                // measurement.
                postgres.query("VACUUM ANALYZE framecast.events");
            }
            None => self.sqlite(&format!(
                "PRAGMA cache_size = -1000000; PRAGMA synchronous = OFF; DELETE FROM events;
                 INSERT INTO events WITH RECURSIVE numbers(n) AS (
                     SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows}
                 ) {select};
                 {state} PRAGMA wal_checkpoint(TRUNCATE);"
            ))?,
        }
        Ok(())
    }

    fn sqlite(&self, sql: &str) -> Result<()> {
        let status = Command::new("sqlite3").arg(self.file()).arg(sql).stdout(Stdio::null()).status();
        ensure!(status.context("cannot run sqlite3")?.success(), "sqlite3 failed");
        Ok(())
    }

    /// Returns the command that prints the whole table as CSV: `sqlite3` or `psql`, the database's own program.
    pub(crate) fn peer(&self) -> Command {
        let order = "ORDER BY at DESC, id DESC";
        match &self.postgres {
            Some(postgres) => {
                let mut command = Command::new("psql");
                let query = format!("SELECT {COLUMNS} FROM framecast.events {order}");
                command.args(["-U", "framecast", "-d", "postgres", "--csv", "-c", &query, "-h"]);
                command.arg(postgres.socket_dir());
                command
            }
            None => {
                let mut command = Command::new("sqlite3");
                command.arg("-csv").arg("-header").arg(self.file());
                command.arg(format!("SELECT {COLUMNS} FROM events {order}"));
                command
            }
        }
    }
}
