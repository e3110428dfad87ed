//! What can go wrong with the history, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why events cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database file, or its folder, cannot be made or written.
    #[error("history: {} cannot be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk has no room for the database file.
    #[error("history: {} cannot be written: the disk is full", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a database.
    #[error("history: {} is no database; name another file, or move this one away", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database, but another program's.
    #[error("history: {} is a database of another program; name another file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The database was made by a newer Framecast.
    #[error(
        "history: {place} is of a newer Framecast (version {found} of the tables, this one knows up to {known}); update \
         Framecast, or name another database"
    )]
    Newer {
        /// The file, or the database's address.
        place: String,
        /// The version that was found.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Another Framecast writes to it.
    #[error("history: {place} is in use by another Framecast; end that one, or name another database")]
    Locked {
        /// The file, or the database's address.
        place: String,
    },
    /// SQLite failed.
    #[error("history: {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The address of a PostgreSQL database cannot be used.
    #[error("history: {problem}")]
    Address {
        /// What is wrong, and what would be right; never a password.
        problem: String,
    },
    /// The database cannot hold every text.
    #[error("history: {place} is encoded as {encoding}; make a database with ENCODING 'UTF8'")]
    Encoding {
        /// The database's address, without a password.
        place: String,
        /// Its encoding.
        encoding: String,
    },
    /// PostgreSQL failed, or cannot be reached.
    #[error("history: {place}: {}", with_causes(.source))]
    Postgres {
        /// The database's address, without a password.
        place: String,
        /// What it said.
        source: tokio_postgres::Error,
    },
    /// PostgreSQL did not answer in time.
    #[error("history: {place} has not answered within {seconds} s")]
    Silent {
        /// The database's address, without a password.
        place: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A thread of the history could not be started.
    #[error("history: cannot start a thread: {source}")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
    /// A table could not be written.
    #[error("history: {reason}")]
    Table {
        /// What could not be done.
        reason: String,
    },
    /// The clock had been set, and the times of events were put right while they were read.
    #[error(
        "history: the times of events were put right while this was read, for the clock had been set; ask again"
    )]
    Corrected,
    /// The server ends.
    #[error("history: the server ends")]
    Closed,
}

impl Error {
    /// Whether the disk has no room: nothing is wrong but that.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Whether the file cannot be made or written where it is: the disk is full, read-only or failing, or not this account's.
    pub fn is_unwritable(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Unwritable { .. } => true,
            Self::Sqlite { source, .. } => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure)
            }
            _ => false,
        }
    }

    /// Whether trying again later can help, with nothing changed but the database.
    pub fn is_transient(&self) -> bool {
        match self {
            // Classes 08, 53 and 57 are connections, too little of something, and a server that ends or starts.
            Self::Postgres { source, .. } => match source.code() {
                Some(code) => ["08", "53", "57"].iter().any(|class| code.code().starts_with(class)),
                None => source.is_closed() || is_of_system(source),
            },
            Self::Silent { .. } => true,
            _ => false,
        }
    }
}

/// Whether a connection failed, and not what it was asked for.
fn is_of_system(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        if source.is::<io::Error>() {
            return true;
        }
        cause = source.source();
    }
    error.to_string().starts_with("timeout")
}

/// An error of PostgreSQL with its causes, which alone say what happened.
fn with_causes(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = source.source();
    }
    if text.contains("password missing") {
        text.push_str("; set FRAMECAST_HISTORY_PASSWORD");
    }
    text
}
