//! Where and for how long the history stores events: `history`, `history_max_age`, `history_max_rows`.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use framecast_history::{Address, Location};

use super::key::settings;
use super::kind::{Number, OrNever, Text, Time};
use super::state_dir;

/// The name of the default database file, in the state directory.
const DEFAULT_FILE: &str = "framecast.db";

settings! {
    /// Where the history stores events, and for how long.
    #[derive(Debug, Clone, PartialEq)]
    #[non_exhaustive]
    pub struct HistorySettings {
        section "storage" {
            /// The database that stores the events.
            storage as history: HistoryStorage = HistoryStorage::Default,
                Text::new(|place, _| HistoryStorage::parse(place, env::var_os("HOME"))), NeedsRestart,
                "where Framecast keeps [events](history.md) †", default "\"framecast.db\"";
            /// The maximum age of events; `None` keeps events forever.
            max_age as history_max_age: Option<Duration> = Some(Duration::from_secs(90 * 86_400)),
                OrNever(Time::age()), NeedsRestart,
                "remove older events †";
            /// The maximum number of events; `None` for no limit.
            max_rows as history_max_rows: Option<u64> = Some(1_000_000),
                Number::at_least(1_u64), NeedsRestart,
                "remove the oldest events beyond this number †";
        }
    }
}

/// Where the history stores events.
#[derive(Debug, Clone, PartialEq)]
pub enum HistoryStorage {
    /// Stores events in the file `framecast.db` in the state directory. While the server cannot write to that file, it
    /// keeps events in memory. If there is no state directory, or another server uses the file, the history is
    /// temporary: its events are lost when this server ends.
    Default,
    /// Stores events in this SQLite file. A relative path is relative to the state directory.
    File(PathBuf),
    /// Stores events in this PostgreSQL database.
    Postgres(Address),
    /// Stores events in a temporary file or in memory. The events are lost when the server ends.
    Temporary,
}

impl Default for HistorySettings {
    fn default() -> Self {
        Self::with_defaults()
    }
}

impl HistoryStorage {
    /// Parses `text`, the value of the key `history`. `home` is the user's home directory, which replaces `~` at the
    /// start of a path.
    ///
    /// # Errors
    /// The text does not name a usable place. The message says what to write instead.
    pub(super) fn parse(text: &str, home: Option<OsString>) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("temporary") {
            return Ok(Self::Temporary);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Address::parse(text, None).map(Self::Postgres).map_err(|error| error.to_string());
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(format!(
                "history: `{scheme}:` databases are not supported; write a file's path, or \
                 postgres://user@host/database"
            ));
        }
        // A mistyped address would otherwise become a file of that name, with the login in it.
        if text.contains('@') && text.contains(':') {
            return Err("history: this is neither a file nor an address; write postgres://user@host/database, and put \
                        the password into FRAMECAST_HISTORY_PASSWORD"
                .to_owned());
        }
        let path = state_dir::below_home("history", text, home)?;
        if text.ends_with('/') || path.is_dir() {
            return Err(format!(
                "history: {text} is a folder; name a file in it, as in {}",
                folder_example(text)
            ));
        }
        Ok(Self::File(path))
    }

    /// Returns where a permanent history stores its events, with `state_dir` as the state directory. Returns `None` for
    /// a temporary history.
    ///
    /// # Errors
    /// The path is relative, but there is no state directory.
    pub(crate) fn location(&self, state_dir: Option<&Path>) -> Result<Option<Location>, String> {
        match self {
            Self::Default => Ok(state_dir.map(|folder| Location::File(folder.join(DEFAULT_FILE)))),
            Self::File(path) if path.is_absolute() => Ok(Some(Location::File(path.clone()))),
            Self::File(path) => match state_dir {
                Some(folder) => Ok(Some(Location::File(folder.join(path)))),
                None => Err(format!(
                    "history: {} needs the state directory, but none is set: set state_dir, or write the \
                     whole path",
                    path.display()
                )),
            },
            Self::Postgres(address) => Ok(Some(Location::Postgres(address.clone()))),
            Self::Temporary => Ok(None),
        }
    }
}

fn folder_example(text: &str) -> String {
    Path::new(text).join(DEFAULT_FILE).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_or_a_database() {
        let home = tempfile::tempdir().unwrap();
        let parse = |text: &str| HistoryStorage::parse(text, Some(home.path().into()));
        assert_eq!(parse("framecast.db"), Ok(HistoryStorage::File("framecast.db".into())));
        assert_eq!(parse("~/events.db"), Ok(HistoryStorage::File(home.path().join("events.db"))));
        assert_eq!(parse("temporary"), Ok(HistoryStorage::Temporary));
        assert!(matches!(parse("postgres://cam@db/site"), Ok(HistoryStorage::Postgres(_))));
        for (text, told) in [
            ("", "history must name a file"),
            (
                "mysql://cam@db/site",
                "history: `mysql:` databases are not supported; write a file's path, or postgres://",
            ),
            ("postgres://cam:pw@db/site", "history: the address contains a password"),
            ("postgres:/cam:pw@db/site", "history: this is neither a file nor an address; write postgres://"),
            ("/", "history: / is a folder; name a file in it, as in /framecast.db"),
            ("~other/x.db", "history: `~other/x.db` begins with `~` but not with `~/`"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.starts_with(told), "{text}: {problem}");
        }
    }

    #[test]
    fn a_relative_path_begins_in_the_state_directory() {
        let place = HistoryStorage::File("x/events.db".into());
        let location = place.location(Some(Path::new("/state"))).unwrap();
        assert_eq!(location, Some(Location::File("/state/x/events.db".into())));
        assert!(place.location(None).unwrap_err().contains("set state_dir"));
        let default = HistoryStorage::Default;
        assert_eq!(default.location(None), Ok(None));
        let location = default.location(Some(Path::new("/state"))).unwrap();
        assert_eq!(location, Some(Location::File("/state/framecast.db".into())));
    }
}
