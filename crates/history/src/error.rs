//! What can go wrong with the history of events, and what to do about it.

use std::io;
use std::path::PathBuf;

#[cfg(feature = "postgres")]
use crate::postgres_error;

/// Why the history cannot store or read events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server cannot create or write the database file or its folder.
    #[error("history: {} cannot be written: {source}", path.display())]
    Unwritable {
        /// The database file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The disk has no room for the database file.
    #[error("history: {} cannot be written: the disk is full", path.display())]
    Full {
        /// The database file.
        path: PathBuf,
    },
    /// The file exists, but is not a database.
    #[error("history: {} is not a database; name another file, or move this one away", path.display())]
    NotADatabase {
        /// The database file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error("history: {} belongs to another program; name another file", path.display())]
    NotOurs {
        /// The database file.
        path: PathBuf,
    },
    /// A newer version of Framecast created the database, and its tables are unknown to this version.
    #[error(
        "history: {place} was created by a newer Framecast (its tables have version {found}, this Framecast \
         supports up to {known}); update Framecast, or name another database"
    )]
    Newer {
        /// The database file, or the database's address.
        place: String,
        /// The version of the tables in the database.
        found: i64,
        /// The newest version of the tables that this program supports.
        known: i64,
    },
    /// Another Framecast server has the database open.
    #[error("history: {place} is in use by another Framecast; stop that one, or name another database")]
    Locked {
        /// The database file, or the database's address.
        place: String,
    },
    /// SQLite returned an error that no other variant covers.
    #[error("history: {}: {source}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// The address of a PostgreSQL database is not valid.
    #[error("history: {problem}")]
    Address {
        /// What is wrong with the address, and what a valid address looks like, as a text. Never contains a password.
        problem: String,
    },
    /// The database stores text in an encoding that cannot represent every character.
    #[error("history: {place} is encoded as {encoding}; create a database with ENCODING 'UTF8'")]
    Encoding {
        /// The database's address, without a password.
        place: String,
        /// The name of the database's text encoding.
        encoding: String,
    },
    /// The certificates of the authorities cannot be read that a server's certificate is to be checked with.
    #[cfg(feature = "postgres")]
    #[error("history: {place}: {source}; the address names another file with sslrootcert=FILE")]
    Authorities {
        /// The database's address, without a password.
        place: String,
        /// What is wrong with the certificates.
        source: framecast_tls::AuthoritiesError,
    },
    /// PostgreSQL returned an error, or cannot be reached.
    #[cfg(feature = "postgres")]
    #[error("history: {place}: {}", postgres_error::with_causes(.source))]
    Postgres {
        /// The database's address, without a password.
        place: String,
        /// The error of PostgreSQL.
        source: tokio_postgres::Error,
    },
    /// PostgreSQL did not answer in time.
    #[error("history: {place} did not answer within {seconds} s")]
    Timeout {
        /// The database's address, without a password.
        place: String,
        /// How long the server waited for an answer, in seconds.
        seconds: u64,
    },
    /// The operating system could not start a thread for the history.
    #[error("history: cannot start a thread: {source}")]
    Thread {
        /// The error of the operating system.
        source: io::Error,
    },
    /// The history corrected the times of events while a client was reading them, because somebody had set the
    /// machine's clock.
    #[error(
        "history: while this query ran, the server corrected the times of events, because the machine's clock had been \
         set; send the query again"
    )]
    Corrected,
    /// The server is shutting down.
    #[error("history: the server is shutting down")]
    Closed,
}

impl Error {
    /// Returns whether this error means that the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Returns whether this error means that the server cannot create or write the database file: the disk is full,
    /// read-only or failing, or the server's account lacks the permission.
    pub fn is_unwritable(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Unwritable { .. } => true,
            Self::Sqlite { source, .. } => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure)
            }
            _ => false,
        }
    }

    /// Returns whether a later attempt can succeed although nobody changes anything on this machine, for example once
    /// the database server runs again.
    pub fn is_transient(&self) -> bool {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres { source, .. } => postgres_error::is_transient(source),
            Self::Timeout { .. } => true,
            _ => false,
        }
    }
}
